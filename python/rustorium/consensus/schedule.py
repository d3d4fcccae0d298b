"""The leader of each view (R1): cycles over the leaders, and every 32nd cycle over the whole committee.

Invariants: the schedule is a pure function of what all members share: committee, leaders, seed and the epoch's first
view. The data plane computes the same; the vectors in `tests/vectors/leaders.json` hold both to it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

FULL_EVERY = 32
"""Cycles per full cycle: one cycle in 32 covers the whole committee. It passes over listed leaders only while their
terms run (R17b)."""
MASK = (1 << 64) - 1
CYCLES_KEPT = 64
MEMBERS_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Turn:
    """One view's place in the schedule."""

    leader: int
    cycle: int
    """The number of the cycle, from 0 at the epoch's first view."""
    full: bool
    """`True` if the cycle covers the whole committee."""


class Schedule:
    """The leaders of one epoch's views."""

    __slots__ = ("_all", "_first_view", "_leaders", "_newest", "_orders", "_seed")

    def __init__(self, n: int, leaders: Sequence[int] = (), seed: int | None = None, boundary_view: int = 0) -> None:
        """`leaders`: those of ordinary cycles; empty: all. `seed`: `None` on a chain of protocol version 1, where the
        leaders take turns by index."""
        assert 0 < n <= MEMBERS_MAX
        self._all = tuple(range(n))
        self._leaders = tuple(leaders) or self._all
        self._seed = seed
        self._first_view = boundary_view + 1
        self._orders: dict[int, tuple[int, ...]] = {}
        self._newest: tuple[int, Turn] = (-1, Turn(0, 0, False))

    @property
    def cycle_views(self) -> int:
        """The number of views in an ordinary cycle."""
        return len(self._leaders)

    def leader(self, view: int) -> int:
        """Returns the leader of `view` (R1)."""
        return view % len(self._all) if self._seed is None else self.turn(view).leader

    def turn(self, view: int) -> Turn:
        """Returns the place of `view` (R1). Views at or below the boundary belong to no cycle and count as the first
        view."""
        if self._newest[0] != view:
            self._newest = (view, self._turn(view))
        return self._newest[1]

    def _turn(self, view: int) -> Turn:
        m, n = len(self._leaders), len(self._all)
        period, within = divmod(max(view - self._first_view, 0), (FULL_EVERY - 1) * m + n)
        full = within >= (FULL_EVERY - 1) * m
        cycle, place = (FULL_EVERY - 1, within - (FULL_EVERY - 1) * m) if full else divmod(within, m)
        cycle += FULL_EVERY * period
        if self._seed is None:
            return Turn(view % n, cycle, full)
        return Turn(self._order(cycle, full)[place], cycle, full)

    def _order(self, cycle: int, full: bool) -> tuple[int, ...]:
        order = self._orders.get(cycle)
        if order is None:
            assert self._seed is not None
            order = permuted(self._all if full else self._leaders, self._seed ^ cycle)
            if len(self._orders) >= CYCLES_KEPT:
                self._orders.clear()
            self._orders[cycle] = order
        return order


def permuted(members: Sequence[int], seed: int) -> tuple[int, ...]:
    """Returns the Fisher-Yates permutation of `members` from the last place down, drawn with splitmix64 from `seed`
    on."""
    order = list(members)
    state = seed & MASK
    for last in range(len(order) - 1, 0, -1):
        state = (state + 0x9E3779B97F4A7C15) & MASK
        mixed = ((state ^ (state >> 30)) * 0xBF58476D1CE4E5B9) & MASK
        mixed = ((mixed ^ (mixed >> 27)) * 0x94D049BB133111EB) & MASK
        other = (mixed ^ (mixed >> 31)) % (last + 1)
        order[last], order[other] = order[other], order[last]
    return tuple(order)
