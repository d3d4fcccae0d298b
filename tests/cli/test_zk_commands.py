"""`zk verify` without a node, and the errors of the group's commands for bad input."""

import json
from pathlib import Path

import pytest
from cli_runner import Cli

MADE = Path(__file__).resolve().parents[1] / "zk"


def arguments(curve: str, public: Path | None = None) -> tuple[object, ...]:
    folder = MADE / curve
    public = public or folder / "1.public.json"
    return "--key", folder / "verification_key.json", "--proof", folder / "1.proof.json", "--public", public


@pytest.mark.parametrize("curve", ["bn128", "bls12381"])
def test_a_proof_is_verified_without_a_node(cli: Cli, curve: str) -> None:
    ended = cli("zk", "verify", *arguments(curve), "-o", "json")
    assert (ended.code, ended.err) == (0, "")
    assert json.loads(ended.out) == {"proof": "verified", "curve": curve, "inputs": 4}


@pytest.mark.parametrize("curve", ["bn128", "bls12381"])
def test_a_refused_proof_ends_with_code_4(cli: Cli, curve: str, tmp_path: Path) -> None:
    cli("zk", "verify", *arguments(curve, MADE / curve / "2.public.json")).fails(4, "zk-not-proved")
    short = tmp_path / "public.json"
    short.write_text('["1", "2", "3"]')
    cli("zk", "verify", *arguments(curve, short)).fails(4, "there are 3 public inputs", "zk-input-count")
    key = MADE / curve / "uncontributed_key.json"
    cli("zk", "verify", *arguments(curve)[2:], "--key", key).fails(4, "nobody contributed", "zk-delta-is-generator")
    as_json = cli("zk", "verify", *arguments(curve, short), "-o", "json")
    assert json.loads(as_json.err)["exit_code"] == 4


def test_invalid_files_and_ids_are_usage_errors(cli: Cli, tmp_path: Path) -> None:
    missing = tmp_path / "missing.json"
    cli("zk", "verify", *arguments("bn128", missing)).fails(2, "missing.json")
    cli("zk", "register", missing, "--key", tmp_path / "no.key").fails(2, "missing.json")
    assert cli("zk", "register", MADE / "bn128" / "verification_key.json", "--key", tmp_path / "no.key").code == 3
    assert cli("zk", "--help").code == 0
