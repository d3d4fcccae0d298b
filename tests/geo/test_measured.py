"""The ways that a net's validators measure, beside those that are usual, and the floors by both."""

from typing import Any

import pytest

from rustorium.geo.floor import Committee, quorum
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.net.measured import FLOORS_MAX, places
from rustorium.net.probe import silent
from rustorium.types import NodeStatus

MATRIX = read_matrix(RTT_MATRIX)
REGIONS = ("us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1")
NAMES = tuple(f"node-{number}" for number in range(4))


def status(name: str, round_trips_us: Any) -> NodeStatus:
    from dataclasses import replace

    return replace(silent("http://n", "-"), node=name, raw={"round_trips_us": round_trips_us})


def usual_us(one: int, other: int) -> int:
    return MATRIX.round_trip_us(REGIONS[one], REGIONS[other])


def told(one: int) -> dict[str, int]:
    return {NAMES[other]: usual_us(one, other) + 2 for other in range(4) if other != one}


def test_floors_follow_from_what_was_measured() -> None:
    statuses = [status(NAMES[one], told(one)) for one in range(4)]
    pages = {"node-0": ["rustorium_gateway_finality_seconds_sum 0.6", "rustorium_gateway_finality_seconds_count 2"]}
    found = places([{"name": name} for name in NAMES], REGIONS, statuses, pages, MATRIX)
    delays = [[0 if one == other else usual_us(one, other) // 2 + 1 for other in range(4)] for one in range(4)]
    committee = Committee(delays, quorum(4))
    assert [one.floor_ms for one in found] == [round(committee.alone_us(place) / 1000, 1) for place in range(4)]
    assert found[0].usual_floor_ms == pytest.approx(found[0].floor_ms, abs=0.1)
    assert found[1].round_trips_ms["node-2"] == (usual_us(1, 2) + 2) / 1000
    assert [one.final_ms for one in found] == [300.0, None, None, None]


def test_a_node_that_is_away_is_measured_by_the_others() -> None:
    statuses = [status(NAMES[one], told(one)) for one in range(3)]
    found = places([{"name": name} for name in NAMES], REGIONS, statuses, {}, MATRIX)
    assert found[3].round_trips_ms["node-1"] == (usual_us(1, 3) + 2) / 1000
    assert None not in [one.floor_ms for one in found]
    alone = places([{"name": name} for name in NAMES], REGIONS, statuses[:2], {}, MATRIX)
    assert [one.floor_ms for one in alone] == [None] * 4, "nobody knows the way between the last two"
    assert alone[0].usual_floor_ms is not None


@pytest.mark.parametrize(
    "wrong", [None, [], "x", {"node-1": "far"}, {"node-1": -1}, {"node-1": True}, {"node-1": 10**9}]
)
def test_what_is_no_round_trip_is_unknown(wrong: Any) -> None:
    found = places([{"name": name} for name in NAMES], REGIONS, [status("node-0", wrong)], {}, MATRIX)
    assert found[0].round_trips_ms == {}


def test_regions_of_a_nets_own_have_no_usual_times_and_large_committees_no_floor() -> None:
    own = ["here"] * 3 + ["there"]
    found = places([{"name": name} for name in NAMES], own, [], {}, MATRIX)
    assert found[0].usual_ms == {}
    assert found[0].usual_floor_ms is None
    many = [{"name": f"n{number}"} for number in range(FLOORS_MAX + 1)]
    assert places(many, ["eu-west-1"] * len(many), [], {}, MATRIX)[0].usual_floor_ms is None
