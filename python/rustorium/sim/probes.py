"""What a node keeps of a peer, asked over the wire as that peer could; and what its core keeps.

Invariants: a probe changes nothing that the run's log covers: it is asked when the run is over.
"""

import struct
from typing import TYPE_CHECKING

from rustorium.sim.actors import Spammer
from rustorium.sim.actors.base import SYNC
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import VOTE_BYTES, SeenVote, certificate_end, read_vote

if TYPE_CHECKING:
    from rustorium.sim.port import ReleasePort
    from rustorium.sim.world import World

REQUEST, RESPONSE = b"\x07", b"\x08"
OF_BLOCK, OF_SIGNATURES = b"\0", b"\4"
NOT_HELD, SIGNATURES = 0, 5
NUMBER = b"probing!"
VIEWS_AHEAD = 64
"""How far beyond its own view, or the newest certified one, a node looks."""
CORE_ENTRIES_MAX = 2_000


def votes_held(port: "ReleasePort", peer: int) -> list[SeenVote]:
    """The peer's votes that a node holds."""
    answer = port.asked(peer, SYNC, REQUEST + NUMBER + OF_SIGNATURES + bytes(8))
    if answer is None or answer[9] != SIGNATURES:
        return []
    at = certificate_end(answer, 1 + 8 + 1 + 8)
    (count,) = struct.unpack_from("<I", answer, at)
    return [read_vote(answer, at + 4 + number * VOTE_BYTES) for number in range(count)]


def holds_block(port: "ReleasePort", peer: int, block: bytes) -> bool:
    """Whether a node holds a block, or did and executed it."""
    answer = port.asked(peer, SYNC, REQUEST + NUMBER + OF_BLOCK + block)
    return answer is not None and answer[9] != NOT_HELD


def entries(thing: object) -> int:
    """How many entries the containers of a core have, all together."""
    match thing:
        case dict():
            return len(thing) + sum(entries(value) for value in thing.values())
        case list() | set() | tuple():
            return len(thing) + sum(entries(value) for value in thing)
        case _ if type(thing).__module__.startswith("rustorium.consensus."):
            held = getattr(thing, "__dict__", {})
            return sum(entries(value) for value in held.values())
        case _:
            return 0


def judge_memory(world: "World") -> None:
    """That floods of views to come have left no more than the windows let in."""
    for number, actor in world.actors.items():
        if not isinstance(actor, Spammer):
            continue
        for port in world.ports():
            _judge_votes(port, votes_held(port, number))
            for view, block in actor.proposed:
                if view > port.view + VIEWS_AHEAD and holds_block(port, number, block):
                    raise BreachError(f"node {port.number} is in view {port.view} and holds a block of view {view}")
            kept = entries(world.nodes[port.number].replica)
            if kept > CORE_ENTRIES_MAX:
                raise BreachError(f"the core of node {port.number} keeps {kept} entries")


def _judge_votes(port: "ReleasePort", votes: list[SeenVote]) -> None:
    if far := [vote.view for vote in votes if vote.view > port.view + VIEWS_AHEAD]:
        raise BreachError(f"node {port.number} is in view {port.view} and holds votes of view {max(far)}")
    places = {(vote.epoch, vote.view, vote.kind) for vote in votes}
    if len(places) < len(votes):
        raise BreachError(f"node {port.number} holds two votes of a kind and view by one signer")
