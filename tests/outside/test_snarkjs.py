"""A proof by the real circom and snarkjs for one transaction lets that transaction pass, and no other."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from rustorium.client import Client, Key
from rustorium.client.operations import put, require_proved
from rustorium.errors import ZkRefused
from rustorium.net.devnet import Devnet
from rustorium.zk import groth16 as zk

pytestmark = [pytest.mark.outside, pytest.mark.timeout(3600)]

RECIPE = Path(__file__).resolve().parents[1] / "zk" / "recipe"
NULLIFIER, BOUND = 1, 3
LIFETIME_S = 3600.0


class Circuit:
    """The circuit `gate.circom` with its own key on one curve."""

    def __init__(self, curve: str, folder: Path) -> None:
        self.curve, self.folder = curve, folder
        self.run()
        self.key = folder / "verification_key.json"

    def run(self, *inputs: Path) -> None:
        tools = os.environ["RUSTORIUM_SNARKJS"]
        command = [RECIPE, tools, self.curve, self.folder, *inputs]
        done = subprocess.run(list(map(str, command)), capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr

    def prove(self, name: str, **signals: int) -> tuple[Any, Any]:
        given = self.folder / f"{name}.json"
        given.write_text(json.dumps({signal: str(value) for signal, value in signals.items()}))
        self.run(given)
        proof, public = self.folder / f"{name}.proof.json", self.folder / f"{name}.public.json"
        return json.loads(proof.read_text()), json.loads(public.read_text())


@pytest.mark.parametrize("curve", ["bn128", "bls12381"])
def test_a_proof_for_one_transaction(devnet: Devnet, tmp_path: Path, curve: str) -> None:
    circuit = Circuit(curve, tmp_path)
    with pytest.raises(ZkRefused) as refused:
        zk.key_bytes(tmp_path / "uncontributed_key.json")
    assert refused.value.code == "zk-delta-is-generator"
    one, other = (Key.open(account.key_file) for account in devnet.net.accounts[:2])
    with Client.from_net(devnet.path, key=one, timeout_s=60) as client:
        client.register_verifier(circuit.key, named=[BOUND], once=[NULLIFIER])
        verifier = zk.verifier_id(one.address, circuit.key, named=[BOUND], once=[NULLIFIER])
        gate = [require_proved(verifier, BOUND), put(other.address, b"gate/" + curve.encode(), b"passed")]
        gated = client.sign(gate, key=other, timeout_s=LIFETIME_S)
        bound = zk.transaction_input(gated.id)
        proof, public = circuit.prove("gate", secret=7, scope=1, bound=bound)
        assert int(public[BOUND]) == bound
        zk.verify(circuit.key, proof, public)
        client.submit_proof(verifier, proof, public)
        passed = client.submit_transaction(gated)
        assert passed.receipt is not None
        assert passed.receipt.failure is None
        again = client.submit_transaction(client.sign(gate, key=other))
        assert again.receipt is not None
        assert again.receipt.failure is not None
        assert again.receipt.failure.code == "precondition"
        # Another proof by the same secret for the same scope has the same nullifier.
        proof, public = circuit.prove("again", secret=7, scope=1, bound=bound + 1)
        used = client.submit_transaction(client.sign([_submission(verifier, proof, public)]))
        assert used.receipt is not None
        assert used.receipt.failure is not None
        assert used.receipt.failure.code == "input-used"


def _submission(verifier: str, proof: Any, public: Any) -> dict[str, object]:
    from rustorium.client.operations import verify_proof

    raw = zk.proof_bytes(proof)
    return verify_proof(verifier, zk.input_bytes(public, raw), raw)
