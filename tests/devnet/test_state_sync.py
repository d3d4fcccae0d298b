"""State sync on real processes: a node with an empty store is filled from its peers' snapshots, and takes part
again.
"""

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from follower_tools import Follower
from process_tools import Load, assert_no_panic, level, statuses, values_after, wait_for
from rustorium.client import Client, Key
from rustorium.errors import NodeError, NotReady
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.types import Submitted

pytestmark = pytest.mark.nodes
VICTIM = 3
EPOCH_MS = 5_000


@contextmanager
def eager(
    folder: Path, nodes: int, storage: str = "", recovery: str = "", shards: int = 1, **parameters: int
) -> Iterator[Devnet]:
    """A devnet with snapshots every second, at any height. `storage`: more settings of that section; `recovery`:
    another such section."""
    with Devnet.create(folder, nodes=nodes, accounts=2, shards=shards, parameters=parameters) as net:
        for node in net.net.nodes:
            with open(Path(node.home, "config.toml"), "a") as file:
                file.write("\n[sync]\nsnapshot_interval_ms = 1000\nbeyond_heights = 1\n")
                file.write(f"\n[storage]\n{storage}\n{recovery}\n")
        net.start()
        yield net
        assert_no_panic(net)


def snapshots(net: Devnet, index: int, shard: int = 0) -> list[int]:
    answer = call(Path(net.net.nodes[index].home, "run", "admin.sock"), "snapshots", shard=shard)
    return [int(one["height"]) for one in answer]


def events(net: Devnet, index: int, event: str) -> list[dict[str, object]]:
    lines = Path(net.net.nodes[index].home, "log", "node.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def wipe(net: Devnet, index: int) -> None:
    for lost in ("db", "safety"):
        shutil.rmtree(Path(net.net.nodes[index].home, lost))


def executed(net: Devnet, index: int) -> int:
    [status] = statuses(net, [index])
    return status.executed


def test_a_wiped_validator_is_filled_from_a_snapshot_and_votes_again(tmp_path: Path) -> None:
    with eager(tmp_path, 4) as net:
        wiped_and_filled(net)


def wiped_and_filled(net: Devnet) -> None:
    with Load(net, "before") as load:
        load.wait_for_more(300)
    wait_for("all are level", lambda: level(net))
    last = executed(net, VICTIM)
    net.kill(VICTIM)
    wipe(net, VICTIM)
    # The key signed only below the snapshot, so nothing above it contradicts new votes.
    with Load(net, "after") as more:
        more.wait_for_more(100)
        wait_for("a snapshot without the victim", lambda: min(snapshots(net, 0), default=0) > last + 1)
    net.restart(VICTIM)
    [synced] = events(net, VICTIM, "state_synced")
    assert int(str(synced["height"])) > last
    wait_for("all are level", lambda: level(net))
    [status] = statuses(net, [VICTIM])
    assert status.retired == ""
    with Client(net.net.nodes[VICTIM].http, genesis=Path(net.net.genesis)) as client:
        for _, address, name, value in (load.told + more.told)[::7]:
            assert client.get(address, name, verify=False) == value
    # The node votes: without node 0, the other three are a quorum only together.
    wait_for("it may sign", lambda: len(events(net, VICTIM, "may_sign")) >= 2)
    net.kill(0)
    with Load(net, "three") as load:
        load.wait_for_more(50)
    net.restart(0)
    wait_for("all are level", lambda: level(net))
    # A restart continues from the store's content.
    net.kill(VICTIM)
    net.restart(VICTIM)
    assert len(events(net, VICTIM, "state_synced")) == 1
    wait_for("all are level", lambda: level(net))


def test_all_shards_of_a_wiped_validator_are_filled_at_once(tmp_path: Path) -> None:
    with eager(tmp_path, 4, shards=2) as net, Client.from_net(net.path) as client:
        keys = {client.shard_of(key.address): key for key in map(Key.open, (one.key_file for one in net.net.accounts))}
        assert sorted(keys) == [0, 1]

        def put(name: str) -> list[Submitted]:
            return [client.put(name, "v", key=key) for key in keys.values()]

        put("first")
        wait_for("all are level", lambda: level(net))
        heights = [client.in_shard(shard).status().executed for shard in keys]
        net.kill(VICTIM)
        home = Path(net.net.nodes[VICTIM].home)
        for lost in ("db", "safety", "shards"):
            shutil.rmtree(home / lost)

        def offered() -> bool:
            put("more")
            return all(min(snapshots(net, 0, shard), default=0) > max(heights) + 1 for shard in keys)

        wait_for("snapshots of both without the victim", offered)
        net.restart(VICTIM)
        wait_for("both are filled", lambda: len(events(net, VICTIM, "state_synced")) == 2)
        lines = map(json.loads, (home / "audit" / "audit.jsonl").read_text().splitlines())
        assert sorted(line["fields"]["shard"] for line in lines if line["event"] == "state synced") == [0, 1]
        last = put("last")
        with Client(net.net.nodes[VICTIM].http, genesis=Path(net.net.genesis)) as alone:
            for key, wrote in zip(keys.values(), last, strict=True):
                assert values_after(alone, wrote, key.address, "first", "last") == [b"v", b"v"]
        # Both shards are voted in: without node 0, the other three are a quorum only together.
        net.kill(0)
        put("of three")
        net.restart(0)


def test_a_node_with_only_the_genesis_is_filled_in_a_later_epoch(tmp_path: Path) -> None:
    with eager(tmp_path / "net", 4, epoch_ms=EPOCH_MS) as net:
        follower = Follower(net, tmp_path / "watcher")
        with open(follower.home / "config.toml", "a") as file:
            file.write("\n[sync]\nbeyond_heights = 1\n")
        try:
            filled_in_a_later_epoch(net, follower)
        finally:
            follower.kill()


def filled_in_a_later_epoch(net: Devnet, follower: Follower) -> None:
    with Load(net, "before") as load:
        wait_for("the third epoch", lambda: min(status.epoch for status in statuses(net)) >= 2)
        last = executed(net, VICTIM)
        net.kill(VICTIM)
        wipe(net, VICTIM)
        wait_for("a snapshot of the third epoch", lambda: min(snapshots(net, 0), default=0) > last + 1)
    net.restart(VICTIM)
    [synced] = events(net, VICTIM, "state_synced")
    assert int(str(synced["height"])) > last
    assert len(events(net, VICTIM, "committee_known")) >= 2
    wait_for("it may sign", lambda: len(events(net, VICTIM, "may_sign")) >= 2)
    # No node knows a follower's keys.
    follower.start()
    log = (follower.home / "log" / "node.jsonl").read_text()
    assert '"state_synced"' in log
    with Client(follower.url, genesis=Path(net.net.genesis), timeout_s=20.0) as client:
        for _, address, name, value in load.told[::97]:
            assert client.get(address, name, verify=False) == value
    with Load(net, "after") as more:
        more.wait_for_more(50)
    ended = min(status.epoch for status in statuses(net))
    wait_for("all go on into the next epoch", lambda: min(s.epoch for s in [*statuses(net), follower.status()]) > ended)
    wait_for("all are level", lambda: level(net))
    assert [status.retired for status in statuses(net)] == [""] * 4
    assert follower.stop() == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_a_node_that_looks_for_snapshots(tmp_path: Path, number: signal.Signals) -> None:
    with Devnet.create(tmp_path / "net", nodes=4, accounts=0) as net:
        # No peer answers, and the node waits for one.
        net.spawn(VICTIM)
        log = Path(net.net.nodes[VICTIM].home, "log", "node.jsonl")
        wait_for("it looks", lambda: log.exists() and bool(events(net, VICTIM, "looking_for_snapshots")))
        net.signal(VICTIM, number)
        wait_for("it ended", lambda: net.exit_code(VICTIM) is not None)
        assert net.exit_code(VICTIM) == 0
        [stopped] = events(net, VICTIM, "node stopped")
        assert stopped["reason"] == number.name
        assert not events(net, VICTIM, "node ready")


def test_snapshots_are_listed_and_made_on_request(tmp_path: Path) -> None:
    with eager(tmp_path, 1) as net:
        listed_and_made(net)


def listed_and_made(net: Devnet) -> None:
    socket = Path(net.net.nodes[0].home, "run", "admin.sock")
    with Load(net, "load") as load:
        load.wait_for_more(50)
        wait_for("two snapshots", lambda: len(snapshots(net, 0)) == 2)

    def made() -> bool:
        # The newest root may be folded before a finalization of its claim is stored; then the snapshot comes a moment
        # later.
        with suppress(NodeError):
            return int(call(socket, "create_snapshot")["height"]) in snapshots(net, 0)
        return False

    wait_for("one is made", made)
    assert snapshots(net, 0) == sorted(snapshots(net, 0), reverse=True)
    net.terminate(0)
    with pytest.raises(NotReady):
        call(socket, "snapshots")
