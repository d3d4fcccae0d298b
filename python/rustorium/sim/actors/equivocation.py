"""Traitors that say two things: as leaders, as voters, with their clock, about what they hold, or by running twice.

Invariants: each of the two things is correctly signed.
"""

import random
from typing import TYPE_CHECKING

from rustorium import _native
from rustorium.sim.actors.base import Actor, ActorKey, Incoming, Outgoing, others
from rustorium.sim.frames import (
    FINALIZE,
    NOTARIZE,
    NULLIFY,
    REPORT_BYTES,
    TIME_AT,
    VOTE_BYTES,
    SeenHeader,
    held_bytes,
    proposed_in,
    votes_in,
)

if TYPE_CHECKING:
    from rustorium.sim.world import World

YEARS_MS = 10 * 365 * 24 * 3_600_000
CLOCK_AHEAD_MS = 2_000
"""Maximum time of a proposal ahead of a voter's clock: the chain's default."""
HEADERS_KEPT = 64


class DoubleVoter(Actor):
    """Votes for each block that it hears of, for another block, and against the view too."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._voted: set[bytes] = set()

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        super().send(out)
        if out.said["message"] == "proposal":
            self._vote_all(out.world, out.source, out.said["view"], out.said["block"])

    def lets_in(self, incoming: Incoming, /) -> bool:
        said = incoming.said
        if said["message"] == "proposal" and said["epoch"] == self._hand.epoch:
            self._vote_all(incoming.world, incoming.node, said["view"], said["block"])
        return True

    def _vote_all(self, world: "World", node: int, view: int, block: bytes) -> None:
        if block in self._voted:
            return
        self._voted.add(block)
        for kind, digest in votes_for_all(world.rng, block):
            self._hand.tell_some(world, node, self._hand.vote(world, node, view, kind, digest))
        self.did(world, "double vote")


def votes_for_all(rng: random.Random, block: bytes) -> list[tuple[int, bytes | None]]:
    """Returns every possible vote of a view, for one block and for an invented one, in random order."""
    votes: list[tuple[int, bytes | None]] = [(kind, block) for kind in (NOTARIZE, FINALIZE)]
    votes += [(NULLIFY, None), (NOTARIZE, rng.randbytes(32)), (FINALIZE, rng.randbytes(32))]
    rng.shuffle(votes)
    return votes


class Equivocator(DoubleVoter):
    """Proposes, as a leader, two blocks to two halves; votes for all blocks, and against them."""

    def __init__(self) -> None:
        super().__init__()
        self._headers: dict[bytes, tuple[SeenHeader, bytes]] = {}
        self._twins: dict[bytes, tuple[bytes, frozenset[int]]] = {}

    def send(self, out: Outgoing, /) -> None:
        if out.said["message"] != "proposal":
            super().send(out)
            return
        self._hand.learn(out)
        self._remember(out.said["block"], out.frame)
        twin, half = self._twin_of(out)
        for target in out.targets:
            out.pass_on(target, twin if target in half else out.frame)
        for frame in (out.frame, twin):
            said = _native.sim_read_frame(frame)
            self._vote_all(out.world, out.source, said["view"], said["block"])

    def lets_in(self, incoming: Incoming, /) -> bool:
        if incoming.said["message"] == "proposal":
            self._remember(incoming.said["block"], incoming.frame)
        return super().lets_in(incoming)

    def _remember(self, block: bytes, frame: bytes) -> None:
        proposed = proposed_in(frame)
        assert proposed is not None
        self._headers[block] = proposed[0], proposed[1]
        while len(self._headers) > HEADERS_KEPT:
            del self._headers[next(iter(self._headers))]

    def _twin_of(self, out: Outgoing) -> tuple[bytes, frozenset[int]]:
        """Returns the other proposal of a view and its recipients, the same however often the first one is sent."""
        block, rng = out.said["block"], out.world.rng
        if block not in self._twins:
            peers = others(out.world, out.source)
            half = frozenset(rng.sample(peers, (len(peers) + rng.randrange(2)) // 2))
            self._twins[block] = self._forge(out, rng), half
            self.did(out.world, "equivocating proposal")
        return self._twins[block]

    def _forge(self, out: Outgoing, rng: random.Random) -> bytes:
        """Returns a proposal with a lie or two."""
        header = self._headers[out.said["block"]][0]
        parent = self._headers.get(header.parent)
        below = self._headers.get(parent[0].parent) if parent is not None else None
        fork = rng.choice([None, parent, below])
        false_result, false_root, end = (rng.random() < 0.3 for _ in range(3))
        if fork is not None and fork is below:
            self.did(out.world, "forking proposal")
        if false_result or (false_root and header.rooted is not None):
            self.did(out.world, "false root")
        if end:
            self.did(out.world, "false epoch end")
        return _native.sim_forge_proposal(
            out.world.seed_of(out.source),
            out.frame,
            later_ms=1,
            empty_on=fork[1] if fork is not None else None,
            result_root=rng.randbytes(32) if false_result else None,
            state_root=rng.randbytes(32) if false_root else None,
            ends_epoch=not header.ends_epoch if end else None,
        )


class ClockLiar(Actor):
    """Proposes blocks with a wrong time: just within what voters accept, just beyond it, far ahead, or long ago."""

    def __init__(self) -> None:
        super().__init__()
        self._hand = ActorKey()
        self._made: dict[bytes, bytes] = {}

    def send(self, out: Outgoing, /) -> None:
        self._hand.learn(out)
        if out.said["message"] != "proposal":
            super().send(out)
            return
        block = out.said["block"]
        if block not in self._made:
            self._made[block] = self._forge(out)
        for target in out.targets:
            out.pass_on(target, self._made[block])

    def _forge(self, out: Outgoing) -> bytes:
        time_at = slice(1 + TIME_AT, 1 + TIME_AT + 8)
        time_ms = int.from_bytes(out.frame[time_at], "little")
        lie, far = out.world.rng.choice(
            [
                ("time just within bounds", CLOCK_AHEAD_MS - 100),
                ("time just out of bounds", CLOCK_AHEAD_MS + 100),
                ("time far ahead", YEARS_MS),
                ("time long ago", -YEARS_MS),
                ("time of the parent or before", -1_000),
            ]
        )
        self.did(out.world, lie)
        frame = out.frame[: time_at.start] + (time_ms + far).to_bytes(8, "little") + out.frame[time_at.stop :]
        return _native.sim_forge_proposal(out.world.seed_of(out.source), frame)


class ReportLiar(Actor):
    """Adds false claims to its votes about what it has executed, rooted and stored; each peer gets another claim."""

    def send(self, out: Outgoing, /) -> None:
        at = {"vote": 1 + VOTE_BYTES, "report": 1}.get(out.said["message"])
        for target in out.targets:
            out.pass_on(target, None if at is None else self._lie(out, at))

    def _lie(self, out: Outgoing, at: int) -> bytes:
        rng, frame = out.world.rng, out.frame
        height = int.from_bytes(frame[at : at + 8], "little")
        heights = [rng.choice([height, height + 1, height + 100, (1 << 64) - 1]) for _ in range(2)]
        roots = [rng.choice([frame[at + 8 : at + 40], rng.randbytes(32)]), rng.randbytes(32)]
        report = b"".join(number.to_bytes(8, "little") + root for number, root in zip(heights, roots, strict=True))
        end = at + REPORT_BYTES
        if out.said["message"] == "vote":
            lanes = out.world.n
            held = b"".join(rng.choice([0, 1 << 20, (1 << 64) - 1]).to_bytes(8, "little") for _ in range(lanes))
            report, end = report + lanes.to_bytes(4, "little") + held, end + held_bytes(frame, end)
        self.did(out.world, "false report")
        return frame[:at] + report + frame[end:]


class Twin(Actor):
    """Runs twice under one key, both whole nodes; the world puts them on different sides of its partitions."""

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[int, int, int], bytes] = {}

    def send(self, out: Outgoing, /) -> None:
        if out.said["message"] == "proposal":
            self._compare(out.world, out.said["epoch"], out.said["view"], NOTARIZE, out.said["block"])
        elif out.said["message"] == "vote":
            for vote in votes_in(out.frame):
                self._compare(out.world, vote.epoch, vote.view, vote.kind, vote.block)
        elif out.said["message"] == "batch":
            self._compare(out.world, out.said["epoch"], out.said["seq"], -1, out.said["batch"])
        super().send(out)

    def _compare(self, world: "World", epoch: int, at: int, kind: int, what: bytes) -> None:
        if self._said.setdefault((epoch, at, kind), what) != what:
            self.did(world, "batches of twins" if kind < 0 else "votes of twins")
        elif kind in (NULLIFY, FINALIZE) and (epoch, at, NULLIFY + FINALIZE - kind) in self._said:
            self.did(world, "votes of twins")
