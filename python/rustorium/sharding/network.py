"""The network of the model: all shards, what may happen next, and what may happen to them.

Invariants: a step is one block of one shard, or one event of the world. Steps that an honest, calm network makes by
itself are *fair*; events aren't, and happen at most once each. All interleavings of steps are possible. A head is
always that of its shard's newest executed height, or one of the past that somebody remembered: so duplicated, late
and reordered deliveries are covered.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rustorium.sharding import atomic, channels, groups, terms
from rustorium.sharding.chains import Block, Change, Leaf, Root, Shard, State, Wish
from rustorium.sharding.channels import Channel, Head
from rustorium.sharding.vocabulary import NOBODY, ROOT, Entry, Event, Kind, Transaction


class World(NamedTuple):
    """Everything that is, at one cut of the network's history."""

    shards: tuple[Shard | None, ...]
    """By id; `None` for one that isn't born."""
    used: int = 0
    """Bits of the events that happened."""
    remembered: tuple[tuple[int, Head], ...] = ()
    """A head of the past, and the shard that it is shown to."""
    copies: tuple[Shard, ...] = ()
    """Kept states of shards, which a restore may go back to."""
    leaked: tuple[tuple[int, int], ...] = ()
    """Shards and epochs of which anybody has the keys, since their time is long over."""
    past: frozenset[int] = frozenset()
    """Parents whose last birth is long ago (S70)."""
    taken: frozenset[tuple[int, int, int, int]] = frozenset()
    """Source, destination, number and tip of each chunk that was taken, in a disturbed network."""

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
    """One thing that may happen."""

    label: str
    world: World
    fair: bool


@dataclass(frozen=True)
class Happening:
    """An event of the world, which happens at most once."""

    label: str
    happen: Callable[["Network", World], World | None]
    """Returns the world after it; `None` while it can't happen."""
    fair: bool = False
    """Happens for certain once it can: policy, or a clock."""
    wanted: bool = False
    """Must be possible at last."""


@dataclass(frozen=True)
class Network:
    """A scenario: shards at the start, clients' transactions, and events."""

    ranges: Sequence[tuple[int, int]]
    """The range of accounts of each shard at the start. Ids without a range are born later, or never."""
    plan: Sequence[Transaction] = ()
    happenings: Sequence[Happening] = ()
    balance: int = 1
    """Of each account at the start."""
    dead: frozenset[int] = field(default_factory=frozenset)
    """Shards that may halt and never come back."""
    asleep: frozenset[int] = field(default_factory=frozenset)
    """Shards that are halted at the start."""
    changes_max: int = 4
    """Changes of ranges that may be open at once (S6)."""
    counts_heights: bool = False
    """Count blocks, for the one flaw that compares heights."""
    disturbed: bool = False
    """Owners restore shards, or a committee lies: channels may break, and what was taken is watched."""

    def start(self) -> World:
        """Returns the world before anything happened."""
        return World(
            tuple(_first(self, shard) if low < high else None for shard, (low, high) in enumerate(self.ranges))
        )

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all that may happen next."""
        for shard in world.alive():
            yield from self._deliveries(world, shard)
            yield from self._own_blocks(world, shard)
        for number, tx in enumerate(self.plan):
            yield from self._submissions(world, number, tx)
        for place, happening in enumerate(self.happenings):
            if not world.used >> place & 1:
                after = happening.happen(self, world)
                if after is not None:
                    yield Step(happening.label, after._replace(used=after.used | 1 << place), happening.fair)
        for halted in world.shards:
            if halted is not None and halted.halted and halted.id not in self.dead:
                yield Step(f"shard {halted.id} goes on", world.with_shard(halted._replace(halted=False)), True)

    # ---- clients -----------------------------------------------------------------------------------------------------

    def _submissions(self, world: World, number: int, tx: Transaction) -> Iterator[Step]:
        for shard in world.alive():
            leaf = shard.leaves[tx.sender]
            if shard.state <= State.CLOSING and leaf is not None and leaf.nonce == tx.nonce and shard.has(tx.sender):
                block = self.block(shard)
                groups.submit(block, number)
                yield Step(f"shard {shard.id} executes transaction {number}", self.after(world, block), False)

    # ---- between shards ----------------------------------------------------------------------------------------------

    def _deliveries(self, world: World, shard: Shard) -> Iterator[Step]:
        for channel in shard.channels:
            source = world.shards[channel.peer]
            if source is None:
                continue
            theirs = source.channel(shard.id)
            if theirs is not None:
                head = channels.head_of(source.id, source.epoch, theirs, source.height)
                yield from self._delivery(world, shard, head, "takes from", True)
            if shard.state <= State.CLOSING:
                yield from self._terms(world, shard, channel, source)
        for destination, head in world.remembered:
            if destination == shard.id:
                yield from self._delivery(world, shard, head, "is shown an old head of", False)

    def _delivery(self, world: World, shard: Shard, head: Head, verb: str, fair: bool) -> Iterator[Step]:
        after = self.deliver(world, shard, head)
        if after is not None and after != world:
            yield Step(f"shard {shard.id} {verb} shard {head.shard}", after, fair)

    def deliver(self, world: World, shard: Shard, head: Head) -> World | None:
        """Executes a delivery (S27): what the head acknowledges, then the next chunk. `None` if it is skipped."""
        channel = shard.channel(head.shard)
        expired = (head.shard, head.epoch) in world.leaked
        if channel is None or channel.broken or not terms.takes_chunks(shard):
            return None
        if not channels.believes(channel, head, expired) or not channels.is_news(channel, head):
            return None
        entry = channels.next_chunk(channel, head)
        peer = world.shards[head.shard]
        closes = peer is not None and peer.state != State.OPEN
        if entry is None and not terms.head_alone_is_due(shard, channel, closes):
            return None
        block, number = self.block(shard), channel.in_next
        block.past = world.past
        channel = self._acknowledged(world, block, head)
        if not channels.leads(channel, head):
            channel = channel._replace(broken=True)
        block.shard = block.shard.with_channel(channel)
        if entry is not None and not channel.broken and decodes(shard, entry):
            channel = channels.take(channel, entry)
            block.shard = block.shard.with_channel(channel)
            execute(block, head.shard, number, entry)
            if self.disturbed:
                world = world._replace(taken=world.taken | {(head.shard, shard.id, number, channel.in_tip)})
        elif entry is not None and not channel.broken:
            block.shard = block.shard.with_channel(undecoded(channel, entry))
        return self.after(world, block)

    def _acknowledged(self, world: World, block: Block, head: Head) -> Channel:
        before = block.channel(head.shard)
        channel = channels.acknowledge(before, head)
        if self.disturbed:
            for gone in set(before.out) - set(channel.out):
                if (block.shard.id, head.shard, gone.number, gone.tip) not in world.taken:
                    block.note(Event.LOST, gone.entry.tx, gone.entry.kind)
        return channel

    def _terms(self, world: World, shard: Shard, channel: Channel, source: Shard) -> Iterator[Step]:
        """A peer's next term, its end, and the channel's end (S29, S37, S57)."""
        stale = (source.id, channel.epoch) in world.leaked
        if 0 <= channel.epoch < source.epoch and not stale:
            block = self.block(shard)
            known = block.channel(source.id)
            block.shard = block.shard.with_channel(known._replace(epoch=known.epoch + 1, version=source.version))
            if shard.id == ROOT:
                terms.hear_term(block, source, known.epoch + 1)
            yield Step(f"shard {shard.id} takes a term of shard {source.id}", self.after(world, block), True)
        if source.state != State.CLOSED or channel.epoch != source.epoch or source.wish is None:
            return
        if atomic.waits_for(shard, source.id):
            block = self.block(shard)
            atomic.peer_ended(block, source.id)
            yield Step(f"shard {shard.id} asks shard {source.id} no more, which ended", self.after(world, block), True)
        absorbed = source.id in shard.absorbed
        if source.wish.other == shard.id and shard.wish is None and not absorbed:
            block = self.block(shard)
            block.shard = block.shard._replace(wish=Wish(Change.ABSORB, source.wish.number, NOBODY, source.id))
            yield Step(f"shard {shard.id} learns that shard {source.id} ended", self.after(world, block), True)
        if absorbed if source.wish.other == shard.id else source.id not in shard.owners:
            after = self._bury(world, shard, source)
            yield Step(f"shard {shard.id} takes back what shard {source.id} didn't take", after, True)

    def _bury(self, world: World, shard: Shard, source: Shard) -> World:
        block = self.block(shard)
        channel = block.channel(source.id)
        block.shard = block.shard.without_channel(source.id)
        theirs = source.channel(shard.id)
        for entry in terms.untaken(channel, 0 if theirs is None else theirs.in_next):
            if entry.kind == Kind.DO:
                if groups.may_go_on(block, entry):
                    groups.send_again(block, source.id, entry)
                else:
                    groups.give_back(block, entry)
            elif entry.kind == Kind.REFUND:
                groups.take_refund(block, entry)
        return self.after(world, block)

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
        for intent in shard.intents:
            if intent.coordinator == shard.id and intent.votes:
                block = self.block(shard)
                atomic.passes_deadline(block, intent)
                yield Step(
                    f"shard {shard.id} aborts transaction {intent.tx} by the clock", self.after(world, block), True
                )

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
        block = Block(shard, self.plan)
        terms.write_term(block)
        return block

    def after(self, world: World, block: Block) -> World:
        """Ends a payload block."""
        if block.shard.id == ROOT:
            terms.tell_map(block)
        terms.seal(block)
        if self.counts_heights:
            block.shard = block.shard._replace(height=block.shard.height + 1)
        return world.with_shard(block.shard)


def decodes(shard: Shard, entry: Entry) -> bool:
    """Checks that a shard of this version reads an entry (S33)."""
    return entry.version <= shard.version


def undecoded(channel: Channel, _entry: Entry) -> Channel:
    """Sets the channel broken: what can't be read isn't consumed (S33)."""
    return channel._replace(broken=True)


def execute(block: Block, peer: int, number: int, entry: Entry) -> None:
    """Executes one entry (S31). Only root's channel orders, and only its own channel answers for a shard (S36)."""
    match entry.kind:
        case Kind.DO:
            groups.take_do(block, peer, number, entry)
        case Kind.DONE:
            groups.take_done(block, peer, entry)
        case Kind.FAILED:
            groups.take_failed(block, peer, entry)
        case Kind.REFUND:
            groups.take_refund(block, entry)
        case Kind.PREPARE:
            atomic.take_prepare(block, peer, number, entry)
        case Kind.VOTE:
            atomic.take_vote(block, peer, entry)
        case Kind.DECIDE:
            atomic.take_decide(block, peer, entry)
        case Kind.FINISHED:
            atomic.take_finished(block, peer, entry)
        case Kind.ORDER if peer == ROOT:
            terms.take_order(block, number, entry)
        case Kind.MAP if peer == ROOT:
            terms.take_map(block, number, entry)
        case Kind.ANSWER if block.shard.id == ROOT:
            terms.take_answer(block, peer, entry)
        case _:
            block.answer(peer, entry.ref)


def _first(network: Network, number: int) -> Shard:
    accounts = range(max(high for _, high in network.ranges))
    ids = range(len(network.ranges))
    low, high = network.ranges[number]
    owner = {account: shard for shard in ids for account in range(*network.ranges[shard])}
    born = [shard for shard in ids if network.ranges[shard][0] < network.ranges[shard][1]]
    nobody, nobody_yet = (NOBODY,) * len(accounts), (NOBODY,) * len(ids)
    generations = tuple(0 if shard in born else NOBODY for shard in ids)
    told = tuple(0 if shard in born else NOBODY for shard in ids)
    root = Root(0, generations, told=told, void=nobody_yet, changes_max=network.changes_max)
    return Shard(
        id=number,
        low=low,
        high=high,
        leaves=tuple(Leaf(network.balance) if low <= account < high else None for account in accounts),
        owners=tuple(owner[account] for account in accounts),
        former=nobody,
        gave=nobody,
        channels=tuple(Channel(peer, 0) for peer in born if peer != number),
        halted=number in network.asleep,
        root=root if number == ROOT else None,
    )
