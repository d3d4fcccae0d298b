"""Backups on real processes: made while the node works, restored as of a height, interrupted; and a restored validator
never signs again."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import disk_layer
from process_tools import Load, assert_no_panic, assert_one_sentence, level, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.home import format as homeformat
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from rustorium.types import Subject, Value

pytestmark = pytest.mark.nodes

VICTIM = 3
COMMAND_S = 240.0


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "rustorium.cli", "backup", *(str(one) for one in arguments)]


def run(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command(*arguments), capture_output=True, text=True, timeout=COMMAND_S, check=False)


def answer(*arguments: object) -> Any:
    ended = run(*arguments, "-o", "json")
    assert ended.returncode == 0, ended.stderr
    return json.loads(ended.stdout)


def audited(home: Path, event: str) -> list[dict[str, Any]]:
    lines = map(json.loads, (home / "audit" / "audit.jsonl").read_text().splitlines())
    return [line["fields"] for line in lines if line["event"] == event]


def home_of(net: Devnet, index: int = VICTIM) -> Path:
    return Path(net.net.nodes[index].home)


def owner_of(net: Devnet) -> str:
    return Key.open(net.net.accounts[0].key_file).address


def client_of(net: Devnet, indexes: tuple[int, ...] = (0, 1, 2)) -> Client:
    key = Key.open(net.net.accounts[0].key_file)
    nodes = [net.net.nodes[index].http for index in indexes]
    return Client(nodes, genesis=Path(net.net.genesis), key=key)


def test_a_validator_comes_back_from_a_backup_and_never_signs(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(nodes=4, accounts=2)
    home, place, older = home_of(net), tmp_path / "backups", tmp_path / "older"
    with Load(net, "before") as load:
        load.wait_for_more(200)
        first = answer("create", "--home", home, "--to", place)
        shutil.copytree(place, older)
        load.wait_for_more(200)
        second = answer("create", "--home", home, "--to", place)
    assert first["height"] < second["height"]
    assert 0 < second["new_bytes"] < second["bytes"], "what is there already isn't uploaded again"
    assert not (home / "checkpoint").exists()
    made = [one for one in audited(home, "backup") if one["act"] == "create"]
    assert [one["id"] for one in made] == [first["id"], second["id"]]
    rows = answer("list", "--home", home, "--from", place)
    assert [(row["id"], row["height"], row["state"]) for row in rows] == [
        (one["id"], one["height"], "good") for one in (first, second)
    ]
    assert answer("verify", "--home", home, "--from", place)["damaged"] == []
    assert_older_state_is_told(net, place, older, int(second["height"]))

    # The machine is lost. Only the backup key is safe, because it is stored elsewhere.
    key = tmp_path / "backup.key"
    shutil.copy(home / "backup.key", key)
    refused = run("restore", "--from", place, "--key", key, "--home", home, *passphrase(net))
    assert_one_sentence(refused, 1, "never overwritten", "[home-exists]")
    assert net.terminate(VICTIM) == 0
    lost = tmp_path / "lost"
    home.rename(lost)
    restored = answer("restore", "--from", place, "--key", key, "--home", home, *passphrase(net))
    assert (restored["height"], restored["state"], restored["key_retired"]) == (second["height"], "state-root", True)
    assert restored["home_format"] == homeformat.FORMAT
    assert [one["id"] for one in audited(home, "restored")] == [second["id"]]
    assert not any((home / "safety").glob("segment-*")), "no journal is in a backup"
    net.restart(VICTIM)
    [status] = statuses(net, [VICTIM])
    assert "restored from the backup" in status.retired
    with client_of(net) as client:
        client.put(b"after", b"1")
        wait_for("all are level", lambda: level(net))
        # Three of four are a quorum, and the restored node doesn't vote. With another node down, the chain stops.
        assert client.get(owner_of(net), b"after") == b"1"
    assert all(one.evidence == () for one in statuses(net)), "it has contradicted nothing"
    signs = (home / "log" / "node.jsonl").read_text().count('"may_sign"')
    assert signs == 0
    # The node makes backups as before, with the key that was put back.
    shutil.copy(key, home / "backup.key")
    third = answer("create", "--home", home, "--to", place, "--keep", 2)
    assert third["removed"] == [first["id"]]
    assert answer("verify", "--home", home, "--from", place)["unneeded"] == 0
    assert_no_panic(net)


def assert_older_state_is_told(net: Devnet, place: Path, older: Path, height: int) -> None:
    """An attacker who may write to the destination puts it back to an older state, and then removes everything."""
    home, newest = home_of(net), place.with_name("newest")
    place.rename(newest)
    older.rename(place)
    for command in ("list", "verify"):
        told = run(command, "--home", home, "--from", place)
        assert_one_sentence(told, 4, f"no backup that reaches height {height}", "[backups-rolled-back]")
    fresh = ("--from", place, "--key", home / "backup.key", "--home", home.with_name("fresh"), *passphrase(net))
    told = run("restore", "--at-least", height, *fresh)
    assert_one_sentence(told, 4, f"no good backup that reaches height {height}", "[backups-rolled-back]")
    assert not home.with_name("fresh").exists()
    shutil.rmtree(place)
    told = run("list", "--home", home, "--from", place)
    assert_one_sentence(told, 4, "put it back to an older state, or removed backups", "[backups-rolled-back]")
    newest.rename(place)
    assert answer("list", "--home", home, "--from", place, "--at-least", height)[-1]["height"] == height


def passphrase(net: Devnet) -> tuple[str, str]:
    return "--passphrase-file", str(net.root / "passphrase")


def test_a_home_is_restored_as_of_an_older_height(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory(nodes=4, accounts=1)
    home, place = home_of(net), tmp_path / "backups"
    owner = owner_of(net)
    with client_of(net) as client:
        heights = []
        for number in range(12):
            receipt = client.put(b"counted", b"%d" % number).receipt
            client.put(b"key-%d" % number, b"x")
            assert receipt is not None
            heights.append(receipt.height)
        assert client.get(owner, b"counted") == b"11"
        wait_for("all are level", lambda: level(net))
    assert net.terminate(VICTIM) == 0
    made = answer("create", "--home", home, "--to", place, *passphrase(net))
    assert made["height"] >= heights[-1], "what is certified on an idle chain is all of it"
    key, whole = home / "backup.key", tmp_path / "lost"
    moved = tmp_path / "backup.key"
    shutil.copy(key, moved)
    target = ("--home", tmp_path / "x", *passphrase(net))
    missing = run("restore", "--from", place, "--key", moved, "--height", made["height"] + 1, *target)
    assert_one_sentence(missing, 3, "no backup", str(made["height"]), "[not-found]")
    home.rename(whole)
    older = heights[5]
    assert made["from_height"] <= older
    restored = answer("restore", "--from", place, "--key", moved, "--home", home, "--height", older, *passphrase(net))
    assert restored["height"] == older
    # Alone the node shows the past; with its peers it goes on from there.
    for index in range(3):
        assert net.terminate(index) == 0
    net.spawn(VICTIM)
    wait_for("it shows that height", lambda: statuses(net, [VICTIM])[0].executed == older)
    with Client(net.net.nodes[VICTIM].http) as client:
        assert client.read(owner, b"counted").value == b"5"
        assert client.read(owner, b"key-6").value is None
    for index in range(3):
        net.spawn(index)
    net.wait_ready()
    wait_for("all are level", lambda: level(net))
    with Client(net.net.nodes[VICTIM].http, genesis=Path(net.net.genesis)) as client:
        counted = Subject(owner, key=b"counted")
        found = client.proven([counted], at="current").items[counted]
        assert isinstance(found, Value)
        assert found.value == b"11", "proven by the restored node"
    assert_no_panic(net)


def test_a_kill_during_upload_or_restore_leaves_no_seemingly_complete_result(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    net = devnet_factory(nodes=1, accounts=2)
    home = home_of(net, 0)
    with Load(net, "some") as load:
        load.wait_for_more(300)
    # Enough data for a kill in the middle.
    with open(home / "config.toml", "a") as file:
        file.write(f"# {random.Random(7).randbytes(20 << 20).hex()}\n")
    whole = tmp_path / "whole"
    made = answer("create", "--home", home, "--to", whole)
    for calls in (3, 2 * pieces(whole)):  # each piece takes more than four
        place = tmp_path / f"cut-{calls}"
        killed(place, "/pieces/", calls, "create", "--home", home, "--to", place)
        assert not (place / "manifests").exists(), "it was cut before its end"
        assert_one_sentence(run("list", "--home", home, "--from", place), 3, "holds no backup")
        there = pieces(place)
        again = answer("create", "--home", home, "--to", place)
        assert again["new_pieces"] <= pieces(place) - there + 4, "what was uploaded is used"
        assert answer("verify", "--home", home, "--from", place)["damaged"] == []
    target, key = tmp_path / "restored", home / "backup.key"
    restore = ("restore", "--from", whole, "--key", key, "--home", target, *passphrase(net))
    staged = tmp_path / "restored.restoring"
    killed(staged, "/db/", 3, *restore)
    assert (staged / "db").is_dir()
    assert not target.exists()
    assert answer(*restore)["id"] == made["id"]
    assert not staged.exists()
    assert (target / "safety" / "retired").exists()


def pieces(place: Path) -> int:
    return sum(1 for path in (place / "pieces").rglob("*") if path.is_file()) if place.exists() else 0


def killed(folder: Path, path: str, calls: int, *arguments: object) -> None:
    """Kills a command (SIGKILL) before its n-th write, sync or rename in a folder."""
    environment = {
        **os.environ,
        **disk_layer.environment(folder, rules=[disk_layer.rule("cut", path=path, from_=calls)]),
    }
    ended = subprocess.run(command(*arguments), env=environment, capture_output=True, timeout=COMMAND_S, check=False)
    assert ended.returncode == -signal.SIGKILL, ended
