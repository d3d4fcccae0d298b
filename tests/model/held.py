"""The data that one node of the simulated data plane holds, and its checks of a block against that data.

Invariants: a block's status depends only on what is held, executed and rooted; nothing is signed or decided here.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from model.disk import Disk
from model.epochs import EndFields, Record
from model.fetch import Fetcher
from model.lanes import Lanes
from model.ledger import Ledger
from model.reports import Reports
from model.roots import MissingHeader, Roots
from model.vocabulary import HEIGHT_BOUND, NS_PER_MS, Attachments, Batch, Block, EpochEnd, GetBatch, GetBlock, Message
from rustorium.consensus.vocabulary import Certificate, Input, OwnVote, PayloadStatus, VoteKind

if TYPE_CHECKING:
    from model.world import World


@dataclass(frozen=True, slots=True)
class Pace:
    """The speed of a node's disk and processor; a random share is added."""

    sync_ms: float = 0.2
    execute_ms: float = 0.3
    root_ms: float = 2.0
    batch_ms: float = 0.5
    store_sync_every: int = 4
    clock_ms: int = 0
    """Time by which the node's clock is ahead of the true time."""


class NodeData:
    """One node, one incarnation, one epoch. `node` is its address, `me` its index in the
    epoch's committee."""

    def __init__(self, world: "World", node: int, incarnation: int, disk: Disk, pace: Pace) -> None:
        self.world, self.node, self._incarnation, self._disk, self._pace = world, node, incarnation, disk, pace
        self.ledger = Ledger(world.committee, world.changes, disk, world.drawn)
        self.epoch = self.ledger.epoch
        self.me = self.epoch.index(node, world.nodes[node].keys)
        self.view = 0
        self.passed_over: tuple[int, ...] = ()
        self.lanes = Lanes(self.epoch.number, self.me, self.epoch.n)
        self.blocks: dict[bytes, Block] = {block.facts.digest: block for block in self.ledger.blocks}
        self.roots = Roots(self.me, world.periods, self.ledger, self.blocks)
        self.reports = Reports(self.me, self.epoch.n, self.ledger.root_of)
        self.reports.reached(self.ledger.height)
        self.ends: dict[int, EpochEnd] = {
            stored.end.epoch: stored.end for stored in disk.store if stored.end is not None
        }
        self._archive: dict[bytes, Batch] = {batch.digest: batch for stored in disk.store for batch in stored.batches}
        self.certificates: dict[tuple[VoteKind, int], Certificate] = {}
        self.final: Certificate | None = None
        self._final_view = self.ledger.tip.facts.view
        self._target: tuple[int, bytes] = (self._final_view, self.ledger.tip.facts.digest)
        self._own_votes: list[OwnVote] = []
        self._left: set[OwnVote] = set()
        """Own votes that are synced: they may be sent, also again."""
        self._tally: dict[tuple[VoteKind, int, bytes | None], set[int]] = {}
        self._first: dict[int, bytes] = {}
        self._pending: dict[bytes, PayloadStatus | None] = {}
        self._inputs: list[Input] = []
        self._listable = False
        self._claim_ready = 0
        self._root_ready = 0
        self._executing = False
        self._rooting = False
        self._ahead_at_ms = 0
        self._last_report = (0, 0)
        self._because: Certificate | None = None
        self._peer_riders: dict[int, tuple[int, ...]] = {}
        self._end_due = False
        self._asked = node
        self.parked: list[tuple[int, Message, int]] = []
        self._heard = [world.now] * self.epoch.n
        self._silent = [False] * self.epoch.n
        self._served: dict[int, set[int]] = {}
        self._fetch = Fetcher(node, world.size, self.send, self._later)

    # ---- how far a block is checked

    def _status(self, block: Block) -> PayloadStatus:
        parent, facts = self.blocks.get(block.facts.parent), block.facts
        if parent is None:
            return PayloadStatus.PENDING
        if not self._follows(block, parent):
            return PayloadStatus.INVALID
        claims = [self._result_status(block), self._ending_status(block, parent)]
        if not self.epoch.closes_on(parent):
            claims.append(self._root_status(block, parent))
        if PayloadStatus.INVALID in claims:
            return PayloadStatus.INVALID
        waiting = PayloadStatus.PENDING in claims
        for item in block.payload:
            if self.lanes.get(item.digest) is None:
                waiting = True
                self._fetch.want(GetBatch(item.digest), self.epoch.node(facts.proposer))
        return PayloadStatus.PENDING if waiting else PayloadStatus.READY

    def _follows(self, block: Block, parent: Block) -> bool:
        """Checks the headers' facts about the payload."""
        facts = block.facts
        if facts.has_payload and facts.height - facts.claimed_height > HEIGHT_BOUND:
            return False
        cursors = list(self.epoch.cursors(parent))
        for item in block.payload:
            if item.seq != cursors[item.author]:
                return False
            cursors[item.author] += 1
        return tuple(cursors) == block.cursors and facts.has_payload == bool(block.payload)

    def _ending_status(self, block: Block, parent: Block) -> PayloadStatus:
        """Checks that the header's fields about the epoch's end equal this node's result, like a claim (R28)."""
        if parent.facts.claimed_height < block.facts.claimed_height > self.ledger.height:
            return PayloadStatus.PENDING
        ending = self._ending(parent, block.facts.claimed_height, block.facts.time_ms)
        return PayloadStatus.READY if ending == (block.facts.ends_epoch, block.next_set) else PayloadStatus.INVALID

    def _ending(self, parent: Block, claimed_height: int, time_ms: int) -> EndFields:
        if self.epoch.closes_on(parent):
            return EndFields(True, parent.next_set)
        if claimed_height == parent.facts.claimed_height:
            record = Record(self.epoch.committee, -1)  # otherwise the parent would have announced the epoch's end
        else:
            record = self.ledger.records[claimed_height]
        return self.epoch.ending(record, time_ms, self.world.epoch_ms)

    def _result_status(self, block: Block) -> PayloadStatus:
        height = block.facts.claimed_height
        if height > self.ledger.height:
            self.world.counts["claim not checkable yet"] += 1
            return PayloadStatus.PENDING
        return PayloadStatus.READY if self.ledger.roots[height] == block.claimed_root else PayloadStatus.INVALID

    def _root_status(self, block: Block, parent: Block) -> PayloadStatus:
        """Checks that a state root is claimed at the end of a period on the block's own chain and equals this node's.
        If the node has not computed it yet, it does so now."""
        facts = block.facts
        if not self.world.config.state_roots:
            return PayloadStatus.INVALID if facts.rooted_height else PayloadStatus.READY
        period = self.roots.period_on(parent, facts.time_ms, facts.has_payload)
        if isinstance(period, MissingHeader):
            self._fetch.want(GetBlock(period.digest), self.epoch.node(facts.proposer))
            return PayloadStatus.PENDING
        if self.roots.newest_end(period, facts.rooted_height) != facts.rooted_height:
            return PayloadStatus.INVALID
        root = self.roots.known(facts.rooted_height)
        if root is None:
            self.world.counts["root not checkable yet"] += 1
            self.roots.want(facts.rooted_height)
            return PayloadStatus.PENDING
        return PayloadStatus.READY if root == block.state_root else PayloadStatus.INVALID

    # ---- helpers

    def clock_ms(self) -> int:
        return self.world.now // NS_PER_MS + self._pace.clock_ms

    def _cursors(self) -> tuple[int, ...]:
        """Returns the cursors of the final tip, in this epoch's lanes."""
        return self.epoch.cursors(self.ledger.tip)

    def riders(self) -> Attachments:
        ledger, roots = self.ledger, self.roots
        held = self.lanes.held(self._cursors())
        return Attachments(ledger.height, ledger.roots[-1], roots.newest, ledger.states[roots.newest], held)

    def send(self, peer: int, message: Message) -> None:
        self.world.send(self.node, peer, message, self.epoch.number)

    def _put(self, event: Input, wakes: bool = True) -> None:
        self._inputs.append(event)
        if wakes:
            self.world.wake(self.node)

    def _to_all(self, message: Message) -> None:
        for peer in range(self.world.size):
            if peer != self.node:
                self.send(peer, message)

    def _later(self, delay_ms: float, call: Callable[..., None], *arguments: object) -> None:
        self.world.later(self.node, self._incarnation, delay_ms, call, *arguments)
