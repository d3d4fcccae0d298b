"""The filling of an empty store on real processes: shown to its owner and to clients, interrupted, killed, and given
false data."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from process_tools import Load, assert_no_panic, level, statuses, values_after, wait_for
from rust_example import rust_example
from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.errors import NotReady
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.types import Receipt, Submitted

pytestmark = pytest.mark.nodes
LIAR, VICTIM = 2, 3
PUTS, VALUE_BYTES = 100, 20_000
"""Number of keys of each of two accounts: more than one part of a snapshot holds."""


def spoil(net: Devnet, index: int, store: str = "db") -> None:
    """Changes the value of the last leaf in a store of a stopped node."""
    command = [rust_example("spoil_state"), net.net.nodes[index].home, str(net.root / "passphrase"), store]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def log(net: Devnet, index: int, event: str) -> list[dict[str, Any]]:
    path = Path(net.net.nodes[index].home, "log", "node.jsonl")
    lines = path.read_text().splitlines() if path.exists() else []
    return [line for line in map(json.loads, lines) if line.get("event") == event]


def filling(net: Devnet, index: int) -> dict[str, Any]:
    """Returns a node's progress of filling, over HTTP and by its admin socket; empty if it isn't filling."""
    [status] = statuses(net, [index])
    return dict(status.filling or {})


def snapshots(net: Devnet, index: int, shard: int = 0) -> list[int]:
    answer = call(Path(net.net.nodes[index].home, "run", "admin.sock"), "snapshots", shard=shard)
    return [int(one["height"]) for one in answer]


def check_status(net: Devnet, index: int) -> tuple[int, dict[str, Any]]:
    """Returns the exit code and the row of `status check --home` for one node."""
    command = ["status", "check", "--home", net.net.nodes[index].home, "-o", "json"]
    ended = subprocess.run(
        [sys.executable, "-m", "rustorium.cli", *command], capture_output=True, text=True, check=False
    )
    return ended.returncode, json.loads(ended.stdout)[0]


def readyz(net: Devnet, index: int) -> tuple[int, str]:
    answer = httpx2.get(f"{net.net.nodes[index].http}/readyz", trust_env=False)
    return answer.status_code, answer.json()["detail"]


def start_with_a_parent(net: Devnet, index: int) -> tuple["subprocess.Popen[bytes]", int]:
    """Starts a node; returns it and a descriptor for its parent: if it is closed, the parent has ended."""
    read, write = os.pipe()
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", net.net.nodes[index].home]
    process = subprocess.Popen([*command, "--stop-fd", str(read)], pass_fds=(read,), start_new_session=True)
    os.close(read)
    return process, write


def test_a_filling_survives_false_data_a_kill_and_its_parents_end(tmp_path: Path) -> None:
    with Devnet.create(tmp_path, nodes=4, accounts=2) as net:
        start_eager(net)
        prepared(net)
        in_the_middle(net)
        filled_by_the_honest(net)
        assert_no_panic(net)


def start_eager(net: Devnet) -> None:
    """Starts nodes that offer a snapshot each second, at any height."""
    for node in net.net.nodes:
        with open(Path(node.home, "config.toml"), "a") as file:
            file.write("\n[sync]\nsnapshot_interval_ms = 1000\nbeyond_heights = 1\n")
    net.start()


def write_much(client: Client, key: Key) -> None:
    results = client.send_many([[put(key.address, b"%d" % n, bytes([n]) * VALUE_BYTES)] for n in range(PUTS)], key=key)
    assert all(isinstance(result, Submitted) for result in results), results


def prepared(net: Devnet) -> None:
    """Node 3 has an empty store, node 2 sends a false value for the last leaf of a large state, nodes 0 and 1 are
    stopped."""
    for account in net.net.accounts:
        with Client.from_net(net.path, timeout_s=60.0) as client:
            write_much(client, Key.open(account.key_file))
    wait_for("all are level", lambda: level(net))
    net.kill(VICTIM)
    for lost in ("db", "safety"):
        shutil.rmtree(Path(net.net.nodes[VICTIM].home, lost))
    assert net.terminate(LIAR) == 0
    spoil(net, LIAR)
    net.restart(LIAR)
    last = max(snapshots(net, 0), default=0)
    with Load(net, "after"):
        wait_for("all three offer a newer one", lambda: min(min(snapshots(net, i), default=0) for i in range(3)) > last)
    wait_for("the same ones", lambda: snapshots(net, 0) == snapshots(net, 1) == snapshots(net, LIAR))
    for index in (0, 1):
        net.signal(index, signal.SIGSTOP)


def in_the_middle(net: Devnet) -> None:
    net.spawn(VICTIM)
    wait_for("the liar is found out", lambda: filling(net, VICTIM).get("banned") == ["node-2"])
    now = filling(net, VICTIM)
    assert now["height"] in snapshots(net, LIAR)
    assert (now["rows"] > 0, 0 < now["percent"] < 100, now["parts"] > 0) == (True, True, True), now

    def says_how_far() -> bool:
        # Data that was in flight when the liar was banned may still arrive.
        far = f"filling from snapshot at height {now['height']}: {filling(net, VICTIM)['percent']} %"
        return readyz(net, VICTIM) == (503, far)

    wait_for("it says how far it is", says_how_far)
    code, row = check_status(net, VICTIM)
    assert (code, row["ready"], row["filling"]["banned"]) == (5, False, ["node-2"])
    with pytest.raises(NotReady, match="filling from snapshot"):
        call(Path(net.net.nodes[VICTIM].home, "run", "admin.sock"), "create_snapshot")
    with Client(net.net.nodes[VICTIM].http, timeout_s=0.3) as client, pytest.raises(Exception, match="answer"):
        client.block(1, proof=False)
    [banned] = log(net, VICTIM, "peer_banned")
    assert banned["peer"] == "node-2"
    looked = len(log(net, VICTIM, "looking_for_snapshots"))
    net.kill(VICTIM)
    # The node continues with the stored part, until the parent ends.
    process, parent = start_with_a_parent(net, VICTIM)
    wait_for("it goes on", lambda: filling(net, VICTIM).get("height") == now["height"])
    assert len(log(net, VICTIM, "looking_for_snapshots")) == looked, "it had begun with one"
    os.close(parent)
    assert process.wait(30) == 0
    assert log(net, VICTIM, "node stopped")[-1]["reason"] == "the process that started it ended"


def filled_by_the_honest(net: Devnet) -> None:
    for index in (0, 1):
        net.signal(index, signal.SIGCONT)
    net.restart(VICTIM)
    [synced] = log(net, VICTIM, "state_synced")
    begun = [one["height"] for one in log(net, VICTIM, "state_sync")]
    assert set(begun) == {synced["height"]}, "never another snapshot than that of the start"
    assert len(begun) == 3
    assert filling(net, VICTIM) == {}
    assert statuses(net, [VICTIM])[0].ready


def test_a_shard_that_nobody_can_fill_holds_up_no_other(tmp_path: Path) -> None:
    with Devnet.create(tmp_path, nodes=4, accounts=2, shards=2) as net:
        start_eager(net)
        home = Path(net.net.nodes[VICTIM].home)
        with Client.from_net(net.path, timeout_s=60.0) as client:
            keys = {client.shard_of(key.address): key for key in (Key.open(one.key_file) for one in net.net.accounts)}
            write_much(client, keys[1])
            net.kill(VICTIM)
            for lost in ("db", "safety", "shards"):
                shutil.rmtree(home / lost)
            assert net.terminate(LIAR) == 0
            spoil(net, LIAR, "shards/1/db")
            net.restart(LIAR)

            first = [receipt.height for receipt in written_in_both(client, keys)]

            def offered() -> bool:
                written_in_both(client, keys)
                return all(min(snapshots(net, i, s), default=0) >= first[s] for i in (0, 1, LIAR) for s in (0, 1))

            wait_for("snapshots of both shards", offered)
        for index in (0, 1):
            net.signal(index, signal.SIGSTOP)
        net.spawn(VICTIM)
        only_the_root_runs(net)
        # So does a start with a store that is half filled.
        net.kill(VICTIM)
        net.spawn(VICTIM)
        only_the_root_runs(net)
        with pytest.raises(NotReady, match=r"shard 1 has no state yet \(filling from snapshot"):
            snapshots(net, VICTIM, 1)
        for index in (0, 1):
            net.signal(index, signal.SIGCONT)
        wait_for("both run", lambda: running(net, VICTIM) == {0: True, 1: True})
        with Client.from_net(net.path, timeout_s=60.0) as client:
            wrote = client.put("last", "v", key=keys[1])
        with Client(net.net.nodes[VICTIM].http, genesis=Path(net.net.genesis)) as alone:
            assert values_after(alone, wrote, keys[1].address, "after", "last") == [b"v", b"v"]
        assert_no_panic(net)


def written_in_both(client: Client, keys: dict[int, Key]) -> list[Receipt]:
    done = [client.put("after", "v", key=keys[shard]).receipt for shard in (0, 1)]
    return [receipt for receipt in done if receipt is not None]


def running(net: Devnet, index: int) -> dict[int, bool]:
    """Returns which shards of a node run; nothing while it doesn't answer."""
    try:
        text = httpx2.get(f"{net.net.nodes[index].metrics}/metrics", trust_env=False).text
    except httpx2.TransportError:
        return {}
    return {shard: f'rustorium_node_shard_running{{shard="{shard}"}} 1' in text.splitlines() for shard in (0, 1)}


def only_the_root_runs(net: Devnet) -> None:
    """Waits until a node's root shard runs, while nobody but a liar could fill its other one."""
    wait_for("its root shard runs", lambda: running(net, VICTIM) == {0: True, 1: False})

    def stands() -> bool:
        try:
            told: Any = call(Path(net.net.nodes[VICTIM].home, "run", "admin.sock"), "status")
        except NotReady:
            # A shard with a state may run just before the node is open.
            return False
        [other] = told["shards"]
        return "ended" not in other and dict(other["filling"] or {}).get("banned") == ["node-2"]

    wait_for("the liar of its other shard is found out", stands)
