"""Plans of committees: outages, clients away from members, choices of regions, and what is refused."""

from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustorium.errors import UsageError
from rustorium.geo.floor import Committee, quorum
from rustorium.geo.matrix import Matrix, parse_matrix
from rustorium.geo.plan import choose, plan, spread
from rustorium.net.distances import RTT_MATRIX, read_matrix

USUAL = read_matrix(RTT_MATRIX)
FOUR = ("us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1")
NAMES = ["a", "b", "c", "d", "e", "f"]


def alike(regions: tuple[str, ...]) -> dict[str, int]:
    return dict.fromkeys(regions, 1)


def mean_us(matrix: Matrix, regions: tuple[str, ...], clients: dict[str, int]) -> int:
    return plan(matrix, regions, clients).alone_us


@st.composite
def matrices(draw: st.DrawFn) -> Matrix:
    names = NAMES[: draw(st.integers(2, len(NAMES)))]
    rows = [[draw(st.integers(1, 300)) for _ in names] for _ in names]
    return parse_matrix({"regions": names, "p50": rows}, "drawn")


def test_outages_of_four_regions() -> None:
    found = plan(USUAL, FOUR, alike(FOUR))
    without = {row.region: dict(row.without_us) for row in found.clients}
    # Figures of an earlier program.
    assert {client: [round((away or 0) / 1000) for away in row.values()] for client, row in without.items()} == {
        "us-east-1": [348, 278, 241],
        "eu-west-1": [406, 296, 262],
        "sa-east-1": [425, 384, 277],
        "ap-northeast-1": [433, 396, 323],
    }
    assert (found.stop_alone, len(found.stop_together)) == ((), 6)
    assert (found.best_leader, found.worst_leader) == ("us-east-1", "ap-northeast-1")


def test_a_region_with_too_many_members_stops_the_chain() -> None:
    regions = ("us-east-1", "us-east-1", "eu-west-1", "sa-east-1")
    found = plan(USUAL, regions, alike(FOUR))
    assert found.stop_alone == ("us-east-1",)
    assert found.stop_together == (("eu-west-1", "sa-east-1"),)
    rows = {row.region: row for row in found.clients}
    assert rows["eu-west-1"].without_us["us-east-1"] is None
    assert rows["eu-west-1"].without_us["sa-east-1"] is not None
    assert "eu-west-1" not in rows["eu-west-1"].without_us, "its clients are away, too"


def test_clients_away_from_members_use_the_nearest_one() -> None:
    found = plan(USUAL, FOUR, {"us-east-1": 1, "ca-central-1": 3})
    beside, away = found.clients
    assert (away.via, away.region) == ("us-east-1", "ca-central-1")
    trip_us = USUAL.round_trip_us("ca-central-1", "us-east-1")
    assert away.alone_us == beside.alone_us + trip_us
    assert found.alone_us == beside.alone_us + 3 * trip_us // 4, "weights count"


def test_moves_are_better_than_what_is_and_sorted() -> None:
    found = plan(USUAL, FOUR, alike(FOUR))
    after = [mean_us(USUAL, tuple(move.target if one == move.source else one for one in FOUR), alike(FOUR))
             for move in found.moves]  # fmt: skip
    assert after == [move.alone_us for move in found.moves] == sorted(after)
    assert all(one < found.alone_us for one in after)
    assert len(after) == 3


@given(matrices(), st.data())
def test_a_choice_is_no_worse_than_any_exchange(matrix: Matrix, data: st.DataObject) -> None:
    count = data.draw(st.integers(1, len(matrix.regions)))
    clients = {name: data.draw(st.integers(1, 5)) for name in matrix.regions}
    chosen = choose(matrix, matrix.regions, count, clients)
    assert len(set(chosen)) == count
    cost = mean_us(matrix, chosen, clients)
    for gone in chosen:
        for one in set(matrix.regions) - set(chosen):
            assert cost <= mean_us(matrix, tuple({*chosen, one} - {gone}), clients) + 1, "rounding"


def test_the_best_seven_of_all_regions() -> None:
    chosen = choose(USUAL, USUAL.regions, 7, alike(USUAL.regions))
    assert round(mean_us(USUAL, chosen, alike(USUAL.regions)) / 1000) == 188
    apart = choose(USUAL, USUAL.regions, 7, alike(USUAL.regions), apart_us=60_000)
    assert all(USUAL.round_trip_us(one, other) >= 60_000 for one, other in combinations(apart, 2))


def test_members_stand_in_the_regions_in_turn() -> None:
    assert spread(["a", "b"], 5) == ("a", "b", "a", "b", "a")


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ([], "no attribute"),
        ({"regions": ["a"]}, "'p50'"),
        ({"regions": [], "p50": []}, "has 0 regions: give 1 to 64"),
        ({"regions": ["a", "b"], "p50": [[0, 1]]}, "each region once, and a row"),
        ({"regions": ["a", "a"], "p50": [[0, 1], [1, 0]]}, "each region once"),
        ({"regions": ["a", "b"], "p50": [[0, -1], [1, 0]]}, "-1 ms is no round trip"),
        ({"regions": ["a", "b"], "p50": [[0, 1e9], [1, 0]]}, "is no round trip"),
        ({"regions": ["a", "b"], "p50": [[0, float("nan")], [1, 0]]}, "is no round trip"),
        ({"regions": ["a", "b"], "p50": [[0, "x"], [1, 0]]}, "no number of milliseconds"),
        ({"regions": ["a"], "p50": [[0]], "intra_region": {}}, "inter_az"),
    ],
)
def test_what_is_no_matrix_is_refused(content: object, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence):
        parse_matrix(content, "times.json")


def test_what_can_not_be_planned_is_refused() -> None:
    with pytest.raises(UsageError, match="did you mean eu-west-1"):
        plan(USUAL, ("eu-wst-1",), {"eu-west-1": 1})
    with pytest.raises(UsageError, match="1 to 128 members, not 129"):
        spread(FOUR, 129)
    with pytest.raises(UsageError, match="3 members can't stand in 4 regions"):
        spread(FOUR, 3)
    with pytest.raises(UsageError, match="name 1 to 4"):
        choose(USUAL, FOUR, 5, alike(FOUR))
    with pytest.raises(UsageError, match="no 4 of these regions are 500 ms apart"):
        choose(USUAL, FOUR, 4, alike(FOUR), apart_us=500_000)


def test_a_committee_in_one_place_is_planned() -> None:
    found = plan(USUAL, ("eu-west-1",) * 4, {"eu-west-1": 1})
    assert found.stop_alone == ("eu-west-1",)
    assert found.moves == ()
    assert found.clients[0].without_us == {}
    one = plan(USUAL, ("eu-west-1",), {"eu-west-1": 1})
    assert (one.quorum, one.alone_us, one.interval_us) == (1, 0, 0)


@given(matrices(), st.integers(2, 10))
def test_no_other_leaders_would_be_better(matrix: Matrix, members: int) -> None:
    regions = tuple(matrix.regions[place % len(matrix.regions)] for place in range(members))
    found = plan(matrix, regions, alike(matrix.regions))
    assert len(found.leaders) == 2 * ((members - 1) // 3) + 1
    committee = Committee(matrix.delays_us(regions), quorum(members), regions)

    def cost(leader: int) -> float:
        firsts = [regions.index(client) for client in alike(matrix.regions) if client in regions]
        return sum(committee.final_us(node, leader) for node in firsts) / len(firsts)

    if set(matrix.regions) <= set(regions):
        costs = sorted(map(cost, range(members)))
        best, everybody = costs[: len(found.leaders)], sum(costs)
        led = (31 * sum(best) + everybody) / (31 * len(best) + members)
        assert abs(found.led_us - led) < 3
    assert found.led_us <= found.alone_us + 2


def test_leaders_of_four_regions() -> None:
    found = plan(USUAL, FOUR, alike(FOUR))
    assert found.leaders == FOUR[:3]
    assert (round(found.alone_us / 1000), round(found.led_us / 1000)) == (270, 267)
    found = plan(USUAL, FOUR, {"ap-northeast-1": 1})
    assert "ap-northeast-1" in found.leaders
    assert found.led_us < found.alone_us
