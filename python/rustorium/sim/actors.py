"""Traitors: nodes that run the same data plane and core, and then lie on the wire.

Invariants: a traitor can sign only for itself and can't make a certificate without a quorum's votes; each counts a
fault only when it really kept something back or said two things.
"""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from rustorium.consensus.vocabulary import OwnVote, VoteKind
from rustorium.sim.model import (
    BatchFrame,
    BeatFrame,
    Block,
    BlockFrame,
    Message,
    ProposalFrame,
    VoteFrame,
    hash_of,
    make_block,
)

if TYPE_CHECKING:
    from rustorium.sim.port import SimPort
    from rustorium.sim.world import World


class Outgoing(NamedTuple):
    """A message that a traitor's data plane is about to send."""

    world: "World"
    source: int
    target: int
    message: Message


class Actor(Protocol):
    """How a traitor's wire differs from an honest node's."""

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        """False keeps the message back."""
        ...


class Silent:
    """Says nothing from a time on."""

    def __init__(self, from_ns: int = 0) -> None:
        self.from_ns = from_ns

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world = outgoing.world
        if world.now < self.from_ns:
            return True
        world.counts["silent traitor"] += 1
        return False


class Withholder:
    """Gives its batches to the leader alone, serves none, and gives its votes to one peer only."""

    def __init__(self, votes: bool = True) -> None:
        self._votes = votes

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world, source, target, message = outgoing
        port = world.nodes[source].port
        view = port.view if port is not None else 0
        match message:
            case BatchFrame() if message.batch.author == source and target != view % world.n:
                world.counts["withheld batch"] += 1
                return False
            case VoteFrame() | BeatFrame() if self._votes and target != (source + 1) % world.n:
                world.counts["withheld vote"] += 1
                return False
            case BlockFrame():
                return False
            case _:
                return True


class Equivocator:
    """As a leader proposes two blocks to two halves; votes for whatever it hears of, and against it too."""

    def __init__(self) -> None:
        self._voted: set[bytes] = set()

    def lets_out(self, _outgoing: Outgoing, /) -> bool:
        return True

    def propose(self, port: "SimPort", frame: ProposalFrame, parent: Block) -> None:
        """Sends two proposals where an honest leader sends one."""
        block, n = frame.block, port.world.n
        claim = (block.facts.claimed_height, block.claimed_root)
        below = port.blocks.get(parent.facts.parent, parent)
        if port.world.rng.random() < 0.5 and below.facts.height >= block.facts.claimed_height:
            parent = below  # a fork around a block that may be final, without the nullifications for it
            port.world.counts["forking proposal"] += 1
        twin = make_block(
            block.facts.view, parent, block.facts.time_ms + 1, (), claim, n, self._false_root(port, block)
        )
        port.blocks[twin.facts.digest] = twin  # served like the other when a certificate names it
        others = [peer for peer in range(n) if peer != port.me]
        port.world.rng.shuffle(others)
        half = len(others) // 2 + port.world.rng.randrange(2)
        for peer in others:
            mine = block if others.index(peer) < half else twin
            port.send(peer, ProposalFrame(mine, frame.certificates, frame.riders))
        port.world.counts["equivocating proposal"] += 1
        for both in (block, twin):
            self._vote_all(port, both)

    @staticmethod
    def _false_root(port: "SimPort", block: Block) -> tuple[int, bytes] | None:
        """Sometimes a lie about the state where the honest twin tells a root; None repeats the parent's claim."""
        if not block.facts.rooted_height or port.world.rng.random() < 0.5:
            return None
        port.world.counts["false state root"] += 1
        return block.facts.rooted_height, hash_of("false", block.state_root)

    def hear(self, port: "SimPort", message: Message) -> None:
        """Called for each message, before the data plane sees it."""
        if isinstance(message, ProposalFrame):
            self._vote_all(port, message.block)

    def _vote_all(self, port: "SimPort", block: Block) -> None:
        if block.facts.digest in self._voted:
            return
        self._voted.add(block.facts.digest)
        view = block.facts.view
        votes = [OwnVote(kind, view, block.facts.digest) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)]
        votes.append(OwnVote(VoteKind.NULLIFY, view, None))
        for vote in votes:
            for peer in range(port.world.n):
                if peer != port.me and port.world.rng.random() < 0.8:
                    port.send(peer, VoteFrame(vote, None, port.riders()))
        port.world.counts["double vote"] += 1
