"""The reasons to propose in a view, and the claims of a proposal (R11 to R14, R20, R28).

Invariants: "work" is a time, not a flag: the time from which there is a reason for a block, `None` if there is no
reason. So leader and voters read the same rule, and timers need no handles. An idle chain has no work at all.
"""

from collections import deque
from collections.abc import Sequence

from rustorium.consensus.chain import Chain
from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.consensus.views import forget_through
from rustorium.consensus.vocabulary import BlockFacts


def earliest(times: Sequence[int | None]) -> int | None:
    """Returns the earliest of some times; `None` means never."""
    found = None
    for time in times:
        if time is not None and (found is None or time < found):
            found = time
    return found


class Work:
    """All reasons for a block, each with the time from which it holds."""

    __slots__ = ("_distrust_views", "_distrusted", "_end_due_since", "_listable_since", "_maybe_content", "_nullifies",
                 "_ready_since", "_rooted_since", "_state_roots", "_unfinal_since", "claim_delay_ns", "grace_ns",
                 "ready_claim", "ready_root", "wanted_claim")  # fmt: skip

    def __init__(self, config: ConsensusConfig, n: int) -> None:
        self.claim_delay_ns = config.claim_delay_ms * NS_PER_MS
        self.grace_ns = config.grace_ms * NS_PER_MS
        self._distrust_views = max(config.distrust_views, 2 * n)
        self._state_roots = config.state_roots
        self.ready_claim = 0
        self.ready_root = 0
        self.wanted_claim = 0
        self._ready_since = 0
        self._rooted_since = 0
        self._listable_since: int | None = None
        self._end_due_since: int | None = None
        self._nullifies: tuple[int, int] | None = None
        self._unfinal_since: dict[int, int] = {}
        self._maybe_content: deque[tuple[int, int]] = deque()
        self._distrusted: dict[int, int] = {}

    # ---- reports of the data plane

    def listable(self, now: int, listable: bool) -> None:
        if not listable:
            self._listable_since = None
        elif self._listable_since is None:
            self._listable_since = now

    def end_due(self, now: int, due: bool) -> None:
        if not due:
            self._end_due_since = None
        elif self._end_due_since is None:
            self._end_due_since = now

    def claim_ready(self, now: int, height: int) -> None:
        if height > self.ready_claim:
            self.ready_claim, self._ready_since = height, now

    def root_ready(self, now: int, height: int) -> None:
        if height > self.ready_root:
            self.ready_root, self._rooted_since = height, now

    def claim_wanted(self, height: int) -> None:
        self.wanted_claim = max(self.wanted_claim, height)

    def nullifies_seen(self, now: int, view: int) -> None:
        if self._nullifies is None or view > self._nullifies[0]:
            self._nullifies = (view, now)

    def opposed(self, view: int) -> bool:
        """Checks whether f + 1 members have nullified this view."""
        return self._nullifies is not None and self._nullifies[0] == view

    def notarized(self, now: int, view: int) -> None:
        if view not in self._unfinal_since:
            self._unfinal_since[view] = now
            self._maybe_content.append((view, now))

    def notarized_at(self, view: int | None) -> int | None:
        """Returns the time at which the notarization of `view` came; `None` if the view is final or not notarized."""
        return None if view is None else self._unfinal_since.get(view)

    def finalized(self, view: int) -> None:
        forget_through(self._unfinal_since, view)
        if self._maybe_content:
            self._maybe_content = deque([(v, at) for v, at in self._maybe_content if v > view])

    def lane_costly(self, lane: int, view: int) -> None:
        """Distrusts a lane whose batches only the leader had: for D views this node lists it only up to the seq that a
        quorum holds (R20). D covers this node's own next turn, whatever the committee's size."""
        self._distrusted[lane] = max(view + self._distrust_views, self._distrusted.get(lane, 0))

    # ---- conclusions from the reports

    def distrusted(self, view: int) -> tuple[int, ...]:
        return tuple(sorted(lane for lane, last_view in self._distrusted.items() if view <= last_view))

    def since(self, chain: Chain, view: int, entered_at: int) -> int | None:
        """Returns the earliest time (possibly in the future) from which there is work in `view` (R11)."""
        reasons = [self._unfinal_content_since(chain)] if self._maybe_content else []
        if self._nullifies is not None and self._nullifies[0] >= view:
            reasons.append(self._nullifies[1])
        tip = chain.tip()
        if tip is None or not tip.ends_epoch:  # R28: a closing block could bring none of these
            reasons += self._listable_since, self._end_due_since, self._owed_claim_since(chain, entered_at)
        return earliest(reasons)

    def claim_height(self, parent: BlockFacts) -> int:
        """Returns the height that a proposal on this parent claims: the newest agreed one, never below the parent's
        claim (R14). A closing block repeats its parent's claim (R28)."""
        if parent.ends_epoch:
            return parent.claimed_height
        return max(parent.claimed_height, min(self.ready_claim, parent.height))

    def root_height(self, parent: BlockFacts) -> int:
        """Returns the height up to which a proposal on this parent claims state roots (R14). It is what a quorum has,
        never above the proposal's own claim of execution (so not above its parent) and never below the parent's root
        claim."""
        if parent.ends_epoch:
            return parent.rooted_height
        return max(parent.rooted_height, min(self.ready_root, self.claim_height(parent)))

    def _unfinal_content_since(self, chain: Chain) -> int | None:
        """Returns the time from which unfinal content is work: after the grace in which its finalization normally comes
        (R12)."""
        while self._maybe_content:
            view, at = self._maybe_content[0]
            if chain.has_content(view):
                return at + self.grace_ns
            self._maybe_content.popleft()  # Unknown content counts as content, so a "no" is permanent.
        return None

    def _owed_claim_since(self, chain: Chain, entered_at: int) -> int | None:
        """Returns the time from which an owed claim that could be made now is work (R13): after a delay in which
        another block may carry it. A result that a client waits for is work at once."""
        final, tip = chain.blocks.get(chain.final_digest), chain.tip()
        if final is None or tip is None or chain.walk is not None:
            return None
        result = final.claimed_height < chain.payload_height and tip.claimed_height < self.ready_claim
        if result and tip.claimed_height < self.wanted_claim <= self.ready_claim:
            return self._ready_since
        if self._state_roots:
            return self._owed_root_since(chain.payload_height, final, tip, entered_at)
        return max(self._ready_since, entered_at) + self.claim_delay_ns if result else None

    def _owed_root_since(self, payload_height: int, final: BlockFacts, tip: BlockFacts, entered_at: int) -> int | None:
        """Returns the time from which owed claims are work on a chain with state roots (R13). One block brings all owed
        claims, once it can. A header claims no root above its result (R5), so a root is never claimed without its
        result."""
        if max(final.rooted_height, tip.rooted_height) >= payload_height:
            return None
        if self.root_height(tip) < payload_height:
            return None
        return max(self._ready_since, self._rooted_since, entered_at) + self.claim_delay_ns
