"""The invariants I1 to I9 of docs/spec/shards.md, over the whole network.

Invariants: `broken` holds in each state, whatever happened. `unfinished` holds in each state in which an honest, calm
network has nothing more to do. Both read states and the witness, and change nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from rustorium.sharding.chains import Shard, State
from rustorium.sharding.network import Network, Step, World
from rustorium.sharding.terms import root_of
from rustorium.sharding.vocabulary import ROOT, Event, Kind, Note, Op

_FAULTS = {
    Event.OVERTAKEN: "I4: transaction {0}'s value replaced one that its sender wrote later",
    Event.FORGED: "I7: transaction {0} acted for an account that the asking shard doesn't have",
    Event.FROZEN: "I7: transaction {0} locked an account of somebody else",
    Event.HALF: "I5: transaction {0} was voted for, decided and can't be applied",
    Event.LOST: "I3: an entry was deleted that its peer never took",
    Event.STARVED: "S32: transaction {0} met a channel that one other sender had filled",
}
"""Events of the witness that must not be."""


@dataclass(frozen=True)
class Checked:
    """A network with its invariants: what the explorer takes."""

    network: Network
    watched: str = ""
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


def notes(world: World) -> Counter[Note]:
    """Counts the lines of all shards' witnesses."""
    return Counter(note for shard in world.shards if shard is not None for note in shard.log)


def _broken(network: Network, world: World) -> Iterator[str]:
    found = notes(world)
    for note in found:
        if note.event in _FAULTS:
            yield _FAULTS[note.event].format(note.tx)
    yield from _coverage(world)
    for number, tx in enumerate(network.plan):
        yield from _ends(network, found, number)
        yield from _value(world, found, number, tx.value)
    yield from _sum(network, world, found)
    if not network.disturbed:
        for shard in world.shards:
            for channel in () if shard is None else shard.channels:
                if channel.broken:
                    yield f"I3: shard {shard.id if shard else 0}'s channel with shard {channel.peer} is broken"
    answers = Counter(root_of(world.shard(ROOT)).answers)
    for change, times in answers.items():
        if times > 1:
            yield f"I6: change {change} has {times} answers"


def _coverage(world: World) -> Iterator[str]:
    shards = [shard for shard in world.shards if shard is not None]
    for account in range(len(shards[0].leaves)):
        holders = [shard.id for shard in shards if shard.leaves[account] is not None]
        if len(holders) != 1:
            yield f"I1: account {account} is in shards {holders}"
        charters = [shard.id for shard in shards if shard.has(account)]
        if len(charters) > 1 or (not charters and world.shard(holders[0]).state != State.CLOSED):
            yield f"I1: account {account} is in the charters of shards {charters}"


def _ends(network: Network, found: Counter[Note], number: int) -> Iterator[str]:
    """I4, I5 and I9: at most one start, one effect per group, one end; all groups or none."""
    tx = network.plan[number]
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


def _value(world: World, found: Counter[Note], number: int, value: int) -> Iterator[str]:
    """I2: value under way is held by an entry or an intent."""
    if not found[Note(Event.STARTED, number)] or value == 0:
        return
    done = sum(times for note, times in found.items() if note.tx == number and note.event == Event.RETURNED)
    done += sum(times for note, times in found.items() if note.tx == number and note.event == Event.EFFECT)
    if done < value and not any(_holds(world, shard, number) for shard in world.shards if shard is not None):
        yield f"I2: transaction {number} was paid for, and neither a balance nor an entry has its value"


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


def _sum(network: Network, world: World, found: Counter[Note]) -> Iterator[str]:
    """I2: no unit is made except by an issue."""
    leaves = [leaf for shard in world.shards if shard is not None for leaf in shard.leaves if leaf is not None]
    there = sum(leaf.balance + leaf.kept for leaf in leaves)
    expected = network.balance * len(world.shard(ROOT).leaves)
    for note, times in found.items():
        if note.tx < 0 or note.tx >= len(network.plan):
            continue
        tx = network.plan[note.tx]
        op = tx.groups[note.group].op if note.event in (Event.EFFECT, Event.RETURNED) else None
        if note.event == Event.STARTED:
            expected -= tx.value * times
        elif op in (Op.CREDIT, Op.ISSUE):
            expected += times if note.event == Event.EFFECT or op == Op.CREDIT else 0
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
