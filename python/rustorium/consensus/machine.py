"""The state machine of one shard's consensus: takes an input and the time, answers with effects
(docs/spec/consensus.md).

Invariants: PURE. The machine never holds a transaction, a batch or a peer's vote. Safety rests on `VoteGuard` and
`Chain.judge` alone, so no timer, tuned value or order of inputs can break it. A good view costs a constant number of
inputs.
"""

from rustorium.consensus.chain import Chain, MissingBlock, MissingCertificates, Verdict
from rustorium.consensus.leader import Work, earliest
from rustorium.consensus.pacemaker import ConsensusConfig, Pacemaker, Phase
from rustorium.consensus.reach import Reach
from rustorium.consensus.safety import VoteGuard
from rustorium.consensus.schedule import Schedule
from rustorium.consensus.turns import Turns
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    ClaimReady,
    ClaimWanted,
    Diverged,
    Effect,
    EndDue,
    EnterView,
    FetchBlock,
    FetchCertificates,
    Heartbeat,
    HeldByNobody,
    Input,
    KeyRetired,
    LaneCostly,
    NullifiesSeen,
    PayloadStatus,
    PeerSilence,
    Propose,
    Proposed,
    Recovered,
    ResendVotes,
    RootReady,
    RoundTrips,
    SendCertificate,
    SendWork,
    Vote,
    VoteKind,
    VoteRefused,
    WorkSeen,
)


class Machine:
    """One shard at one node for one epoch. It begins with the content of `Recovered` (R22, R29)."""

    __slots__ = ("_asked_blocks", "_asked_certificates", "_chain", "_config", "_epoch", "_guard", "_held_by_nobody",
                 "_leader", "_me", "_n", "_next", "_now", "_out", "_pace", "_proposal_at", "_proposed_view",
                 "_reach", "_schedule", "_silent", "_since", "_turns", "_work")  # fmt: skip

    def __init__(self, config: ConsensusConfig, now: int, event: Recovered) -> None:
        assert event.n > 0
        assert event.me is None or 0 <= event.me < event.n
        self._config, self._epoch, self._me, self._n = config, event.epoch, event.me, event.n
        self._guard = VoteGuard()
        self._work = Work(config, event.n)
        self._schedule = Schedule(event.n, event.leaders, event.seed, event.boundary_view)
        self._turns = Turns(self._schedule, event.n, event.me)
        # Members of a chain of version 1 may be of releases whose timers begin earlier.
        self._reach = Reach(config, event.n, graces=event.seed is not None)
        self._leader = self._schedule.leader(event.final.view + 1)
        """The current view's leader."""
        self._silent: set[int] = set()
        self._asked_blocks: set[bytes] = set()
        self._asked_certificates: set[tuple[int, int]] = set()
        self._held_by_nobody: tuple[tuple[int, int], ...] = ()
        self._proposed_view = 0
        self._proposal_at: int | None = None
        self._since: int | None = None
        """Start of work (R11), computed once per step after the input: nothing later in the step changes it."""
        self._next: tuple[Phase, int] | None = None
        """The timer's next step after the current one, and its time."""
        self._out: list[Effect] = []
        self._now = now
        self._chain = Chain(event.final, event.payload_height)
        self._pace = Pacemaker(config, now, event.final.view + 1, event.backoff)

    # ---- the two calls

    def on_input(self, now: int, event: Input) -> list[Effect]:
        """Takes one step; the effects are to be carried out in list order."""
        self._out = []
        self._take(now, event)
        self._now, self._since = now, self._work_since()
        if self._pace.view in self._chain.proposals:
            self._judge_proposal(now)
        if self._leader == self._me:
            self._lead(now)
        self._run_timers(now)
        out, self._out = self._out, []
        return out

    @property
    def backoff(self) -> int:
        """K of R16."""
        return self._pace.backoff

    def next_deadline(self) -> int:
        """Returns the time at which to send a `Tick`; called after each step. On an idle chain that is the heartbeat
        alone (R19)."""
        deadline, now, work_since = self._pace.heartbeat_at, self._now, self._since
        if self._guard.halted:
            return deadline
        if self._next is not None and self._next[1] < deadline:
            deadline = self._next[1]
        if work_since is not None and now < work_since < deadline:
            deadline = work_since
        if self._leader == self._me and self._may_lead():
            lead_from = self._lead_from(work_since)
            if lead_from is not None and now < lead_from < deadline:
                deadline = lead_from
        return deadline

    # ---- inputs

    def _take(self, now: int, event: Input) -> None:
        # Frequent inputs come first and are compared by class: a `match` pattern takes several times as long.
        if type(event) is Certificate:
            self._absorb(now, event)
        elif type(event) is BlockSeen:
            self._learn(event.block, event.status)
        elif type(event) is WorkSeen:
            self._work.listable(now, event.listable)
        elif type(event) is ClaimReady:
            self._work.claim_ready(now, event.height)
        else:
            self._take_rare(now, event)

    def _take_rare(self, now: int, event: Input) -> None:
        match event:
            case Recovered():
                self._recover(now, event)
            case VoteRefused(kind, view):
                self._guard.refused(kind, view)
            case Diverged() | KeyRetired():
                self._guard.halt()
            case HeldByNobody(runs):
                self._held_by_nobody = runs
            case Proposed(view):
                self._turns.proposed(now, view, 2 * self._pace.doubled_ns)
                self._pace.set_timer(self._turns.late(self._pace.view))  # The leader may lead the current view.
            case PeerSilence(peer, silent) if peer != self._me:
                (self._silent.add if silent else self._silent.discard)(peer)
                self._reach.without(self._silent)
            case RoundTrips(us) if self._config.measured_pace:
                self._reach.measured(us, self._silent)
            case _:
                self._take_reason(now, event)

    def _take_reason(self, now: int, event: Input) -> None:
        """Takes an input that may be a reason for a block. A `Tick` only brings the time."""
        match event:
            case RootReady(height):
                self._work.root_ready(now, height)
            case ClaimWanted(height):
                self._work.claim_wanted(height)
            case EndDue(due):
                self._work.end_due(now, due)
            case NullifiesSeen(view):
                self._work.nullifies_seen(now, view)
            case LaneCostly(lane, view) if 0 <= lane < self._n:
                self._work.lane_costly(lane, view)
            case _:
                pass

    def _recover(self, now: int, event: Recovered) -> None:
        """Goes to the view that the journal proves this node was in, and sends again what it may have sent before
        (R22)."""
        if event.me is None:
            self._guard.halt()  # R30
        for block in event.blocks:
            self._learn(block, PayloadStatus.PENDING)
        self._guard.forget_through(event.final.view)
        self._guard.restore(vote for vote in event.votes if vote.view > event.final.view)
        cast_in = [vote.view for vote in event.votes if vote.kind is not VoteKind.FINALIZE]
        newest = max((c.view for c in event.certificates), default=0)
        view = max(event.final.view + 1, newest + 1, *cast_in)
        because = next((c for c in event.certificates if c.view == view - 1), None)
        self._set_pace(view)
        self._pace.begin(now, view, because, 0)
        self._turns.entered(now, view, self._chain.final_view)
        self._say_view()
        for certificate in sorted(event.certificates, key=lambda c: (c.kind is not VoteKind.FINALIZE, c.view)):
            self._absorb(now, certificate)
        self._emit(ResendVotes(view))
        self._emit(Heartbeat(view))

    def _learn(self, block: BlockFacts, status: PayloadStatus) -> None:
        """Learns a block. Ignores one that isn't by its view's leader, or is of a view far ahead (R5, R10)."""
        if block.view > self._pace.view + self._config.future_views_max:
            return
        if block.view != 0 and block.proposer != self._leader_of(block.view):
            return
        if block.proposer == self._me:
            self._guard.note_own_block(block.view, block.digest)
        self._chain.learn(block, status)

    # ---- certificates

    def _absorb(self, now: int, certificate: Certificate) -> None:
        """Files a certificate, and follows it to the next view if it is of this view or a later one (R2, R8, R9)."""
        chain, view = self._chain, certificate.view
        if view <= chain.final_view:
            return
        told = self._pace.backoff or self._turns.told_of_any  # Otherwise no duration matters.
        since = self._timer_since(self._work_since()) if told else None
        match certificate.kind:
            case VoteKind.NOTARIZE:
                assert certificate.digest is not None
                if not chain.notarized.add(view, certificate.digest):
                    return
                if view == self._pace.view and self._turns.told_of_any and not self._guard.has_nullified(view):
                    proposed = now if self._proposal_at is None else self._proposal_at
                    self._turns.notarized(view, self._pace.early(proposed, since), self._pace.quick(now, since))
                self._work.notarized(now, view)
                if self._guard.may_finalize(view):
                    self._vote(now, VoteKind.FINALIZE, view, certificate.digest, certificate)
                elif view >= self._pace.view:
                    self._emit(SendCertificate(certificate))
            case VoteKind.NULLIFY:
                if view in chain.nullified:
                    return
                chain.nullified.add(view)
                self._lose_to_others(now, view)
                if view >= self._pace.view:
                    self._emit(SendCertificate(certificate))
            case VoteKind.FINALIZE:
                assert certificate.digest is not None
                self._finalize(certificate, certificate.digest)
                self._pace.finalized(now, view, since)
        if view >= self._pace.view:
            self._enter(now, view + 1, certificate, since)

    def _finalize(self, certificate: Certificate, digest: bytes) -> None:
        """Makes the block final with all its ancestors, whether or not this node has seen them (R9)."""
        view = certificate.view
        self._chain.finalize(view, digest)
        self._guard.forget_through(view)
        self._work.finalized(view)
        self._turns.finalized(self._pace.view, view)
        if view >= self._pace.view:
            self._emit(SendCertificate(certificate))

    def _enter(self, now: int, view: int, because: Certificate, since: int | None) -> None:
        """Enters a view. Views only go up, and only by a certificate (R2)."""
        assert view > self._pace.view
        self._turns.entered(now, view, self._chain.final_view)
        self._set_pace(view)
        self._pace.enter(now, view, because, self._turns.late(view), since)
        self._proposal_at = None
        self._forget_requests()
        self._say_view()

    def _set_pace(self, view: int) -> None:
        """Looks up a view's leader, and sets the times that depend on it (R53)."""
        self._leader = self._schedule.leader(view)
        leads, reach = self._leader == self._me, self._reach
        self._pace.floor_ns = reach.floor_ns(self._leader)
        self._work.grace_ns, self._work.claim_delay_ns = reach.grace_ns(leads), reach.claim_delay_ns(leads)

    def _leader_of(self, view: int) -> int:
        return self._leader if view == self._pace.view else self._schedule.leader(view)

    def _say_view(self) -> None:
        pace, leads = self._pace, self._leader == self._me
        self._emit(EnterView(pace.view, pace.because, leads, self._epoch, pace.backoff, self._turns.listed))

    # ---- the voter

    def _judge_proposal(self, now: int) -> None:
        """Notarizes the first valid proposal of the current view; fetches what is missing to judge it (R5, R6)."""
        view = self._pace.view
        held = self._chain.proposal(view)
        if held is None:
            return
        block, status = held
        if self._proposal_at is None:
            self._proposal_at = now
        if not self._guard.may_notarize(view):
            return
        match self._chain.judge(block):
            case MissingCertificates() as gap:
                self._fetch_certificates(gap, block.proposer)
            case MissingBlock(parent_view, parent):
                self._fetch_block(parent_view, parent)
            case Verdict.ACCEPT if status is PayloadStatus.READY:
                self._vote(now, VoteKind.NOTARIZE, view, block.digest, None)

    # ---- the leader

    def _may_lead(self) -> bool:
        """Checks whether this node may propose: once per view, and not in a view that it has given up (R4)."""
        view = self._pace.view
        return (
            self._leader == self._me
            and self._proposed_view < view
            and self._guard.may_notarize(view)
            and not self._guard.has_nullified(view)
        )

    def _lead_from(self, work_since: int | None) -> int | None:
        """Returns the time from which to propose. With work, a leader waits a moment for the parent to become final
        (R4)."""
        parent_since = self._work.notarized_at(self._chain.notarized.newest)
        if work_since is None or parent_since is None:
            return work_since
        return max(work_since, parent_since + self._reach.parent_grace_ns())

    def _lead(self, now: int) -> None:
        """Proposes as soon as there is work and the parent is certain (R3, R4, R14, R20)."""
        if not self._may_lead():
            return
        view = self._pace.view
        since = self._lead_from(self._since)
        if since is None or since > now:
            return
        parent = self._chain.newest_parent(view)
        if isinstance(parent, MissingCertificates):
            self._fetch_certificates(parent, self._someone())
            return
        facts = self._chain.blocks.get(parent.digest)
        if facts is None:
            self._fetch_block(parent.view, parent.digest)
            return
        self._proposed_view = view
        if self._proposal_at is None:
            self._proposal_at = now  # The own block wakes nobody, so its `BlockSeen` may come much later.
        claim, root = self._work.claim_height(facts), self._work.root_height(facts)
        self._emit(Propose(view, parent.view, parent.digest, claim, root, self._work.distrusted(view)))
        self._pace.sent_a_frame(now)

    # ---- timers

    def _work_since(self) -> int | None:
        """Returns the time, past or future, from which there is a reason for a block in this view (R11)."""
        return self._work.since(self._chain, self._pace.view, self._pace.entered_at)

    def _timer_since(self, work_since: int | None) -> int | None:
        """Returns the start of the view's timer (R15). A proposal starts it, too: the view must end even if this node
        has seen no work."""
        return earliest((work_since, self._proposal_at))

    def _run_timers(self, now: int) -> None:
        """Takes the timer steps that are due (R15, R17, R18, R19)."""
        pace = self._pace
        if now >= pace.heartbeat_at:
            self._beat(now)
        self._next = None
        if self._guard.halted:
            return
        work_since = self._since
        working = work_since is not None and work_since <= now
        if working and not pace.given_up:
            self._pass_over(now)
        if working and self._held_by_nobody:
            self._nullify_late(now)
        while work_since is not None or self._proposal_at is not None:
            due = pace.next_phase(self._timer_since(work_since), self._proposal_at, work_since is not None)
            if due is None or due[1] > now:
                self._next = due
                return
            match due[0]:
                case Phase.ASK:
                    self._ask_leader()
                case Phase.GIVE_UP:
                    self._lose(now, work_since)
                case Phase.RESEND:
                    self._resend(now, working)

    def _ask_leader(self) -> None:
        """Sends work to the leader, which may not have seen it (R15)."""
        self._pace.asked()
        if self._leader != self._me:
            self._emit(SendWork(self._leader))

    def _pass_over(self, now: int) -> None:
        """Gives the view up at once if its leader is on the list of mute ones (R17b), if it was late before and f + 1
        members have given it up (R17c), or if it is silent without a proposal (R17)."""
        view = self._pace.view
        if self._turns.listed and self._turns.skips(now, view):
            self._give_up(now, tell=False)
        elif self._work.opposed(view) and self._turns.late(view):
            self._lose_to_others(now, view)
            self._give_up(now, tell=False)
        elif self._proposal_at is None and self._leader in self._silent:
            self._give_up(now, tell=True)

    def _lose(self, now: int, work_since: int | None) -> None:
        """Ends the view by this node's own timer (R15, R16)."""
        view, since = self._pace.view, self._timer_since(work_since)
        assert since is not None
        if self._turns.without_end(view, self._chain.final_view):
            self._pace.back_off()
        self._turns.lost(now, view, now - max(since, self._pace.entered_at))
        self._pace.set_timer(self._turns.late(view))
        self._give_up(now, tell=work_since is not None and work_since <= now)

    def _lose_to_others(self, now: int, view: int) -> None:
        """Counts the current view as lost by its leader if others end it after half of its timer, as if the timer had
        ended it (R17b)."""
        if view != self._pace.view or self._pace.given_up:
            return
        ran = self._pace.long_since(now, self._timer_since(self._work_since()))
        if ran is not None:
            self._turns.lost(now, view, ran)

    def _give_up(self, now: int, tell: bool) -> None:
        """Nullifies the view; with `tell`, sends all peers what woke this node (R7, R15)."""
        self._pace.gave_up(now)
        if self._guard.may_nullify(self._pace.view):
            self._vote(now, VoteKind.NULLIFY, self._pace.view, None, None)
        if tell:
            self._emit(SendWork(None))
        if self._held_by_nobody:  # R35: views may pass faster than heartbeats.
            self._emit(ResendVotes(self._pace.view))

    def _resend(self, now: int, working: bool) -> None:
        """Sends votes and work again: if the first frame was lost, only this node would know of them (R18)."""
        self._pace.resent(now)
        self._emit(ResendVotes(self._pace.view))
        if working:
            self._emit(SendWork(None))
        self._ask_again(now)

    def _nullify_late(self, now: int) -> None:
        """Nullifies views below the current one whose certificates no node holds, so that they can get one (R35)."""
        if not self._pace.given_up and not self._turns.without_end(self._pace.view, self._chain.final_view):
            return
        for first_view, last_view in self._held_by_nobody:
            for view in range(first_view, min(last_view + 1, self._pace.view)):
                if not self._chain.has_certificate(view) and self._guard.may_nullify(view):
                    self._vote(now, VoteKind.NULLIFY, view, None, None)

    def _beat(self, now: int) -> None:
        """Sends a heartbeat and asks again for what is missing (R19, R25)."""
        self._pace.sent_a_frame(now)
        self._emit(Heartbeat(self._pace.view))
        self._ask_again(now)
        walk = self._chain.walk
        if walk is not None:
            self._fetch_block(walk.view, walk.digest)

    # ---- helpers

    def _emit(self, effect: Effect) -> None:
        """Emits an effect. A node outside the committee asks for data and sends nothing else (R30)."""
        if self._me is not None or isinstance(effect, EnterView | FetchBlock | FetchCertificates):
            self._out.append(effect)

    def _vote(self, now: int, kind: VoteKind, view: int, digest: bytes | None, carry: Certificate | None) -> None:
        self._guard.cast(kind, view, digest)
        self._pace.sent_a_frame(now)
        self._emit(Vote(kind, view, digest, carry))

    def _fetch_block(self, view: int, digest: bytes) -> None:
        """Asks for a block once per view, resend or heartbeat; between these the data plane tries one peer after
        another (R25)."""
        if digest not in self._asked_blocks:
            self._asked_blocks.add(digest)
            self._emit(FetchBlock(view, digest))

    def _fetch_certificates(self, gap: MissingCertificates, peer: int) -> None:
        wanted = (gap.first_view, gap.last_view)
        if wanted not in self._asked_certificates:
            self._asked_certificates.add(wanted)
            self._emit(FetchCertificates(gap.first_view, gap.last_view, peer))

    def _ask_again(self, now: int) -> None:
        """Asks again for what hasn't come (R25)."""
        self._forget_requests()
        self._judge_proposal(now)
        self._lead(now)

    def _forget_requests(self) -> None:
        self._asked_blocks.clear()
        self._asked_certificates.clear()

    def _someone(self) -> int:
        """Returns the next peer that isn't silent; the data plane asks others if that one doesn't answer."""
        me = self._me or 0
        peers = [(me + step) % self._n for step in range(1, self._n)]
        return next((peer for peer in peers if peer not in self._silent), peers[0] if peers else me)
