"""`testnet gen` makes a safe start: several operators govern, no pool accepts forged proofs, and each party's keys are
apart."""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.access.keyfiles import public_part
from rustorium.access.passphrases import find_passphrase, read_passphrase
from rustorium.home.keys import open_storage_key
from rustorium.home.paths import Home

HOSTS = ("10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4")


def gen(cli: Cli, out: Path, *options: object) -> tuple[dict[str, object], str]:
    """Runs `testnet gen`; returns the genesis and the output."""
    ended = cli("testnet", "gen", *HOSTS, "--out", out, *options, "-o", "jsonl")
    assert ended.code == 0, ended.err
    genesis: dict[str, object] = json.loads((out / "genesis.json").read_text())
    return genesis, ended.err


def parameters(genesis: dict[str, object]) -> tuple[list[str], int]:
    found = genesis["parameters"]
    assert isinstance(found, dict)
    return found["operators"], found["operator_quorum"]


def test_testnet_gen_requires_a_choice_of_operators(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "net"
    cli("testnet", "gen", *HOSTS, "--out", out).fails(2, "--operators 3", "--single-operator")
    more = ("testnet", "gen", *HOSTS, "--out", out, "--operators")
    cli(*more, 1).fails(2, "one key", "--single-operator")
    cli(*more, 3, "--operator-quorum", 1).fails(2, "1 of 3 operators", "--operator-quorum of 2 to 2")
    cli(*more, 5, "--operator-quorum", 5).fails(2, "5 of 5 operators", "--operator-quorum of 3 to 4")
    cli(*more, 3, "--single-operator").fails(2, "3 operators", "--single-operator")
    assert not out.exists(), "nothing was made"


@pytest.mark.parametrize(
    ("options", "count", "quorum"),
    [
        (("--operators", 3), 3, 2),
        (("--operators", 5), 5, 3),
        (("--operators", 5, "--operator-quorum", 4), 5, 4),
        (("--operators", 2), 2, 2),
        (("--single-operator",), 1, 1),
    ],
)
def test_operators_and_their_quorum_are_in_the_genesis(
    cli: Cli, tmp_path: Path, options: tuple[object, ...], count: int, quorum: int
) -> None:
    genesis, said = gen(cli, tmp_path / "net", *options)
    operators, found = parameters(genesis)
    assert (len(set(operators)), found) == (count, quorum)
    files = [tmp_path / "net" / "operators" / f"operator-{index}" / "account.key" for index in range(count)]
    assert [public_part(file)[1] for file in files] == operators
    accounts = genesis["accounts"]
    assert isinstance(accounts, list)
    assert set(operators) <= {account["public_key"] for account in accounts}, "who has no account approves nothing"
    assert "One person" in said
    assert "only for trials" in said
    assert ("one key governs" in said) == (quorum == 1)


def test_testnet_gen_makes_a_pool_only_on_request(cli: Cli, tmp_path: Path) -> None:
    genesis, said = gen(cli, tmp_path / "none", "--operators", 3)
    assert genesis.get("pools", []) == []
    assert "pool" not in said
    genesis, said = gen(cli, tmp_path / "tests", "--operators", 3, "--devnet-pool")
    [pool] = genesis["pools"]  # type: ignore[misc]
    assert pool["key_hash"] == _native.value_hash(_native.devnet_pool_key()[0]).hex()
    assert "WARNING" in said
    both = ("--devnet-pool", "--pool-key", tmp_path / "tests" / "genesis.json")
    cli("testnet", "gen", *HOSTS, "--out", tmp_path / "x", "--operators", 3, *both).fails(2, "not both")


def opened_by(passphrase: bytes, root: Path) -> set[str]:
    found = set()
    for file in root.rglob("*.key"):
        try:
            if file.name == "storage.key":
                _native.StorageKey.open(str(file), passphrase)
            else:
                _native.open_key(str(file), public_part(file)[0], passphrase)
        except _native.NativeError:
            continue
        found.add(str(file.relative_to(root)))
    return found


def test_each_party_gets_its_own_keys_and_passphrase_and_a_home_no_others(cli: Cli, tmp_path: Path) -> None:
    out = tmp_path / "net"
    gen(cli, out, "--operators", 3, "--accounts", 2)
    assert not (out / "passphrase").exists(), "it would open more than one party's"
    parties = {f"passphrases/node-{i}": {f"nodes/node-{i}/{key}.key" for key in ("node", "validator", "storage")}
               for i in range(4)}  # fmt: skip
    parties |= {f"owners/node-{i}/passphrase": {f"owners/node-{i}/owner.key"} for i in range(4)}
    parties |= {f"operators/operator-{i}/passphrase": {f"operators/operator-{i}/account.key"} for i in range(3)}
    parties |= {"accounts/passphrase": {"accounts/account-0.key", "accounts/account-1.key"}}
    for place, keys in parties.items():
        assert opened_by(read_passphrase(out / place), out) == keys, place
    assert {str(file.relative_to(out)) for file in out.rglob("*.key")} == set().union(*parties.values())
    # The files of one machine contain nothing that opens, or is, another party's key.
    kinds = {public_part(file)[0] for file in (out / "nodes").rglob("*.key")}
    assert kinds == {"node", "validator", "storage"}
    assert not list((out / "nodes").rglob("*passphrase*"))
    secrets = [(out / place).read_text().strip() for place in parties]
    for file in (out / "nodes").rglob("*"):
        assert not file.is_file() or not any(secret in file.read_text() for secret in secrets), file
    # A party's passphrase is beside its key.
    owner = out / "owners" / "node-1" / "owner.key"
    assert find_passphrase(owner, None, {}) == read_passphrase(owner.with_name("passphrase"))
    open_storage_key(Home(out / "nodes" / "node-2").storage_key, out / "passphrases" / "node-2", {})
