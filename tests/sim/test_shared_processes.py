"""Two shards whose hosts share processes and links: each stays correct and live, and a fault of one leaves the other
alone."""

from collections.abc import Callable
from dataclasses import replace

import pytest

from rustorium.sim.clients import Clients
from rustorium.sim.modes import SHARED, Mode
from rustorium.sim.port import CONSENSUS
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import SECOND_SHARD, Plan, Shape, build_world, draw_plan, placed, quiet_plan
from rustorium.sim.world import World

SEEDS = 8
WANTED_MS = 20_000.0


def check(reports: list[Report]) -> None:
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line())
        print(f"  repeat with: {report.repeat()}")
    assert not failed


def test_seeds() -> None:
    reports = [run_seed(seed, Mode.HOSTS) for seed in range(SEEDS)]
    check(reports)
    assert all(report.height >= 50 for report in reports), "both shards get as far"
    counts = [dict(report.faults) for report in reports]
    assert all(count["host fault"] for count in counts)
    assert any("crash" in count for count in counts)


def test_the_same_seed_is_the_same_run() -> None:
    first, second = list[str](), list[str]()
    one, other = (run_seed(2, Mode.HOSTS, Shape(heights=10), sink=sink.append) for sink in (first, second))
    assert first == second
    assert one == other
    assert {line.partition(":")[0] for line in first} >= {f"shard {SECOND_SHARD}"}


@pytest.fixture
def worlds() -> tuple[World, World]:
    """Two running shards on a quiet network, with clients."""
    plan: Plan = quiet_plan(Mode.HOSTS, Shape())
    world = build_world(1, plan)
    for each in world.worlds:
        Clients(each, plan.gap_ms).begin()
    world.start_all()
    root, other = world.worlds
    assert world.run(WANTED_MS, lambda: min(root.checkers.final_height, other.checkers.final_height) >= 5)
    return root, other


def heights(worlds: tuple[World, World]) -> tuple[int, int]:
    root, other = worlds
    return root.checkers.final_height, other.checkers.final_height


def run_until(world: World, reached: Callable[[], bool]) -> None:
    assert world.run(world.now / 1e6 + WANTED_MS, reached)


def test_a_shard_without_a_quorum_of_hosts_stands_while_the_other_one_goes_on(worlds: tuple[World, World]) -> None:
    root, other = worlds
    processes = [process.incarnation for process in root.processes]
    for node in (0, 1):
        other.fault(node, 2_000.0)
    assert all(root.nodes[node].port is not None and other.nodes[node].port is None for node in (0, 1))
    began = heights(worlds)
    run_until(root, lambda: root.checkers.final_height >= began[0] + 10)
    assert other.checkers.final_height <= began[1] + 1, "two of four are no quorum"
    run_until(root, lambda: other.checkers.final_height >= began[1] + 10)
    assert [process.incarnation for process in root.processes] == processes, "no process ended"
    run_until(root, lambda: len({port.height for port in other.ports()}) == 1 and len(other.ports()) == 4)


def test_a_process_that_dies_takes_both_hosts(worlds: tuple[World, World]) -> None:
    root, other = worlds
    other.crash(2)
    assert root.nodes[2].port is None
    assert other.nodes[2].port is None
    root.start(2)
    assert root.nodes[2].port is not None
    assert other.nodes[2].port is not None


def test_a_host_that_comes_back_is_on_its_process_links_and_others_saw_none_go(worlds: tuple[World, World]) -> None:
    root, other = worlds
    told: list[tuple[int, int, bool]] = []

    def hears(here: int) -> Callable[..., None]:
        def link(number: int, up: bool, **_version: int) -> None:
            told.append((here, number, up))

        return link

    for node in other.nodes:
        port = node.port
        assert port is not None
        port.link = hears(node.index)  # type: ignore[method-assign]
    other.fault(3, 5.0)
    run_until(root, lambda: other.nodes[3].port is not None)
    assert root.processes[3].linked == {0, 1, 2}
    assert told == [], "the links stayed"
    before = other.checkers.final_height
    other.crash(0)  # the others are a quorum with it alone
    run_until(root, lambda: other.checkers.final_height >= before + 5)


def test_a_host_that_died_with_its_process_does_not_come_back_alone(worlds: tuple[World, World]) -> None:
    root, other = worlds
    other.fault(1, 50.0)
    root.crash(1)
    root.run(root.now / 1e6 + 200.0)
    assert other.nodes[1].port is None
    root.start(1)
    assert other.nodes[1].port is not None


def test_a_frame_to_a_host_that_ended_is_lost_and_one_to_the_next_life_arrives(worlds: tuple[World, World]) -> None:
    root, other = worlds
    other.fault(1, 2.0)
    other.pass_on(0, 1, CONSENSUS, b"\0")
    root.run(root.now / 1e6 + 1.9)
    assert other.counts["unreadable frame"] == 0
    root.run(root.now / 1e6 + 0.6)
    other.pass_on(0, 1, CONSENSUS, b"\0")
    root.run(root.now / 1e6 + 1.9)
    assert other.counts["unreadable frame"] == 1


def test_a_failing_disk_ends_one_host_and_a_full_one_the_process(worlds: tuple[World, World]) -> None:
    root, other = worlds
    other.nodes[0].failing = True
    other.failed(0, "store-failed", "the disk gives errors")
    assert (root.nodes[0].port is not None, other.nodes[0].port is None) == (True, True)
    other.failed(0, "disk-full", "the disk is full")
    assert root.nodes[0].port is None


def test_a_plan_of_hosts_has_faults_of_hosts_and_other_modes_have_none() -> None:
    plans = [draw_plan(seed, Mode.HOSTS, Shape()) for seed in range(20)]
    assert {place for plan in plans for _, _, place, _ in plan.host_faults} == {0, 1}
    assert draw_plan(1, Mode.LIVENESS, Shape()).host_faults == ()


LAYOUTS = ((), ((0, 1, 2, 3), (2, 3, 4, 5)), ((0, 1, 2, 3), (4, 5, 6, 7)))
"""The same committee in both shards; committees that overlap; committees without a node in common."""


def test_each_mode_has_shards_with_each_layout() -> None:
    drawn = {(plan.kind, plan.placed) for plan in (draw_plan(seed, Mode.SHARDS, Shape()) for seed in range(21))}
    apart = {(mode, layout) for mode in SHARED for layout in LAYOUTS if mode is not Mode.BAD_HOURS}
    assert drawn == apart | {(Mode.BAD_HOURS, ())}
    assert placed(1, 7) == (tuple(range(7)), tuple(range(4, 11)))
    [(_, _, islands)] = draw_plan(3, Mode.SHARDS, Shape(7)).partitions
    assert len(islands) == 7
    [(_, _, islands)] = draw_plan(3 + 14, Mode.SHARDS, Shape(7)).partitions
    assert len(islands) == 14, "the partitions of so many nodes are too many to list"


@pytest.mark.parametrize("layout", range(3))
def test_seeds_of_each_mode_and_layout(layout: int) -> None:
    modes = len(SHARED)
    reports = [run_seed(modes * layout + mode, Mode.SHARDS) for mode in range(modes)]
    check(reports)
    assert all(report.height >= 50 for report in reports)
    numbers = {number for report in reports for number, _, _ in report.traitors}
    assert layout < 2 or max(numbers) >= 4, "the second committee has traitors of its own"


@pytest.mark.parametrize("layout", [1, 2])
def test_nodes_host_the_root_shard_and_those_that_they_are_members_of(layout: int) -> None:
    plan = replace(quiet_plan(Mode.SHARDS, Shape()), placed=LAYOUTS[layout])
    plan = replace(plan, skews_ms=(0,) * plan.nodes)
    root = build_world(1, plan)
    other = root.worlds[1]
    for each in root.worlds:
        Clients(each, plan.gap_ms).begin()
    root.start_all()
    run_until(root, lambda: min(heights((root, other))) >= 5)
    members = LAYOUTS[layout][1]
    assert [node.index for node in root.nodes if node.port is not None] == list(range(plan.nodes))
    assert [node.index for node in other.nodes if node.port is not None] == list(members)
    assert other.committee_of(other.nodes[members[0]], 0) == members
    # Without two of its four members the second shard stands, and the root shard goes on if they are none of its own.
    for number in members[-2:]:
        root.crash(number)
    began = heights((root, other))
    run_until(root, lambda: root.checkers.final_height >= began[0] + 10)
    assert other.checkers.final_height <= began[1] + 1


@pytest.mark.parametrize("layout", range(3))
def test_traitors_are_too_few_to_harm_each_committee(layout: int) -> None:
    seen = set[int]()
    for nodes in (4, 7):
        for seed in range(60):
            plan = replace(draw_plan(seed, Mode.TRAITORS, Shape(nodes)), mode=Mode.SHARDS, within=Mode.TRAITORS)
            plan = replace(plan, placed=placed(layout, nodes), skews_ms=(), slow_node=None)
            worlds = build_world(seed, plan).worlds
            liars = [set(world.actors) for world in worlds]
            for world, of_shard in zip(worlds, liars, strict=True):
                assert len(of_shard) <= (nodes - 1) // 3
                assert of_shard <= set(world.net.members)
            shared = set(worlds[0].net.members) & set(worlds[1].net.members)
            assert liars[0] & shared == liars[1] & shared, "a traitor is one in all of its shards"
            assert all(worlds[0].actors[one].kind == worlds[1].actors[one].kind for one in liars[0] & shared)
            seen.update(*liars)
    assert seen >= set(range(max(map(max, placed(layout, 4)), default=3) + 1))
