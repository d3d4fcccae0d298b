"""Runs whose clients lack quota: what waits becomes final, and no window has more than the rules allow (V58, V59)."""

import pytest

from rustorium.sim.errors import BreachError
from rustorium.sim.modes import Mode
from rustorium.sim.run import run_seed
from rustorium.sim.scenario import Shape
from rustorium.sim.usage import ALL_PER_S, BURST_MS, DRAW, WORK_MAX, WORK_PER_S, Use, declared_work, judge_usage

SEEDS = 6
SHAPE = Shape(heights=30)


@pytest.mark.parametrize("seed", range(SEEDS))
def test_what_waits_for_quota_becomes_final(seed: int) -> None:
    report = run_seed(seed, Mode.QUOTA, SHAPE)
    assert report.ok, f"{report.line()}\n  repeat with: {report.repeat()}"
    assert report.transactions > 0


def uses(work: int, every_ms: int, count: int, accounts: int = 1) -> list[Use]:
    return [Use(1_000_000 + number * every_ms, number % accounts, work) for number in range(count)]


def test_an_account_that_uses_more_than_its_pace_is_found() -> None:
    steady = WORK_PER_S // 10
    judge_usage(0, uses(steady, 100, 500), operators=())
    with pytest.raises(BreachError, match="account 0 used"):
        judge_usage(0, uses(steady + 200, 100, 500), operators=())
    at_once = [Use(5, 0, WORK_MAX), Use(5, 0, DRAW)]
    judge_usage(0, at_once, operators=())
    with pytest.raises(BreachError, match="account 0 used"):
        judge_usage(0, [*at_once, Use(6, 0, 1_000)], operators=())
    rested = [*at_once, *(Use(5 + 1_000 * after, 0, WORK_PER_S) for after in range(1, 9))]
    judge_usage(0, rested, operators=())


def test_accounts_that_together_use_more_than_their_sponsors_share_are_found() -> None:
    accounts = 6
    work = ALL_PER_S // 50
    judge_usage(0, uses(work, 20, 900, accounts), operators=())
    more = uses(work + 200, 20, 900, accounts)
    with pytest.raises(BreachError, match="the common sponsor used"):
        judge_usage(0, more, operators=())
    judge_usage(0, more, operators=(5,))
    assert ALL_PER_S * BURST_MS // 1_000 < WORK_MAX


def test_the_declared_work_is_read_from_the_bytes() -> None:
    raw = b"\1\0" + bytes(32 + 32 + 32 + 8 + 8) + (1_234).to_bytes(8, "little") + bytes(9)
    assert declared_work(raw) == 1_234
