"""`node apply`: a party that made its own keys writes the operation by which operators admit its validator."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.genesis import read_genesis


def secret(path: Path) -> Path:
    path.touch(0o600)
    path.write_text(f"the secret of {path.name}\n")
    return path


def party(cli: Cli, folder: Path, name: str) -> dict[str, Any]:
    """Makes a party's home and owner's key, each with its own passphrase; returns what `init` printed."""
    folder.mkdir(exist_ok=True)
    owner = folder / f"{name}.owner"
    made = cli(
        "init", "--home", folder / name, "--name", name, "--address", "10.0.0.1:26650", "--owner-key", owner,
        "--passphrase-file", secret(folder / f"{name}.secret"),
        "--owner-passphrase-file", secret(folder / f"{name}.owner.secret"), "-o", "json",
    )  # fmt: skip
    assert made.code == 0, made
    (folder / f"{name}.json").write_text(made.out)
    return dict(json.loads(made.out))


@pytest.fixture
def genesis(cli: Cli, tmp_path: Path) -> Path:
    party(cli, tmp_path, "founder")
    key = ("keys", "new", tmp_path / "operator.key", "--passphrase-file", tmp_path / "founder.secret", "-o", "json")
    (tmp_path / "operator.json").write_text(cli(*key).out)
    out = tmp_path / "genesis.json"
    made = cli(
        "genesis", "new", "--validator", tmp_path / "founder.json", "--operator", tmp_path / "operator.json",
        "--single-operator", "--out", out,
    )  # fmt: skip
    assert made.code == 0, made
    return out


class Chain:
    """A fake client of a chain of version 2."""

    def __init__(self) -> None:
        self.next: list[dict[str, str]] = []

    @contextmanager
    def client(self, *_: object, **__: object) -> Iterator["Chain"]:
        yield self

    def validators(self) -> dict[str, Any]:
        return {"next": self.next}

    def parameters(self) -> dict[str, Any]:
        return {"version": 2}


@pytest.fixture
def chain(monkeypatch: pytest.MonkeyPatch) -> Chain:
    made = Chain()
    monkeypatch.setattr("rustorium.cli.committee.client_of", made.client)
    return made


def test_an_application_proves_possession_for_the_chain_and_names_the_owners_account(
    cli: Cli, tmp_path: Path, genesis: Path, chain: Chain
) -> None:
    made = party(cli, tmp_path, "carrier")
    (tmp_path / "carrier" / "genesis.json").write_bytes(genesis.read_bytes())
    out = tmp_path / "admit.json"
    line = (
        "node", "apply", tmp_path / "carrier.json", "--home", tmp_path / "carrier", "--node", "http://a:1",
        "--passphrase-file", tmp_path / "carrier.secret",
    )  # fmt: skip
    done = cli(*line, "--out", out, "-o", "json")
    assert done.code == 0, done
    [operation] = json.loads(out.read_text())
    keys = [operation[name] for name in ("validator_key", "node_key")]
    assert [operation["type"], operation["name"], *keys] == [
        "add_validator", "carrier", made["validator_key"], made["node_key"],
    ]  # fmt: skip
    of_chain = _native.genesis_hash(read_genesis(genesis))
    possession = json.dumps(operation["possession"])
    assert _native.possession_holds(*keys, of_chain, operation["owner_key"], possession)
    assert operation["possession"] != made["possession"], "that one is for a new chain's genesis"
    # `account create` takes the output as it takes that of `keys new`.
    row = json.loads(done.out)
    assert row["address"] == _native.account_id(row["region"], bytes.fromhex(made["owner_key"]))
    cli(*line, "--out", out).fails(2, "never overwritten", "[file-exists]")
    chain.next = [{"validator_key": made["validator_key"]}]
    cli(*line, "--out", tmp_path / "again.json").fails(2, "nothing to apply for")


def test_an_application_of_another_home_is_refused(cli: Cli, tmp_path: Path, genesis: Path, chain: Chain) -> None:
    party(cli, tmp_path, "carrier")
    line = ("node", "apply", tmp_path / "founder.json", "--node", "http://a:1", "--out", tmp_path / "admit.json")
    (tmp_path / "carrier" / "genesis.json").write_bytes(genesis.read_bytes())
    refused = cli(*line, "--home", tmp_path / "carrier", "--passphrase-file", tmp_path / "carrier.secret")
    refused.fails(2, "has another validator key", "[usage]")
    assert not (tmp_path / "admit.json").exists()


def test_an_owners_key_has_its_own_passphrase(cli: Cli, tmp_path: Path) -> None:
    made = party(cli, tmp_path, "carrier")
    owner, home = Path(made["owner_key_file"]), tmp_path / "carrier"
    first, second = ((tmp_path / f"carrier.{name}").read_bytes().strip() for name in ("secret", "owner.secret"))
    assert [_native.key_opens(str(owner), one) for one in (first, second)] == [False, True]
    assert [_native.key_opens(str(home / "validator.key"), one) for one in (first, second)] == [True, False]
    follower = ("init", "--home", tmp_path / "f", "--role", "follower", "--owner-passphrase-file", tmp_path / "x")
    cli(*follower).fails(2, "a follower has no owner", "[usage]")
