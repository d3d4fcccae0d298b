"""`sim run`, `sim replay` and `replay` as commands: their output and their exit codes.

Invariants: virtual time and fixed seeds.
"""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import EnterView
from rustorium.node.loop.inputlog import InputLog
from rustorium.sim.clients import Clients
from rustorium.sim.modes import Mode
from rustorium.sim.run import read_line
from rustorium.sim.scenario import Shape, build_world, draw_plan

SHORT = ("--heights", 8)


def test_a_run_is_repeated_by_its_printed_line(cli: Cli, tmp_path: Path) -> None:
    first = cli("sim", "run", "--seed", 4, *SHORT)
    assert first.code == 0
    assert "1 seeds in" in first.err
    line = first.out.strip()
    assert read_line(line)[:3] == (4, Mode.LIVENESS, Shape(heights=8))
    log = tmp_path / "events"
    again = cli("sim", "replay", line, "--log", log)
    assert (again.code, again.out.strip()) == (0, line)
    assert sum("Certificate(kind=<VoteKind.FINALIZE" in entry for entry in log.read_text().splitlines()) > 8


def test_a_different_run_than_in_the_line_is_noticed(cli: Cli) -> None:
    line = cli("sim", "run", "--seed", 4, *SHORT).out.strip()
    other = line.replace("seed 4", "seed 5")
    ended = cli("sim", "replay", other)
    assert ended.code == 1
    assert "this is another run" in ended.err
    cli("sim", "replay", "seed 4").fails(2, "begins with 'seed NUMBER MODE")


def test_many_runs_as_json_on_several_processes(cli: Cli) -> None:
    options = ("sim", "run", "--count", 3, *SHORT, "--mode", "safety", "-o")
    rows = json.loads(cli(*options, "json", "--jobs", 2).out)
    lines = [json.loads(line) for line in cli(*options, "jsonl").out.splitlines()]
    assert rows == lines
    assert [row["seed"] for row in rows] == [0, 1, 2]
    assert all(row["ok"] and row["calls"]["executed"] and row["log_hash"] for row in rows)


def test_a_breach_ends_with_the_line_that_repeats_it(cli: Cli, monkeypatch: pytest.MonkeyPatch) -> None:
    from rustorium.sim.ondisk import OnDisk

    monkeypatch.setattr(OnDisk, "synced", lambda *_: None)
    ended = cli("sim", "run", "--seed", 1, *SHORT)
    assert ended.code == 1
    assert "FAILED: node" in ended.out
    assert "repeat with: rustorium-node sim replay 'seed 1 liveness nodes 4 heights 8'" in ended.err


@pytest.fixture
def input_log(tmp_path: Path) -> Path:
    """The inputs of node 1 of a simulated net, as a production node logs them."""
    world = build_world(5, draw_plan(5, Mode.SAFETY, Shape(heights=5)))
    clients = Clients(world, 30.0)
    world.inputs_seen = []
    world.start_all()
    clients.begin()
    world.run(1_500)
    replica = Replica(world.config)
    log = InputLog(tmp_path / "inputs", replica, world.config, 1, world.n, 1 << 20)
    steps = [(now, event, replica.on_input(now, event)) for now, node, event in world.inputs_seen if node == 1]
    # The last effect ends with a number; with another byte at the end it is another effect that can be read.
    while not (steps[-1][2] and isinstance(last := steps[-1][2][-1], EnterView) and last.passed_over):
        steps.pop()
    for step in steps:
        log.append(*step)
    log.close()
    return tmp_path / "inputs"


def test_the_core_replays_a_nodes_log(cli: Cli, input_log: Path) -> None:
    summary = json.loads(cli("replay", input_log, "-o", "json").out)
    assert summary["steps"] > 20
    assert {"Recovered", "BlockSeen", "Certificate"} <= set(summary["inputs"])
    assert {"EnterView", "Vote"} <= set(summary["effects"])
    *steps, total = [json.loads(line) for line in cli("replay", input_log, "--steps", "-o", "jsonl").out.splitlines()]
    assert (len(steps), total) == (summary["steps"], summary)
    assert steps[0]["input"].startswith("Recovered(")
    assert "-> " in cli("replay", input_log, "--steps").out


def test_a_log_that_was_tampered_with(cli: Cli, input_log: Path, tmp_path: Path) -> None:
    (segment,) = input_log.iterdir()
    raw = bytearray(segment.read_bytes())
    raw[-1] ^= 1  # of the last step's last effect
    segment.write_bytes(raw)
    cli("replay", segment).fails(4, "had the effects")
    cli("replay", tmp_path).fails(4, "holds no log of core inputs")
