"""The judgement of `benches/turns.py`, on figures that are known."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "benches"))

from turns import Turn, compare, order, resolve, table


def figures(p50: float, achieved: float = 100.0) -> Turn:
    return {100: {"achieved_per_s": achieved, "p50_ms": p50}}


def test_neighbours_are_pairs_and_no_side_is_always_first() -> None:
    turns = list(order(4))
    assert turns == ["other", "here", "here", "other", "other", "here", "here", "other"]
    assert all(set(turns[at : at + 2]) == {"other", "here"} for at in range(0, 8, 2))


def test_each_ratio_is_of_one_pair() -> None:
    # The machine gets four times slower from pair to pair: the ratio of the medians would say nothing else.
    rows = compare([figures(4), figures(16), figures(64)], [figures(3), figures(12), figures(48)])
    p50 = next(row for row in rows if row.measure.name == "p50 ms")
    assert p50.ratios == [0.75, 0.75, 0.75]
    assert (p50.other, p50.here, p50.ratio, p50.verdict) == (16, 12, 0.75, "better")


@pytest.mark.parametrize(
    ("here", "verdict"), [([5, 5], "worse"), ([3, 3], "better"), ([3, 5], ""), ([4, 4], ""), ([3], "")]
)
def test_a_verdict_needs_pairs_that_agree(here: list[float], verdict: str) -> None:
    rows = compare([figures(4)] * len(here), [figures(p50) for p50 in here])
    assert next(row.verdict for row in rows if row.measure.name == "p50 ms") == verdict


def test_more_throughput_is_better() -> None:
    rows = compare([figures(4, achieved=100)] * 2, [figures(4, achieved=110)] * 2)
    assert next(row.verdict for row in rows if row.measure.name == "achieved tx/s") == "better"


def test_a_missing_figure_leaves_its_pair_out() -> None:
    nothing: Turn = {100: {"achieved_per_s": 100.0, "p50_ms": None}}
    rows = compare([figures(4), nothing], [figures(2), figures(2)])
    assert next(row.ratios for row in rows if row.measure.name == "p50 ms") == [0.5]
    assert [row.measure.name for row in compare([nothing], [nothing])] == ["achieved tx/s"]


def test_the_table_names_the_other_commit() -> None:
    lines = table(compare([figures(4)] * 2, [figures(2)] * 2), "v1").splitlines()
    assert lines[0].startswith("| offered tx/s | figure | v1 | here | here / v1 |")
    assert "| 100 | p50 ms | 4.00 | 2.00 | 0.500 | 0.500 to 0.500 | better |" in lines


def test_a_wrong_name_is_refused_before_anything_is_built() -> None:
    with pytest.raises(SystemExit, match="no-such-commit names no commit of this repository"):
        resolve("no-such-commit")
