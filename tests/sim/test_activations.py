"""Activations of protocol version 2 in the simulator, a few seeds of each mode; `just sim` plays more."""

from collections import Counter

import pytest

from rustorium.sim.activating import Step
from rustorium.sim.modes import Mode
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import STORIES, Shape, draw_plan
from rustorium.sim.terms import Stage

SEEDS = 2
SHAPE = Shape(heights=12)
EVENTS = {
    Mode.ACTIVATE_FEW: ("stood", "release installed"),
    Mode.ACTIVATE_AT_END: ("activation void",),
    Mode.ACTIVATE_TWICE: ("activation void",),
    Mode.ACTIVATE_COMMITTEE: ("activation void", "asked to admit"),
    Mode.ACTIVATE_AWAY: ("away: down",),
    Mode.ACTIVATE_POWER_CUT: ("power loss",),
    Mode.ACTIVATE_BACK: ("release taken back", "release installed"),
}
"""Events that some of a mode's seeds must have."""


def check(reports: list[Report]) -> Counter[str]:
    """Checks that all runs went well and came to version 2. Returns the counts of their events."""
    failed = [f"{report.line()}\n  repeat with: {report.repeat()}" for report in reports if not report.ok]
    assert not failed, "\n".join(failed)
    assert all(dict(report.faults).get("activated") for report in reports)
    return sum((Counter(dict(report.faults)) for report in reports), Counter())


@pytest.mark.parametrize("mode", STORIES, ids=lambda mode: mode.value)
def test_a_chain_goes_to_version_two_whatever_happens_at_the_switch(mode: Mode) -> None:
    counts = check([run_seed(seed, mode, SHAPE) for seed in range(3 if mode is Mode.ACTIVATE_TWICE else SEEDS)])
    assert not [event for event in EVENTS[mode] if not counts[event]]


@pytest.mark.parametrize("mode", [Mode.LIVENESS, Mode.EPOCHS, Mode.TRAITORS, Mode.HOSTS], ids=lambda mode: mode.value)
def test_a_chain_goes_to_version_two_with_the_faults_of_other_modes(mode: Mode) -> None:
    plans = ((seed, draw_plan(seed, Mode.ACTIVATE, SHAPE)) for seed in range(20))
    seed, plan = next((seed, plan) for seed, plan in plans if plan.within is mode)
    check([run_seed(seed, Mode.ACTIVATE, SHAPE, plan=plan)])


def test_a_run_of_the_same_seed_is_the_same_run() -> None:
    one, other = (run_seed(1, Mode.ACTIVATE_BACK, SHAPE) for _ in range(2))
    assert one == other


def test_power_is_cut_at_each_step_in_turn() -> None:
    plans = [draw_plan(seed, Mode.ACTIVATE_POWER_CUT, SHAPE).activation for seed in range(len(Step) + len(Stage))]
    steps = {step for plan in plans if plan is not None for step in plan.cuts}
    stages = {fault.stage for plan in plans if plan is not None for fault in plan.faults}
    assert (steps, stages) == (set(Step), set(Stage))


def test_a_net_has_a_quorum_of_neither_release_if_few_run_this_one() -> None:
    for nodes in (4, 5, 7):
        for seed in range(20):
            plan = draw_plan(seed, Mode.ACTIVATE_FEW, Shape(nodes)).activation
            assert plan is not None
            quorum = nodes - (nodes - 1) // 3
            assert len(plan.old) < quorum
            assert nodes - len(plan.old) < quorum
