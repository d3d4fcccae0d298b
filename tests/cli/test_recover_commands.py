"""`recover manual`: a look changes nothing, each step needs the operator's consent, and the journal stays as it is."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.passphrases import find_passphrase
from rustorium.health.plan import Step, Trouble, manual_step
from rustorium.home.paths import Home
from rustorium.node.recovery.manual import Operator, carry_out
from rustorium.node.recovery.quarantine import free_space, move_aside, quarantined, remove
from rustorium.node.recovery.state import supervisor_state


@pytest.fixture
def home(cli: Cli, tmp_path: Path, passphrase: Path) -> Home:
    """A validator's home with stand-ins for a store and a journal, and a peer."""
    path = tmp_path / "home"
    assert cli("init", "--home", path, "--peer", "node-1=127.0.0.1:1", "--passphrase-file", passphrase).code == 0
    home = Home(path)
    (home.db / "000001.log").write_bytes(b"rows")
    (home.safety / "segment-00000001.log").write_bytes(b"votes")
    return home


def ended_with(home: Home, code: str) -> None:
    home.ended.write_text(json.dumps({"code": code, "evidence": "it said so", "at_ms": 1}))


def picture(home: Home) -> dict[str, bytes]:
    return {str(path.relative_to(home.path)): path.read_bytes() for path in home.path.rglob("*") if path.is_file()}


def recovered(home: Home) -> list[dict[str, str]]:
    lines = (home.path / "audit" / "audit.jsonl").read_text().splitlines()
    return [line["fields"] for line in map(json.loads, lines) if line["event"] == "recover"]


def test_a_home_with_nothing_wrong_has_no_steps(cli: Cli, home: Home) -> None:
    before = picture(home)
    ended = cli("recover", "manual", "--home", home.path, "--dry-run", "-o", "json")
    assert (ended.code, json.loads(ended.out)) == (0, [])
    assert "shows no problem, but its node isn't running: start the node again, by" in ended.err
    assert picture(home) == before


@pytest.mark.parametrize("command", ["manual", "auto"])
def test_a_dry_run_shows_the_plan_and_changes_nothing(cli: Cli, home: Home, command: str) -> None:
    ended_with(home, "store-corrupt")
    before = picture(home)
    ended = cli("recover", command, "--home", home.path, "--dry-run", "-o", "json")
    [step] = json.loads(ended.out)
    assert (ended.code, step["trouble"], step["evidence"], step["act"]) == (0, "store-corrupt", "it said so", "refill")
    assert "journal and the keys stay" in step["what"]
    assert "--undo" in step["undo"]
    assert picture(home) == before


def test_the_store_goes_aside_and_comes_back(cli: Cli, home: Home, passphrase: Path) -> None:
    ended_with(home, "store-corrupt")
    votes = home.safety / "segment-00000001.log"
    secret = ("--passphrase-file", passphrase)
    ended = cli("recover", "manual", "--home", home.path, "--yes", *secret)
    assert ended.code == 0, ended.err
    assert "start the node again" in ended.err
    assert not home.db.exists()
    [aside] = quarantined(home)
    assert ((aside.path / "db" / "000001.log").read_bytes(), aside.code) == (b"rows", "store-corrupt")
    # The peers have filled another store meanwhile, which isn't better.
    home.db.mkdir()
    (home.db / "000001.log").write_bytes(b"others")
    shown = cli("recover", "manual", "--home", home.path, "--undo", "--dry-run", "-o", "json")
    assert [one["name"] for one in json.loads(shown.out)] == [aside.path.name]
    undone = cli("recover", "manual", "--home", home.path, "--undo", "--yes", "-o", "json", *secret)
    assert undone.code == 0, undone.err
    assert json.loads(undone.out)["put_back"] == aside.path.name
    assert (home.db / "000001.log").read_bytes() == b"rows"
    assert [one.code for one in quarantined(home)] == ["undone"]
    assert votes.read_bytes() == b"votes"
    assert [(one["by"], one["act"]) for one in recovered(home)] == [("operator", "refill"), ("operator", "undo")]
    nothing = cli("recover", "manual", "--home", home.path, "--undo", "--name", "another", "--yes", *secret)
    nothing.fails(3, "holds no store another")


def test_without_a_terminal_no_question_is_asked(cli: Cli, home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    ended_with(home, "store-corrupt")
    cli("recover", "manual", "--home", home.path).fails(2, "give --yes")
    cli("recover", "manual", "--home", home.path, "--name", "x", "--yes").fails(2, "--undo")
    assert home.db.exists()


@pytest.mark.parametrize(
    "code",
    [
        "journal-retired",
        "journal-corrupt",
        "wrong-storage-key",
        "config-invalid",
        "home-newer",
        "format-unknown",
        "protocol-newer",
    ],
)
def test_decisions_for_a_person_are_listed(cli: Cli, home: Home, passphrase: Path, code: str) -> None:
    ended_with(home, code)
    before = picture(home)
    ended = cli("recover", "manual", "--home", home.path, "--yes", "--passphrase-file", passphrase)
    assert ended.code == 0
    assert f"{code}: it said so; nothing is done automatically: a person must decide" in ended.err
    assert picture(home) == before


def test_each_missing_file_has_its_own_finding(cli: Cli, home: Home) -> None:
    def codes() -> list[str]:
        shown = cli("recover", "manual", "--home", home.path, "--dry-run", "-o", "json")
        return [f"{one['trouble']} {one['act']}" for one in json.loads(shown.out)]

    (home.db / "000001.log").unlink()
    assert codes() == ["store-missing restart"]
    (home.db / "000001.log").touch()
    (home.safety / "segment-00000001.log").unlink()
    assert codes() == ["journal-retired ask"]
    (home.safety / "segment-00000001.log").touch()
    (home.safety / "retired").touch()
    assert codes() == ["key-retired ask"]


def test_a_store_is_never_moved_without_peers_that_could_fill_another(cli: Cli, home: Home) -> None:
    home.config.write_text("")
    ended_with(home, "store-corrupt")
    [step] = json.loads(cli("recover", "manual", "--home", home.path, "--dry-run", "-o", "json").out)
    assert (step["act"], "no peers" in step["what"]) == ("ask", True)


def test_the_genesis_names_peers_that_fill_a_store(cli: Cli, tmp_path: Path, passphrase: Path) -> None:
    secret, named = ("--passphrase-file", passphrase, "-o", "json"), list[str | Path]()
    for number in range(4):
        name, place = f"node-{number}", tmp_path / f"node-{number}.json"
        address = f"10.0.0.{number + 1}:26650"
        place.write_text(cli("init", "--home", tmp_path / name, "--name", name, "--address", address, *secret).out)
        named += ["--validator", place]
    operator = tmp_path / "operator.json"
    operator.write_text(cli("keys", "new", tmp_path / "operator.key", *secret).out)
    home = Home(tmp_path / "node-0")
    made = cli("genesis", "new", *named, "--operator", operator, "--single-operator", "--out", home.genesis)
    assert made.code == 0, made.err
    ended_with(home, "store-corrupt")

    def act() -> str:
        [step] = json.loads(cli("recover", "manual", "--home", home.path, "--dry-run", "-o", "json").out)
        return str(step["act"])

    assert (home.load_config().config.p2p.peers, act()) == ({}, "refill")
    content = json.loads(home.genesis.read_text())
    for validator in content["validators"][1:]:
        validator["address"] = ""
    home.genesis.write_text(json.dumps(content))
    assert act() == "ask", "its own address is no peer's"


def test_a_home_that_is_gone_can_be_restored(cli: Cli, tmp_path: Path) -> None:
    for command in (("start",), ("recover", "manual", "--dry-run")):
        cli(*command, "--home", tmp_path / "gone").fails(3, "backup restore")
    assert "backup restore" in cli("doctor", "--home", tmp_path / "gone").out


def test_freeing_space_never_removes_evidence(home: Home, passphrase: Path) -> None:
    for code in ("diverged", "store-corrupt"):
        home.db.mkdir(exist_ok=True)
        assert move_aside(home, code, "why") is not None
    logs = [home.input_log / f"{number:08}.inputs" for number in range(3)]
    home.input_log.mkdir(parents=True)
    for log in logs:
        log.touch()
    gone = free_space(home, running=True)
    assert [path.name.rpartition("Z")[2] or path.name for path in gone][1:] == ["00000000.inputs", "00000001.inputs"]
    assert gone[0].name.endswith("-store-corrupt")
    assert [one.code for one in quarantined(home)] == ["diverged"]
    assert free_space(home) == logs[2:]
    assert remove(home) == []
    # The same step by hand is audited too.
    step: Step = manual_step(Trouble("disk-low", "little"), alone=False)
    assert "nothing to remove" in carry_out(Operator(home, passphrase, {}), step, running=False)
    assert [one["act"] for one in recovered(home)] == ["free"]


def test_history_is_pruned_by_hand_only_if_nothing_else_makes_room(cli: Cli, home: Home, passphrase: Path) -> None:
    secret = ("--passphrase-file", passphrase)
    with open(home.config, "a") as file:
        file.write("\n[recovery]\nkeep_when_low = 1000\ndisk_free_bytes_min = 1000000000000000000\n")
    home.input_log.mkdir(parents=True)
    (home.input_log / "00000001.inputs").touch()

    def step() -> dict[str, str]:
        [one] = json.loads(cli("recover", "auto", "--home", home.path, "--dry-run", "-o", "json").out)
        return dict(one)

    assert step()["act"] == "free"
    assert cli("recover", "manual", "--home", home.path, "--yes", *secret).code == 0
    shown = step()
    assert (shown["act"], shown["undo"]) == ("prune", "")
    assert "nothing brings them back" in shown["what"]
    assert not home.prune.exists()
    done = cli("recover", "manual", "--home", home.path, "--yes", *secret)
    assert "start the node again" in done.err
    assert home.prune.exists()
    assert [(one["act"], one["code"]) for one in recovered(home)] == [("free", "disk-low"), ("prune", "disk-low")]


def test_auto_ends_with_the_reason_where_a_person_must_decide(home: Home, passphrase: Path) -> None:
    command = [sys.executable, "-m", "rustorium.cli", "recover", "auto", "--home", str(home.path)]
    ended = subprocess.run(
        [*command, "--passphrase-file", str(passphrase)], capture_output=True, text=True, timeout=120, check=False
    )
    assert ended.returncode == 1
    assert "Traceback" not in ended.stderr
    last = ended.stderr.splitlines()[-1]
    assert last.startswith(f"error: {home.genesis} is missing: put the genesis of this node's chain there")
    assert last.endswith("[home-missing]")
    assert [(one["act"], one["code"]) for one in recovered(home)] == [("ask", "home-missing")]
    assert supervisor_state(home) is not None, "`status check` says so"


def test_the_audit_log_of_a_stopped_node_is_signed_with_its_key(home: Home, passphrase: Path) -> None:
    seed = _native.open_key(str(home.node_key), "node", find_passphrase(home.node_key, passphrase, {}))
    folder = str(home.path / "audit")
    _native.audit_record(folder, seed, "recover", '{"a": 1}')
    with pytest.raises(_native.NativeError, match="not valid JSON"):
        _native.audit_record(folder, seed, "recover", "{")
    with pytest.raises(_native.NativeError, match="not by this node's key"):
        _native.audit_record(folder, bytes(32), "recover", "{}")
    assert recovered(home) == [{"a": 1}]
