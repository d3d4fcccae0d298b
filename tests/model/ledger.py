"""The final chain as one node has executed it: result roots, states, and the committee record at each height.

Invariants: execution follows finality in height order and never rolls back. A root covers every height below it, so one
report confirms them all. An empty block doesn't change the state. After a boundary only the next epoch's blocks are
executed.
"""

from collections.abc import Mapping

from model.disk import Disk
from model.epochs import Change, Epoch, Record
from model.vocabulary import GENESIS_ROOT, GENESIS_STATE, Batch, Block, Committee, genesis, hash_of
from rustorium.sim.errors import BreachError


class Ledger:
    def __init__(self, first: Committee, changes: Mapping[int, Change], disk: Disk, drawn: bool) -> None:
        self._changes = changes
        self.blocks: list[Block] = [genesis(first)]
        self.roots: list[bytes] = [GENESIS_ROOT]
        self.states: list[bytes] = [GENESIS_STATE]
        """For each height its state root; `Roots` knows if this node has computed the root."""
        self.records: list[Record] = [Record(first, -1)]
        self.heights: dict[bytes, int] = {self.blocks[0].facts.digest: 0}
        self.transactions: set[int] = set()
        self.payload_height = 0
        self.epoch = Epoch(0, first, self.blocks[0], drawn)
        """The epoch of the next height."""
        for stored in disk.store:
            self.apply(stored.block, stored.batches)

    @property
    def tip(self) -> Block:
        return self.blocks[-1]

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def root_of(self, height: int) -> bytes | None:
        return self.roots[height] if height <= self.height else None

    def apply(self, block: Block, batches: tuple[Batch, ...]) -> None:
        if block.facts.parent != self.tip.facts.digest or block.epoch != self.epoch.number:
            raise BreachError(f"height {block.facts.height} of epoch {block.epoch} doesn't follow on {self.height}")
        transactions = tuple(t for batch in batches for t in batch.transactions)
        changed = bool(transactions)
        self.blocks.append(block)
        self.roots.append(hash_of(self.roots[-1], transactions) if changed else hash_of(self.roots[-1]))
        self.states.append(hash_of(self.states[-1], transactions) if changed else self.states[-1])
        self.heights[block.facts.digest] = block.facts.height
        record = self.records[-1]
        for transaction in transactions:
            if transaction in self._changes and transaction not in self.transactions:
                record = self._changes[transaction].applied(record, block.epoch)
            self.transactions.add(transaction)
        self.records.append(record)
        if block.facts.has_payload:
            self.payload_height = block.facts.height
        if block.facts.ends_epoch:
            self.epoch = self.epoch.after(block)
