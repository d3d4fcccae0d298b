"""Chains: the state of one shard, on which its committee agrees, and one block of it.

Invariants: a shard's state changes only in a block of that shard (S4). What it must remember is in its state, so a
crash of its nodes changes nothing here. Its range changes only at a boundary. An idle chain makes a block only for a
reason: a delivery, a clock transaction, a claim that is owed, or an end that is due.
"""

from enum import IntEnum
from typing import NamedTuple

from rustorium.sharding import channels
from rustorium.sharding.channels import Channel, Peer
from rustorium.sharding.vocabulary import NOBODY, Entry


class State(IntEnum):
    """The phases in which a shard ends."""

    OPEN = 0
    CLOSING = 1
    """`Close` was executed, and the shard drains (S57)."""
    FROZEN = 2
    """The last blocks list nothing and make the last claims (S55)."""
    CLOSED = 3


class Change(IntEnum):
    """Kinds of changes that a boundary makes besides the committee, in the order in which wishes are served (S4)."""

    CLOSE = 0
    ABSORB = 1
    BIRTH = 2


class Wish(NamedTuple):
    """A change of the range that waits for its boundary."""

    change: Change
    number: int
    """Root's number of the change."""
    other: int
    """The child, the heir, or the shard that is absorbed."""
    cut: int = -1
    sealed: bool = False
    """`True` once no later block can undo the change (S94)."""


class Order(NamedTuple):
    """A change that root ordered and that has no answer yet (S6)."""

    number: int
    change: int
    shard: int
    other: int
    cut: int = -1
    recalled: bool = False
    overdue: bool = False


class Root(NamedTuple):
    """The part of shard 0's state that concerns all shards."""

    version: int
    generations: tuple[int, ...]
    """The generation of each shard's charter, by the newest answer; -1 for shards that aren't open."""
    orders: tuple[Order, ...] = ()
    answers: tuple[int, ...] = ()
    """Numbers of the changes that were answered."""
    changes: int = 0
    told: tuple[int, ...] = ()
    """For each shard the version of the newest map that it was sent."""
    keys: int = 0
    """The registry's keys (S8)."""
    changes_max: int = 4
    """Changes of ranges that may be open at once in the whole network (S6)."""


class Shard(NamedTuple):
    """One shard."""

    id: int
    low: int
    high: int
    """The charter's range of accounts, `low` included and `high` not."""
    accounts: frozenset[int]
    """The accounts that the state has."""
    owners: tuple[int, ...]
    """The copy of the map: for each account its shard; -1 if unknown."""
    map_version: int = 0
    generation: int = 0
    epoch: int = 0
    keys: int = 0
    state: State = State.OPEN
    wish: Wish | None = None
    due: Wish | None = None
    """The wish in the state that a header claims: the end is due (S41), and later executions don't count."""
    new_keys: tuple[int, int] | None = None
    """A wish for other keys: the number of root's order, and the keys."""
    writes: tuple[Entry, ...] | None = None
    """Entries for root that the term's first payload block writes; `None` once they are written (S47)."""
    announced: tuple[tuple[int, Entry], ...] = ()
    """Epochs of this shard whose term has a birth or an absorption, and the answer that this gives root (S96)."""
    absorbed: tuple[int, ...] = ()
    """Shards that this one absorbed (S56)."""
    channels: tuple[Channel, ...] = ()
    answered: tuple[int, ...] = ()
    """The witness: numbers of the orders that this shard answered, sorted. No rule reads it."""
    halted: bool = False
    root: Root | None = None

    def channel(self, peer: int) -> Channel | None:
        """Returns the channel with a peer; `None` if there is none."""
        for channel in self.channels:
            if channel.peer == peer:
                return channel
        return None

    def with_channel(self, channel: Channel) -> "Shard":
        """Returns the shard with this channel in place of its old one."""
        for place, other in enumerate(self.channels):
            if other.peer == channel.peer:
                return self._replace(channels=(*self.channels[:place], channel, *self.channels[place + 1 :]))
        return self._replace(channels=tuple(sorted([*self.channels, channel])))

    def without_channel(self, peer: int) -> "Shard":
        """Returns the shard without its channel with a peer (S37)."""
        return self._replace(channels=tuple(channel for channel in self.channels if channel.peer != peer))

    def has(self, account: int) -> bool:
        """Checks that an account is in the charter. Only the charter decides this, never the map (S5)."""
        return self.low <= account < self.high and self.state != State.CLOSED


class Block:
    """One payload block while it executes."""

    __slots__ = ("shard",)

    def __init__(self, shard: Shard) -> None:
        self.shard = shard

    def channel(self, peer: int) -> Channel:
        """Returns the channel with a peer."""
        channel = self.shard.channel(peer)
        assert channel is not None, "the caller knows this peer"
        return channel

    def send(self, peer: int, entry: Entry) -> None:
        """Sends an entry. The channel's leaf is made by its first chunk (S37)."""
        channel = self.shard.channel(peer) or Channel(peer, term=Peer(NOBODY))
        self.shard = self.shard.with_channel(channels.append(channel, (entry,), channel.in_next))

    def answers(self, number: int) -> None:
        """Adds the answer of an order to the witness."""
        self.shard = self.shard._replace(answered=tuple(sorted([*self.shard.answered, number])))
