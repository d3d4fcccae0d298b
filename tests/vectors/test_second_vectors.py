"""The conformance vectors of authorities and of transactions of version 2, checked by an oracle that shares no code
with the project.

Invariants: the expected values in a file never come from the code under test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from second_oracle import (
    authority,
    authority_account,
    authority_fields,
    authority_hash,
    holds,
    signed_bytes,
    transaction,
)
from vector_oracle import Reader, blake3, ed25519_public, ed25519_sign

FOLDER = Path(__file__).parent

Case = dict[str, Any]


def cases(file: str, *, refused: bool) -> list[Any]:
    found: list[Case] = json.loads((FOLDER / f"{file}.json").read_text())["cases"]
    chosen = [case for case in found if ("why" in case) is refused]
    assert chosen, f"{file}.json lacks cases"
    return [pytest.param(case, id=f"{i}-{case.get('name', case.get('why'))}") for i, case in enumerate(chosen)]


def raw(case: Case, name: str = "bytes") -> bytes:
    return bytes.fromhex(case[name])


def read_authority(data: bytes) -> tuple[int, list[bytes]]:
    r = Reader(data)
    found = authority(r)
    r.end()
    return found


@pytest.mark.parametrize("case", cases("authorities", refused=False))
def test_authority_has_its_hash_and_accounts(case: Case) -> None:
    found = read_authority(raw(case))
    assert authority_fields(*found) == case["value"]
    assert authority_hash(*found).hex() == case["hash"]
    for account in case["accounts"]:
        assert authority_account(account["region"], *found) == account["address"]


@pytest.mark.parametrize("case", cases("authorities", refused=True))
def test_bytes_that_are_no_authority_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        read_authority(raw(case))


@pytest.mark.parametrize("case", cases("transactions2", refused=False))
def test_transaction_has_its_fields_id_and_signed_bytes(case: Case) -> None:
    fields, body, _, _ = transaction(raw(case))
    assert fields == case["value"]
    assert signed_bytes(raw(case, "chain"), body) == raw(case, "signed")
    assert blake3(raw(case, "signed")).hex() == case["id"]


@pytest.mark.parametrize("case", cases("transactions2", refused=False))
def test_signatures_hold_where_the_case_says_so(case: Case) -> None:
    _, body, keys, signatures = transaction(raw(case))
    assert holds(raw(case, "signed"), keys, signatures) is case["holds"]
    assert not holds(signed_bytes(bytes(32), body), keys, signatures), "on another chain"


@pytest.mark.parametrize("case", [one for one in cases("transactions2", refused=False) if "seeds" in one.values[0]])
def test_signatures_are_those_of_the_seeds(case: Case) -> None:
    _, _, keys, signatures = transaction(raw(case))
    seeds = [bytes.fromhex(seed) for seed in case["seeds"]]
    made = {(keys.index(ed25519_public(seed)), ed25519_sign(seed, raw(case, "signed"))) for seed in seeds}
    assert set(signatures) == made
    assert len(seeds) == len(signatures) == case["value"]["authority"]["threshold"]


@pytest.mark.parametrize("case", cases("transactions2", refused=True))
def test_bytes_that_are_no_transaction_of_version_2_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        transaction(raw(case))


def test_whichever_keys_sign_the_id_is_the_same() -> None:
    found = [one.values[0] for one in cases("transactions2", refused=False)]
    ids = [case["id"] for case in found if case["holds"]]
    assert len(ids) == len(set(ids)) + 2, "two of one, and two of two of three"


def test_every_small_order_key_is_refused_by_name() -> None:
    refused = [one.values[0]["why"] for one in cases("authorities", refused=True)]
    assert sum("of small order" in why for why in refused) == 14 + 1
