"""A block's Groth16 proofs, checked by the client as one equation, for users who don't rely on a quorum's check.

Invariants: every checked proof was in a transaction that a quorum certified as executed in that block. A verifier's key
is the one that its id names. An invalid proof is named by its transaction and operation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustorium import _native
from rustorium.errors import ProofRefused, ZkRefused
from rustorium.types import Receipt
from rustorium.zk import groth16 as zk


@dataclass(frozen=True)
class Verifier:
    """A verifier as its owner registered it; its id is a hash of all its fields."""

    owner: str
    """The address of the account that registered it."""
    key: zk.Document
    named: Sequence[int] = ()
    once: Sequence[int] = ()

    @property
    def id(self) -> str:
        """The id that transactions name. Errors: ZkRefused, UsageError."""
        return zk.verifier_id(self.owner, self.key, named=self.named, once=self.once)


@dataclass(frozen=True)
class ProofInBlock:
    """A proof in a block."""

    transaction: str
    operation: int
    """The number of the operation in its transaction, from 0."""
    verifier: str
    inputs: tuple[bytes, ...]
    proof: bytes


ProvedHere = ProofInBlock
"""The former name of `ProofInBlock`."""


@dataclass(frozen=True)
class BlockProofs:
    """Result of `verify_block_proofs`."""

    height: int
    verified: tuple[ProofInBlock, ...]
    unknown: tuple[ProofInBlock, ...]
    """Proofs for verifiers that weren't given: the quorum accepted them, nothing was checked here."""


def in_block(facts: Mapping[str, Any], receipt: Receipt) -> list[ProofInBlock]:
    """Returns the proofs of a transaction, from the content of its proof file.

    Errors: ProofRefused if the file is about another transaction; KeyError, TypeError or ValueError if a field is
    missing."""
    shown = facts["receipt"]
    place = (receipt.transaction, receipt.height, receipt.index, "ok")
    if (shown["id"], shown["height"], shown["index"], shown["outcome"]) != place:
        raise ProofRefused(f"transaction {receipt.transaction} is not where the node listed it: don't trust that node")
    return [
        ProofInBlock(
            receipt.transaction,
            number,
            operation["verifier"],
            tuple(bytes.fromhex(each) for each in operation["inputs"]),
            bytes.fromhex(operation["proof_hex"]),
        )
        for number, operation in enumerate(facts["transaction"]["operations"])
        if operation["type"] == "verify_proof"
    ]


def check(height: int, proofs: Sequence[ProofInBlock], verifiers: Sequence[Verifier]) -> BlockProofs:
    """Verifies the proofs as one equation. Errors: ZkRefused, which names the first invalid one."""
    keys = {verifier.id: zk.key_bytes(verifier.key) for verifier in verifiers}
    known = [proof for proof in proofs if proof.verifier in keys]
    verdicts = _native.zk_verify_all([(keys[one.verifier], one.proof, list(one.inputs)) for one in known])
    for proof, verdict in zip(known, verdicts, strict=True):
        if verdict is not None:
            code, sentence = verdict
            raise ZkRefused(
                f"operation {proof.operation} of transaction {proof.transaction}, which a quorum certified: {sentence}",
                code=code,
            )
    return BlockProofs(height, tuple(known), tuple(proof for proof in proofs if proof.verifier not in keys))
