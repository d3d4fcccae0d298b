"""What is kept of several shards in one home: keys that are rotated, backups, snapshots."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_backups import audited

from process_tools import assert_one_sentence, cli, level, run_command, statuses, values_after, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.joining import wait_for_committee
from rustorium.types import Submitted

pytestmark = pytest.mark.nodes

VICTIM = 3


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.create(tmp_path_factory.mktemp("net"), shards=2, accounts=4) as net:
        net.start()
        yield net


@pytest.fixture
def client(devnet: Devnet) -> Iterator[Client]:
    with Client.from_net(devnet.path) as client:
        yield client


def home_of(devnet: Devnet) -> Path:
    return Path(devnet.net.nodes[VICTIM].home)


def answer(*arguments: object) -> Any:
    return json.loads(cli(*arguments, "-o", "json").stdout)


def put(devnet: Devnet, client: Client, name: str) -> dict[str, Submitted]:
    """Writes one key in each shard; returns what was written by the writers' addresses."""
    keys = [Key.open(account.key_file) for account in devnet.net.accounts]
    writers = {client.shard_of(key.address): key for key in keys}
    return {key.address: client.put(name, "v", key=key) for key in writers.values()}


def has(devnet: Devnet, name: str, wrote: dict[str, Submitted]) -> bool:
    """Returns whether the victim itself proves a key's value of each shard, after those writes."""
    with Client(devnet.net.nodes[VICTIM].http, genesis=Path(devnet.net.genesis)) as node:
        return [values_after(node, one, address, name) for address, one in wrote.items()] == [[b"v"], [b"v"]]


def test_data_keys_are_rotated_in_all_shards(devnet: Devnet, client: Client) -> None:
    home = home_of(devnet)
    put(devnet, client, "before")
    before = [line.get("shard") for line in audited(home, "keys rotated")]
    assert answer("keys", "rotate", "rows", "--home", home)["rows"] > 0
    assert sorted(line["shard"] for line in audited(home, "keys rotated")[len(before) :]) == [0, 1]
    assert has(devnet, "before", put(devnet, client, "after"))


def test_the_storage_key_is_replaced_in_all_shards_and_destroyed_last(devnet: Devnet, client: Client) -> None:
    home = home_of(devnet)
    put(devnet, client, "under the first key")
    told = answer("keys", "rotate", "master", "--home", home)
    assert told["state"] in ("journal", "key", "done")
    assert devnet.terminate(VICTIM) == 0
    devnet.restart(VICTIM)
    wait_for("the old key is gone", lambda: not (home / "storage.key.old").exists())
    wait_for("it is told", lambda: bool(audited(home, "storage key replaced")))
    assert len(audited(home, "storage key drawn")) == 1
    devnet.kill(VICTIM)
    devnet.restart(VICTIM)
    assert has(devnet, "under the first key", put(devnet, client, "under the second key"))


def test_a_shard_that_is_not_hosted_keeps_the_storage_key(devnet: Devnet) -> None:
    stray = home_of(devnet) / "shards" / "9"
    stray.mkdir()
    refused = run_command("keys", "rotate", "master", "--home", str(home_of(devnet)))
    assert_one_sentence(refused, 1, "shard-not-hosted", "shard 9, which this node doesn't host")
    stray.rmdir()


def test_snapshots_are_offered_for_each_shard(devnet: Devnet, client: Client) -> None:
    home = home_of(devnet)
    put(devnet, client, "in a snapshot")
    for shard in (0, 1):
        of_shard = ["--home", str(home), "--shard", str(shard)]
        wait_for("a root", lambda line=of_shard: run_command("snapshot", "create", *line).returncode == 0)
        made = answer("snapshot", "create", *of_shard)
        assert made["height"] in [row["height"] for row in answer("snapshot", "list", *of_shard)]
    refused = run_command("snapshot", "create", "--home", str(home), "--shard", "7")
    assert_one_sentence(refused, 1, "not-hosted", "does not host shard 7: name one of 0, 1")


def test_a_home_of_several_shards_comes_back_from_a_backup(devnet: Devnet, client: Client, tmp_path: Path) -> None:
    home, place = home_of(devnet), tmp_path / "backups"
    put(devnet, client, "kept")
    running = answer("backup", "create", "--home", home, "--to", place)
    assert [row["shard"] for row in running["shards"]] == [1]
    assert not list(home.rglob("checkpoint"))
    assert devnet.terminate(VICTIM) == 0
    stopped = answer("backup", "create", "--home", home, "--to", place)
    assert stopped["shards"][0]["height"] >= running["shards"][0]["height"]
    rows = answer("backup", "list", "--home", home, "--from", place)
    assert [(row["state"], len(row["shards"])) for row in rows] == [("good", 1), ("good", 1)]
    assert answer("backup", "verify", "--home", home, "--from", place)["damaged"] == []

    lost = tmp_path / "lost"
    home.rename(lost)
    back = ["--from", place, "--key", lost / "backup.key", "--home", home]
    back += ["--passphrase-file", devnet.root / "passphrase"]
    one_height = run_command("backup", "restore", *map(str, back), "--height", "1")
    assert_one_sentence(one_height, 2, "a height is one shard's")
    restored = answer("backup", "restore", *back)
    assert restored["key_retired"]
    assert [row["shard"] for row in restored["shards"]] == [1]
    assert restored["shards"][0]["height"] == stopped["shards"][0]["height"]
    assert not list(home.rglob("segment-*")), "no journal is in a backup"
    devnet.restart(VICTIM)
    assert has(devnet, "kept", put(devnet, client, "after"))
    [status] = statuses(devnet, [VICTIM])
    assert "restored from the backup" in status.retired

    # A new key of the validator votes in both shards: three of four are a quorum, and another node is down.
    assert devnet.terminate(VICTIM) == 0
    given = answer("node", "replace-key", "--home", home, "--net", devnet.path)
    kept = Path(given["old_files"])
    assert sorted(one.name for one in kept.iterdir()) == ["safety", "safety-1", "validator.key"]
    devnet.restart(VICTIM)
    for shard in (0, 1):
        assert wait_for_committee(client.in_shard(shard), given["validator_key"], True, 60) >= 1
    wait_for("all are level", lambda: level(devnet))
    assert devnet.terminate(0) == 0
    put(devnet, client, "by the new key")
    devnet.restart(0)
