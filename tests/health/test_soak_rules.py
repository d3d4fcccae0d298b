"""The rules of the soak (`just soak`) fail if, and only if, something grows or is lost."""

import json
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from soak import ALLOWED, Round, grown, suspicions, verdicts
from soak_suspicions import Logs, Suspicion, unfounded

FLAT = dict.fromkeys(ALLOWED, 100.0)


def rounds(figure: str, series: list[float], lost: int = 0) -> list[Round]:
    """Returns rounds of two nodes; the second node's figure has these values."""
    return [Round("none", {"lost": lost}, [FLAT, {**FLAT, figure: value}]) for value in series]


def test_a_figure_that_rises_first_and_then_stays_has_not_grown() -> None:
    for figure in ALLOWED:
        assert verdicts(rounds(figure, [10, 40, 80, 100, 101, 99, 100, 900, 100])) == []


def test_a_disks_use_has_grown_only_if_its_minimum_rises() -> None:
    ebb_and_flood = [72.0, 95, 143, 109, 124, 176, 131, 137, 160]
    assert verdicts(rounds("disk_mb", ebb_and_flood)) == []
    assert verdicts(rounds("disk_mb", [value + 60 * n for n, value in enumerate(ebb_and_flood)]))


def test_a_growing_figure_is_named_with_its_node() -> None:
    for figure in ALLOWED:
        [wrong] = verdicts(rounds(figure, [50.0 * n for n in range(1, 13)]))
        assert wrong.startswith(f"node-1: {figure} grows: 50 100 ")


def test_a_lost_transaction_is_reported_with_its_round() -> None:
    assert verdicts(rounds("files", [100.0], lost=3)) == ["round 1: 3 transactions lost"]


@given(st.sampled_from(sorted(ALLOWED)), st.lists(st.floats(1, 1e4), min_size=6, max_size=40))
def test_a_series_that_falls_has_not_grown(figure: str, series: list[float]) -> None:
    assert not grown(sorted(series, reverse=True), figure)


def trouble(event: str, reason: str, code: str = "peers-suspected") -> bytes:
    """A line of a node's log."""
    return json.dumps({"ts": 1, "event": event, "code": code, "reason": reason}).encode() + b"\n"


def test_each_new_suspicion_is_read_once_with_all_suspects(tmp_path: Path) -> None:
    log = tmp_path / "log" / "node.jsonl"
    log.parent.mkdir()
    log.write_bytes(trouble("trouble", "node-1 not heard for 9 ms (phi 19.4)"))
    logs = Logs({"node-0": str(tmp_path)})
    assert logs.new() == [Suspicion("node-0", "node-1", 9)]
    both = trouble("trouble", "node-1 not heard for 2770 ms (phi 19.4), node-2 not heard for 2771 ms (phi 18.0)")
    other = trouble("trouble", "a sync of the journal takes 900 ms", "disk-slow")
    over = trouble("trouble over", "")
    with open(log, "ab") as file:
        file.write(other + both + over + b'{"event": "trouble", "code": "peers-sus')
    found = logs.new()
    assert found == [Suspicion("node-0", "node-1", 2770), Suspicion("node-0", "node-2", 2771)]
    assert logs.new() == []
    assert unfounded(found, None) == found
    assert unfounded(found, "node-2") == found[:1]


def test_more_than_one_suspicion_a_node_day_is_reported() -> None:
    suspected = [Suspicion("node-0", "node-1", 2770)]
    short = [Round("none", {"lost": 0}, [FLAT] * 4, 20.0, suspected)]
    assert verdicts(short) == ["round 1: node-0 suspected node-1, which lived, after 2770 ms"]
    day = [Round("none", {"lost": 0}, [FLAT] * 4, 6 * 3600.0), *short]
    assert suspicions(day)[0] == 1
    assert verdicts(day) == []
    assert len(verdicts([*day, *short])) == 2
