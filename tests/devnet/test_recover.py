"""`recover auto` on real processes: a broken validator recovers by itself, and the committee doesn't change."""

import os
import shutil
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from test_state_sync import eager, events, snapshots

import disk_layer
from process_tools import Load, assert_none_missing, counter, level, statuses, wait_for
from rustorium.client import Client
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.types import NodeStatus
from supervised import SupervisedNode

pytestmark = pytest.mark.alone
VICTIM = 3
QUICK = """
[recovery]
watch_ms = 200
wedged_ms = 3000
lasts_ms = 1000
settle_ms = 1000
restarts_per_hour_max = 50
"""


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Devnet]:
    """Four validators with snapshots every second, which notice faults quickly."""
    with eager(tmp_path / "net", 4, recovery=QUICK) as net:
        yield net


def committee(net: Devnet) -> Any:
    with Client(net.net.nodes[0].http) as client:
        answer = client.validators()
    return answer["epoch"], answer["validators"], answer["next"]


def findings(net: Devnet) -> set[str]:
    """Returns the victim's findings; empty while it is down."""
    return {one.code for one in victim(net).findings}


def victim(net: Devnet) -> NodeStatus:
    [status] = statuses(net, [VICTIM])
    return status


def flip_everywhere(folder: Path) -> int:
    """Flips one bit in each KiB of every table file; returns their number."""
    flipped = 0
    for path in folder.glob("*.sst"):
        content = bytearray(path.read_bytes())
        for at in range(0, len(content), 1024):
            content[at] ^= 1
            flipped += 1
        path.write_bytes(content)
    return flipped


def assert_holds(net: Devnet, told: Sequence[tuple[str, str, bytes, bytes]]) -> None:
    """Checks that the victim's state is complete. Only other nodes know the transactions below the snapshot that filled
    it."""
    with Client(net.net.nodes[VICTIM].http) as client:
        assert all(client.get(namespace, name, verify=False) == value for _, namespace, name, value in told)


def test_a_killed_a_wiped_and_a_damaged_node_come_back_by_themselves(net: Devnet) -> None:
    before = committee(net)
    with Load(net, "before") as load:
        load.wait_for_more(200)
        net.kill(VICTIM)
        load.wait_for_more(50)
    with SupervisedNode(net, VICTIM) as node:
        wait_for("it is level", lambda: level(net))
        killed(net, node)
        wiped(net, node)
        damaged(net, node)
        wait_for("what was moved aside is removed", lambda: not any(node.home.quarantine.glob("*/db")))
        votes_again(net)
        assert_holds(net, load.told[::7])
        assert committee(net) == before, "who is a member is not for a supervisor"
        assert victim(net).retired == ""
        done = node.audited("recover")
        assert {"restart", "refill"} <= {one["act"] for one in done}
        assert all(one["evidence"] for one in done if one["act"] != "remove")


def killed(net: Devnet, node: SupervisedNode) -> None:
    before = node.acts()
    node.signal_child(signal.SIGKILL)
    node.wait_for_act("restart", "died", before)
    wait_for("it is level again", lambda: level(net))


def wiped(net: Devnet, node: SupervisedNode) -> None:
    wait_for("there is a snapshot", lambda: min(snapshots(net, 0), default=0) > 1)
    synced = len(events(net, VICTIM, "state_synced"))
    before = node.acts()
    shutil.rmtree(node.home.db)
    node.signal_child(signal.SIGKILL)
    node.wait_for_act("restart", "died", before)
    wait_for("it is filled", lambda: len(events(net, VICTIM, "state_synced")) == synced + 1)
    wait_for("it is level again", lambda: level(net))


def damaged(net: Devnet, node: SupervisedNode) -> None:
    with Load(net, "more") as load:
        load.wait_for_more(100)
    before = node.acts()
    # The next process that opens the store writes the data in memory to a table file.
    node.signal_child(signal.SIGKILL)
    node.wait_for_act("restart", "died", before)
    wait_for("it is level again", lambda: level(net))
    before = node.acts()
    assert flip_everywhere(node.home.db) > 0
    node.signal_child(signal.SIGKILL)
    node.wait_for_act("refill", "store-corrupt", before)
    wait_for("it is level again", lambda: level(net))
    assert_holds(net, load.told[::3])


def votes_again(net: Devnet) -> None:
    """Without node 0, the other three are a quorum only together."""
    net.kill(0)
    with Load(net, "three") as load:
        load.wait_for_more(25)
    net.restart(0)
    wait_for("all are level", lambda: level(net))


def test_a_node_that_hangs_is_restarted(net: Devnet) -> None:
    net.kill(VICTIM)
    with SupervisedNode(net, VICTIM) as node:
        wait_for("it is level", lambda: level(net))
        stopped = node.signal_child(signal.SIGSTOP)
        node.wait_for_act("restart", "wedged", [])
        wait_for("another process is there", lambda: node.child() not in (None, stopped))
        wait_for("it is level again", lambda: level(net))
        assert [one["code"] for one in node.audited("recover")] == ["wedged"]


def test_a_node_that_hangs_before_it_can_be_asked_is_restarted(net: Devnet) -> None:
    """The genesis is on a file system that doesn't answer."""
    net.kill(VICTIM)
    home = Home(Path(net.net.nodes[VICTIM].home))
    home.config.write_text(home.config.read_text().replace("wedged_ms = 3000", "wedged_ms = 1000"))
    kept = home.genesis.rename(net.root / "kept")
    os.mkfifo(home.genesis)
    with SupervisedNode(net, VICTIM) as node:
        node.wait_for_act("restart", "wedged", [])
        kept.replace(home.genesis)
        wait_for("it is level", lambda: level(net))


def test_a_hanging_slow_or_full_disk_is_named_and_waited_for(net: Devnet, tmp_path: Path) -> None:
    net.kill(VICTIM)
    hold, slow, full = tmp_path / "hold", tmp_path / "slow", tmp_path / "full"
    home = Path(net.net.nodes[VICTIM].home)
    rules = [
        disk_layer.rule("stall", path="safety", when=hold),
        disk_layer.rule("slow", path="safety", when=slow, ms=600),
        disk_layer.rule("enospc", path="/db/", when=full),
    ]
    with SupervisedNode(net, VICTIM, disk_layer.environment(home, rules=rules, real_syncs=True)) as node:
        wait_for("it is level", lambda: level(net))
        hold.touch()
        with Load(net, "stalled") as load:
            wait_for("it says so", lambda: "disk-stalled" in findings(net))
            status = call(node.home.admin_socket, "status")
            assert status["ready"] is False
            assert status["not_ready_because"].startswith("disk-stalled: a write or sync has not finished: journal")
            load.wait_for_more(50)
            assert node.acts() == [], "a process that starts anew meets the same disk"
        hold.unlink()
        wait_for("it goes on where it was", lambda: level(net) and "disk-stalled" not in findings(net))
        slow.touch()
        with Load(net, "slow"):
            wait_for("it says so", lambda: "disk-slow" in findings(net))
            slow.unlink()
            wait_for("it is quick again", lambda: "disk-slow" not in findings(net))
        full.touch()
        with Load(net, "full") as load:
            node.wait_for_act("restart", "disk-full", [])
            load.wait_for_more(50)
        full.unlink()
        wait_for("it is level again", lambda: level(net))
        assert_none_missing(net, load.told[::5])
        # On a busy machine there may be other findings in between.
        codes = ("disk-stalled", "disk-slow")
        begun = [(one["code"], one["state"]) for one in node.audited("trouble") if one["code"] in codes]
        assert begun[:4] == [(code, state) for code in codes for state in ("begun", "over")]


def test_a_silent_leader_is_skipped_until_it_is_back(net: Devnet) -> None:
    """Counters show it: whatever the load, each of the other nodes notices the dead node's silence once."""
    with Load(net, "all") as load:
        load.wait_for_more(100)
        net.kill(VICTIM)
        wait_for(
            "all miss it", lambda: all(counter(net, i, "rustorium_consensus_silences_total") >= 1 for i in range(3))
        )
        before = [counter(net, index, "rustorium_consensus_nullified_views_total") for index in range(3)]
        load.wait_for_more(200)
        after = [counter(net, index, "rustorium_consensus_nullified_views_total") for index in range(3)]
        assert all(more > less for more, less in zip(after, before, strict=True)), "its views are given up"
        net.restart(VICTIM)
    wait_for("all are level", lambda: level(net))
