"""Traitors that send too much: frames of future views, of the past, and repeated frames.

Invariants: each has a budget of frames, so that a run ends.
"""

from collections import deque
from typing import TYPE_CHECKING

from rustorium import _native
from rustorium.sim.actors.base import CONSENSUS, DATA, SYNC, Actor, ActorKey, Incoming, Outgoing, others
from rustorium.sim.frames import FINALIZE, NOTARIZE, NULLIFY, VIEW_AT

if TYPE_CHECKING:
    from rustorium.sim.world import World

REMEMBERED = 400
REPLAYS_MAX = 800
SPAM_MAX = 1_500
BURST = 12
FAR_VIEWS = 4_000
SPAM_SEQS = 100


class Replayer(Actor):
    """Sends frames again that it or others sent before, as its own."""

    def __init__(self) -> None:
        super().__init__()
        self._heard: deque[tuple[int, bytes]] = deque(maxlen=REMEMBERED)
        self._left = REPLAYS_MAX

    def send(self, out: Outgoing, /) -> None:
        super().send(out)
        self._heard.append((out.stream, out.frame))
        self._replay(out.world, out.source)

    def lets_in(self, incoming: Incoming, /) -> bool:
        self._heard.append((incoming.stream, incoming.frame))
        return True

    def _replay(self, world: "World", node: int) -> None:
        if self._left and world.rng.random() < 0.7:
            self._left -= 1
            stream, frame = self._heard[world.rng.randrange(len(self._heard))]
            self.did(world, "replayed frame")
            for target in others(world, node):
                if world.rng.random() < 0.7:
                    world.pass_on(node, target, stream, frame)


class Spammer(Actor):
    """Floods its peers with votes and proposals for future views, and with batches of its lane, many at one place."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._left = SPAM_MAX
        self._proposal: bytes | None = None
        self.proposed: list[tuple[int, bytes]] = []
        """Views and digests of the blocks that it proposed for future views."""

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        super().send(out)
        if out.said["message"] == "proposal":
            self._proposal = out.frame
        burst = min(BURST, self._left) if self._hand.view else 0
        self._left -= burst
        for _ in range(burst):
            stream, frame = self._spam(out.world, out.source)
            for target in others(out.world, out.source):
                out.world.pass_on(out.source, target, stream, frame)

    def lets_in(self, incoming: Incoming, /) -> bool:
        self._hand.overhear(incoming.said, incoming.frame)
        return True

    def _batch(self, world: "World", node: int) -> bytes | None:
        """Returns one of many batches of its lane at one place, or in a chain with nothing known below."""
        seq = world.rng.randrange(SPAM_SEQS)
        previous = world.rng.randbytes(32) if seq else bytes(32)
        return self._hand.batch(world, node, self._hand.place(node), seq, previous)

    def _spam(self, world: "World", node: int) -> tuple[int, bytes]:
        rng = world.rng
        view = self._hand.view + rng.choice(
            [rng.randint(1, 70), rng.randint(1, FAR_VIEWS), (1 << 63) + rng.getrandbits(62)]
        )
        match rng.randrange(4):
            case 0 if self._proposal is not None:
                self.did(world, "proposal for a view to come")
                at = 1 + VIEW_AT
                later = self._proposal[:at] + view.to_bytes(8, "little") + self._proposal[at + 8 :]
                frame = _native.sim_forge_proposal(world.seed_of(node), later)
                self.proposed.append((view, _native.sim_read_frame(frame)["block"]))
                return CONSENSUS, frame
            case 1 if (batch := self._batch(world, node)) is not None:
                self.did(world, "batch too many")
                return DATA, batch
            case 2:
                self.did(world, "question too many")
                return SYNC, b"\x07" + rng.randbytes(8) + b"\0" + rng.randbytes(32)
            case _:
                self.did(world, "vote for a view to come")
                kind = rng.choice([NOTARIZE, NULLIFY, FINALIZE])
                return CONSENSUS, self._hand.vote(
                    world, node, view, kind, None if kind == NULLIFY else rng.randbytes(32)
                )
