"""A client checks the proofs of a block: their places, their validity, and the name of an invalid one."""

import json
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rustorium import _native
from rustorium.client import Key, Verifier
from rustorium.client.operations import put, verify_proof
from rustorium.client.wire import parse
from rustorium.errors import BadResponse, ProofRefused, ZkRefused
from rustorium.types import Receipt
from rustorium.zk import blockproofs
from rustorium.zk import groth16 as zk
from rustorium.zk.blockproofs import ProofInBlock

MADE = Path(__file__).resolve().parents[1] / "zk"
OWNER = Key.generate().address
VERIFIERS = {
    curve: Verifier(OWNER, MADE / curve / "verification_key.json", named=(3,), once=(1,))
    for curve in ("bn128", "bls12381")
}


def proved(curve: str, number: int, operation: int = 0) -> ProofInBlock:
    proof = zk.proof_bytes(MADE / curve / f"{number}.proof.json")
    inputs = tuple(zk.input_bytes(MADE / curve / f"{number}.public.json", proof))
    return ProofInBlock(f"{number:064x}", operation, VERIFIERS[curve].id, inputs, proof)


BLOCK = [proved(curve, number) for number in (1, 2, 3) for curve in ("bn128", "bls12381")] * 3


def test_a_blocks_proofs_hold_on_both_curves() -> None:
    found = blockproofs.check(7, BLOCK, list(VERIFIERS.values()))
    assert (found.height, found.verified, found.unknown) == (7, tuple(BLOCK), ())


def test_proofs_for_other_verifiers_are_reported_as_unchecked() -> None:
    found = blockproofs.check(7, BLOCK, [VERIFIERS["bn128"]])
    assert found.verified == tuple(BLOCK[::2])
    assert found.unknown == tuple(BLOCK[1::2])
    assert blockproofs.check(7, [], []).verified == ()


@pytest.mark.parametrize("place", [0, 5, 17])
def test_an_invalid_proof_is_named(place: int) -> None:
    bad = replace(BLOCK[place], inputs=BLOCK[(place + 2) % 18].inputs, transaction="ab" * 32, operation=4)
    block = [*BLOCK[:place], bad, *BLOCK[place + 1 :]]
    with pytest.raises(ZkRefused, match=f"operation 4 of transaction {'ab' * 32}") as refused:
        blockproofs.check(7, block, list(VERIFIERS.values()))
    assert refused.value.code == "zk-not-proved"
    short = replace(bad, proof=bad.proof[:-1])
    with pytest.raises(ZkRefused, match="operation 4") as refused:
        blockproofs.check(7, [*BLOCK, short], list(VERIFIERS.values()))
    assert refused.value.code == "zk-length"


def test_a_verifier_is_its_owner_its_key_and_what_it_names() -> None:
    own = VERIFIERS["bn128"]
    others = [
        replace(own, owner=Key.generate().address),
        replace(own, key=MADE / "bls12381" / "verification_key.json"),
        replace(own, named=(2,)),
        replace(own, once=()),
    ]
    assert len({verifier.id for verifier in [own, *others]}) == 5
    assert blockproofs.check(7, [BLOCK[0]], others).unknown == (BLOCK[0],)


def test_each_of_many_claims_has_the_result_that_it_has_alone() -> None:
    key = zk.key_bytes(VERIFIERS["bn128"].key)
    good, bad = (key, BLOCK[0].proof, list(BLOCK[0].inputs)), (key, BLOCK[0].proof, list(BLOCK[2].inputs))
    verdicts = _native.zk_verify_all([good, bad, (b"\x07", BLOCK[0].proof, []), good])
    codes = [verdict and verdict[0] for verdict in verdicts]
    assert codes == [None, "zk-not-proved", "zk-unknown-curve", None]
    assert _native.zk_verify_all([]) == []


RECEIPT = Receipt("ab" * 32, OWNER, 1, 9, 3, 0, 0)


def facts(**changed: object) -> dict[str, Any]:
    operations = [put(OWNER, b"k", b"v"), verify_proof("cd" * 32, [b"\0" * 32], b"proof")]
    receipt = {"id": RECEIPT.transaction, "height": 9, "index": 3, "outcome": "ok"} | changed
    return json.loads(json.dumps({"receipt": receipt, "transaction": {"operations": operations}}))


def test_only_certified_proofs_of_the_block_count() -> None:
    assert blockproofs.in_block(facts(), RECEIPT) == [
        ProofInBlock(RECEIPT.transaction, 1, "cd" * 32, (b"\0" * 32,), b"proof")
    ]
    for changed in ({"id": "cd" * 32}, {"height": 8}, {"index": 2}, {"outcome": "failed"}):
        with pytest.raises(ProofRefused):
            blockproofs.in_block(facts(**changed), RECEIPT)
    with pytest.raises(BadResponse):
        parse(partial(blockproofs.in_block, receipt=RECEIPT), {"receipt": {}})
