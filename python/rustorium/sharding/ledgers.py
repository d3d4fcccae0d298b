"""Ledgers of shards that send credits to each other: accounts, entries, transactions, and one block while it executes.

Invariants: all values are tuples of integers, so that states compare and hash fast and the same in each run. A
transaction moves single units of one asset. The witness is read by no rule.
"""

from collections.abc import Sequence
from enum import IntEnum
from typing import Any, NamedTuple

from rustorium.sharding.channels import Channel


class Act(IntEnum):
    """The kinds of credits (T2)."""

    PAY = 0
    """Moves one unit from the sender."""
    ISSUE = 1
    """Makes one unit."""
    OPEN = 2
    """Makes an account."""


class Result(IntEnum):
    """An answer about one credit. Silence is success (T13)."""

    STORAGE_USED = 0
    REFUSED = 1


class Credit(NamedTuple):
    """An entry: one payment, issue or new account, whose receiver is in another shard."""

    tx: int
    place: int
    """Place of the operation in the transaction."""
    act: Act
    to: int
    storage: int
    keys: int = -1
    """The authority of a new account."""


class Answer(NamedTuple):
    """An entry: the results of credits in one chunk of the peer. Credits without a result succeeded (T13)."""

    chunk: int
    results: tuple[tuple[int, Result], ...]


class Operation(NamedTuple):
    """One operation of a client's transaction."""

    act: Act
    to: int


class Transaction(NamedTuple):
    """A client's transaction. `nonce` is its place among the sender's."""

    sender: int
    nonce: int
    operations: tuple[Operation, ...]


class Event(IntEnum):
    """An act of a shard on a credit. The log of these is the model's witness: no rule reads it."""

    FAILED = 0
    """The transaction failed at its source and changed nothing."""
    SENT = 1
    DONE = 2
    """A receiver in the same shard got the value."""
    DELIVERED = 3
    REFUSED = 4
    RETURNED = 5
    ARRIVED = 6
    """The source settled it as delivered."""
    BURNT = 7
    """A return found no room (T28)."""


class Note(NamedTuple):
    """One line of the log."""

    event: Event
    tx: int
    place: int = 0


class Account(NamedTuple):
    """An account in the state."""

    keys: int
    storage: int = 0
    balance: int = -1
    """-1 if there is no balance leaf."""
    nonce: int = 0
    paused: bool = False


class Limits(NamedTuple):
    """The limits of channels (T5, T8), in entries."""

    open_max: int = 8
    chunk_max: int = 8
    balance_max: int = 99


class Shard(NamedTuple):
    """One shard."""

    id: int
    accounts: tuple[Account | None, ...]
    channels: tuple[Channel, ...]
    terms: tuple[int, ...] = (0,)
    """The time line of each epoch's committee; a restore begins a new one."""
    version: int = 1
    paused: bool = False
    """`True` if all accounts are paused."""
    halted: bool = False
    lost: bool = False
    """`True` while owners, who have ended its epoch, restore the shard (T26)."""
    log: tuple[Note, ...] = ()
    """The witness, sorted."""

    @property
    def epoch(self) -> int:
        """The present epoch."""
        return len(self.terms) - 1

    def channel(self, peer: int) -> Channel:
        """Returns the channel with a peer."""
        return next(channel for channel in self.channels if channel.peer == peer)

    def with_channel(self, channel: Channel) -> "Shard":
        """Returns the shard with this channel in place of its old one."""
        return self._replace(channels=tuple(channel if c.peer == channel.peer else c for c in self.channels))

    def with_account(self, number: int, account: Account | None) -> "Shard":
        """Returns the shard with this account."""
        return self._replace(accounts=(*self.accounts[:number], account, *self.accounts[number + 1 :]))


STORAGE = {Act.PAY: 1, Act.ISSUE: 1, Act.OPEN: 2}
"""Storage that comes along with a credit: for a new balance leaf, or for a new account and its first storage (T3)."""
RECORD = 1
"""The storage that an account's record takes."""


def keys_of(account: int) -> int:
    """Returns the authority whose account id this is. In the model an id is computed from it alone (T11)."""
    return account


class Block:
    """One block while it executes."""

    __slots__ = ("limits", "pending", "places", "plan", "shard")

    def __init__(self, shard: Shard, plan: Sequence[Transaction], places: tuple[int, ...], limits: Limits) -> None:
        self.shard = shard
        self.plan = plan
        self.places = places
        """The shard of each account id, by the charters (T2)."""
        self.limits = limits
        self.pending: dict[int, tuple[Credit | Answer, ...]] = {}
        """The entries of this block for each peer."""

    def note(self, event: Event, tx: int, place: int = 0) -> None:
        """Adds a line to the witness."""
        self.shard = self.shard._replace(log=tuple(sorted([*self.shard.log, Note(event, tx, place)])))

    def account(self, number: int) -> Account:
        """Returns an account of this shard."""
        account = self.shard.accounts[number]
        assert account is not None, "the caller asked for it before"
        return account

    def change(self, number: int, **now: Any) -> None:
        """Writes fields of an account."""
        self.shard = self.shard.with_account(number, self.account(number)._replace(**now))

    def add(self, peer: int, entry: Credit | Answer) -> None:
        """Appends an entry for a peer."""
        self.pending[peer] = (*self.pending.get(peer, ()), entry)
