"""Traitors that keep back what they owe: everything, votes, batches, proposals, forwarded transactions, or all votes
except those against a view.

Invariants: every frame that they let out was made by their own node.
"""

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.sim.actors.base import Actor, ActorKey, Incoming, Outgoing, said_in
from rustorium.sim.frames import NULLIFY, votes_in

ANSWERS = ("batch answer", "batches answer", "block", "final blocks", "certificates")


class Silent(Actor):
    """Sends nothing from a certain time on."""

    def __init__(self, from_ms: float = 0) -> None:
        super().__init__()
        self._from_ns = int(from_ms * NS_PER_MS)

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        if out.world.now < self._from_ns:
            return True
        self.did(out.world, "silent traitor")
        return False


class Withholder(Actor):
    """Gives its batches to one peer alone and serves none; gives its votes to one other peer only."""

    def __init__(self, *, votes: bool = True, batches: bool = True) -> None:
        super().__init__()
        self._votes, self._batches = votes, batches

    def lets_out(self, out: Outgoing, target: int, /) -> bool:
        world = out.world
        match out.said["message"]:
            case "batch" if self._batches and target != world.member_after(out.number, 2):
                self.did(world, "withheld batch")
            case "vote" | "heartbeat" if self._votes and target != world.member_after(out.number, 1):
                self.did(world, "withheld vote")
            case said if self._batches and said in ANSWERS:
                self.did(world, "withheld answer")
            case _:
                return True
        return False


class Mute(Actor):
    """Sends votes and heartbeats as others do, and never proposes."""

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        if out.said["message"] != "proposal":
            return True
        self.did(out.world, "proposal kept back")
        return False


class LateEcho(Actor):
    """Answers probes of its distance late, so that it seems to be far away."""

    def __init__(self, late_ms: float) -> None:
        super().__init__()
        self._late_ms = late_ms

    def send(self, out: Outgoing, /) -> None:
        if out.said["message"] != "echo":
            super().send(out)
            return
        self.did(out.world, "late echo")
        for target in out.targets:
            out.world.after_ms(self._late_ms, out.pass_on, target)


class HomeCensor(Actor):
    """Drops the transactions that others forward to it as the home of their senders."""

    def lets_in(self, incoming: Incoming, /) -> bool:
        if incoming.said["message"] != "transactions":
            return True
        self.did(incoming.world, "forwarded transaction dropped")
        return False


class Nullifier(Actor):
    """Votes against every view that it hears of, and for no block."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._against: set[tuple[int, int]] = set()

    def lets_out(self, out: Outgoing, _target: int, /) -> bool:
        self._hand.learn(out)
        message = out.said["message"]
        if message == "proposal" or (message in ("vote", "heartbeat") and _is_for_something(out.frame)):
            self.did(out.world, "vote for a block kept back")
            return False
        return True

    def lets_in(self, incoming: Incoming, /) -> bool:
        world, node, _, _, _, said = incoming
        at = (said["epoch"], said["view"])
        if said["message"] == "proposal" and at not in self._against and said["epoch"] == self._hand.epoch:
            self._against.add(at)
            self.did(world, "nullify against a proposal")
            self._hand.tell_some(world, node, self._hand.vote(world, node, said["view"], NULLIFY), 1.0)
        return True


def _is_for_something(frame: bytes) -> bool:
    """Checks whether the frame holds a vote of the sender for a block."""
    return said_in(frame)["message"] != "proposal" and any(vote.kind != NULLIFY for vote in votes_in(frame))
