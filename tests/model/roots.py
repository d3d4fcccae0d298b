"""State roots: where root periods end, as headers alone determine, and which roots a node has.

Invariants: where a period ends depends on the headers below and on no action of a node. A known root never changes. A
node that has rooted a height has rooted the end of every period below it on that chain.
"""

from dataclasses import dataclass
from typing import NamedTuple

from model.ledger import Ledger
from model.reports import Reports
from model.vocabulary import GENESIS_STATE, Block
from rustorium.consensus.vocabulary import BlockFacts


@dataclass(frozen=True, slots=True)
class PeriodRule:
    """The rule for the end of a root period, in milliseconds of header time: a chain parameter."""

    longest_ms: int = 200
    """P: the next block at or after this age ends the period, whatever the load."""
    shortest_ms: int = 20
    """P_min: an empty block at or after this age ends it, if it has anything to root."""


class Period(NamedTuple):
    """The open root period of a chain that ends at some block."""

    start_ms: int
    has_payload: bool
    end: int
    """The height at which the period before it ended, 0: genesis, a period of its own."""
    end_digest: bytes


class MissingHeader(NamedTuple):
    """Raised if this node hasn't seen a header below a block, so that it can't tell where periods end."""

    digest: bytes


def closes(rule: PeriodRule, parent: BlockFacts, open_period: Period, time_ms: int, has_payload: bool) -> bool:
    """Returns whether a block of that time on `parent`, which is no closing block, ends the open period."""
    age_ms = time_ms - open_period.start_ms
    return (
        parent.height == 0
        or parent.ends_epoch
        or age_ms >= rule.longest_ms
        or (not has_payload and open_period.has_payload and age_ms >= rule.shortest_ms)
    )


def period_after(rule: PeriodRule, parent: BlockFacts, open_period: Period, time_ms: int, has_payload: bool) -> Period:
    """Returns the open period after such a block on `parent`."""
    if closes(rule, parent, open_period, time_ms, has_payload):
        return Period(time_ms, has_payload, parent.height, parent.digest)
    return open_period._replace(has_payload=open_period.has_payload or has_payload)


class Roots:
    """One node's roots, and its peers' reports."""

    def __init__(self, me: int | None, rule: PeriodRule, ledger: Ledger, blocks: dict[bytes, Block]) -> None:
        self._rule, self._ledger, self._blocks = rule, ledger, blocks
        first = ledger.blocks[0].facts
        self._periods: dict[bytes, Period] = {first.digest: Period(0, False, 0, first.digest)}
        self._known: dict[int, bytes] = {0: GENESIS_STATE}
        self._wanted: set[int] = set()
        self.reports = Reports(me, ledger.epoch.n, self.known)
        self.newest = 0
        self._load_base()

    # ---- periods

    def period(self, digest: bytes) -> Period | MissingHeader:
        """Returns the open period of a chain that ends at this block."""
        path: list[Block] = []
        while digest not in self._periods:
            block = self._blocks.get(digest)
            if block is None:
                return MissingHeader(digest)
            path.append(block)
            digest = block.facts.parent
        period = self._periods[digest]
        for block in reversed(path):
            facts, parent = block.facts, self._blocks[block.facts.parent].facts
            period = period_after(self._rule, parent, period, facts.time_ms, facts.has_payload)
            self._periods[facts.digest] = period
        return period

    def newest_end(self, period: Period, height: int) -> int:
        """Returns the newest end of a period at or below `height`, on the chain with this open `period`."""
        while period.end > height:
            period = self._periods[period.end_digest]
        return period.end

    def period_on(self, parent: Block, time_ms: int, has_payload: bool) -> Period | MissingHeader:
        """Returns the period that would be open after such a block on `parent`."""
        below = self.period(parent.facts.digest)
        if isinstance(below, MissingHeader):
            return below
        return period_after(self._rule, parent.facts, below, time_ms, has_payload)

    # ---- what to root

    def want(self, height: int) -> None:
        """Notes that a proposal claims the root of this height."""
        self._wanted.add(height)

    def due(self) -> int | None:
        """Returns the lowest height that must be rooted: ends of the final chain's periods, and the claims of
        proposals."""
        heights = {height for height in self._wanted if height <= self._ledger.height}
        period = self._final_period()
        while period.end > self.newest:
            heights.add(period.end)
            period = self._periods[period.end_digest]
        return min((height for height in heights if height not in self._known), default=None)

    def ahead_from_ms(self) -> int | None:
        """Returns the time from which the final tip is rooted, `None` if there is nothing to root: when an empty block
        could end the period there. Rooting in each short pause between two blocks would root every height."""
        if not self._final_period().has_payload or self._ledger.height in self._known:
            return None
        return self._ledger.tip.facts.time_ms + self._rule.shortest_ms

    def known(self, height: int) -> bytes | None:
        return self._known.get(height)

    def rooted(self, height: int) -> bytes:
        """Takes the root of an executed height, and compares it with peers' reports of that height."""
        root = self._known[height] = self._ledger.states[height]
        self._wanted.discard(height)
        self.newest = max(self.newest, height)
        self.reports.reached(self.newest)
        return root

    # ---- helpers

    def _final_period(self) -> Period:
        period = self.period(self._ledger.tip.facts.digest)
        assert isinstance(period, Period), "every final block is held"
        return period

    def _load_base(self) -> None:
        """Loads the roots that the stored tip claims; after a restart, those above are computed again."""
        claimed, period = self._ledger.tip.facts.rooted_height, self._final_period()
        end = self.newest_end(period, claimed)
        while end > 0:
            self._known[end] = self._ledger.states[end]
            end = self.newest_end(period, end - 1)
        self.newest = max(self._known)
        self.reports.reached(self.newest)
