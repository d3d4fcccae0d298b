"""R33 on real processes: half of a committee loses its keys, and its owners restore the chain offline."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from process_tools import (
    assert_no_panic,
    assert_one_sentence,
    assert_same_roots,
    level,
    run_command,
    statuses,
    wait_for,
)
from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.client import Client, Key
from rustorium.errors import RustoriumError
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes
LOST = (2, 3)


def recover(net: Devnet, step: str, plan: Path, node: int, *more: str) -> subprocess.CompletedProcess[str]:
    return run_command("recover", "committee", step, str(plan), "--home", net.net.nodes[node].home, *more)


def done(net: Devnet, step: str, plan: Path, node: int) -> Any:
    ended = recover(net, step, plan, node, "-o", "json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def without_half_of_its_keys(net: Devnet, client: Client) -> None:
    """Two of four validators lose their records of signatures, come back and follow. Now no quorum signs; then all
    nodes are stopped."""
    for number in range(20):
        client.put(b"before-%d" % number, b"1", wait="final")
    for victim in LOST:
        assert net.terminate(victim) == 0
        for lost in ("db", "safety"):
            shutil.rmtree(Path(net.net.nodes[victim].home, lost))
        net.restart(victim)
        wait_for("it knows", lambda victim=victim: statuses(net, [victim])[0].retired != "")
    wait_for("all are level", lambda: level(net))
    with pytest.raises(RustoriumError):
        client.put(b"nobody signs", b"1", wait="final", timeout_s=4.0)
    for node in range(4):
        assert net.terminate(node) == 0


def test_the_owners_of_a_committee_that_can_not_sign_bring_it_back(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=4, accounts=1)
    homes = [Home(Path(node.home)) for node in net.net.nodes]
    key = Key.open(net.net.accounts[0].key_file)
    genesis = read_genesis(Path(net.net.genesis))
    plan = net.root / "plan.json"
    with Client(net.net.endpoints, genesis=genesis, key=key, timeout_s=60.0) as client:
        without_half_of_its_keys(net, client)
    base = done(net, "begin", plan, 0)
    old = [public_part(home.validator_key)[1] for home in homes]
    assert_one_sentence(recover(net, "sign", plan, 0), 1, "doesn't change the committee", "[restart-refused]")
    for victim in LOST:
        assert done(net, "replace", plan, victim)["old_validator_key"] == old[victim]
        done(net, "replace", plan, victim)  # a second call changes nothing
    assert len(json.loads(plan.read_text())["transactions"]) == 2
    wrong = str(net.root / "owners" / "node-1.key")
    assert_one_sentence(recover(net, "sign", plan, 0, "--owner-key", wrong), 2, "the owner of node-0", "--owner-key")
    for node in (0, 2):
        done(net, "sign", plan, node)
    again = net.root / "again.json"
    done(net, "begin", again, 1)
    for victim in LOST:
        done(net, "replace", again, victim)
    assert_one_sentence(recover(net, "sign", again, 0), 1, "has signed another end", "[restart-begun]")
    ahead = json.loads(plan.read_text())
    ahead["time_ms"] += 3_600_000
    again.write_text(json.dumps({**ahead, "end": "", "signatures": {}}))
    assert_one_sentence(recover(net, "sign", again, 1), 2, "ahead of this machine's clock")
    assert_one_sentence(recover(net, "apply", plan, 1), 1, "2 of 3 owners", "[restart-refused]")
    done(net, "sign", plan, 1)
    assert [row["signed"] for row in done(net, "show", plan, 3)] == [True, True, True, False]
    assert_one_sentence(
        run_command("start", "--home", net.net.nodes[0].home), 1, "recover committee apply", "[restart-begun]"
    )
    assert public_part(homes[3].validator_key)[1] == old[3], "nothing has changed yet"
    signed = plan.read_text()
    later = json.loads(signed)
    later["time_ms"] += 1
    plan.write_text(json.dumps(later))
    assert_one_sentence(recover(net, "apply", plan, 1), 1, "signature", "[restart-refused]")
    plan.write_text(signed)
    for node in range(4):
        applied = done(net, "apply", plan, node)
        assert (applied["epoch"], applied["height"]) == (1, base["height"] + 2)
        assert (applied["new_validator_key"] is not None) == (node in LOST)
    done(net, "apply", plan, 3)  # a second call changes nothing
    for node in range(4):
        net.spawn(node)
    net.wait_ready()
    # Three of four are a quorum. With the first node down, the chain goes on only if both new keys sign.
    assert net.terminate(0) == 0
    with Client(net.net.endpoints[1:], genesis=genesis, key=key, timeout_s=60.0) as client:
        for number in range(5):
            client.put(b"after-%d" % number, b"2", wait="final")
        assert client.get(key.address, b"before-7") == b"1", "verified from the genesis on, over the owners' end"
    net.restart(0)
    wait_for("all are level", lambda: level(net))
    assert_same_roots(net)
    assert all(one.retired == "" and one.evidence == () for one in statuses(net))
    assert_no_panic(net)


def test_each_shard_of_a_net_is_brought_back_by_a_plan_of_its_own(tmp_path: Path) -> None:
    with Devnet.create(tmp_path, nodes=4, accounts=2, shards=2) as net:
        net.start()
        homes = [Home(Path(node.home)) for node in net.net.nodes]
        old = [public_part(home.validator_key)[1] for home in homes]
        with Client.from_net(net.path) as client:
            keys = {client.shard_of(one.address): one for one in (Key.open(a.key_file) for a in net.net.accounts)}
            assert sorted(keys) == [0, 1]
            for number in range(20):
                client.put(f"before-{number}", "1", key=keys[1])
            client.put("before-7", "1", key=keys[0])
            # Two members lose the records of their signatures in shard 1, so their keys are retired in both shards.
            for victim in LOST:
                assert net.terminate(victim) == 0
                for lost in ("db", "safety"):
                    shutil.rmtree(homes[victim].path / "shards" / "1" / lost)
                net.restart(victim)
                wait_for("it knows", lambda victim=victim: statuses(net, [victim])[0].retired != "")
            wait_for("all are level", lambda: level(net) and shard_1_is_level(net))
            for node in range(4):
                assert net.terminate(node) == 0
        plans = {shard: net.root / f"plan-{shard}.json" for shard in keys}
        for shard, plan in plans.items():
            ended = recover(net, "begin", plan, 0, "--shard", str(shard), "-o", "json")
            assert ended.returncode == 0, ended.stderr
            for victim in LOST:
                assert done(net, "replace", plan, victim)["old_validator_key"] == old[victim]
            for node in (0, 1, 2):
                done(net, "sign", plan, node)
        started = run_command("start", "--home", str(homes[0].path))
        assert_one_sentence(started, 1, "recover committee apply", "[restart-begun]")
        for node in range(4):
            first = done(net, "apply", plans[1], node)
            assert (first["epoch"], first["new_validator_key"]) == (1, None), "shard 0 still has the old key"
            assert first["waits_for"] == ([0] if node in LOST else [])
            assert public_part(homes[node].validator_key)[1] == old[node]
        started = run_command("start", "--home", str(homes[0].path))
        assert_one_sentence(started, 1, "recover committee apply", "[restart-begun]")
        for node in range(4):
            applied = done(net, "apply", plans[0], node)
            assert (applied["new_validator_key"] is not None) == (node in LOST)
            assert applied["waits_for"] == []
        for node in range(4):
            net.spawn(node)
        net.wait_ready()
        # Three of four are a quorum in each shard, and need both new keys.
        assert net.terminate(0) == 0
        with Client(net.net.endpoints[1:], genesis=Path(net.net.genesis), timeout_s=60.0) as client:
            for key in keys.values():
                client.put("after", "2", key=key)
                assert client.get(key.address, "before-7") == b"1", "verified over the owners' end"
        assert all(one.retired == "" and one.evidence == () for one in statuses(net, [1, 2, 3]))
        assert_no_panic(net)


def shard_1_is_level(net: Devnet) -> bool:
    heights = {one.executed for status in statuses(net) for one in status.shards}
    return len(heights) == 1
