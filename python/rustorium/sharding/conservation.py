"""The invariants of transfers: I2 to I4, I7 and I8 of docs/spec/shards.md, over the whole network.

Invariants: `broken` holds in each state, whatever happened. `unfinished` holds in each state in which an honest, calm
network has nothing more to do. Both read states and the witness, and change nothing.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

from rustorium.sharding.channels import Channel
from rustorium.sharding.crossings import Crossing, Step, World
from rustorium.sharding.ledgers import RECORD, Act, Answer, Credit, Event, Note, Result, Shard, Transaction, keys_of


@dataclass(frozen=True)
class Conserved:
    """A network of transfers with its invariants: what the explorer takes."""

    network: Crossing
    watched: str | tuple[str, ...] = ""
    """Beginnings of the faults that count. A captured shard may break other invariants."""

    def start(self) -> World:
        """Returns the first state."""
        return self.network.start()

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all possible next steps."""
        return self.network.steps(world)

    def broken(self, world: World) -> str | None:
        """Returns the invariant that a state breaks; `None` if all hold."""
        return next((fault for fault in _broken(self.network, world) if fault.startswith(self.watched)), None)

    def unfinished(self, world: World) -> str | None:
        """Returns what is still open where an honest, calm network does nothing more; `None` if everything ended."""
        return next((fault for fault in _unfinished(world) if fault.startswith(self.watched)), None)


def _broken(network: Crossing, world: World) -> Iterator[str]:
    logs = tuple(shard.log for shard in world.shards if shard.log)
    faults, value = _read(tuple(network.plan), logs)
    yield from faults
    yield from _sums(network, world, value)
    for shard in world.shards:
        for account, found in enumerate(shard.accounts):
            if found is not None and found.keys != keys_of(account):
                yield f"I7: account {account} was opened with other keys"
        for channel in shard.channels:
            yield from _order(network, world, shard, channel)


def _order(network: Crossing, world: World, shard: Shard, channel: Channel) -> Iterator[str]:
    """I3: each chunk is taken once, in order; each chunk that wasn't taken is a leaf of its source."""
    waiting = sum(isinstance(entry, Credit) for chunk in channel.chunks if chunk.open for entry in chunk.entries)
    if waiting > network.limits.open_max:
        yield f"T8: {waiting} credits wait in the channel of shard {shard.id} to shard {channel.peer}"
    if network.disturbed:
        return
    theirs = world.shards[channel.peer].channel(shard.id)
    if channel.broken:
        yield f"I3: shard {shard.id}'s channel with shard {channel.peer} is broken"
    if not has_sent(channel, theirs):
        yield f"I3: shard {channel.peer} took other chunks than shard {shard.id} sent"


def has_sent(channel: Channel, theirs: Channel) -> bool:
    """Checks that what the peer has taken is what this side sent."""
    tips = {channel.acked: channel.acked_tip, **{chunk.number + 1: chunk.tip for chunk in channel.chunks}}
    return tips.get(theirs.in_next) == theirs.in_tip


@lru_cache(maxsize=1 << 12)
def _read(plan: tuple[Transaction, ...], logs: tuple[tuple[Note, ...], ...]) -> tuple[tuple[str, ...], int]:
    """Reads all witnesses at once: faults, and how many units issues made and returns burnt."""
    found = Counter(note for log in logs for note in log)
    faults: list[str] = []
    value = 0
    for note, times in found.items():
        if note.event in (Event.DELIVERED, Event.DONE) and note.tx < len(plan):
            value += times * (plan[note.tx].operations[note.place].act == Act.ISSUE)
        value -= times * (note.event == Event.BURNT)
    for number, tx in enumerate(plan):
        for index in range(len(tx.operations)):
            faults.extend(_ends({event: found[Note(event, number, index)] for event in Event}, number, index))
    return tuple(faults), value


def _ends(found: dict[Event, int], number: int, index: int) -> Iterator[str]:
    """I4 and I7: a credit is executed at most once, ends once, and both shards say the same of it."""
    credit = f"credit {index} of transaction {number}"
    if found[Event.DELIVERED] > 1:
        yield f"I4: {credit} was delivered {found[Event.DELIVERED]} times"
    if found[Event.RETURNED] > 1:
        yield f"I4: {credit} came back {found[Event.RETURNED]} times"
    if found[Event.DELIVERED] and found[Event.RETURNED]:
        yield f"I4: {credit} was delivered and came back"
    if found[Event.ARRIVED] and found[Event.RETURNED]:
        yield f"I4: {credit} ended twice at its source"
    if found[Event.ARRIVED] and not found[Event.DELIVERED]:
        yield f"I4: {credit} counts as delivered and wasn't"
    if (found[Event.DELIVERED] or found[Event.REFUSED]) and not found[Event.SENT]:
        yield f"I7: {credit} was executed, and nobody sent it"


def _sums(network: Crossing, world: World, made: int) -> Iterator[str]:
    """I2: value and storage are in accounts or under way; only issues make value."""
    accounts = [account for shard in world.shards for account in shard.accounts if account is not None]
    value = sum(max(account.balance, 0) for account in accounts)
    storage = sum(account.storage + RECORD + (account.balance >= 0) for account in accounts)
    for shard in world.shards:
        for channel in shard.channels:
            under_way = _under_way(channel, world.shards[channel.peer].channel(shard.id))
            value += under_way[0]
            storage += under_way[1]
    start = [account for shard in network.start().shards for account in shard.accounts if account is not None]
    wanted = sum(max(account.balance, 0) for account in start) + made
    if value != wanted:
        yield f"I2: {value} units are there, and {wanted} should be"
    room = sum(account.storage + RECORD + (account.balance >= 0) for account in start)
    if storage != room:
        yield f"I2: storage of {storage} is there, and {room} should be"


def _under_way(channel: Channel, theirs: Channel) -> tuple[int, int]:
    """Returns value and storage in open chunks: of credits that aren't taken, and of returns."""
    answers: dict[int, dict[int, Result]] = {}
    for chunk in theirs.chunks:
        for entry in chunk.entries:
            if isinstance(entry, Answer) and chunk.number >= channel.in_next:
                answers[entry.chunk] = dict(entry.results)
    value = storage = 0
    for chunk in channel.chunks:
        for place, entry in enumerate(chunk.entries):
            if isinstance(entry, Credit) and chunk.open:
                result = answers.get(chunk.number, {}).get(place) if chunk.number < theirs.in_next else Result.REFUSED
                value += int(result == Result.REFUSED and entry.act == Act.PAY)
                storage += entry.storage * (result != Result.STORAGE_USED)
    return value, storage


# ---- when nothing more happens ---------------------------------------------------------------------------------------


def _unfinished(world: World) -> Iterator[str]:
    for shard in world.shards:
        if shard.lost:
            yield f"I8: shard {shard.id} is never recovered"
        for channel in shard.channels:
            peer = world.shards[channel.peer]
            if shard.halted or peer.halted or shard.lost or peer.lost:
                continue
            if channel.broken != peer.channel(shard.id).broken:
                yield f"I3: the channel of shards {shard.id} and {peer.id} is broken on one side alone"
            if not channel.broken and not has_sent(channel, peer.channel(shard.id)):
                yield f"I3: shards {shard.id} and {peer.id} contradict each other, and nobody sees it"
            for chunk in () if channel.broken else channel.chunks:
                yield f"I8: chunk {chunk.number} of shard {shard.id} for shard {peer.id} stays"
