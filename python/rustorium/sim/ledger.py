"""The final chain as one node has executed it: result roots, states, and which heights a quorum's reports agree on.

Invariants: execution follows finality in height order and never rolls back; a root covers every height below it, so one
report speaks for all of them; an empty block leaves the state as it is.
"""

from rustorium.sim.disk import Disk
from rustorium.sim.model import GENESIS_ROOT, GENESIS_STATE, Batch, Block, genesis, hash_of


class Ledger:
    def __init__(self, me: int, n: int, disk: Disk) -> None:
        self._me, self._n = me, n
        self.blocks: list[Block] = [genesis(n)]
        self.roots: list[bytes] = [GENESIS_ROOT]
        self.states: list[bytes] = [GENESIS_STATE]
        """Per height what its state root is; to have made that root is another matter (`Roots`)."""
        self.heights: dict[bytes, int] = {self.blocks[0].facts.digest: 0}
        self.transactions: set[int] = set()
        self.payload_height = 0
        self._matched = [0] * n
        self._ahead: dict[int, tuple[int, bytes]] = {}
        for stored in disk.store:
            self.apply(stored.block, stored.batches)

    @property
    def tip(self) -> Block:
        return self.blocks[-1]

    @property
    def height(self) -> int:
        return len(self.blocks) - 1

    def apply(self, block: Block, batches: tuple[Batch, ...]) -> None:
        assert block.facts.parent == self.tip.facts.digest
        transactions = tuple(t for batch in batches for t in batch.transactions)
        changed = bool(transactions)
        self.blocks.append(block)
        self.roots.append(hash_of(self.roots[-1], transactions) if changed else hash_of(self.roots[-1]))
        self.states.append(hash_of(self.states[-1], transactions) if changed else self.states[-1])
        self.heights[block.facts.digest] = block.facts.height
        self.transactions.update(transactions)
        if block.facts.has_payload:
            self.payload_height = block.facts.height
        self._matched[self._me] = self.height
        for peer, (height, root) in list(self._ahead.items()):
            if height <= self.height:
                del self._ahead[peer]
                self.report(peer, height, root)

    def report(self, peer: int, height: int, root: bytes) -> bool:
        """A peer's executed height and root; returns whether it counts already."""
        if height > self.height:
            self._ahead[peer] = (height, root)
            return False
        if self.roots[height] == root and height > self._matched[peer]:
            self._matched[peer] = height
            return True
        return False

    def agreed(self, quorum: int) -> int:
        """The newest executed height on whose root a quorum, this node among it, agrees."""
        return min(sorted(self._matched, reverse=True)[quorum - 1], self.height)
