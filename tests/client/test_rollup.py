"""A rollup's state, batches and proofs, without a ledger."""

import pytest

from rustorium.errors import UsageError, ZkRefused
from rustorium.zk import groth16 as zk
from rustorium.zk import rollup
from rustorium.zk.rollup import BatchRefused, Prover, State, Transfer, batch_from_bytes, batch_hash, batch_to_bytes

START = State.of([100, 0, 7])


def test_a_batch_moves_balances_and_keeps_their_sum() -> None:
    after = START.after([Transfer(0, 1, 60), Transfer(1, 2, 10), Transfer(2, 2, 17)])
    assert after.balances[:4] == (40, 50, 17, 0)
    assert sum(after.balances) == sum(START.balances)
    assert len({START.root, after.root, State.of([40, 50, 17, 1]).root}) == 3
    assert START.after([]) == START


@pytest.mark.parametrize(
    ("transfers", "said"),
    [
        ([Transfer(0, 1, 101)], "transfer 0 is of 101 and account 0 has 100"),
        ([Transfer(0, 1, 60), Transfer(0, 1, 60)], "transfer 1 is of 60 and account 0 has 40"),
        ([Transfer(0, 1, 1)] * 13, "at most 12 transfers, this one has 13"),
    ],
)
def test_what_breaks_a_rule_is_named(transfers: list[Transfer], said: str) -> None:
    with pytest.raises(BatchRefused, match=said):
        START.after(transfers)


def test_a_balance_has_64_bits() -> None:
    with pytest.raises(BatchRefused, match="pass 64 bits"):
        State.of([1, 2**64 - 1]).after([Transfer(0, 1, 1)])
    for bad in ([2**64], [-1], [0] * 257):
        with pytest.raises(UsageError):
            State.of(bad)
    for sender, receiver, amount in ((256, 0, 1), (0, -1, 1), (0, 1, 2**64), (0, 1, -1)):
        with pytest.raises(UsageError):
            Transfer(sender, receiver, amount)


def test_a_published_batch_has_one_spelling() -> None:
    batch = (Transfer(0, 1, 60), Transfer(255, 2, 2**64 - 1))
    assert batch_from_bytes(batch_to_bytes(batch)) == batch
    for bad in (b"[[0, 1, 60]]", b"[[0,1]]", b"[[0,1,true]]", b'[["0",1,60]]', b"[[0,1,-1]]", b"{}x", b"7", b"\xff"):
        with pytest.raises(BatchRefused):
            batch_from_bytes(bad)


def test_a_batchs_hash_names_every_transfer_in_its_place() -> None:
    one, two = Transfer(0, 1, 60), Transfer(1, 0, 60)
    hashes = [batch_hash(batch) for batch in ([one], [two], [one, two], [two, one], [one, one], [])]
    assert len(set(hashes)) == len(hashes)
    # A batch is padded with transfers of amount 0.
    assert batch_hash([one, Transfer(0, 0, 0)]) == batch_hash([one])


@pytest.mark.nodes
def test_a_proof_is_of_its_batch_alone() -> None:
    prover = Prover.insecure()
    batch = [Transfer(0, 1, 60), Transfer(1, 200, 5)]
    settled = prover.prove(START, batch)
    assert settled.inputs == (START.root, settled.state.root, batch_hash(batch))
    assert settled.state == START.after(batch)
    zk.verify(prover.verifying_key, settled.proof, settled.inputs)
    for at in range(3):
        inputs = list(settled.inputs)
        inputs[at] = State.of([at]).root
        with pytest.raises(ZkRefused):
            zk.verify(prover.verifying_key, settled.proof, inputs)
    with pytest.raises(BatchRefused):
        prover.prove(START, [Transfer(5, 0, 1)])
    assert rollup.WARNING
