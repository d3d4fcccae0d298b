"""Checks blocks with the light client.

Invariants: the cryptography is in the extension; this module compares its result with the node's claims.
"""

from rustorium import _native
from rustorium.client.light import LightClient
from rustorium.client.trust import translate_errors
from rustorium.errors import ProofRefused
from rustorium.types import Block


def require_certificate(block: Block) -> None:
    """Checks that the block came with its certificate. Errors: ProofRefused."""
    if not block.raw or not block.proof:
        raise ProofRefused(f"block {block.height} came without its certificate: ask for it again with proof=True")


async def check_block(light: LightClient, block: Block, parent: Block) -> Block:
    """Checks that a quorum finalized `block`, that `parent` is its parent, and that its payload root covers its inline
    transactions and the lane ranges between the two. Errors: ProofRefused."""
    require_certificate(block)
    header, digest = await light.check_block(block)
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
    if digest != block.digest:
        raise ProofRefused(f"block {block.height} has another digest than the node said: don't trust that node")
    if translate_errors(_native.block_digest, parent.raw) != header["parent"]:
        raise ProofRefused(f"the parent of block {block.height} is another block: don't trust that node")
    if translate_errors(_native.payload_root, block.raw, parent.raw) != header["payload_root"]:
        raise ProofRefused(f"block {block.height} lists another payload than is certified: don't trust that node")
    return block
