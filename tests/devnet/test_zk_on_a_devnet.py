"""Proofs by snarkjs on a devnet: registered and submitted from the command line and from Python, required by other
transactions, and used once."""

import json
from pathlib import Path

import pytest

from process_tools import cli
from rustorium.client import Client, Key
from rustorium.client.operations import put, require_proved, verify_proof
from rustorium.errors import TransactionFailed, ZkRefused
from rustorium.net.devnet import Devnet
from rustorium.zk import groth16 as zk

pytestmark = pytest.mark.nodes

MADE = Path(__file__).resolve().parents[1] / "zk"
NULLIFIER, BOUND = 1, 3


@pytest.fixture
def key(devnet: Devnet) -> Key:
    return Key.open(devnet.net.accounts[0].key_file)


def fails(failure: str, client: Client, *operations: dict[str, object]) -> None:
    with pytest.raises(TransactionFailed) as error:
        client.send(operations)
    assert error.value.failure == failure


@pytest.mark.parametrize("curve", ["bn128", "bls12381"])
def test_from_the_command_line(devnet: Devnet, curve: str) -> None:
    folder, signer = MADE / curve, devnet.net.accounts[0].key_file
    signed = ("--net", devnet.path, "--key", signer, "-o", "json")
    done = json.loads(cli("zk", "register", folder / "verification_key.json", "--once", NULLIFIER, *signed).stdout)
    assert done["outcome"] == "ok"
    verifier = done["verifier"]
    proof = ("--proof", folder / "1.proof.json", "--public", folder / "1.public.json")
    assert json.loads(cli("zk", "submit", verifier, *proof, *signed).stdout)["outcome"] == "ok"
    assert "input-used" in cli("zk", "submit", verifier, *proof, *signed, code=1).stderr
    wrong = ("--proof", folder / "2.proof.json", "--public", folder / "3.public.json")
    assert "not-proved" in cli("zk", "submit", verifier, *wrong, *signed, code=1).stderr


@pytest.mark.parametrize("curve", ["bn128", "bls12381"])
def test_from_python_with_a_gate(devnet: Devnet, key: Key, curve: str) -> None:
    folder = MADE / curve
    with Client.from_net(devnet.path, key=key) as client:
        client.register_verifier(folder / "verification_key.json", named=[BOUND])
        verifier = zk.verifier_id(key.address, folder / "verification_key.json", named=[BOUND])
        bound = (101).to_bytes(32, "big")
        write = put(key.address, b"gated/" + curve.encode(), b"open")
        fails("precondition", client, require_proved(verifier, BOUND, bound), write)
        assert client.get(key.address, b"gated/" + curve.encode()) is None
        proof = json.loads((folder / "1.proof.json").read_bytes())
        public = json.loads((folder / "1.public.json").read_bytes())
        first = client.submit_proof(verifier, proof, public)
        again = client.submit_proof(verifier, zk.proof_bytes(proof), [int(text) for text in public])
        history = client.account_transactions(zk.address_of(verifier)).transactions
        assert history[:2] == (again.id, first.id)
        client.send([require_proved(verifier, BOUND, bound), write])
        assert client.get(key.address, b"gated/" + curve.encode()) == b"open"
        fails("precondition", client, require_proved(verifier, BOUND), write)
        with pytest.raises(ZkRefused):
            client.submit_proof(verifier, proof, ["-1", *public[1:]])
        raw = zk.proof_bytes(proof)
        fails("bad-proof", client, verify_proof(verifier, [bound], raw))
        fails("not-proved", client, verify_proof(verifier, [bound] * 4, raw))
        fails("no-such-verifier", client, verify_proof("ab" * 32, [bound] * 4, raw))
