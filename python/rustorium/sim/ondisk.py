"""A node's journal as an outside observer knows it: everything on disk that a departing vote may rest on (R21).

Invariants: this module reads and hashes by itself, with nothing of the extension but plain BLAKE3. It remembers
everything that was ever synced, even if the journal has dropped it since; a power cut removes nothing of it.
"""

from collections.abc import Iterable

from rustorium import _native
from rustorium.sim.frames import (
    NOTARIZE,
    SIGNATURE_BYTES,
    SeenHeader,
    SeenVote,
    certified_in,
    read_header,
    read_vote,
)

VOTE, PROPOSAL, BATCH, CERTIFICATE = 1, 2, 3, 4
"""The kinds of records."""
NO_BATCH = bytes(32)


def block_digest(header: bytes) -> bytes:
    """Returns the digest of a block with this header."""
    return _native.value_hash(b"rustorium/header/v1\0" + header)


def batch_digest(batch: bytes) -> bytes:
    """Returns the digest of a batch: a hash of all but its author's signature, with which it ends."""
    return _native.value_hash(b"rustorium/batch/v1\0" + batch[:-SIGNATURE_BYTES])


class OnDisk:
    """One node's journal."""

    def __init__(self) -> None:
        self._votes: set[bytes] = set()
        self._blocks: dict[bytes, SeenHeader] = {}
        self._batches: set[bytes] = {NO_BATCH}
        self._certified: set[tuple[int, int, int, bytes]] = set()
        self._final_view = 0

    def final(self, view: int) -> None:
        """Notes that the store has all final blocks up to this view on disk: votes up to it need nothing else."""
        self._final_view = max(self._final_view, view)

    def synced(self, records: Iterable[tuple[int, bytes]]) -> None:
        """Notes records that are on disk."""
        for kind, raw in records:
            if kind == VOTE:
                self._votes.add(read_vote(raw).signature)
            elif kind == PROPOSAL:
                header, end = read_header(raw)
                self._blocks[block_digest(raw[:end])] = header
            elif kind == BATCH:
                self._batches.add(batch_digest(raw))
            elif kind == CERTIFICATE:
                certified = certified_in(raw)
                self._certified.add((certified.epoch, certified.view, certified.kind, certified.block))

    def has_vote(self, vote: SeenVote) -> bool:
        """Checks whether the vote is on disk, or needn't be: the journal lets go of what the store has as final, which
        may happen in the turn in which the vote leaves."""
        return vote.view <= self._final_view or vote.signature in self._votes

    def certifies(self, epoch: int, view: int, kind: int, block: bytes) -> bool:
        """Checks whether the journal has a certificate of such votes."""
        return (epoch, view, kind, block) in self._certified

    def lacks_for_notarize(self, vote: SeenVote) -> str:
        """Returns what of the block and its payload isn't on disk; empty if nothing is missing. Without the parent's
        header it is unknown which batches are new; then only the block is required."""
        if vote.view <= self._final_view:
            return ""
        header = self._blocks.get(vote.block)
        if header is None:
            return "its block"
        parent = self._blocks.get(header.parent)
        if parent is None or parent.epoch != header.epoch:
            return ""
        new = (tip for tip, before in zip(header.tips, parent.tips, strict=True) if tip != before)
        return "a batch of its payload" if any(tip not in self._batches for tip in new) else ""

    def lacks_for_finalize(self, vote: SeenVote) -> str:
        """Returns "its notarization" if that isn't on disk, otherwise an empty string."""
        held = vote.view <= self._final_view or self.certifies(vote.epoch, vote.view, NOTARIZE, vote.block)
        return "" if held else "its notarization"
