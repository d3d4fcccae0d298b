"""Cores over an ideal network: links with a delay, votes counted here, work for everyone at any time.

Invariants: virtual time only; lost messages are sent again with heartbeats and resends; a mute member sends heartbeats
(so no core is told that it is silent), but proposes nothing and casts no vote, except as its guile has it.
"""

import heapq
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from enum import Enum
from itertools import count

from rustorium.consensus.chain import Parent
from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.consensus.replica import Replica
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
    NullifiesSeen,
    OwnVote,
    PayloadStatus,
    Propose,
    Proposed,
    Recovered,
    ResendVotes,
    SendCertificate,
    SendWork,
    Tick,
    Vote,
    VoteKind,
    WorkSeen,
)

SPOILING_NS = 300 * NS_PER_MS
"""Time after which a spoiler votes: before a timer that is doubled once ends, as its own core would."""
GENESIS = BlockFacts(0, 0, b"g" * 32, 0, b"g" * 32, 0, 0, False, 0)


@dataclass(frozen=True, slots=True)
class Frame:
    """A message from one member to another."""

    source: int
    votes: tuple[OwnVote, ...] = ()
    certificates: tuple[Certificate, ...] = ()
    blocks: tuple[BlockFacts, ...] = ()
    work: bool = False
    """`True` if the member sees work from now on."""
    whole: bool = True
    """`False` if the payloads of the blocks can't be had."""


@dataclass(slots=True)
class Member:
    """A core, and what its data plane would hold for it."""

    replica: Replica
    view: int = 0
    view_since: int = 0
    passed_over: tuple[int, ...] = ()
    final: Certificate | None = None
    votes: dict[tuple[VoteKind, int, bytes | None], int] = field(default_factory=dict)
    certificates: dict[tuple[VoteKind, int], Certificate] = field(default_factory=dict)
    own: list[OwnVote] = field(default_factory=list)
    deadline: int = 0


class Guile(Enum):
    """What an otherwise mute member does."""

    NEVER = "nothing"
    SKIPPED = "proposes, at once and correctly, in views where most pass it over"
    OBLIGING = "proposes there, and in full cycles"
    SPOILING = "votes against views of mute members late, but before the longest timers end"
    PARTIAL = "does so, and shows f of the others a block that they can't complete"
    HOSTILE = "votes at once against every view"


class Links:
    """A committee with some mute members."""

    def __init__(
        self,
        n: int,
        mute: Iterable[int] = (),
        *,
        guile: Guile = Guile.NEVER,
        config: ConsensusConfig | None = None,
        delay_ms: float = 1.0,
        seed: int | None = None,
        leaders: tuple[int, ...] = (),
    ) -> None:
        """`leaders`: the members that lead in ordinary cycles; all if there are none."""
        self.n, self.quorum = n, n - (n - 1) // 3
        self.mute, self.guile = frozenset(mute), guile
        self.config = config or ConsensusConfig()
        self.delay: Callable[[int, int], int | None] | None = None
        """Own delay of each link, if set; `None` loses the frame."""
        self.delay_ns = int(delay_ms * NS_PER_MS)
        self.work_after_ns: dict[int, int] = {}
        """Time from a member's entry into a view until it sees work there; others always see some."""
        self.now = 0
        self.blocks: dict[bytes, BlockFacts] = {GENESIS.digest: GENESIS}
        self.known: dict[tuple[VoteKind, int], Certificate] = {}
        self.final_at: dict[int, int] = {}
        """Time at which each view was first final anywhere."""
        self.first_at: dict[int, int] = {}
        """Time at which each view was first entered anywhere."""
        self.sent_work = 0
        self._order = count()
        self._frames: list[tuple[int, int, tuple[int, ...], Frame]] = []
        self._ticks: list[tuple[int, int, int]] = []
        self.members = {me: Member(Replica(self.config)) for me in range(n) if me not in self.mute}
        for me in self.members:
            self._step(me, Recovered(GENESIS, 0, 0, me, n, seed=seed, leaders=leaders), WorkSeen(True))

    # ---- time

    def run(self, ms: float, until: Callable[[], bool] | None = None) -> bool:
        """Runs for `ms`; returns true if `until` held before the end."""
        end = self.now + int(ms * NS_PER_MS)
        while until is None or not until():
            frame_at = self._frames[0][0] if self._frames else end + 1
            tick_at = self._ticks[0][0] if self._ticks else end + 1
            if min(frame_at, tick_at) > end:
                self.now = end
                return False
            if frame_at <= tick_at:
                self.now, _, targets, frame = heapq.heappop(self._frames)
                for target in targets:
                    self._hear(target, frame)
            else:
                at, _, me = heapq.heappop(self._ticks)
                self.now = max(self.now, at)
                if self.members[me].deadline == at:
                    self._step(me, Tick())
        return True

    def views(self) -> int:
        return max(member.view for member in self.members.values())

    def machine(self, me: int) -> Machine:
        machine = self.members[me].replica._machine
        assert machine is not None
        return machine

    def final_view(self) -> int:
        return max(self.final_at, default=0)

    # ---- members

    def _step(self, me: int, *inputs: Input) -> None:
        member = self.members[me]
        for event in inputs:
            for effect in member.replica.on_input(self.now, event):
                self._carry_out(me, member, effect)
        deadline = member.replica.next_deadline()
        assert deadline is not None
        if deadline != member.deadline:
            member.deadline = deadline
            heapq.heappush(self._ticks, (deadline, next(self._order), me))

    def _carry_out(self, me: int, member: Member, effect: Effect) -> None:
        match effect:
            case Vote(kind, view, digest, carry):
                vote = OwnVote(kind, view, digest)
                member.own.append(vote)
                self._send(Frame(me, (vote,), () if carry is None else (carry,)))
                self._count(me, me, vote)
            case Propose():
                self._propose(me, effect)
            case EnterView(view):
                member.view, member.view_since, member.passed_over = view, self.now, effect.passed_over
                if view not in self.first_at:
                    self.first_at[view] = self.now
                    self._fake(me, view)
                    self._oppose(me, view)
                if me in self.work_after_ns:
                    self._put(me, WorkSeen(False))
                    at = self.now + self.work_after_ns[me]
                    heapq.heappush(self._frames, (at, next(self._order), (me,), Frame(me, work=True)))
            case SendCertificate(certificate):
                self._send(Frame(me, (), (certificate,)))
            case Heartbeat() | ResendVotes():
                self._send(self._open(me, member))
            case FetchBlock(_, digest):
                self._later(me, Frame(me, (), (), (self.blocks[digest],)))
            case FetchCertificates(first, last, _):
                found = tuple(c for (_, view), c in self.known.items() if first <= view <= last)
                self._later(me, Frame(me, (), found))
            case SendWork():
                self.sent_work += 1

    def _open(self, me: int, member: Member) -> Frame:
        blocks = tuple(
            block
            for vote in member.own
            if vote.kind is VoteKind.NOTARIZE
            and vote.digest is not None
            and (block := self.blocks[vote.digest]).proposer == me
        )
        certificates = tuple(member.certificates.values())
        return Frame(me, tuple(member.own), certificates, blocks)

    def _propose(self, me: int, effect: Propose) -> None:
        block = self._block(effect.view, effect.parent, me)
        vote = OwnVote(VoteKind.NOTARIZE, effect.view, block.digest)
        self.members[me].own.append(vote)
        self._send(Frame(me, (vote,), (), (block,)))
        self._put(me, BlockSeen(block, PayloadStatus.READY))
        self._count(me, me, vote)

    def _block(self, view: int, parent: bytes, proposer: int) -> BlockFacts:
        below = self.blocks[parent]
        digest = (b"block" + view.to_bytes(4, "big")).ljust(32, b"-")
        block = BlockFacts(view, below.height + 1, digest, below.view, parent, proposer, below.time_ms + 1, True, 0)
        self.blocks[digest] = block
        return block

    def _fake(self, me: int, view: int) -> None:
        """Returns a mute leader's proposal. The leader knows what the others think of it."""
        if self.guile not in (Guile.SKIPPED, Guile.OBLIGING) or len(self.first_at) == 1:
            return
        machines = [self.machine(me) for me in self.members]
        turn = machines[0]._schedule.turn(view)
        if turn.leader not in self.mute:
            return
        skipping = [one for one in machines if one._turns.skips(self.now, view)]
        if 2 * len(skipping) > len(machines) or (turn.full and self.guile is Guile.OBLIGING):
            parent = self.machine(me)._chain.newest_parent(view)
            if isinstance(parent, Parent):
                self._send(Frame(turn.leader, (), (), (self._block(view, parent.digest, turn.leader),)))

    def _oppose(self, me: int, view: int) -> None:
        """Has the mute members vote against a view."""
        leader = self.machine(me)._schedule.leader(view)
        spoils = self.guile in (Guile.SPOILING, Guile.PARTIAL) and leader in self.mute
        if self.guile is not Guile.HOSTILE and not spoils:
            return
        arrives, targets = self.now + self.delay_ns, tuple(self.members)
        for source in self.mute:
            frame = Frame(source, (OwnVote(VoteKind.NULLIFY, view, None),))
            heapq.heappush(self._frames, (arrives + SPOILING_NS * spoils, next(self._order), targets, frame))
        parent = self.machine(me)._chain.newest_parent(view)
        if self.guile is Guile.PARTIAL and isinstance(parent, Parent):
            shown = Frame(leader, blocks=(self._block(view, parent.digest, leader),), whole=False)
            heapq.heappush(self._frames, (arrives, next(self._order), targets[: self.n - self.quorum], shown))

    # ---- frames

    def _send(self, frame: Frame) -> None:
        if self.delay is None:
            targets = tuple(one for one in self.members if one != frame.source)
            heapq.heappush(self._frames, (self.now + self.delay_ns, next(self._order), targets, frame))
            return
        for target in self.members:
            delay = self.delay(frame.source, target)
            if target != frame.source and delay is not None:
                heapq.heappush(self._frames, (self.now + delay, next(self._order), (target,), frame))

    def _later(self, me: int, frame: Frame) -> None:
        delay = self.delay_ns if self.delay is None else self.delay(me, me)
        if delay is not None:
            heapq.heappush(self._frames, (self.now + 2 * delay, next(self._order), (me,), frame))

    def _hear(self, me: int, frame: Frame) -> None:
        for certificate in frame.certificates:
            self._certify(me, certificate)
        for block in frame.blocks:
            if block.proposer == frame.source and block.proposer in self.members[me].passed_over:
                self._put(me, Proposed(block.view))
            self._put(me, BlockSeen(block, PayloadStatus.READY if frame.whole else PayloadStatus.PENDING))
        for vote in frame.votes:
            self._count(me, frame.source, vote)
        if frame.work:
            self._put(me, WorkSeen(True))

    def _count(self, me: int, source: int, vote: OwnVote) -> None:
        member = self.members[me]
        if (vote.kind, vote.view) in member.certificates:
            return
        if member.final is not None and vote.view <= member.final.view:
            return
        key = (vote.kind, vote.view, vote.digest)
        before = member.votes.get(key, 0)
        after = member.votes[key] = before | 1 << source
        if after == before:
            return
        counted = after.bit_count()
        if vote.kind is VoteKind.NULLIFY and counted == self.n - self.quorum + 1:
            self._put(me, NullifiesSeen(vote.view))
        if counted == self.quorum:
            self._certify(me, Certificate(vote.kind, vote.view, vote.digest))

    def _certify(self, me: int, certificate: Certificate) -> None:
        member = self.members[me]
        key = (certificate.kind, certificate.view)
        if key in member.certificates or (member.final is not None and certificate.view <= member.final.view):
            return
        self.known[key] = member.certificates[key] = certificate
        if certificate.kind is VoteKind.FINALIZE:
            view = certificate.view
            self.final_at.setdefault(view, self.now)
            member.final = certificate
            member.certificates = {k: c for k, c in member.certificates.items() if k[1] > view or c is certificate}
            member.votes = {k: bits for k, bits in member.votes.items() if k[1] > view}
            member.own = [vote for vote in member.own if vote.view > view]
        self._put(me, certificate)

    def _put(self, me: int, event: Input) -> None:
        self._step(me, event)
