"""R48 and R49 on the release stages: clocks that jump by an hour, back or ahead, at one node, at f + 1 and at all.

Invariants: virtual time and fixed seeds; a failing seed prints the line that repeats it.
"""

from dataclasses import replace

import pytest

from rustorium.sim.clocks import Jump
from rustorium.sim.modes import Mode
from rustorium.sim.run import run_seed
from rustorium.sim.scenario import Shape, draw_plan

HOUR_MS = 3_600_000
SHAPE = Shape(nodes=4, heights=10)


def play(*jumps: Jump, seed: int = 2) -> dict[str, int]:
    plan = replace(draw_plan(0, Mode.CLOCKS, SHAPE), jumps=jumps, skews_ms=(0,) * 4, crashes=())
    report = run_seed(seed, plan=plan)
    if not report.ok:
        print(report.line())
    assert report.ok
    return dict(report.faults)


@pytest.mark.parametrize("ms", [60_000, HOUR_MS], ids=["a minute", "an hour"])
@pytest.mark.parametrize("nodes", [(0, 1), (1, 3), (0, 1, 2, 3)], ids=str)
def test_clocks_that_were_ahead_and_are_set_back_stop_no_chain(nodes: tuple[int, ...], ms: int) -> None:
    """The run itself requires a final block within thirty seconds of virtual time."""
    faults = play(Jump(300.0, (0, 1, 2, 3), ms), Jump(700.0, nodes, -ms))
    assert faults["clock backwards"] == 1


@pytest.mark.parametrize("nodes", [(0,), (0, 1), (0, 1, 2, 3)], ids=str)
def test_clocks_that_are_set_back_from_the_true_time_stop_no_chain(nodes: tuple[int, ...]) -> None:
    assert play(Jump(300.0, nodes, -HOUR_MS))["clock backwards"] == 1


@pytest.mark.parametrize("node", range(4))
def test_a_clock_two_hours_ahead_for_a_moment_has_no_later_effect(node: int) -> None:
    """The run ends only when all of the clients' transactions are final, and fails if one of them was reported as
    expired."""
    faults = play(Jump(300.0, (node,), 2 * HOUR_MS), Jump(400.0, (node,), -2 * HOUR_MS), seed=node)
    assert faults["clock forwards"] == 1
