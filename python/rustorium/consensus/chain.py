"""Blocks and certificates that this node knows, at and above the last finalization (R3, R5, R9, R10, R28).

Invariants: the chain holds facts, no votes and no times. Everything above the last finalization is kept, everything
below is forgotten. A block is judged by certificates alone, never by this node's preference.
"""

from dataclasses import dataclass, replace
from enum import Enum

from rustorium.consensus.views import Notarized, Runs, forget_through
from rustorium.consensus.vocabulary import BlockFacts, PayloadStatus


@dataclass(frozen=True, slots=True)
class Parent:
    """A certified block that a proposal may extend."""

    view: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class MissingCertificates:
    """A gap: neither notarization nor nullification is known for some of these views (inclusive)."""

    first_view: int
    last_view: int


@dataclass(frozen=True, slots=True)
class MissingBlock:
    """A certified block whose header this node hasn't seen."""

    view: int
    digest: bytes


class Verdict(Enum):
    """The result of R5 for a proposal once nothing is missing."""

    ACCEPT = "accept"
    REJECT = "reject"


class Chain:
    """The finalized block of one epoch, with the notarized tree and the nullified views above it."""

    __slots__ = ("_floor_height", "_status", "blocks", "final_digest", "final_view", "notarized", "nullified",
                 "payload_height", "proposals", "walk")  # fmt: skip

    def __init__(self, final: BlockFacts, payload_height: int) -> None:
        self.final_view = final.view
        self.final_digest = final.digest
        # R28: a boundary that is final before this epoch began ended the previous epoch; here it is an ordinary parent.
        self.blocks: dict[bytes, BlockFacts] = {final.digest: replace(final, ends_epoch=False)}
        self.notarized = Notarized()
        self.nullified = Runs()
        self.payload_height = payload_height
        self._status: dict[bytes, PayloadStatus] = {}
        self.proposals: dict[int, bytes] = {}
        """The first proposal of each view above the last finalization; the first valid one if others break a rule."""
        self._floor_height = final.height
        self.walk: Parent | None = None
        """The final block whose header the search for the newest payload waits for (R13); `None` once it is done."""

    # ---- blocks

    def learn(self, block: BlockFacts, status: PayloadStatus) -> None:
        """Keeps a block above the last finalization, or the block that the walk for payloads waits for (R10)."""
        wanted = self.walk is not None and self.walk.digest == block.digest
        if block.view <= self.final_view and not wanted and block.digest != self.final_digest:
            return
        block = self.blocks.setdefault(block.digest, block)
        if block.view > self.final_view:
            if self._status.get(block.digest) is not PayloadStatus.READY:  # A late PENDING doesn't undo READY.
                self._status[block.digest] = status
            first = self.proposals.setdefault(block.view, block.digest)
            if self._status[first] is PayloadStatus.INVALID:
                self.proposals[block.view] = self._first_valid(block.view) or first
        if wanted:
            self._resume_walk()

    def proposal(self, view: int) -> tuple[BlockFacts, PayloadStatus] | None:
        """Returns the first proposal of `view` that isn't known to break a rule."""
        digest = self.proposals.get(view)
        if digest is None or self._status[digest] is PayloadStatus.INVALID:
            return None
        return self.blocks[digest], self._status[digest]

    def _first_valid(self, view: int) -> bytes | None:
        """Returns the first proposal of the view, in order of arrival, that isn't known to break a rule (R6)."""
        known = (digest for digest, block in self.blocks.items() if block.view == view)
        return next((digest for digest in known if self._status[digest] is not PayloadStatus.INVALID), None)

    def final_facts(self) -> BlockFacts | None:
        return self.blocks.get(self.final_digest)

    # ---- certificates

    def certified(self, view: int) -> bytes | None:
        """Returns the digest that may be a parent in `view`: the finalized one, or a notarized one above it."""
        return self.final_digest if view == self.final_view else self.notarized.get(view)

    def has_certificate(self, view: int) -> bool:
        """Checks whether a certificate of `view` is known, or a final view at or above it."""
        return view <= self.final_view or view in self.notarized or view in self.nullified

    def newest_certified(self) -> int:
        """Returns the newest view with a block that may be a parent."""
        newest = self.notarized.newest
        return self.final_view if newest is None else newest

    def newest_parent(self, view: int) -> Parent | MissingCertificates:
        """Returns the newest certified block below `view` such that every view between is nullified (R3)."""
        newest = self.notarized.newest_below(view)
        below = self.final_view if newest is None else newest
        nullified_from = self.nullified.run_start(view - 1)
        if nullified_from <= below + 1:
            digest = self.certified(below)
            assert digest is not None
            return Parent(below, digest)
        return MissingCertificates(self._gap_start(nullified_from - 1), nullified_from - 1)

    def judge(self, block: BlockFacts) -> Verdict | MissingCertificates | MissingBlock:
        """Checks whether this node may notarize `block`, by header, ancestry and certificates (R5)."""
        if not self.final_view <= block.parent_view < block.view:
            return Verdict.REJECT
        certified = self.certified(block.parent_view)
        if certified is not None and certified != block.parent:
            return Verdict.REJECT
        # The first and the last view between them that isn't nullified, if any.
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
        """Returns the newest certified block; `None` while its header is unknown."""
        return self.blocks.get(self.notarized.newest_digest or self.final_digest)

    def has_content(self, view: int) -> bool:
        """Checks whether the notarized block of `view` has content that must become final (R11). Unknown content counts
        as content."""
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
        """Returns the newest height with a payload on the chain that ends at `block`; `None` while a header is
        unknown."""
        while block.view > self.final_view:
            if block.has_payload:
                return block.height
            below = self.blocks.get(block.parent)
            if below is None:
                return None
            block = below
        return self.payload_height if self.walk is None else None

    # ---- finality

    def finalize(self, view: int, digest: bytes) -> None:
        """Moves the last finalization up and forgets everything below it (R9, R10)."""
        self.final_view, self.final_digest = view, digest
        self.walk = Parent(view, digest)
        self._resume_walk()
        keep = {digest}
        if self.walk is not None:
            keep.add(self.walk.digest)
        for known, block in list(self.blocks.items()):
            if block.view <= view and known not in keep:
                del self.blocks[known]
        for known in list(self._status):
            if known not in self.blocks or self.blocks[known].view <= view:
                del self._status[known]
        forget_through(self.proposals, view)
        self.notarized.forget_through(view)
        self.nullified.forget_through(view)

    def _resume_walk(self) -> None:
        """Walks down from the final block to the newest payload (R13). The walk needs only headers, newest first."""
        while self.walk is not None:
            block = self.blocks.get(self.walk.digest)
            if block is None:
                return
            if block.has_payload:
                self.payload_height = max(self.payload_height, block.height)
            if block.has_payload or block.height <= self._floor_height + 1:
                self.walk = None  # Below the floor, `payload_height` has been right since the start.
            else:
                self.walk = Parent(block.parent_view, block.parent)
            if block.digest != self.final_digest and block.view <= self.final_view:
                del self.blocks[block.digest]
        final = self.final_facts()
        if final is not None:
            self._floor_height = final.height

    def _gap_start(self, view: int) -> int:
        """Returns the start of the gap that ends at `view`: its lowest view without a known certificate."""
        known = (self.notarized.newest_below(view), self.nullified.newest_below(view), self.final_view)
        return max(below for below in known if below is not None) + 1


def _follows(block: BlockFacts, parent: BlockFacts) -> bool:
    """Checks the header's arithmetic against its parent's (R5, R14, R28)."""
    if block.height != parent.height + 1 or block.time_ms <= parent.time_ms:
        return False
    if parent.ends_epoch:
        said = (block.claimed_height, block.rooted_height)
        return block.ends_epoch and not block.has_payload and said == (parent.claimed_height, parent.rooted_height)
    return (
        parent.claimed_height <= block.claimed_height <= parent.height
        and parent.rooted_height <= block.rooted_height <= block.claimed_height
    )
