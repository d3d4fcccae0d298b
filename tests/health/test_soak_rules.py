"""The rules of the soak (`just soak`) fail where something grows or is lost, and only there."""

from hypothesis import given
from hypothesis import strategies as st

from soak import ALLOWED, Round, grown, verdicts

FLAT = dict.fromkeys(ALLOWED, 100.0)


def rounds(figure: str, series: list[float], lost: int = 0) -> list[Round]:
    """Two nodes, of which the second's figure goes like this."""
    return [Round("none", {"lost": lost}, [FLAT, {**FLAT, figure: value}]) for value in series]


def test_what_fills_first_and_then_stays_has_not_grown() -> None:
    for figure in ALLOWED:
        assert verdicts(rounds(figure, [10, 40, 80, 100, 101, 99, 100, 900, 100])) == []


def test_a_disk_that_comes_and_goes_has_not_grown_and_one_whose_ebbs_rise_has() -> None:
    ebb_and_flood = [72.0, 95, 143, 109, 124, 176, 131, 137, 160]
    assert verdicts(rounds("disk_mb", ebb_and_flood)) == []
    assert verdicts(rounds("disk_mb", [value + 60 * n for n, value in enumerate(ebb_and_flood)]))


def test_what_grows_is_named_with_its_node() -> None:
    for figure in ALLOWED:
        [wrong] = verdicts(rounds(figure, [50.0 * n for n in range(1, 13)]))
        assert wrong.startswith(f"node-1: {figure} grows: 50 100 ")


def test_a_lost_transaction_is_told_with_its_round() -> None:
    assert verdicts(rounds("files", [100.0], lost=3)) == ["round 1: 3 transactions lost"]


@given(st.sampled_from(sorted(ALLOWED)), st.lists(st.floats(1, 1e4), min_size=6, max_size=40))
def test_a_series_that_falls_has_not_grown(figure: str, series: list[float]) -> None:
    assert not grown(sorted(series, reverse=True), figure)
