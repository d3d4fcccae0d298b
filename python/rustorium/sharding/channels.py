"""Channels (S22 to S33): the ordered streams between two shards, from one side's leaf.

Invariants: a channel knows nothing of what its entries mean. A chunk is taken once and in order. What was not taken
is never deleted. A head of the past changes nothing.
"""

from typing import NamedTuple

from rustorium.sharding.vocabulary import REQUESTS, Entry


class Waiting(NamedTuple):
    """An `Out` leaf: a chunk that was sent, and the tip of the stream after it (S30)."""

    number: int
    entry: Entry
    tip: int


class Channel(NamedTuple):
    """One shard's leaf of the two streams between itself and a peer (S22)."""

    peer: int
    epoch: int
    """The peer's epoch whose keys are believed; -1 until root's map or a birth names the peer (S37)."""
    in_next: int = 0
    in_tip: int = 0
    out_next: int = 0
    out_tip: int = 0
    peer_in: int = 0
    """The number up to which the peer is known to have taken chunks."""
    out: tuple[Waiting, ...] = ()
    """Chunks that wait: requests for their answer, responses for being taken (S31)."""
    broken: bool = False
    """One side was set back behind the other (S30). Only people can reconcile them."""
    version: int = 1
    """The peer's protocol version."""
    void: int = -1
    """The newest epoch of the peer whose stamps root's map declared void (S53)."""
    height: int = 0
    """The highest height of a verified head. No rule reads it (S30)."""


class Head(NamedTuple):
    """What a quorum of `shard`'s committee of `epoch` stamped about its channel to one peer (S24), with its chunks."""

    shard: int
    epoch: int
    out_next: int
    out_tip: int
    in_next: int
    in_tip: int
    chunks: tuple[Waiting, ...]
    height: int = 0
    """For people; never compared (S30)."""


def head_of(shard: int, epoch: int, channel: Channel, height: int = 0) -> Head:
    """Returns the head of the newest executed height, stamped by the committee that sits now (S24, S25)."""
    return Head(shard, epoch, channel.out_next, channel.out_tip, channel.in_next, channel.in_tip, channel.out, height)


def tip_after(tip: int, entry: Entry) -> int:
    """Returns the tip after a chunk: a hash over the tip before it and the chunk (S23)."""
    return hash((tip, entry))


def send(channel: Channel, entry: Entry) -> Channel:
    """Appends an entry to the stream (S23), in the older of both versions (S33)."""
    tip = tip_after(channel.out_tip, entry)
    waiting = Waiting(channel.out_next, entry, tip)
    return channel._replace(out_next=channel.out_next + 1, out_tip=tip, out=(*channel.out, waiting))


def written_in(own: int, peer: int) -> int:
    """Returns the version that an entry for a peer is written in (S33)."""
    return min(own, peer)


def believes(channel: Channel, head: Head, expired: bool) -> bool:
    """Checks that a head is stamped by the committee that this side knows and whose time isn't over (S27, S29)."""
    return head.epoch == channel.epoch and not expired and not is_void(channel, head)


def is_void(channel: Channel, head: Head) -> bool:
    """Checks whether owners are about to end the epoch of a head, or have ended it (S53)."""
    return head.epoch <= channel.void


def acknowledges(channel: Channel, head: Head) -> bool:
    """Checks that what the peer took is what this side sent: contents, not only numbers (S24, S30)."""
    return any(w.number == head.in_next - 1 and w.tip == head.in_tip for w in channel.out)


def acknowledge(channel: Channel, head: Head) -> Channel:
    """Deletes the responses that the peer took. Only news counts (S30)."""
    if head.in_next <= channel.peer_in:
        return channel
    if not acknowledges(channel, head):
        return channel._replace(broken=True)
    kept = tuple(w for w in channel.out if w.entry.kind in REQUESTS or w.number >= head.in_next)
    return channel._replace(peer_in=head.in_next, out=kept)


def leads(channel: Channel, head: Head) -> bool:
    """Checks that the head's chunks lead from this side's tip to the stamped one (S27, S30)."""
    if head.out_next < channel.in_next:
        return True  # of the past
    tip = channel.in_tip
    for waiting in head.chunks:
        if waiting.number >= channel.in_next:
            tip = tip_after(tip, waiting.entry)
    return tip == head.out_tip


def next_chunk(channel: Channel, head: Head) -> Entry | None:
    """Returns the chunk that this side takes next, if the head covers it."""
    return next((w.entry for w in head.chunks if w.number == channel.in_next), None)


def take(channel: Channel, entry: Entry) -> Channel:
    """Moves the cursor past a chunk (S22)."""
    return channel._replace(in_next=channel.in_next + 1, in_tip=tip_after(channel.in_tip, entry))


def is_news(channel: Channel, head: Head) -> bool:
    """Checks that a head says something new (S30). Heights of stamps are never compared."""
    return head.out_next > channel.in_next or head.in_next > channel.peer_in


def answered(channel: Channel, number: int) -> tuple[Channel, Entry | None]:
    """Deletes the request that an answer names (S31); `None` if it isn't there."""
    entry = next((w.entry for w in channel.out if w.number == number), None)
    return channel._replace(out=tuple(w for w in channel.out if w.number != number)), entry


def requests(channel: Channel) -> int:
    """Returns the number of own requests without an answer."""
    return sum(w.entry.kind in REQUESTS for w in channel.out)


def responses(channel: Channel) -> int:
    """Returns the number of own responses that aren't known to be taken."""
    return sum(w.entry.kind not in REQUESTS for w in channel.out)
