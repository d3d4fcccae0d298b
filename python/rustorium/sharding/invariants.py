"""The invariants I1 to I9 of docs/spec/shards.md, over the whole network.

Invariants: `broken` holds in each state, whatever happened. `unfinished` holds in each state in which an honest, calm
network has nothing more to do. Both read states and the witness, and change nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from rustorium.sharding.chains import Shard, State
from rustorium.sharding.network import Network, Step, World
from rustorium.sharding.terms import root_of
from rustorium.sharding.vocabulary import ROOT, Event, Kind, Note, Op, Transaction

_FAULTS = {
    Event.OVERTAKEN: "I4: transaction {0}'s value replaced one that its sender wrote later",
    Event.FROZEN: "I7: transaction {0} locked an account of somebody else",
    Event.MEDDLED: "I7: transaction {0} was decided by a shard that nobody asked",
    Event.HALF: "I5: transaction {0} was voted for, decided and can't be applied",
    Event.LOST: "I3: an entry was deleted that its peer never took",
    Event.STARVED: "S32: transaction {0} met a channel that one other sender had filled",
}
"""Events of the witness that must not be."""


@dataclass(frozen=True)
class Checked:
    """A network with its invariants: what the explorer takes."""

    network: Network
    watched: str | tuple[str, ...] = ""
    """How the faults begin that count: a shard that was set back behind its peers breaks other invariants rightly."""

    def start(self) -> World:
        """Returns the first state."""
        return self.network.start()

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all that may happen next."""
        return self.network.steps(world)

    def broken(self, world: World) -> str | None:
        """Returns the invariant that a state breaks; `None` if all hold."""
        return next((fault for fault in _broken(self.network, world) if fault.startswith(self.watched)), None)

    def unfinished(self, world: World) -> str | None:
        """Returns what is open in a state in which an honest, calm network does nothing more; `None` if all ended."""
        return next((fault for fault in _unfinished(self.network, world) if fault.startswith(self.watched)), None)


class _Told(NamedTuple):
    """What the shards' witnesses say, all together."""

    faults: tuple[str, ...]
    """Invariants that they break by themselves."""
    units: int
    """Units that were made since the start; those that are under way count as gone."""
    open: tuple[tuple[int, str], ...]
    """Transactions that aren't at their end, each with the fault if nothing holds it."""


def _broken(network: Network, world: World) -> Iterator[str]:
    logs = tuple(shard.log for shard in world.shards if shard is not None and shard.log)
    told = _read(tuple(network.plan), logs)
    yield from told.faults
    yield from _coverage(world)
    for number, fault in told.open:
        if not any(_holds(world, shard, number) for shard in world.shards if shard is not None):
            yield fault
    yield from _sum(network, world, told.units)
    if not network.disturbed:
        for shard in world.shards:
            for channel in () if shard is None else shard.channels:
                if channel.broken:
                    yield f"I3: shard {shard.id if shard else 0}'s channel with shard {channel.peer} is broken"


@lru_cache(maxsize=1 << 12)
def _read(plan: tuple[Transaction, ...], logs: tuple[tuple[Note, ...], ...]) -> _Told:
    """Reads all witnesses at once. Many states have the same ones, so what was read is kept."""
    found = Counter(note for log in logs for note in log)
    faults = [_FAULTS[note.event].format(note.tx) for note in found if note.event in _FAULTS]
    for number, tx in enumerate(plan):
        faults.extend(_ends(found, number, tx))
    for note, times in found.items():
        if note.event == Event.ANSWERED and times > 1:
            faults.append(f"I6: change {note.tx} has {times} answers")
    known = [(note, times) for note, times in found.items() if 0 <= note.tx < len(plan)]
    units = sum(_units(plan[note.tx], note) * times for note, times in known)
    left = ((number, _open(found, number, tx)) for number, tx in enumerate(plan))
    return _Told(tuple(faults), units, tuple((number, fault) for number, fault in left if fault is not None))


def _coverage(world: World) -> Iterator[str]:
    shards = [shard for shard in world.shards if shard is not None]
    for account in range(len(shards[0].leaves)):
        holders = [shard.id for shard in shards if counts(world, shard) and shard.leaves[account] is not None]
        if len(holders) != 1:
            yield f"I1: account {account} is in shards {holders}"
        charters = [shard.id for shard in shards if shard.has(account)]
        if len(charters) > 1 or (not charters and world.shard(holders[0]).state != State.CLOSED):
            yield f"I1: account {account} is in the charters of shards {charters}"


def counts(world: World, shard: Shard) -> bool:
    """Checks that a shard's leaves are the network's: those of a closed one until its heir has absorbed them (S58)."""
    return not any(other is not None and shard.id in other.absorbed for other in world.shards)


def _ends(found: Counter[Note], number: int, tx: Transaction) -> Iterator[str]:
    """I4, I5 and I9: at most one start, one effect per group, one end; all groups or none."""
    if found[Note(Event.STARTED, number)] + found[Note(Event.FAILED, number)] > 1:
        yield f"I4: transaction {number} started more than once"
    effects = {i: found[Note(Event.EFFECT, number, i)] for i in range(len(tx.groups))}
    returns = {i: found[Note(Event.RETURNED, number, i)] for i in range(len(tx.groups))}
    if any(effects.values()) and found[Note(Event.FAILED, number)]:
        yield f"I9: transaction {number} was refused and has an effect"
    if max(effects.values()) > 1:
        yield f"I4: a group of transaction {number} was executed {max(effects.values())} times"
    if max(returns.values()) > 1:
        yield f"I4: value of transaction {number} came back {max(returns.values())} times"
    if any(effects.values()) and any(returns.values()):
        yield f"I4: transaction {number} was executed and came back"
    if any(effects.values()) and not found[Note(Event.STARTED, number)]:
        yield f"I7: transaction {number} was executed, and no shard of its sender started it"
    if found[Note(Event.COMMITTED, number)] and found[Note(Event.ABORTED, number)]:
        yield f"I5: transaction {number} is committed at one shard and aborted at another"


def _open(found: Counter[Note], number: int, tx: Transaction) -> str | None:
    """I2 and I9: value under way is held by an entry or an intent; what nothing holds any more was done as a whole."""
    if not found[Note(Event.STARTED, number)]:
        return None
    done = sum(found[Note(Event.EFFECT, number, i)] for i in range(len(tx.groups)))
    back = sum(found[Note(Event.RETURNED, number, i)] for i in range(len(tx.groups)))
    if (done and (back or done >= len(tx.groups))) or (not done and back >= tx.value):
        return None  # it ended; I4 refuses both at once
    if done + back < tx.value:
        return f"I2: transaction {number} was paid for, and neither a balance nor an entry has its value"
    return f"I9: transaction {number} is settled, and only a part of it was done"


def _units(tx: Transaction, note: Note) -> int:
    """Returns the units that a line of the witness adds to all balances."""
    if note.event == Event.STARTED:
        return -tx.value
    op = tx.groups[note.group].op if note.event in (Event.EFFECT, Event.RETURNED) else None
    return int(op == Op.CREDIT or (op == Op.ISSUE and note.event == Event.EFFECT))


def _holds(world: World, shard: Shard, number: int) -> bool:
    if any(intent.tx == number for intent in shard.intents):
        return True
    for channel in shard.channels:
        for waiting in channel.out:
            if waiting.entry.tx == number and waiting.entry.kind in (Kind.DO, Kind.PREPARE):
                return True
            if waiting.entry.tx == number and waiting.entry.kind == Kind.REFUND:
                peer = world.shards[channel.peer]
                theirs = None if peer is None else peer.channel(shard.id)
                if theirs is None or theirs.in_next <= waiting.number:
                    return True
    return False


def _sum(network: Network, world: World, units: int) -> Iterator[str]:
    """I2: no unit is made except by an issue."""
    shards = [shard for shard in world.shards if shard is not None and counts(world, shard)]
    leaves = [leaf for shard in shards for leaf in shard.leaves if leaf is not None]
    there = sum(leaf.balance + leaf.kept for leaf in leaves)
    expected = network.balance * len(world.shard(ROOT).leaves) + units
    if there != expected:
        yield f"I2: {there} units are there, and {expected} should be"


# ---- when nothing more happens ---------------------------------------------------------------------------------------


def _unfinished(network: Network, world: World) -> Iterator[str]:
    root = root_of(world.shard(ROOT))
    gone = {shard.id for shard in world.shards if shard is not None and (shard.halted or shard.state == State.CLOSED)}
    halted = {shard.id for shard in world.shards if shard is not None and shard.halted}
    yield from _orders(network, world, halted)
    for shard in world.alive():
        if shard.state != State.OPEN or shard.wish is not None:
            yield f"I8: shard {shard.id} never comes to the end that it was ordered to"
        if shard.writes is not None:
            yield f"I8: shard {shard.id} never writes its term"
        if shard.intents and not gone & {shard.intents[0].coordinator, *shard.intents[0].finishing}:
            yield f"I8: transaction {shard.intents[0].tx} is never decided everywhere"
        if shard.keys != root.keys and shard.id != ROOT:
            yield f"I8: shard {shard.id} keeps a key that was replaced"
        if shard.owners != world.shard(ROOT).owners:
            yield f"I8: shard {shard.id} never gets the newest map"
        yield from _open_channels(world, shard, halted)
    if not halted:
        for account, owner in enumerate(world.shard(ROOT).owners):
            if not world.shard(owner).has(account):
                yield f"I8: the map says that account {account} is in shard {owner}"


def _orders(network: Network, world: World, halted: set[int]) -> Iterator[str]:
    for place, happening in enumerate(network.happenings):
        if happening.wanted and not world.used >> place & 1 and happening.happen(network, world) is None:
            yield f"I8: {happening.label}: this can never happen"
    for order in root_of(world.shard(ROOT)).orders:
        if not {order.shard, order.other} & halted:
            yield f"I8: change {order.number}, for shard {order.shard}, is never answered"


def _open_channels(world: World, shard: Shard, halted: set[int]) -> Iterator[str]:
    for channel in shard.channels:
        peer = world.shards[channel.peer]
        theirs = None if peer is None else peer.channel(shard.id)
        if peer is None or channel.peer in halted or channel.broken or (theirs is not None and theirs.broken):
            continue
        if peer.state == State.CLOSED:
            yield f"I8: shard {shard.id} keeps its channel with shard {peer.id}, which ended"
        for waiting in channel.out:
            if waiting.entry.kind <= Kind.MAP:
                yield f"I8: shard {shard.id}'s {waiting.entry.kind.name} to shard {peer.id} is never answered"
            elif theirs is None or theirs.in_next <= waiting.number:
                yield f"I8: shard {shard.id}'s {waiting.entry.kind.name} is never taken by shard {peer.id}"
