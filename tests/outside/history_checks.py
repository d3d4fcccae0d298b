"""Finds contradictions to the ledger's promises in a recorded run: one sentence for each, none if all hold.

Invariants: pure. The ledger's own order only determines what an answer should have been, never what it was. The
linearizability checker decides from the clients' records alone if one order explains all answers.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import zip_longest

from history_records import FinishedOperation, Intent, LedgerTransaction, Look, Place, Record

FAILURES = {"cas": "precondition", "check": "precondition", "transfer": "insufficient-balance"}
"""Reasons for which an operation may have no effect."""


@dataclass(slots=True)
class Versions:
    """The values of an object after each height at which it changed."""

    first: str | int
    heights: list[int] = field(default_factory=list)
    values: list[str | int] = field(default_factory=list)

    def now(self) -> str | int:
        return self.values[-1] if self.values else self.first

    def at(self, height: int) -> str | int:
        number = bisect_right(self.heights, height)
        return self.values[number - 1] if number else self.first

    def set(self, height: int, value: str | int) -> None:
        self.heights.append(height)
        self.values.append(value)


class Replay:
    """Executes the run's transactions again, in the ledger's order."""

    def __init__(self, record: Record) -> None:
        self.registers: defaultdict[str, Versions] = defaultdict(lambda: Versions(""))
        self.accounts = [Versions(0) for _ in record.opening]
        for account, amount in zip(self.accounts, record.opening, strict=True):
            account.set(record.opened, amount)
        self.faults: list[str] = []
        for final in sorted(record.book, key=lambda final: final.place):
            if (intent := record.intents.get(final.id)) is not None:
                self._execute(final, intent)

    def balances(self, height: int) -> tuple[int, ...]:
        return tuple(int(account.at(height)) for account in self.accounts)

    def _execute(self, final: LedgerTransaction, intent: Intent) -> None:
        register, payer = self.registers[intent.key], self.accounts[intent.account]
        holds = {
            "cas": register.now() == intent.expected,
            "check": register.now() == intent.expected,
            "transfer": int(payer.now()) >= intent.amount,
        }.get(intent.kind, True)
        wanted = "" if holds else FAILURES[intent.kind]
        if final.failure != wanted:
            self.faults.append(
                f"{intent.id} at {final.place} ended with {final.failure or 'ok'!r}, and what was there before it asks "
                f"for {wanted or 'ok'!r}"
            )
        if final.failure:
            return
        height = final.place[0]
        if intent.kind in ("write", "cas"):
            register.set(height, intent.value)
        elif intent.kind == "transfer":
            payer.set(height, int(payer.now()) - intent.amount)
            receiver = self.accounts[intent.to]
            receiver.set(height, int(receiver.now()) + intent.amount)


def all_faults(record: Record) -> list[str]:
    """Returns all contradictions, except those that only the linearizability checker can find."""
    replay = Replay(record)
    return [
        *replay.faults,
        *told_faults(record),
        *seen_faults(record, replay),
        *session_faults(record),
        *bank_faults(record, replay),
        *stream_faults(record),
    ]


def told_faults(record: Record) -> Iterator[str]:
    """Compares the clients' results with the ledger: each operation occurs at most once, with the reported result."""
    places: defaultdict[str, list[LedgerTransaction]] = defaultdict(list)
    for final in record.book:
        if final.id:
            places[final.id].append(final)
    for name, found in places.items():
        if len(found) > 1:
            yield f"{name} was executed {len(found)} times, at {', '.join(str(final.place) for final in found)}"
    for one in record.done:
        if one.intent.kind != "read":
            yield from _told(one, places[one.intent.id])


def _told(one: FinishedOperation, found: list[LedgerTransaction]) -> Iterator[str]:
    name = one.intent.id
    if one.outcome in ("ok", "failed"):
        if not found:
            yield f"{name} was called final and is not in the ledger"
        elif (one.place or found[0].place, one.outcome == "failed") != (found[0].place, bool(found[0].failure)):
            yield f"{name} was told {one.outcome} at {one.place}, and is {found[0].failure or 'ok'} at {found[0].place}"
    elif one.outcome == "never" and found:
        yield f"{name} was refused, and was executed at {found[0].place}"


def seen_faults(record: Record, replay: Replay) -> Iterator[str]:
    """Checks that each read saw the value of the final order at its height, never another one or a later one."""
    for one in record.done:
        if one.intent.kind == "read" and one.outcome == "ok":
            assert one.place is not None
            yield from _seen(
                f"{one.intent.id} of {one.intent.key}", one.seen, replay.registers[one.intent.key], one.place
            )
    for look in record.looks:
        what = f"a plain read of client {look.client} at node {look.node}"
        if look.key:
            yield from _seen(f"{what} of {look.key}", look.value, replay.registers[look.key], (look.height, 0))
        elif look.amounts != (expected := replay.balances(look.height)):
            yield f"{what} saw the balances {look.amounts} at height {look.height}, where they were {expected}"


def _seen(what: str, value: str, register: Versions, place: Place) -> Iterator[str]:
    expected = register.at(place[0])
    if value != expected:
        yield f"{what} saw {value!r} at height {place[0]}, where it was {expected!r}"


def session_faults(record: Record) -> Iterator[str]:
    """Checks that a client's reads never go back and include its own writes: verified reads at any node, plain reads at
    one node, even after it was killed."""
    events: list[FinishedOperation | Look] = [*record.done, *record.looks]
    floors: Counter[tuple[str, int, int]] = Counter()
    for event in sorted(events, key=lambda event: event.return_ns):
        if isinstance(event, Look):
            scope = _scope(event, proven=event.proven)
            if event.height < floors[scope]:
                kind = "verified" if event.proven else f"node {event.node}'s"
                yield (
                    f"client {event.client} was shown {kind} height {event.height} after height {floors[scope]} of "
                    f"its own {'session' if event.proven else 'node'}"
                )
            floors[scope] = max(floors[scope], event.height)
        elif event.place is not None and event.outcome in ("ok", "failed"):
            for scope in (_scope(event, proven=True), _scope(event, proven=False)):
                floors[scope] = max(floors[scope], event.place[0])


def _scope(event: FinishedOperation | Look, *, proven: bool) -> tuple[str, int, int]:
    """Returns the scope of a floor: a client's session, or for plain reads its one node."""
    client = event.client if isinstance(event, Look) else event.intent.client
    if proven or event.node is None:
        return ("session", client, event.session)
    return ("node", event.node, 0)


def bank_faults(record: Record, replay: Replay) -> Iterator[str]:
    """Checks that the total is constant at every height, that no balance is negative, and that balances follow from the
    final transfers."""
    total = sum(record.opening)
    for height, amounts in sorted([*record.balances.items(), *record.proven.items()]):
        if sum(amounts) != total:
            yield f"at height {height} the accounts hold {sum(amounts)} of {total}"
        if min(amounts) < 0:
            yield f"at height {height} an account holds {min(amounts)}"
        if amounts != (expected := replay.balances(height)):
            yield f"at height {height} the balances were {amounts}, and the transfers up to there make {expected}"
    for height, registers in sorted(record.registers.items()):
        held = {key: versions.at(height) for key, versions in replay.registers.items() if versions.at(height)}
        if registers != held:
            yield f"at height {height} the registers held {registers}, and the writes up to there make {held}"


def stream_faults(record: Record) -> Iterator[str]:
    """Checks that each follower of events gets every transaction once, in the ledger's order, whatever nodes it
    uses."""
    book = sorted((final.place, final.transaction) for final in record.book if final.place > (record.opened, 0))
    for number, stream in enumerate(record.streams):
        known = [event for event in stream if event[0] <= book[-1][0]]
        for got, expected in zip_longest(known, book):
            if got != expected:
                yield f"stream {number} gave {got}, where the ledger has {expected}"
                break
