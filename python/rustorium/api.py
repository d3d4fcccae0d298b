"""The ledger's three interfaces as protocols; the client implements them over the network.

Invariants: PURE; every check named here is made locally against the pinned genesis, never by trusting an endpoint.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from rustorium.types import (
    Block,
    Event,
    SignedTransaction,
    Submitted,
    TransactionStatus,
    Value,
    VerifiedProof,
    Wait,
    WriteProof,
)

Operation = Mapping[str, object]
"""One operation as JSON: {"type": "put", "namespace": "rs1…", "key_hex": "…", "value_hex": "…"}, and so on."""


class TransactionProcessor(Protocol):
    """Takes transactions and reports their outcome."""

    async def submit_transaction(
        self, transaction: SignedTransaction, *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> Submitted:
        """Sends a transaction to one endpoint after another until the deadline. Errors: Refused, Busy,
        OutcomeUnknown."""
        ...

    async def get_transaction(self, transaction: str, *, verify: bool = True) -> TransactionStatus:
        """Returns a transaction's status by its id, proven if it can be, unless `verify=False`."""
        ...

    def subscribe_transactions(self, filter: str | None = None, *, after: str | None = None) -> AsyncIterator[Event]:
        """Yields final transactions in order, after event `after` (`shard.height.index`) or from now on.

        There are no gaps and no duplicates."""
        ...


class ConsensusEngine(Protocol):
    """Turns transactions into final blocks, and checks what others call final."""

    async def propose_block(
        self, transactions: Sequence[SignedTransaction], *, timeout_ms: int | None = None
    ) -> tuple[Block, ...]:
        """Submits transactions, waits until they are final, and returns their blocks in height order."""
        ...

    async def validate_block(self, block: Block) -> Block:
        """Checks certificate, ancestry and payload root against the pinned genesis. Errors: ProofRefused."""
        ...

    async def wait_for_quorum(self, what: int | str, *, timeout_ms: int | None = None) -> Block:
        """Waits until a height, or the block of a transaction id, is final; returns it with its certificate, checked.
        Errors: NotReady at the deadline."""
        ...


class Storage(Protocol):
    """Reads and writes state, with proofs."""

    async def write_with_proof(self, operations: Sequence[Operation], *, timeout_ms: int | None = None) -> WriteProof:
        """Signs, submits, and waits until a quorum has certified the receipt and a root with the written values.

        The proofs are checked before they are returned. Errors: VerificationFailed."""
        ...

    async def read(self, namespace: str, key: bytes, *, at: str | int = "latest") -> Value:
        """Returns a key's value or its absence. With `at` "latest" or a height, the answer is the node's claim. With
        "proven", it is checked here under the newest root that a quorum certified.

        Errors: VerificationFailed, GenesisNeeded, NoStateRoot, Pruned."""
        ...

    async def verify_proof(self, proof: bytes) -> VerifiedProof:
        """Returns the facts that a proof file proves; only the genesis file is needed. Errors: VerificationFailed,
        GenesisNeeded."""
        ...
