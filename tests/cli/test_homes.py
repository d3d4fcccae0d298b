"""Homes and keys are made once, sealed and never overwritten, and every fault is one sentence with the next step."""

import errno
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.genesis import read_genesis
from rustorium.errors import HomeError
from rustorium.home import paths, setup
from rustorium.home.paths import Home


def make_home(cli: Cli, tmp_path: Path, passphrase: Path) -> tuple[Path, dict[str, str]]:
    home = tmp_path / "home"
    ended = cli("init", "--home", home, "--name", "node-0", "--passphrase-file", passphrase, "-o", "json")
    assert ended.code == 0, ended.err
    return home, json.loads(ended.out)


def write_genesis(path: Path, made: dict[str, str], validators: int = 1) -> None:
    validator = {name: made[name] for name in ("validator_key", "node_key", "owner_key")}
    genesis = {
        "name": "alone",
        "time_ms": 1,
        "validators": [validator | {"name": "node-0", "region": 0}] * validators,
        "accounts": [],
    }
    path.write_text(json.dumps(genesis))


@pytest.fixture
def home(cli: Cli, tmp_path: Path, passphrase: Path) -> Path:
    home, made = make_home(cli, tmp_path, passphrase)
    write_genesis(home / "genesis.json", made)
    free = {"http": 0, "client": 0, "metrics": 0, "p2p": 0}
    text = "\n".join(f'[{section}]\nlisten = "127.0.0.1:{port}"' for section, port in free.items())
    (home / "config.toml").write_text(text + "\n")
    return home


def test_init_makes_a_sealed_private_home(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    home, made = make_home(cli, tmp_path, passphrase)
    assert home.stat().st_mode & 0o777 == 0o700
    assert {path.name for path in home.iterdir()} >= {
        "config.toml",
        "node.key",
        "validator.key",
        "storage.key",
        "safety",
        "db",
        "run",
    }
    for name in ("node.key", "validator.key", "storage.key", "config.toml"):
        assert (home / name).stat().st_mode & 0o777 == 0o600
    owner = Path(made["owner_key_file"])
    assert owner.is_file()
    assert home not in owner.parents
    assert len({made["node_key"], made["validator_key"], made["owner_key"]}) == 3
    assert Home(home).load_config({}).config.node.name == "node-0"


def test_init_refuses_to_overwrite(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    home, _ = make_home(cli, tmp_path, passphrase)
    before = (home / "validator.key").read_bytes()
    cli("init", "--home", home, "--passphrase-file", passphrase).fails(1, "already initialised", "another --home")
    assert (home / "validator.key").read_bytes() == before


def test_init_needs_a_passphrase_and_a_terminal(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open(os.devnull) as nothing:
        monkeypatch.setattr("sys.stdin", nothing)
        cli("init", "--home", tmp_path / "home").fails(1, "no terminal to ask on", "--passphrase-file")
    assert not (tmp_path / "home" / "node.key").exists()


def test_start_without_a_home(cli: Cli, tmp_path: Path) -> None:
    cli("start", "--home", tmp_path / "none").fails(3, "there is no", "rustorium-node init")


def test_start_without_a_genesis(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    home, _ = make_home(cli, tmp_path, passphrase)
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(3, "genesis.json")


def test_start_with_a_key_that_is_missing(cli: Cli, home: Path, passphrase: Path) -> None:
    (home / "validator.key").unlink()
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(3, "there is no key file", "validator.key")


def test_start_with_the_wrong_passphrase(cli: Cli, home: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.touch(0o600)
    wrong.write_text("battery staple")
    cli("start", "--home", home, "--passphrase-file", wrong).fails(1, "passphrase", "wrong")


def test_start_with_the_keys_swapped(cli: Cli, home: Path, passphrase: Path) -> None:
    (home / "validator.key").write_bytes((home / "node.key").read_bytes())
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(1, "validator.key", "(node, not validator)")


def test_start_with_another_chains_genesis(cli: Cli, home: Path, tmp_path: Path, passphrase: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    _, made = make_home(cli, other, passphrase)
    write_genesis(home / "genesis.json", made)
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(2, "has no address of")


def test_start_with_an_unreadable_genesis(cli: Cli, home: Path, passphrase: Path) -> None:
    (home / "genesis.json").write_text("{")
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(1, "genesis.json is not a genesis")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("[storage]\ncache_byte = 1", ["cache_byte", "did you mean `cache_bytes`?"]),
        ("[p2p.peers]\nnode-9 = '127.0.0.1:1'", ['p2p.peers."node-9"', "no validator"]),
        ("[http]\nlisten = 'no.such.host.invalid:1'", ["no.such.host.invalid"]),
        ("[shaper]\nmatrix = 'm.json'", ["shaper.regions has 0 entries for 1 validators"]),
    ],
)
def test_start_with_a_wrong_config(cli: Cli, home: Path, passphrase: Path, text: str, parts: list[str]) -> None:
    (home / "config.toml").write_text(text)
    cli("start", "--home", home, "--passphrase-file", passphrase).fails(2, *parts)


@pytest.mark.parametrize(("section", "kind"), [("http", socket.SOCK_STREAM), ("p2p", socket.SOCK_DGRAM)])
def test_start_on_a_port_in_use(home: Path, passphrase: Path, section: str, kind: socket.SocketKind) -> None:
    with socket.socket(socket.AF_INET, kind) as taken:
        taken.bind(("127.0.0.1", 0))
        if kind == socket.SOCK_STREAM:
            taken.listen()
        port = taken.getsockname()[1]
        command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(home)]
        command += ["--passphrase-file", str(passphrase), f"--{section}-listen", f"127.0.0.1:{port}"]
        ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    last = ended.stderr.strip().splitlines()[-1]
    assert ended.returncode == 1
    assert last.startswith("error: ")
    assert str(port) in last
    assert "in use" in last
    assert "Traceback" not in ended.stderr


def test_config_show_names_origins(cli: Cli, home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RUSTORIUM_LOG__LEVEL", "debug")
    ended = cli("config", "show", "--home", home, "--origin", "-o", "json")
    rows = {row["key"]: row for row in json.loads(ended.out)}
    assert rows["log.level"] == {"key": "log.level", "value": "debug", "origin": "environment RUSTORIUM_LOG__LEVEL"}
    assert rows["storage.durability"]["origin"] == "default"
    assert rows["http.listen"]["origin"].endswith("config.toml")


def test_status_of_a_home_that_does_not_run(cli: Cli, home: Path) -> None:
    ended = cli("status", "check", "--home", home)
    assert (ended.code, "it doesn't run" in ended.out, "rustorium-node start" in ended.out) == (5, True, True)


def test_keys_new_and_show(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    file = tmp_path / "one.key"
    new = cli("keys", "new", file, "--region", 2, "--passphrase-file", passphrase, "-o", "json")
    shown = cli("keys", "show", file, "-o", "json")
    assert (new.code, shown.code) == (0, 0)
    made, found = json.loads(new.out), json.loads(shown.out)
    assert found["address"] == made["address"]
    assert (found["region"], found["kind"]) == (2, "account")
    cli("keys", "new", file, "--passphrase-file", passphrase).fails(2, "never overwritten", "[file-exists]")
    cli("keys", "show", tmp_path / "two.key").fails(3, "there is no key file")


def test_testnet_gen_makes_homes_that_know_each_other(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "net"
    hosts = ("10.0.0.1", "b.example", "10.0.0.3:7", "10.0.0.4")
    ended = cli("testnet", "gen", *hosts, "--out", out, "--operators", 3, "--devnet-pool", "-o", "jsonl")
    assert ended.code == 0, ended.err
    rows = [json.loads(line) for line in ended.out.splitlines()]
    assert [row["host"] for row in rows] == ["10.0.0.1", "b.example", "10.0.0.3:7", "10.0.0.4"]
    config = Home(Path(rows[0]["home"])).load_config({}).config
    assert config.p2p.peers == {"node-1": "b.example:26650", "node-2": "10.0.0.3:7", "node-3": "10.0.0.4:26650"}
    genesis = {(Path(row["home"]) / "genesis.json").read_text() for row in rows}
    assert len(genesis) == 1
    made = json.loads(genesis.pop())
    assert len(made["validators"]) == 4
    # The pool's key is pinned by its hash, which is printed for people to compare.
    [pool] = made["pools"]
    assert pool["key_hash"] == _native.value_hash(bytes.fromhex(pool["key_hex"])).hex()
    assert f"BLAKE3 hash {pool['key_hash']}" in ended.err
    pool["key_hash"] = "0" * 64
    (out / "changed.json").write_text(json.dumps(made))
    with pytest.raises(HomeError, match="one of the two was changed"):
        read_genesis(out / "changed.json")
    assert "WARNING" in ended.err
    assert "anyone" in ended.err
    # A gateway must know its names; it always accepts its address.
    hosts_of = [Home(Path(row["home"])).load_config({}).config.gateway.hosts for row in rows]
    assert hosts_of == [[], ["b.example"], [], []]
    ended = cli("testnet", "gen", "10.0.0.1", "--out", out, "--operators", 3)
    assert ended.code == 2
    assert "Traceback" not in ended.err


def test_no_node_answers(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    file = tmp_path / "one.key"
    assert cli("keys", "new", file, "--passphrase-file", passphrase).code == 0
    nowhere = ("--node", "http://127.0.0.1:1", "--timeout-s", "0.3")
    put = ("tx", "put", "name", "value", "--key", file, "--passphrase-file", passphrase)
    cli(*put, *nowhere).fails(5, "http://127.0.0.1:1", "check that the nodes run")
    ended = cli("status", "check", "--node", "http://127.0.0.1:1", "-o", "json")
    assert ended.code == 5
    assert json.loads(ended.out)[0]["ready"] is False
    cli(*put).fails(2, "no net is named")
    cli(*put, "--net", tmp_path / "devnet.json").fails(2, "can't be read")
    cli("tx", "transfer", "rs1x", "zero", "--key", file, *nowhere).fails(2, "not an amount")
    cli(*put, "--wait", "forever", *nowhere).fails(2, "there is no --wait forever")
    cli("tx", "status", "xyz", *nowhere).fails(2, "64 hex digits")


def test_misspelt_region_names_get_the_nearest_one(cli: Cli) -> None:
    ended = cli("devnet", "--regions", "us-east-1,eu-wset-1")
    assert ended.code == 2
    assert "eu-wset-1 (did you mean `eu-west-1`?)" in ended.err


def init_follower(cli: Cli, home: Path, passphrase: Path, *more: str, code: int = 0) -> str:
    shared = ("--role", "follower", "--passphrase-file", passphrase, "-o", "json")
    ended = cli("init", "--home", home, *more, *shared)
    assert ended.code == code, ended.err
    return ended.err


def test_a_followers_home_has_no_validator_key_and_cannot_start_as_a_validator(
    cli: Cli, tmp_path: Path, passphrase: Path
) -> None:
    _, made = make_home(cli, tmp_path, passphrase)
    genesis, home = tmp_path / "genesis.json", tmp_path / "watcher"
    write_genesis(genesis, made)
    init_follower(cli, home, passphrase, "--genesis", str(genesis), "--peer", "node-0=127.0.0.1:9")
    assert not (home / "validator.key").exists()
    assert not (tmp_path / "watcher.owner.key").exists()
    shown = cli("config", "show", "--home", home, "-o", "json")
    assert '"follower"' in shown.out
    ended = cli("start", "--home", home, "--role", "validator", "--passphrase-file", passphrase)
    assert (ended.code, "--role follower" in ended.err) == (3, True), ended.err


def test_a_followers_error_names_what_its_peers_lack(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    _, made = make_home(cli, tmp_path, passphrase)
    genesis, home = tmp_path / "genesis.json", tmp_path / "watcher"
    write_genesis(genesis, made)
    for peer, part in (("node-0", "NAME=HOST:PORT"), ("node-0=x", "NAME=HOST:PORT"), ("other=h:1", "no validator")):
        said = init_follower(cli, home, passphrase, "--genesis", str(genesis), "--peer", peer, code=2)
        assert part in said
        assert not home.exists()
    assert "--owner-key" in init_follower(cli, home, passphrase, "--owner-key", str(tmp_path / "o"), code=2)
    init_follower(cli, home, passphrase, "--genesis", str(genesis))
    ended = cli("start", "--home", home, "--passphrase-file", passphrase)
    assert (ended.code, "p2p.peers has no address" in ended.err) == (2, True), ended.err


def test_what_another_process_made_meanwhile_stays(
    cli: Cli, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It was not there when `init` began, and `init` can wait long for a passphrase."""
    home, owner = tmp_path / "home", tmp_path / "home.owner.key"

    def passphrase_while(made: Path) -> Callable[..., bytes]:
        def ask(*_: object) -> bytes:
            made.parent.mkdir(exist_ok=True)
            made.write_text("another's")
            return b"a long passphrase"

        return ask

    init = ("init", "--home", home, "--passphrase-file", passphrase)
    monkeypatch.setattr(setup, "new_passphrase", passphrase_while(owner))
    assert "is never overwritten" in cli(*init).err
    assert (owner.read_text(), home.exists()) == ("another's", False)
    owner.unlink()
    monkeypatch.setattr(setup, "new_passphrase", passphrase_while(home / "node.key"))
    assert "home-exists" in cli(*init, "-o", "json").err
    assert (home / "node.key").read_text() == "another's"
    (home / "node.key").unlink()
    make = paths.make_folder
    monkeypatch.setattr(setup, "new_passphrase", lambda *_: b"a long passphrase")
    monkeypatch.setattr(paths, "make_folder", lambda path: (make(path), make(path / "safety")))
    assert "home-exists" in cli(*init, "-o", "json").err
    assert (home / "safety").exists()


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.parametrize("step", ["make_folder", "write_private"])
def test_a_disk_that_is_full_leaves_nothing_of_a_home(
    cli: Cli, tmp_path: Path, passphrase: Path, monkeypatch: pytest.MonkeyPatch, step: str, there: bool
) -> None:
    home, owner = tmp_path / "home", tmp_path / "home.owner.key"
    if there:
        home.mkdir(mode=0o700)
    written = []

    def full(file: Path, *content: str) -> None:
        # The owner's folder comes after the keys of the node and the validator, and the party's file is the last one.
        written.append(file)
        if len(written) == (3 if step == "make_folder" else 1):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))

    init = ("init", "--home", home, "--passphrase-file", passphrase)
    with monkeypatch.context() as patch:
        patch.setattr(setup, step, full)
        failed = cli(*init)
    assert failed.code == 1, failed.err
    assert "No space left on device" in failed.err
    assert len(written) == (3 if step == "make_folder" else 1)
    assert (home.exists(), owner.exists()) == (there, False)
    assert not there or list(home.iterdir()) == []
    assert cli(*init).code == 0
