"""Views are lost in a row while members are away: certificates are kept, served and accepted, however many they are
(R10, R34).

Invariants: in the end the network and the disks work, and at most f members are dead or mute; then the first final
block comes within the bound of `bad_hours`.
"""

from dataclasses import replace

import pytest

from rustorium.sim.bad_hours import Absence, BadHour, Lost, Restart, Way
from rustorium.sim.modes import Mode
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import Shape, draw_plan

SHAPE = Shape(nodes=4, heights=10)
AWAY = (Absence(3, 0.0, 1.0, Way.CUT),)
MEMORY = 66
"""More views than the number for which votes are kept."""
LONG = 1_000


def play(bad: BadHour, traitors: tuple[str, ...] = ()) -> Report:
    plan = replace(draw_plan(0, Mode.BAD_HOURS, SHAPE), traitors=traitors, hour=bad, ceiling_ms=50)
    return run_seed(1, plan=plan)


@pytest.mark.parametrize("restart", [Restart.NONE, Restart.POWER], ids=lambda restart: restart.value)
@pytest.mark.parametrize("views", [MEMORY, LONG])
def test_a_member_that_was_away_makes_a_quorum_with_those_that_lost_the_views(views: int, restart: Restart) -> None:
    report = play(BadHour(views, Lost.PROPOSALS, AWAY, dead=(2,), restart=restart))
    assert report.ok, report.line()
    assert dict(report.faults)["lost views"] == views


@pytest.mark.parametrize("lost", [Lost.NOTARIZES, Lost.FINALIZES], ids=lambda lost: lost.value)
def test_lost_votes_do_not_stop_the_chain(lost: Lost) -> None:
    report = play(BadHour(LONG // 4, lost, AWAY, dead=(2,)))
    assert report.ok, report.line()


def test_missed_blocks_are_fetched_many_at_a_time() -> None:
    """With a round trip per block, this would take 50 s. No range can be proven final, because the only finalization is
    that of the newest block."""
    plan = replace(draw_plan(0, Mode.BAD_HOURS, SHAPE), traitors=(), ceiling_ms=1_000, base_ms=60.0)
    report = run_seed(1, plan=replace(plan, hour=BadHour(LONG // 2, Lost.FINALIZES, AWAY, dead=(2,))))
    assert report.ok, report.line()


def test_members_away_in_turns_have_parts_of_the_certificates() -> None:
    away = tuple(Absence(node, node / 4, (node + 1) / 4, Way.DOWN if node % 2 else Way.CUT) for node in range(4))
    for dead in ((0,), (3,), ()):
        report = play(BadHour(LONG // 2, Lost.PROPOSALS, away, dead=dead, restart=Restart.ALL))
        assert report.ok, report.line()


def test_with_a_mute_member_recovery_takes_two_more_ceilings() -> None:
    report = play(BadHour(LONG // 2, Lost.PROPOSALS, restart=Restart.ALL), traitors=("silent",))
    assert report.ok, report.line()


@pytest.mark.parametrize("restart", [Restart.ALL, Restart.POWER], ids=lambda restart: restart.value)
@pytest.mark.parametrize(("views", "dead"), [(40, (2,)), (MEMORY * 3, (2,)), (MEMORY * 3, ())])
def test_views_whose_certificates_are_lost_everywhere_are_nullified_late(
    views: int, dead: tuple[int, ...], restart: Restart
) -> None:
    """R35: the member that was away never voted in these views, so only the votes of two members are left."""
    report = play(BadHour(views, Lost.PROPOSALS, AWAY, dead, restart, forgotten=(0.2, 0.8)))
    assert report.ok, report.line()
    assert dict(report.faults)["forgotten certificates"] > views
