"""Receives and answers peers' messages of the node's own epoch, an older or a later one.

Invariants: a vote counts only by a key of this epoch's committee, a certificate only by a quorum of it. An answer is
checked against its request. Peers learn of an epoch's end only from the store's content.
"""

from itertools import pairwise

from model.actors import Equivocator
from model.plane import VIEWS_AHEAD_MAX, DataPlane
from model.vocabulary import (
    NS_PER_MS,
    Attachments,
    Batch,
    BatchFrame,
    BeatFrame,
    Block,
    BlockFrame,
    CertificateFrame,
    CoreFrame,
    EpochEnd,
    EpochEndFrame,
    GetBatch,
    GetBlock,
    GetCertificates,
    GetEpochEnd,
    Message,
    ProposalFrame,
    ReportFrame,
    Request,
    SubmitFrame,
    VoteFrame,
)
from rustorium.consensus.vocabulary import Certificate, LaneCostly, OwnVote, PeerSilence, Proposed, VoteKind

BLOCKS_PER_ANSWER = 6
PARKED_MAX = 256
"""Maximum number of messages of the next epoch that wait until this node begins it (R31)."""


class Peers(DataPlane):
    """Receives messages and answers them."""

    def _on_proposal(self, voter: int, frame: ProposalFrame) -> None:
        facts = frame.block.facts
        self._take_certificates(frame.certificates)
        if facts.proposer == voter and voter in self.passed_over and facts.view <= self.view + 1:
            self._put(Proposed(facts.view))
        if facts.proposer != voter or not self._final_view < facts.view <= self.view + VIEWS_AHEAD_MAX:
            return
        self._count(voter, OwnVote(VoteKind.NOTARIZE, facts.view, facts.digest))
        if self._first.setdefault(facts.view, facts.digest) == facts.digest:
            self._keep(frame.block)

    # ---- messages

    def receive(self, source: int, message: Message, epoch: int) -> None:
        """Takes a message that `source` sent in `epoch`. Answers count in any epoch: they are checked against the
        request."""
        actor = self.world.actors.get(self.node)
        if isinstance(actor, Equivocator):
            actor.hear(self, message)
        match message:
            case GetBlock() | GetBatch() | GetEpochEnd():
                self._answer(source, message)
            case BlockFrame(blocks):
                for block in blocks:
                    self._keep(block)
                self._advance()
            case EpochEndFrame(end):
                self._take_end(end)
            case SubmitFrame(transactions):
                for transaction in transactions:
                    self.submit_transaction(transaction, relayed=True)
            case BatchFrame(batch) if batch.epoch == self.epoch.number:
                self._on_batch(batch)
            case _ if epoch == self.epoch.number:
                self._of_this_epoch(source, message)
        if epoch != self.epoch.number and not isinstance(message, EpochEndFrame):  # an answer causes no question
            self._of_another_epoch(source, message, epoch)

    def _of_another_epoch(self, source: int, message: Message, epoch: int) -> None:
        """Informs a node that is behind, and asks a node that is ahead (R31)."""
        mine = self.epoch.number
        if epoch < mine and epoch in self.ends and isinstance(message, BeatFrame):
            self.send(source, EpochEndFrame(self.ends[epoch]))
        if epoch > mine and self._lacks_end():
            self._fetch.want(GetEpochEnd(mine), source)
        if epoch == mine + 1 and len(self.parked) < PARKED_MAX:
            self.parked.append((source, message, epoch))

    def _of_this_epoch(self, source: int, message: Message) -> None:
        """Takes a message of this epoch. A non-member can't sign, but its certificates count like any."""
        index = self.epoch.index(source, self.world.nodes[source].keys)
        match message:
            case CertificateFrame(certificates):
                self._take_certificates(certificates)
            case GetCertificates():
                self._answer(source, message)
            case VoteFrame() | ProposalFrame() | BeatFrame() if index is not None:
                self._on_core_frame(index, message)
            case ReportFrame(riders) if index is not None:
                self._heard_riders(index, riders)

    def _on_core_frame(self, index: int, frame: CoreFrame) -> None:
        """Takes certificates, then proposals, then votes: each may need those before it."""
        self._heard[index] = self.world.now
        if self._silent[index]:
            self._silent[index] = False
            self._put(PeerSilence(index, False))
        self._heard_riders(index, frame.riders)
        match frame:
            case VoteFrame(vote, carry, _):
                self._take_certificates(() if carry is None else (carry,))
                self._count(index, vote)
            case ProposalFrame():
                self._on_proposal(index, frame)
            case BeatFrame(certificates, votes, proposals, _):
                self._take_certificates(certificates)
                for proposal in proposals:
                    self._on_proposal(index, proposal)
                for vote in votes:
                    self._count(index, vote)

    def _take_certificates(self, certificates: tuple[Certificate, ...]) -> None:
        """Takes the certificates that a quorum of this epoch's committee signed."""
        for certificate in certificates:
            if self.world.is_genuine(self.epoch.number, certificate):
                self._certificate(certificate)

    def _take_end(self, end: EpochEnd) -> None:
        """Takes a finalization of this epoch and the blocks below it; execution finds the boundary (R31). It counts
        even beside a newer finalization, whose closing block may be lost."""
        path = (end.boundary, *end.closing)
        linked = all(child.facts.parent == parent.facts.digest for parent, child in pairwise(path))
        ends = all(block.epoch == self.epoch.number and block.facts.ends_epoch for block in path)
        proven = end.proof.kind is VoteKind.FINALIZE and end.proof.digest == path[-1].facts.digest
        if not (linked and ends and proven and self._lacks_end()):
            return
        if not self.world.is_genuine(end.epoch, end.proof):
            return
        for block in path:
            self._keep(block)
        self._fetch.have(GetEpochEnd(end.epoch))
        self._certificate(end.proof)
        self.final, self._target = end.proof, (end.proof.view, path[-1].facts.digest)
        self._advance()

    def _on_batch(self, batch: Batch) -> None:
        wanted = any(item.digest == batch.digest for digest in self._pending for item in self.blocks[digest].payload)
        wanted = wanted or self._fetch.wants(GetBatch(batch.digest))
        if self.lanes.add(batch, self._cursors(), wanted):
            self._fetch.have(GetBatch(batch.digest))
            self._reassess()
            self._advance()
            self._see_work()

    def _answer(self, source: int, request: Request) -> None:
        match request:
            case GetBlock(digest):
                blocks: list[Block] = []
                while digest in self.blocks and len(blocks) < BLOCKS_PER_ANSWER:
                    blocks.append(self.blocks[digest])
                    digest = self.blocks[digest].facts.parent
                if blocks:
                    self.send(source, BlockFrame(tuple(blocks)))
            case GetBatch(digest):
                batch = self.lanes.get(digest) or self._archive.get(digest)
                if batch is not None:
                    self.send(source, BatchFrame(batch, asked_for=True))
                    self._note_served(source, batch)
            case GetCertificates(first_view, last_view):
                found = [c for (_, view), c in self.certificates.items() if first_view <= view <= last_view]
                if self.final is not None and self.final.view >= first_view:
                    found.append(self.final)
                if found:
                    self.send(source, CertificateFrame(tuple(found)))
            case GetEpochEnd(epoch):
                if epoch in self.ends:
                    self.send(source, EpochEndFrame(self.ends[epoch]))

    def _note_served(self, peer: int, batch: Batch) -> None:
        leads = self.epoch.leader(self.view) == self.me
        if not leads or batch.epoch != self.epoch.number or batch.author == self.me:
            return
        served = self._served.setdefault(batch.author, set())
        served.add(peer)
        if len(served) == self.epoch.faulty_max + 1:
            self._put(LaneCostly(batch.author, self.view))

    def _heard_riders(self, index: int, riders: Attachments) -> None:
        self._peer_riders[index] = riders.held
        if self.reports.heard(index, riders.executed, riders.root):
            self._see_claims()
        if self.roots.reports.heard(index, riders.rooted, riders.state_root):
            self._see_roots()

    def _watch_silence(self) -> None:
        limit = 3 * self.world.config.heartbeat_ms * NS_PER_MS
        for index, heard in enumerate(self._heard):
            if index != self.me and not self._silent[index] and self.world.now - heard >= limit:
                self._silent[index] = True
                self._put(PeerSilence(index, True))
        if self.me is None:
            self._follow()
        self._later(self.world.config.heartbeat_ms, self._watch_silence)

    def _lacks_end(self) -> bool:
        """Returns whether the proof of the end can still help. A closing block that is known to be final isn't enough:
        nodes in the next epoch have the blocks below it only in that proof."""
        return not (self._knows_end() and self._unexecuted()) and not self._over

    def _follow(self) -> None:
        """Asks one peer after the other, and again for missing data: a node that sends no heartbeats gets no answers to
        them (R31)."""
        self._asked = (self._asked + 1) % self.world.size
        if self._lacks_end() and self._asked != self.node:
            self.send(self._asked, GetEpochEnd(self.epoch.number))
        self._advance()
        self._reassess()
