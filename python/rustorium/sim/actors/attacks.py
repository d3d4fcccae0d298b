"""Traitors that waste others' time and memory: floods that must be checked, wants and batches that no node needs,
questions without end.

Invariants: every frame of a flood is well formed, so that only its content tells it apart. Each traitor has a budget of
frames, so that a run ends. A traitor with its own clock is idle while its node is down.
"""

from typing import TYPE_CHECKING

from rustorium import _native
from rustorium.sim.actors.base import (
    CERTIFICATE,
    CONSENSUS,
    DATA,
    SYNC,
    Actor,
    ActorKey,
    Incoming,
    Outgoing,
    body_of,
    certificate,
    others,
)
from rustorium.sim.frames import (
    CURSOR_BYTES,
    CURSORS_AT,
    FINALIZE,
    NULLIFY,
    PROPOSER_AT,
    SIGNATURE_BYTES,
    VIEW_AT,
    SeenHeader,
    notarization_at,
    proposed_in,
)

if TYPE_CHECKING:
    from rustorium.sim.world import World

CARRIED = 32
"""Maximum number of nullifications in one proposal."""
EVERY_MS = 20.0
CERTIFICATES_MAX, PROPOSALS_MAX, AHEAD_MAX, HOARD_MAX, QUESTIONS_MAX = 1_200, 60, 1_500, 600, 4_000
VIEWS_AHEAD = 60
GAP_SEQS = 40
TRANSACTIONS = b"\6"
FORWARDED = 100
"""Number of transactions in a stranger's frame."""
CHURNS_MAX = 12
CHURNED = "key replaced by its owner"
"""The name under which a churner's acts are counted."""
FIRST_NEW_KEY = 10
"""The first key number that no node has."""
HISTORY = b"\3" + (1).to_bytes(8, "little") + (256).to_bytes(4, "little")
"""A question for the first 256 final blocks."""


class Clocked(Actor):
    """Acts by its own clock, as long as its budget lasts."""

    budget = 0
    begins_ms = every_ms = EVERY_MS

    def __init__(self) -> None:
        super().__init__()
        self.hand = ActorKey()
        self.left = self.budget

    def begins(self, world: "World", node: int, /) -> None:
        world.after_ms(self.begins_ms, self._beat, world, node)

    def send(self, out: Outgoing, /) -> None:
        self.hand.learn(out)
        super().send(out)

    def lets_in(self, incoming: Incoming, /) -> bool:
        self.hand.overhear(incoming.said, incoming.frame)
        return True

    def _beat(self, world: "World", node: int) -> None:
        if self.left <= 0:
            return
        if world.nodes[node].port is not None and self._may_act():
            self.act(world, node)
        world.after_ms(self.every_ms, self._beat, world, node)

    def _may_act(self) -> bool:
        """Checks whether it knows where the chain is."""
        return self.hand.view > 0

    def act(self, world: "World", node: int, /) -> None:
        """Does its part of the flood."""
        raise NotImplementedError

    def tell_all(self, world: "World", node: int, stream: int, frame: bytes) -> None:
        self.left -= 1
        for target in others(world, node):
            world.pass_on(node, target, stream, frame)

    def false_certificate(self, world: "World", node: int, view: int, kind: int) -> bytes:
        """Returns a certificate of random signatures by a quorum of members."""
        block = None if kind == NULLIFY else world.rng.randbytes(32)
        body = body_of(self.hand.vote(world, node, view, kind, block))
        quorum = world.n - (world.n - 1) // 3
        return certificate(body, [(signer, world.rng.randbytes(64)) for signer in range(quorum)])


class Remembering(Clocked):
    """Knows the newest proposal that it has seen."""

    def __init__(self) -> None:
        super().__init__()
        self.proposal: bytes | None = None
        self.header: SeenHeader | None = None

    def send(self, out: Outgoing, /) -> None:
        self._remember(out.said["message"], out.frame)
        super().send(out)

    def lets_in(self, incoming: Incoming, /) -> bool:
        self._remember(incoming.said["message"], incoming.frame)
        return super().lets_in(incoming)

    def _remember(self, message: str, frame: bytes) -> None:
        proposed = proposed_in(frame) if message == "proposal" else None
        if proposed is not None and proposed[2] and (self.header is None or proposed[0].view > self.header.view):
            self.proposal, self.header = frame, proposed[0]

    def forged(self, world: "World", node: int, view: int, lanes: dict[int, tuple[int, bytes]]) -> bytes:
        """Returns the newest proposal changed into its own for another view, with other ends of these lanes: next seq
        and tip."""
        assert self.proposal is not None
        frame = bytearray(self.proposal)
        frame[1 + VIEW_AT : 1 + VIEW_AT + 8] = view.to_bytes(8, "little")
        frame[1 + PROPOSER_AT : 1 + PROPOSER_AT + 2] = self.hand.place(node).to_bytes(2, "little")
        for lane, (seq, tip) in lanes.items():
            at = 1 + CURSORS_AT + lane * CURSOR_BYTES
            frame[at : at + CURSOR_BYTES] = seq.to_bytes(8, "little") + tip
        return _native.sim_forge_proposal(world.seed_of(node), bytes(frame))

    def next_seq(self, lane: int) -> int:
        """Returns the seq after the newest batch that the newest proposal lists."""
        assert self.proposal is not None
        at = 1 + CURSORS_AT + lane * CURSOR_BYTES
        return int.from_bytes(self.proposal[at : at + 8], "little")


class CertificateFlooder(Clocked):
    """Sends certificates with invalid signatures, for views that could matter."""

    budget = CERTIFICATES_MAX

    def act(self, world: "World", node: int, /) -> None:
        for _ in range(12):
            view = self.hand.view + world.rng.randint(0, 40)
            kind = world.rng.choice([NULLIFY, FINALIZE])
            self.did(world, "false certificate")
            self.tell_all(world, node, CONSENSUS, CERTIFICATE + self.false_certificate(world, node, view, kind))


class ProposalFlooder(Remembering):
    """Sends proposals that carry as many false nullifications as possible."""

    budget = PROPOSALS_MAX

    def act(self, world: "World", node: int, /) -> None:
        if self.proposal is None:
            return
        frame = self.loaded(world, node, self.hand.view + world.rng.randint(1, 20))
        self.did(world, "proposal with false nullifications")
        self.tell_all(world, node, CONSENSUS, frame)

    def loaded(self, world: "World", node: int, view: int) -> bytes:
        """Returns a proposal of a view with as many false nullifications as possible."""
        frame = self.forged(world, node, view, {})
        at = notarization_at(frame)
        assert at is not None
        views = range(max(view - CARRIED, 1), view)
        carried = [self.false_certificate(world, node, each, NULLIFY) for each in views]
        return frame[:at] + b"\0" + len(carried).to_bytes(4, "little") + b"".join(carried)


class InventiveProposer(Remembering):
    """Proposes for future views, each time with an invented batch of every lane, and not in its own turns."""

    budget = AHEAD_MAX

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        return bool(out.said["message"] != "proposal")

    def act(self, world: "World", node: int, /) -> None:
        if self.proposal is None:
            return
        for ahead in world.rng.sample(range(1, VIEWS_AHEAD), 15):
            self.did(world, "proposal of invented batches")
            self.tell_all(world, node, CONSENSUS, self.invented(world, node, ahead))

    def invented(self, world: "World", node: int, ahead: int) -> bytes:
        """Returns a proposal so many views ahead, with an invented batch of every lane."""
        lanes = {lane: (self.next_seq(lane) + 1, world.rng.randbytes(32)) for lane in range(world.n)}
        return self.forged(world, node, self.hand.view + ahead, lanes)


class Hoarder(Remembering):
    """Lists ever new batches of its own lane at one place, in proposals for future views, and sends them."""

    budget = HOARD_MAX

    def __init__(self) -> None:
        super().__init__()
        self._listed: list[bytes] = []
        self._seq: int | None = None

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        """Holds its lane at its current end, so that all its batches stay useful."""
        return out.said["message"] not in ("proposal", "batch")

    def act(self, world: "World", node: int, /) -> None:
        for frame in self._listed:
            self.tell_all(world, node, DATA, frame)
        self._listed.clear()
        place = self.hand.place(node)
        if self.proposal is None or self.hand.transaction is None:
            return
        seq = self.next_seq(place)
        for _ in range(6):
            # A batch has at least one transaction; repeating a transaction makes a different batch.
            transactions = [self.hand.transaction] * world.rng.randint(1, 40)
            seed, chain = world.seed_of(node), world.net.chain
            previous = world.rng.randbytes(32)
            epoch, shard = self.hand.epoch, world.shard
            batch = _native.sim_forge_batch(seed, place, chain, epoch, seq, previous, transactions, shard)
            self._listed.append(batch)
            tip = _native.sim_read_frame(batch)["batch"]
            view = self.hand.view + world.rng.randint(1, VIEWS_AHEAD)
            self.did(world, "equivocating batch")
            self.tell_all(world, node, CONSENSUS, self.forged(world, node, view, {place: (seq + 1, tip)}))


class GapSender(Actor):
    """Sends one batch of its lane beyond a gap, and then no other batch."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._sent = False

    def lets_in(self, incoming: Incoming, /) -> bool:
        self._hand.overhear(incoming.said, incoming.frame)
        if self._hand.view and self._hand.transaction is not None and not self._sent:
            world, node = incoming.world, incoming.node
            batch = self._hand.batch(world, node, self._hand.place(node), GAP_SEQS, world.rng.randbytes(32))
            assert batch is not None
            self._sent = True
            self.did(world, "batch beyond a gap")
            for target in others(world, node):
                world.pass_on(node, target, DATA, batch)
        return True

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        super().send(out)

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        return bool(out.said["message"] != "batch")


class Historian(Clocked):
    """Asks for the whole history without end, and ignores every answer."""

    budget = QUESTIONS_MAX

    def lets_in(self, incoming: Incoming, /) -> bool:
        return bool(incoming.said["message"] != "final blocks") and super().lets_in(incoming)

    def act(self, world: "World", node: int, /) -> None:
        for _ in range(20):
            self.did(world, "question for history")
            self.tell_all(world, node, SYNC, b"\7" + world.rng.randbytes(8) + HISTORY)


class Stranger(Historian):
    """Follows from outside the committee: forwards transactions with false signatures, and asks for history."""

    def act(self, world: "World", node: int, /) -> None:
        super().act(world, node)
        if self.hand.transaction is None:
            return
        false = self.hand.transaction[:-SIGNATURE_BYTES] + world.rng.randbytes(SIGNATURE_BYTES)
        self.did(world, "false transactions forwarded")
        self.tell_all(world, node, DATA, TRANSACTIONS + FORWARDED.to_bytes(4, "little") + FORWARDED * false)

    def _may_act(self) -> bool:
        return True


class Churner(Clocked):
    """Replaces its node's key again and again, as the owner, so that each epoch ends as soon as possible."""

    budget = CHURNS_MAX

    def __init__(self) -> None:
        super().__init__()
        self._epoch = -1
        self._number = 0

    def act(self, world: "World", node: int, /) -> None:
        if world.checkers.epoch == self._epoch:
            return
        self._epoch, self.left = world.checkers.epoch, self.left - 1
        net, number = world.net, FIRST_NEW_KEY + self.budget - self.left
        old = net.validator_key(node, self._number)
        self._number = number
        self.did(world, CHURNED)
        world.on_owner(
            {
                "type": "replace_key",
                "validator_key": old.hex(),
                "new_validator_key": net.validator_key(node, number).hex(),
                "new_node_key": net.validator(node)["node_key"],
                **net.possession(node, number, world.checkers.version),
            }
        )

    def _may_act(self) -> bool:
        return True
