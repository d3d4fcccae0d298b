"""Two shards whose hosts share processes and links: each stays correct and live, and a fault of one leaves the other
alone."""

from collections.abc import Callable

import pytest

from rustorium.sim.clients import Clients
from rustorium.sim.modes import Mode
from rustorium.sim.port import CONSENSUS
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import SECOND_SHARD, Plan, Shape, build_world, draw_plan, quiet_plan
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
