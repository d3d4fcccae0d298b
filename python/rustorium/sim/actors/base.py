"""The common parts of all traitors: a place on the wire of their own node, and a hand that signs.

Invariants: everything is signed with the traitor's own key; chance comes from the world alone.
"""

from collections import Counter
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

from rustorium import _native
from rustorium.sim.frames import BATCH_HEAD_BYTES, BODY_BYTES, VOTE_BYTES

if TYPE_CHECKING:
    from rustorium.sim.world import World

CONSENSUS, DATA, SYNC = range(3)
VOTE, CERTIFICATE, RESPONSE = b"\x01", b"\x02", b"\x08"


@lru_cache(maxsize=256)
def said_in(frame: bytes) -> dict[str, Any]:
    """Returns a summary of a frame's content."""
    return _native.sim_read_frame(frame)


class Outgoing(NamedTuple):
    """A frame that a traitor's data plane is about to send."""

    world: "World"
    source: int
    targets: tuple[int, ...]
    stream: int
    """The class of its stream."""
    frame: bytes
    said: dict[str, Any]

    @property
    def number(self) -> int:
        """The sender's number; a twin has that of its other half."""
        return self.world.nodes[self.source].number

    def pass_on(self, target: int, frame: bytes | None = None) -> None:
        """Sends this frame, or another one in its place, to one node."""
        self.world.pass_on(self.source, target, self.stream, self.frame if frame is None else frame)


class Incoming(NamedTuple):
    """A frame that comes to a traitor."""

    world: "World"
    node: int
    source: int
    stream: int
    frame: bytes
    said: dict[str, Any]


class Actor:
    """A traitor's wire. The base class lets everything pass."""

    kind = ""
    """The traitor's name in a run's line."""

    def __init__(self) -> None:
        self.acts: Counter[str] = Counter()
        """Counts of what the traitor really did."""

    def begins(self, _world: "World", _node: int, /) -> None:
        """Called when its node starts for the first time."""

    def did(self, world: "World", what: str) -> None:
        self.acts[what] += 1
        world.counts[what] += 1

    def send(self, out: Outgoing, /) -> None:
        """Called when the traitor's data plane sends a frame."""
        for target in out.targets:
            if self.lets_out(out, target):
                out.pass_on(target)

    def lets_out(self, _out: Outgoing, _target: int, /) -> bool:
        """Returns `False` to keep the frame back."""
        return True

    def lets_in(self, _incoming: Incoming, /) -> bool:
        """Returns `False` to keep a frame from its own data plane."""
        return True


class ActorKey:
    """The signing hand of a traitor. It knows its place in the committee by what its own node signs."""

    def __init__(self) -> None:
        self.epoch = 0
        self.view = 0
        self.transaction: bytes | None = None
        """A transaction that some client signed."""
        self._place: int | None = None

    def learn(self, out: Outgoing) -> None:
        """Called with each frame of its own node."""
        said = out.said
        if said["message"] in ("vote", "proposal", "batch"):
            self.epoch, self._place = said["epoch"], said["signer"]
            self.view = max(self.view, said["view"] or 0)
        self.overhear(said, out.frame)

    def overhear(self, said: dict[str, Any], frame: bytes) -> None:
        """Called with frames of others too, if a transaction is of use."""
        if said["message"] == "batch" and (one := only_transaction(frame)) is not None:
            self.transaction = one

    def place(self, node: int) -> int:
        return node if self._place is None else self._place

    def vote(self, world: "World", node: int, view: int, kind: int, block: bytes | None = None) -> bytes:
        """Returns the frame of a vote."""
        return _native.sim_forge_vote(
            world.seed_of(node), self.place(node), world.net.chain, self.epoch, view, kind, block, world.shard
        )

    def batch(self, world: "World", node: int, author: int, seq: int, previous: bytes) -> bytes | None:
        """Returns the frame of a batch with the one known transaction; `None` if no transaction is known."""
        if self.transaction is None:
            return None
        return _native.sim_forge_batch(
            world.seed_of(node), author, world.net.chain, self.epoch, seq, previous, [self.transaction], world.shard
        )

    def tell_some(self, world: "World", node: int, frame: bytes, chance: float = 0.8) -> int:
        """Sends a consensus frame to some of the others; returns their number."""
        told = 0
        for target in others(world, node):
            if world.rng.random() < chance:
                world.pass_on(node, target, CONSENSUS, frame)
                told += 1
        return told


def others(world: "World", node: int) -> list[int]:
    """Returns the numbers of all other nodes."""
    mine = world.nodes[node].number
    return [target for target in range(world.size) if target != mine]


def only_transaction(batch_frame: bytes) -> bytes | None:
    """Returns the transaction of a batch that has exactly one; otherwise `None`."""
    count = int.from_bytes(batch_frame[1 + BATCH_HEAD_BYTES : 1 + BATCH_HEAD_BYTES + 4], "little")
    return batch_frame[1 + BATCH_HEAD_BYTES + 4 : -64] if count == 1 else None


def signature_of(vote_frame: bytes) -> bytes:
    """Returns the signature in a vote's frame."""
    return vote_frame[VOTE_BYTES + 1 - 64 : VOTE_BYTES + 1]


def body_of(vote_frame: bytes) -> bytes:
    """Returns the bytes that a vote's signature covers."""
    return vote_frame[1 : BODY_BYTES + 1]


def certificate(body: bytes, signatures: list[tuple[int, bytes]]) -> bytes:
    """Returns a certificate's bytes, valid or not."""
    entries = b"".join(signer.to_bytes(2, "little") + signature for signer, signature in signatures)
    return body + len(signatures).to_bytes(4, "little") + entries
