"""`ReleasePort`: the release stages of one node behind the port, for one incarnation.

Invariants: the port decides and alters nothing. Frames go to the world; stages end when the node's pace says so. The
checkers learn what the node has on disk before anything that rests on it leaves.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rustorium import _native
from rustorium.consensus.pacemaker import NS_PER_MS, NS_PER_US
from rustorium.consensus.vocabulary import Effect, EnterView, Input
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import read_header
from rustorium.sim.net import START_MS
from rustorium.sim.terms import Stage

if TYPE_CHECKING:
    from rustorium.sim.world import Node, World

SYNC, CHECK, EXECUTE, ROOT, KEEP = range(5)
STAGES = ("sync", "check", "execute", "root", "keep")
CONSENSUS = 0
TURNS_MAX = 20
OLD_VERSION = 1
"""The newest protocol version that 0.2.0 knows."""

Turned = tuple[
    int,
    list[tuple[list[int], int, bytes]],
    list[tuple[int, int, int | None]],
    int | None,
    bool,
    list[tuple[int, str, int | None]],
]


@dataclass(frozen=True, slots=True)
class Pace:
    """Durations of a node's stages, each drawn up to half as long again. With prices, checks and executions take those
    instead."""

    sync_ms: float = 0.2
    check_ms: float = 0.1
    execute_ms: float = 0.3
    root_ms: float = 2.0
    keep_ms: float = 300.0
    slower: float = 1.0
    """Factor on the prices of threads' work, except the shard's."""

    def of(self, stage: int) -> float:
        return (self.sync_ms, self.check_ms, self.execute_ms, self.root_ms, self.keep_ms)[stage]


SLOW = Pace(sync_ms=6.0, check_ms=2.0, execute_ms=25.0, root_ms=60.0, keep_ms=900.0, slower=25.0)
VERIFIERS = 2
"""Number of threads that check signatures, as on a machine of four cores."""


class ReleasePort:
    """The port of one node."""

    def __init__(self, world: "World", node: "Node", seed: bytes, pace: Pace) -> None:
        self._world, self._node, self._pace = world, node, pace
        self._incarnation = node.incarnation
        self._deadline: int | None = None
        self._tick_at: int | None = None
        self._waiting = False
        self.number = node.number
        self.view = 0
        self.passed_over: tuple[int, ...] = ()
        """The leaders that the core passes over."""
        self.epoch = -1
        """The core's epoch; −1 before the core has named one."""
        self.height = 0
        self.native = _native.SimNode(
            world.net.native,
            node.disk,
            node.number,
            seed,
            world.config.heartbeat_ms * 1000,
            *self._clock(),
            newest=OLD_VERSION if node.old else node.newest,
            shared=node.number in world.actors,
            verifiers=1 if world.costs is None else VERIFIERS,
            costs=world.costs,
            probes=world.probes,
        )

    def begin(self) -> None:
        """Takes over the results of the start itself."""
        self._node.seen_records = 0
        self._on_disk()
        self._executed()
        self._take(self.native.started(*self._clock()))

    def _clock(self) -> tuple[int, int]:
        """Returns monotonic µs and Unix ms."""
        now = self._world.now
        return now // NS_PER_US, START_MS + 1 + now // NS_PER_MS + self._node.clock_ms

    # ---- the port

    def drain(self, limit: int) -> list[Input]:
        try:
            inputs = self.native.drain(limit)
        except _native.NativeError as failure:
            self._world.failed(self._node.index, failure.code, str(failure))
            return []
        self._waiting = len(inputs) >= limit
        return inputs

    def waiting(self) -> bool:
        return self._waiting

    def submit(self, effects: Sequence[Effect]) -> None:
        if not effects:
            return
        for effect in effects:
            if isinstance(effect, EnterView):
                self.view, self.passed_over = effect.view, effect.passed_over
                self._begun(effect.epoch)
        self._take(self.native.submit(*self._clock(), effects))

    def _begun(self, epoch: int) -> None:
        if epoch == self.epoch:
            return
        self.epoch = epoch
        if self._node.index in self._world.honest:
            self._world.checkers.begun(self._node.index, epoch, self._world.committee_of(self._node, epoch))
        self._world.reached(self._node.index, epoch - 1, Stage.BEGUN)

    # ---- what the world brings

    def frame(self, source: int, stream: int, frame: bytes) -> None:
        """Takes a frame that came in on the link from a node."""
        try:
            turned = self.native.frame(*self._clock(), source, stream, frame)
        except ValueError as unreadable:
            if self._node.old and source not in self._world.actors:
                sentence = f"node {self.number} can't read a frame of node {source}, which is honest: {unreadable}"
                raise BreachError(sentence) from None
            self._world.counts["unreadable frame"] += 1
            return
        self._take(turned)

    def asked(self, peer: int, stream: int, frame: bytes) -> bytes | None:
        """Returns the node's answer to a peer's question, for inspection after the run."""
        _, wall_ms = self._clock()
        turned: Turned = self.native.frame(*self._clock(), peer, stream, frame)
        for _ in range(TURNS_MAX):
            for targets, on, said in turned[1]:
                if on == stream and targets == [peer] and said[1:9] == frame[1:9]:
                    return said
            if turned[3] is None:
                break
            turned = self.native.tick(turned[3], wall_ms)  # the node was busy
        return None

    def link(self, peer: int, *, up: bool, version: int) -> None:
        """Tells the node that a link came up, on which both ends speak this version of the peer protocol, or went
        down."""
        self._take(self.native.link(*self._clock(), peer, up, version))

    def look(self) -> None:
        """Wakes the node without any input, so that it sees what its clock says."""
        self._take(self.native.tick(*self._clock()))

    def client(self, raw: bytes, until: str, tag: int) -> None:
        """Submits a client's transaction, which waits for its end."""
        self._take(self.native.client(*self._clock(), raw, until, tag))

    def _end(self, stage: int, thread: int) -> None:
        self._world.note(f"{self._world.now}:{self._node.index}:{STAGES[stage]}")
        turned = self.native.end(*self._clock(), stage, thread)
        if stage == SYNC:
            self._on_disk()
            self._stored()
        elif stage == EXECUTE:
            self._executed()
        elif stage == KEEP:
            self._stored()
        self._take(turned)

    def _on_disk(self) -> None:
        """Tells the checkers what the journal has on disk by now (R21)."""
        node = self._node
        node.seen_records, records = node.disk.synced_records(node.seen_records)
        self._world.checkers.synced(node.index, records)

    def _stored(self) -> None:
        tip, (_, unsynced) = self._node.disk.tip(), self._node.disk.unsynced()
        # Pruning, which follows a sync, is one write. A failed sync leaves at least the two writes of a height.
        if tip is not None and unsynced <= 1:
            self._world.checkers.stored(self._node.index, read_header(tip[2])[0].view)

    def _executed(self) -> None:
        tip = self._node.disk.tip()
        if tip is None or tip[0] <= self.height:
            return
        for height in range(self.height + 1, tip[0] + 1):
            stored = self._node.disk.block(height)
            assert stored is not None, "a store has every height up to its tip"
            digest, raw, root = stored
            header, _ = read_header(raw)
            if self._node.index in self._world.honest:
                self._world.checkers.executed(self._node.index, digest, header, root)
                self._world.on_executed(self._node.index, height)
            if header.ends_epoch:
                self._stored()
                self._world.reached(self._node.index, header.epoch, Stage.EXECUTED)
        self.height = tip[0]

    def _tick(self, at: int) -> None:
        if self._tick_at != at:
            return
        self._tick_at = None
        if self._deadline is not None and self._deadline > self._world.now:
            self._arm(self._deadline)
        else:
            self._take(self.native.tick(*self._clock()))

    def _arm(self, deadline: int | None) -> None:
        self._deadline = deadline
        if deadline is None:
            return
        at = max(deadline, self._world.now + NS_PER_US)
        if self._tick_at is None or at < self._tick_at:
            self._tick_at = at
            self._world.process_at(self._node.index, self._incarnation, at, self._tick, at)

    def _take(self, turned: Turned) -> None:
        """Carries out the results of a call: frames to send, stages begun, answers, wake-ups and the deadline."""
        world, index = self._world, self._node.index
        busy_us, sent, begun, deadline_us, wakes, answers = turned
        if sent:
            world.departs = world.now + busy_us * NS_PER_US
            for targets, stream, frame in sent:
                world.send(index, targets, stream, frame)
            world.departs = 0
        for stage, thread, price_us in begun:
            takes = self._pace.of(stage) if price_us is None else self._pace.slower * price_us / 1_000
            delay = busy_us / 1_000 + takes * (1 + world.rng.random() / 2)
            world.later(index, self._incarnation, delay, self._end, stage, thread)
        for tag, how, height in answers:
            world.answered(index, tag, how, height)
        if wakes:
            world.wake(index, busy_us * NS_PER_US)
        self._arm(None if deadline_us is None else deadline_us * NS_PER_US)
