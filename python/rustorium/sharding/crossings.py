"""The network of transfers: shards whose ranges stay, their possible next steps, and events.

Invariants: a step is one block of one shard, or one event of the world. Steps that an honest, calm network makes by
itself are *fair*; events aren't, and happen at most once each. A delivery has the head of its source's newest executed
height, or an old one that somebody keeps. So duplicated, late and reordered deliveries are covered.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from rustorium.sharding import channels, transfers
from rustorium.sharding.channels import Channel, Delivery, Head
from rustorium.sharding.ledgers import Account, Block, Limits, Shard, Transaction

LIMITS = Limits()


class Kept(NamedTuple):
    """Old data of a shard that somebody may show at any time: a head with its chunks, and the terms up to it."""

    shown_to: int
    head: Head
    terms: tuple[int, ...]
    version: int


class World(NamedTuple):
    """The state of the whole network at one moment."""

    shards: tuple[Shard, ...]
    used: int = 0
    """Bit set of the events that happened."""
    kept: tuple[Kept, ...] = ()
    copies: tuple[Shard, ...] = ()
    """Backups of shards."""
    expired: frozenset[tuple[int, int]] = frozenset()
    """Shards and epochs whose keys have expired: anybody may have these keys."""
    stops: tuple[tuple[int, int], ...] = ()
    """Shards and epochs that owners ended (T26)."""
    forks: int = 0
    """Number of time lines that restores began."""

    def with_shard(self, shard: Shard) -> "World":
        """Returns the world with this shard."""
        return self._replace(shards=(*self.shards[: shard.id], shard, *self.shards[shard.id + 1 :]))


class Step(NamedTuple):
    """A possible step."""

    label: str
    world: World
    fair: bool


@dataclass(frozen=True)
class Happening:
    """An event of the world, which happens at most once."""

    label: str
    happen: Callable[["Crossing", World], World | None]
    """Returns the world after the event; `None` while it can't happen."""
    fair: bool = False
    """`True` if the event happens for certain once it can."""


@dataclass(frozen=True)
class Crossing:
    """A scenario: shards and their accounts, clients' transactions, and events."""

    places: tuple[int, ...]
    """The shard of each account id."""
    plan: Sequence[Transaction] = ()
    happenings: Sequence[Happening] = ()
    balance: int = 1
    """Balance of each account at the start; -1 if none has a balance leaf."""
    storage: int = 4
    missing: frozenset[int] = field(default_factory=frozenset)
    """Account ids that nobody has opened yet."""
    empty: frozenset[int] = field(default_factory=frozenset)
    """Accounts without a balance leaf."""
    limits: Limits = LIMITS
    dead: frozenset[int] = field(default_factory=frozenset)
    """Shards that may halt and never come back."""
    disturbed: bool = False
    """`True` if a committee lies, or owners restore shards without asking peers, so that channels may break."""

    def start(self) -> World:
        """Returns the first world."""
        return World(tuple(self._first(shard) for shard in range(max(self.places) + 1)))

    def _first(self, number: int) -> Shard:
        return Shard(
            number,
            tuple(self._account(account) if place == number else None for account, place in enumerate(self.places)),
            tuple(Channel(peer) for peer in range(max(self.places) + 1) if peer != number),
        )

    def _account(self, account: int) -> Account | None:
        if account in self.missing:
            return None
        return Account(account, self.storage, -1 if account in self.empty else self.balance)

    def block(self, shard: Shard) -> Block:
        """Begins a block."""
        return Block(shard, self.plan, self.places, self.limits)

    def steps(self, world: World) -> Iterator[Step]:
        """Yields all possible next steps."""
        for shard in world.shards:
            if not shard.halted and not shard.lost:
                yield from self._submissions(world, shard)
                for channel in shard.channels:
                    yield from self._peer(world, shard, channel)
                for kept in world.kept:
                    if kept.shown_to == shard.id:
                        yield from self._shown(world, shard, kept)
            if shard.halted and shard.id not in self.dead and not shard.lost:
                yield Step(f"shard {shard.id} goes on", world.with_shard(shard._replace(halted=False)), True)
            if shard.paused:
                yield Step(f"shard {shard.id}'s pause ends", world.with_shard(shard._replace(paused=False)), True)
        for place, happening in enumerate(self.happenings):
            if not world.used >> place & 1:
                after = happening.happen(self, world)
                if after is not None:
                    yield Step(happening.label, after._replace(used=after.used | 1 << place), happening.fair)

    def _submissions(self, world: World, shard: Shard) -> Iterator[Step]:
        for number, tx in enumerate(self.plan):
            account = shard.accounts[tx.sender]
            if account is not None and account.nonce == tx.nonce:
                block = self.block(shard)
                transfers.submit(block, number)
                after = world.with_shard(transfers.finish(block))
                yield Step(f"shard {shard.id} executes transaction {number}", after, False)

    def _peer(self, world: World, shard: Shard, channel: Channel) -> Iterator[Step]:
        """Yields couriers' deliveries from a peer: next term, head with chunks, and owners' `Stop` (T16, T18, T26)."""
        source = world.shards[channel.peer]
        head = channels.head_of(source.id, source.epoch, source.terms[-1], source.channel(shard.id))
        yield from self._deliveries(world, shard, head, "takes from", True)
        if channels.follows(channel.term, source.terms) and may_follow(world, channel):
            term = channels.next_term(channel.term, source.terms, source.version)
            after = world.with_shard(shard.with_channel(channel._replace(term=term)))
            yield Step(f"shard {shard.id} takes a term of shard {source.id}", after, True)
        stopped = dict(world.stops).get(source.id, -1)
        if stopped > channel.term.stopped and channel.term.epoch <= stopped and channel.term.fork in source.terms:
            term = channel.term._replace(stopped=stopped)
            after = world.with_shard(shard.with_channel(channel._replace(term=term)))
            yield Step(f"shard {shard.id} takes the stop of shard {source.id}'s owners", after, True)
        if transfers.may_return_by_time() and any(chunk.open for chunk in channel.chunks):
            block = self.block(shard)
            transfers.return_by_time(block, source.id)
            after = world.with_shard(transfers.finish(block))
            yield Step(f"shard {shard.id} gives back what waits too long", after, False)

    def _shown(self, world: World, shard: Shard, kept: Kept) -> Iterator[Step]:
        """Yields deliveries of old heads and terms that somebody kept."""
        yield from self._deliveries(world, shard, kept.head, "is shown an old head of", False)
        whole = Delivery(kept.head, kept.head.chunks)
        yield from self._delivery(world, shard, whole, "is shown an old delivery of", False)
        channel = next((c for c in shard.channels if c.peer == kept.head.own), None)
        if channel is not None and channels.follows(channel.term, kept.terms):
            term = channels.next_term(channel.term, kept.terms, kept.version)
            after = world.with_shard(shard.with_channel(channel._replace(term=term)))
            yield Step(f"shard {shard.id} is shown an old term of shard {kept.head.own}", after, False)

    def _deliveries(self, world: World, shard: Shard, head: Head, verb: str, fair: bool) -> Iterator[Step]:
        """Lists a head with all chunks, with one of several, or alone (T18)."""
        channel = next((c for c in shard.channels if c.peer == head.own), shard.channels[0])
        following = [chunk for chunk in head.chunks if chunk.number >= channel.in_next]
        counts = {len(following), 1} if following else set()
        if channels.may_come_alone(channel, head):
            counts.add(0)
        for count in sorted(counts, reverse=True):
            delivery = Delivery(head, tuple(following[:count]), tuple(following[count:]))
            yield from self._delivery(world, shard, delivery, verb, fair, count)

    def _delivery(
        self, world: World, shard: Shard, delivery: Delivery, verb: str, fair: bool, count: int = -1
    ) -> Iterator[Step]:
        after = self.deliver(world, shard, delivery)
        if after is not None and after != world:
            chunks = {-1: "", 0: ": a head alone", 1: ": 1 chunk"}.get(count, f": {count} chunks")
            yield Step(f"shard {shard.id} {verb} shard {delivery.head.own}{chunks}", after, fair)

    def deliver(self, world: World, shard: Shard, delivery: Delivery) -> World | None:
        """Executes a delivery in a separate block; `None` if the delivery is skipped."""
        block = self.block(shard)
        if not transfers.deliver(block, delivery, world.expired):
            return None
        return world.with_shard(transfers.finish(block))


def may_follow(_world: World, _channel: Channel) -> bool:
    """Checks whether a peer's next term is taken: always, whatever its age (T16)."""
    return True
