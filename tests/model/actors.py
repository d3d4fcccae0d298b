"""Traitors: nodes that run the same data plane and core, but send false messages.

Invariants: a traitor can sign only for itself and can't make a certificate without a quorum's votes. It counts a fault
only when it really withheld a message or sent two different ones.
"""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from model.epochs import GOES_ON, EndFields, make_block
from model.vocabulary import (
    BatchFrame,
    BeatFrame,
    Block,
    BlockFrame,
    CertificateFrame,
    EpochEnd,
    EpochEndFrame,
    Message,
    ProposalFrame,
    VoteFrame,
    hash_of,
)
from rustorium.consensus.vocabulary import OwnVote, VoteKind

if TYPE_CHECKING:
    from model.held import NodeData
    from model.world import World


GHOST_FRAMES_MAX = 32


class Outgoing(NamedTuple):
    """A message that a traitor's data plane is about to send."""

    world: "World"
    source: int
    target: int
    message: Message


class Actor(Protocol):
    """The differences between a traitor's messages and an honest node's."""

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        """Returns `False` to keep the message back."""
        ...


class Silent:
    """A traitor that sends nothing from a time on."""

    def __init__(self, from_ns: int = 0) -> None:
        self.from_ns = from_ns

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world = outgoing.world
        if world.now < self.from_ns:
            return True
        world.counts["silent traitor"] += 1
        return False


class Withholder:
    """A traitor that sends its batches only to the leader, serves none, and sends its votes to one peer only."""

    def __init__(self, votes: bool = True) -> None:
        self._votes = votes

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world, source, target, message = outgoing
        port = world.nodes[source].port
        if port is None or port.me is None:
            return True
        epoch, me = port.epoch, port.me
        match message:
            case BatchFrame() if message.batch.author == me and target != epoch.node(epoch.leader(port.view)):
                world.counts["withheld batch"] += 1
                return False
            case VoteFrame() | BeatFrame() if self._votes and target != epoch.node((me + 1) % epoch.n):
                world.counts["withheld vote"] += 1
                return False
            case BlockFrame():
                return False
            case _:
                return True


class Hoarder:
    """A traitor that helps to end an epoch so that only one peer sees it: only that peer gets its votes for blocks that
    end the epoch, and the proofs that they are final."""

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world, source, target, message = outgoing
        port = world.nodes[source].port
        if port is None or port.me is None or target == port.epoch.node((port.me + 1) % port.epoch.n):
            return True
        match message:
            case VoteFrame(vote) if self._ends(port, vote.kind, vote.digest):
                pass
            case BeatFrame(certificates, votes) if any(self._ends(port, v.kind, v.digest) for v in votes) or any(
                self._ends(port, c.kind, c.digest) for c in certificates
            ):
                pass
            case CertificateFrame(certificates) if any(self._ends(port, c.kind, c.digest) for c in certificates):
                pass
            case EpochEndFrame():
                pass
            case _:
                return True
        world.counts["hoarded epoch end"] += 1
        return False

    @staticmethod
    def _ends(port: "NodeData", kind: VoteKind, digest: bytes | None) -> bool:
        block = port.blocks.get(digest) if digest is not None else None
        return kind is VoteKind.FINALIZE and block is not None and block.facts.ends_epoch


class Ghost:
    """A traitor that repeats in each epoch its messages of the previous one as if they were of this one, and presents a
    closing block as the boundary."""

    def __init__(self) -> None:
        self._said: list[tuple[int, VoteFrame | CertificateFrame]] = []

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world, source, target, message = outgoing
        port = world.nodes[source].port
        if port is None:
            return True
        number = port.epoch.number
        old = [entry for entry in self._said if entry[0] < number]
        self._said = [entry for entry in self._said if entry[0] >= number]
        for _, frame in old[-GHOST_FRAMES_MAX:]:
            for peer in range(world.size):
                if peer != source:
                    world.counts["vote of an older epoch"] += 1
                    world.pass_on(source, peer, frame, number)
        match message:
            case VoteFrame() | CertificateFrame():
                self._said.append((number, message))
            case EpochEndFrame(EpochEnd(_, (first, *others), proof)):
                world.counts["closing block as boundary"] += 1
                world.pass_on(source, target, EpochEndFrame(EpochEnd(first, tuple(others), proof)), number)
                return False
            case _:
                pass
        return True


class Equivocator:
    """A traitor that, as a leader, proposes two blocks to two halves of the committee, and votes for and against
    everything that it sees."""

    def __init__(self) -> None:
        self._voted: set[bytes] = set()

    def lets_out(self, _outgoing: Outgoing, /) -> bool:
        return True

    def propose(self, port: "NodeData", frame: ProposalFrame, parent: Block) -> None:
        """Sends two proposals where an honest leader sends one."""
        block, rng, counts = frame.block, port.world.rng, port.world.counts
        twin = self._talkative(port, block, parent) if port.epoch.closes_on(parent) else self._twin(port, block, parent)
        port.world.checkers.made(twin)
        port.blocks[twin.facts.digest] = twin  # served like the other when a certificate names it
        others = [peer for peer in range(port.world.size) if peer != port.node]
        rng.shuffle(others)
        half = len(others) // 2 + rng.randrange(2)
        for peer in others:
            mine = block if others.index(peer) < half else twin
            port.send(peer, ProposalFrame(mine, frame.certificates, frame.riders))
        counts["equivocating proposal"] += 1
        for both in (block, twin):
            self._vote_all(port, both)

    @staticmethod
    def _false_ending(port: "NodeData", block: Block) -> EndFields:
        """Returns the honest block's fields about the epoch's end; at the end sometimes false ones: that the epoch goes
        on, or another committee."""
        true = EndFields(block.facts.ends_epoch, block.next_set)
        if block.next_set is None or port.world.rng.random() < 0.5:
            return true
        port.world.counts["false epoch end"] += 1
        return GOES_ON if port.world.rng.random() < 0.5 else EndFields(True, block.next_set[:-1] or block.next_set)

    @staticmethod
    def _talkative(port: "NodeData", block: Block, parent: Block) -> Block:
        """Returns a closing block with everything that an ordinary block could list and claim; otherwise just a
        twin.
        """
        height = max(block.facts.claimed_height, min(port.ledger.height, parent.facts.height))
        payload = port.lanes.listable(port.epoch.cursors(parent), [None] * port.epoch.n)
        port.world.counts["talkative closing block"] += bool(payload) or height > parent.facts.claimed_height
        claim = height, port.ledger.root_of(height) or block.claimed_root
        ending, time_ms = EndFields(True, block.next_set), block.facts.time_ms + 1
        return make_block(port.epoch, block.facts.view, parent, time_ms, payload, claim, None, ending)

    def _twin(self, port: "NodeData", block: Block, parent: Block) -> Block:
        """Returns an empty block, with one or two false fields if possible."""
        claim = (block.facts.claimed_height, block.claimed_root)
        below = port.blocks.get(parent.facts.parent, parent)
        if port.world.rng.random() < 0.5 and below.facts.height >= block.facts.claimed_height:
            parent = below  # a fork around a block that may be final, without the nullifications for it
            port.world.counts["forking proposal"] += 1
        root, ending = self._false_root(port, block), self._false_ending(port, block)
        return make_block(port.epoch, block.facts.view, parent, block.facts.time_ms + 1, (), claim, root, ending)

    @staticmethod
    def _false_root(port: "NodeData", block: Block) -> tuple[int, bytes] | None:
        """Returns sometimes a false state root if the honest block claims one; `None` repeats the parent's claim."""
        if not block.facts.rooted_height or port.world.rng.random() < 0.5:
            return None
        port.world.counts["false state root"] += 1
        return block.facts.rooted_height, hash_of("false", block.state_root)

    def hear(self, port: "NodeData", message: Message) -> None:
        """Called for each message, before the data plane sees it."""
        if isinstance(message, ProposalFrame):
            self._vote_all(port, message.block)

    def _vote_all(self, port: "NodeData", block: Block) -> None:
        if block.facts.digest in self._voted:
            return
        self._voted.add(block.facts.digest)
        view = block.facts.view
        votes = [OwnVote(kind, view, block.facts.digest) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)]
        votes.append(OwnVote(VoteKind.NULLIFY, view, None))
        for vote in votes:
            for peer in range(port.world.size):
                if peer != port.node and port.world.rng.random() < 0.8:
                    port.send(peer, VoteFrame(vote, None, port.riders()))
        port.world.counts["double vote"] += 1
