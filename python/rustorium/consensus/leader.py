"""Who leads a view, and whether there is a reason to propose in it (R1, R11, R12, R13, R14, R20).

Invariants: "work" is a moment, not a flag: the time from which there is a reason for a block, None when there is none,
so that leader and voters read the same rule and timers need no handles; an idle chain has no work at all.
"""

from rustorium.consensus.chain import Chain
from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig


def leader_of(view: int, n: int) -> int:
    """R1: round robin over the committee of the epoch."""
    return view % n


class Work:
    """Everything that can be a reason for a block, each with the time since when it has been one."""

    __slots__ = ("_claim_delay_ns", "_distrust_views", "_distrusted", "_grace_ns", "_listable_since", "_nullifies",
                 "_ready_since", "_unfinal_since", "ready_claim", "wanted_claim")  # fmt: skip

    def __init__(self, config: ConsensusConfig) -> None:
        self._claim_delay_ns = config.claim_delay_ms * NS_PER_MS
        self._grace_ns = config.grace_ms * NS_PER_MS
        self._distrust_views = config.distrust_views
        self.ready_claim = 0
        self.wanted_claim = 0
        self._ready_since = 0
        self._listable_since: int | None = None
        self._nullifies: tuple[int, int] | None = None
        self._unfinal_since: dict[int, int] = {}
        self._distrusted: dict[int, int] = {}

    # ---- what the data plane reports

    def listable(self, now: int, listable: bool) -> None:
        if not listable:
            self._listable_since = None
        elif self._listable_since is None:
            self._listable_since = now

    def claim_ready(self, now: int, height: int) -> None:
        if height > self.ready_claim:
            self.ready_claim, self._ready_since = height, now

    def claim_wanted(self, height: int) -> None:
        self.wanted_claim = max(self.wanted_claim, height)

    def nullifies_seen(self, now: int, view: int) -> None:
        if self._nullifies is None or view > self._nullifies[0]:
            self._nullifies = (view, now)

    def notarized(self, now: int, view: int) -> None:
        self._unfinal_since.setdefault(view, now)

    def finalized(self, view: int) -> None:
        self._unfinal_since = {v: at for v, at in self._unfinal_since.items() if v > view}

    def lane_costly(self, lane: int, view: int) -> None:
        """R20: a lane whose batches only their leader had ends, for D views, at what a quorum holds."""
        self._distrusted[lane] = max(view + self._distrust_views, self._distrusted.get(lane, 0))

    # ---- what follows from it

    def distrusted(self, view: int) -> tuple[int, ...]:
        return tuple(sorted(lane for lane, last_view in self._distrusted.items() if view <= last_view))

    def since(self, chain: Chain, view: int, entered_at: int) -> int | None:
        """R11: the earliest time (it may lie ahead) from which there is work in `view`."""
        times = [
            self._listable_since,
            self._nullifies[1] if self._nullifies is not None and self._nullifies[0] >= view else None,
            self._unfinal_content_since(chain),
            self._owed_claim_since(chain, entered_at),
        ]
        return min((at for at in times if at is not None), default=None)

    def claim_height(self, parent_claim: int, parent_height: int) -> int:
        """R14: what a proposal on such a parent claims: the newest agreed height, never below what the parent
        claims."""
        return max(parent_claim, min(self.ready_claim, parent_height))

    def _unfinal_content_since(self, chain: Chain) -> int | None:
        """R12: content that isn't final is work, but only after the grace in which its finalization normally comes."""
        times = [at for view, at in self._unfinal_since.items() if chain.has_content(view)]
        return min(times) + self._grace_ns if times else None

    def _owed_claim_since(self, chain: Chain, entered_at: int) -> int | None:
        """R13: an owed claim that could be made now, after a delay in which another block could carry it."""
        final, tip = chain.final_facts(), chain.tip()
        if final is None or tip is None or chain.walking_at() is not None:
            return None
        if final.claimed_height >= chain.payload_height or self.ready_claim <= tip.claimed_height:
            return None
        if tip.claimed_height < self.wanted_claim <= self.ready_claim:
            return self._ready_since
        return max(self._ready_since, entered_at) + self._claim_delay_ns
