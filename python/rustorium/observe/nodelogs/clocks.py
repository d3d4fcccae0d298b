"""Estimates the offsets between the clocks of nodes from their log lines about the same blocks.

A proposer writes `proposed` just before a block leaves, and every node writes `final` once it has executed it. No
message arrives before it is sent. So, with a clock's offset as its difference from a common one:

  final_i - proposed_p >= offset_i - offset_p,   for the proposer p of the block and every other node i.

Each pair of lines so bounds one difference from above; of many blocks the least counts, the one that went fastest. As
leaders rotate there are bounds for both directions, and along paths of nodes too (shortest paths). They enclose each
difference, as a round trip does in NTP. The estimate is the middle, and half the width is its bound: half of the
fastest time from one proposal to the other node's execution and back. With the middles of one reference all observed
orders hold.

Invariants: whole milliseconds. Memory is bounded by nodes and windows. Older lines give way to newer ones, so a
drifting clock is followed. A clock that was set shows as a contradiction; then the lines before it are forgotten.
"""

from collections import OrderedDict, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from statistics import median_low

from rustorium.observe.nodelogs.lines import Entry

WINDOW = 32
"""Number of blocks of one proposer that count for a pair of nodes."""
BLOCKS_MAX = 1_024
"""Number of blocks of which some lines are still awaited."""
INFINITE = 1 << 60

Block = tuple[int, int, int]


@dataclass(frozen=True, slots=True)
class Offset:
    """A clock's difference from the net's median clock, ms. That clock, the median of a first estimate, has the bound
    0."""

    ms: int
    bound_ms: int | None
    """Maximum error of `ms`; `None` if the lines bound it on one side at most."""


@dataclass(slots=True)
class _Seen:
    proposed: tuple[int, int] | None = None
    final: dict[int, int] = field(default_factory=dict)


class Clocks:
    """The offsets of `count` nodes, from the lines that `see` gets."""

    def __init__(self, count: int) -> None:
        self._count = count
        self._blocks: OrderedDict[Block, _Seen] = OrderedDict()
        self._samples: dict[tuple[int, int], deque[int]] = {}
        self._fresh = 0
        self.jumps = 0
        """Number of contradictions: each means that a clock was set."""
        self.offsets: list[Offset] = [Offset(0, None)] * count

    def see(self, node: int, entry: Entry) -> None:
        """Takes a line of a node; most lines say nothing about clocks."""
        if entry.event not in ("proposed", "final"):
            return
        place = entry.whole("epoch"), entry.whole("height"), entry.whole("view")
        if place[0] is None or place[1] is None or place[2] is None:
            return
        seen = self._block((place[0], place[1], place[2]))
        if entry.event == "final":
            if seen.final.setdefault(node, entry.ts) == entry.ts and seen.proposed is not None:
                self._sample(*seen.proposed, node, entry.ts)
        elif seen.proposed is None:
            seen.proposed = (node, entry.ts)
            for other, ts in seen.final.items():
                self._sample(node, entry.ts, other, ts)
        if self._fresh >= max(8, self._count):
            self.solve()

    def _block(self, block: Block) -> _Seen:
        seen = self._blocks.get(block)
        if seen is None:
            seen = self._blocks[block] = _Seen()
            if len(self._blocks) > BLOCKS_MAX:
                self._blocks.popitem(last=False)
        return seen

    def _sample(self, proposer: int, proposed: int, node: int, final: int) -> None:
        if proposer != node:
            self._samples.setdefault((proposer, node), deque(maxlen=WINDOW)).append(final - proposed)
            self._fresh += 1

    def solve(self) -> None:
        """Computes the estimates again."""
        self._fresh = 0
        ways = self._shortest()
        while any(ways[node][node] < 0 for node in range(self._count)):
            self.jumps += 1
            for samples in self._samples.values():
                for _ in range((len(samples) + 1) // 2 if len(samples) > 1 else 0):
                    samples.popleft()
            if all(len(samples) <= 1 for samples in self._samples.values()):
                self._samples.clear()
            ways = self._shortest()
        self.offsets = _offsets(ways)

    def _shortest(self) -> list[list[int]]:
        """Returns `ways[p][i]`: the least known upper bound of offset_i - offset_p (Floyd, Warshall)."""
        nodes = range(self._count)
        ways = [[0 if p == i else INFINITE for i in nodes] for p in nodes]
        for (p, i), samples in self._samples.items():
            ways[p][i] = min(samples)
        for via in nodes:
            through = ways[via]
            for row in ways:
                if row[via] < INFINITE:
                    first = row[via]
                    for i in nodes:
                        if through[i] < INFINITE and first + through[i] < row[i]:
                            row[i] = first + through[i]
        return ways


def _offsets(ways: Sequence[Sequence[int]]) -> list[Offset]:
    nodes = range(len(ways))
    if not nodes:
        return []
    # The first reference is the node whose clock is tied to most others, in both directions.
    tied = [[i for i in nodes if ways[r][i] < INFINITE and ways[i][r] < INFINITE] for r in nodes]
    first = max(nodes, key=lambda r: len(tied[r]))
    # The last reference is the median of those, so that the bounds hold for the reported value: the distance from that
    # clock.
    by_first = _offsets_to(ways, first)
    median = median_low((by_first[i].ms, i) for i in tied[first])[1]
    return _offsets_to(ways, median)


def _offsets_to(ways: Sequence[Sequence[int]], reference: int) -> list[Offset]:
    """Returns each clock's difference from that of `reference`."""
    found = []
    for i in range(len(ways)):
        above, below = ways[reference][i], ways[i][reference]
        if above < INFINITE and below < INFINITE:
            found.append(Offset((above - below) // 2, (above + below + 1) // 2))
        else:
            # With one bound or none, the allowed offset nearest to 0 is used.
            low, high = -below if below < INFINITE else -INFINITE, above
            found.append(Offset(min(max(0, low), high), None))
    return found
