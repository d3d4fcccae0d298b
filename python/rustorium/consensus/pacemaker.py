"""When to ask, to give a view up, to resend and to beat: the timers, and the configuration of the core (R15 to R19).

Invariants: it only knows times and views, never why there is work; a deadline is computed from state whenever it is
asked for, so nothing has to be armed or cancelled; the timeout stays between floor and ceiling whatever happens.
"""

from dataclasses import dataclass, field
from enum import Enum

from rustorium.consensus.vocabulary import Certificate

NS_PER_MS = 1_000_000


@dataclass(frozen=True, slots=True)
class ConsensusConfig:
    """Local policy, of which each node may have its own, except `state_roots`, which the chain's parameters say."""

    delta_floor_ms: int = 100
    """Δ never falls below this: it must cover a network delay, a fetch, a sync and an execution."""
    delta_ceiling_ms: int = 8_000
    delta_start_ms: int = 200
    heartbeat_ms: int = 500
    claim_delay_ms: int = 20
    """How long an owed claim waits for a block that carries it anyway (R13)."""
    grace_ms: int = 20
    """How long a notarized block with content waits for its finalization before an empty block helps it (R12)."""
    parent_grace_ms: int = 3
    """How long a leader lets the block before become final until it extends it all the same (R4)."""
    distrust_views: int = 32
    """D: for how many views a lane that proved costly ends at what a quorum holds (R20)."""
    future_views_max: int = 64
    """Proposals this far above the current view are kept; later ones can be fetched once a certificate names them
    (R10)."""
    state_roots: bool = field(default=False, metadata={"chain": True})
    """Whether the chain makes state roots, so that they too can be owed (R13): the same at all validators."""

    def __post_init__(self) -> None:
        if not 0 < self.delta_floor_ms <= self.delta_start_ms <= self.delta_ceiling_ms:
            raise ValueError("needs 0 < delta_floor_ms <= delta_start_ms <= delta_ceiling_ms")
        if min(self.heartbeat_ms, self.future_views_max) <= 0:
            raise ValueError("heartbeat_ms and future_views_max must be above 0")
        if min(self.claim_delay_ms, self.grace_ms, self.parent_grace_ms, self.distrust_views) < 0:
            raise ValueError("claim_delay_ms, grace_ms, parent_grace_ms and distrust_views must not be below 0")


class Phase(Enum):
    """What a view's timer does next (R15, R18)."""

    ASK = "ask"
    GIVE_UP = "give up"
    RESEND = "resend"


class Pacemaker:
    """The current view, when it began, and what its timer has done so far."""

    __slots__ = ("_asked", "_ceiling_ns", "_floor_ns", "_heartbeat_ns", "_resend_at", "because", "delta_ns",
                 "entered_at", "heartbeat_at", "view")  # fmt: skip

    def __init__(self, config: ConsensusConfig, now: int, view: int, because: Certificate | None) -> None:
        self._floor_ns = config.delta_floor_ms * NS_PER_MS
        self._ceiling_ns = config.delta_ceiling_ms * NS_PER_MS
        self._heartbeat_ns = config.heartbeat_ms * NS_PER_MS
        self.delta_ns = config.delta_start_ms * NS_PER_MS
        self.heartbeat_at = now + self._heartbeat_ns
        self.enter(now, view, because)

    def enter(self, now: int, view: int, because: Certificate | None) -> None:
        """R2: a new view starts with its timer untouched."""
        self.view, self.entered_at, self.because = view, now, because
        self._asked = False
        self._resend_at: int | None = None

    def next_phase(self, since: int | None, proposal: bool, working: bool) -> tuple[Phase, int] | None:
        """R15, R18: what is due in this view and when, given since when there is something to wait for. A view that was
        given up is only resent while there is work; a proposal that this node alone saw is left to the heartbeat."""
        if since is None:
            return None
        if self._resend_at is not None:
            return (Phase.RESEND, self._resend_at) if working else None
        start = max(since, self.entered_at)
        if proposal:
            return Phase.GIVE_UP, start + 3 * self.delta_ns
        if self._asked:
            return Phase.GIVE_UP, start + 2 * self.delta_ns
        return Phase.ASK, start + self.delta_ns

    @property
    def given_up(self) -> bool:
        return self._resend_at is not None

    def asked(self) -> None:
        self._asked = True

    def gave_up(self, now: int, own_timer: bool) -> None:
        """R16: only a view whose own timer fired doubles Δ; a silent leader or f + 1 others prove nothing about
        delay."""
        if own_timer:
            self.delta_ns = min(2 * self.delta_ns, self._ceiling_ns)
        self._resend_at = now + self.delta_ns

    def resent(self, now: int) -> None:
        self._resend_at = now + self.delta_ns

    def finalized(self) -> None:
        """R16: each finalization halves Δ."""
        self.delta_ns = max(self.delta_ns // 2, self._floor_ns)

    def sent_a_frame(self, now: int) -> None:
        """R19: a vote or proposal tells the peers as much as a heartbeat does."""
        self.heartbeat_at = now + self._heartbeat_ns
