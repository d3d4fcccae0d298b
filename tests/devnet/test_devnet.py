"""A real devnet of four processes: the main job from the command line and from Python."""

import json
import os
import re
import select
import signal
import subprocess
import sys
from pathlib import Path

import httpx2
import pytest

from process_tools import assert_one_sentence, cli, counter, run_command, wait_for
from rustorium.access.netfile import read_net
from rustorium.client import AsyncClient, Client, Key
from rustorium.client.operations import put, require_absent, require_value
from rustorium.errors import NotFound, ProofRefused, TransactionFailed, VerificationFailed
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.net.probe import is_ready
from rustorium.testing import DevnetFactory
from rustorium.types import Submitted

pytestmark = pytest.mark.nodes


def told(*arguments: object, code: int = 0) -> str:
    """Returns the command's output."""
    return cli(*arguments, code=code).stdout


@pytest.fixture
def key(devnet: Devnet) -> Key:
    return Key.open(devnet.net.accounts[0].key_file)


def test_devnet_json(devnet: Devnet) -> None:
    content = json.loads(devnet.path.read_text())
    assert set(content) >= {"chain", "genesis", "nodes", "accounts"}
    assert len(content["nodes"]) == 4
    for node in content["nodes"]:
        assert set(node) >= {"http", "p2p", "metrics", "pid", "home", "client"}
        os.kill(node["pid"], 0)
        assert Path(node["home"], "config.toml").is_file()
    for account in content["accounts"]:
        assert account["address"].startswith("rs1")
        assert Path(account["key_file"]).stat().st_mode & 0o777 == 0o600


def test_a_node_says_when_it_is_ready(devnet: Devnet) -> None:
    ready = re.compile(r"^Ready at height [\d,]+: [0-3] of 3 peers are connected\.$", re.MULTILINE)
    for node in devnet.net.nodes:
        # A node answers that it is ready before it says so.
        log = Path(node.home, "log", "stderr.log")
        wait_for(f"{node.name} says that it is ready", lambda log=log: ready.search(log.read_text()) is not None)


def test_put_and_query_by_command(devnet: Devnet) -> None:
    account = devnet.net.accounts[1]
    query = ("query", "--net", devnet.path, "--account", account.address)
    # Other tests may have written to this net earlier.
    before = json.loads(told(*query, "-o", "json"))[0]["nonce"]
    done = json.loads(told("tx", "put", "--net", devnet.path, "--key", account.key_file, "a/b é", "v 1", "-o", "json"))
    assert (done["reached"], done["outcome"]) == ("final", "ok")
    assert json.loads(told(*query, "a/b é", "-o", "json"))[0]["value"] == "v 1"
    told(*query, "other", code=3)
    assert json.loads(told(*query, "-o", "json"))[0]["nonce"] == before + 1
    status = json.loads(told("tx", "status", "--net", devnet.path, done["id"], "-o", "json"))
    assert (status["state"], status["height"]) == ("final", done["height"])
    assert status["proven"] == status["certified"]
    block = json.loads(told("block", "show", "--net", devnet.path, done["height"], "-o", "json"))
    assert (block["height"], block["verified"]) == (done["height"], True)
    other = devnet.net.accounts[2]
    held = ("query", "--net", devnet.path, "--account", other.address, "--asset", devnet.net.asset, "-o", "json")
    had = int(json.loads(told(*held))[0]["amount"])
    told("tx", "transfer", "--net", devnet.path, "--key", account.key_file, other.address, "5")
    [balance] = json.loads(told(*held))
    assert int(balance["amount"]) == had + 5
    rows = json.loads(told("status", "check", "--net", devnet.path, "-o", "json"))
    assert [row["ready"] for row in rows] == [True] * 4
    one = json.loads(told("status", "check", "--home", devnet.net.nodes[0].home, "-o", "json"))
    assert one[0]["chain"] == devnet.net.chain


def test_a_nodes_inputs_are_replayed(devnet: Devnet) -> None:
    """The log can also be copied and replayed while the node runs."""
    for node in devnet.net.nodes:
        said = json.loads(told("replay", Path(node.home, "log", "inputs"), "-o", "json"))
        assert said["inputs"]["Recovered"] == 1
        assert said["effects"]["EnterView"] >= 1


def test_a_client_checks_proofs_itself(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        written = client.write_with_proof([put(key.address, b"proven", b"1")])
        assert client.verify_proof(written.proof).receipt == written.receipt
        for position in range(0, len(written.proof), 97):
            damaged = bytearray(written.proof)
            damaged[position] ^= 1
            with pytest.raises(VerificationFailed):
                client.verify_proof(bytes(damaged))
        block = client.wait_for_quorum(written.receipt.transaction)
        assert block.height == written.receipt.height
        assert client.validate_block(block) == block
        with pytest.raises(ProofRefused):
            client.validate_block(client.block(block.height, proof=False))
        [proposed] = client.propose_block([client.sign([put(key.address, b"x", b"1")])])
        assert proposed.height > block.height
        assert client.block(proposed.digest).height == proposed.height
        assert client.get(key.address, b"proven") == b"1"
        assert client.get(key.address, b"proven", verify=False) == b"1"
        page = client.account_transactions(key.address, limit=1)
        assert page.transactions == (client.block_receipts(proposed.height)[0].transaction,)


def test_preconditions_hold_or_fail_as_a_whole(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        client.send([require_absent(key.address, b"once"), put(key.address, b"once", b"1")])
        with pytest.raises(TransactionFailed, match="operation 0"):
            client.send([require_absent(key.address, b"once"), put(key.address, b"once", b"2")])
        client.send([require_value(key.address, b"once", b"1"), put(key.address, b"once", b"3")])
        assert client.read(key.address, b"once").value == b"3"


def test_a_new_account_is_sponsored(devnet: Devnet, key: Key) -> None:
    new = Key.generate()
    with Client.from_net(devnet.path, key=key) as client:
        with pytest.raises(NotFound):
            client.put(b"a", b"b", key=new)
        client.create_account(new, 10_000)
        done = client.put(b"a", b"b", key=new)
        assert done.receipt is not None
        assert done.receipt.nonce == 0


def test_events_resume_from_python(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        start = f"{client.status().executed}.{2**32 - 1}"
        ids = [result.id for result in client.send_many([[put(key.address, b"e%d" % i, b"1")] for i in range(20)])
               if isinstance(result, Submitted)]  # fmt: skip
        stream = client.subscribe_transactions(f"sender:{key.address}", after=start)
        first = [next(stream) for _ in range(5)]
        stream.close()
        again = client.subscribe_transactions(f"sender:{key.address}", after=first[-1].id)
        rest = [next(again) for _ in range(15)]
        again.close()
        assert [event.receipt.transaction for event in first + rest] == ids


def test_one_of_four_dies_and_comes_back(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory()
    key = Key.open(net.net.accounts[0].key_file)
    with Client.from_net(net.path, key=key) as client:
        client.put(b"a", b"1")
        net.kill(3)
        for index in range(5):
            client.put(b"b", b"%d" % index)
        assert net.exit_code(3) == -signal.SIGKILL
        net.restart(3)
    with Client(net.net.nodes[3].http, genesis=Path(net.net.genesis)) as alone:
        assert alone.read(key.address, b"b").value == b"4"
    assert set(net.stop().values()) == {0}


def test_state_survives_kill_of_all(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    root = tmp_path / "state"
    net = devnet_factory(root=root)
    key = Key.open(net.net.accounts[0].key_file)
    with Client.from_net(net.path, key=key) as client:
        client.put(b"a", b"1")
    for index in range(4):
        net.kill(index)
    net.stop()
    again = devnet_factory(root=root)
    with Client.from_net(again.path, key=key) as client:
        assert client.read(key.address, b"a").value == b"1"
        heights = [counter(again, index, "rustorium_consensus_height") for index in range(4)]
        assert min(heights) > 0, "metrics have the store's height before the next block"
        client.put(b"a", b"2")


def test_the_command_runs_until_a_signal_and_leaves_no_process(tmp_path: Path) -> None:
    read, write = os.pipe()
    command = [sys.executable, "-m", "rustorium.cli", "devnet", "--ready-fd", str(write), "--faucet", "-o", "json"]
    process = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    os.close(write)
    try:
        with open(read) as ready:
            file = Path(ready.read().strip())
        content = json.loads(file.read_text())
        new = Key.generate()
        assert process.stdout is not None
        decoder = json.JSONDecoder()
        text = ""
        while True:
            text += process.stdout.readline()
            try:
                shown, _ = decoder.raw_decode(text)
                break
            except ValueError:
                continue
        body = {"region": 0, "public_key": new.public_key}
        answer = httpx2.post(shown["faucet"], json=body, trust_env=False)
        assert answer.status_code == 200, answer.text
        with Client.from_net(file, key=new) as client:
            client.put(b"a", b"b")
    finally:
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert "All validators ended\n" in err
    assert not file.exists()
    for node in content["nodes"]:
        with pytest.raises(ProcessLookupError):
            os.kill(node["pid"], 0)


def test_validators_end_with_the_devnet_process(tmp_path: Path) -> None:
    root = tmp_path / "state"
    read, write = os.pipe()
    command = [sys.executable, "-m", "rustorium.cli", "devnet", "--state", str(root), "--ready-fd", str(write)]
    process = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(write)
    with open(read) as ready:
        ready.read()
    nodes = read_net(root / "devnet.json").nodes
    validators = [os.pidfd_open(node.pid) for node in nodes]
    process.kill()
    process.wait()
    for validator in validators:
        assert select.select([validator], [], [], 60)[0], "a validator outlived the devnet process"
        os.close(validator)
    log = root / "nodes" / "node-0" / "log" / "node.jsonl"
    with Devnet.resume(root):
        assert not is_ready(nodes[0].http)
    assert "the process that started it ended" in log.read_text()


def test_a_second_devnet_in_the_same_folder_is_refused(devnet: Devnet) -> None:
    told("devnet", "--state", devnet.root, code=1)


def test_a_second_process_on_the_same_home_is_refused(devnet: Devnet) -> None:
    home = Home(Path(devnet.net.nodes[0].home))
    free = [f"--{name}-listen" for name in ("p2p", "http", "client", "metrics")]
    refused = run_command("start", "--home", str(home.path), *[part for name in free for part in (name, "127.0.0.1:0")])
    assert_one_sentence(refused, 1, f"the node of {home.path} runs")
    # The first process still answers its owner, and its home has no record of an end.
    assert json.loads(told("status", "check", "--home", home.path, "-o", "json"))[0]["ready"]
    assert not home.ended.exists()


def test_the_async_client_on_trio(devnet: Devnet, key: Key) -> None:
    import trio

    async def main() -> int:
        async with AsyncClient.from_net(devnet.path, key=key) as client:
            results = await client.send_many([[put(key.address, b"t%d" % i, b"1")] for i in range(1_500)])
            return [result for result in results if not isinstance(result, Submitted)]

    assert trio.run(main) == []
