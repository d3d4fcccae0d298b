"""What the simulated data plane moves about: batches, blocks and wire messages; a transaction is just an int.

Invariants: values are immutable; a digest covers all of its value, so equal digests mean equal values.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from rustorium.consensus.vocabulary import BlockFacts, Certificate, OwnVote

NS_PER_MS = 1_000_000
HEIGHT_BOUND = 8
"""Beyond this many heights between a block and its claim a payload is invalid, an empty block is not (design 5)."""


def hash_of(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


@dataclass(frozen=True, slots=True)
class Batch:
    author: int
    seq: int
    transactions: tuple[int, ...]
    digest: bytes


def make_batch(author: int, seq: int, transactions: tuple[int, ...]) -> Batch:
    return Batch(author, seq, transactions, hash_of("batch", author, seq, transactions))


class Listed(NamedTuple):
    """One batch in a block's payload."""

    author: int
    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Block:
    facts: BlockFacts
    payload: tuple[Listed, ...]
    cursors: tuple[int, ...]
    """Per lane the next seq to list after this block."""
    claimed_root: bytes
    state_root: bytes
    """Of the state after `facts.rooted_height`."""


GENESIS_ROOT = hash_of("root")
GENESIS_STATE = hash_of("state")


def genesis(n: int) -> Block:
    digest = hash_of("genesis", n)
    return Block(BlockFacts(0, 0, digest, 0, digest, 0, 0, False, 0), (), (0,) * n, GENESIS_ROOT, GENESIS_STATE)


def make_block(
    view: int,
    parent: Block,
    time_ms: int,
    payload: tuple[Listed, ...],
    claim: tuple[int, bytes],
    n: int,
    rooted: tuple[int, bytes] | None = None,
) -> Block:
    """A block on `parent`; without `rooted` it claims the state root that its parent does."""
    cursors = list(parent.cursors)
    for item in payload:
        cursors[item.author] = item.seq + 1
    height, above = parent.facts.height + 1, parent.facts
    time_ms = max(time_ms, above.time_ms + 1)
    rooted = (above.rooted_height, parent.state_root) if rooted is None else rooted
    digest = hash_of("block", view, height, above.view, above.digest, time_ms, payload, cursors, claim, rooted)
    facts = BlockFacts(
        view, height, digest, above.view, above.digest, view % n, time_ms, bool(payload), claim[0], rooted[0]
    )
    return Block(facts, payload, tuple(cursors), claim[1], rooted[1])


# ---- wire messages: a core frame (vote, proposal, heartbeat) also ends its sender's silence


class Riders(NamedTuple):
    """What travels beside every core frame, outside the signed bytes."""

    executed: int
    root: bytes
    rooted: int
    state_root: bytes
    held: tuple[int, ...]
    """Per lane the first seq that the sender doesn't hold."""


class ProposalFrame(NamedTuple):
    block: Block
    certificates: tuple[Certificate, ...]
    riders: Riders


class VoteFrame(NamedTuple):
    vote: OwnVote
    carry: Certificate | None
    riders: Riders


class BeatFrame(NamedTuple):
    """A heartbeat, or own votes sent again."""

    certificates: tuple[Certificate, ...]
    votes: tuple[OwnVote, ...]
    proposals: tuple[ProposalFrame, ...]
    riders: Riders


class CertificateFrame(NamedTuple):
    certificates: tuple[Certificate, ...]


class BatchFrame(NamedTuple):
    batch: Batch
    asked_for: bool


class BlockFrame(NamedTuple):
    blocks: tuple[Block, ...]


class ReportFrame(NamedTuple):
    riders: Riders


class GetBlock(NamedTuple):
    digest: bytes


class GetBatch(NamedTuple):
    digest: bytes


class GetCertificates(NamedTuple):
    first_view: int
    last_view: int


CoreFrame = ProposalFrame | VoteFrame | BeatFrame
Request = GetBlock | GetBatch | GetCertificates
Message = CoreFrame | CertificateFrame | BatchFrame | BlockFrame | ReportFrame | Request
