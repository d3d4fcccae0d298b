"""Declared work, checked twice: by an oracle that shares no code with the project, and against the extension.

Invariants: the oracle knows the tables of docs/spec/work.md alone; it never asks the code under test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
import vector_oracle as oracle

from rustorium import _native

FILE: dict[str, Any] = json.loads((Path(__file__).parent / "work.json").read_text())
LENGTHS: list[int] = FILE["lengths"]
CASES = [pytest.param(case, id=case["name"]) for case in FILE["cases"]]

VALUE_MAX, GRANT_MAX, VERIFIER_MAX, KEY_MAX, RECORD_BYTES, AMOUNT_BYTES = 65_536, 8_275, 6_961, 6_913, 83, 16
INPUTS_NAMED, POOL_LEAVES, POOL_INPUTS = 4, 11, 8
CHANGES = ("add_validator", "remove_validator", "replace_key", "end_epoch")


def up(length: int, unit: int) -> int:
    return -(-length // unit)


def reads(length: int) -> int:
    return 75 + up(length, 64)


def writes(length: int) -> int:
    return 300 + up(length, 16)


def text(operation: dict[str, Any], name: str) -> int:
    """The number of bytes of a field that is text or hex."""
    if name in operation:
        return len(str(operation[name]).encode())
    return len(str(operation.get(f"{name}_hex", ""))) // 2


def proof_of(length: int, inputs: int) -> int:
    return 18_000 + 600 * inputs if length == 256 else 25_000 + 1_100 * inputs


def pool_bytes(fields: dict[str, Any]) -> int:
    """A pool's frontier and two records for wallets."""
    record = 32 * 4 + len(fields["transfer"]["sealed_hex"]) // 2
    return 8 + 3 * 16 * 32 + 2 * record


def operation_work(fields: dict[str, Any], sender: str, length: int) -> int:
    """What version 2 asks for one operation, if values of unknown length have this one."""
    kind = fields["type"]
    foreign = reads(GRANT_MAX) + 330 if fields.get("namespace", sender) != sender else 0
    prefixes = sum(4 + len(prefix) // 2 for prefix in fields.get("prefixes_hex", ()))
    leaves = (INPUTS_NAMED + 1) * (reads(40) + writes(40))
    committee = 2 * (reads(VALUE_MAX) + writes(VALUE_MAX)) + 330
    costs = {
        "create_account": lambda: reads(0) + 2 * writes(RECORD_BYTES),
        "put": lambda: reads(length) + writes(text(fields, "value")) + foreign,
        "delete": lambda: reads(length) + 2 * writes(0) + foreign,
        "require": lambda: reads(length if fields["condition"]["type"] in ("value_hash", "absent") else RECORD_BYTES),
        "transfer": lambda: 2 * reads(AMOUNT_BYTES) + reads(RECORD_BYTES) + 2 * writes(AMOUNT_BYTES),
        "issue": lambda: reads(AMOUNT_BYTES) + reads(RECORD_BYTES) + writes(AMOUNT_BYTES),
        "grant": lambda: reads(RECORD_BYTES) + reads(GRANT_MAX) + writes(4 + prefixes),
        "register_verifier": lambda: reads(0) + 330 + writes(text(fields, "key")) + 15_000 + 6 * text(fields, "key"),
        "verify_proof": lambda: (
            reads(VERIFIER_MAX) + leaves + 330 + proof_of(text(fields, "proof"), len(fields["inputs"]))
        ),
    }
    if kind in ("shield", "shielded_transfer", "unshield"):
        pool = POOL_LEAVES * 375 + writes(pool_bytes(fields)) + proof_of(256, POOL_INPUTS) + 8_000
        return 2 * 75 + reads(VERIFIER_MAX) + pool
    if kind in CHANGES:
        return committee + (2 * 700 + 4 * 375 if "possession" in fields else 0)
    return costs[kind]()


def work(fields: dict[str, Any], encoded: int, length: int) -> int:
    operations = (operation_work(operation, fields["sender"], length) for operation in fields["operations"])
    return 90 + 150 + 330 + up(encoded, 16) + sum(operations)


@pytest.mark.parametrize("case", CASES)
def test_oracle_computes_the_work(case: dict[str, Any]) -> None:
    raw = bytes.fromhex(case["bytes"])
    fields, _ = oracle.transaction(raw)
    assert [work(fields, len(raw), length) for length in LENGTHS] == case["version_2"]
    assert case["declared_at_least"] == [250, 90 + 150 + 330 + up(len(raw), 16)]


def test_every_operation_has_a_case() -> None:
    tags = {operation["type"] for case in FILE["cases"] for operation in _fields(case)["operations"]}
    conditions = [o["condition"] for case in FILE["cases"] for o in _fields(case)["operations"] if "condition" in o]
    assert len(tags) == 16, tags
    assert len({condition["type"] for condition in conditions}) == 4


def _fields(case: dict[str, Any]) -> dict[str, Any]:
    return oracle.transaction(bytes.fromhex(case["bytes"]))[0]


def test_client_declares_enough_for_4_kib_and_on_demand_for_the_largest_values() -> None:
    chain, seed = "11" * 32, bytes([7]) * 32
    sender = _native.account_id(0, _native.public_key(seed))
    change = json.dumps([{"type": "delete", "namespace": sender, "key": "k"}])
    limits = []
    for limit in (None, 2**64 - 1, 5):
        _, raw = _native.build_transaction(seed, chain, 0, 0, 1, limit, change)
        fields, _ = oracle.transaction(raw)
        limits.append(fields["work_limit"] - work(fields, len(raw), 0))
    assert limits[:2] == [4096 // 64, VALUE_MAX // 64]
    assert limits[2] < 0
