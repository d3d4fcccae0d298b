"""Reads votes and headers out of canonical bytes: a second reader, for checkers that don't call what they check.

Invariants: the reader knows the encoding and no rule; bytes that don't fit are an error of the test, not of a peer.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

NOTARIZE, NULLIFY, FINALIZE = 0, 1, 2
CHANGES_BIT = 1 << 31
"""Flag in the length of a vote's list of held batches: only lanes that changed follow, each with its index."""
PROPOSAL, VOTE, CERTIFICATE, HEARTBEAT, BATCH_TAG, REQUEST, WORK = 0, 1, 2, 3, 5, 7, 9
BLOCK, BATCH = 0, 1
"""The tags of questions that ask by digest."""
_BODY = struct.Struct("<32sIQQB32s")
"""chain, shard, epoch, view, kind, block"""
BODY_BYTES = _BODY.size
SIGNATURE_BYTES = 64
VOTE_BYTES = BODY_BYTES + 2 + SIGNATURE_BYTES
BATCH_HEAD_BYTES = 32 + 4 + 8 + 2 + 8 + 32
"""chain, shard, epoch, author, seq, digest of the previous batch; transactions follow"""
REPORT_BYTES = 2 * (8 + 32)
_HEADER = struct.Struct("<H32sIQQQ32sQHQ32sI")
"""version, chain, shard, epoch, view, height, parent, parent view, proposer, time, payload root, count of cursors"""
VIEW_AT, PROPOSER_AT, TIME_AT = 46, 102, 104
"""Offsets of these fields in a header."""
CURSORS_AT = _HEADER.size
"""Offset of a header's cursors: next seq and tip of each lane."""
CURSOR_BYTES = 40
_MIDDLE = struct.Struct("<IQQ32sB")
"""transactions, work, load, set, kind of end; in a closing block, the boundary's digest follows"""
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
    """Content of a block's header."""

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
    """Digest of the last listed batch of each lane; zeros if none is listed."""
    version: int = 1
    """Protocol version."""
    committee: bytes = b""
    """Hash of the epoch's committee."""


def read_vote(raw: bytes, at: int = 0) -> SeenVote:
    """Reads the signed vote at this offset."""
    _, _, epoch, view, kind, block = _BODY.unpack_from(raw, at)
    (signer,) = struct.unpack_from("<H", raw, at + _BODY.size)
    return SeenVote(epoch, view, kind, block, signer, raw[at + _BODY.size + 2 : at + VOTE_BYTES])


def read_header(raw: bytes, at: int = 0) -> tuple[SeenHeader, int]:
    """Reads the header at this offset; returns it with the offset of its end."""
    fields = _HEADER.unpack_from(raw, at)
    version, _, _, epoch, view, height, parent, parent_view, proposer, time_ms, _, cursors = fields
    at += _HEADER.size
    tips = tuple(raw[at + lane * CURSOR_BYTES + 8 : at + (lane + 1) * CURSOR_BYTES] for lane in range(cursors))
    at += cursors * CURSOR_BYTES
    transactions, _, _, committee, ends = _MIDDLE.unpack_from(raw, at)
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
        version,
        committee,
    )
    return header, at


def certificate_end(raw: bytes, at: int) -> int:
    """Returns the end of the optional certificate at this offset."""
    if not raw[at]:
        return at + 1
    at += 1 + _BODY.size
    (count,) = struct.unpack_from("<I", raw, at)
    return int(at + 4 + count * 66)


def certified_in(raw: bytes) -> SeenVote:
    """Returns what a certificate certifies, as a vote with a placeholder signer."""
    _, _, epoch, view, kind, block = _BODY.unpack_from(raw)
    return SeenVote(epoch, view, kind, block, 0, b"")


def votes_in(frame: bytes) -> Iterator[SeenVote]:
    """Yields the sender's own votes in a frame of the consensus class, except for a proposal's."""
    if frame[0] == VOTE:
        yield read_vote(frame, 1)
    elif frame[0] == HEARTBEAT:
        at = certificate_end(frame, certificate_end(frame, 1 + 8))
        (count,) = struct.unpack_from("<I", frame, at)
        for number in range(count):
            yield read_vote(frame, at + 4 + number * VOTE_BYTES)


def proposed_in(frame: bytes) -> tuple[SeenHeader, bytes, bytes] | None:
    """Returns a proposal's header, the header's bytes, and the proposer's signature on its vote; `None` for other
    frames."""
    if frame[0] != PROPOSAL:
        return None
    header, end = read_header(frame, 1)
    at = end
    (count,) = struct.unpack_from("<I", frame, at)
    if count:
        return header, frame[1:end], b""  # the signature follows the transactions, which this reader can't parse
    return header, frame[1:end], frame[at + 4 : at + 68]


def wanted_in(frame: bytes) -> bytes | None:
    """Returns what a question asks for by digest, without the question's number; `None` for other frames."""
    return frame[9:] if frame[0] == REQUEST and frame[9] in (BLOCK, BATCH) else None


def carry_at(vote_frame: bytes) -> int:
    """Returns the offset of the flag that says whether a vote's frame carries a certificate."""
    at = 1 + VOTE_BYTES + REPORT_BYTES
    return at + held_bytes(vote_frame, at)


def held_bytes(frame: bytes, at: int) -> int:
    """Returns the length of a vote's list of held batches: the counts of all lanes, or of those that changed."""
    (length,) = struct.unpack_from("<I", frame, at)
    changes = length & CHANGES_BIT
    return 4 + int(length & ~CHANGES_BIT) * (10 if changes else 8)


def notarization_at(proposal_frame: bytes) -> int | None:
    """Returns the offset of the flag that says whether a proposal's frame carries its parent's notarization; `None` if
    transactions precede it."""
    proposed = proposed_in(proposal_frame)
    if proposed is None or not proposed[2]:
        return None
    return 1 + len(proposed[1]) + 4 + SIGNATURE_BYTES
