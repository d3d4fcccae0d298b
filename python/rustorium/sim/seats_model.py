"""A second model of who governs a chain of version 2 (V36 to V47): seats, proposals, pauses, what is wanted, and what
each boundary takes of it.

Invariants: the model shares no code with execution. Records are immutable, so a failed transaction costs nothing.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader
from rustorium.sim.net import NEWEST_VERSION

if TYPE_CHECKING:
    from rustorium.sim.shadow import SignedByClient

PROPOSAL_MS_MAX = PAUSE_MS_MAX = 7 * 24 * 3_600_000
SEAT_PROPOSALS_MAX = 4
PPM_MAX = 1_000_000
FIRST_MADE_SPONSOR = 256
EXPIRY_MS_MIN = 60_000
ACCOUNT, SPONSOR_AT = b"\0", 50
"""Name of an account's record, and the place of its sponsor's number (V27)."""

Parameters = Mapping[str, Any]
Told = tuple[int, int, str, int | None, str | None]
"""Height, seat, act, proposal and hash of the change, as a node tells its audit log."""


@lru_cache(maxsize=1_024)
def _hash_of(said: str) -> str:
    return _native.parameters_hash(said)


def base_of(parameters: Parameters) -> str:
    """Returns the hash that a change of these parameters names (V12)."""
    return _hash_of(json.dumps(parameters))


def change_hash(change: Mapping[str, Any]) -> str:
    """Returns the hash by which seats approve a change (V39)."""
    return _native.change_hash(json.dumps(change))


@dataclass(frozen=True)
class Seat:
    """A seat of an operator."""

    number: int
    first_key: str
    signer: bytes
    generation: int = 0


@dataclass(frozen=True)
class Open:
    """An open proposal."""

    seat: int
    change: Mapping[str, Any]
    until_ms: int
    generation: int
    approved: frozenset[tuple[int, int]]
    """Seats and the generations of their authorities."""
    made: bool = False


@dataclass(frozen=True)
class Record:
    """Everything about who governs that a transaction may change."""

    seats: tuple[Seat, ...]
    quorum: int
    wanted: Parameters
    generation: int = 0
    next_seat: int = 0
    next_proposal: int = 1
    open: tuple[tuple[int, Open], ...] = ()
    pauses: tuple[tuple[str | None, int], ...] = ()
    """Scope and end."""
    waits: tuple[int, int] = (0, 0)
    """The proposal of the operators that wait, and the time from which a boundary takes them (V46)."""
    least_ms: int = 0
    """Time before which no operators begin that are decided after a shorter wait was."""
    ended: int = -1
    """The newest epoch whose end was asked for."""
    sponsors: frozenset[int] = frozenset({0})
    sponsored: tuple[tuple[str, int], ...] = ()
    """The numbers of accounts' sponsors."""
    made_for: frozenset[tuple[str, int]] = frozenset()
    """Accounts with the sponsors that were made for them."""
    upgrade: bool = False
    """Whether the next protocol version is wanted (V11). Too few members speak it for it to begin."""


class _FailedError(Exception):
    """An operation that fails."""


def _ensure(holds: bool) -> None:
    if not holds:
        raise _FailedError


class Seats:
    """The seats of one replay."""

    def __init__(self, parameters: Parameters) -> None:
        """`parameters`: those of the genesis."""
        self.in_force = parameters
        self.record = self._seated(Record((), parameters["operator_quorum"], parameters), parameters)
        self.told: list[Told] = []
        self.kinds: list[str] = []
        """The types of all changes that were made, also of some that failed in the same transaction."""
        self.epochs: list[tuple[str, Parameters]] = []
        """What each boundary changed, and the parameters from it on."""
        self._reached = 0
        self._epoch = 0
        self._wanted: list[tuple[int, Record]] = [(0, self.record)]
        """The records by the heights that wrote them."""

    @staticmethod
    def _seated(record: Record, parameters: Parameters) -> Record:
        """Returns the record with a seat for each operator: the one that it had, or a new one (V38)."""
        held, next_seat, seats = {seat.first_key: seat for seat in record.seats}, record.next_seat, list[Seat]()
        for key in parameters["operators"]:
            if key not in held:
                held[key] = Seat(next_seat, key, b"\0" + bytes.fromhex(key))
                next_seat += 1
            seats.append(held[key])
        return replace(record, seats=tuple(seats), next_seat=next_seat, quorum=parameters["operator_quorum"])

    # ---- boundaries

    def reach(self, height: int, headers: Mapping[int, SeenHeader]) -> None:
        """Follows the boundaries below a height."""
        for below in range(max(self._reached, 1), height):
            header = headers[below]
            if header.ends_epoch:
                self._end(header)
        self._reached, self._epoch = max(self._reached, height), headers[height].epoch

    def _end(self, boundary: SeenHeader) -> None:
        """Takes the first thing that is wanted as of the claimed height (V10)."""
        claimed = boundary.claimed[0]
        record = next(record for height, record in reversed(self._wanted) if height <= claimed)
        governors = {name: self.in_force[name] for name in ("operators", "operator_quorum")}
        first = {**record.wanted, **governors}
        change, taken = "none", self.in_force
        if first != self.in_force:
            change, taken = "parameters", first
        elif record.wanted != self.in_force and boundary.time_ms >= record.waits[1]:
            change, taken = "operators", record.wanted
        self.in_force = taken
        self.epochs.append((change, taken))
        keys = [seat.first_key for seat in self.record.seats]
        if keys != taken["operators"] or self.record.quorum != taken["operator_quorum"]:
            self.record = self._seated(replace(self.record, generation=self.record.generation + 1), taken)

    # ---- transactions

    def paused(self, account: str | None, now_ms: int) -> bool:
        """Checks whether an account is paused; `None`: all accounts."""
        return any(scope == account and until_ms > now_ms for scope, until_ms in self.record.pauses)

    def do(self, number: int, transaction: "SignedByClient", now_ms: int) -> bool:
        """Does a seat's transaction. Returns `False` if it fails."""
        seat = self._seat(number)
        if seat is None:
            raise BreachError(f"transaction {transaction.id} of seat {number} was executed, which isn't there")
        if seat.signer != transaction.signer:
            raise BreachError(f"transaction {transaction.id} of seat {number} was executed, which other keys signed")
        before, told = self.record, len(self.told)
        try:
            for operation in transaction.operations:
                self._act(number, operation, now_ms)
        except _FailedError:
            self.record = before
            del self.told[told:]
            return False
        self._wanted.append((self._reached, self.record))
        return True

    def _seat(self, number: int) -> Seat | None:
        return next((seat for seat in self.record.seats if seat.number == number), None)

    def _act(self, number: int, operation: Mapping[str, Any], now_ms: int) -> None:
        match operation["type"]:
            case "propose":
                self._propose(number, operation["change"], operation["until_ms"], now_ms)
            case "approve":
                self._approve(number, operation["number"], operation["change"], now_ms)
            case "withdraw":
                self._withdraw(number, operation["number"], now_ms)
            case "set_authority":
                self._rekey(number, operation["authority"])
            case _:
                raise _FailedError

    def _rekey(self, number: int, said: Mapping[str, Any]) -> None:
        keys, threshold = sorted(said["keys"]), said["threshold"]
        if threshold == 1 and len(keys) == 1:
            signer = b"\0" + bytes.fromhex(keys[0])
        else:
            signer = b"\1" + bytes.fromhex(_native.authority_names(0, threshold, keys)[1])
        seats = tuple(
            replace(seat, signer=signer, generation=seat.generation + 1) if seat.number == number else seat
            for seat in self.record.seats
        )
        self.record = replace(self.record, seats=seats)
        self._tell(number, "rekeyed", None, None)

    def _tell(self, number: int, act: str, proposal: int | None, change: Mapping[str, Any] | None) -> None:
        said = change_hash(change) if change is not None else None
        self.told.append((self._reached, number, act, proposal, said))

    def _propose(self, number: int, change: Mapping[str, Any], until_ms: int, now_ms: int) -> None:
        _ensure(now_ms < until_ms <= now_ms + PROPOSAL_MS_MAX)
        record, seat = self.record, self._seat(number)
        proposal = record.next_proposal
        made = self._after(change, proposal, 1, now_ms)
        self._tell(number, "proposed", proposal, change)
        if record.quorum <= 1:
            self.record = replace(made, next_proposal=proposal + 1)
            self._tell(number, "made", proposal, change)
            self.kinds.append(change["type"])
            return
        own = [one for _, one in record.open if one.seat == number and self._lives(one, now_ms)]
        _ensure(len(own) < SEAT_PROPOSALS_MAX and seat is not None)
        assert seat is not None
        approved = frozenset({(number, seat.generation)})
        opened = Open(number, change, until_ms, record.generation, approved)
        self.record = replace(record, next_proposal=proposal + 1, open=(*record.open, (proposal, opened)))

    def _lives(self, one: Open, now_ms: int) -> bool:
        return one.until_ms > now_ms and one.generation == self.record.generation

    def _found(self, proposal: int, now_ms: int) -> Open:
        one = dict(self.record.open).get(proposal)
        _ensure(one is not None and self._lives(one, now_ms))
        assert one is not None
        return one

    def _counted(self, one: Open) -> frozenset[tuple[int, int]]:
        return one.approved & {(seat.number, seat.generation) for seat in self.record.seats}

    def _with(self, record: Record, proposal: int, one: Open | None) -> Record:
        rest = tuple(entry for entry in record.open if entry[0] != proposal)
        return replace(record, open=rest if one is None else (*rest, (proposal, one)))

    def _approve(self, number: int, proposal: int, said: str, now_ms: int) -> None:
        one, seat = self._found(proposal, now_ms), self._seat(number)
        assert seat is not None
        own, counted = (number, seat.generation), self._counted(one)
        _ensure(change_hash(one.change) == said and own not in counted)
        approved = counted | {own}
        everybody = len(approved) >= len(self.record.seats)
        self._tell(number, "approved", proposal, one.change)
        if one.made and everybody:
            record = self._with(self.record, proposal, None)
            self.record = replace(record, waits=(0, 0)) if record.waits[0] == proposal else record
            return
        if one.made or len(approved) < self.record.quorum:
            self.record = self._with(self.record, proposal, replace(one, approved=approved))
            return
        made = self._after(one.change, proposal, len(approved), now_ms)
        waits = made.waits[0] == proposal
        self.record = self._with(made, proposal, replace(one, approved=approved, made=True) if waits else None)
        self._tell(number, "made", proposal, one.change)
        self.kinds.append(one.change["type"])

    def _withdraw(self, number: int, proposal: int, now_ms: int) -> None:
        one = self._found(proposal, now_ms)
        counted = self._counted(one)
        others = frozenset(given for given in counted if given[0] != number)
        _ensure(one.seat == number or others != counted)
        ends = one.seat == number or not others
        self.record = self._with(self.record, proposal, None if ends else replace(one, approved=others))
        self._tell(number, "withdrew", proposal, None)

    # ---- changes

    def _after(self, change: Mapping[str, Any], proposal: int, approvals: int, now_ms: int) -> Record:
        """Returns the record after a change."""
        record = self.record
        match change["type"]:
            case "pause":
                scope, until_ms = change.get("account"), change["until_ms"]
                _ensure(now_ms < until_ms <= now_ms + PAUSE_MS_MAX)
                _ensure(scope is None or _native.parse_address(scope)[:23] != bytes(23))
                return replace(record, pauses=(*self._other_pauses(scope, now_ms), (scope, until_ms)))
            case "resume":
                scope = change.get("account")
                _ensure(self.paused(scope, now_ms))
                return replace(record, pauses=self._other_pauses(scope, now_ms))
            case "end_epoch":
                _ensure(change["epoch"] == self._epoch and record.ended != self._epoch)
                return replace(record, ended=self._epoch)
            case "set_sponsor":
                shares = (change["work_ppm"], change["history_ppm"])
                _ensure(all(0 < share <= PPM_MAX for share in shares))
                return self._sponsor(change["account"], proposal)
            case "assign_sponsor":
                _ensure(change["sponsor"] in record.sponsors)
                return self._assigned(record, change["account"], change["sponsor"])
            case "upgrade":
                version = change["version"]
                _ensure(version == NEWEST_VERSION + 1 or (version == NEWEST_VERSION and record.upgrade))
                return replace(record, upgrade=version > NEWEST_VERSION)
            case "set_parameters" | "set_operators":
                return self._wanting(change, proposal, approvals, now_ms)
            case _:
                raise _FailedError

    def _other_pauses(self, scope: str | None, now_ms: int) -> tuple[tuple[str | None, int], ...]:
        return tuple(pause for pause in self.record.pauses if pause[0] != scope and pause[1] > now_ms)

    def _sponsor(self, account: str, proposal: int) -> Record:
        """V58: the account's own sponsor gets other shares, or is made."""
        record = self.record
        if (account, dict(record.sponsored).get(account, 0)) in record.made_for:
            return record
        number = FIRST_MADE_SPONSOR + proposal
        made_for, sponsors = record.made_for | {(account, number)}, record.sponsors | {number}
        return self._assigned(replace(record, sponsors=sponsors, made_for=made_for), account, number)

    @staticmethod
    def _assigned(record: Record, account: str, number: int) -> Record:
        rest = tuple(entry for entry in record.sponsored if entry[0] != account)
        return replace(record, sponsored=(*rest, (account, number)))

    def _wanting(self, change: Mapping[str, Any], proposal: int, approvals: int, now_ms: int) -> Record:
        record = self.record
        before = record.wanted
        if change["type"] == "set_parameters":
            wanted: Parameters = change["parameters"]
            _ensure(_governors(wanted) == _governors(before))
        else:
            wanted = {**before, "operators": change["operators"], "operator_quorum": change["quorum"]}
        _ensure(change["base"] == base_of(before))
        _ensure(wanted["expiry_ahead_ms_max"] >= EXPIRY_MS_MIN and _is_quorum(*_governors(wanted)))
        everybody, delay_ms = approvals >= len(record.seats), self.in_force["operators_delay_ms"]
        whole_ms, least_ms = now_ms + delay_ms, record.least_ms
        shorter = min(before["operators_delay_ms"], delay_ms)
        if not everybody and wanted["operators_delay_ms"] < shorter:
            least_ms = max(least_ms, whole_ms)
        waits = record.waits
        if _governors(wanted) != _governors(before):
            from_ms = max(whole_ms, least_ms)
            late = not everybody and from_ms > now_ms and _governors(wanted) != _governors(self.in_force)
            waits = (proposal, from_ms) if late else (0, 0)
        return replace(record, wanted=wanted, waits=waits, least_ms=least_ms)

    # ---- the check

    def judge(
        self,
        node: int,
        disk: _native.SimDisk,
        headers: Mapping[int, SeenHeader],
        leaves: Mapping[tuple[bytes, bytes], bytes],
    ) -> None:
        """Checks what a node was told of decisions, what its epochs began with, and whose accounts' sponsors are
        others. `leaves`: those of its newest state, by account and name."""
        tip = disk.tip()
        assert tip is not None, "the node has executed something"
        self.reach(tip[0] + 1, {**headers, tip[0] + 1: headers[tip[0]]})
        told, conflict = disk.decided()
        if conflict is not None:
            raise BreachError(f"node {node} was told two decisions of height {conflict}")
        if told != self.told:
            odd = next((pair for pair in zip(told, self.told, strict=False) if pair[0] != pair[1]), (told, self.told))
            raise BreachError(f"node {node} was told other decisions than its transactions come to: {odd}")
        for epoch, (change, _) in enumerate(self.epochs):
            if (said := disk.changed(epoch)) not in (change, "committee" if change == "none" else change):
                raise BreachError(f"node {node} says that the end of epoch {epoch} changed {said}, not {change}")
        for account, sponsor in self.record.sponsored:
            record = leaves[_native.parse_address(account), ACCOUNT]
            if (found := int.from_bytes(record[SPONSOR_AT : SPONSOR_AT + 4], "little")) != sponsor:
                raise BreachError(f"node {node} has sponsor {found} of {account}, not {sponsor}")


def _governors(parameters: Parameters) -> tuple[Sequence[str], int]:
    return parameters["operators"], parameters["operator_quorum"]


def _is_quorum(operators: Sequence[str], quorum: int) -> bool:
    """V45: more than half, and from three on not all."""
    seats = len(operators)
    return seats > 0 and len(set(operators)) == seats and seats < 2 * quorum <= 2 * max(seats - (seats > 2), 1)
