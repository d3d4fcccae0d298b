"""The vote-once guard: which votes this node has cast, and so which it may still cast (R6, R7, R8, R23, R24, R27).

Invariants: per view at most one notarize and one finalize. Never a nullify and a finalize of one view, in either order.
No vote at or below the last finalization, and no vote at all after `halt`. The guard only ever says no: it doesn't know
the reason for a vote.
"""

from collections.abc import Iterable

from rustorium.consensus.views import forget_through
from rustorium.consensus.vocabulary import OwnVote, VoteKind


class VoteGuard:
    """The guard of this node's votes. The same is asserted again, on other data, in front of the signing key."""

    __slots__ = ("_finalized", "_floor", "_notarized", "_nullified", "halted")

    def __init__(self) -> None:
        self._floor = 0
        self.halted = False
        """`True` once this node votes no more."""
        self._notarized: dict[int, bytes | None] = {}
        self._nullified: set[int] = set()
        self._finalized: dict[int, bytes | None] = {}

    def restore(self, votes: Iterable[OwnVote]) -> None:
        """Takes in the votes that the journal holds (R22): a vote that may have left counts as cast."""
        for vote in votes:
            self._note(vote.kind, vote.view, vote.digest)

    def halt(self) -> None:
        """Ends all voting. This node's execution differs from the quorum's (R24), or it may have signed something that
        a new vote would contradict (R27)."""
        self.halted = True

    def may_notarize(self, view: int) -> bool:
        """Checks R6. A nullify of the same view doesn't matter: a node may cast both in one view."""
        return self._open(view) and view not in self._notarized

    def may_nullify(self, view: int) -> bool:
        """Checks R7: refuses if a finalize of the view has left, otherwise a view could end both ways."""
        return self._open(view) and view not in self._nullified and view not in self._finalized

    def may_finalize(self, view: int) -> bool:
        """Checks R8: refuses if a nullify of the view has left."""
        return self._open(view) and view not in self._finalized and view not in self._nullified

    def has_nullified(self, view: int) -> bool:
        return view in self._nullified

    def has_notarized(self, view: int) -> bool:
        return view in self._notarized

    def cast(self, kind: VoteKind, view: int, digest: bytes | None) -> None:
        """Records a vote that is about to leave; the machine has called the matching `may_` before."""
        match kind:
            case VoteKind.NOTARIZE:
                assert self.may_notarize(view), f"second notarize in view {view}"
            case VoteKind.NULLIFY:
                assert self.may_nullify(view), f"nullify excluded in view {view}"
            case VoteKind.FINALIZE:
                assert self.may_finalize(view), f"finalize excluded in view {view}"
        self._note(kind, view, digest)

    def note_own_block(self, view: int, digest: bytes) -> None:
        """Records an own proposal as this node's notarize vote: the data plane cast it when it built the block (R4)."""
        if view > self._floor:
            self._notarized.setdefault(view, digest)

    def refused(self, kind: VoteKind, view: int) -> None:
        """Records a refused vote as spent, without a digest: the journal holds a vote that excludes it (R23). A refused
        nullify says that a finalize left, and the reverse. Counting both as spent can cost time, never safety."""
        if view > self._floor:
            self._note(kind, view, None)

    def forget_through(self, view: int) -> None:
        """Forgets the votes up to `view`, the last final one: no vote is cast there any more (R10)."""
        self._floor = max(self._floor, view)
        forget_through(self._notarized, view)
        forget_through(self._finalized, view)
        if self._nullified:
            self._nullified = {v for v in self._nullified if v > view}

    def _open(self, view: int) -> bool:
        return not self.halted and view > self._floor

    def _note(self, kind: VoteKind, view: int, digest: bytes | None) -> None:
        match kind:
            case VoteKind.NOTARIZE:
                self._notarized.setdefault(view, digest)
            case VoteKind.NULLIFY:
                self._nullified.add(view)
            case VoteKind.FINALIZE:
                self._finalized.setdefault(view, digest)
