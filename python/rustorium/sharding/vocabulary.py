"""The words of the model of shards: entries of channels, transactions, and what they did.

Invariants: all values are tuples of integers, so that states compare and hash fast and the same in each run.
"""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """The kinds of entries (S31)."""

    DO = 0
    PREPARE = 1
    ORDER = 2
    MAP = 3
    DONE = 4
    FAILED = 5
    REFUND = 6
    ANSWER = 7
    ACK = 8
    VOTE = 9
    DECIDE = 10
    FINISHED = 11


REQUESTS = frozenset({Kind.DO, Kind.PREPARE, Kind.ORDER, Kind.MAP})
"""Entries that stay in their sender's state until they are answered. All others are responses."""


class Map(NamedTuple):
    """Root's map, as one `Map` entry carries it (S37)."""

    version: int
    owners: tuple[int, ...]
    """For each account its shard."""
    former: tuple[int, ...]
    """For each account the shard that gave it away last; -1 if none did."""
    generations: tuple[int, ...]
    """For each shard its charter's generation as answers told it; -1 for shards that aren't open."""
    epochs: tuple[int, ...]
    """For each shard the epoch of root's own record of its terms: what was in force (S15)."""
    void: tuple[int, ...] = ()
    """For each shard its newest epoch that owners are about to end or have ended (S53); -1 if there is none."""


class Entry(NamedTuple):
    """What one shard says to another. In the model each chunk has one entry."""

    kind: Kind
    tx: int = -1
    """Number of the transaction, or of root's change; -1 if there is none."""
    ref: int = -1
    """Number of the request that this answers."""
    account: int = -1
    detail: tuple[int, ...] = ()
    """What else the kind needs: groups, an order, a map, an outcome."""
    hops: int = 0
    """How often a group was sent again because its accounts had moved (S38)."""
    version: int = 1
    """The protocol version that it is written in (S33)."""
    map: Map | tuple[()] = ()


class Code(IntEnum):
    """Why a group failed."""

    REFUSED = 0
    ELSEWHERE = 1
    """An account isn't in the shard that was asked."""
    FOREIGN = 2
    """The sender isn't an account of the shard that asks (S70)."""


class Change(IntEnum):
    """What an order of root asks for."""

    SPLIT = 0
    CLOSE = 1
    KEEP = 2
    KEYS = 3


class Outcome(IntEnum):
    """How a shard answered an order."""

    DONE = 0
    REFUSED = 1
    KEPT = 2


class Op(IntEnum):
    """What a group of a transaction does to an account."""

    CREDIT = 0
    """Moves one unit from the sender."""
    PUT = 1
    """Writes a value under the account, by grant."""
    ISSUE = 2
    """Makes one unit."""
    REQUIRE = 3
    """Asks for a condition of the account, and writes nothing."""


class Group(NamedTuple):
    """One part of a transaction."""

    op: Op
    account: int


class Transaction(NamedTuple):
    """A client's transaction. `nonce` is its place among the sender's."""

    sender: int
    nonce: int
    groups: tuple[Group, ...]

    @property
    def value(self) -> int:
        """Units that the sender pays."""
        return sum(group.op == Op.CREDIT for group in self.groups)


class Event(IntEnum):
    """What a shard did for a transaction. The log of these is the model's witness: no rule reads it."""

    STARTED = 0
    FAILED = 1
    """It ended at its start and changed nothing."""
    EFFECT = 2
    RETURNED = 3
    """One unit came back to the sender."""
    COMMITTED = 4
    ABORTED = 5
    OVERTAKEN = 6
    """A value was replaced by one that its sender wrote before."""
    FROZEN = 7
    """An account was locked by a sender that may not write it."""
    HALF = 8
    """A group that was voted for couldn't be applied."""
    LOST = 9
    """A chunk was deleted that its peer never took."""
    MEDDLED = 10
    """A shard that wasn't asked decided it."""
    ANSWERED = 11
    """It answered an order; the number is the change's."""
    STARVED = 12
    """A transaction met a full channel that one other sender had filled."""


class Note(NamedTuple):
    """One line of the log."""

    event: Event
    tx: int
    group: int = 0


BALANCE_MAX = 3
"""The greatest balance, so that overflows happen."""
HOPS_MAX = 8
"""How often a group is sent again (S38)."""
ROOT = 0
"""The shard that keeps the map."""
NOBODY = -1
"""No shard, or one that isn't known yet."""
