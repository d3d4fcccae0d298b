"""Records of clients' operations and their results, and of the ledger: the input of the consistency checks.

Invariants: times are of one monotonic clock. An operation's id is unique in its run and part of its transaction, so
that it is found in the ledger whatever the client was told.
"""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Place = tuple[int, int]
"""A transaction's height and its index there."""

Kind = Literal["write", "read", "cas", "check", "transfer", "mark"]
"""On a register: sets it; reads it through the ledger; sets it if it holds `expected`; checks that it holds `expected`.
A transfer moves an amount. A mark only takes its place in the order."""

Outcome = Literal["ok", "failed", "never", "unknown"]
"""`failed`: final and without effect, because the register didn't hold `expected` or the balance was too small.
`never`: refused, so it is never executed. `unknown`: the client got no result; it may be executed at any time."""


@dataclass(frozen=True, slots=True)
class Intent:
    """A client's request, before it is sent."""

    id: str
    client: int
    account: int
    """The account that signs."""
    kind: Kind
    key: str = ""
    value: str = ""
    expected: str = ""
    """Empty if there must be no value."""
    to: int = 0
    amount: int = 0


@dataclass(frozen=True, slots=True)
class FinishedOperation:
    """An operation with its result as the client knows it."""

    intent: Intent
    session: int
    node: int | None
    """The one node that this client asks; `None` if it may ask all."""
    call_ns: int
    return_ns: int
    outcome: Outcome
    place: Place | None = None
    """Its place in the ledger, if the client knows it; for a read, the height that it describes."""
    seen: str = ""
    """The value that a read saw."""


@dataclass(frozen=True, slots=True)
class Look:
    """A plain read of one register or, without a key, of all balances."""

    client: int
    session: int
    node: int | None
    proven: bool
    """True if the read was verified under a certified root; false if it is the newest state of the client's one
    node.
    """
    key: str
    value: str
    amounts: tuple[int, ...]
    height: int
    call_ns: int
    return_ns: int


@dataclass(frozen=True, slots=True)
class LedgerTransaction:
    """A transaction of the ledger; `id` is the operation's, empty if it belongs to none."""

    place: Place
    id: str
    failure: str
    """Reason why it had no effect; empty if it had one."""
    transaction: str = ""
    """The transaction's own id."""


@dataclass(slots=True)
class Record:
    """One run: requests and their results, the clients' reads, and the ledger."""

    intents: dict[str, Intent]
    done: list[FinishedOperation]
    looks: list[Look]
    book: list[LedgerTransaction]
    balances: dict[int, tuple[int, ...]]
    """All balances after each height, as a node claims."""
    registers: dict[int, dict[str, str]]
    """All registers after each height, as a node claims."""
    proven: dict[int, tuple[int, ...]]
    """All balances after some heights, verified."""
    streams: list[list[tuple[Place, str]]]
    """Places and ids of transactions as followers of the event stream received them, from after the opening on."""
    opened: int
    """The height at which the bank opened."""
    opening: tuple[int, ...]
    """All balances after the opening; before it all were zero."""


def write_history(path: Path, done: Iterable[FinishedOperation]) -> None:
    """Writes the operations on registers in the linearizability checker's format."""
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
