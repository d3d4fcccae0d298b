"""The rollup example on a devnet: opened, settled, checked by others, and required by another application."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.client import Client, Key, Verifier
from rustorium.client.operations import put, require_proved, require_value, verify_proof
from rustorium.errors import TransactionFailed
from rustorium.net.devnet import Devnet
from rustorium.zk import groth16 as zk
from rustorium.zk import rollup
from rustorium.zk.rollup import Prover, State, Transfer

pytestmark = pytest.mark.nodes
ROOT = Path(__file__).resolve().parents[2]


def example(*arguments: object, code: int = 0) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, str(ROOT / "examples" / "rollup.py"), *map(str, arguments)]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert ended.returncode == code, ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def test_a_shop_settles_its_batches_and_others_check_them(devnet: Devnet, tmp_path: Path) -> None:
    account = devnet.net.accounts[2].key_file
    key, other = Key.open(account), Key.open(devnet.net.accounts[1].key_file)
    shop = ("--net", devnet.path, "--key", account)
    assert rollup.WARNING in example("open", *shop, "--coins", "1000,500").stderr
    lines = [f"0 {7 + number} 10" for number in range(rollup.TRANSFERS_MAX)] + ["1 0 500", "0 255 1"]
    (tmp_path / "transfers").write_text("\n".join(lines))
    assert "14 transfers by 2 proofs" in example("settle", tmp_path / "transfers", *shop).stdout
    balances = dict(
        map(int, line.split()) for line in example("check", key.address, "--net", devnet.path).stdout.splitlines()
    )
    assert balances == {0: 1379, 255: 1} | {7 + number: 10 for number in range(rollup.TRANSFERS_MAX)}
    (tmp_path / "bad").write_text("0 1 1\n0 1 -5\n")
    assert "'0 1 -5' is not a transfer" in example("settle", tmp_path / "bad", *shop, code=2).stderr
    assert "is not a list of balances" in example("open", *shop, "--coins", "ten", code=2).stderr
    (tmp_path / "poor").write_text("3 4 1")
    assert "account 3 has 0" in example("settle", tmp_path / "poor", *shop, code=1).stderr

    with Client.from_net(devnet.path, key=key) as client:
        state = State.of(balances.get(number, 0) for number in range(rollup.ACCOUNTS))
        opened = client.get(key.address, b"coins/opened")
        assert opened is not None
        verifying = bytes.fromhex(json.loads(opened)["key"])
        verifier = Verifier(key.address, verifying, named=(rollup.OLD_ROOT, rollup.NEW_ROOT))
        # Another account acts on the settlement, and on no root that wasn't proved.
        act = put(other.address, b"paid", b"yes")
        client.send([require_proved(verifier.id, rollup.NEW_ROOT, state.root), act], key=other)
        with pytest.raises(TransactionFailed) as refused:
            client.send([require_proved(verifier.id, rollup.NEW_ROOT, State.of([1]).root), act], key=other)
        assert refused.value.failure == "precondition"

        # A proof settles only its own step: neither from another root nor to another root.
        settled = Prover.insecure().prove(state, [Transfer(0, 1, 79)])
        lies = [settled.inputs[0], State.of([10**6]).root, settled.inputs[2]]
        for inputs, start, failure in (
            (lies, state, "not-proved"),
            (settled.inputs, State.of([1000, 500]), "precondition"),
        ):
            with pytest.raises(TransactionFailed) as refused:
                client.send(
                    [
                        require_value(key.address, b"coins/root", start.root),
                        verify_proof(verifier.id, inputs, settled.proof),
                        put(key.address, b"coins/root", inputs[1]),
                    ]
                )
            assert refused.value.failure == failure
        assert client.get(key.address, b"coins/root") == state.root

        # A light client checks a settled block's proofs itself.
        last = client.account_transactions(zk.address_of(verifier.id)).transactions[0]
        receipt = client.get_transaction(last).receipt
        assert receipt is not None
        found = client.verify_block_proofs(receipt.height, [verifier])
        assert [(proof.transaction, proof.operation) for proof in found.verified] == [(last, 1)]
        assert found.verified[0].inputs[rollup.NEW_ROOT] == state.root
        assert found.unknown == ()
        blind = client.verify_block_proofs(receipt.height, [])
        assert (blind.verified, blind.unknown) == ((), found.verified)

        # A root without a batch that leads to it is detected.
        client.send([put(key.address, b"coins/root", State.of([10**6]).root)])
    assert "don't trust that shop" in example("check", key.address, "--net", devnet.path, code=4).stderr
