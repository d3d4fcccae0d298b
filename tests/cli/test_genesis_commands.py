"""Several parties make a genesis from their public keys, and each one finds differences from the agreement."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

from rustorium.home.paths import Home

PARTIES = ("bank", "insurer", "port", "customs")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("parties")


@pytest.fixture
def parties(cli: Cli, folder: Path) -> Path:
    """Four folders, each with a home, an owner's key, an operator's account, and the output of the commands that made
    them."""
    for number, name in enumerate(PARTIES):
        place = folder / name
        if place.exists():
            continue
        place.mkdir()
        secret = place / "passphrase"
        secret.write_text(f"{name} and nobody else")
        secret.chmod(0o600)
        seal = ("--passphrase-file", secret, "-o", "json")
        address = f"10.0.0.{number + 1}:26650"
        made = cli("init", "--home", place / "home", "--name", name, "--address", address, *seal)
        # The home has the same for who didn't keep what was printed.
        kept = place / "home" / "validator.json"
        assert json.loads(kept.read_text()) == json.loads(made.out)
        assert kept.stat().st_mode & 0o777 == 0o600
        (place / "validator.json").write_text(made.out)
        (place / "operator.json").write_text(cli("keys", "new", place / "operator.key", *seal).out)
    return folder


def files(parties: Path, kind: str, names: tuple[str, ...] = PARTIES) -> list[str]:
    return [part for name in names for part in (f"--{kind}", str(parties / name / f"{kind}.json"))]


def changed(source: Path, to: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    content = json.loads(source.read_text())
    change(content)
    to.write_text(json.dumps(content))
    return to


@pytest.fixture
def genesis(cli: Cli, parties: Path) -> Path:
    out = parties / "genesis.json"
    if not out.exists():
        made = cli("genesis", "new", *files(parties, "validator"), *files(parties, "operator"), "--out", out)
        assert made.code == 0, made.err
        assert "genesis check" in made.err
    return out


def check(cli: Cli, genesis: Path, *options: object) -> tuple[int, dict[str, str]]:
    """Returns the exit code, and the results by check."""
    done = cli("genesis", "check", genesis, *options, "-o", "json")
    return done.code, {row["check"]: row["result"] for row in json.loads(done.out)}


def test_a_home_of_another_chain_is_told(cli: Cli, parties: Path, genesis: Path, tmp_path: Path) -> None:
    home, seal = tmp_path / "home", ("--passphrase-file", parties / "bank" / "passphrase")
    shutil.copytree(parties / "bank" / "home", home)
    assert "this home's chain" not in check(cli, genesis, "--home", home, *seal)[1], "it has none yet"
    shutil.copy(genesis, home / "genesis.json")
    assert check(cli, genesis, "--home", home, *seal)[1]["this home's chain"] == "ok"
    other = changed(genesis, tmp_path / "other.json", lambda content: content.update(name="another"))
    code, results = check(cli, other, "--home", home, *seal)
    assert (code, results["this home"], results["this home's chain"]) == (4, "ok", "fail")


def test_a_check_without_anything_to_compare_with_warns(cli: Cli, parties: Path, genesis: Path) -> None:
    code, results = check(cli, genesis)
    assert (code, results["chain id"]) == (0, "warn")
    assert "nothing to compare with: give --chain ID or other parties' files" in cli("genesis", "check", genesis).out
    chain = json.loads(cli("genesis", "show", genesis, "-o", "json").out)["chain"]
    assert check(cli, genesis, "--chain", chain)[1]["chain id"] == "ok"
    assert check(cli, genesis, *files(parties, "validator"))[1]["chain id"] == "ok"


def test_the_table_says_whose_each_account_is(cli: Cli, parties: Path, genesis: Path) -> None:
    shown = cli("genesis", "show", genesis).out
    for name in PARTIES:
        assert f"  owner of {name}  " in shown
        operator = json.loads((parties / name / "operator.json").read_text())["address"]
        assert f"{operator}  operator  " in shown
    assert "4 of the accounts above" in shown
    assert "[" not in shown, "the operators' keys are in the JSON"


def test_a_genesis_of_four_parties(cli: Cli, parties: Path, genesis: Path) -> None:
    shown = json.loads(cli("genesis", "show", genesis, "-o", "json").out)
    assert (shown["validators"], shown["tolerated_failures"]) == (4, 1)
    assert (shown["operators"], shown["operator_quorum"]) == (4, 3)
    assert [one["name"] for one in shown["genesis"]["validators"]] == list(PARTIES)
    for name, one in zip(PARTIES, shown["genesis"]["validators"], strict=True):
        made = json.loads((parties / name / "validator.json").read_text())
        assert {key: one[key] for key in ("validator_key", "node_key", "owner_key", "address")} == {
            key: made[key] for key in ("validator_key", "node_key", "owner_key", "address")
        }
    table = cli("genesis", "show", genesis)
    for one in shown["genesis"]["validators"]:
        assert table.out.count(one["validator_key"]) == table.out.count(one["node_key"]) == 1
    assert all(word in table.out for word in (*PARTIES, shown["chain"], "operator quorum", "epoch_ms"))


def test_every_party_confirms_the_genesis(cli: Cli, parties: Path, genesis: Path) -> None:
    chain = json.loads(cli("genesis", "show", genesis, "-o", "json").out)["chain"]
    for name in PARTIES:
        given = (*files(parties, "validator"), *files(parties, "operator"), "--chain", chain)
        code, results = check(cli, genesis, "--home", parties / name / "home", *given)
        assert code == 0
        assert set(results.values()) == {"ok"}, results


@pytest.mark.parametrize(
    ("change", "found"),
    [
        (lambda it: it["validators"][1].update(validator_key="ab" * 32), "insurer"),
        (lambda it: it["validators"][1].update(owner_key="ab" * 32), "insurer"),
        (lambda it: it["validators"][2].update(address="10.9.9.9:26650"), "port"),
        (lambda it: it["validators"].pop(), "customs"),
        (lambda it: it["parameters"].update(operators=it["parameters"]["operators"][:1]), "operators' files"),
        (lambda it: it.update(name="another"), "chain id"),
    ],
)
def test_a_changed_genesis_is_refused(
    cli: Cli, parties: Path, genesis: Path, tmp_path: Path, change: Callable[[dict[str, Any]], object], found: str
) -> None:
    chain = json.loads(cli("genesis", "show", genesis, "-o", "json").out)["chain"]

    def altered(content: dict[str, Any]) -> None:
        change(content)
        content["parameters"]["operator_quorum"] = min(3, len(content["parameters"]["operators"]))

    other = changed(genesis, tmp_path / "genesis.json", altered)
    given = (*files(parties, "validator"), *files(parties, "operator"), "--chain", chain)
    code, results = check(cli, other, *given)
    assert code == 4
    assert results[found] == "fail"


def test_a_genesis_of_several_shards_says_who_signs_for_whom(cli: Cli, parties: Path, tmp_path: Path) -> None:
    named = (*files(parties, "validator"), *files(parties, "operator"))
    shared, apart = tmp_path / "shared.json", tmp_path / "apart.json"
    made = cli("genesis", "new", *named, "--shards", 2, "--out", shared, "-o", "json")
    assert (made.code, json.loads(made.out)["shards"]) == (0, 2)
    code, results = check(cli, shared, *named)
    assert (code, results["shard 0"], results["shard 1"]) == (0, "ok", "ok")
    assert cli("genesis", "new", *named, "--shards", 2, "--committees", "--out", apart).code == 0
    code, results = check(cli, apart, *named)
    assert (code, results["shard 0"], results["shard 1"]) == (0, "warn", "warn")
    told = cli("genesis", "check", apart, *named).out
    assert "signed for by port, customs, and none of them may lie or fail" in told
    shown = cli("genesis", "show", apart).out
    assert "port, customs" in shown
    # Whoever makes the genesis could leave the others out of the shard that has their accounts.
    alone = changed(shared, tmp_path / "alone.json", lambda genesis: genesis["shards"][1].update(members=[0]))
    assert check(cli, alone, *named)[1]["shard 1"] == "warn"
    many = cli("genesis", "new", *named, "--shards", 5, "--out", tmp_path / "many.json")
    assert (many.code, "5 shards need as many accounts to divide" in many.err) == (2, True)
    few = cli("genesis", "new", *files(parties, "validator", PARTIES[:1]), *files(parties, "operator"), "--shards", 2,
              "--committees", "--out", tmp_path / "few.json")  # fmt: skip
    assert (few.code, "2 committees that are apart need as many validators" in few.err) == (2, True)


def test_a_home_outside_the_genesis_is_reported(cli: Cli, parties: Path, tmp_path: Path) -> None:
    three, out = PARTIES[:3], tmp_path / "genesis.json"
    made = ("genesis", "new", *files(parties, "validator", three), *files(parties, "operator", three), "--out", out)
    assert cli(*made).code == 0
    code, results = check(cli, out, "--home", parties / "customs" / "home")
    assert (code, results["this home"], results["committee"], results["validators"]) == (4, "fail", "warn", "warn")


def test_somebody_elses_keys_and_changed_files_are_refused(cli: Cli, parties: Path, tmp_path: Path) -> None:
    def new(*options: object) -> Any:
        return cli("genesis", "new", *options, *files(parties, "operator"), "--out", tmp_path / "genesis.json")

    bank = parties / "bank" / "validator.json"
    insurer = json.loads((parties / "insurer" / "validator.json").read_text())
    stolen = changed(bank, tmp_path / "stolen.json", lambda it: it.update(validator_key=insurer["validator_key"]))
    new("--validator", stolen).fails(4, "doesn't prove", "[not-possessed]")
    moved = changed(bank, tmp_path / "moved.json", lambda it: it.update(owner_key=insurer["owner_key"]))
    new("--validator", moved).fails(4, "doesn't prove")
    new("--validator", bank, "--validator", bank).fails(2, "same name")
    bare = changed(bank, tmp_path / "bare.json", lambda it: it.pop("possession"))
    new("--validator", bare).fails(2, "has no possession", "init -o json")
    new("--validator", parties / "bank" / "operator.json").fails(2, "has no possession")
    new().fails(2, "--validator FILE")
    nowhere = changed(bank, tmp_path / "nowhere.json", lambda it: it.update(address=""))
    new("--validator", nowhere).fails(2, "address")


def test_a_name_that_would_move_the_cursor_of_a_terminal_is_refused(cli: Cli, parties: Path, tmp_path: Path) -> None:
    source = parties / "bank" / "validator.json"
    evil = changed(source, tmp_path / "evil.json", lambda party: party.update(name="bank\x1b[2J"))
    made = cli("genesis", "new", "--validator", evil, "--out", tmp_path / "out.json")
    made.fails(2, "its name is no text")
    assert "\x1b" not in made.err


def test_a_file_that_no_command_printed_is_not_read(cli: Cli, tmp_path: Path) -> None:
    large = tmp_path / "large.json"
    large.write_bytes(b" " * 70_000)
    cli("genesis", "new", "--validator", large, "--out", tmp_path / "out.json").fails(2, "70,000 bytes", "init -o json")


def test_check_names_who_governs(cli: Cli, parties: Path, tmp_path: Path) -> None:
    out, validators = tmp_path / "genesis.json", files(parties, "validator")
    cli("genesis", "new", *validators, "--out", out).fails(2, "--operator")
    cli("genesis", "new", *validators, *files(parties, "operator"), "--operator-quorum", 1, "--out", out).fails(
        2, "1 of 4 operators"
    )
    cli("genesis", "new", *validators, "--operator", "rs1qqq", "--out", out).fails(2, "public key of rs1qqq")
    cli("genesis", "new", *validators, *files(parties, "operator"), "--set", "epoc_ms=1", "--out", out).fails(
        2, "epoch_ms"
    )
    address = json.loads((parties / "bank" / "operator.json").read_text())["address"]
    named = ("--account", parties / "bank" / "operator.json", "--operator", address, "--single-operator")
    assert cli("genesis", "new", *validators, *named, "--out", out).code == 0
    assert check(cli, out)[1]["operators"] == "warn"
    cli("genesis", "new", *validators, *files(parties, "operator"), "--out", out).fails(2, "never overwritten")


def test_a_testnets_genesis_is_checked_and_marked_as_one(cli: Cli, tmp_path: Path) -> None:
    gen = ("testnet", "gen", "--single-operator", "--accounts", 0, "--out")
    cli(*gen, tmp_path / "a", "localhost", "localhost").fails(2, "localhost:26650", "--ports-step")
    assert not (tmp_path / "a").exists()
    three = cli(*gen, tmp_path / "b", "localhost", "localhost", "localhost", "--ports-step", 20)
    assert three.code == 0, three.err
    assert "3 validators tolerate no failure" in three.err
    assert "genesis new" in three.err
    homes = [Home(tmp_path / "b" / "nodes" / f"node-{number}") for number in range(3)]
    configs = [home.load_config({}).config for home in homes]
    assert [one.p2p.listen for one in configs] == ["0.0.0.0:26650", "0.0.0.0:26670", "0.0.0.0:26690"]
    assert [one.metrics.listen for one in configs] == ["127.0.0.1:26660", "127.0.0.1:26680", "127.0.0.1:26700"]


def test_check_describes_the_kept_history(cli: Cli, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("a passphrase for tests")
    secret.chmod(0o600)

    def kept(name: str, *options: object) -> tuple[str, str]:
        done = cli("init", "--home", tmp_path / name, "--passphrase-file", secret, "-o", "json", *options)
        assert done.code == 0, done.err
        return str(Home(tmp_path / name).load_config({}).config.storage.keep), done.err

    everything, said = kept("a")
    assert (everything, "keeps everything" in said) == ("archive", True)
    recent, said = kept("b", "--keep", "recent")
    assert (recent, "keeps everything" in said) == ("100000", False)
    assert kept("c", "--keep", 5_000)[0] == "5000"
    cli("init", "--home", tmp_path / "d", "--keep", "some").fails(2, "everything, recent")
    assert not (tmp_path / "d").exists()


def test_a_missing_genesis_is_named_without_advice_to_make_a_home(cli: Cli, parties: Path, tmp_path: Path) -> None:
    home = parties / "bank" / "home"
    start = ("start", "--home", home, "--passphrase-file", parties / "bank" / "passphrase")
    cli(*start).fails(3, "genesis.json is missing: put the genesis", "keep")
    proof = tmp_path / "proof.json"
    proof.write_text("{}")
    cli("verify", proof, "--genesis", tmp_path / "none").fails(3, "there is no genesis file", "none")
    nobody = cli("genesis", "new", "--validator", tmp_path / "v.json", "--out", tmp_path / "out.json")
    nobody.fails(3, "there is no file", "v.json")
    assert "--home" not in nobody.err
    config = cli("config", "show", "--home", tmp_path)
    config.fails(3, "config.toml", "name another --home, make one with `rustorium-node init", "backup restore")
    account = json.loads((parties / "bank" / "operator.json").read_text())["address"]
    cli("query", "--node", "http://127.0.0.1:9", "--account", account).fails(2, "--genesis FILE", "--no-verify")
