"""Traitors that forge: others' votes, batches and proposals, and certificates without a quorum.

Invariants: no forgery is signed with a key that isn't the traitor's; each differs from what an honest node could send.
"""

from typing import TYPE_CHECKING

from rustorium import _native
from rustorium.sim.actors.base import (
    CERTIFICATE,
    CONSENSUS,
    DATA,
    Actor,
    ActorKey,
    Incoming,
    Outgoing,
    body_of,
    certificate,
    others,
    signature_of,
)
from rustorium.sim.frames import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    PROPOSER_AT,
    VOTE_BYTES,
    carry_at,
    notarization_at,
    votes_in,
)

if TYPE_CHECKING:
    from rustorium.sim.world import World

AUTHOR_AT = 1 + 32 + 4 + 8
"""Offset of the author in a batch's frame."""
HEAR_MAX = 400
NOBODY = 1_000
"""A place that no committee has."""


class Impersonator(Actor):
    """Speaks as others: sends votes and batches with their names, and proposals in views that others lead."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._views: set[int] = set()
        """Views in which it has proposed: another traitor of its kind answers each proposal too."""

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        super().send(out)
        world, source, rng = out.world, out.source, out.world.rng
        other = world.place_of(rng.choice(others(world, source)))
        match out.said["message"]:
            case "vote":
                frame = _native.sim_forge_vote(
                    world.seed_of(source),
                    other,
                    world.net.chain,
                    self._hand.epoch,
                    self._hand.view,
                    FINALIZE,
                    b"f" * 32,
                    world.shard,
                )
                self._say(world, source, CONSENSUS, frame, "vote with another's name")
            case "batch":
                named = out.frame[:AUTHOR_AT] + other.to_bytes(2, "little") + out.frame[AUTHOR_AT + 2 :]
                self._say(world, source, DATA, named, "batch with another's name")
                signed = self._hand.batch(world, source, other, 0, bytes(32))
                if signed is not None:
                    self._say(world, source, DATA, signed, "batch with another's name")
            case _:
                pass

    def lets_in(self, incoming: Incoming, /) -> bool:
        world, node, source, stream, frame, said = incoming
        if said["message"] == "proposal" and said["epoch"] == self._hand.epoch and said["view"] not in self._views:
            self._views.add(said["view"])
            for proposer in (source, self._hand.place(node)):
                at = 1 + PROPOSER_AT
                named = frame[:at] + proposer.to_bytes(2, "little") + frame[at + 2 :]
                forged = _native.sim_forge_proposal(world.seed_of(node), named, later_ms=1)
                self._say(world, node, CONSENSUS, forged, "proposal in another's view")
        elif said["message"] == "batch" and world.rng.random() < 0.5:
            self._say(world, node, stream, frame[:-1] + bytes([frame[-1] ^ 1]), "batch with another's name")
        return True

    def _say(self, world: "World", node: int, stream: int, frame: bytes, what: str) -> None:
        self.did(world, what)
        for target in others(world, node):
            world.pass_on(node, target, stream, frame)


class GarbageCertifier(Actor):
    """Sends certificates that no quorum signed: alone, with votes and in proposals. Also sends invalid votes."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._heard: dict[bytes, dict[int, bytes]] = {}
        """Bodies that got votes, with the signatures on them by signer."""

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        world, rng = out.world, out.world.rng
        match out.said["message"]:
            case "vote":
                super().send(out)
                self._hear(out.frame)
                garbage = self.garbage(world, out.source)
                self._hand.tell_some(world, out.source, CERTIFICATE + garbage)
                carrying = out.frame[: carry_at(out.frame)] + b"\1" + self.garbage(world, out.source)
                self._hand.tell_some(world, out.source, carrying)
            case "proposal" if (at := notarization_at(out.frame)) is not None:
                self.did(world, "proposal with a false certificate")
                for target in out.targets:
                    two = b"\1" + self.garbage(world, out.source), self.garbage(world, out.source)
                    false = out.frame[:at] + two[0] + b"\1\0\0\0" + two[1]
                    out.pass_on(target, false if rng.random() < 0.5 else None)
            case _:
                super().send(out)

    def lets_in(self, incoming: Incoming, /) -> bool:
        if incoming.said["message"] == "vote":
            self._hear(incoming.frame)
            if incoming.said["epoch"] == self._hand.epoch and incoming.world.rng.random() < 0.3:
                world, node = incoming.world, incoming.node
                bad = self._hand.vote(world, node, incoming.said["view"], incoming.said["kind"], incoming.said["block"])
                self.did(world, "vote with a bad signature")
                self._hand.tell_some(world, node, _flip(bad, VOTE_BYTES - 7), 1.0)
        return True

    def _hear(self, frame: bytes) -> None:
        for vote in votes_in(frame):
            self._heard.setdefault(body_of(frame), {})[vote.signer] = vote.signature
        while len(self._heard) > HEAR_MAX:
            del self._heard[next(iter(self._heard))]

    def garbage(self, world: "World", node: int) -> bytes:
        """Returns an invalid certificate."""
        rng, hand = world.rng, self._hand
        view = hand.view + rng.choice([0, 0, 1, 1, 2, 5, 60, 100_000])
        kind = rng.choice([NOTARIZE, NULLIFY, FINALIZE])
        block = None if kind == NULLIFY else rng.randbytes(32)
        own = hand.vote(world, node, view, kind, block)
        body, mine, me = body_of(own), signature_of(own), hand.place(node)
        quorum = world.n - (world.n - 1) // 3
        all_mine = [(signer, mine) for signer in range(quorum)]
        what = rng.choice(["short", "repeated", "foreign", "bad", "chain", "epoch", "order", "mixed"])
        self.did(world, f"certificate: {what}")
        match what:
            case "short":  # the signatures it has, less than a quorum
                body = rng.choice(list(self._heard)) if self._heard else body
                got = sorted((self._heard.get(body) or {me: mine}).items())
                return certificate(body, got[: quorum - 1])
            case "repeated":
                return certificate(body, [(me, mine)] * quorum)
            case "foreign":
                return certificate(body, [*all_mine[: quorum - 1], (NOBODY, mine)])
            case "bad":
                return certificate(body, [(signer, rng.randbytes(64)) for signer in range(world.n)])
            case "chain":
                return certificate(rng.randbytes(32) + body[32:], all_mine)
            case "epoch":
                return certificate(body[:36] + (hand.epoch + 1).to_bytes(8, "little") + body[44:], all_mine)
            case "order":
                return certificate(body, list(reversed(all_mine)))
            case _:  # real signatures of another vote, with all members' names
                known = list(self._heard.values())
                votes = rng.choice(known) if known else {}
                return certificate(body, [(signer, votes.get(signer, mine)) for signer in range(world.n)])


def _flip(frame: bytes, at: int) -> bytes:
    return frame[:at] + bytes([frame[at] ^ 1]) + frame[at + 1 :]
