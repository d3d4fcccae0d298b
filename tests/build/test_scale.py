"""The arithmetic of `just bench-scale`, on figures that follow a known law."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from scale import (
    CALIBRATING,
    OTHER_QUOTA,
    QUOTA,
    SHARDS,
    TURNS,
    Load,
    Turn,
    at_mean_speed,
    beside,
    growth,
    report,
    service_s,
    table,
)
from scaling_law import Fit, fit, interval

FIXED, TRANSACTION_S = 0.02, 200e-6
MACHINE = {1: 1.0, 2: 0.9, 3: 0.8}
"""What each of so many nets carries beside the others on this machine, as a part of what it carries alone."""


def turn(load: Load, factor: float = 1.0, speed: float = 1.0) -> Turn:
    """A turn whose members used their whole quota, and of whose shards each carried so much of what one does alone."""
    each = speed * factor * (load.quota - FIXED) / TRANSACTION_S
    return Turn(load, [each] * load.shards, load.quota, 0.1 * load.quota, speed)


def a_pass(*, day: float = 1.0, neighbours: float = 1.0) -> list[Turn]:
    """A pass on a machine that is so fast that day; `neighbours`: what each of several shards carries, as a part of
    what each of as many separate nets does."""
    return [
        turn(load, day * MACHINE[load.shards] * (neighbours if load.shards > 1 and not load.separate else 1.0))
        for load in TURNS
    ]


def test_figures_are_at_the_mean_speed_of_the_machine() -> None:
    speeds = [0.5 + place / (len(TURNS) - 1) for place in range(len(TURNS))]
    drifting = [turn(load, MACHINE[load.shards], speed) for load, speed in zip(TURNS, speeds, strict=True)]
    [found], [steady] = at_mean_speed([drifting]), [a_pass()]
    assert [one.capacity for one in found] == pytest.approx([one.capacity for one in steady])
    assert [one.cost_us for one in found] == pytest.approx([one.cost_us for one in steady])
    assert report([drifting], 1.0)["speeds"] == [0.5, 1.5]


def test_a_transaction_costs_each_member_of_its_shard() -> None:
    assert turn(Load(False, 2, QUOTA)).cost_us == pytest.approx(1e6 * QUOTA * TRANSACTION_S / (QUOTA - FIXED))


def test_shards_are_compared_with_separate_nets_of_the_same_pass() -> None:
    for shards in range(1, SHARDS + 1):
        assert beside([a_pass(), a_pass(day=0.5)], shards) == pytest.approx(1.0), "no neighbour, but a slow machine"
    assert beside([a_pass(neighbours=0.8), a_pass()], 3) == pytest.approx((1 / 0.8 + 1) / 2)


@pytest.mark.parametrize(("contention", "coherency"), [(0.0, 0.0), (0.05, 0.0), (0.1, 0.02)])
def test_the_law_is_found(contention: float, coherency: float) -> None:
    exact = [(n, 600 * n / (1 + contention * (n - 1) + coherency * n * (n - 1))) for n in (1, 2, 3)]
    found = fit(exact)
    assert (found.rate, found.contention, found.coherency) == pytest.approx((600, contention, coherency), abs=1e-9)


def test_two_numbers_of_shards_tell_contention_alone() -> None:
    assert fit([(1, 600.0), (2, 1_000.0)]) == Fit(600.0, pytest.approx(0.2), 0.0)


def test_growth_is_told_within_each_pass() -> None:
    found = growth([a_pass(), a_pass(day=0.5)], separate=True)
    assert sorted(found) == [(n, pytest.approx(n * MACHINE[n])) for n in range(1, SHARDS + 1) for _ in range(2)]


def test_the_model_is_calibrated_by_one_shard_with_one_quota() -> None:
    of = [a_pass(neighbours=0.9), a_pass(neighbours=0.9)]
    assert service_s(of) == pytest.approx(QUOTA / 500)
    shown = report(of, 5_000.0)
    by_load = {Load(row["separate"], row["shards"], row["quota"]): row for row in shown["rows"]}
    assert set(by_load) == set(TURNS)
    assert [by_load[Load(False, n, QUOTA)]["model"] for n in (1, 2, 3)] == [500, 1_000, 1_500]
    assert [by_load[Load(False, n, QUOTA)]["model_off"] for n in (1, 2, 3)] == [0.0, 0.235, 0.389]
    assert by_load[Load(False, 3, OTHER_QUOTA)]["model"] == 1_250
    predicted = {load for load, row in by_load.items() if row["predicted"]}
    assert predicted == {load for load in TURNS if not load.separate} - {CALIBRATING}
    assert by_load[Load(True, 1, QUOTA)]["background_us"] == 24.0
    assert shown["cost_beside_separate_nets"][3] == {"ratio": 1.111, "interval": [1.111, 1.111]}
    assert shown["cost_of_neighbours"][3] == {"ratio": 1.111, "interval": [1.111, 1.111]}
    assert shown["extrapolated"][16] == 8_000
    assert table(shown).count("\n") == 1 + len(shown["rows"])
    json.dumps(shown)


def test_hosting_more_is_no_neighbours_doing() -> None:
    slow = [turn(load, 0.9 * MACHINE[load.shards] if not load.separate else MACHINE[load.shards]) for load in TURNS]
    shown = report([slow], 1.0)
    assert shown["cost_beside_separate_nets"][1]["ratio"] == 1.111
    assert shown["cost_of_neighbours"][3]["ratio"] == 1.0


def test_intervals_are_of_whole_passes() -> None:
    assert interval(list(range(101))) == (2, 98)
    found = report([a_pass(), a_pass(neighbours=0.8)], 1.0)
    assert found["cost_beside_separate_nets"][2]["interval"] == [1.0, 1.25]
    low, high = found["contention_interval"]
    assert low < high
