"""Views whose certificates nobody holds any more get a nullification late (R35).

Invariants: the data plane reports what no peer holds; the core believes it here.
"""

from core_harness import Core, N, block, notarization, nullification, of, ready

from rustorium.consensus.vocabulary import FetchCertificates, HeldByNobody, Vote, VoteKind, WorkSeen

LATE = [(VoteKind.NULLIFY, view) for view in (1, 2, 3, 4)]


def late_votes(core: Core, runs: tuple[tuple[int, int], ...], ms: float = 2_000) -> list[tuple[VoteKind, int]]:
    """Returns the votes that the core casts for views below 6."""
    effects = core.feed(HeldByNobody(runs)) + core.wait(ms)
    return [(vote.kind, vote.view) for vote in of(effects, Vote) if vote.view < 6]


def sent_ahead(me: int = 0) -> Core:
    """Returns a core that one nullification has moved from view 1 to 6, with work."""
    core = Core(me=me)
    core.feed(nullification(5), WorkSeen(True))
    return core


def test_r35_views_without_any_certificate_are_nullified_once() -> None:
    for me in range(N):
        core = sent_ahead(me)
        assert not late_votes(core, ())
        assert late_votes(core, ((1, 4),)) == LATE
        assert not late_votes(core, ((1, 4),)), "once"


def test_r35_all_of_three_cores_make_the_certificates_and_go_on() -> None:
    cores = {me: sent_ahead(me) for me in (0, 1, 2)}
    cast = [late_votes(core, ((1, 4),)) for core in cores.values()]
    assert cast == [LATE] * 3, "a quorum of each"
    for core in cores.values():
        effects = core.feed(*(nullification(view) for view in (1, 2, 3, 4))) + core.wait(2_000)
        assert not of(effects, FetchCertificates)


def test_r35_a_view_with_a_certificate_or_a_finalize_of_this_node_is_not_nullified() -> None:
    core = Core()
    one, two = block(1), block(2, block(1))
    core.feed(ready(one), notarization(one), ready(two), notarization(two), nullification(5), WorkSeen(True))
    assert late_votes(core, ((1, 4),)) == [(VoteKind.NULLIFY, 3), (VoteKind.NULLIFY, 4)]


def test_r35_no_vote_is_cast_without_work_or_for_future_views() -> None:
    core = Core()
    core.feed(nullification(5))
    assert not late_votes(core, ((1, 4),))
    core = sent_ahead()
    assert not [view for _, view in late_votes(core, ((6, 9),), 300) if view > 6]
