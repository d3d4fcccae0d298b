"""The three interfaces of the ledger, as protocols: what the client implements over the network.

Invariants: PURE; every check named here is made locally against the pinned genesis, never by trusting an endpoint.
"""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Protocol

from rustorium.types import (
    Block,
    Event,
    Shown,
    SignedTransaction,
    Submitted,
    TransactionStatus,
    Value,
    Wait,
    WriteProof,
)

Operation = Mapping[str, object]
"""One operation as JSON: {"type": "put", "namespace": "rs1…", "key_hex": "…", "value_hex": "…"}, and so on."""


class TransactionProcessor(Protocol):
    """Takes transactions and says what became of them."""

    async def submit_transaction(
        self, transaction: SignedTransaction, *, wait: Wait = "final", timeout_ms: int | None = None
    ) -> Submitted:
        """Sends it, to other endpoints too until the deadline. Errors: Refused, Busy, OutcomeUnknown."""
        ...

    async def get_transaction(self, transaction: str, *, verify: bool = True) -> TransactionStatus:
        """Where it is, by id; proven where it can be, unless `verify=False`."""
        ...

    def subscribe_transactions(self, filter: str | None = None, *, after: str | None = None) -> AsyncIterator[Event]:
        """Final transactions in order, from behind event `after` (`shard.height.index`) or from now, without a gap."""
        ...


class ConsensusEngine(Protocol):
    """Turns transactions into final blocks, and checks what others call final."""

    async def propose_block(
        self, transactions: Sequence[SignedTransaction], *, timeout_ms: int | None = None
    ) -> tuple[Block, ...]:
        """Submits them, waits, and returns the final blocks that hold them, in height order."""
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
        """Signs, submits and waits until a quorum certified the receipt and a root that holds what was written; the
        proofs are checked before they are returned. Errors: VerificationFailed."""
        ...

    async def read(self, namespace: str, key: bytes, *, at: str | int = "latest") -> Value:
        """A key's value or its absence: `at` is "latest" or a height, on the node's word, or "proven", checked here
        under the newest root that a quorum certified.

        Errors: VerificationFailed, GenesisNeeded, NoStateRoot, Pruned."""
        ...

    async def verify_proof(self, proof: bytes) -> Shown:
        """What a proof file shows, from the genesis file alone. Errors: VerificationFailed, GenesisNeeded."""
        ...
