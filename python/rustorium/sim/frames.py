"""Reads votes and headers out of canonical bytes: a second reader, for checkers that don't call what they check.

Invariants: knows the encoding of what it reads and no rule; bytes that don't fit are an error of the test, not of a
peer.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NOTARIZE, NULLIFY, FINALIZE = 0, 1, 2
CHANGES_BIT = 1 << 31
"""Of the length of what a vote says of held batches: lanes that changed, each with its index."""
PROPOSAL, VOTE, CERTIFICATE, HEARTBEAT, BATCH_TAG, REQUEST = 0, 1, 2, 3, 5, 7
BLOCK, BATCH = 0, 1
"""What is asked for by its digest."""
_BODY = struct.Struct("<32sIQQB32s")
"""chain, shard, epoch, view, kind, block"""
BODY_BYTES = _BODY.size
SIGNATURE_BYTES = 64
VOTE_BYTES = BODY_BYTES + 2 + SIGNATURE_BYTES
BATCH_HEAD_BYTES = 32 + 4 + 8 + 2 + 8 + 32
"""chain, shard, epoch, author, seq, digest of the one before; transactions follow"""
REPORT_BYTES = 2 * (8 + 32)
_HEADER = struct.Struct("<H32sIQQQ32sQHQ32sI")
"""version, chain, shard, epoch, view, height, parent, parent view, proposer, time, payload root, count of cursors"""
VIEW_AT, PROPOSER_AT, TIME_AT = 46, 102, 104
"""Where a header says so."""
CURSORS_AT = _HEADER.size
"""Where a header's cursors begin: next seq and tip of each lane."""
CURSOR_BYTES = 40
_MIDDLE = struct.Struct("<IQQ32sB")
"""transactions, work, load, set, kind of end; behind a closing block's the boundary's digest"""
_CLOSING = 2
_CLAIMS = struct.Struct("<32s32s32sQ32sB")
"""next set, parameters, shard map, claimed height and root, kind of state claim"""
_STATE = struct.Struct("<QQ32s")
"""height, first height of the period, root"""


class SeenVote(NamedTuple):
    """A vote in a frame."""

    epoch: int
    view: int
    kind: int
    block: bytes
    signer: int
    signature: bytes


@dataclass(frozen=True, slots=True)
class SeenHeader:
    """What a block's header says."""

    epoch: int
    view: int
    height: int
    parent: bytes
    parent_view: int
    proposer: int
    time_ms: int
    transactions: int
    ends_epoch: bool
    next_set: bytes
    claimed: tuple[int, bytes]
    """Height and result root."""
    rooted: tuple[int, bytes] | None
    """Height and state root."""
    tips: tuple[bytes, ...] = ()
    """Digest of the last listed batch of each lane; zeros where none is."""


def read_vote(raw: bytes, at: int = 0) -> SeenVote:
    """The signed vote that begins there."""
    _, _, epoch, view, kind, block = _BODY.unpack_from(raw, at)
    (signer,) = struct.unpack_from("<H", raw, at + _BODY.size)
    return SeenVote(epoch, view, kind, block, signer, raw[at + _BODY.size + 2 : at + VOTE_BYTES])


def read_header(raw: bytes, at: int = 0) -> tuple[SeenHeader, int]:
    """The header that begins there, and where it ends."""
    _, _, _, epoch, view, height, parent, parent_view, proposer, time_ms, _, cursors = _HEADER.unpack_from(raw, at)
    at += _HEADER.size
    tips = tuple(raw[at + lane * CURSOR_BYTES + 8 : at + (lane + 1) * CURSOR_BYTES] for lane in range(cursors))
    at += cursors * CURSOR_BYTES
    transactions, _, _, _, ends = _MIDDLE.unpack_from(raw, at)
    at += _MIDDLE.size + (32 if ends == _CLOSING else 0)
    next_set, _, _, claimed, root, state = _CLAIMS.unpack_from(raw, at)
    at += _CLAIMS.size
    rooted = None
    if state:
        rooted_height, _, state_root = _STATE.unpack_from(raw, at)
        rooted, at = (rooted_height, state_root), at + _STATE.size
    header = SeenHeader(
        epoch,
        view,
        height,
        parent,
        parent_view,
        proposer,
        time_ms,
        transactions,
        bool(ends),
        next_set,
        (claimed, root),
        rooted,
        tips,
    )
    return header, at


def certificate_end(raw: bytes, at: int) -> int:
    """The end of the optional certificate that begins there."""
    if not raw[at]:
        return at + 1
    at += 1 + _BODY.size
    (count,) = struct.unpack_from("<I", raw, at)
    return int(at + 4 + count * 66)


def certified_in(raw: bytes) -> SeenVote:
    """What a certificate certifies, as a vote of nobody."""
    _, _, epoch, view, kind, block = _BODY.unpack_from(raw)
    return SeenVote(epoch, view, kind, block, 0, b"")


def votes_in(frame: bytes) -> Iterator[SeenVote]:
    """The sender's own votes in a frame of the consensus class, but for a proposal's."""
    if frame[0] == VOTE:
        yield read_vote(frame, 1)
    elif frame[0] == HEARTBEAT:
        at = certificate_end(frame, certificate_end(frame, 1 + 8))
        (count,) = struct.unpack_from("<I", frame, at)
        for number in range(count):
            yield read_vote(frame, at + 4 + number * VOTE_BYTES)


def proposed_in(frame: bytes) -> tuple[SeenHeader, bytes, bytes] | None:
    """A proposal's header, the header's bytes, and the proposer's signature on its vote; None in other frames."""
    if frame[0] != PROPOSAL:
        return None
    header, end = read_header(frame, 1)
    at = end
    (count,) = struct.unpack_from("<I", frame, at)
    if count:
        return header, frame[1:end], b""  # the signature stands behind transactions, which this reader doesn't know
    return header, frame[1:end], frame[at + 4 : at + 68]


def wanted_in(frame: bytes) -> bytes | None:
    """What a question asks for by digest, but for the question's number; None in other frames."""
    return frame[9:] if frame[0] == REQUEST and frame[9] in (BLOCK, BATCH) else None


def carry_at(vote_frame: bytes) -> int:
    """Where a vote's frame says whether it carries a certificate."""
    at = 1 + VOTE_BYTES + REPORT_BYTES
    return at + held_bytes(vote_frame, at)


def held_bytes(frame: bytes, at: int) -> int:
    """The length of what a vote's frame says of held batches there: all lanes' counts, or those that changed."""
    (length,) = struct.unpack_from("<I", frame, at)
    changes = length & CHANGES_BIT
    return 4 + int(length & ~CHANGES_BIT) * (10 if changes else 8)


def notarization_at(proposal_frame: bytes) -> int | None:
    """Where a proposal's frame says whether it carries its parent's; None where transactions stand before it."""
    proposed = proposed_in(proposal_frame)
    if proposed is None or not proposed[2]:
        return None
    return 1 + len(proposed[1]) + 4 + SIGNATURE_BYTES
