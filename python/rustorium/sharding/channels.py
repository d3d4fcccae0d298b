"""Channels (T5, T6, T9, T14, T15): the ordered streams of chunks between two shards, from one side's leaf.

Invariants: a channel doesn't know the meaning of its entries. A chunk is taken once and in order. A chunk that isn't
acknowledged is a leaf. An old head changes nothing.
"""

from collections.abc import Hashable
from typing import NamedTuple


class Chunk(NamedTuple):
    """A `Chunk` leaf of the source (T5)."""

    number: int
    took: int
    """Answers for all chunks of the peer below this number stand in this chunk or in earlier ones (T15a)."""
    entries: tuple[Hashable, ...]
    tip: int
    """The tip of the stream after this chunk."""
    version: int = 1
    """The protocol version that the entries are written in (T29)."""
    open: bool = True
    """`True` until an answer settles the chunk. A settled chunk's leaf has only its hash; the model keeps entries."""


class Peer(NamedTuple):
    """A `Peer` leaf: the newest term of another shard that this one has taken (T16)."""

    epoch: int = 0
    fork: int = 0
    """The time line of the committee: each restore of a shard by its owners begins a new one (T26)."""
    version: int = 1
    stopped: int = -1
    """The epoch that the peer's owners ended by a `Stop` (T26)."""


class Channel(NamedTuple):
    """One shard's `Channel` leaf of the two streams between itself and a peer, with its `Chunk` and `Peer` leaves."""

    peer: int
    out_next: int = 0
    out_tip: int = 0
    acked: int = 0
    """The number up to which the peer is known to have taken chunks."""
    acked_tip: int = 0
    in_next: int = 0
    in_tip: int = 0
    peer_acked: int = 0
    """The number up to which the peer knows that chunks were taken here."""
    chunks: tuple[Chunk, ...] = ()
    """Chunks that aren't acknowledged."""
    broken: bool = False
    """`True` once one side contradicted the other (T14). Only people can reconcile them."""
    term: Peer = Peer()


class Head(NamedTuple):
    """A stamped head: the state of a shard's channel to one peer, signed by a quorum of one epoch's committee (T7)."""

    own: int
    peer: int
    epoch: int
    fork: int
    out_next: int
    out_tip: int
    in_next: int
    in_tip: int
    acked: int
    broken: bool
    chunks: tuple[Chunk, ...] = ()
    """The open chunks of the source at this time, which a courier can fetch. They are not stamped."""


class Delivery(NamedTuple):
    """An item of a block: a stamped head, with the next chunks (T10)."""

    head: Head
    chunks: tuple[Chunk, ...] = ()
    rest: tuple[Chunk, ...] = ()
    """The chunks after them, of which a delivery has only the hashes."""


def tip_after(tip: int, took: int, entries: tuple[Hashable, ...], version: int) -> int:
    """Returns the tip after a chunk: a hash over the tip before it and the chunk."""
    return hash((tip, took, entries, version))


def append(channel: Channel, entries: tuple[Hashable, ...], took: int, version: int = 1) -> Channel:
    """Appends a chunk to the stream (T5)."""
    tip = tip_after(channel.out_tip, took, entries, version)
    chunk = Chunk(channel.out_next, took, entries, tip, version)
    return channel._replace(out_next=channel.out_next + 1, out_tip=tip, chunks=(*channel.chunks, chunk))


def head_of(own: int, epoch: int, fork: int, channel: Channel) -> Head:
    """Returns the head of the newest executed height, stamped by the committee that sits now (T6, T7, T24)."""
    cursors = (channel.out_next, channel.out_tip, channel.in_next, channel.in_tip, channel.acked)
    return Head(own, channel.peer, epoch, fork, *cursors, channel.broken, channel.chunks)


# ---- checks of a delivery (T9) ---------------------------------------------------------------------------------------


def is_current(channel: Channel, expired: frozenset[tuple[int, int]]) -> bool:
    """Checks that the peer's keys haven't expired (T9.1)."""
    return (channel.peer, channel.term.epoch) not in expired


def is_stamped_by_peer(channel: Channel, head: Head) -> bool:
    """Checks that a head is stamped by the committee that this side knows (T9.2)."""
    return (head.epoch, head.fork) == (channel.term.epoch, channel.term.fork)


def is_stopped(channel: Channel, head: Head) -> bool:
    """Checks whether owners have ended the epoch of a head, or a later one (T26)."""
    return head.epoch <= channel.term.stopped


def is_of_this_channel(own: int, channel: Channel, head: Head) -> bool:
    """Checks that a head names the peer and this shard (T9.2)."""
    return (head.own, head.peer) == (channel.peer, own)


def contradicts(channel: Channel, head: Head) -> bool:
    """Checks whether a stamped head contradicts this shard's own leaf (T14). Old heads contradict nothing."""
    return (
        head.in_next > channel.out_next
        or not has_own_tip(channel, head)
        or head.acked > channel.in_next
        or (head.out_next == channel.in_next and head.out_tip != channel.in_tip)
        or head.broken
    )


def has_own_tip(channel: Channel, head: Head) -> bool:
    """Checks that the chunks that the peer took are those that this side sent: contents, not only numbers (T14b)."""
    if head.in_next < channel.acked:
        return True
    tips = {channel.acked: channel.acked_tip, **{chunk.number + 1: chunk.tip for chunk in channel.chunks}}
    return tips.get(head.in_next) == head.in_tip


def breaks(channel: Channel, delivery: Delivery) -> bool:
    """Checks whether a delivery breaks the channel: never by what a leader adds to a head (T14)."""
    return contradicts(channel, delivery.head)


def leads(channel: Channel, delivery: Delivery) -> bool:
    """Checks that chunks and rest are the next ones and lead to exactly the stamped tip (T9.4)."""
    number, tip = channel.in_next, channel.in_tip
    for chunk in (*delivery.chunks, *delivery.rest):
        if chunk.number != number:
            return False
        number, tip = number + 1, tip_after(tip, chunk.took, chunk.entries, chunk.version)
    return (number, tip) == (delivery.head.out_next, delivery.head.out_tip)


def take(channel: Channel, chunk: Chunk) -> Channel:
    """Moves the cursor past a chunk."""
    tip = tip_after(channel.in_tip, chunk.took, chunk.entries, chunk.version)
    return channel._replace(in_next=channel.in_next + 1, in_tip=tip)


# ---- acknowledgement (T15) -------------------------------------------------------------------------------------------


def acknowledge(channel: Channel, number: int) -> Channel:
    """Deletes the leaves of the chunks below a number, which the peer took. Only numbers above the known one count."""
    gone = [chunk for chunk in channel.chunks if chunk.number < number]
    if not gone:
        return channel
    kept = channel.chunks[len(gone) :]
    return channel._replace(acked=gone[-1].number + 1, acked_tip=gone[-1].tip, chunks=kept)


def closes(channel: Channel, number: int) -> Channel:
    """Marks a chunk as settled by its answer (T13)."""
    chunks = tuple(c._replace(open=False) if c.number == number else c for c in channel.chunks)
    return channel._replace(chunks=chunks)


def may_come_alone(channel: Channel, head: Head) -> bool:
    """Checks that a head without chunks is listed: it acknowledges chunks, or it contradicts (T18)."""
    return head.in_next > channel.acked or contradicts(channel, head)


# ---- terms (T16) -----------------------------------------------------------------------------------------------------


def follows(term: Peer, line: tuple[int, ...]) -> bool:
    """Checks that a term is the next one in a shard's line of committees after the known term."""
    known = term.epoch < len(line) and line[term.epoch] == term.fork
    return known and term.epoch + 1 < len(line) and is_by_owners_if_stopped(term, line)


def is_by_owners_if_stopped(term: Peer, line: tuple[int, ...]) -> bool:
    """Checks that the epoch that a `Stop` named is followed by a term of the peer's owners (T26)."""
    return term.epoch != term.stopped or line[term.epoch + 1] != term.fork


def next_term(term: Peer, line: tuple[int, ...], version: int) -> Peer:
    """Returns the peer's next term."""
    fork = line[term.epoch + 1]
    return Peer(term.epoch + 1, fork, version, term.stopped if fork == term.fork else -1)


def agree(one: Channel, other: Channel) -> bool:
    """Checks that neither of the two sides of a channel contradicts the other (T14, T26)."""
    heads = head_of(other.peer, 0, 0, one), head_of(one.peer, 0, 0, other)
    return not contradicts(other, heads[0]) and not contradicts(one, heads[1])
