"""One core never casts conflicting votes, whatever the data plane sends in whatever order.

Invariants: inputs are arbitrary, except that certificates are ones that a quorum could have made (one digest per view).
"""

from dataclasses import replace

from core_harness import CONFIG, GENESIS, Core, N, block
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    ClaimReady,
    ClaimWanted,
    Effect,
    EndDue,
    EnterView,
    HeldByNobody,
    Input,
    LaneCostly,
    NullifiesSeen,
    OwnVote,
    PayloadStatus,
    PeerSilence,
    Propose,
    Proposed,
    RootReady,
    RoundTrips,
    Tick,
    Vote,
    VoteKind,
    VoteRefused,
    WorkSeen,
)

VIEWS = 8
TREE = {1: block(1)}
for _view in range(2, VIEWS + 1):
    _parent = TREE[_view - 1] if _view % 3 else TREE[max(1, _view - 2)]
    _ends = _view >= VIEWS - 1  # the last two: boundary and closing block
    _claim, _root = (_parent.claimed_height, _parent.rooted_height) if _view == VIEWS else (_view // 4, _view // 5)
    TREE[_view] = block(_view, _parent, payload=_view % 4 > 0 and not _ends, claim=_claim, root=_root, ends=_ends)
TWINS = {view: block(view, GENESIS, tag=b"twin") for view in TREE}

views = st.integers(1, VIEWS)
blocks = st.builds(lambda view, twin: (TWINS if twin else TREE)[view], views, st.booleans())


def certificate(kind: VoteKind, view: int) -> Certificate:
    return Certificate(kind, view, None if kind is VoteKind.NULLIFY else TREE[view].digest)


inputs: st.SearchStrategy[Input] = st.one_of(
    st.builds(certificate, st.sampled_from(VoteKind), views),
    st.builds(BlockSeen, blocks, st.sampled_from(PayloadStatus)),
    st.builds(WorkSeen, st.booleans()),
    st.builds(ClaimReady, st.integers(0, VIEWS)),
    st.builds(RootReady, st.integers(0, VIEWS)),
    st.builds(ClaimWanted, st.integers(0, VIEWS)),
    st.builds(EndDue, st.booleans()),
    st.builds(NullifiesSeen, views),
    st.builds(PeerSilence, st.integers(0, N - 1), st.booleans()),
    st.builds(RoundTrips, st.lists(st.integers(0, 10**9), max_size=N + 1).map(tuple)),
    st.builds(LaneCostly, st.integers(-1, N), views),
    st.builds(HeldByNobody, st.lists(st.tuples(views, views), max_size=2).map(tuple)),
    st.builds(Proposed, views),
    st.builds(VoteRefused, st.sampled_from(VoteKind), views),
    st.just(Tick()),
)
script = st.lists(st.tuples(st.integers(0, 400), inputs), max_size=60)
ROOTS = replace(CONFIG, state_roots=True)
PROFILE = settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])


class Watch:
    """Checks every effect of one node against the rules of voting, across its restarts."""

    def __init__(self, me: int) -> None:
        self.me = me
        self.votes: set[OwnVote] = set()
        self.view = 0
        self.final_view = 0
        self.proposed: set[int] = set()

    def see(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case EnterView(view, because, leads):
                    assert view > self.view
                    assert because is None or because.view == view - 1
                    assert leads is (view % N == self.me)
                    self.view = view
                case Vote(kind, view, digest, carry):
                    self._see_vote(kind, view, digest, carry)
                case Propose(view, parent_view, _, claim, root, _):
                    assert view == self.view
                    assert view not in self.proposed
                    assert parent_view < view
                    assert 0 <= root <= claim
                    self.proposed.add(view)
                case _:
                    pass

    def _see_vote(self, kind: VoteKind, view: int, digest: bytes | None, carry: Certificate | None) -> None:
        assert view > self.final_view
        assert all(vote.kind is not kind for vote in self.votes if vote.view == view), "one vote of a kind per view"
        kinds = {vote.kind for vote in self.votes if vote.view == view} | {kind}
        assert not {VoteKind.NULLIFY, VoteKind.FINALIZE} <= kinds
        if kind is VoteKind.FINALIZE:
            assert carry == Certificate(VoteKind.NOTARIZE, view, digest)
        elif kind is VoteKind.NOTARIZE:
            assert view == self.view
        else:
            assert view <= self.view, "a late nullify moves no view (R35)"
        self.votes.add(OwnVote(kind, view, digest))


def live(core: Core, watch: Watch, steps: list[tuple[int, Input]]) -> None:
    for wait_ms, event in steps:
        watch.see(core.wait(wait_ms))
        if isinstance(event, Certificate) and event.kind is VoteKind.FINALIZE:
            watch.final_view = max(watch.final_view, event.view)
        watch.see(core.feed(event))
        deadline = core.replica.next_deadline()
        assert deadline is not None
        assert deadline > core.now
        assert deadline - core.now <= CONFIG.heartbeat_ms * NS_PER_MS


@PROFILE
@given(st.integers(0, N - 1), script)
def test_no_order_of_inputs_causes_conflicting_votes(me: int, steps: list[tuple[int, Input]]) -> None:
    core, watch = Core(me, config=ROOTS), Watch(me)
    watch.see(core.first)
    live(core, watch, steps)


@PROFILE
@given(st.integers(0, N - 1), script, script)
def test_a_restart_in_between_causes_no_conflicting_votes(
    me: int, before: list[tuple[int, Input]], after: list[tuple[int, Input]]
) -> None:
    core, watch = Core(me, config=ROOTS), Watch(me)
    watch.see(core.first)
    live(core, watch, before)
    seen = [event for _, event in before if isinstance(event, Certificate)]
    unique = tuple({(c.kind, c.view): c for c in seen if c.kind is not VoteKind.FINALIZE}.values())
    known: tuple[BlockFacts, ...] = tuple(TREE.values())
    watch.view = watch.final_view = 0
    again = Core(me, config=ROOTS, blocks=known, certificates=unique, votes=tuple(sorted(watch.votes, key=str)))
    watch.see(again.first)
    live(again, watch, after)


@PROFILE
@given(st.integers(0, N - 1), script)
def test_the_same_inputs_give_the_same_effects(me: int, steps: list[tuple[int, Input]]) -> None:
    one, two = Core(me, config=ROOTS), Core(me, config=ROOTS)
    for wait_ms, event in steps:
        assert one.wait(wait_ms) == two.wait(wait_ms)
        assert one.feed(event) == two.feed(event)


@PROFILE
@given(st.permutations(range(1, VIEWS + 1)))
def test_certificates_in_any_order_lead_to_the_same_view_and_parent(order: list[int]) -> None:
    core = Core(me=(VIEWS + 1) % N)
    core.feed(*(BlockSeen(facts, PayloadStatus.READY) for facts in TREE.values()))
    effects = core.feed(*(certificate(VoteKind.NOTARIZE, view) for view in order), WorkSeen(True))
    effects += core.wait(CONFIG.grace_ms)  # the newest is a closing block: only the boundary below it is a reason
    proposals = [effect for effect in effects if isinstance(effect, Propose) and effect.view == VIEWS + 1]
    assert [p.parent for p in proposals] == [TREE[VIEWS].digest]
