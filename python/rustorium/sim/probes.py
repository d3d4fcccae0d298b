"""Checks on a node's memory of a peer, read over the wire as that peer could, and on its core's memory.

Invariants: a probe changes nothing that the run's log covers; it is sent after the run.
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
"""Number of views beyond its own, or the newest certified one, for which a node accepts votes and blocks."""
CORE_ENTRIES_MAX = 2_000


def votes_held(port: "ReleasePort", peer: int) -> list[SeenVote]:
    """Returns the peer's votes that a node holds."""
    answer = port.asked(peer, SYNC, REQUEST + NUMBER + OF_SIGNATURES + bytes(8))
    if answer is None or answer[9] != SIGNATURES:
        return []
    at = certificate_end(answer, 1 + 8 + 1 + 8)
    (count,) = struct.unpack_from("<I", answer, at)
    return [read_vote(answer, at + 4 + number * VOTE_BYTES) for number in range(count)]


def holds_block(port: "ReleasePort", peer: int, block: bytes) -> bool:
    """Checks whether a node holds a block, or has held and executed it."""
    answer = port.asked(peer, SYNC, REQUEST + NUMBER + OF_BLOCK + block)
    return answer is not None and answer[9] != NOT_HELD


def entries(thing: object) -> int:
    """Counts the entries of all containers in a core."""
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
    """Checks that floods of votes and blocks for future views have left no more than the windows allow."""
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
