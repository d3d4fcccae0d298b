"""Accounts' records in the forms of both versions, read by an oracle that shares no code with the project.

Invariants: the oracle knows docs/spec/transactions.md alone; it never asks the code under test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from second_oracle import account_settings, settings_hash
from vector_oracle import Reader

FILE: dict[str, Any] = json.loads((Path(__file__).parent / "records.json").read_text())
CUSTODY = ("absent", "settled", "pending")
CASES = [pytest.param(case, id=case["name"]) for case in FILE["cases"]]
LEAVES = [pytest.param(case, id=case["name"]) for case in FILE["custody"]]
NO_LEAVES = [pytest.param(case, id=case["name"]) for case in FILE["custody_refused"]]
REFUSED = [pytest.param(case, id=case["name"]) for case in FILE["refused"]]


def record(data: bytes) -> dict[str, Any]:
    """Reads a record, whose length tells its form. Errors: `ValueError` if there is no such record."""
    r = Reader(data)
    if len(data) == 64:
        fields: dict[str, Any] = {"version": 1, "signer": {"ed25519": r.hex32()}, "nonce": r.integer(8)}
        # Version 2 counts quotas otherwise: such an account drew nothing, and its own credit is full.
        r.take(16)
        none = {"left": 0, "at_us": 0}
        fields |= {"storage_bytes_left": r.integer(8), "sponsor": 0, "work": none, "history": none}
        fields |= {"custody": CUSTODY[0], "grants_era": 0}
    else:
        version, tag = r.integer(1), r.integer(1)
        if version != 2 or tag > 1:
            raise ValueError(f"no record has version {version} and a signer of kind {tag}")
        fields = {"version": version, "signer": {("ed25519", "authority")[tag]: r.hex32()}, "nonce": r.integer(8)}
        fields |= {"storage_bytes_left": r.integer(8), "sponsor": r.integer(4)}
        fields |= {name: {"left": r.integer(4), "at_us": r.integer(8)} for name in ("work", "history")}
        custody = r.integer(1)
        if custody >= len(CUSTODY):
            raise ValueError(f"no record has custody {custody}")
        fields |= {"custody": CUSTODY[custody], "grants_era": r.integer(4)}
    r.end()
    return fields


@pytest.mark.parametrize("case", CASES)
def test_record_has_the_fields_of_the_specification(case: dict[str, Any]) -> None:
    assert record(bytes.fromhex(case["bytes"])) == case["value"]


@pytest.mark.parametrize("case", REFUSED)
def test_other_bytes_are_no_record(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        record(bytes.fromhex(case["bytes"]))


def leaf(data: bytes) -> dict[str, Any]:
    """Reads a custody leaf. Errors: `ValueError` if there is no such leaf."""
    r = Reader(data)
    fields = {"settings": account_settings(r), "pending": r.option(lambda: pending(r, data))}
    r.end()
    return fields


def pending(r: Reader, data: bytes) -> dict[str, Any]:
    if (by := r.integer(1)) > 1:
        raise ValueError(f"no change is by {by}")
    start = r.at
    settings, void = account_settings(r), r.boolean()
    change = settings_hash(data[start : r.at])
    return {
        "by": ("keys", "recovery")[by],
        "settings": settings,
        "void_grants": void,
        "due_ms": r.integer(8),
        "change": change,
    }


@pytest.mark.parametrize("case", LEAVES)
def test_custody_leaf_has_the_fields_of_the_specification(case: dict[str, Any]) -> None:
    assert leaf(bytes.fromhex(case["bytes"])) == case["value"]


@pytest.mark.parametrize("case", NO_LEAVES)
def test_other_bytes_are_no_custody_leaf(case: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        leaf(bytes.fromhex(case["bytes"]))
