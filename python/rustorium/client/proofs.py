"""Checks of what nodes say, against the genesis alone.

Invariants: the cryptography is in the extension; here its answer is compared with what the node claimed beside it.
"""

import json
from collections.abc import Callable
from typing import Any

from rustorium import _native
from rustorium.client import wire
from rustorium.errors import ProofRefused
from rustorium.types import Block, Receipt


def check_receipt(genesis: bytes, proof: bytes) -> Receipt:
    """The receipt that a quorum certified. Errors: ProofRefused."""
    return wire.parse(wire.receipt, json.loads(_refusing(_native.verify_receipt_proof, genesis, proof)))


def require_certificate(block: Block) -> None:
    """There is something to check. Errors: ProofRefused."""
    if not block.raw or not block.proof:
        raise ProofRefused(f"block {block.height} came without its certificate: ask for it again with proof=True")


def check_block(genesis: bytes, block: Block, parent: Block) -> Block:
    """Checks that a quorum of the genesis' validators finalized `block`, that `parent` is its parent, and that its
    payload root covers its inline transactions and the lane ranges between the two. Errors: ProofRefused."""
    require_certificate(block)
    header: dict[str, Any] = json.loads(_refusing(_native.verify_block, genesis, block.raw, block.proof))
    claimed = {
        "height": block.height,
        "view": block.view,
        "parent": block.parent,
        "proposer": block.proposer,
        "time_ms": block.time_ms,
        "transactions": block.transactions,
    }
    for name, value in claimed.items():
        if header.get(name) != value:
            raise ProofRefused(f"block {block.height} is certified with another {name}: don't trust that node")
    if _refusing(_native.block_digest, block.raw) != block.digest:
        raise ProofRefused(f"block {block.height} has another digest than was said: don't trust that node")
    if _refusing(_native.block_digest, parent.raw) != header["parent"]:
        raise ProofRefused(f"the parent of block {block.height} is another block: don't trust that node")
    if _refusing(_native.payload_root, block.raw, parent.raw) != header["payload_root"]:
        raise ProofRefused(f"block {block.height} lists another payload than is certified: don't trust that node")
    return block


def _refusing(check: Callable[..., str], *arguments: bytes) -> str:
    try:
        return check(*arguments)
    except _native.NativeError as error:
        raise ProofRefused(str(error.args[0]), code=error.code) from None
