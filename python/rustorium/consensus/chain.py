"""What this node knows of blocks and certificates at and above the last finalization (R3, R5, R9, R10, R28).

Invariants: it holds facts, no votes and no time; everything above the last finalization is kept, everything below it is
forgotten; a block is judged by certificates alone, never by what this node would rather have.
"""

from dataclasses import dataclass, replace
from enum import Enum

from rustorium.consensus.views import Notarized, Runs
from rustorium.consensus.vocabulary import BlockFacts, PayloadStatus


@dataclass(frozen=True, slots=True)
class Parent:
    """A certified block that a proposal may extend."""

    view: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class MissingCertificates:
    """Neither notarization nor nullification is known for some of these views (inclusive)."""

    first_view: int
    last_view: int


@dataclass(frozen=True, slots=True)
class MissingBlock:
    """A certified block whose header this node hasn't seen."""

    view: int
    digest: bytes


class Verdict(Enum):
    """What R5 says of a proposal once nothing is missing."""

    ACCEPT = "accept"
    REJECT = "reject"


class Chain:
    """The finalized block, and the notarized tree and nullified views above it: of one epoch."""

    __slots__ = ("_floor_height", "_proposals", "_status", "_walk", "blocks", "final_digest", "final_view", "notarized",
                 "nullified", "payload_height")  # fmt: skip

    def __init__(self, final: BlockFacts, payload_height: int) -> None:
        self.final_view = final.view
        self.final_digest = final.digest
        # R28: a boundary that is final before the epoch begins ended the one before: here it is a parent like any other
        self.blocks: dict[bytes, BlockFacts] = {final.digest: replace(final, ends_epoch=False)}
        self.notarized = Notarized()
        self.nullified = Runs()
        self.payload_height = payload_height
        self._status: dict[bytes, PayloadStatus] = {}
        self._proposals: dict[int, bytes] = {}
        self._floor_height = final.height
        self._walk: Parent | None = None

    # ---- blocks

    def learn(self, block: BlockFacts, status: PayloadStatus) -> None:
        """R10: keeps a block above the last finalization, or the one that the walk for payloads waits for."""
        wanted = self._walk is not None and self._walk.digest == block.digest
        if block.view <= self.final_view and not wanted and block.digest != self.final_digest:
            return
        block = self.blocks.setdefault(block.digest, block)
        if block.view > self.final_view:
            if self._status.get(block.digest) is not PayloadStatus.READY:  # a late PENDING takes nothing back
                self._status[block.digest] = status
            first = self._proposals.setdefault(block.view, block.digest)
            if self._status[first] is PayloadStatus.INVALID:
                self._proposals[block.view] = self._first_valid(block.view) or first
        if wanted:
            self._resume_walk()

    def proposal(self, view: int) -> tuple[BlockFacts, PayloadStatus] | None:
        """The first proposal of `view` that isn't known to break a rule."""
        digest = self._proposals.get(view)
        if digest is None or self._status[digest] is PayloadStatus.INVALID:
            return None
        return self.blocks[digest], self._status[digest]

    def _first_valid(self, view: int) -> bytes | None:
        """R6: the first proposal of the view, as they came, that isn't known to break a rule."""
        known = (digest for digest, block in self.blocks.items() if block.view == view)
        return next((digest for digest in known if self._status[digest] is not PayloadStatus.INVALID), None)

    def final_facts(self) -> BlockFacts | None:
        return self.blocks.get(self.final_digest)

    # ---- certificates

    def certified(self, view: int) -> bytes | None:
        """The digest that may be a parent in `view`: the finalized one, or a notarized one above it."""
        return self.final_digest if view == self.final_view else self.notarized.get(view)

    def has_certificate(self, view: int) -> bool:
        """Whether a certificate of `view` is known, or of a final view at or above it."""
        return view <= self.final_view or view in self.notarized or view in self.nullified

    def newest_certified(self) -> int:
        """The newest view with a block that may be a parent."""
        newest = self.notarized.newest()
        return self.final_view if newest is None else newest

    def newest_parent(self, view: int) -> Parent | MissingCertificates:
        """R3: the newest certified block below `view` such that every view between is nullified."""
        newest = self.notarized.newest_below(view)
        below = self.final_view if newest is None else newest
        nullified_from = self.nullified.run_start(view - 1)
        if nullified_from <= below + 1:
            digest = self.certified(below)
            assert digest is not None
            return Parent(below, digest)
        return MissingCertificates(self._gap_start(nullified_from - 1), nullified_from - 1)

    def judge(self, block: BlockFacts) -> Verdict | MissingCertificates | MissingBlock:
        """R5: may this node notarize `block`, as far as header, ancestry and certificates go?"""
        if not self.final_view <= block.parent_view < block.view:
            return Verdict.REJECT
        certified = self.certified(block.parent_view)
        if certified is not None and certified != block.parent:
            return Verdict.REJECT
        # The first and the last view between that isn't nullified, if there is one.
        first = self.nullified.run_end(block.parent_view + 1) + 1
        last = self.nullified.run_start(block.view - 1) - 1
        if certified is None:
            return MissingCertificates(block.parent_view, max(last, block.parent_view))
        if first < block.view:
            return MissingCertificates(first, last)
        parent = self.blocks.get(block.parent)
        if parent is None:
            return MissingBlock(block.parent_view, block.parent)
        return Verdict.ACCEPT if _follows(block, parent) else Verdict.REJECT

    def tip(self) -> BlockFacts | None:
        """The newest certified block; None while its header is unknown."""
        newest = self.certified(self.newest_certified())
        return None if newest is None else self.blocks.get(newest)

    def closing(self) -> bool:
        """R28: what extends the newest certified block is a closing block, which brings nothing."""
        tip = self.tip()
        return tip is not None and tip.ends_epoch

    def has_content(self, view: int) -> bool:
        """R11: does the notarized block of `view` bring anything that must become final? Unknown counts as yes."""
        digest = self.notarized.get(view)
        block = None if digest is None else self.blocks.get(digest)
        if block is None or block.has_payload:
            return True
        parent = self.blocks.get(block.parent)
        if parent is None or block.ends_epoch is not parent.ends_epoch:  # R28: the boundary
            return True
        risen_from = []
        if block.claimed_height > parent.claimed_height:
            risen_from.append(parent.claimed_height)
        if block.rooted_height > parent.rooted_height:
            risen_from.append(parent.rooted_height)
        if not risen_from:
            return False
        payload_height = self._payload_height_below(parent)
        return payload_height is None or min(risen_from) < payload_height

    def _payload_height_below(self, block: BlockFacts) -> int | None:
        """The newest height with a payload on the chain that ends at `block`; None while a header is unknown."""
        while block.view > self.final_view:
            if block.has_payload:
                return block.height
            below = self.blocks.get(block.parent)
            if below is None:
                return None
            block = below
        return self.payload_height if self._walk is None else None

    # ---- finality

    def finalize(self, view: int, digest: bytes) -> None:
        """R9 and R10: moves the last finalization up and forgets all below it."""
        self.final_view, self.final_digest = view, digest
        self._walk = Parent(view, digest)
        self._resume_walk()
        keep = {digest}
        if self._walk is not None:
            keep.add(self._walk.digest)
        self.blocks = {d: b for d, b in self.blocks.items() if b.view > view or d in keep}
        self._status = {d: s for d, s in self._status.items() if d in self.blocks and self.blocks[d].view > view}
        self._proposals = {v: d for v, d in self._proposals.items() if v > view}
        self.notarized.forget_through(view)
        self.nullified.forget_through(view)

    def walking_at(self) -> Parent | None:
        """The final block whose header the search for the newest payload waits for (R13); None when it is done."""
        return self._walk

    def _resume_walk(self) -> None:
        """Goes down from the final block to the newest payload (R13); it needs no more than headers, newest first."""
        while self._walk is not None:
            block = self.blocks.get(self._walk.digest)
            if block is None:
                return
            if block.has_payload:
                self.payload_height = max(self.payload_height, block.height)
            if block.has_payload or block.height <= self._floor_height + 1:
                self._walk = None  # below the floor `payload_height` was right from the start
            else:
                self._walk = Parent(block.parent_view, block.parent)
            if block.digest != self.final_digest and block.view <= self.final_view:
                del self.blocks[block.digest]
        final = self.final_facts()
        if final is not None:
            self._floor_height = final.height

    def _gap_start(self, view: int) -> int:
        """The first of the views down from `view` of which no certificate is known."""
        known = (self.notarized.newest_below(view), self.nullified.newest_below(view), self.final_view)
        return max(below for below in known if below is not None) + 1


def _follows(block: BlockFacts, parent: BlockFacts) -> bool:
    """R5, R14 and R28: the header's own arithmetic against its parent's."""
    if block.height != parent.height + 1 or block.time_ms <= parent.time_ms:
        return False
    if parent.ends_epoch:
        said = (block.claimed_height, block.rooted_height)
        return block.ends_epoch and not block.has_payload and said == (parent.claimed_height, parent.rooted_height)
    return (
        parent.claimed_height <= block.claimed_height <= parent.height
        and parent.rooted_height <= block.rooted_height <= block.claimed_height
    )
