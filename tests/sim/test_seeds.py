"""Hundreds of seeds: with any drawn faults the invariants hold, and after the calm the chain continues.

Invariants: a failing seed prints its faults and the line that repeats it; a fault kind that never occurred fails the
test.
"""

import pytest

from broken_rules import no_sync
from model.__main__ import main
from model.run import Report, missing_kinds, run_many, run_seed
from model.scenario import Mode

SEEDS = {Mode.SAFETY: 150, Mode.LIVENESS: 150, Mode.EPOCHS: 120}
"""`just sim-long` plays thousands."""
SHARDS = 2


def check(reports: list[Report]) -> None:
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line())
        print(f"  repeat with: {report.repeat()}")
    assert not failed


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
@pytest.mark.parametrize("shard", range(SHARDS))
def test_seeds(mode: Mode, shard: int) -> None:
    per_shard = SEEDS[mode] // SHARDS
    reports = list(run_many(shard * per_shard, per_shard, mode))
    check(reports)
    assert missing_kinds(reports) == [], "these faults were asked for and never occurred"
    assert sum(report.final_height for report in reports) > 10 * per_shard, "the runs must get somewhere"


@pytest.mark.parametrize("mode", list(Mode), ids=lambda mode: mode.value)
def test_the_same_seed_is_the_same_run(mode: Mode) -> None:
    for seed in range(10):
        assert run_seed(seed, mode) == run_seed(seed, mode)


def test_different_seeds_are_different_runs() -> None:
    assert len({report.log_hash for report in run_many(0, 20, Mode.LIVENESS)}) == 20


def test_seeds_are_played_by_a_command(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    line = ["--seed", "2", "--mode", "epochs"]
    assert main(line) == 0
    assert capsys.readouterr().out.startswith("seed 2 epochs: ok")
    monkeypatch.setattr("model.plane.DataPlane._sync_then", no_sync)
    assert main(["--count", "30", "--mode", "safety"]) == 1
    assert "  repeat with: PYTHONPATH=tests python -m model --seed 2 --mode safety\n" in capsys.readouterr().out
