"""Nodes that take their pace from the ways between them (R53): near the floor of their distances, on a calm network
without a needless step, whatever some of them say of their distance.

Invariants: virtual time, with what work costs; the same run gives the same figures.
"""

import sys
from pathlib import Path

import pytest

from rustorium.sim.actors.withholding import LateEcho

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from wan import NETS, Kind, Measured, measure

SITE = ["us-east-1"] * 4
WORLD7 = NETS["world10"][:7]


@pytest.mark.parametrize("kind", [Kind.REST, Kind.ROW])
@pytest.mark.parametrize("name", ["four", "europe4", "namerica4"])
def test_one_transaction_at_a_time_is_final_within_a_twentieth_of_the_floor(name: str, kind: Kind) -> None:
    found = measure(NETS[name], kind, 1, samples=100)
    assert found.factor <= 1.05
    assert found.worst <= 1.06
    assert (found.nullified, found.asked) == (0, 0), "no needless step on a calm network"


@pytest.mark.parametrize("name", ["four", "europe4"])
def test_under_load_transactions_wait_for_half_a_block_more_and_no_view_is_lost(name: str) -> None:
    found = measure(NETS[name], Kind.LOAD, 2, samples=100)
    assert found.factor <= 1.05
    assert found.nullified == 0


def test_with_fixed_times_wide_nets_wait_longer_and_ask() -> None:
    """What the rule is for: without it, claims come before the next transaction could carry them."""
    found = measure(NETS["four"], Kind.ROW, 1, paced=False, samples=50)
    assert (found.factor > 1.1, found.asked > 100) == (True, True)


def within(found: Measured, calm: Measured, part: float) -> bool:
    return found.factor <= (1 + part) * calm.factor


@pytest.mark.parametrize(("regions", "liars"), [(SITE, (3,)), (WORLD7, (2, 5))], ids=["site", "world7"])
def test_late_echoes_of_f_members_slow_nobody_else_and_lose_no_view(regions: list[str], liars: tuple[int, ...]) -> None:
    calm = measure(regions, Kind.ROW, 1, samples=50)
    for late_ms in (300, 10_000):
        found = measure(regions, Kind.ROW, 1, samples=50, actors={liar: LateEcho(late_ms) for liar in liars})
        assert within(found, calm, 0.02), (late_ms, found.factor, calm.factor)
        assert found.nullified == 0
