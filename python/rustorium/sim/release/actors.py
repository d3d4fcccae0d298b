"""Traitors on the release stages: nodes that run the same code, and whose wire lies.

Invariants: a traitor can sign only with its own key; each counts a fault only when it really kept something back or
said two things.
"""

from typing import TYPE_CHECKING, NamedTuple, Protocol

from rustorium import _native

if TYPE_CHECKING:
    from rustorium.sim.release.world import World


class Outgoing(NamedTuple):
    """A frame that a traitor's data plane is about to send to one node."""

    world: "World"
    source: int
    target: int
    stream: int
    """The class of its stream."""
    frame: bytes


class Actor(Protocol):
    """How a traitor's wire differs from an honest node's."""

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        """False keeps the frame back; `world.pass_on` puts another on the link."""
        ...


class Silent:
    """Says nothing from a time on."""

    def __init__(self, from_ns: int = 0) -> None:
        self.from_ns = from_ns

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        if outgoing.world.now < self.from_ns:
            return True
        outgoing.world.counts["silent traitor"] += 1
        return False


class Withholder:
    """Gives its batches to one peer alone, serves none, and gives its votes to one other only."""

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        world, source, target, _, frame = outgoing
        said = _native.sim_read_frame(frame)
        match said["message"]:
            case "batch" if target != (source + 2) % world.n:
                world.counts["withheld batch"] += 1
            case "vote" | "heartbeat" if target != (source + 1) % world.n:
                world.counts["withheld vote"] += 1
            case "batch answer" | "block":
                world.counts["withheld answer"] += 1
            case _:
                return True
        return False
