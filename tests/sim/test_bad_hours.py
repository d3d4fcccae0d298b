"""Bad hours and clocks that jump: seeds draw them, they occur, and the chain goes on where the rules say so.

Invariants: virtual time and fixed seeds; a failing seed prints the line that repeats it.
"""

from dataclasses import replace

import pytest

from rustorium.errors import UsageError
from rustorium.sim.bad_hours import Absence, BadHour, Lost, Restart, Way
from rustorium.sim.checkers import Checkers
from rustorium.sim.clocks import Jump
from rustorium.sim.errors import BreachError
from rustorium.sim.modes import Mode
from rustorium.sim.run import Report, read_line, run_seed
from rustorium.sim.scenario import Plan, Shape, draw_plan

SHORT = Shape(nodes=4, heights=10)
AWAY = (Absence(3, 0.0, 1.0, Way.CUT),)


def hour(bad: BadHour, ceiling_ms: int = 100) -> Plan:
    """Returns the plan of a bad hour with these parts."""
    plan = draw_plan(0, Mode.BAD_HOURS, SHORT)
    return replace(plan, traitors=(), hour=bad, ceiling_ms=ceiling_ms)


def clocks(*jumps: Jump) -> Plan:
    """Returns the plan of these jumps."""
    return replace(draw_plan(0, Mode.CLOCKS, SHORT), jumps=jumps, skews_ms=(0,) * 4, crashes=())


def check(reports: list[Report]) -> None:
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line())
        print(f"  repeat with: {report.repeat()}")
    assert not failed


@pytest.mark.parametrize("lost", Lost, ids=lambda lost: lost.value)
def test_a_short_bad_hour_with_one_node_away_and_another_dying_at_its_end(lost: Lost) -> None:
    report = run_seed(0, plan=hour(BadHour(40, lost, AWAY, dead=(2,))))
    check([report])
    faults = dict(report.faults)
    assert (faults["lost views"], faults["away: cut off"], faults["death after a bad hour"]) == (40, 1, 1)


@pytest.mark.parametrize("restart", Restart, ids=lambda restart: restart.value)
def test_a_long_bad_hour_of_all_members_and_what_follows_it(restart: Restart) -> None:
    """Nobody is away, so that each has all certificates in its journal."""
    check([run_seed(1, plan=hour(BadHour(60, Lost.PROPOSALS, restart=restart)))])


@pytest.mark.parametrize("mode", [Mode.BAD_HOURS, Mode.CLOCKS], ids=lambda mode: mode.value)
def test_the_same_seed_is_the_same_run(mode: Mode) -> None:
    plan = hour(BadHour(30, Lost.PROPOSALS, AWAY)) if mode is Mode.BAD_HOURS else clocks(Jump(200.0, (1,), -500))
    one, other = (run_seed(3, plan=plan) for _ in range(2))
    assert one == other
    assert read_line(one.line())[:3] == (3, mode, SHORT)


def test_the_range_of_drawn_plans() -> None:
    """At most f nodes are away or traitors at the same time, and the numbers of views and the jumps reach their
    limits.
    """
    plans = [draw_plan(seed, Mode.BAD_HOURS, Shape(7, 10)) for seed in range(200)]
    hours = [plan.hour for plan in plans if plan.hour is not None]
    assert len(hours) == 200
    assert max(bad.views for bad in hours) == 1_000
    for plan, bad in zip(plans, hours, strict=True):
        for absence in bad.absences:
            together = [other for other in bad.absences if other.first <= absence.first < other.last]
            assert len(together) + len(plan.traitors) <= 2
            assert len({other.node for other in together}) == len(together)
        assert len(bad.dead) + len(plan.traitors) <= 2
    jumps = [jump for seed in range(200) for jump in draw_plan(seed, Mode.CLOCKS, Shape(7, 10)).jumps]
    assert {len(jump.nodes) for jump in jumps} == {1, 3, 7}
    assert min(jump.ms for jump in jumps) < -1_000_000
    assert max(jump.ms for jump in jumps) > 1_000_000
    with pytest.raises(UsageError, match="--nodes 4"):
        draw_plan(0, Mode.BAD_HOURS, Shape(3, 10))


@pytest.mark.parametrize("nodes", [(0,), (0, 1), (0, 1, 2, 3)], ids=lambda nodes: f"{len(nodes)} nodes")
def test_small_clock_jumps(nodes: tuple[int, ...]) -> None:
    """The chain's time is at most this far ahead of clocks that jump back, so the chain stops for no longer."""
    report = run_seed(2, plan=clocks(Jump(300.0, nodes, 900), Jump(700.0, nodes, -900)))
    check([report])
    assert dict(report.faults)["clock backwards"] == 1


def test_a_transaction_that_was_told_expired_must_not_be_executed() -> None:
    class Disk:
        def transaction(self, _transaction: str) -> tuple[int, int]:
            return 7, 0

    checkers = Checkers(4)
    checkers.told_expired("cafe")
    with pytest.raises(BreachError, match="cafe was told to be expired and executed at height 7"):
        checkers.kept(0, 9, Disk())  # type: ignore[arg-type]
