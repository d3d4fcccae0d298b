"""Clients' data can't be read in a home: not in the database, the journal, the logs or the configuration."""

import base64
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from test_state_sync import VICTIM, eager, events, executed, snapshots, wipe

from process_tools import Load, assert_one_sentence, assert_same_roots, counter, level, start_home, wait_for
from rustorium.client import Client, Key
from rustorium.client.operations import delete, grant, issue, put, require_value
from rustorium.errors import NotReady, TransactionFailed
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes

WORD = b"Zinnober"
WRITES = 100


def forms(secret: bytes) -> dict[str, bytes]:
    """Returns the forms in which a known string could be in a file: raw, in hex digits, and in base64 at each of the
    three offsets."""
    found = {"raw": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for offset in range(3):
        # The characters at both ends depend on the neighbouring bytes.
        text = base64.b64encode(b"\0" * offset + secret)[offset and 4 : -4]
        found |= {f"base64 at {offset}": text, f"base64url at {offset}": text.translate(bytes.maketrans(b"+/", b"-_"))}
    return found


def occurrences(root: Path, secrets: dict[str, bytes]) -> list[str]:
    """Returns the places of these strings below a folder, in any form."""
    found = []
    files = [path for path in root.rglob("*") if path.is_file() and not path.is_symlink()]
    assert len(files) > 10
    for path in files:
        content = path.read_bytes()
        for name, secret in secrets.items():
            found += [f"{name} ({form}) in {path}" for form, text in forms(secret).items() if text in content]
    return found


def test_the_search_finds_what_is_there(tmp_path: Path) -> None:
    secret = WORD + b"-searched"
    for number in range(11):
        (tmp_path / f"other-{number}").write_bytes(b"nothing")
    for form, content in (
        ("raw", b"xx" + secret),
        ("hex", secret.hex().encode()),
        ("base64", base64.b64encode(b"a" + secret + b"bc")),
        ("base64", base64.urlsafe_b64encode(b"ab" + secret + b"\xff")),
    ):
        (tmp_path / "searched").write_bytes(content)
        [where, *_] = occurrences(tmp_path, {"it": secret})
        assert form in where


SECRETS = {
    "value": WORD + b" value 7f3a",
    "name": WORD + b"/name/51c9",
    "old value": WORD + b" older 9e1d",
    "removed value": WORD + b" gone 20b7",
    "granted prefix": WORD + b"/grant/88e0",
    "symbol": WORD + b"SYM-4c2e",
}


def write_everywhere(client: Client, key: Key, other: Key) -> None:
    """Writes the strings into batches, receipts, values, names, indexes, state roots with replaced values, and
    proofs."""
    name = SECRETS["name"]
    client.send([put(key.address, name, SECRETS["old value"]), put(key.address, b"gone", SECRETS["removed value"])])
    client.send([grant(other.address, [SECRETS["granted prefix"]])])
    client.send([issue(SECRETS["symbol"].decode(), other.address, 7)])
    for number in range(WRITES):
        client.put(name + b"/%d" % number, SECRETS["value"] * 20, wait="accepted")
    assert client.get(key.address, name) == SECRETS["old value"], "proven: a root has it"
    client.send([put(key.address, name, SECRETS["value"]), delete(key.address, b"gone")])
    assert client.get(key.address, name) == SECRETS["value"], "proven: another root has changed it"
    assert client.get(key.address, b"gone") is None
    assert client.list_keys(key.address, name, limit=100, values=True).keys
    # Reads put names into requests, and refusals put them into messages: neither is logged.
    assert client.read(key.address, name + b"/absent").value is None
    with pytest.raises(TransactionFailed):
        client.send([require_value(key.address, name, SECRETS["old value"])])


def test_no_client_data_is_readable_in_a_home(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    # crates/storage/src/rocks/tests/kinds.rs has all kinds of rows, and checks that each is encrypted.
    with eager(tmp_path / "net", 4) as net:
        keys = [Key.open(account.key_file) for account in net.net.accounts]
        with Client.from_net(net.path, key=keys[0]) as client:
            write_everywhere(client, keys[0], keys[1])
            filled_anew(net)
            # All homes, and the output of the processes.
            assert occurrences(net.root, SECRETS) == [], "while it runs"
    assert occurrences(net.root, SECRETS) == [], "when it has stopped"
    for node in net.net.nodes:
        assert Path(node.home, "db", "keys").stat().st_mode & 0o777 == 0o600
    # The node reads all encrypted data again, also data from peers.
    again = devnet_factory(root=net.root)
    with Client(again.net.nodes[VICTIM].http) as client:
        assert client.read(keys[0].address, SECRETS["name"]).value == SECRETS["value"]


def filled_anew(net: Devnet) -> None:
    """Removes the store of one home; peers fill it from a snapshot."""
    last = executed(net, VICTIM)
    net.kill(VICTIM)
    wipe(net, VICTIM)
    with Load(net, "meanwhile") as load:
        load.wait_for_more(20)
        wait_for("a snapshot without the victim", lambda: min(snapshots(net, 0), default=0) > last + 1)
    net.restart(VICTIM)
    assert len(events(net, VICTIM, "state_synced")) == 1
    wait_for("all are level", lambda: level(net))


def test_a_running_nodes_memory_cannot_be_dumped_or_read(devnet: Devnet) -> None:
    for node in devnet.net.nodes:
        limits = Path(f"/proc/{node.pid}/limits").read_text()
        [core] = [line for line in limits.splitlines() if line.startswith("Max core file size")]
        assert core.split()[4:6] == ["0", "0"]
        # The files of a process that can't be dumped belong to root, which a user's own debugger isn't.
        assert Path(f"/proc/{node.pid}/mem").stat().st_uid == 0
        locked = [
            line for line in Path(f"/proc/{node.pid}/status").read_text().splitlines() if line.startswith("VmLck")
        ]
        assert int(locked[0].split()[1]) >= 8, "the keys' pages are locked"


def test_the_wrong_missing_or_damaged_key_is_one_sentence(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=2, accounts=1)
    with Client.from_net(net.path, key=Key.open(net.net.accounts[0].key_file)) as client:
        client.put(b"a", b"b")
    net.stop()
    home, other = Path(net.net.nodes[0].home), Path(net.net.nodes[1].home)
    passphrase = ("--passphrase-file", str(net.root / "passphrase"))
    right = (home / "storage.key").read_bytes()
    (home / "storage.key").write_bytes((other / "storage.key").read_bytes())
    assert_one_sentence(start_home(home, *passphrase), 1, "made with another storage.key", "put the storage.key")
    (home / "storage.key").unlink()
    assert_one_sentence(start_home(home, *passphrase), 3, "storage.key", "restore it from a backup")
    (home / "storage.key").write_bytes(right)
    (home / "storage.key").chmod(0o600)
    keys = (home / "db" / "keys").read_bytes()
    (home / "db" / "keys").unlink()
    assert_one_sentence(start_home(home, *passphrase), 1, "the key file", "is missing", "backup")
    (home / "db" / "keys").write_bytes(keys[:-1])
    assert_one_sentence(start_home(home, *passphrase), 1, "is damaged", "backup")
    (home / "db" / "keys").write_bytes(keys)
    shown = subprocess.run(
        [sys.executable, "-m", "rustorium.cli", "keys", "show", str(home / "storage.key"), "-o", "json"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"storage"' in shown.stdout
    devnet_factory(root=net.root)


def test_keys_rotate_under_load_and_over_a_kill(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory()
    key, home = Key.open(net.net.accounts[0].key_file), Path(net.net.nodes[0].home)
    with Client.from_net(net.path, key=key) as client:
        written = [b"k%d" % number for number in range(400)]
        client.send_many([[put(key.address, name, name * 30)] for name in written])
        before = (home / "db" / "keys").read_bytes()
        load = threading.Thread(
            target=client.send_many, args=([[put(key.address, b"m%d" % n, b"v")] for n in range(400)],)
        )
        load.start()
        rotate = subprocess.run(
            [sys.executable, "-m", "rustorium.cli", "keys", "rotate", "--home", str(home), "-o", "json"],
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        load.join()
        assert rotate.returncode == 0, rotate.stderr
        assert json.loads(rotate.stdout)["rows"] > 800
        assert (home / "db" / "keys").read_bytes() != before
        # Wherever a kill interrupts a rotation, the next start continues it.
        call(Home(home).admin_socket, "rotate_keys")
        net.kill(0)
        net.spawn(0)
        net.wait_ready()
        wait_for("the rotation's end", lambda: rotation(home) is False)
        wait_for("all nodes at one height", lambda: level(net))
    with Client(net.net.nodes[0].http) as client:
        for name in written[::50]:
            assert client.read(key.address, name).value == name * 30
    assert_same_roots(net)
    events = [json.loads(line)["event"] for line in (home / "audit" / "audit.jsonl").read_text().splitlines()]
    assert {"key rotation ordered", "keys rotated"} <= set(events)


def test_the_storage_key_is_replaced_under_load_and_over_a_kill(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    net = devnet_factory()
    key, home = Key.open(net.net.accounts[0].key_file), Home(Path(net.net.nodes[0].home))
    first, old = home.storage_key.read_bytes(), home.storage_key_before

    def cli(*arguments: object) -> dict[str, object]:
        command = [sys.executable, "-m", "rustorium.cli", *map(str, arguments), "-o", "json"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=90, check=False)
        assert ended.returncode == 0, ended.stderr
        return dict(json.loads(ended.stdout))

    with Client.from_net(net.path, key=key) as client:
        written = [b"k%d" % number for number in range(400)]
        client.send_many([[put(key.address, name, name * 30)] for name in written])
        load = threading.Thread(
            target=client.send_many, args=([[put(key.address, b"m%d" % n, b"v")] for n in range(400)],)
        )
        load.start()
        replaced = cli("keys", "rotate", "master", "--home", home.path)
        load.join()
        assert int(str(replaced["rows"])) > 800
        assert home.storage_key.read_bytes() != first
        # The journal releases records of the old key as the chain advances; then the key is destroyed.
        with Load(net, "moves the chain on"):
            wait_for("the old key's end", lambda: rotation(home.path) is False)
        assert not old.exists()
        # After a kill at any point in between, the next start continues: it encrypts the journal again, and finishes.
        second = home.storage_key.read_bytes()
        call(home.admin_socket, "replace_storage_key")
        wait_for("the new key", lambda: home.storage_key.read_bytes() != second)
        net.kill(0)
        assert old.exists()
        # In the middle of the rotation, offline: a backup of the home contains both keys, and `backup verify` finds no
        # damage.
        there = tmp_path / "backups"
        cli("backup", "create", "--home", home.path, "--to", there)
        assert cli("backup", "verify", "--home", home.path, "--from", there)["damaged"] == []
        # By now the home's keys have another passphrase than the backup key.
        restored, new = tmp_path / "restored", tmp_path / "new"
        new.touch(0o600)
        new.write_text("a passphrase of the operator's own")
        backup_key = ("--key", home.path / "backup.key")
        old_passphrase = net.root / "passphrase"
        cli(
            "keys",
            "rotate",
            "passphrase",
            *backup_key,
            "--passphrase-file",
            old_passphrase,
            "--new-passphrase-file",
            new,
        )
        opened = ("--passphrase-file", new, "--keys-passphrase-file", old_passphrase)
        cli("backup", "restore", "--home", restored, "--from", there, *backup_key, *opened)
        assert (restored / "storage.key.old").read_bytes() == old.read_bytes()
        # The next backup of the restored home goes to the same place, with the same key.
        cli("backup", "create", "--home", restored, "--to", there, "--passphrase-file", old_passphrase)
        cli("backup", "verify", "--home", restored, "--from", there, "--passphrase-file", old_passphrase)
        net.spawn(0)
        net.wait_ready()
        wait_for("the rotation's end", lambda: rotation(home.path) is False)
        assert not old.exists()
        wait_for("all nodes at one height", lambda: level(net))
    with Client(net.net.nodes[0].http) as client:
        for name in written[::50]:
            assert client.read(key.address, name).value == name * 30
    assert_same_roots(net)
    log = (home.path / "audit" / "audit.jsonl").read_text().splitlines()
    events = [json.loads(line)["event"] for line in log]
    assert {"storage key replacement ordered", "storage key drawn", "storage key replaced"} <= set(events)


def rotation(home: Path) -> bool | None:
    """Returns whether a rotation is running; `None` before the admin socket exists, which comes after the HTTP API."""
    try:
        return bool(call(Home(home).admin_socket, "rotation")["running"])
    except NotReady:
        return None


def test_rotating_without_a_node_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "config.toml").write_text("")
    ended = subprocess.run(
        [sys.executable, "-m", "rustorium.cli", "keys", "rotate", "--home", str(tmp_path)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert_one_sentence(ended, 5, "no node answers", "start")


def test_cache_figures_are_in_the_metrics(devnet: Devnet) -> None:
    key = Key.open(devnet.net.accounts[3].key_file)
    with Client(devnet.net.nodes[0].http, key=key) as client:
        client.put(b"cached", b"v")
        for _ in range(20):
            client.read(key.address, b"cached")
    wait_for("the figures", lambda: counter(devnet, 0, "rustorium_storage_cache_hits_total") >= 20)
    assert counter(devnet, 0, "rustorium_storage_cache_misses_total") > 0
    assert counter(devnet, 0, "rustorium_storage_cache_bytes") > 0
