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
from rustorium.client.wording import operation, sentences

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
        f"Operation {number} of {receipt['sender']}: {operation(one)}." for number, one in enumerate(operations)
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
    ("one", "clause"),
    [
        ({"type": "put", "namespace": ME, "key": "a", "key_hex": "61", "value": "b"}, 'set key "a" of rs1me to "b"'),
        ({"type": "put", "namespace": ME, "key_hex": "ff", "value_hex": "0a"}, "set key hex ff of rs1me to hex 0a"),
        ({"type": "delete", "namespace": ME, "key_hex": "61"}, 'remove key "a" of rs1me'),
        ({"type": "transfer", "to": OTHER, "asset": ASSET, "amount": "7"}, f"transfer 7 of asset {ASSET} to rs1other"),
        ({"type": "issue", "symbol": "COIN", "to": ME, "amount": "9"}, 'issue 9 of its asset "COIN" to rs1me'),
        (
            {"type": "grant", "to": OTHER, "prefixes_hex": ["61", "62"]},
            'let rs1other write keys that begin with "a", "b"',
        ),
        ({"type": "grant", "to": OTHER, "prefixes_hex": []}, "let rs1other write no keys any more"),
        (
            {"type": "require", "condition": {"type": "absent", "namespace": ME, "key": "a"}},
            'fail unless key "a" of rs1me has no value',
        ),
        (
            {"type": "require", "condition": {"type": "value_hash", "namespace": ME, "key": "a", "hash": "cd"}},
            'fail unless key "a" of rs1me has a value whose BLAKE3 hash is cd',
        ),
        (
            {"type": "require", "condition": {"type": "balance_at_least", "account": ME, "asset": "ab", "amount": "5"}},
            "fail unless rs1me holds at least 5 of asset ab",
        ),
        (
            {"type": "require", "condition": {"type": "proved", "verifier": "ef", "input": 1, "value": None}},
            "fail unless a proof of verifier ef is recorded whose input 1 has the transaction's id as its value",
        ),
        (
            {"type": "create_account", "region": 0, "public_key": "ab", "storage_bytes": 5},
            "make the account of the key ab with 5 bytes of storage",
        ),
        ({"type": "end_epoch", "epoch": 4}, "end epoch, epoch 4"),
        (
            {"type": "register_verifier", "key_hex": "ab" * 60},
            f'register verifier, key_hex "{"ab" * 39}a… (122 characters)',
        ),
    ],
)
def test_each_operation_is_a_clause(one: dict[str, Any], clause: str) -> None:
    assert operation(one) == clause
