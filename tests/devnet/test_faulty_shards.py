"""Real processes that host two shards: a fault of one shard ends it alone, and it comes back."""

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from hosted_shards import SHARD
from process_tools import DEADLINE_S, wait_for
from rustorium.home.auditlog import log_of, read
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.node.recovery.state import read_recovery
from rustorium.testing import DevnetFactory

PROGRAM = Path(__file__).parents[1] / "hosted_shards.py"
SUPERVISOR = PROGRAM.with_name("hosted_recovery.py")
EPOCH_MS = 2_000
"""The clock ends epochs, so that heights of both shards go on without clients."""
ASK_S = 15.0
HANGS_MS = 2_000
pytestmark = pytest.mark.nodes


class Nodes:
    """The validators of a net, each with two shards."""

    def __init__(self, net: Devnet) -> None:
        self.net = net
        self._running: dict[int, subprocess.Popen[bytes]] = {}

    def home(self, index: int) -> Path:
        return Path(self.net.net.nodes[index].home)

    def start(self, index: int, program: Path = PROGRAM) -> None:
        with open(self.home(index) / "log" / "stderr.log", "ab") as said:
            command = [sys.executable, str(program), str(self.home(index)), "0", str(SHARD)]
            self._running[index] = subprocess.Popen(command, stdout=said, stderr=said)

    def stop(self, index: int) -> None:
        process = self._running.pop(index)
        process.send_signal(signal.SIGTERM)
        said = self.home(index) / "log" / "stderr.log"
        assert process.wait(DEADLINE_S) == 0, said.read_text()

    def kill(self) -> None:
        """Ends what runs."""
        for process in self._running.values():
            process.kill()
            process.wait()

    def figures(self, index: int) -> dict[str, float]:
        """Returns the node's series and their values; none while it doesn't answer."""
        try:
            text = httpx2.get(f"{self.net.net.nodes[index].metrics}/metrics", timeout=ASK_S).text
        except httpx2.TransportError:
            return {}
        lines = [line.rpartition(" ") for line in text.splitlines() if not line.startswith("#")]
        return {series: float(value) for series, _, value in lines}

    def height(self, index: int, shard: int) -> int:
        return int(self.figures(index).get(f'rustorium_consensus_height{{shard="{shard}"}}', -1))

    def runs(self, index: int, shard: int) -> bool:
        return self.figures(index).get(f'rustorium_node_shard_running{{shard="{shard}"}}') == 1

    def goes_on(self, index: int, shard: int) -> None:
        """Waits for two more blocks of a shard."""
        before = self.height(index, shard)
        wait_for(f"blocks of shard {shard} at node {index}", lambda: self.height(index, shard) >= before + 2)

    def status(self, index: int) -> dict[str, Any]:
        found: dict[str, Any] = httpx2.get(f"{self.net.net.nodes[index].http}/v1/status", timeout=ASK_S).json()
        return found

    def other_shard(self, index: int) -> dict[str, Any]:
        """Returns what the node's own status says of its other shard."""
        told: Any = call(Home(self.home(index)).admin_socket, "status")
        [found] = told["shards"]
        return dict(found)

    def finding(self, index: int, code: str) -> str:
        """Returns the evidence of a finding of the node; empty if there is no such finding."""
        found = [one["evidence"] for one in self.status(index)["findings"] if one["code"] == code]
        return str(found[0]) if found else ""

    def trouble(self, index: int) -> str:
        """Returns the evidence of the node's finding on its other shard."""
        return self.finding(index, "shard-trouble")

    def audited(self, index: int, event: str) -> list[dict[str, Any]]:
        lines = read(log_of(Home(self.home(index))))
        return [line["fields"] for line in lines if line["event"] == event]


@pytest.fixture
def nodes(devnet_factory: DevnetFactory) -> Iterator[Nodes]:
    made = Nodes(devnet_factory(start=False, parameters={"epoch_ms": EPOCH_MS}))
    indexes = range(len(made.net.net.nodes))
    for index in indexes:
        made.start(index)
    try:
        for index in indexes:
            for shard in (0, SHARD):
                wait_for(f"blocks of shard {shard} at node {index}", lambda i=index, s=shard: made.height(i, s) > 0)
        yield made
    finally:
        made.kill()


def test_a_core_that_faults_ends_its_shard_alone_and_comes_back(nodes: Nodes) -> None:
    for count, (shard, other) in enumerate([(SHARD, 0), (0, SHARD)], 1):
        (nodes.home(0) / f"fault-{shard}").touch()
        wait_for("the fault", lambda count=count: len(nodes.audited(0, "shard ended")) == count)
        nodes.goes_on(0, other)
        nodes.goes_on(1, shard)
        ended = nodes.audited(0, "shard ended")[-1]
        assert (ended["shard"], ended["code"]) == (shard, "core-fault")
        assert "a test asks for a fault" in ended["reason"]
        wait_for("the start", lambda count=count: len(nodes.audited(0, "shard started")) == count)
        nodes.goes_on(0, shard)
        assert nodes.figures(0)[f'rustorium_node_shard_ends_total{{shard="{shard}"}}'] == 1
    wait_for("shards that are ready", lambda: nodes.status(0)["ready"] and nodes.other_shard(0)["ready"])
    assert nodes.other_shard(0)["height"] > 0
    assert (nodes.home(0) / "shards" / str(SHARD) / "log" / "inputs").is_dir()
    for index in range(len(nodes.net.net.nodes)):
        nodes.stop(index)


def test_a_core_that_hangs_holds_up_neither_the_other_shard_nor_questions(devnet_factory: DevnetFactory) -> None:
    made = Nodes(devnet_factory(start=False, parameters={"epoch_ms": EPOCH_MS}))
    with open(made.home(0) / "config.toml", "a") as config:
        config.write(f"[recovery]\nwatch_ms = 200\nwedged_ms = {HANGS_MS}\n")
    indexes = range(len(made.net.net.nodes))
    try:
        for index in indexes:
            made.start(index)
        for index in indexes:
            for shard in (0, SHARD):
                wait_for(f"blocks of shard {shard} at node {index}", lambda i=index, s=shard: made.height(i, s) > 0)
        for shard, other in ((SHARD, 0), (0, SHARD)):
            request = made.home(0) / f"hang-{shard}"
            request.touch()
            if shard == SHARD:
                wait_for("the trouble", lambda: "wedged" in made.trouble(0))
            else:
                wait_for("the finding", lambda: made.finding(0, "wedged").endswith(" s"))
                assert "core for" in made.finding(0, "wedged")
            made.goes_on(0, other)
            assert call(Home(made.home(0)).admin_socket, "status")["at"]["shard"] == 0
            request.unlink()
            made.goes_on(0, shard)
            wait_for("no trouble", lambda: not made.trouble(0) and not made.finding(0, "wedged"))
        assert made.audited(0, "shard ended") == [], "a core that hangs is not a fault"
        for index in indexes:
            made.stop(index)
    finally:
        made.kill()


def test_a_damaged_store_is_shown_and_its_shard_comes_back_once_it_is_moved_aside(nodes: Nodes) -> None:
    nodes.stop(0)
    store = nodes.home(0) / "shards" / str(SHARD) / "db"
    (store / "CURRENT").write_text("nothing\n")
    nodes.start(0)
    wait_for("the trouble", lambda: nodes.figures(0) != {} and "store-corrupt" in nodes.trouble(0))
    nodes.goes_on(0, 0)
    assert not nodes.runs(0, SHARD)
    assert nodes.trouble(0).startswith(f"shard {SHARD} ended with store-corrupt")
    assert "store-corrupt" in nodes.other_shard(0)["not_ready_because"]
    assert nodes.status(0)["ready"], "the gateway serves the root shard"
    store.rename(nodes.home(0) / "moved-aside")
    wait_for("the shard", lambda: nodes.runs(0, SHARD))
    wait_for("all blocks again", lambda: nodes.height(0, SHARD) >= nodes.height(1, SHARD) - 1 > 0)
    nodes.goes_on(0, SHARD)


def test_a_supervisor_refills_the_damaged_store_of_a_shard_alone(nodes: Nodes) -> None:
    nodes.stop(0)
    home = Home(nodes.home(0))
    journal = {path.name for path in (home.path / "shards" / str(SHARD) / "safety").iterdir()}
    (home.db_of(SHARD) / "CURRENT").write_text("nothing\n")
    root_store = home.db.stat().st_ino
    nodes.start(0, SUPERVISOR)

    def refilled() -> list[tuple[str, str, int]]:
        acts = read_recovery(home).get("acts", [])
        return [(one["act"], one["code"], one["shard"]) for one in acts]

    wait_for("the refill", lambda: refilled() == [("refill", "store-corrupt", SHARD)])
    wait_for("the shard", lambda: nodes.runs(0, SHARD))
    wait_for("all blocks again", lambda: nodes.height(0, SHARD) >= nodes.height(1, SHARD) - 1 > 0)
    for shard in (0, SHARD):
        nodes.goes_on(0, shard)
    assert home.db.stat().st_ino == root_store, "the root shard's store stays"
    assert journal <= {path.name for path in (home.path / "shards" / str(SHARD) / "safety").iterdir()}
    wait_for("an audit line", lambda: len(nodes.audited(0, "recover")) == 1)
    assert nodes.audited(0, "recover")[0]["shard"] == str(SHARD)
    nodes.stop(0)
    assert refilled() == [("refill", "store-corrupt", SHARD)]
