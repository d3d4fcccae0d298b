"""Checks what a node reports of who governs, and reads who governs from a proven leaf.

Invariants: SYNC; a hash that operators sign stands beside the change or the parameters that have it.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorium import _native
from rustorium.errors import ProofRefused


def check_hashes(answer: Mapping[str, Any]) -> None:
    """Checks that each open proposal's hash is that of the change beside it, and likewise for the wanted parameters.
    Otherwise an operator would be shown one change and approve another (V12, V39). Errors: ProofRefused."""
    for one in answer["proposals"]:
        _check(f"the change of proposal {one['number']}", _native.change_hash, one["change"], one["hash"])
    _check("the wanted parameters", _native.parameters_hash, answer["wanted"], answer["wanted_hash"])


def _check(what: str, hashed: Callable[[str], str], shown: object, said: object) -> None:
    try:
        found = hashed(json.dumps(shown))
    except ValueError:
        raise ProofRefused(
            f"a node shows {what} in a form that this release can't check: update it, or ask another node"
        ) from None
    if found != said:
        raise ProofRefused(f"a node shows {what} beside the hash of something else: don't trust that node")


def check_parameters(parameters: Mapping[str, Any], certified: str) -> None:
    """Checks that a node's parameters are those in force that a quorum of validators certified, by their hash. Errors:
    ProofRefused."""
    try:
        found = _native.parameters_hash(json.dumps(parameters))
    except ValueError:
        found = ""
    if found != certified:
        raise ProofRefused(
            "a node shows other parameters in force than the ones that validators certified: ask again, since an epoch "
            "may just have ended, or ask another node"
        )


def seat_number(address: str) -> int | None:
    """Returns the number of the seat whose sender has this address; `None` if it is an account's."""
    found: int | None = _native.seat_number(address)
    return found


def seats_in_force(record: Mapping[str, Any] | None, operators: Sequence[str]) -> list[Mapping[str, Any]]:
    """Returns the seats that govern under parameters that name these operators (V38): a key that stays keeps its seat,
    and every other key gets the next number. `record`: what the state has; `None` while no seat has acted."""
    held = {str(seat["first_key"]): seat for seat in record["seats"]} if record is not None else {}
    number = int(record["next_seat"]) if record is not None else 0
    seats: list[Mapping[str, Any]] = []
    for key in operators:
        seat = held.get(key)
        if seat is None:
            seat = {"number": number, "first_key": key, "public_key": key, "generation": 0, "nonce": 0}
            number += 1
        seats.append(seat)
    return seats
