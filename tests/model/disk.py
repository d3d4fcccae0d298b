"""A node's disk: a journal and a store, each with a part that a power loss erases.

Invariants: a process that dies keeps everything that it wrote (the page cache remains); a machine that loses power
keeps what was synced. The journal is truncated only below what the store has synced. Nothing is decided here.
"""

from typing import NamedTuple

from model.vocabulary import Batch, Block, EpochEnd
from rustorium.consensus.vocabulary import Certificate, OwnVote

Record = OwnVote | Certificate | Block | Batch


class StoredHeight(NamedTuple):
    """A final height, with a finalization of it or of a descendant."""

    block: Block
    batches: tuple[Batch, ...]
    proof: Certificate
    end: EpochEnd | None = None
    """For a boundary: the proof for others that its epoch ended (R31)."""


class Entry(NamedTuple):
    """A journal record with its position and epoch."""

    position: int
    epoch: int
    record: Record


class Disk:
    """A disk, which outlives its node's process."""

    def __init__(self) -> None:
        self._journal: list[Entry] = []
        self._next = 0
        self._synced_below = 0
        self.store: list[StoredHeight] = []
        self.store_synced = 0

    def records(self, epoch: int) -> list[Record]:
        """Returns the records of one epoch. The journal has none of an epoch later than the store's (R32)."""
        assert all(entry.epoch <= epoch for entry in self._journal), "signed in an epoch whose start isn't on disk"
        return [entry.record for entry in self._journal if entry.epoch == epoch]

    def append(self, epoch: int, record: Record) -> None:
        self._journal.append(Entry(self._next, epoch, record))
        self._next += 1

    def mark(self) -> int:
        """Returns the position up to which a sync that starts now will cover."""
        return self._next

    def synced(self, mark: int) -> None:
        self._synced_below = max(self._synced_below, mark)

    def lose_power(self) -> int:
        """Discards unsynced data; returns the number of records and heights lost."""
        kept = [entry for entry in self._journal if entry.position < self._synced_below]
        lost = len(self._journal) - len(kept) + len(self.store) - self.store_synced
        self._journal = kept
        del self.store[self.store_synced :]
        return lost

    def sync_store(self) -> None:
        """Syncs the store in the background; the journal may then drop the records that the store has."""
        self.store_synced = len(self.store)
        if self.store:
            tip = self.store[-1].block
            self._journal = [entry for entry in self._journal if _above(entry, tip)]


def _above(entry: Entry, tip: Block) -> bool:
    if entry.epoch != tip.epoch or tip.facts.ends_epoch:
        return entry.epoch > tip.epoch
    match entry.record:
        case Block(facts=facts):
            return facts.view > tip.facts.view
        case Batch(author=author, seq=seq):
            return seq >= tip.cursors[author]
        case OwnVote(view=view) | Certificate(view=view):
            return view > tip.facts.view
