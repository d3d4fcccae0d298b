"""The network of terms and orders: shards that split and end, their possible next steps, and events.

Invariants: a step is one block of one shard, or one event of the world. Steps that an honest, calm network makes by
itself are *fair*; events aren't, and happen at most once each. All interleavings of steps are possible. A head is
always that of its shard's newest executed height, or an old one that somebody kept. So duplicated, late and reordered
deliveries are covered. No payment is under way here: `crossings` has those.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rustorium.sharding import channels, terms
from rustorium.sharding.chains import Block, Change, Root, Shard, State, Wish
from rustorium.sharding.channels import Channel, Delivery, Head
from rustorium.sharding.vocabulary import NOBODY, ROOT, Entry, Kind


class World(NamedTuple):
    """The state of the whole network at one moment."""

    shards: tuple[Shard | None, ...]
    """The shards by id; `None` for a shard that isn't born."""
    used: int = 0
    """Bit set of the events that happened."""
    remembered: tuple[tuple[int, Head], ...] = ()
    """An old head, and the shard to which it is shown."""
    copies: tuple[Shard, ...] = ()
    """Backups of shards, to which a restore may go back."""

    def shard(self, number: int) -> Shard:
        """Returns a shard that exists."""
        shard = self.shards[number]
        assert shard is not None, "the caller knows that it was born"
        return shard

    def with_shard(self, shard: Shard) -> "World":
        """Returns the world with this shard."""
        return self._replace(shards=(*self.shards[: shard.id], shard, *self.shards[shard.id + 1 :]))

    def alive(self) -> list[Shard]:
        """Returns the shards that make blocks."""
        return [
            shard for shard in self.shards if shard is not None and not shard.halted and shard.state != State.CLOSED
        ]


class Step(NamedTuple):
    """A possible step."""

    label: str
    world: World
    fair: bool


@dataclass(frozen=True)
class Happening:
    """An event of the world, which happens at most once."""

    label: str
    happen: Callable[["Network", World], World | None]
    """Returns the world after the event; `None` while it can't happen."""
    fair: bool = False
    """`True` if policy or a clock makes the event happen for certain once it can."""
    wanted: bool = False
    """`True` if the event must become possible in the end."""


@dataclass(frozen=True)
class Network:
    """A scenario: shards at the start, and events."""

    ranges: Sequence[tuple[int, int]]
    """The range of accounts of each shard at the start. Ids without a range are born later, or never."""
    happenings: Sequence[Happening] = ()
    dead: frozenset[int] = field(default_factory=frozenset)
    """Shards that may halt and never come back."""
    asleep: frozenset[int] = field(default_factory=frozenset)
    """Shards that are halted at the start."""
    changes_max: int = 4
    """Changes of ranges that may be open at once (S6)."""
    disturbed: bool = False
    """`True` if owners restore shards or a committee lies, so that channels may break."""

    def start(self) -> World:
        """Returns the first world."""
        return World(
            tuple(_first(self, shard) if low < high else None for shard, (low, high) in enumerate(self.ranges))
        )

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all possible next steps."""
        for shard in world.alive():
            yield from self._peers(world, shard)
            yield from self._own_blocks(world, shard)
        for place, happening in enumerate(self.happenings):
            if not world.used >> place & 1:
                after = happening.happen(self, world)
                if after is not None:
                    yield Step(happening.label, after._replace(used=after.used | 1 << place), happening.fair)
        for halted in world.shards:
            if halted is not None and halted.halted and halted.id not in self.dead:
                yield Step(f"shard {halted.id} goes on", world.with_shard(halted._replace(halted=False)), True)

    # ---- between shards ----------------------------------------------------------------------------------------------

    def _peers(self, world: World, shard: Shard) -> Iterator[Step]:
        for channel in shard.channels:
            source = world.shards[channel.peer]
            if source is None:
                continue
            theirs = source.channel(shard.id)
            if theirs is not None:
                head = channels.head_of(source.id, source.epoch, 0, theirs)
                yield from self._deliveries(world, shard, head, "takes from", True)
            if shard.state <= State.CLOSING:
                yield from self._terms(world, shard, channel, source)
        for destination, head in world.remembered:
            if destination == shard.id:
                yield from self._deliveries(world, shard, head, "is shown an old head of", False)

    def _deliveries(self, world: World, shard: Shard, head: Head, verb: str, fair: bool) -> Iterator[Step]:
        """Lists the head with its next chunk, or alone (T18)."""
        channel = shard.channel(head.own)
        following = [] if channel is None else [chunk for chunk in head.chunks if chunk.number >= channel.in_next]
        if channel is None or not (following or channels.may_come_alone(channel, head)):
            return
        after = self.deliver(world, shard, Delivery(head, tuple(following[:1]), tuple(following[1:])))
        if after is not None and after != world:
            yield Step(f"shard {shard.id} {verb} shard {head.own}", after, fair)

    def deliver(self, world: World, shard: Shard, delivery: Delivery) -> World | None:
        """Executes a delivery (T9): its chunks, then what the head acknowledges. `None` if it is skipped."""
        head = delivery.head
        channel = shard.channel(head.own)
        if channel is None or channel.broken or not terms.takes_chunks(shard):
            return None
        if not channels.is_stamped_by_peer(channel, head):
            return None
        block = self.block(shard)
        if channels.breaks(channel, delivery):
            block.shard = block.shard.with_channel(channel._replace(broken=True))
            return self.after(world, block)
        if delivery.chunks and not channels.leads(channel, delivery):
            return None
        for chunk in delivery.chunks:
            block.shard = block.shard.with_channel(channels.take(block.channel(head.own), chunk))
            for entry in chunk.entries:
                assert isinstance(entry, Entry), "this network has no other entries"
                execute(block, head.own, entry)
        block.shard = block.shard.with_channel(channels.acknowledge(block.channel(head.own), head.in_next))
        return self.after(world, block)

    def _terms(self, world: World, shard: Shard, channel: Channel, source: Shard) -> Iterator[Step]:
        """Yields steps with a peer's next term, its end, and the channel's end (T16, S37, S57)."""
        known = channel.term.epoch
        if 0 <= known < source.epoch:
            block = self.block(shard)
            term = channel.term._replace(epoch=known + 1)
            block.shard = block.shard.with_channel(block.channel(source.id)._replace(term=term))
            if shard.id == ROOT:
                terms.hear_term(block, source, known + 1)
            yield Step(f"shard {shard.id} takes a term of shard {source.id}", self.after(world, block), True)
        if source.state != State.CLOSED or known != source.epoch or source.wish is None:
            return
        absorbed = source.id in shard.absorbed
        if source.wish.other == shard.id and shard.wish is None and not absorbed:
            block = self.block(shard)
            block.shard = block.shard._replace(wish=Wish(Change.ABSORB, source.wish.number, source.id))
            yield Step(f"shard {shard.id} learns that shard {source.id} ended", self.after(world, block), True)
        if absorbed if source.wish.other == shard.id else source.id not in shard.owners:
            block = self.block(shard)
            block.shard = block.shard.without_channel(source.id)
            after = self.after(world, block)
            yield Step(f"shard {shard.id} ends its channel with shard {source.id}, which ended", after, True)

    # ---- one shard ---------------------------------------------------------------------------------------------------

    def _own_blocks(self, world: World, shard: Shard) -> Iterator[Step]:
        if shard.state == State.FROZEN:
            if terms.frozen_end_is_due(shard):
                ended = shard._replace(state=State.CLOSED, epoch=shard.epoch + 1)
                yield Step(f"shard {shard.id} ends", world.with_shard(ended), True)
            return
        if terms.clock_is_due(shard):
            yield Step(f"shard {shard.id} writes its term", self.after(world, self.block(shard)), True)
        if terms.may_claim(shard):
            yield Step(f"shard {shard.id} claims", world.with_shard(shard._replace(due=shard.wish)), True)
        for due in terms.wishes(shard)[:1]:
            yield Step(f"shard {shard.id} ends its epoch", self._boundary(world, shard, due), True)

    def _boundary(self, world: World, shard: Shard, due: Change | None) -> World:
        if due is None:
            return world.with_shard(terms.rotate(shard))
        if due == Change.CLOSE:
            frozen = shard._replace(state=State.FROZEN, epoch=shard.epoch + 1, wish=shard.due, new_keys=None)
            return world.with_shard(frozen)
        if due == Change.BIRTH:
            parent, child = terms.give_birth(shard)
            return world.with_shard(parent).with_shard(child)
        assert shard.due is not None, "an absorption is due"
        return world.with_shard(terms.absorb(shard, world.shard(shard.due.other)))

    def block(self, shard: Shard) -> Block:
        """Begins a payload block: the term's writes go first (S47)."""
        block = Block(shard)
        terms.write_term(block)
        return block

    def after(self, world: World, block: Block) -> World:
        """Ends a payload block."""
        if block.shard.id == ROOT:
            terms.tell_map(block)
        terms.seal(block)
        return world.with_shard(block.shard)


def execute(block: Block, peer: int, entry: Entry) -> None:
    """Executes one entry. Only root's channel orders, and only its own channel answers for a shard (S36)."""
    match entry.kind:
        case Kind.ORDER if peer == ROOT:
            terms.take_order(block, entry)
        case Kind.MAP if peer == ROOT:
            terms.take_map(block, entry)
        case Kind.ANSWER if block.shard.id == ROOT:
            terms.take_answer(block, peer, entry)


def _first(network: Network, number: int) -> Shard:
    accounts = range(max(high for _, high in network.ranges))
    ids = range(len(network.ranges))
    low, high = network.ranges[number]
    owner = {account: shard for shard in ids for account in range(*network.ranges[shard])}
    born = [shard for shard in ids if network.ranges[shard][0] < network.ranges[shard][1]]
    known = tuple(0 if shard in born else NOBODY for shard in ids)
    root = Root(0, known, told=known, changes_max=network.changes_max)
    return Shard(
        id=number,
        low=low,
        high=high,
        accounts=frozenset(range(low, high)),
        owners=tuple(owner[account] for account in accounts),
        channels=tuple(Channel(peer) for peer in born if peer != number),
        halted=number in network.asleep,
        root=root if number == ROOT else None,
    )
