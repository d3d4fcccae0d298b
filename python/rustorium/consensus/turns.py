"""The record of each leader's turns at this node: leaders to give more time (R16), and leaders to pass over (R17b).

Invariants: local policy about when to nullify, never about validity. At most f leaders are listed, never this node
itself. A full cycle passes over only leaders whose term isn't over by the clock. Everything is forgotten whenever two
more cycles' worth of views have passed without a final block, which all members count alike.
"""

from rustorium.consensus.schedule import Schedule

TERM_DOUBLINGS_MAX = 6
TERM_TURNS = 4
"""A term of 2^j cycles lasts at least 2^j times this factor times the length of the lost turn that began it."""
TERM_NS_MAX = 120_000_000_000
VIEWS_KEPT = 64
"""The number of views of listed leaders whose start time is remembered."""
LOST_MAX = 2
"""The number of turns lost in a row that puts a leader on the list."""


class Turns:
    """The list of leaders to pass over, with their terms on it."""

    __slots__ = ("_entered", "_late", "_listed", "_lost", "_lost_at", "_me", "_most", "_newest", "_schedule", "_span",
                 "_terms", "_until", "_window", "listed", "told_of_any")  # fmt: skip

    def __init__(self, schedule: Schedule, n: int, me: int | None) -> None:
        self._schedule, self._me = schedule, me
        self._most = (n - 1) // 3
        self._span = 2 * schedule.cycle_views
        self._window = 0
        self._newest = 0
        self._entered: dict[int, int] = {}
        self._late: set[int] = set()
        self._lost: dict[int, int] = {}
        self._lost_at: dict[int, int] = {}
        self._listed: dict[int, int] = {}
        self._until: dict[int, int] = {}
        """The times at which the listed leaders' terms are over by the clock."""
        self._terms: dict[int, int] = {}
        self.listed: tuple[int, ...] = ()
        """The leaders on the list."""
        self.told_of_any = False
        """`False` if no leader has lost a turn lately, so that there is nothing to forget."""

    # ---- effects

    def skips(self, now: int, view: int) -> bool:
        """Checks whether this node passes over the leader of `view` (R17b)."""
        turn = self._schedule.turn(view)
        return turn.leader in self._listed and not (turn.full and now >= self._until[turn.leader])

    def late(self, view: int) -> int:
        """Returns k of the view's leader (R16)."""
        if not self._late:
            return 0
        leader = self._schedule.leader(view)
        return int(leader in self._late and leader not in self._listed)

    def without_end(self, view: int, final_view: int) -> bool:
        """Checks whether at least two cycles' worth of views have passed without a final block (R16)."""
        return view - final_view >= self._span

    # ---- events

    def entered(self, now: int, view: int, final_view: int) -> None:
        """Notes the start of a view. Forgets everything about all leaders, in the same view at all members (R17b
        (a))."""
        if self.listed and self._schedule.leader(view) in self._listed:
            self._entered[view] = now
            if len(self._entered) > VIEWS_KEPT:
                del self._entered[next(iter(self._entered))]
        self._newest = view
        window = (view - final_view) // self._span
        if window > self._window:
            for kept in (self._late, self._lost, self._lost_at, self._listed, self._until, self._terms, self._entered):
                kept.clear()
            self._listed_anew()
        self._window = window

    def finalized(self, view: int, final_view: int) -> None:
        self._window = max(view - final_view, 0) // self._span

    def lost(self, now: int, view: int, took_ns: int) -> None:
        """Records a lost turn: a view whose leader this node didn't pass over was ended by this node's own timer, or by
        others after half of it, after `took_ns`."""
        turn = self._schedule.turn(view)
        leader = turn.leader
        self.told_of_any = True
        self._lost_at[leader] = view
        if leader in self._listed:
            return
        self._late.add(leader)
        lost = self._lost[leader] = self._lost.get(leader, 0) + 1
        if (lost < LOST_MAX and leader not in self._terms) or leader == self._me or self._most == 0:
            return
        times = self._terms[leader] = min(self._terms.get(leader, 0) + 1, TERM_DOUBLINGS_MAX)
        self._listed[leader] = turn.cycle + (1 << times)
        self._until[leader] = now + min(TERM_TURNS * took_ns << times, TERM_NS_MAX)
        if len(self._listed) > self._most:
            del self._listed[min(self._listed, key=lambda one: (self._lost_at[one], one))]
        self._listed_anew()

    def notarized(self, view: int, early: bool, quick: bool) -> None:
        """Records a turn that ended in a notarization, of a leader that this node didn't pass over. `early`: the
        proposal came within half of the time that a leader has without its own doubling. `quick`: the notarization came
        within half of the timer."""
        turn = self._schedule.turn(view)
        leader = turn.leader
        self._lost.pop(leader, None)
        if quick and turn.full:
            self._listed.pop(leader, None)
            if leader in self._terms:
                self._terms[leader] -= 1
                if not self._terms[leader]:
                    del self._terms[leader]
        if early and leader not in self._terms:
            self._late.discard(leader)
        self._listed_anew()

    def proposed(self, now: int, view: int, within_ns: int) -> None:
        """Takes a listed leader off the list after a proposal in time and after its term (R17b (c)). A proposal that
        comes before this node enters the view is in time."""
        turn = self._schedule.turn(view)
        until = self._listed.get(turn.leader)
        if until is None or turn.cycle <= until or now < self._until[turn.leader]:
            return
        entered = now if view > self._newest else self._entered.get(view)
        if entered is not None and now - entered <= within_ns:
            del self._listed[turn.leader]
            self._listed_anew()

    def _listed_anew(self) -> None:
        self.listed = tuple(sorted(self._listed))
        self.told_of_any = bool(self._late or self._lost or self._listed or self._terms)
