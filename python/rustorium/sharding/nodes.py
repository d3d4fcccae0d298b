"""Rules for a single node: stamps, deliveries on offer, the disk at births and absorptions, reports of load.

Invariants: each machine is small enough to be read at once, and is explored by itself. `network` has what a committee
agrees on. The machines here have what could make its members differ, or stop them.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

S = TypeVar("S")


@dataclass(frozen=True)
class Move(Generic[S]):
    """A possible step."""

    label: str
    world: S
    fair: bool = True


# ---- stamps (T7) ----------------------------------------------------------------------------------------------------


class Stamps(NamedTuple):
    """Members of one committee: the newest executed height and the signed heights of each."""

    executed: tuple[int, ...]
    signed: tuple[frozenset[int], ...]


def heights_to_sign(before: int, after: int) -> frozenset[int]:
    """Returns the heights whose heads a member signs after a turn: each that it executed (T7)."""
    return frozenset(range(before + 1, after + 1))


class Stamping:
    """Four members, one of them silent, execute a busy chain in turns of any length. Heads change in each height."""

    def __init__(self, heights: int = 3) -> None:
        self.heights = heights

    def start(self) -> Stamps:
        """Returns three members that executed nothing."""
        return Stamps((0, 0, 0), (frozenset(),) * 3)

    def steps(self, world: Stamps) -> Iterator[Move[Stamps]]:
        """Yields the turns of members. The members are alike, so only sorted states are kept."""
        for place, height in enumerate(world.executed):
            for after in range(height + 1, self.heights + 1):
                signed = world.signed[place] | heights_to_sign(height, after)
                pairs = [*zip(world.executed, world.signed, strict=True)]
                pairs[place] = (after, signed)
                pairs.sort(key=lambda pair: (pair[0], sorted(pair[1])))
                moved = Stamps(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))
                yield Move(f"a member executes heights {height + 1} to {after} in one turn", moved)

    def broken(self, world: Stamps) -> str | None:
        """Checks that each height that all honest members executed has a quorum."""
        for height in range(1, min(world.executed) + 1):
            if sum(height in signed for signed in world.signed) < 3:
                return f"I8: height {height} is executed everywhere and has no stamp"
        return None

    def unfinished(self, _world: Stamps) -> str | None:
        """Returns `None`: nothing else has to end."""
        return None


# ---- couriers (T17, T21) ---------------------------------------------------------------------------------------------


class Slot(NamedTuple):
    """The one delivery that a courier keeps for a channel, beside a pool that clients keep full."""

    cursor: int = 0
    held: str = ""
    """`chunk`: the next one, verified; `wrong`: a wrong chunk under a true stamp."""


def takes_unverified() -> bool:
    """Checks whether a courier keeps a delivery that it hasn't verified: never (T21)."""
    return False


def has_room(_pool_is_full: bool) -> bool:
    """Checks whether a delivery finds a place: they have room of their own in each block (T17)."""
    return True


class Slots:
    """An honest courier delivers two chunks, while a traitor forwards arbitrary deliveries."""

    def start(self) -> Slot:
        """Returns a courier that has nothing."""
        return Slot()

    def steps(self, world: Slot) -> Iterator[Move[Slot]]:
        """Yields the courier's, the traitor's and the leader's steps."""
        if not world.held and world.cursor < 2:
            if has_room(True):
                yield Move("the courier keeps the next chunk", world._replace(held="chunk"))
            if takes_unverified():
                yield Move("a traitor sends a wrong chunk for this number", world._replace(held="wrong"), fair=False)
        if world.held == "chunk":
            yield Move("a block lists the delivery", Slot(world.cursor + 1))

    def broken(self, _world: Slot) -> str | None:
        """Nothing can break here."""
        return None

    def unfinished(self, world: Slot) -> str | None:
        """Checks that the channel drained."""
        return f"I8: chunk {world.cursor} is never delivered" if world.cursor < 2 else None


# ---- the disk at a birth (S44, S46) ----------------------------------------------------------------------------------


class Home(NamedTuple):
    """One node's disk while its shard A gives birth to B."""

    boundary: bool = False
    """b* is committed and synced."""
    copy: str = ""
    """`shards/B.new`: empty, `short` (the log's tail is missing), `whole`, `checked`, `journal`."""
    born: bool = False
    """`True` if `shards/B` exists."""
    short: bool = False
    """`True` if B's store is below b*."""
    journal: str = ""
    """B's journal: empty, `fresh`, `votes`."""
    named: bool = False
    """`True` if `safety/hosted` names B."""
    told: bool = False
    """`True` once this node began the parent's next epoch."""
    voted: bool = False
    """`True` once this key has voted in B, whatever is on its disk."""
    retired: bool = False
    losses: int = 0
    """Parts that recovery removed so far: A's store, or B's folder."""


def is_whole(home: Home) -> bool:
    """Checks the copy before the rename: it opens, and its tip is b* (S44)."""
    return home.copy == "whole"


def may_be_born(home: Home) -> bool:
    """Checks that a birth may make a journal: only for a shard that isn't named (S46)."""
    return not home.named


def names_before_journal() -> bool:
    """Checks when a shard is named: after the rename, before its first signature (S46)."""
    return False


class Births:
    """A birth with a crash at each point, and recoveries that take stores away."""

    def start(self) -> Home:
        """Returns a home whose shard A is below b*."""
        return Home()

    def steps(self, home: Home) -> Iterator[Move[Home]]:
        """Yields the steps of S44 in their order, crashes, and losses."""
        if home.retired:
            return
        if not home.boundary:
            yield Move("b* is stored and synced", home._replace(boundary=True))
        elif home.named and not home.born and home.journal == "" and not home.copy:
            if may_be_born(home):
                yield from self._copies(home)
            else:
                yield Move("a named shard has no journal: the key is retired", home._replace(retired=True))
        elif not home.born:
            yield from self._copies(home)
        elif not home.named:
            yield Move("safety/hosted names B", home._replace(named=True))
        else:
            if not home.told:
                yield Move("the parent's next epoch begins", home._replace(told=True))
            if home.journal == "fresh" or not home.voted:
                yield Move("the key votes in B", home._replace(voted=True, journal="votes"), fair=False)
        if home.boundary:
            yield Move("the node crashes", home._replace(copy="", told=False), fair=False)
        if home.losses < 2 and home.boundary:
            fewer = home._replace(losses=home.losses + 1, copy="", told=False)
            yield Move("A's store is lost and replayed", fewer._replace(boundary=False), fair=False)
            if home.born:
                gone = fewer._replace(born=False, journal="", short=False)
                yield Move("B's folder is lost", gone, fair=False)

    def _copies(self, home: Home) -> Iterator[Move[Home]]:
        if home.copy == "":
            yield Move("B.new is a copy of A's store", home._replace(copy="whole"))
            yield Move("B.new is a copy that lacks the log's tail", home._replace(copy="short"), fair=False)
        elif home.copy in ("whole", "short"):
            if is_whole(home):
                named = home.named or names_before_journal()
                yield Move("B.new is checked", home._replace(copy="checked", named=named, short=home.copy == "short"))
            else:
                yield Move("B.new is short and is removed", home._replace(copy=""))
        elif home.copy == "checked":
            yield Move("B.new gets a fresh journal", home._replace(copy="journal"))
        else:
            yield Move("B.new becomes shards/B", home._replace(copy="", born=True, journal="fresh"))

    def broken(self, home: Home) -> str | None:
        """Checks S44's invariant, and that a key which voted never has a fresh journal."""
        if home.told and not home.born:
            return "I7: the parent goes on and the child's folder isn't there"
        if home.voted and home.born and home.journal == "fresh":
            return "I7: a key that voted in B has a fresh journal there"
        if home.born and home.short:
            return "I7: B opens below its birth"
        return None

    def unfinished(self, home: Home) -> str | None:
        """Checks that crashes alone don't retire a key that never signed there."""
        if home.retired and not home.voted and home.losses == 0:
            return "I8: a crash retired a key that has signed nothing in B"
        return None


# ---- the disk at an absorption (S56) ---------------------------------------------------------------------------------


class Copying(NamedTuple):
    """One host of A, which gave an account away once and gets it back with another value."""

    cached: bool = False
    """`True` if the cache has the value from before the earlier split."""
    copied: bool = False
    synced: bool = False
    told: bool = False
    """`True` once the host reported *filled*."""
    executed: str = ""
    """The value that the absorbing boundary's successor reads: `old`, `new` or `none`."""


def may_execute(node: Copying) -> bool:
    """Checks that the absorbing boundary is executed only where the marker of a whole copy is synced (S56)."""
    return node.synced


def cache_after(_cached: bool) -> bool:
    """Returns whether the cache keeps its leaves at a boundary that changes the charter: never (S56)."""
    return False


class Absorbing:
    """One node's copy and boundary, with power cuts."""

    def start(self) -> Copying:
        """Returns a node before the copy."""
        return Copying()

    def steps(self, node: Copying) -> Iterator[Move[Copying]]:
        """Yields reads, the copy, its sync, power cuts and the boundary."""
        if node.executed:
            return
        if not node.cached and not node.copied:
            yield Move("an old read stays in the cache", node._replace(cached=True), fair=False)
        if not node.copied:
            yield Move("B's leaves are copied", node._replace(copied=True))
        elif not node.synced:
            yield Move("the copy is synced with its marker", node._replace(synced=True))
        elif not node.told:
            yield Move("the node says that it is filled", node._replace(told=True))
        cut = node._replace(cached=False, copied=node.synced, told=False)
        if cut != node:
            yield Move("the power is cut", cut, fair=False)
        if may_execute(node):
            stale = cache_after(node.cached)
            value = "old" if stale else "new" if node.copied else "none"
            yield Move("the absorbing boundary is executed", node._replace(executed=value))

    def broken(self, node: Copying) -> str | None:
        """Checks that the node reads what B had."""
        return (
            f"I1: after the boundary the node reads the {node.executed} value"
            if node.executed in ("old", "none")
            else None
        )

    def unfinished(self, node: Copying) -> str | None:
        """Checks that the boundary is executed."""
        return None if node.executed else "I8: the absorbing boundary is never executed"


# ---- reports of load (S84) -------------------------------------------------------------------------------------------


class Load(NamedTuple):
    """Root's record of a shard's load."""

    minute: int = 0
    reported: int = 0
    peak: int = 0
    merged: bool = False


def believed(load: Load) -> int:
    """Returns the load that root believes: a minute without a report had none (S84)."""
    return load.peak if load.reported == load.minute else 0


class Reporting:
    """A shard is busy for a while, then idle, and an idle shard reports nothing."""

    minutes = 4

    def start(self) -> Load:
        """Returns a shard before its first minute."""
        return Load()

    def steps(self, load: Load) -> Iterator[Move[Load]]:
        """Yields minutes with and without work, and root's clock."""
        if load.minute < self.minutes - 1:
            busy = Load(load.minute + 1, load.minute + 1, 9)
            yield Move("a busy minute is reported", busy, fair=False)
        if load.minute < self.minutes:
            yield Move("a minute without work passes", load._replace(minute=load.minute + 1))
        elif not load.merged and believed(load) == 0:
            yield Move("root's clock orders the merge", load._replace(merged=True))

    def broken(self, _load: Load) -> str | None:
        """Nothing can break here."""
        return None

    def unfinished(self, load: Load) -> str | None:
        """Checks that an idle shard is merged."""
        return None if load.merged else "I8: an idle shard is never merged"
