"""The objects of the simulated data plane: members, batches, blocks and wire messages; a transaction is an int.

Invariants: values are immutable. A digest covers all of its value, so equal digests mean equal values. A *node* is an
address in the world; its place in a committee is another number, or `None`.
"""

import hashlib
from dataclasses import dataclass
from typing import NamedTuple

from rustorium.consensus.vocabulary import BlockFacts, Certificate, OwnVote

NS_PER_MS = 1_000_000
HEIGHT_BOUND = 8
"""Maximum number of heights between a claim and a block with a payload; an empty block may be further above its
claim.
"""


def hash_of(*parts: object) -> bytes:
    return hashlib.blake2b(repr(parts).encode(), digest_size=32).digest()


class Member(NamedTuple):
    """A validator: its node, and the number of the key with which the node signs."""

    node: int
    key: int


Committee = tuple[Member, ...]
"""Sorted; a member's place is its index in lanes, votes and views."""


def first_committee(n: int) -> Committee:
    """Nodes 0 to n - 1 with their first keys."""
    return tuple(Member(node, 0) for node in range(n))


@dataclass(frozen=True, slots=True)
class Batch:
    epoch: int
    author: int
    seq: int
    transactions: tuple[int, ...]
    digest: bytes


def make_batch(epoch: int, author: int, seq: int, transactions: tuple[int, ...]) -> Batch:
    return Batch(epoch, author, seq, transactions, hash_of("batch", epoch, author, seq, transactions))


class ListedBatch(NamedTuple):
    """A batch in a block's payload."""

    author: int
    seq: int
    digest: bytes


@dataclass(frozen=True, slots=True)
class Block:
    facts: BlockFacts
    payload: tuple[ListedBatch, ...]
    cursors: tuple[int, ...]
    """For each lane the next seq to list after this block."""
    claimed_root: bytes
    state_root: bytes
    """Root of the state after `facts.rooted_height`."""
    epoch: int
    next_set: Committee | None
    """The next epoch's committee, if the block ends its epoch."""


class EpochEnd(NamedTuple):
    """Proof of an epoch's end for nodes that know its committee (R31)."""

    boundary: Block
    closing: tuple[Block, ...]
    """The blocks from the boundary's child to the one that `proof` finalizes; empty if that is the boundary."""
    proof: Certificate

    @property
    def epoch(self) -> int:
        return self.boundary.epoch


GENESIS_ROOT = hash_of("root")
GENESIS_STATE = hash_of("state")


def genesis(committee: Committee) -> Block:
    digest = hash_of("genesis", committee)
    facts = BlockFacts(0, 0, digest, 0, digest, 0, 0, False, 0)
    return Block(facts, (), (0,) * len(committee), GENESIS_ROOT, GENESIS_STATE, 0, None)


# ---- wire messages: a core frame (vote, proposal, heartbeat) also ends its sender's silence


class Attachments(NamedTuple):
    """Data that travels beside every core frame, outside the signed bytes."""

    executed: int
    root: bytes
    rooted: int
    state_root: bytes
    held: tuple[int, ...]
    """For each lane the first seq that the sender lacks."""


class ProposalFrame(NamedTuple):
    block: Block
    certificates: tuple[Certificate, ...]
    riders: Attachments


class VoteFrame(NamedTuple):
    vote: OwnVote
    carry: Certificate | None
    riders: Attachments


class BeatFrame(NamedTuple):
    """A heartbeat, or own votes sent again."""

    certificates: tuple[Certificate, ...]
    votes: tuple[OwnVote, ...]
    proposals: tuple[ProposalFrame, ...]
    riders: Attachments


class CertificateFrame(NamedTuple):
    certificates: tuple[Certificate, ...]


class BatchFrame(NamedTuple):
    batch: Batch
    asked_for: bool


class BlockFrame(NamedTuple):
    blocks: tuple[Block, ...]


class ReportFrame(NamedTuple):
    riders: Attachments


class EpochEndFrame(NamedTuple):
    end: EpochEnd


class SubmitFrame(NamedTuple):
    """Transactions that a node without a lane forwards to a node with one."""

    transactions: tuple[int, ...]


class GetBlock(NamedTuple):
    digest: bytes


class GetBatch(NamedTuple):
    digest: bytes


class GetCertificates(NamedTuple):
    first_view: int
    last_view: int


class GetEpochEnd(NamedTuple):
    epoch: int


CoreFrame = ProposalFrame | VoteFrame | BeatFrame
Request = GetBlock | GetBatch | GetCertificates | GetEpochEnd
Message = CoreFrame | CertificateFrame | BatchFrame | BlockFrame | ReportFrame | EpochEndFrame | SubmitFrame | Request
