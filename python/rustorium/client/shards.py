"""The parts of a client: one for each shard of a net, which asks the nodes for that shard alone.

Invariants: a call about an account goes to the part of its shard, whichever part it was made on; parts share
connections, the signing key and the floors; each has a light client of its own (S15, S17).
"""

import contextlib
from collections.abc import Callable, Coroutine
from functools import wraps
from inspect import signature
from typing import Any, TypeVar, cast

from rustorium import _native
from rustorium.errors import RustoriumError

SYSTEM_ZEROS = 23
"""Bytes at the beginning of a system account's id, all of them zero."""

F = TypeVar("F", bound=Callable[..., Coroutine[Any, Any, Any]])


def in_shard_of(name: str, account: Callable[[Any, Any], str]) -> Callable[[F], F]:
    """Returns a decorator of a client's method: it is called on the part of the shard of `account(client, argument)`.

    `name`: the argument, `None` if it wasn't given. An argument that names no account is left to the method, which says
    what is wrong with it."""

    def decorate(method: F) -> F:
        known = signature(method)

        @wraps(method)
        async def routed(client: Any, *positional: Any, **named: Any) -> Any:
            part = client
            with contextlib.suppress(TypeError, AttributeError, IndexError, RustoriumError):
                given = known.bind(client, *positional, **named).arguments.get(name)
                part = client._part_of(account(client, given))
            return await method(part, *positional, **named)

        return cast(F, routed)

    return decorate


def is_system(address: str) -> bool:
    """Returns `True` for an account that each shard has of its own, as those of seats and owners."""
    return not any(_native.parse_address(address)[:SYSTEM_ZEROS])


def of_subject(_client: object, subject: Any) -> str:
    """The account is a subject's."""
    return cast(str, subject.account)


def of_subjects(_client: object, subjects: Any) -> str:
    """The account is that of the first subject."""
    return cast(str, subjects[0].account)


def of_sender(_client: object, transaction: Any) -> str:
    """The account is a transaction's sender."""
    return cast(str, transaction.sender)


def of_signer(client: Any, key: Any) -> str:
    """The account is that of the key, or of the client's own."""
    return cast(str, client._signer(key).address)
