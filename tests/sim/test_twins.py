"""Twins: all scenarios occur, once each, and none of those played here breaks anything.

Invariants: virtual time; a scenario's number is its seed, and repeats it.
"""

import random

from rustorium.sim.modes import Mode
from rustorium.sim.run import run_seed
from rustorium.sim.scenario import Shape
from rustorium.sim.twins import NODES, Scenario, exchanged, has_quorum, scenarios, shallow

SHAPE = Shape(nodes=4, heights=5)
PLAYED = 30
"""`just sim-traitors` plays all."""


def test_all_scenarios_once_each() -> None:
    every = scenarios()
    assert len(set(every)) == len(every)
    assert (shallow(), len(every)) == (3_812, 23_020)
    assert {scenario.twin for scenario in every} == set(range(NODES))
    assert {len(scenario.views) for scenario in every} == {2, 3}
    mirrored = {Scenario(each.twin, tuple(exchanged(view, each.twin) for view in each.views)) for each in every}
    both = mirrored & set(every)
    assert all(each.views == tuple(exchanged(view, each.twin) for view in each.views) for each in both)
    assert len(mirrored | set(every)) == 4 * (41**2 + 21**3)


def test_exchanging_twice_is_the_identity_and_a_quorum_is_of_validators() -> None:
    for islands in {view for scenario in scenarios()[:2000] for view in scenario.views}:
        for twin in range(NODES):
            assert exchanged(exchanged(islands, twin), twin) == islands
            assert has_quorum(islands, twin) == has_quorum(exchanged(islands, twin), twin)
    assert has_quorum((0, 0, 0, 1, 1), 3)
    assert not has_quorum((0, 1, 1, 0, 0), 0), "both halves of one validator count once"


def test_a_sample_of_the_scenarios() -> None:
    rng = random.Random("twins")
    every = scenarios()
    seeds = rng.sample(range(shallow()), PLAYED // 2) + rng.sample(range(shallow(), len(every)), PLAYED // 2)
    reports = [run_seed(seed, Mode.TWINS, SHAPE) for seed in seeds]
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line(), every[report.seed].name(), f"  repeat with: {report.repeat()}", sep="\n")
    assert not failed
    lied = sum(any(acts for _, _, acts in report.traitors) for report in reports)
    print(f"{len(reports)} of {len(every)} scenarios, {shallow()} of them shallow; in {lied} the twins contradicted")
    assert lied > PLAYED // 3
