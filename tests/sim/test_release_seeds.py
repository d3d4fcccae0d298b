"""Seeds on the release stages: with any drawn faults the invariants hold, and after the calm the chain continues.

Invariants: virtual time and fixed seeds; a failing seed prints its faults and the line that repeats it; a fault kind
that never occurred fails the test.
"""

import time
from collections.abc import Callable

import pytest

from rustorium.errors import UsageError
from rustorium.sim.modes import Mode
from rustorium.sim.run import Report, missing_kinds, read_line, run_seed
from rustorium.sim.scenario import Shape

SEEDS = {Mode.SAFETY: (*range(12),), Mode.LIVENESS: (*range(20),), Mode.EPOCHS: (*range(18), 28)}
"""Together these seeds have every kind of fault; the last seed of epochs has the full disk."""


def check(reports: list[Report]) -> None:
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line())
        print(f"  repeat with: {report.repeat()}")
    assert not failed


@pytest.mark.parametrize("mode", SEEDS, ids=lambda mode: mode.value)
def test_seeds(mode: Mode, figure: Callable[[str], None]) -> None:
    start = time.process_time()
    reports = [run_seed(seed, mode) for seed in SEEDS[mode]]
    seconds = time.process_time() - start
    rate = 60 * len(reports) / seconds
    figure(
        f"simulator, {mode.value}, 4 nodes, 50 heights: {len(reports)} seeds, {rate:.0f} a minute of one core's time"
    )
    check(reports)
    assert sum(report.height for report in reports) > 25 * len(reports), "the runs must get somewhere"
    if mode is not Mode.SAFETY:
        assert missing_kinds(reports) == [], "these faults were asked for and never occurred"
        assert all(report.height >= 50 for report in reports)


@pytest.mark.parametrize("mode", SEEDS, ids=lambda mode: mode.value)
def test_the_same_seed_is_the_same_run_and_leaves_the_same_log(mode: Mode, figure: Callable[[str], None]) -> None:
    hashes = []
    for seed in range(3):
        first, second = list[str](), list[str]()
        one, other = (run_seed(seed, mode, Shape(heights=20), sink=sink.append) for sink in (first, second))
        assert first == second
        assert one == other
        hashes.append(one.log_hash)
    figure(f"simulator, {mode.value}: seeds played twice, equal hashes {' '.join(hashes)}")


def test_different_seeds_are_different_runs() -> None:
    assert len({run_seed(seed, shape=Shape(heights=5)).log_hash for seed in range(5)}) == 5


def test_a_printed_line_names_its_run_and_so_does_its_beginning() -> None:
    report = run_seed(3, Mode.LIVENESS, Shape(heights=8))
    assert read_line(report.line()) == (3, Mode.LIVENESS, Shape(heights=8), report.log_hash)
    assert read_line(report.name()) == (3, Mode.LIVENESS, Shape(heights=8), None)
    with pytest.raises(UsageError, match="copy it from the run"):
        read_line("seed 3 other nodes 4 heights 8: ok")


def test_the_calls_into_the_extension_are_counted() -> None:
    calls = dict(run_seed(1, shape=Shape(heights=10)).calls)
    wanted = {"frames_read", "frames_made", "signed", "checked", "votes", "certificates", "pooled", "executed"}
    wanted |= {"rooted", "journaled", "journal_syncs", "store_writes", "store_syncs"}
    assert set(calls) == wanted
    assert all(calls.values())


@pytest.mark.parametrize(("nodes", "seeds"), [(1, 5), (2, 2), (7, 2)])
def test_other_committees(nodes: int, seeds: int) -> None:
    """A committee of one has no peer that resends what it lost."""
    check([run_seed(seed, Mode.LIVENESS, Shape(nodes=nodes, heights=20)) for seed in range(seeds)])
