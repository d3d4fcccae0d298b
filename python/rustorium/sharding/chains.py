"""Chains: the state of one shard as its committee agrees on it, and one block of it.

Invariants: a shard's state changes only in a block of that shard (S4). What it must remember is in its state (S35),
so a crash of its nodes changes nothing here. Its range changes only at a boundary. An idle chain makes a block only
for a reason: a transaction, a delivery, a clock transaction, a claim that is owed, or an end that is due.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

from rustorium.sharding import channels
from rustorium.sharding.channels import Channel
from rustorium.sharding.vocabulary import BALANCE_MAX, NOBODY, Code, Entry, Event, Kind, Note, Transaction


class Leaf(NamedTuple):
    """An account: what the state has under its id."""

    balance: int
    nonce: int = 0
    text: int = -1
    """The transaction that wrote its value last; -1 if none did."""
    lock: int = -1
    """The class B transaction that holds it (S78)."""
    reserved: int = 0
    """Credits that were voted for and not applied yet (S77)."""
    kept: int = 0
    """Units that came back and found no room (S72)."""

    @property
    def room(self) -> int:
        """Units that can be added, counting those that are promised."""
        return BALANCE_MAX - self.balance - self.reserved

    def with_unit_back(self) -> "Leaf":
        """Returns the leaf with a unit that nobody may refuse: one without room is kept beside the balance (S72)."""
        return self._replace(balance=self.balance + 1) if self.room > 0 else self._replace(kept=self.kept + 1)


class State(IntEnum):
    """How far a shard is on its way to its end."""

    OPEN = 0
    CLOSING = 1
    """`Close` was executed: it drains (S57)."""
    FROZEN = 2
    """Its last blocks list nothing and claim what is left to claim (S55)."""
    CLOSED = 3


class Change(IntEnum):
    """What a boundary changes besides the committee, in the order in which wishes are served (S4)."""

    CLOSE = 0
    ABSORB = 1
    BIRTH = 2


class Wish(NamedTuple):
    """A change of the range that waits for its boundary."""

    change: Change
    number: int
    """Root's number of the change."""
    ref: int
    """Number of the order's chunk, which the answer names."""
    other: int
    """The child, the heir, or the shard that is absorbed."""
    cut: int = -1
    sealed: bool = False
    """Nothing that is executed from now on can undo it (S94)."""


class Intent(NamedTuple):
    """A class B transaction that is open at this shard (S76, S77)."""

    tx: int
    coordinator: int
    groups: tuple[int, ...]
    asked: tuple[int, ...] = ()
    """At the coordinator: all participants."""
    votes: tuple[int, ...] = ()
    """At the coordinator: participants whose vote is missing."""
    finishing: tuple[int, ...] = ()
    """At the coordinator: participants that haven't applied the decision; empty until it is made."""


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
    """What shard 0 keeps for all."""

    version: int
    generations: tuple[int, ...]
    """The generation of each shard's charter, as answers told it; -1 for shards that aren't open."""
    orders: tuple[Order, ...] = ()
    answers: tuple[int, ...] = ()
    """Numbers of the changes that were answered."""
    changes: int = 0
    told: tuple[int, ...] = ()
    """For each shard the version of the newest map that it was sent."""
    keys: int = 0
    """The registry's keys (S8)."""
    void: tuple[int, ...] = ()
    """For each shard its newest epoch whose stamps count no more (S53); -1 if there is none."""
    changes_max: int = 4
    """Changes of ranges that may be open at once in the whole network (S6)."""


class Shard(NamedTuple):
    """One shard."""

    id: int
    low: int
    high: int
    """The charter's range of accounts, `low` included and `high` not."""
    leaves: tuple[Leaf | None, ...]
    owners: tuple[int, ...]
    """The copy of the map: for each account its shard; -1 if unknown."""
    former: tuple[int, ...]
    """The copy of the map: for each account the shard that gave it away last; -1 if none did."""
    map_version: int = 0
    gave: tuple[int, ...] = ()
    """For each account the child that got it at a boundary which the copy of the map doesn't know yet; else -1."""
    generation: int = 0
    epoch: int = 0
    keys: int = 0
    version: int = 1
    height: int = 0
    """Blocks so far, where a network counts them. No rule reads it (S30)."""
    state: State = State.OPEN
    wish: Wish | None = None
    due: Wish | None = None
    """The wish as a header claims it: the end is due (S41), and what was executed since doesn't count."""
    new_keys: tuple[int, int, int] | None = None
    """A wish for other keys: the order's chunk, root's number of it, and the keys."""
    writes: tuple[Entry, ...] | None = None
    """What the term's first payload block writes: entries for root; `None` if that is done (S47)."""
    announced: tuple[tuple[int, Entry], ...] = ()
    """Epochs of this shard whose term has a birth or an absorption, and what that says to root (S96)."""
    absorbed: tuple[int, ...] = ()
    """Shards that this one absorbed (S56)."""
    channels: tuple[Channel, ...] = ()
    intents: tuple[Intent, ...] = ()
    log: tuple[Note, ...] = ()
    """The witness, sorted."""
    halted: bool = False
    root: Root | None = None

    def channel(self, peer: int) -> Channel | None:
        """Returns the channel with a peer; `None` if there is none."""
        for channel in self.channels:
            if channel.peer == peer:
                return channel
        return None

    def with_channel(self, channel: Channel) -> "Shard":
        """Returns the shard with this channel in place of the one that it had."""
        for place, other in enumerate(self.channels):
            if other.peer == channel.peer:
                return self._replace(channels=(*self.channels[:place], channel, *self.channels[place + 1 :]))
        return self._replace(channels=tuple(sorted([*self.channels, channel])))

    def without_channel(self, peer: int) -> "Shard":
        """Returns the shard without its channel with a peer (S37)."""
        return self._replace(channels=tuple(channel for channel in self.channels if channel.peer != peer))

    def with_leaf(self, account: int, leaf: Leaf | None) -> "Shard":
        """Returns the shard with this account."""
        return self._replace(leaves=(*self.leaves[:account], leaf, *self.leaves[account + 1 :]))

    def has(self, account: int) -> bool:
        """Checks that an account is in the charter. Only the charter decides this, never the map (S5)."""
        return self.low <= account < self.high and self.state != State.CLOSED


def route(shard: Shard, account: int) -> int:
    """Returns the shard that entries for an account go to: the charter's, the child's, else the map's (S5).

    A map that doesn't know this shard's last boundary yet would name this shard itself, or one from before.
    """
    if shard.has(account):
        return shard.id
    return shard.gave[account] if shard.gave[account] != NOBODY else shard.owners[account]


def speaks_for(shard: Shard, peer: int, sender: int, past: frozenset[int]) -> bool:
    """Checks that a sender is the peer's, or was until the peer gave it to a child not long ago (S70)."""
    return peer == shard.owners[sender] or (peer == shard.former[sender] and peer not in past)


class Block:
    """One payload block while it executes."""

    __slots__ = ("past", "plan", "shard")

    def __init__(self, shard: Shard, plan: Sequence[Transaction], past: frozenset[int] = frozenset()) -> None:
        self.shard = shard
        self.plan = plan
        self.past = past
        """Parents that gave accounts away long ago (S70)."""

    def leaf(self, account: int) -> Leaf:
        """Returns an account of this shard."""
        leaf = self.shard.leaves[account]
        assert leaf is not None, "the caller asked the charter before"
        return leaf

    def channel(self, peer: int) -> Channel:
        """Returns the channel with a peer."""
        channel = self.shard.channel(peer)
        assert channel is not None, "the caller knows this peer"
        return channel

    def put(self, account: int, leaf: Leaf) -> None:
        """Writes an account of this shard."""
        self.shard = self.shard.with_leaf(account, leaf)

    def note(self, event: Event, tx: int, group: int = 0) -> None:
        """Adds a line to the witness."""
        self.shard = self.shard._replace(log=tuple(sorted([*self.shard.log, Note(event, tx, group)])))

    def send(self, peer: int, entry: Entry) -> None:
        """Sends an entry. The channel's leaf is made by its first chunk (S37)."""
        channel = self.shard.channel(peer) or Channel(peer, NOBODY)
        version = channels.written_in(self.shard.version, channel.version)
        self.shard = self.shard.with_channel(channels.send(channel, entry._replace(version=version)))

    def answer(self, peer: int, number: int) -> Entry | None:
        """Deletes the request that a response of the peer answers, and returns it (S31)."""
        channel, entry = channels.answered(self.channel(peer), number)
        self.shard = self.shard.with_channel(channel)
        return entry

    def fail(self, peer: int, number: int, entry: Entry, code: Code) -> None:
        """Answers a group with a failure."""
        self.send(peer, Entry(Kind.FAILED, entry.tx, number, detail=(code,)))
