"""A node's disk: a journal and a store, each with a part that a power loss forgets.

Invariants: a process that dies keeps all that it wrote (the page cache lives on), a machine that loses power keeps what
was synced; the journal is truncated only below what the store has synced; nothing here decides.
"""

from typing import NamedTuple

from rustorium.consensus.vocabulary import Certificate, OwnVote
from rustorium.sim.model import Batch, Block

Record = OwnVote | Certificate | Block | Batch


class Stored(NamedTuple):
    """One final height with a finalization of it or of a descendant."""

    block: Block
    batches: tuple[Batch, ...]
    proof: Certificate


class Disk:
    """Survives its node's process."""

    def __init__(self) -> None:
        self._journal: list[tuple[int, Record]] = []
        self._next = 0
        self._synced_below = 0
        self.store: list[Stored] = []
        self.store_synced = 0

    def records(self) -> list[Record]:
        return [record for _, record in self._journal]

    def append(self, record: Record) -> None:
        self._journal.append((self._next, record))
        self._next += 1

    def mark(self) -> int:
        """What a sync that starts now will cover."""
        return self._next

    def synced(self, mark: int) -> None:
        self._synced_below = max(self._synced_below, mark)

    def lose_power(self) -> int:
        """Forgets what isn't synced; returns how many records and heights that were."""
        kept = [entry for entry in self._journal if entry[0] < self._synced_below]
        lost = len(self._journal) - len(kept) + len(self.store) - self.store_synced
        self._journal = kept
        del self.store[self.store_synced :]
        return lost

    def sync_store(self) -> None:
        """The store's own background sync, after which the journal may let go of what the store now holds."""
        self.store_synced = len(self.store)
        if self.store:
            tip = self.store[-1].block
            self._journal = [entry for entry in self._journal if _above(entry[1], tip)]


def _above(record: Record, tip: Block) -> bool:
    match record:
        case Block():
            return record.facts.view > tip.facts.view
        case Batch():
            return record.seq >= tip.cursors[record.author]
        case OwnVote() | Certificate():
            return record.view > tip.facts.view
