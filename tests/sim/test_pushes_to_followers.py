"""A follower far from the committee has executed what is final as soon as anybody could tell it (R54), and keeps up
where nobody pushes to it.

Invariants: virtual time, with what work costs; the same run gives the same figures.
"""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from followers import READERS, measure
from wan import NETS, Kind

RESPONSE, FIRST_PUSH = 8, 1 << 60
"""The class byte of an answer, and the first number of requests for pushes."""


def is_push(frame: bytes) -> bool:
    return frame[0] == RESPONSE and FIRST_PUSH <= int.from_bytes(frame[1:9], "little") < FIRST_PUSH << 1


@pytest.mark.parametrize("kind", [Kind.ROW, Kind.LOAD])
@pytest.mark.parametrize("name", ["four", "europe4"])
def test_what_is_final_is_executed_by_a_follower_one_way_later(name: str, kind: Kind) -> None:
    found = measure(NETS[name], READERS[name], kind, 1)
    assert found.median_ms <= 2
    assert found.p99_ms <= 35


@pytest.mark.parametrize("name", ["four", "europe4"])
def test_a_follower_that_asks_keeps_up_where_blocks_come_faster_than_answers(name: str) -> None:
    found = measure(NETS[name], READERS[name], Kind.LOAD, 1, pushes=False)
    round_trip_ms = 2 * found.hop_ms
    assert found.median_ms <= 6 * round_trip_ms
    assert max(found.beyond_ms) <= 20 * round_trip_ms


def test_pushes_that_are_lost_cost_a_follower_little() -> None:
    asks = measure(NETS["four"], READERS["four"], Kind.ROW, 1, pushes=False)
    found = measure(NETS["four"], READERS["four"], Kind.ROW, 1, bars=lambda _source, _target, frame: is_push(frame))
    assert found.median_ms <= asks.median_ms + 31
