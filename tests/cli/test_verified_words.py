"""`verify` says in sentences what a proof proves, absence and a transaction's content included."""

import json
from pathlib import Path
from typing import Any

import anyio
import pytest
from cli_runner import Cli

from rustorium import _native
from rustorium.client.light import LightClient
from rustorium.client.prooffile import ProofFile
from rustorium.client.wording import sentences
from rustorium.client.words import shown, words
from rustorium.errors import UsageError

VECTORS = json.loads((Path(__file__).parent.parent / "vectors" / "proofs.json").read_text())["cases"]
CASES = {case["name"]: case for case in VECTORS}
ME, OTHER, ASSET = "rs1me", "rs1other", "ab" * 32


def said(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> tuple[list[str], dict[str, Any]]:
    """Returns the lines that `verify` prints about the proof of a vector, and the proof's facts."""
    case = CASES[name]
    proof, genesis = bytes.fromhex(case["bytes"]), bytes.fromhex(case["genesis"])
    facts = anyio.run(LightClient(genesis).show, proof)
    file = tmp_path / "proof.json"
    protocol = _native.proof_version(proof)
    file.write_bytes(ProofFile(facts["kind"], facts["chain"], facts, proof, protocol=protocol).to_bytes())
    monkeypatch.setattr("rustorium.client.light.read_genesis", lambda _: genesis)
    ended = cli("verify", file, "--genesis", "genesis.json")
    assert ended.code == 0, ended
    lines = ended.out.splitlines()
    assert lines[0].startswith("VERIFIED: ")
    return lines, facts


def test_what_a_state_holds_and_what_it_lacks_is_said(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, facts = said(cli, tmp_path, monkeypatch, "an account, a balance, a value and an absent key")
    account, balance, value, absent = facts["items"]
    held = json.dumps(value["value"])
    assert lines[1:5] == [
        f"After height 1, the account {account['account']} exists, and its next nonce is {account['record']['nonce']}.",
        f"After height 1, {balance['account']} holds 1000 of asset {balance['asset']}.",
        f"After height 1, key {json.dumps(value['key'])} of {value['account']} has the value {held}.",
        f"After height 1, key {json.dumps(absent['key'])} of {absent['account']} is absent.",
    ]


def test_a_transactions_outcome_and_operations_are_said(
    cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines, facts = said(cli, tmp_path, monkeypatch, "a transaction")
    receipt, operations = facts["receipt"], facts["transaction"]["operations"]
    assert lines[1].startswith(f"Transaction {receipt['id']} of {receipt['sender']} is final at height 1, and ")
    assert lines[2 : 2 + len(operations)] == [
        f"Operation {number} of {receipt['sender']}: {shown(one, receipt['sender'])}."
        for number, one in enumerate(operations)
    ]
    lines, facts = said(cli, tmp_path, monkeypatch, "a receipt two heights below its claim")
    assert lines[2] == "The transaction itself is not in the proof."
    lines, facts = said(cli, tmp_path, monkeypatch, "a block")
    assert lines[1] == "Block 3 of epoch 0 is final."


def test_a_failed_transaction_is_not_said_to_have_taken_effect() -> None:
    receipt = {"id": "cd" * 32, "sender": ME, "height": 7, "failure": {"operation": 1, "code": "precondition"}}
    [first, _] = sentences({"kind": "receipt", "receipt": receipt})
    assert first.endswith("is final at height 7, and failed at operation 1 (precondition): nothing of it took effect.")


@pytest.mark.parametrize(
    ("condition", "clause"),
    [
        ({"type": "absent", "namespace": ME, "key_hex": "61"}, 'key "a" in the account\'s namespace has no value'),
        (
            {"type": "value_hash", "namespace": OTHER, "key_hex": "61", "hash": "cd"},
            'key "a" in the namespace of rs1other has a value whose BLAKE3 hash is cd',
        ),
        (
            {"type": "balance_at_least", "account": ME, "asset": ASSET, "amount": "5"},
            f"rs1me holds at least 5 of asset {ASSET}",
        ),
        (
            {"type": "proved", "verifier": "ef", "input": 1},
            "a proof of verifier ef is recorded whose input 1 has this transaction's id as its value",
        ),
        (
            {"type": "proved", "verifier": "ef", "input": 0, "value": "0a"},
            "a proof of verifier ef is recorded whose input 0 has the value 0a",
        ),
        ({"type": "newer", "hour": 3}, 'this holds: {"hour": 3, "type": "newer"}'),
    ],
)
def test_a_condition_is_said(condition: dict[str, Any], clause: str) -> None:
    assert shown({"type": "require", "condition": condition}, ME) == f"fail unless {clause}"


def test_what_a_key_does_not_sign_is_shown_where_it_is_proven() -> None:
    later = {"type": "later", "bytes_hex": "0a0b"}
    assert shown(later, ME) == 'later: bytes_hex = "0a0b"'
    with pytest.raises(UsageError, match="can't show"):
        words(0, later, ME)
