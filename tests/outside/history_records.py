"""What clients did and were told, and what the ledger says became of it: the material of the consistency checks.

Invariants: times are of one monotonic clock; an operation's id is unique in its run and stands in its transaction, so
that it is found again in the ledger whatever the client was told.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Place = tuple[int, int]
"""A transaction's height and its index there."""

Kind = Literal["write", "read", "cas", "check", "transfer", "mark"]
"""On a register: sets it; reads it through the ledger; sets it where it holds `expected`; asks whether it does. A
transfer moves an amount. A mark only takes its place in the order."""

Outcome = Literal["ok", "failed", "never", "unknown"]
"""`failed`: final and without effect, since the register didn't hold `expected` or the balance was too small. `never`:
refused, so that it is never executed. `unknown`: nobody told the client, it may be executed at any time."""


@dataclass(frozen=True, slots=True)
class Intent:
    """What a client wants, before it is told anything."""

    id: str
    client: int
    account: int
    """Who signs."""
    kind: Kind
    key: str = ""
    value: str = ""
    expected: str = ""
    """Empty: that there is no value."""
    to: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class Done:
    """An operation with its end as the client knows it."""

    intent: Intent
    session: int
    node: int | None
    """The one node that this client asks; None where it may ask all."""
    call_ns: int
    return_ns: int
    outcome: Outcome
    place: Place | None = None
    """Where it was executed, where the client was told; of a read, the height at which it holds."""
    seen: str = ""
    """What a read saw."""


@dataclass(frozen=True, slots=True)
class Look:
    """A plain read of one register or, without a key, of all balances."""

    client: int
    session: int
    node: int | None
    proven: bool
    """Verified under a certified root, or the newest that the one node has."""
    key: str
    value: str
    amounts: tuple[int, ...]
    height: int
    call_ns: int
    return_ns: int


@dataclass(frozen=True, slots=True)
class Final:
    """A transaction of the ledger; `id` is the operation's, empty where it is of none."""

    place: Place
    id: str
    failure: str
    """Why it had no effect; empty where it had."""
    transaction: str = ""
    """The transaction's own id."""


@dataclass(slots=True)
class Record:
    """One run: what was wanted, how it ended, what was seen, and what the ledger holds of it."""

    intents: dict[str, Intent]
    done: list[Done]
    looks: list[Look]
    book: list[Final]
    balances: dict[int, tuple[int, ...]]
    """All balances after each height, on a node's word."""
    registers: dict[int, dict[str, str]]
    """All registers after each height, on a node's word."""
    proven: dict[int, tuple[int, ...]]
    """All balances after some heights, verified."""
    streams: list[list[tuple[Place, str]]]
    """Places and transactions' ids as followers of the event stream got them, from behind the opening on."""
    opened: int
    """The height at which the bank opened."""
    opening: tuple[int, ...]
    """All balances after it; nobody had anything before."""


def write_history(path: Path, done: Iterable[Done]) -> None:
    """The operations on registers as the linearizability checker reads them."""
    with open(path, "w", encoding="utf-8") as file:
        for one in done:
            intent = one.intent
            if intent.kind in ("transfer", "mark"):
                continue
            line = {
                "client": intent.client,
                "op": intent.kind,
                "key": intent.key,
                "value": one.seen if intent.kind == "read" else intent.value,
                "expected": intent.expected,
                "call_ns": one.call_ns,
                "return_ns": one.return_ns,
                "outcome": one.outcome,
            }
            file.write(json.dumps(line) + "\n")
