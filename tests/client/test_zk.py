"""Groth16 keys, proofs and inputs as dicts, paths and bytes, and the refusals of bad ones."""

import json
from pathlib import Path
from typing import Any

import pytest

from rustorium import _native
from rustorium.client.operations import register_verifier, require_proved, verify_proof
from rustorium.errors import UsageError, VerificationFailed, ZkRefused
from rustorium.zk import groth16 as zk

MADE = Path(__file__).resolve().parents[1] / "zk"
CURVES = ("bn128", "bls12381")
ORDERS = {
    "bn128": 21888242871839275222246405745257275088548364400416034343698204186575808495617,
    "bls12381": 52435875175126190479447740508185965837690552500527637822603658699938581184513,
}


def files(curve: str, number: int = 1) -> tuple[Path, Path, Path]:
    folder = MADE / curve
    return folder / "verification_key.json", folder / f"{number}.proof.json", folder / f"{number}.public.json"


def parsed(path: Path) -> Any:
    return json.loads(path.read_text())


def refused(code: str, *arguments: Any) -> str:
    with pytest.raises(ZkRefused) as error:
        zk.verify(*arguments)
    assert error.value.code == code
    assert error.value.exit_code == 4
    assert isinstance(error.value, VerificationFailed)
    return error.value.message


@pytest.mark.parametrize("curve", CURVES)
def test_every_form_of_a_document_means_the_same(curve: str) -> None:
    key, proof, public = files(curve)
    raw = zk.proof_bytes(proof)
    inputs = zk.input_bytes(public, raw)
    numbers = [int(text) for text in parsed(public)]
    assert numbers == [int.from_bytes(each, "big") for each in inputs]
    assert zk.describe(key) == (curve, 4)
    for one in (key, str(key), key.read_bytes(), parsed(key), zk.key_bytes(key)):
        assert zk.key_bytes(one) == zk.key_bytes(key)
        zk.verify(one, proof, public)
    for one in (str(proof), proof.read_bytes(), parsed(proof), raw):
        assert zk.proof_bytes(one) == raw
        zk.verify(key, one, public)
    for given in (str(public), public.read_bytes(), parsed(public), numbers, inputs):
        assert zk.input_bytes(given, raw) == inputs
        zk.verify(key, proof, given)


@pytest.mark.parametrize("curve", CURVES)
def test_an_invalid_proof_is_refused_with_its_reason(curve: str) -> None:
    key, proof, public = files(curve)
    numbers = [int(text) for text in parsed(public)]
    refused("zk-not-proved", key, proof, files(curve, 2)[2])
    refused("zk-not-proved", key, proof, [*numbers[:3], numbers[3] + 1])
    refused("zk-input-count", key, proof, numbers[:3])
    refused("zk-input-count", key, proof, [*numbers, 0])
    refused("zk-input-count", key, proof, [])
    refused("zk-input-not-reduced", key, proof, [numbers[0] + ORDERS[curve], *numbers[1:]])
    refused("zk-not-decimal", key, proof, [-1, *numbers[1:]])
    refused("zk-not-decimal", key, proof, [f"0{numbers[0]}", *map(str, numbers[1:])])
    refused("zk-too-many-inputs", key, proof, [1] * 65)
    changed = parsed(proof) | {"protocol": "plonk"}
    assert "plonk" in refused("zk-protocol", key, changed, public)
    refused("zk-curve-label", key, parsed(proof) | {"curve": "BN254"}, public)
    refused("zk-not-affine", key, parsed(proof) | {"pi_a": ["0", "1", "0"]}, public)
    refused("zk-not-on-curve", key, parsed(proof) | {"pi_a": ["3", "4", "1"]}, public)
    refused("zk-not-json", key, b"{}", public)
    refused("zk-delta-is-generator", MADE / curve / "uncontributed_key.json", proof, public)
    other = files("bls12381" if curve == "bn128" else "bn128")
    refused("zk-other-curve", other[0], proof, public)


def test_an_invalid_document_is_reported_as_one(tmp_path: Path) -> None:
    key, proof, public = files("bn128")
    for wrong in (tmp_path / "missing.json", tmp_path, 7, None, [b"x"]):
        with pytest.raises(UsageError):
            zk.key_bytes(wrong)  # type: ignore[arg-type]
    for inputs in ([True], [1.5], [b"short"], [None]):
        with pytest.raises(UsageError):
            zk.verify(key, proof, inputs)  # type: ignore[arg-type]
    for verifier in ("", "ab", "no hex", "ab" * 33):
        with pytest.raises(UsageError):
            zk.address_of(verifier)
    with pytest.raises(ZkRefused):
        zk.verify(key, proof, {"not": "a list"})
    with pytest.raises(ZkRefused):
        zk.verify(key, b"", public)


def test_operations_name_their_inputs_in_order() -> None:
    owner = _native.account_id(3, bytes(32))
    key = zk.key_bytes(files("bn128")[0])
    registered = register_verifier(key, [3, 0], [1])
    named = [{"index": 0, "once": False}, {"index": 1, "once": True}, {"index": 3, "once": False}]
    assert registered == {"type": "register_verifier", "key_hex": key.hex(), "named": named}
    ids = {zk.verifier_id(owner, key, named=names, once=once) for names in ((), (1,), (0, 1)) for once in ((), (1,))}
    assert len(ids) == 5  # an input in `once` is the same with or without it in `named`
    assert all(bytes.fromhex(one)[0] == 3 for one in ids)
    verifier = ids.pop()
    operation = verify_proof(verifier, [bytes(32)], b"proof")
    assert operation == {
        "type": "verify_proof",
        "verifier": verifier,
        "inputs": ["00" * 32],
        "proof_hex": b"proof".hex(),
    }
    assert require_proved(verifier, 1)["condition"] == {"type": "proved", "verifier": verifier, "input": 1}
    assert require_proved(verifier, 1, bytes(32))["condition"]["value"] == "00" * 32  # type: ignore[index]
    assert zk.transaction_input("ff" * 32) == 2**253 - 1 < min(ORDERS.values())
