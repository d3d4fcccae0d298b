"""Times that follow from measured round trips (R53): bounds, liars, and a leader that no honest voter gives up before
its grace is over."""

from dataclasses import replace
from itertools import combinations

import pytest
from core_harness import CONFIG, GENESIS, Core, block, finalization, notarization, of, ready
from hypothesis import given, settings
from hypothesis import strategies as st

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.reach import FLOOR_NS_MAX, Reach
from rustorium.consensus.schedule import Schedule
from rustorium.consensus.vocabulary import (
    ClaimReady,
    PeerSilence,
    Propose,
    Recovered,
    RoundTrips,
    Vote,
    VoteKind,
)
from rustorium.geo.floor import quorum
from rustorium.net.distances import RTT_MATRIX, read_matrix

LEAST_MS = CONFIG.grace_ms
PACED = replace(CONFIG, parent_grace_ms=3)


def reach(*ms: int, silent: tuple[int, ...] = (), graces: bool = True) -> Reach:
    """What a member with these round trips takes from them; 0: unknown, or itself."""
    found = Reach(PACED, len(ms), graces)
    found.measured([1000 * one for one in ms], silent)
    return found


def times_ms(found: Reach, leader: int = 1) -> tuple[float, ...]:
    """Δ's lower bound with this leader, the graces of a leader and a voter, and the grace for the parent."""
    times = found.floor_ns(leader), found.grace_ns(True), found.grace_ns(False), found.parent_grace_ns()
    return tuple(time / NS_PER_MS for time in times)


UNKNOWN = (100.0, 20.0, 20.0, 3.0)


@pytest.mark.parametrize(
    ("found", "times"),
    [
        (Reach(PACED, 4, True), UNKNOWN),
        (reach(0, 0, 90, 0), UNKNOWN),
        (reach(0, 5, 7, 9), UNKNOWN),
        (reach(0, 80, 120, 200), (150.0, 120.0, 200.0, 0.0)),
        (reach(0, 200, 120, 80), (250.0, 120.0, 200.0, 0.0)),
        (reach(0, 900, 120, 80), (500.0, 120.0, 400.0, 0.0)),
        (reach(0, 80, 120, 200, silent=(3,)), (150.0, 120.0, 120.0, 0.0)),
        (reach(0, 80, 120, 200, silent=(2, 3)), UNKNOWN),
        (reach(0, 80, 120, 200, graces=False), (150.0, 20.0, 20.0, 0.0)),
        (reach(0), (100.0, 20.0, 20.0, 3.0)),
        (reach(0, 50), (100.0, 50.0, 50.0, 0.0)),
    ],
)
def test_r53_times_follow_from_round_trips_within_bounds(found: Reach, times: tuple[float, ...]) -> None:
    assert times_ms(found, leader=min(1, found._needed)) == times


def test_r53_what_operators_set_is_the_least_of_each_time() -> None:
    slow = replace(CONFIG, delta_floor_ms=600, delta_start_ms=600, grace_ms=450, claim_delay_ms=90, parent_grace_ms=5)
    found = Reach(slow, 4, True)
    found.measured([0, 80_000, 120_000, 200_000], ())
    times = found.floor_ns(1), found.grace_ns(True), found.claim_delay_ns(True), found.claim_delay_ns(False)
    assert [time // NS_PER_MS for time in times] == [600, 450, 120, 200]


def test_r53_one_late_echo_slows_the_views_of_its_sender_alone() -> None:
    before, after = reach(0, 1, 1, 1), reach(0, 1, 1, 10_000)
    assert after.floor_ns(3) == FLOOR_NS_MAX
    for leader in (1, 2):
        assert after.floor_ns(leader) == before.floor_ns(leader)
    assert after.grace_ns(True) == before.grace_ns(True)
    assert after.parent_grace_ns() == before.parent_grace_ns()


def test_r53_a_quorum_near_the_bound_of_a_site_changes_nothing() -> None:
    found = reach(0, 15, 15, 15)
    assert found.parent_grace_ns() > 0
    found.measured([0, 25_000, 25_000, 25_000], ())
    found.measured([0, 15_000, 15_000, 15_000], ())
    assert found.parent_grace_ns() == 0
    found.measured([0, 9_000, 9_000, 9_000], ())
    assert found.parent_grace_ns() > 0


def assert_voters_wait(rtt_us: list[list[int]], liars: tuple[int, ...], late_us: int) -> None:
    """R12: the leader's empty block reaches each honest voter in time, whatever liars' echoes say. The voter's
    notarization is a round trip's half older than the leader's at most, since it was passed on."""
    n = len(rtt_us)
    honest = [member for member in range(n) if member not in liars]
    found = {}
    for member in honest:
        found[member] = Reach(CONFIG, n, True)
        seen = [0 if peer == member else rtt_us[member][peer] + late_us * (peer in liars) for peer in range(n)]
        found[member].measured(seen, ())
    for leader in honest:
        for voter in honest:
            proposed_ns = found[leader].grace_ns(True) + rtt_us[leader][voter] * 1000
            gives_up_ns = found[voter].grace_ns(False) + 2 * found[voter].floor_ns(leader)
            assert proposed_ns <= gives_up_ns, (leader, voter)


@pytest.mark.parametrize("late_us", [0, 200_000, 5_000_000])
def test_r53_no_voter_ends_before_a_leaders_grace_in_any_region(late_us: int) -> None:
    matrix = read_matrix(RTT_MATRIX)
    delays = matrix.delays_us(matrix.regions[:10])
    rtt_us = [[delays[here][there] + delays[there][here] for there in range(10)] for here in range(10)]
    for liars in combinations(range(10), 3):
        assert_voters_wait(rtt_us, liars, late_us)


@settings(deadline=None, derandomize=True)
@given(st.data())
def test_r53_no_voter_ends_before_a_leaders_grace_on_any_plane(data: st.DataObject) -> None:
    n = data.draw(st.integers(2, 10))
    places = data.draw(st.lists(st.tuples(st.integers(0, 300_000), st.integers(0, 300_000)), min_size=n, max_size=n))
    liars = tuple(data.draw(st.permutations(range(n)))[: n - quorum(n)])
    rtt_us = [[abs(ax - bx) + abs(ay - by) + 1 for bx, by in places] for ax, ay in places]
    assert_voters_wait(rtt_us, liars, data.draw(st.integers(0, 10_000_000)))


def seed_with(me: int, view: int, *, leads: bool) -> int:
    """A seed with which this member leads a view, or doesn't."""
    return next(seed for seed in range(100) if (Schedule(4, (), seed, 0).leader(view) == me) == leads)


def core_with(me: int, seed: int) -> Core:
    core = Core(me=me)
    core.feed(Recovered(GENESIS, 0, 0, me, 4, seed=seed))
    return core


@pytest.mark.parametrize(("leads", "wait_ms"), [(True, 120), (False, 200)])
def test_r53_an_owed_claim_waits_for_a_round_trip_from_the_next_view_on(leads: bool, wait_ms: int) -> None:
    me = 2
    seed = seed_with(me, 2, leads=leads)
    core = core_with(me, seed)
    one = replace(block(1), proposer=Schedule(4, (), seed, 0).leader(1))
    core.feed(RoundTrips((80_000, 120_000, 0, 200_000)))
    core.feed(ready(one), notarization(one), finalization(one), ClaimReady(1))
    if leads:
        assert not of(core.wait(wait_ms - 1), Propose)
        assert [p.claim_height for p in of(core.wait(1), Propose)] == [1]
    else:
        floor_ms = max(100, core_floor_ms(seed))
        nullified = [vote for vote in of(core.wait(wait_ms + 2 * floor_ms - 1), Vote) if vote.kind is VoteKind.NULLIFY]
        assert not nullified
        assert [vote.view for vote in of(core.wait(1), Vote) if vote.kind is VoteKind.NULLIFY] == [2]


def core_floor_ms(seed: int) -> int:
    """Δ's lower bound in view 2."""
    found = reach(80, 120, 0, 200)
    return found.floor_ns(Schedule(4, (), seed, 0).leader(2)) // NS_PER_MS


def test_r53_a_fixed_pace_ignores_what_is_measured() -> None:
    fixed = Core(me=2, config=replace(CONFIG, measured_pace=False))
    fixed.feed(RoundTrips((80_000, 120_000, 0, 200_000)))
    one = block(1)
    fixed.feed(ready(one), notarization(one))
    assert of(fixed.wait(LEAST_MS), Propose) == [Propose(2, 1, one.digest, 0)]


def test_r53_silent_peers_no_longer_count_from_the_next_view_on() -> None:
    core = core_with(2, seed_with(2, 2, leads=True))
    core.feed(RoundTrips((80_000, 120_000, 0, 200_000)), PeerSilence(0, True))
    one = replace(block(1), proposer=Schedule(4, (), seed_with(2, 2, leads=True), 0).leader(1))
    core.feed(ready(one), notarization(one))
    assert not of(core.wait(199), Propose), "the nearest quorum is without the silent one"
    assert of(core.wait(1), Propose)
