"""`SimPort`: a compact model of the Rust data plane behind the same port, for one node and one incarnation.

Invariants: what a vote rests on is synced before the vote leaves; nothing is signed that the journal excludes; inputs
coalesce and are never dropped; a decision is never taken here.
"""

from collections.abc import Sequence

from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    Effect,
    EnterView,
    FetchBlock,
    FetchCertificates,
    Heartbeat,
    Input,
    LaneCostly,
    OwnVote,
    PayloadStatus,
    PeerSilence,
    Propose,
    Recovered,
    ResendVotes,
    SendCertificate,
    SendWork,
    Vote,
    VoteKind,
    VoteRefused,
)
from rustorium.sim.actors import Equivocator
from rustorium.sim.model import (
    HEIGHT_BOUND,
    NS_PER_MS,
    Batch,
    BatchFrame,
    BeatFrame,
    Block,
    BlockFrame,
    CertificateFrame,
    CoreFrame,
    GetBatch,
    GetBlock,
    GetCertificates,
    Message,
    ProposalFrame,
    ReportFrame,
    Request,
    Riders,
    VoteFrame,
    make_block,
)
from rustorium.sim.plane import VIEWS_AHEAD_MAX, DataPlane
from rustorium.sim.roots import MissingHeader

BLOCKS_PER_ANSWER = 6


class SimPort(DataPlane):
    """The port of one node: carries effects out, and answers its peers."""

    # ---- the port

    def drain(self, limit: int) -> list[Input]:
        taken, self._inputs = self._inputs[:limit], self._inputs[limit:]
        return taken

    def waiting(self) -> bool:
        return bool(self._inputs)

    def submit(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            match effect:
                case Vote():
                    self._vote(effect)
                case Propose():
                    self._propose(effect)
                case EnterView(view, because):
                    self._enter(view, because)
                case SendCertificate(certificate):
                    self._to_all(CertificateFrame((certificate,)))
                case FetchBlock(view, digest):
                    self._fetch_block(view, digest)
                case FetchCertificates(first_view, last_view, peer):
                    self._fetch.want(GetCertificates(first_view, last_view), peer)
                case SendWork(peer):
                    self._send_work(peer)
                case ResendVotes():
                    self._to_all(self._open_frame(proposals=True))
                case Heartbeat():
                    self._beat()

    # ---- start

    def start(self) -> None:
        """Reads the disk back, tells the core, and goes on where the journal ends. What a dead process had written but
        not synced is synced first: it is about to be sent again, and a power loss must not forget a vote that has
        left."""
        self._disk.synced(self._disk.mark())
        blocks, certificates = self._read_journal()
        self.lanes.skip_to(self.ledger.tip)
        self._left = set(self._own_votes)
        votes, height = tuple(self._own_votes), self.ledger.payload_height
        self._put(Recovered(self.ledger.tip.facts, height, tuple(blocks), tuple(certificates), votes))
        if self.final is not None and self.final.digest is not None:
            self._finalize(self.final.view, self.final.digest)
        self._reassess()
        self._see_work()
        self._see_claims()
        self._see_roots()
        self._root_next()
        self._watch_silence()

    def _read_journal(self) -> tuple[list[BlockFacts], list[Certificate]]:
        tip = self.ledger.tip
        blocks: list[BlockFacts] = []
        certificates: list[Certificate] = []
        for record in self._disk.records():
            match record:
                case Batch():
                    self.lanes.add(record, tip, listed=True)
                case Block() if record.facts.view > self._final_view:
                    self.blocks[record.facts.digest] = record
                    blocks.append(record.facts)
                    self._first.setdefault(record.facts.view, record.facts.digest)
                    self._pending[record.facts.digest] = None
                case OwnVote() if record.view > self._final_view:
                    self._own_votes.append(record)
                    self._count(self.me, record)
                case Certificate() if record.view > self._final_view:
                    certificates.append(record)
                    self.certificates[record.kind, record.view] = record
        if self._disk.store:
            self.final = self._disk.store[-1].proof
            for stored in self._disk.store:
                for batch in stored.batches:
                    self.lanes.add(batch, tip, listed=True)
            if self.final.view > self._final_view and (VoteKind.FINALIZE, self.final.view) not in self.certificates:
                certificates.append(self.final)
                self.certificates[VoteKind.FINALIZE, self.final.view] = self.final
        for certificate in certificates:
            if certificate.kind is VoteKind.FINALIZE and (self.final is None or certificate.view > self.final.view):
                self.final = certificate
        return blocks, certificates

    # ---- votes and views

    def _vote(self, effect: Vote) -> None:
        vote = OwnVote(effect.kind, effect.view, effect.digest)
        if not self._sign(vote):
            return
        if effect.kind is VoteKind.NOTARIZE and effect.digest is not None:
            self._journal_payload(self.blocks[effect.digest])
        self._sync_then(self._vote_out, vote, effect.carry)

    def _sign(self, vote: OwnVote) -> bool:
        """The guard in front of the key: vote-once again, on the journal's data alone."""
        excluded = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(vote.kind)
        for own in self._own_votes:
            if own.view == vote.view and (own.kind is vote.kind or own.kind is excluded):
                self._put(VoteRefused(vote.kind, vote.view))
                return False
        self._own_votes.append(vote)
        self._disk.append(vote)
        return True

    def _journal_payload(self, block: Block) -> None:
        self._disk.append(block)
        for item in block.payload:
            batch = self.lanes.get(item.digest)
            assert batch is not None, "a READY block has its whole payload"
            self._disk.append(batch)

    def _vote_out(self, vote: OwnVote, carry: Certificate | None) -> None:
        self.world.checkers.vote_left(self.me, vote)
        self._left.add(vote)
        self._last_report = self._newest_report()
        self._to_all(VoteFrame(vote, carry, self.riders()))
        self._count(self.me, vote)

    def _enter(self, view: int, because: Certificate | None) -> None:
        self.view, self._because = view, because
        self.world.nodes[self.me].view = view
        self._served.clear()
        self._fetch.drop_certificates(lambda request: not isinstance(request, GetCertificates))

    def _open_frame(self, proposals: bool) -> BeatFrame:
        known = [c for c in (self.final, self._because) if c is not None]
        known += [c for (kind, _), c in self.certificates.items() if kind is VoteKind.NOTARIZE]
        votes = tuple(vote for vote in self._own_votes if vote in self._left)  # never one whose sync still runs
        for vote in votes:
            self.world.checkers.vote_left(self.me, vote)
        frames: list[ProposalFrame] = []
        if proposals:
            for vote in votes:
                block = self.blocks.get(vote.digest) if vote.digest is not None else None
                if vote.kind is VoteKind.NOTARIZE and block is not None and block.facts.proposer == self.me:
                    frames.append(self._proposal_frame(block))
        return BeatFrame(tuple(known), votes, tuple(frames), self.riders())

    def _beat(self) -> None:
        self._to_all(self._open_frame(proposals=False))
        self._advance()
        self._reassess()

    # ---- proposals

    def _propose(self, effect: Propose) -> None:
        parent = self.blocks[effect.parent]
        claimed = max(effect.claim_height, parent.facts.claimed_height)
        root = self.ledger.roots[claimed] if claimed <= self.ledger.height else parent.claimed_root
        ends: list[int | None] = [None] * self.world.n
        for lane in effect.distrusted_lanes:
            ends[lane] = self._quorum_end(lane)
            self.world.counts["lane distrusted"] += 1
        full = parent.facts.height + 1 - claimed > HEIGHT_BOUND
        payload = () if full else self.lanes.listable(parent, ends)
        time_ms = max(self.world.now // NS_PER_MS, parent.facts.time_ms + 1)
        rooted = self._root_claim(effect.root_height, parent, time_ms, bool(payload))
        block = make_block(effect.view, parent, time_ms, payload, (claimed, root), self.world.n, rooted)
        if not self._sign(OwnVote(VoteKind.NOTARIZE, effect.view, block.facts.digest)):
            return
        self.blocks[block.facts.digest] = block
        self._first.setdefault(effect.view, block.facts.digest)
        self._journal_payload(block)
        self._sync_then(self._proposal_out, block, parent)

    def _root_claim(self, height: int, parent: Block, time_ms: int, has_payload: bool) -> tuple[int, bytes] | None:
        """The newest period's end up to that height, the one that the block itself makes included; None where this
        node has no root of it or can't tell: then the parent's claim stands."""
        if not self.world.config.state_roots:
            return None
        period = self.roots.period_on(parent, time_ms, has_payload)
        if isinstance(period, MissingHeader):
            return None
        end = self.roots.newest_end(period, height)
        root = self.roots.known(end)
        return (end, root) if root is not None and end > parent.facts.rooted_height else None

    def _proposal_out(self, block: Block, parent: Block) -> None:
        vote = OwnVote(VoteKind.NOTARIZE, block.facts.view, block.facts.digest)
        self.world.checkers.vote_left(self.me, vote)
        self._left.add(vote)
        frame = self._proposal_frame(block)
        actor = self.world.actors.get(self.me)
        if isinstance(actor, Equivocator):
            actor.propose(self, frame, parent)
        else:
            self._to_all(frame)
        self._put(BlockSeen(block.facts, PayloadStatus.READY))
        self._count(self.me, vote)

    def _proposal_frame(self, block: Block) -> ProposalFrame:
        facts = block.facts
        wanted = [(VoteKind.NOTARIZE, facts.parent_view), (VoteKind.FINALIZE, facts.parent_view)]
        wanted += [(VoteKind.NULLIFY, view) for view in range(facts.parent_view + 1, facts.view)]
        found = tuple(self.certificates[key] for key in wanted if key in self.certificates)
        if self.final is not None and facts.parent_view <= self.final.view:
            found += (self.final,)
        return ProposalFrame(block, found, self.riders())

    def _quorum_end(self, lane: int) -> int:
        ends = [held[lane] for held in self._peer_riders.values()]
        ends.append(self.lanes.held(self.ledger.tip)[lane])
        ends += [0] * (self.world.n - len(ends))
        return sorted(ends, reverse=True)[self.quorum - 1]

    def _on_proposal(self, source: int, frame: ProposalFrame) -> None:
        facts = frame.block.facts
        for certificate in frame.certificates:
            self._certificate(certificate)
        if facts.proposer != source or not self._final_view < facts.view <= self.view + VIEWS_AHEAD_MAX:
            return
        self._count(source, OwnVote(VoteKind.NOTARIZE, facts.view, facts.digest))
        if self._first.setdefault(facts.view, facts.digest) == facts.digest:
            self._keep(frame.block)

    # ---- messages

    def receive(self, source: int, message: Message) -> None:
        actor = self.world.actors.get(self.me)
        if isinstance(actor, Equivocator):
            actor.hear(self, message)
        match message:
            case VoteFrame() | ProposalFrame() | BeatFrame():
                self._on_core_frame(source, message)
            case CertificateFrame(certificates):
                self._take_certificates(certificates)
            case BatchFrame(batch):
                self._on_batch(batch)
            case BlockFrame(blocks):
                for block in blocks:
                    self._keep(block)
                self._advance()
            case ReportFrame(riders):
                self._heard_riders(source, riders)
            case GetBlock() | GetBatch() | GetCertificates():
                self._answer(source, message)

    def _on_core_frame(self, source: int, frame: CoreFrame) -> None:
        """Certificates first, then proposals, then votes: each may need those before it."""
        self._heard[source] = self.world.now
        if self._silent[source]:
            self._silent[source] = False
            self._put(PeerSilence(source, False))
        self._heard_riders(source, frame.riders)
        match frame:
            case VoteFrame(vote, carry, _):
                self._take_certificates(() if carry is None else (carry,))
                self._count(source, vote)
            case ProposalFrame():
                self._on_proposal(source, frame)
            case BeatFrame(certificates, votes, proposals, _):
                self._take_certificates(certificates)
                for proposal in proposals:
                    self._on_proposal(source, proposal)
                for vote in votes:
                    self._count(source, vote)

    def _take_certificates(self, certificates: tuple[Certificate, ...]) -> None:
        for certificate in certificates:
            self._certificate(certificate)

    def _on_batch(self, batch: Batch) -> None:
        wanted = any(item.digest == batch.digest for digest in self._pending for item in self.blocks[digest].payload)
        wanted = wanted or self._fetch.wants(GetBatch(batch.digest))
        if self.lanes.add(batch, self.ledger.tip, wanted):
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
                batch = self.lanes.get(digest)
                if batch is not None:
                    self.send(source, BatchFrame(batch, asked_for=True))
                    self._note_served(source, batch)
            case GetCertificates(first_view, last_view):
                found = [c for (_, view), c in self.certificates.items() if first_view <= view <= last_view]
                if self.final is not None and self.final.view >= first_view:
                    found.append(self.final)
                if found:
                    self.send(source, CertificateFrame(tuple(found)))

    def _note_served(self, peer: int, batch: Batch) -> None:
        if batch.author == self.me or self.view % self.world.n != self.me:
            return
        served = self._served.setdefault(batch.author, set())
        served.add(peer)
        if len(served) == self._faulty_max + 1:
            self._put(LaneCostly(batch.author, self.view))

    def _fetch_block(self, view: int, digest: bytes) -> None:
        block = self.blocks.get(digest)
        if block is None:
            self._fetch.want(GetBlock(digest), view % self.world.n)
        else:
            self._put(BlockSeen(block.facts, self._status(block)))

    def _send_work(self, peer: int | None) -> None:
        tip = self._tip() or self.ledger.tip
        ends: list[int | None] = [None] * self.world.n
        frames: list[Message] = [self._open_frame(proposals=False)]
        for item in self.lanes.listable(tip, ends):
            batch = self.lanes.get(item.digest)
            if batch is not None:
                frames.append(BatchFrame(batch, asked_for=False))
        for frame in frames:
            if peer is None:
                self._to_all(frame)
            else:
                self.send(peer, frame)

    def _heard_riders(self, source: int, riders: Riders) -> None:
        self._peer_riders[source] = riders.held
        if self.ledger.report(source, riders.executed, riders.root):
            self._see_claims()
        if self.roots.report(source, riders.rooted, riders.state_root):
            self._see_roots()

    def _watch_silence(self) -> None:
        limit = 3 * self.world.config.heartbeat_ms * NS_PER_MS
        for peer, heard in enumerate(self._heard):
            if peer != self.me and not self._silent[peer] and self.world.now - heard >= limit:
                self._silent[peer] = True
                self._put(PeerSilence(peer, True))
        self._later(self.world.config.heartbeat_ms, self._watch_silence)
