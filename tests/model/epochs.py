"""Epochs in the simulated ledger: the committee record that transactions change, the time when an end is due, and the
fields of a block about it.

Invariants: the fields of a header follow from the headers below it and from the state that it claims, and from no
action of a node. An operation that would make a committee too small changes nothing.
"""

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

from model.vocabulary import Block, Committee, ListedBatch, Member, hash_of
from rustorium.consensus.schedule import Schedule
from rustorium.consensus.vocabulary import BlockFacts

MEMBERS_MIN = 4
"""Minimum size of a committee, so that one traitor is never too many."""


class Record(NamedTuple):
    """The committee record: the state that determines epochs."""

    target: Committee
    """The committee that operators want next."""
    ended: int
    """The newest epoch that operators asked to end early; -1: none."""


@dataclass(frozen=True, slots=True)
class Change:
    """A transaction's change of the record; `remove` and `add` of one node give it another key."""

    add: Member | None = None
    remove: int | None = None
    end_epoch: bool = False

    def applied(self, record: Record, epoch: int) -> Record:
        """Returns the record after this change, executed in a block of `epoch`."""
        gone = {self.remove} if self.add is None else {self.remove, self.add.node}
        target = [member for member in record.target if member.node not in gone]
        if self.add is not None:
            target.append(self.add)
        ended = epoch if self.end_epoch else record.ended
        return Record(tuple(sorted(target)) if len(target) >= MEMBERS_MIN else record.target, ended)


class EndFields(NamedTuple):
    """A header's fields about its epoch's end."""

    ends_epoch: bool
    next_set: Committee | None


GOES_ON = EndFields(False, None)


@dataclass(frozen=True, slots=True)
class Epoch:
    """A committee's term, and the block on which it starts: a boundary or genesis."""

    number: int
    committee: Committee
    start: Block
    drawn: bool = False
    """`True` if the order of leaders is drawn (R1)."""

    @property
    def seed(self) -> int | None:
        """Returns the schedule's seed (R1), from the boundary's claim."""
        if not self.drawn:
            return None
        return int.from_bytes(hash_of("leaders", self.number, self.start.claimed_root)[:8], "little")

    def leader(self, view: int) -> int:
        """Returns the leader of a view (R1)."""
        return _schedule(self.n, self.seed, self.start.facts.view).leader(view)

    @property
    def n(self) -> int:
        return len(self.committee)

    @property
    def faulty_max(self) -> int:
        return (self.n - 1) // 3

    @property
    def quorum(self) -> int:
        return self.n - self.faulty_max

    def index(self, node: int, keys: set[int]) -> int | None:
        """Returns the index of a node with these keys; `None` if it follows."""
        places = (place for place, member in enumerate(self.committee) if member.node == node and member.key in keys)
        return next(places, None)

    def node(self, index: int) -> int:
        return self.committee[index].node

    def place_of(self, node: int) -> int | None:
        """Returns the index of the member that runs at `node`, whatever its key."""
        return next((place for place, member in enumerate(self.committee) if member.node == node), None)

    def cursors(self, parent: Block) -> tuple[int, ...]:
        """Returns the cursors on which a child of `parent` builds: lanes start again with the epoch."""
        return (0,) * self.n if parent.epoch != self.number or parent == self.start else parent.cursors

    def closes_on(self, parent: Block) -> bool:
        """Returns whether a child of `parent` in this epoch is a closing block (R28)."""
        return parent.epoch == self.number and parent.facts.ends_epoch

    def ending(self, record: Record, time_ms: int, epoch_ms: int | None) -> EndFields:
        """Returns the fields of an ordinary block of that time; `record` is the committee record at the height that it
        claims."""
        by_state = record.target != self.committee or record.ended >= self.number
        by_time = epoch_ms is not None and time_ms >= self.start.facts.time_ms + epoch_ms
        return EndFields(True, record.target) if by_state or by_time else GOES_ON

    def after(self, boundary: Block) -> "Epoch":
        assert boundary.next_set is not None
        return Epoch(self.number + 1, boundary.next_set, boundary, self.drawn)


@lru_cache(maxsize=64)
def _schedule(n: int, seed: int | None, boundary_view: int) -> Schedule:
    return Schedule(n, (), seed, boundary_view)


def make_block(
    epoch: Epoch,
    view: int,
    parent: Block,
    time_ms: int,
    payload: tuple[ListedBatch, ...],
    claim: tuple[int, bytes],
    rooted: tuple[int, bytes] | None = None,
    ending: EndFields = GOES_ON,
) -> Block:
    """Makes a block on `parent`; without `rooted` it claims its parent's state root."""
    cursors = list(epoch.cursors(parent))
    for item in payload:
        cursors[item.author] = item.seq + 1
    height, above = parent.facts.height + 1, parent.facts
    time_ms = max(time_ms, above.time_ms + 1)
    rooted = (above.rooted_height, parent.state_root) if rooted is None else rooted
    said = (epoch.number, view, height, above.view, above.digest, time_ms, payload, cursors, claim, rooted, ending)
    facts = BlockFacts(
        view,
        height,
        hash_of("block", *said),
        above.view,
        above.digest,
        epoch.leader(view),
        time_ms,
        bool(payload),
        claim[0],
        rooted[0],
        ending.ends_epoch,
    )
    return Block(facts, payload, tuple(cursors), claim[1], rooted[1], epoch.number, ending.next_set)
