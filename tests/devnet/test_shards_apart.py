"""Two shards with validators of their own, and a shard whose only validator signs two chains."""

import shutil
from pathlib import Path

import pytest

from process_tools import wait_for
from rustorium.client import Client, Key, LightClient
from rustorium.client.prooffile import parse
from rustorium.errors import ProofRefused, RustoriumError
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes


def test_each_shard_needs_its_own_validators_alone(tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", nodes=8, shards=2, apart=True, accounts=2) as devnet:
        devnet.start()
        with Client.from_net(devnet.path, timeout_s=20.0) as client:
            keys = [Key.open(account.key_file) for account in devnet.net.accounts]
            low, high = sorted(keys, key=lambda key: client.shard_of(key.address))
            members = [facts.members for facts in client.shard_list()]
            assert members == [tuple(f"node-{place}" for place in part) for part in (range(4), range(4, 8))]
            for key in (low, high):
                client.put("k", "v", key=key)
                assert client.get(key.address, "k") == b"v"
            # Two of the root shard's four are gone: it stands, and the other shard goes on.
            for place in (0, 1):
                devnet.kill(place)
            client.put("without root", "v", key=high)
            assert client.get(high.address, "without root") == b"v"
            with pytest.raises(RustoriumError):
                client.put("without root", "v", key=low, timeout_s=3.0)
            devnet.restart(0)
            wait_for("the root shard goes on", lambda: _writes(client, low))
            for place in (4, 5):
                devnet.kill(place)
            client.put("without the other", "v", key=low)
            assert client.get(low.address, "without the other") == b"v"


def test_evidence_of_a_fork_is_checked_by_the_shard_that_it_names(tmp_path: Path) -> None:
    root, before = tmp_path / "net", tmp_path / "before"
    with Devnet.create(root, nodes=1, shards=2, accounts=2):
        shutil.copytree(root, before)
    blocks = []
    for value in ("one", "another"):
        shutil.rmtree(root)
        shutil.copytree(before, root)
        with Devnet.resume(root) as devnet:
            devnet.start()
            with Client.from_net(devnet.path) as client:
                keys = [Key.open(account.key_file) for account in devnet.net.accounts]
                [high] = [key for key in keys if client.shard_of(key.address) == 1]
                client.put("k", value, key=high)
                blocks.append(parse(client.in_shard(1).prove_block(1)).proof)
    genesis = Path(devnet.net.genesis)
    evidence = LightClient(genesis, shard=1).fork(blocks[0], blocks[1], ("here", "there")).evidence
    for shard in (0, 1):
        shown = LightClient(genesis, shard=shard).show_fork(evidence)
        assert [header["shard"] for header in shown["headers"]] == [1, 1]
    with pytest.raises(ProofRefused):
        LightClient(genesis).show_fork(evidence.replace(b'"shard": 1', b'"shard": 0'))


def _writes(client: Client, key: Key) -> bool:
    try:
        client.put("again", "v", key=key, timeout_s=3.0)
    except RustoriumError:
        return False
    return True
