"""The parts of the simulated data plane that decide nothing: journal, tally, blocks, execution, lanes and work.

Invariants: certificates are journalled before the core learns of them. Inputs coalesce and are never dropped. Final
blocks are executed in height order up to the epoch's boundary, and nothing after it.
"""

from collections.abc import Callable

from model.disk import Record, StoredHeight
from model.faults import Stage
from model.held import NodeData
from model.vocabulary import (
    HEIGHT_BOUND,
    NS_PER_MS,
    Batch,
    BatchFrame,
    Block,
    EpochEnd,
    GetBatch,
    GetBlock,
    ReportFrame,
    SubmitFrame,
)
from rustorium.consensus.vocabulary import (
    BlockSeen,
    Certificate,
    ClaimReady,
    EndDue,
    NullifiesSeen,
    OwnVote,
    PayloadStatus,
    RootReady,
    VoteKind,
    WorkSeen,
)

VIEWS_AHEAD_MAX = 64


class DataPlane(NodeData):
    """The base of `SimPort`."""

    # ---- disk and certificates

    def _sync_then(self, call: Callable[..., None], *arguments: object) -> None:
        """Starts a sync. When it ends, everything that was written before it began is on disk."""
        mark = self._disk.mark()

        def synced() -> None:
            self._disk.synced(mark)
            call(*arguments)

        self._later(self._pace.sync_ms * (1 + self.world.rng.random()), synced)

    def _journal(self, record: Record) -> None:
        self._disk.append(self.epoch.number, record)

    def _count(self, voter: int, vote: OwnVote) -> None:
        """Counts a vote of a member of this epoch; a quorum makes a certificate."""
        kind, view = vote.kind, vote.view
        if view <= self._final_view or view > self.view + VIEWS_AHEAD_MAX or (kind, view) in self.certificates:
            return
        voters = self._tally.setdefault((kind, view, vote.digest), set())
        if voter in voters:
            return
        voters.add(voter)
        if kind is VoteKind.NULLIFY and len(voters) == self.epoch.faulty_max + 1:
            self._put(NullifiesSeen(view))
        if len(voters) == self.epoch.quorum:
            certificate = Certificate(kind, view, vote.digest)
            self.world.formed(self.epoch.number, certificate)
            self._certificate(certificate)

    def _certificate(self, certificate: Certificate) -> None:
        kind, view = certificate.kind, certificate.view
        if (kind, view) in self.certificates or view <= self._final_view:
            return
        self.certificates[kind, view] = certificate
        self._journal(certificate)
        if kind is VoteKind.FINALIZE and (self.final is None or view > self.final.view):
            self.final = certificate
        if kind is VoteKind.NOTARIZE:
            self._see_work()  # before the certificate, because the leader must not propose what is listed already
        self._put(certificate)
        self._note_stage(certificate)
        if kind is VoteKind.FINALIZE and certificate.digest is not None:
            self._finalize(view, certificate.digest)

    # ---- blocks

    def _keep(self, block: Block) -> None:
        digest = block.facts.digest
        if digest in self.blocks or block.epoch != self.epoch.number:
            return
        self.blocks[digest] = block
        self._fetch.have(GetBlock(digest))
        self._pending[digest] = None
        self._reassess()
        self._see_work()

    def _reassess(self) -> None:
        """Checks blocks again whose parent, batches or claims have arrived."""
        for digest, told in list(self._pending.items()):
            block = self.blocks[digest]
            status = self._status(block)
            if status is not told:
                self._put(BlockSeen(block.facts, status))
            if status is not PayloadStatus.PENDING or block.facts.view <= self._final_view:
                self._pending.pop(digest)
            else:
                self._pending[digest] = status
        self._root_next()  # a block may need a root

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
        self._see_end()

    def _advance(self) -> None:
        """Executes the next height of the final chain, or fetches what it needs; nothing after a boundary (R28)."""
        if self._executing or self._over:
            return
        path = self._unexecuted()
        if not path:
            return
        block = path[-1]
        missing = [item for item in block.payload if self.lanes.get(item.digest) is None]
        for item in missing:
            self._fetch.want(GetBatch(item.digest), self.epoch.node(block.facts.proposer))
        if not missing:
            self._executing = True
            self._later(self._pace.execute_ms * (1 + self.world.rng.random()), self._executed, block)

    @property
    def _over(self) -> bool:
        """`True` if the boundary is executed: later data is for another epoch and another data plane."""
        return self.ledger.epoch.number > self.epoch.number

    def _unexecuted(self) -> list[Block]:
        """Returns the final blocks above the tip, newest first; none if a header is missing, which is then fetched."""
        digest, path = self._target[1], list[Block]()
        while digest not in self.ledger.heights:
            block = self.blocks.get(digest)
            if block is None:
                self._fetch.want(GetBlock(digest), (self.node + 1) % self.world.size)
                return []
            path.append(block)
            digest = block.facts.parent
        return path

    def _executed(self, block: Block) -> None:
        self._executing = False
        batches = tuple(b for item in block.payload if (b := self.lanes.get(item.digest)) is not None)
        self.ledger.apply(block, batches)
        self.world.checkers.executed(self.node, block, self.ledger.roots[-1])
        self.reports.reached(self.ledger.height)
        assert self.final is not None
        closing = tuple(reversed(self._unexecuted()))
        end = EpochEnd(block, closing, self.final) if block.facts.ends_epoch else None
        self._disk.store.append(StoredHeight(block, batches, self.final, end))
        if end is not None:
            self._end(end)
            return
        if self.world.rng.randrange(self._pace.store_sync_every) == 0:
            self._disk.sync_store()
        below = self.ledger.tip.facts.view
        self.certificates = {key: c for key, c in self.certificates.items() if key[1] > below}
        self._later(2.0, self._report)
        self._reassess()
        self._see_claims()
        self._see_work()
        self._see_end()
        self._advance()
        self._root_next()

    # ---- the epoch's end

    def _end(self, end: EpochEnd) -> None:
        """Begins the next epoch after the boundary's execution, as after a restart (R29)."""
        self.ends[end.epoch] = end
        wanted = self.ledger.records[end.boundary.facts.claimed_height].target
        self.world.checkers.ended(self.node, end, wanted)
        self.world.reached(self.node, end.epoch, Stage.EXECUTED)
        self.world.end_epoch(self.node)

    def _see_end(self) -> None:
        """Checks whether a block proposed now would be the boundary, and no boundary is final."""
        claim = max(self._claim_ready, self.ledger.tip.facts.claimed_height)
        due = not self._knows_end() and self._ending(self.epoch.start, claim, self.clock_ms()).ends_epoch
        if due is not self._end_due:
            self._end_due = due
            self._put(EndDue(due), wakes=due)

    def _knows_end(self) -> bool:
        """Returns whether the boundary is final. Then only data for its execution can be missing."""
        final = self.blocks.get(self._target[1])
        return final is not None and self.epoch.closes_on(final)

    def _note_stage(self, certificate: Certificate) -> None:
        block = self.blocks.get(certificate.digest) if certificate.digest is not None else None
        if block is not None and block.facts.ends_epoch:
            stage = Stage.FINAL if certificate.kind is VoteKind.FINALIZE else Stage.NOTARIZED
            self.world.reached(self.node, self.epoch.number, stage)

    def _watch_clock(self) -> None:
        """Returns the time at which the epoch's end is due."""
        if self.world.epoch_ms is not None:
            at_ms = self.epoch.start.facts.time_ms + self.world.epoch_ms
            self._later(max(0, at_ms - self.clock_ms()), self._see_end)

    def _report(self) -> None:
        """Sends a report by itself if no vote has carried it; a follower's report doesn't count."""
        if self.me is not None and self._last_report != self._newest_report():
            self._last_report = self._newest_report()
            self._to_all(ReportFrame(self.riders()))

    def _newest_report(self) -> tuple[int, int]:
        return self.ledger.height, self.roots.newest

    def _see_claims(self) -> None:
        agreed = self.reports.agreed(self.epoch.quorum)
        if agreed > self._claim_ready:
            self._claim_ready = agreed
            self._put(ClaimReady(agreed))
            self._see_work()
            self._see_end()

    # ---- state roots

    def _root_next(self) -> None:
        """Computes one root at a time: the due one, or, with nothing to list, the one that an empty block could
        claim."""
        if not self.world.config.state_roots or self._rooting:
            return
        height = self.roots.due()
        if height is None and not self._listable and self._target[1] == self.ledger.tip.facts.digest:
            height = self._ahead()
        if height is not None:
            self._rooting = True
            self._later(self._pace.root_ms * (1 + self.world.rng.random()), self._rooted, height)

    def _ahead(self) -> int | None:
        """Returns the final tip once its period is old enough to be ended by an empty block."""
        from_ms, now_ms = self.roots.ahead_from_ms(), self.world.now // NS_PER_MS
        if from_ms is None or from_ms <= now_ms:
            return None if from_ms is None else self.ledger.height
        if self._ahead_at_ms != from_ms:
            self._ahead_at_ms = from_ms
            self._later(from_ms - now_ms, self._root_next)
        return None

    def _rooted(self, height: int) -> None:
        self._rooting = False
        self.world.checkers.rooted(self.node, height, self.roots.rooted(height))
        self._later(2.0, self._report)
        self._reassess()
        self._see_roots()
        self._root_next()

    def _see_roots(self) -> None:
        agreed = self.roots.reports.agreed(self.epoch.quorum)
        if agreed > self._root_ready:
            self._root_ready = agreed
            self._put(RootReady(agreed))

    # ---- work

    def submit_transaction(self, transaction: int, relayed: bool = False) -> None:
        """Takes a transaction from a client or from a node without a lane; such a node asks f + 1 nodes that have
        one.
        """
        new = self.lanes.submit(transaction)
        if self.me is not None:
            if new:
                self._later(self._pace.batch_ms, self._cut)
        elif new or not relayed:
            for step in range(self.epoch.faulty_max + 1):
                member = self.epoch.node((transaction + step) % self.epoch.n)
                self.send(member, SubmitFrame((transaction,)))

    def leftovers(self) -> list[int]:
        """Returns transactions that no block has listed; they return to the pool when the epoch ends."""
        return sorted(self.lanes.pooled() - self.ledger.transactions)

    def _cut(self) -> None:
        batch = self.lanes.cut()
        if batch is not None:
            self._journal(batch)
            self._sync_then(self._batch_out, batch)

    def _batch_out(self, batch: Batch) -> None:
        self.lanes.add(batch, self._cursors(), listed=True)
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
        listable = tip is not None and self.lanes.any_listable(self.epoch.cursors(tip))
        if tip is not None and self.epoch.closes_on(tip):
            listable = False
        if tip is not None and tip.facts.height + 1 - max(tip.facts.claimed_height, self._claim_ready) > HEIGHT_BOUND:
            listable = False
        if listable is not self._listable:
            self._listable = listable
            self._put(WorkSeen(listable), wakes=listable)
            self._root_next()
