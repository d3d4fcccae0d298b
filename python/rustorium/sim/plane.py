"""The part of the simulated data plane that decides nothing at all: journal, tally, blocks, execution, lanes and work.

Invariants: a block's status only depends on what is held and executed; certificates are journalled before the core
hears of them; inputs coalesce and are never dropped.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustorium.consensus.vocabulary import (
    BlockSeen,
    Certificate,
    ClaimReady,
    Input,
    NullifiesSeen,
    OwnVote,
    PayloadStatus,
    RootReady,
    VoteKind,
    WorkSeen,
)
from rustorium.sim.checkers import BreachError
from rustorium.sim.disk import Disk, Stored
from rustorium.sim.fetch import Fetcher
from rustorium.sim.lanes import Lanes
from rustorium.sim.ledger import Ledger
from rustorium.sim.model import (
    HEIGHT_BOUND,
    NS_PER_MS,
    Batch,
    BatchFrame,
    Block,
    GetBatch,
    GetBlock,
    Message,
    ReportFrame,
    Riders,
)
from rustorium.sim.roots import MissingHeader, Roots

if TYPE_CHECKING:
    from rustorium.sim.world import World

VIEWS_AHEAD_MAX = 64


@dataclass(frozen=True, slots=True)
class Pace:
    """How fast a node's disk and processor are; a random share is added."""

    sync_ms: float = 0.2
    execute_ms: float = 0.3
    root_ms: float = 2.0
    batch_ms: float = 0.5
    store_sync_every: int = 4


class DataPlane:
    """What `SimPort` stands on: one node, one incarnation."""

    def __init__(self, world: "World", me: int, incarnation: int, disk: Disk, pace: Pace) -> None:
        self.world, self.me, self._incarnation, self._disk, self._pace = world, me, incarnation, disk, pace
        n = world.n
        self._faulty_max = (n - 1) // 3
        self.quorum = n - self._faulty_max
        self.view = 0
        self.ledger = Ledger(me, n, disk)
        self.lanes = Lanes(me, n)
        self.blocks: dict[bytes, Block] = {block.facts.digest: block for block in self.ledger.blocks}
        self.roots = Roots(me, n, world.periods, self.ledger, self.blocks)
        self.certificates: dict[tuple[VoteKind, int], Certificate] = {}
        self.final: Certificate | None = None
        self._final_view = self.ledger.tip.facts.view
        self._target: tuple[int, bytes] = (self._final_view, self.ledger.tip.facts.digest)
        self._own_votes: list[OwnVote] = []
        self._left: set[OwnVote] = set()
        """Own votes that are synced, so that they may be sent, and sent again."""
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
        self._heard = [world.now] * n
        self._silent = [False] * n
        self._served: dict[int, set[int]] = {}
        self._fetch = Fetcher(me, n, self.send, self._later)

    # ---- disk and certificates

    def _sync_then(self, call: Callable[..., None], *arguments: object) -> None:
        """Group commit: when the sync ends, all that was written before it began is on disk."""
        mark = self._disk.mark()

        def synced() -> None:
            self._disk.synced(mark)
            call(*arguments)

        self._later(self._pace.sync_ms * (1 + self.world.rng.random()), synced)

    def _count(self, voter: int, vote: OwnVote) -> None:
        """Tallies a vote; a quorum of them is a certificate."""
        kind, view = vote.kind, vote.view
        if view <= self._final_view or view > self.view + VIEWS_AHEAD_MAX or (kind, view) in self.certificates:
            return
        voters = self._tally.setdefault((kind, view, vote.digest), set())
        if voter in voters:
            return
        voters.add(voter)
        if kind is VoteKind.NULLIFY and len(voters) == self._faulty_max + 1:
            self._put(NullifiesSeen(view))
        if len(voters) == self.quorum:
            certificate = Certificate(kind, view, vote.digest)
            self.world.checkers.certified(certificate)
            self._certificate(certificate)

    def _certificate(self, certificate: Certificate) -> None:
        kind, view = certificate.kind, certificate.view
        if (kind, view) in self.certificates or view <= self._final_view:
            return
        self.certificates[kind, view] = certificate
        self._disk.append(certificate)
        if kind is VoteKind.FINALIZE and (self.final is None or view > self.final.view):
            self.final = certificate
        if kind is VoteKind.NOTARIZE:
            self._see_work()  # in front of the certificate: the leader must not propose what is listed already
        self._put(certificate)
        if kind is VoteKind.FINALIZE and certificate.digest is not None:
            self._finalize(view, certificate.digest)

    # ---- blocks

    def _keep(self, block: Block) -> None:
        digest = block.facts.digest
        if digest in self.blocks:
            return
        self.blocks[digest] = block
        self._fetch.have(GetBlock(digest))
        self._pending[digest] = None
        self._reassess()
        self._see_work()

    def _reassess(self) -> None:
        """Moves blocks on whose parent, batches or claims have come."""
        for digest, told in list(self._pending.items()):
            block = self.blocks[digest]
            status = self._status(block)
            if status is not told:
                self._put(BlockSeen(block.facts, status))
            if status is not PayloadStatus.PENDING or block.facts.view <= self._final_view:
                self._pending.pop(digest)
            else:
                self._pending[digest] = status

    def _status(self, block: Block) -> PayloadStatus:
        parent, facts = self.blocks.get(block.facts.parent), block.facts
        if parent is None:
            return PayloadStatus.PENDING
        if facts.has_payload and facts.height - facts.claimed_height > HEIGHT_BOUND:
            return PayloadStatus.INVALID
        cursors = list(parent.cursors)
        for item in block.payload:
            if item.seq != cursors[item.author]:
                return PayloadStatus.INVALID
            cursors[item.author] += 1
        if tuple(cursors) != block.cursors or facts.has_payload != bool(block.payload):
            return PayloadStatus.INVALID
        claims = (self._result_status(block), self._root_status(block, parent))
        if PayloadStatus.INVALID in claims:
            return PayloadStatus.INVALID
        waiting = PayloadStatus.PENDING in claims
        for item in block.payload:
            if self.lanes.get(item.digest) is None:
                waiting = True
                self._fetch.want(GetBatch(item.digest), facts.proposer)
        return PayloadStatus.PENDING if waiting else PayloadStatus.READY

    def _result_status(self, block: Block) -> PayloadStatus:
        height = block.facts.claimed_height
        if height > self.ledger.height:
            self.world.counts["claim not checkable yet"] += 1
            return PayloadStatus.PENDING
        return PayloadStatus.READY if self.ledger.roots[height] == block.claimed_root else PayloadStatus.INVALID

    def _root_status(self, block: Block, parent: Block) -> PayloadStatus:
        """A state root is claimed at the end of a period on the block's own chain, and is the one that this node
        made; what it has not rooted yet it roots now."""
        facts = block.facts
        if not self.world.config.state_roots:
            return PayloadStatus.INVALID if facts.rooted_height else PayloadStatus.READY
        period = self.roots.period_on(parent, facts.time_ms, facts.has_payload)
        if isinstance(period, MissingHeader):
            self._fetch.want(GetBlock(period.digest), facts.proposer)
            return PayloadStatus.PENDING
        if self.roots.newest_end(period, facts.rooted_height) != facts.rooted_height:
            return PayloadStatus.INVALID
        root = self.roots.known(facts.rooted_height)
        if root is None:
            self.world.counts["root not checkable yet"] += 1
            self.roots.want(facts.rooted_height)
            self._root_next()
            return PayloadStatus.PENDING
        return PayloadStatus.READY if root == block.state_root else PayloadStatus.INVALID

    # ---- finality and execution

    def _finalize(self, view: int, digest: bytes) -> None:
        if view <= self._final_view:
            return
        self._final_view, self._target = view, (view, digest)
        self._own_votes = [vote for vote in self._own_votes if vote.view > view]
        self._left &= set(self._own_votes)
        self._tally = {key: voters for key, voters in self._tally.items() if key[1] > view}
        self._first = {v: d for v, d in self._first.items() if v > view}
        self._advance()
        self._see_work()

    def _advance(self) -> None:
        """Executes the next height of the final chain, or fetches what it takes."""
        if self._executing:
            return
        digest, path = self._target[1], []
        while digest not in self.ledger.heights:
            block = self.blocks.get(digest)
            if block is None:
                self._fetch.want(GetBlock(digest), (self.me + 1) % self.world.n)
                return
            path.append(block)
            digest = block.facts.parent
        if not path:
            return
        block = path[-1]
        if block.facts.parent != self.ledger.tip.facts.digest:
            raise BreachError(f"node {self.me}: the final chain leaves height {self.ledger.height} aside")
        missing = [item for item in block.payload if self.lanes.get(item.digest) is None]
        for item in missing:
            self._fetch.want(GetBatch(item.digest), block.facts.proposer)
        if not missing:
            self._executing = True
            self._later(self._pace.execute_ms * (1 + self.world.rng.random()), self._executed, block)

    def _executed(self, block: Block) -> None:
        self._executing = False
        batches = tuple(b for item in block.payload if (b := self.lanes.get(item.digest)) is not None)
        self.ledger.apply(block, batches)
        self.world.checkers.executed(self.me, block, self.ledger.roots[-1])
        assert self.final is not None
        self._disk.store.append(Stored(block, batches, self.final))
        if self.world.rng.randrange(self._pace.store_sync_every) == 0:
            self._disk.sync_store()
        below = self.ledger.tip.facts.view
        self.certificates = {key: c for key, c in self.certificates.items() if key[1] > below}
        self._later(2.0, self._report)
        self._reassess()
        self._see_claims()
        self._see_work()
        self._advance()
        self._root_next()

    def _report(self) -> None:
        """By itself only when no vote has carried it."""
        if self._last_report != self._newest_report():
            self._last_report = self._newest_report()
            self._to_all(ReportFrame(self.riders()))

    def _newest_report(self) -> tuple[int, int]:
        return self.ledger.height, self.roots.newest

    def _see_claims(self) -> None:
        agreed = self.ledger.agreed(self.quorum)
        if agreed > self._claim_ready:
            self._claim_ready = agreed
            self._put(ClaimReady(agreed))
            self._see_work()

    # ---- state roots

    def _root_next(self) -> None:
        """Roots one height at a time: what is due, else, with nothing to list, what an empty block could then claim."""
        if not self.world.config.state_roots or self._rooting:
            return
        height = self.roots.due()
        if height is None and not self._listable and self._target[1] == self.ledger.tip.facts.digest:
            height = self._ahead()
        if height is not None:
            self._rooting = True
            self._later(self._pace.root_ms * (1 + self.world.rng.random()), self._rooted, height)

    def _ahead(self) -> int | None:
        """The final tip, once its period is old enough to be ended by an empty block."""
        from_ms, now_ms = self.roots.ahead_from_ms(), self.world.now // NS_PER_MS
        if from_ms is None or from_ms <= now_ms:
            return None if from_ms is None else self.ledger.height
        if self._ahead_at_ms != from_ms:
            self._ahead_at_ms = from_ms
            self._later(from_ms - now_ms, self._root_next)
        return None

    def _rooted(self, height: int) -> None:
        self._rooting = False
        self.world.checkers.rooted(self.me, height, self.roots.rooted(height))
        self._later(2.0, self._report)
        self._reassess()
        self._see_roots()
        self._root_next()

    def _see_roots(self) -> None:
        agreed = self.roots.agreed(self.quorum)
        if agreed > self._root_ready:
            self._root_ready = agreed
            self._put(RootReady(agreed))

    # ---- work

    def submit_transaction(self, transaction: int) -> None:
        if self.lanes.submit(transaction):
            self._later(self._pace.batch_ms, self._cut)

    def _cut(self) -> None:
        batch = self.lanes.cut()
        if batch is not None:
            self._disk.append(batch)
            self._sync_then(self._batch_out, batch)

    def _batch_out(self, batch: Batch) -> None:
        self.lanes.add(batch, self.ledger.tip, listed=True)
        self._to_all(BatchFrame(batch, asked_for=False))
        self._see_work()

    def _tip(self) -> Block | None:
        views = [view for kind, view in self.certificates if kind is VoteKind.NOTARIZE and view > self._target[0]]
        if not views:
            return self.blocks.get(self._target[1])
        digest = self.certificates[VoteKind.NOTARIZE, max(views)].digest
        return self.blocks.get(digest) if digest is not None else None

    def _see_work(self) -> None:
        tip = self._tip()
        listable = tip is not None and self.lanes.any_listable(tip)
        if tip is not None and tip.facts.height + 1 - max(tip.facts.claimed_height, self._claim_ready) > HEIGHT_BOUND:
            listable = False
        if listable is not self._listable:
            self._listable = listable
            self._put(WorkSeen(listable), wakes=listable)
            self._root_next()

    # ---- helpers

    def riders(self) -> Riders:
        ledger, roots = self.ledger, self.roots
        held = self.lanes.held(ledger.tip)
        return Riders(ledger.height, ledger.roots[-1], roots.newest, ledger.states[roots.newest], held)

    def send(self, peer: int, message: Message) -> None:
        self.world.send(self.me, peer, message)

    def _put(self, event: Input, wakes: bool = True) -> None:
        self._inputs.append(event)
        if wakes:
            self.world.wake(self.me)

    def _to_all(self, message: Message) -> None:
        for peer in range(self.world.n):
            if peer != self.me:
                self.send(peer, message)

    def _later(self, delay_ms: float, call: Callable[..., None], *arguments: object) -> None:
        self.world.later(self.me, self._incarnation, delay_ms, call, *arguments)
