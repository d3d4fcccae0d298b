"""The timers and the configuration of the core: when to ask, give a view up, resend and send heartbeats (R15 to R19).

Invariants: the pacemaker knows times and views only, never the reason for work. A deadline is computed from state
whenever it is asked for, so no timer has to be armed or cancelled. The timeout always stays between floor and ceiling.
"""

from dataclasses import dataclass, field
from enum import Enum

from rustorium.consensus.vocabulary import Certificate

NS_PER_US, NS_PER_MS = 1_000, 1_000_000
VIEWS_KEPT = 64
DOUBLINGS_MAX = 40
"""The most doublings of a timer: more than any configuration needs."""


@dataclass(frozen=True, slots=True)
class ConsensusConfig:
    """Local policy that may differ between nodes, except `state_roots`, which the chain's parameters fix."""

    delta_floor_ms: int = 100
    """The lower bound of Δ, where round trips don't raise it: it must cover a network delay, a fetch, a sync and an
    execution."""
    delta_ceiling_ms: int = 8_000
    delta_start_ms: int = 200
    """The lower bound of Δ at each start: the floor, doubled until it reaches this value (R16)."""
    heartbeat_ms: int = 500
    claim_delay_ms: int = 20
    """Time that an owed claim waits for a block that carries it anyway (R13)."""
    grace_ms: int = 20
    """Time that a notarized block with content waits for its finalization before an empty block helps it (R12)."""
    parent_grace_ms: int = 3
    """Time that a leader waits for its parent to become final before it extends it anyway (R4)."""
    distrust_views: int = 32
    """D: the number of views in which a lane that proved costly ends at the seq that a quorum holds (R20)."""
    measured_pace: bool = True
    """`True` if measured round trips raise these times: the lower bound of Δ, the two graces and the claims' delay
    (R53)."""
    future_views_max: int = 64
    """Proposals up to this many views above the current one are kept. Later ones can be fetched once a certificate
    names them (R10)."""
    state_roots: bool = field(default=False, metadata={"chain": True})
    """`True` if the chain makes state roots, which can then be owed too (R13). The same at all validators."""

    def __post_init__(self) -> None:
        if not 0 < self.delta_floor_ms <= self.delta_start_ms <= self.delta_ceiling_ms:
            raise ValueError("needs 0 < delta_floor_ms <= delta_start_ms <= delta_ceiling_ms")
        if min(self.heartbeat_ms, self.future_views_max) <= 0:
            raise ValueError("heartbeat_ms and future_views_max must be above 0")
        if min(self.claim_delay_ms, self.grace_ms, self.parent_grace_ms, self.distrust_views) < 0:
            raise ValueError("claim_delay_ms, grace_ms, parent_grace_ms and distrust_views must not be below 0")


def _doublings(floor: int, wanted: int) -> int:
    """Returns the least number of doublings that take `floor` to `wanted` or above."""
    return max(0, (-(-wanted // floor) - 1).bit_length())


class Phase(Enum):
    """The next step of a view's timer (R15, R18)."""

    ASK = "ask"
    GIVE_UP = "give up"
    RESEND = "resend"


class Pacemaker:
    """The current view, the time of its start, and the steps that its timer has taken."""

    __slots__ = ("_asked", "_began", "_ceiling_ns", "_heartbeat_ns", "_resend_at", "backoff", "backoff_max", "because",
                 "common_ns", "delta_ns", "entered_at", "floor_ns", "heartbeat_at", "view")  # fmt: skip

    def __init__(self, config: ConsensusConfig, now: int, view: int, backoff: int | None) -> None:
        self.floor_ns = config.delta_floor_ms * NS_PER_MS
        """The lower bound of Δ in views of the present leader. It counts from the next `set_timer` or `begin` on."""
        self._ceiling_ns = config.delta_ceiling_ms * NS_PER_MS
        self._heartbeat_ns = config.heartbeat_ms * NS_PER_MS
        self.backoff_max = _doublings(config.delta_floor_ms, config.delta_ceiling_ms)
        start = _doublings(config.delta_floor_ms, config.delta_start_ms)
        self.backoff = min(max(start, backoff or 0), self.backoff_max)
        """K: the number of doublings in every view's timer."""
        self._began: dict[int, tuple[int, int]] = {}
        """Start of the timers of the newest views, and Δ without their leaders' own backoff. Filled while K is
        above 0."""
        self.heartbeat_at = now + self._heartbeat_ns
        self.begin(now, view, None, 0)

    def set_timer(self, late: int) -> None:
        """Sets Δ of this view, and the common Δ, which has no doubling for a late leader (R16)."""
        self.common_ns = min(self._ceiling_ns, self.floor_ns << min(self.backoff, DOUBLINGS_MAX))
        self.delta_ns = min(self._ceiling_ns, self.common_ns << late)

    @property
    def doubled_ns(self) -> int:
        """Δ in the view of a leader that was late (R16)."""
        return min(self._ceiling_ns, self.common_ns << 1)

    def enter(self, now: int, view: int, because: Certificate | None, late: int, since: int | None) -> None:
        """Enters a new view with an untouched timer (R2). `since`: the time from which the timer of the ending view
        ran."""
        if self.backoff:
            self._note_begin(now, since)
        self.begin(now, view, because, late)

    def begin(self, now: int, view: int, because: Certificate | None, late: int) -> None:
        self.view, self.entered_at, self.because = view, now, because
        self._asked = False
        self._resend_at: int | None = None
        self.set_timer(late)

    def _note_begin(self, now: int, since: int | None) -> None:
        self._began[self.view] = (now if since is None else max(since, self.entered_at), self.common_ns)
        if len(self._began) > VIEWS_KEPT:
            del self._began[next(iter(self._began))]

    def next_phase(self, since: int | None, proposal_at: int | None, working: bool) -> tuple[Phase, int] | None:
        """Returns the next timer step of this view and its time, or `None` if there is nothing to wait for (R15, R18).
        `since` is the time from which there is something to wait for. A view that was given up is only resent while
        there is work; a proposal that only this node saw is left to the heartbeat."""
        if since is None:
            return None
        if self._resend_at is not None:
            return (Phase.RESEND, self._resend_at) if working else None
        start = max(since, self.entered_at)
        if proposal_at is not None:
            # A late leader may propose late, but then its block gets no more time than another leader's.
            return Phase.GIVE_UP, max(start + 3 * self.common_ns, proposal_at + self.common_ns)
        if self._asked:
            return Phase.GIVE_UP, start + 2 * self.delta_ns
        return Phase.ASK, start + self.delta_ns

    @property
    def given_up(self) -> bool:
        return self._resend_at is not None

    def asked(self) -> None:
        self._asked = True

    def gave_up(self, now: int) -> None:
        self._resend_at = now + self.delta_ns

    def back_off(self) -> None:
        """Doubles all timers: the chain as a whole is slower than they are (R16)."""
        self.backoff = min(self.backoff + 1, self.backoff_max)

    def resent(self, now: int) -> None:
        self._resend_at = now + self.delta_ns

    def long_since(self, now: int, since: int | None) -> int | None:
        """Returns the time that this view's timer has run, if that is half of the shortest timer (R17b)."""
        ran = 0 if since is None else now - max(since, self.entered_at)
        return ran if ran >= self.common_ns else None

    def quick(self, now: int, since: int | None) -> bool:
        """Checks whether this view has taken at most half of its timer so far (R17b)."""
        return since is None or now - max(since, self.entered_at) <= 3 * self.delta_ns // 2

    def early(self, proposed: int, since: int | None) -> bool:
        """Checks whether a proposal that came at `proposed` took at most half of the time of a leader whose k is 0
        (R16)."""
        return since is None or proposed - max(since, self.entered_at) <= self.common_ns

    def finalized(self, now: int, view: int, since: int | None) -> None:
        """Halves all timers if the final block came within half the timer of its view: it would have come within the
        new timers, too (R16)."""
        if not self.backoff:
            return
        if view == self.view:
            self._note_begin(now, since)
        began = self._began.get(view)
        if began is not None and now - began[0] <= 3 * began[1] // 2:
            self.backoff -= 1
            self.set_timer(int(self.delta_ns > self.common_ns))
        self._began = {v: at for v, at in self._began.items() if v > view} if self.backoff else {}

    def sent_a_frame(self, now: int) -> None:
        """Postpones the heartbeat, because a vote or proposal also shows that the core is alive (R19)."""
        self.heartbeat_at = now + self._heartbeat_ns
