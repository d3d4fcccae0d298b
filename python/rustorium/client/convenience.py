"""Convenience methods: JSON values, many keys at once, all keys of a prefix, an unknown outcome.

Invariants: each calls only the client's other methods, so it guarantees no more than they do.
"""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import anyio

from rustorium import _native, arguments
from rustorium.client import operations as ops
from rustorium.client import wire
from rustorium.client.keys import Key
from rustorium.client.pools import PoolMethods
from rustorium.client.submit import Result
from rustorium.client.text import K, raw
from rustorium.client.transactions import succeeded
from rustorium.errors import NotReady, OutcomeUnknown, Unreachable, UsageError
from rustorium.types import (
    KEY_BYTES_MAX,
    OPERATIONS_MAX,
    VALUE_BYTES_MAX,
    Issued,
    ListedKey,
    Submitted,
    TransactionStatus,
    Wait,
)

BYTES_MAX = 192 * 1024
"""Maximum number of bytes of keys and values in one transaction. A transaction has at most 256 KiB; the rest is for its
other fields."""
NAME_CHARACTERS_MAX = 80
"""Maximum number of characters of a key that an error shows."""
PAGE_KEYS = 100
ASK_AGAIN_S = (0.05, 1.0)
"""First and longest pause between two requests for a transaction's status."""


class ConvenienceMethods(PoolMethods):
    """The client's methods that are loops over others."""

    async def put_json(
        self,
        key_bytes: bytes | str,
        value: Any,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Sets a key to a value as JSON: UTF-8, sorted names, no white space, so that equal values have equal hashes.

        Errors: UsageError if JSON can't hold the value, and those of `put`."""
        content = json_bytes(value)
        return await self.put(key_bytes, content, key=key, namespace=namespace, wait=wait, timeout_s=timeout_s)

    async def get_json(
        self, namespace: str, key: bytes | str, *, verify: bool = True, max_age_s: float | None = None
    ) -> Any:
        """Returns a key's value read as JSON; `None` if the key has no value.

        Errors: UsageError if the value isn't JSON, and those of `get`."""
        content = await self.get(namespace, key, verify=verify, max_age_s=max_age_s)
        return None if content is None else json_value(key, content)

    async def put_many(
        self,
        values: Mapping[K, bytes | str],
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[K, Result]:
        """Sets many keys, in as few transactions as they fit into, in the order of `values`.

        Each transaction sets all of its keys or none. Returns for each key the result of its transaction: `Submitted`,
        whose receipt may be a failed one, or an error. `on_progress` and `timeout_s` as for `send_many`.

        Errors: UsageError that names the key if a key or value has a wrong type or is too long; nothing is sent."""
        signer = self._signer(key)
        if not isinstance(values, Mapping):
            raise arguments.refused("values", "a dict of keys and values", values)
        groups, where = fitting(values), signer.address if namespace is None else namespace
        operations = [[ops.put(where, name, values[name]) for name in group] for group in groups]
        results = await self.send_many(operations, key=signer, wait=wait, timeout_s=timeout_s, on_progress=on_progress)
        return {name: result for group, result in zip(groups, results, strict=True) for name in group}

    async def issue(
        self,
        symbol: str,
        amount: int,
        *,
        to: str | None = None,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Issued:
        """Creates an amount of the signer's own asset, for itself or for the account `to`; returns the asset's id, too.

        Errors: UsageError for a symbol that no asset can have, and those of `send`."""
        signer = self._signer(key)
        operation = ops.issue(symbol, signer.address if to is None else to, amount)
        done = await self.send([operation], key=signer, wait=wait, timeout_s=timeout_s)
        asset = _native.asset_id(signer.address, symbol)
        return Issued(done.id, done.reached, done.receipt, done.proof, done.endpoint, asset)

    async def iter_keys(
        self, account: str, prefix: bytes | str = b"", *, values: bool = False
    ) -> AsyncIterator[ListedKey]:
        """Yields all keys of a namespace that begin with `prefix`, as of one height, in no meaningful order.

        As for `list_keys`, a node's list isn't proven: read a key to have it proved."""
        page = await self.list_keys(account, prefix, limit=PAGE_KEYS, values=values)
        while True:
            for one in page.keys:
                yield one
            if page.next_cursor is None:
                return
            page = await self.list_keys(account, prefix, cursor=page.next_cursor, limit=PAGE_KEYS, values=values)

    async def resolve(self, unknown: OutcomeUnknown, *, timeout_s: float | None = None) -> Submitted:
        """Waits until the transaction of an `OutcomeUnknown`, or one that it replaced, is final; returns what `send`
        would have returned.

        Errors: TransactionFailed if its receipt is a failed one; OutcomeUnknown if no node knows its outcome by the
        deadline. It can still become final until it expires, so sign another one only if doing both is harmless."""
        if not isinstance(unknown, OutcomeUnknown):
            raise arguments.refused("unknown", "an OutcomeUnknown", unknown, "get_transaction takes an id")
        with anyio.CancelScope(deadline=self._deadline(timeout_s)):
            pause = ASK_AGAIN_S[0]
            while True:
                for transaction in (unknown.transaction, *unknown.replaced):
                    status = await self._perhaps(transaction)
                    if status is not None and status.receipt is not None and self._shows_outcome(status):
                        self._wrote(status.receipt)
                        return succeeded(Submitted(status.id, "final", status.receipt))
                await anyio.sleep(pause)
                pause = min(2 * pause, ASK_AGAIN_S[1])
        again = OutcomeUnknown(unknown.transaction)
        again.replaced = unknown.replaced
        raise again

    def _shows_outcome(self, status: TransactionStatus) -> bool:
        """Returns whether a final status can be relied on: a failed one must be proven, if it can be."""
        return status.proven or not self._trusts() or (status.receipt is not None and status.receipt.ok)

    async def _perhaps(self, transaction: str) -> TransactionStatus | None:
        """Returns a transaction's status; `None` if no node answers."""
        try:
            return await self.get_transaction(transaction)
        except (NotReady, Unreachable):
            return None


def fitting(values: Mapping[K, bytes | str]) -> list[list[K]]:
    """Returns the keys of each transaction, in order. Errors: UsageError that names the key if a key or value is
    neither bytes nor text, or too long."""
    sized = ((name, _sized(name, value)) for name, value in values.items())
    return wire.split(sized, OPERATIONS_MAX, BYTES_MAX)


def _sized(name: bytes | str, value: bytes | str) -> int:
    """Returns the bytes of a key and its value together. Errors: UsageError."""
    shown = repr(name)
    if len(shown) > NAME_CHARACTERS_MAX:
        shown = f"{shown[:NAME_CHARACTERS_MAX]}…"
    total = 0
    for content, what, most in (
        (name, f"the key {shown}", KEY_BYTES_MAX),
        (value, f"the value of {shown}", VALUE_BYTES_MAX),
    ):
        size = len(raw(content, what))
        if size > most:
            raise UsageError(f"{what} has {size:,} bytes, and at most {most:,} are allowed: shorten or split it")
        total += size
    return total


def json_bytes(value: Any) -> bytes:
    """Returns the canonical JSON of a value. Errors: UsageError."""
    try:
        text = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), allow_nan=False)
        return text.encode()
    except (TypeError, ValueError, UnicodeEncodeError, RecursionError) as error:
        raise UsageError(
            f"the value can't be written as JSON ({error}): use strings, numbers, lists and dicts"
        ) from None


def json_value(key: bytes | str, content: bytes) -> Any:
    """Parses JSON text. Errors: UsageError."""
    try:
        return json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"the value of {key!r} is not JSON ({error}): read it with `get`") from None
