"""`SimPort`: a compact model of the Rust data plane behind the same port, for one node and one incarnation.

Invariants: everything on which a vote rests is synced before the vote is sent. Nothing is signed that the journal
excludes. Inputs coalesce and are never dropped. No decision is taken here.
"""

from collections.abc import Sequence

from model.actors import Equivocator
from model.epochs import EndFields, make_block
from model.faults import Stage
from model.peers import Peers
from model.roots import MissingHeader
from model.vocabulary import (
    HEIGHT_BOUND,
    Batch,
    BatchFrame,
    BeatFrame,
    Block,
    CertificateFrame,
    GetBlock,
    GetCertificates,
    Message,
    ProposalFrame,
    VoteFrame,
)
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
    OwnVote,
    PayloadStatus,
    Propose,
    Recovered,
    ResendVotes,
    SendCertificate,
    SendWork,
    Vote,
    VoteKind,
    VoteRefused,
)


class SimPort(Peers):
    """The port of one node: carries effects out."""

    _begun = False
    """`True` if the core has entered a view of this epoch (R29)."""
    backoff: int | None = None
    """K of R16, as the core or the port of the epoch before reported it last."""

    # ---- the port

    def drain(self, limit: int) -> list[Input]:
        taken, self._inputs = self._inputs[:limit], self._inputs[limit:]
        return taken

    def waiting(self) -> bool:
        return bool(self._inputs)

    def submit(self, effects: Sequence[Effect]) -> None:
        for effect in effects:
            if isinstance(effect, EnterView) and effect.epoch == self.epoch.number:
                self._begun = True
            if self._begun:
                self._carry_out(effect)
            else:
                self.world.counts["effect of an older epoch"] += 1  # R29

    def _carry_out(self, effect: Effect) -> None:
        match effect:
            case Vote():
                self._vote(effect)
            case Propose():
                self._propose(effect)
            case EnterView(view, because):
                self.backoff, self.passed_over = effect.backoff, effect.passed_over
                self._enter(view, because)
            case SendCertificate(certificate):
                self._to_all(CertificateFrame((certificate,)))
            case FetchBlock(view, digest):
                self._fetch_block(view, digest)
            case FetchCertificates(first_view, last_view, peer):
                self._fetch.want(GetCertificates(first_view, last_view), self.epoch.node(peer))
            case SendWork(peer):
                self._send_work(peer)
            case ResendVotes():
                self._to_all(self._open_frame(proposals=True))
            case Heartbeat():
                self._beat()

    # ---- start

    def start(self) -> None:
        """Reads the disk, informs the core, and continues at the journal's end. What a dead process had written but not
        synced is synced first: it will be sent again, and a power loss must not erase a vote that was sent. R32: so is
        the store, if it contains the epoch's start. An epoch begins in the same way."""
        self._disk.synced(self._disk.mark())
        if self._disk.store_synced < self.epoch.start.facts.height:
            self._disk.sync_store()
        self.world.checkers.begun(self.node, self.epoch)
        blocks, certificates = self._read_journal()
        self.lanes.skip_to(self._cursors())
        self._left = set(self._own_votes)
        votes, facts, height = tuple(self._own_votes), self.ledger.tip.facts, self.ledger.payload_height
        where = (self.epoch.number, self.me, self.epoch.n)
        order = (tuple(range(self.epoch.n)), self.epoch.seed, self.epoch.start.facts.view)
        self._put(Recovered(facts, height, *where, tuple(blocks), tuple(certificates), votes, *order, self.backoff))
        if self.final is not None and self.final.digest is not None:
            self._finalize(self.final.view, self.final.digest)
        self._reassess()
        self._see_work()
        self._see_claims()
        self._see_roots()
        self._root_next()
        self._see_end()
        self._watch_clock()
        if self.epoch.number:
            self._later(2.0, self._report)  # peers that begin the epoch too have heard none in it
        self._watch_silence()

    def take_over(self, transactions: list[int], parked: list[tuple[int, Message, int]]) -> None:
        """Takes over from the previous epoch's data plane: its unlisted transactions, and messages of this epoch."""
        for transaction in transactions:
            self.submit_transaction(transaction)
        for source, message, epoch in parked:
            self.receive(source, message, epoch)

    def _read_journal(self) -> tuple[list[BlockFacts], list[Certificate]]:
        """Reads the journal's records of this epoch."""
        cursors = self._cursors()
        blocks: list[BlockFacts] = []
        certificates: list[Certificate] = []
        for record in self._disk.records(self.epoch.number):
            match record:
                case Batch():
                    self.lanes.add(record, cursors, listed=True)
                case Block() if record.facts.view > self._final_view:
                    self.blocks[record.facts.digest] = record
                    blocks.append(record.facts)
                    self._first.setdefault(record.facts.view, record.facts.digest)
                    self._pending[record.facts.digest] = None
                case OwnVote() if record.view > self._final_view:
                    self._own_votes.append(record)
                    self._count_own(record)
                case Certificate() if record.view > self._final_view:
                    certificates.append(record)
                    self.certificates[record.kind, record.view] = record
        for batch in self._archive.values():
            self.lanes.add(batch, cursors, listed=True)
        if self._disk.store and self.ledger.tip != self.epoch.start:  # a boundary's proof is of the epoch before
            self.final = self._disk.store[-1].proof
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
            block = self.blocks.get(effect.digest)
            assert block is not None, "a core votes for blocks of its epoch"
            self._journal_payload(block)
        self._sync_then(self._vote_out, vote, effect.carry)

    def _sign(self, vote: OwnVote) -> bool:
        """Guards the key: vote-once again, on the journal's data alone."""
        excluded = {VoteKind.NULLIFY: VoteKind.FINALIZE, VoteKind.FINALIZE: VoteKind.NULLIFY}.get(vote.kind)
        for own in self._own_votes:
            if own.view == vote.view and (own.kind is vote.kind or own.kind is excluded):
                self._put(VoteRefused(vote.kind, vote.view))
                return False
        self._own_votes.append(vote)
        self._journal(vote)
        return True

    def _journal_payload(self, block: Block) -> None:
        self._journal(block)
        for item in block.payload:
            batch = self.lanes.get(item.digest)
            assert batch is not None, "a READY block has its whole payload"
            self._journal(batch)

    def _vote_out(self, vote: OwnVote, carry: Certificate | None) -> None:
        self._leaves(vote)
        self._last_report = self._newest_report()
        self._to_all(VoteFrame(vote, carry, self.riders()))
        self._count_own(vote)

    def _leaves(self, vote: OwnVote) -> None:
        self._check_own(vote)
        self._left.add(vote)
        self.world.reached(self.node, self.epoch.number - 1, Stage.VOTED)

    def _check_own(self, vote: OwnVote) -> None:
        assert self.me is not None, "a follower signs nothing"
        self.world.checkers.vote_left(self.epoch.number, self.epoch.committee[self.me], vote)

    def _count_own(self, vote: OwnVote) -> None:
        if self.me is not None:
            self._count(self.me, vote)

    def _enter(self, view: int, because: Certificate | None) -> None:
        self.view, self._because = view, because
        self.world.nodes[self.node].view = view
        self._served.clear()
        self._fetch.drop_certificates()

    def _open_frame(self, proposals: bool) -> BeatFrame:
        known = [c for c in (self.final, self._because) if c is not None]
        known += [c for (kind, _), c in self.certificates.items() if kind is VoteKind.NOTARIZE]
        votes = tuple(vote for vote in self._own_votes if vote in self._left)  # never one whose sync still runs
        for vote in votes:
            self._check_own(vote)
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
        block = self._closing(effect, parent) if self.epoch.closes_on(parent) else self._block(effect, parent)
        self.world.checkers.made(block)
        if not self._sign(OwnVote(VoteKind.NOTARIZE, effect.view, block.facts.digest)):
            return
        self.blocks[block.facts.digest] = block
        self._first.setdefault(effect.view, block.facts.digest)
        self._journal_payload(block)
        self._sync_then(self._proposal_out, block, parent)

    def _closing(self, effect: Propose, parent: Block) -> Block:
        """R28: a closing block contains only the parent's fields."""
        claim, ending = (parent.facts.claimed_height, parent.claimed_root), EndFields(True, parent.next_set)
        self.world.counts["closing block"] += 1
        return make_block(self.epoch, effect.view, parent, self.clock_ms(), (), claim, None, ending)

    def _block(self, effect: Propose, parent: Block) -> Block:
        claimed = max(effect.claim_height, parent.facts.claimed_height)
        root = self.ledger.roots[claimed] if claimed <= self.ledger.height else parent.claimed_root
        ends: list[int | None] = [None] * self.epoch.n
        for lane in effect.distrusted_lanes:
            ends[lane] = self._quorum_end(lane)
            self.world.counts["lane distrusted"] += 1
        full = parent.facts.height + 1 - claimed > HEIGHT_BOUND
        payload = () if full else self.lanes.listable(self.epoch.cursors(parent), ends)
        time_ms = max(self.clock_ms(), parent.facts.time_ms + 1)
        rooted = self._root_claim(effect.root_height, parent, time_ms, bool(payload))
        ending = self._ending(parent, claimed, time_ms)
        return make_block(self.epoch, effect.view, parent, time_ms, payload, (claimed, root), rooted, ending)

    def _root_claim(self, height: int, parent: Block, time_ms: int, has_payload: bool) -> tuple[int, bytes] | None:
        """Returns the newest end of a period up to that height, including the one that the block makes; `None` if this
        node has no root of it or can't tell, and then the parent's claim stays."""
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
        self._leaves(vote)
        frame = self._proposal_frame(block)
        actor = self.world.actors.get(self.node)
        if isinstance(actor, Equivocator):
            actor.propose(self, frame, parent)
        else:
            self._to_all(frame)
        self._put(BlockSeen(block.facts, PayloadStatus.READY))
        self._count_own(vote)

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
        ends.append(self.lanes.held(self._cursors())[lane])
        ends += [0] * (self.epoch.n - len(ends))
        return sorted(ends, reverse=True)[self.epoch.quorum - 1]

    def _fetch_block(self, view: int, digest: bytes) -> None:
        block = self.blocks.get(digest)
        if block is None:
            self._fetch.want(GetBlock(digest), self.epoch.node(self.epoch.leader(view)))
        else:
            self._put(BlockSeen(block.facts, self._status(block)))

    def _send_work(self, peer: int | None) -> None:
        tip = self._tip() or self.ledger.tip
        ends: list[int | None] = [None] * self.epoch.n
        frames: list[Message] = [self._open_frame(proposals=False)]
        for item in self.lanes.listable(self.epoch.cursors(tip), ends):
            batch = self.lanes.get(item.digest)
            if batch is not None:
                frames.append(BatchFrame(batch, asked_for=False))
        for frame in frames:
            if peer is None:
                self._to_all(frame)
            else:
                self.send(self.epoch.node(peer), frame)
