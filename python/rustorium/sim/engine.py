"""The clock of a simulated world, and the driver of each node's core in it.

Invariants: time only moves by events. Events at equal times run in the order in which they were scheduled. A dead
process's scheduled calls never run: each start of a node is a new incarnation.
"""

import hashlib
import heapq
from collections import Counter
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.port import ShardPort
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import Input, Tick

WAKE_NS = 30_000
DRAIN_LIMIT = 64
EVENTS_MAX = 400_000
"""Limit of events: an ordinary run that needs more is a bug, never a slow network."""


class SimulatedPort(ShardPort, Protocol):
    """A data plane under the world's clock."""

    @property
    def view(self) -> int:
        """The view that the core last entered."""
        ...

    def waiting(self) -> bool:
        """Checks whether inputs wait."""
        ...


class Node:
    """A node across its restarts: process and core don't survive one."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.port: SimulatedPort | None = None
        self.replica: Replica | None = None
        self.incarnation = 0
        self.tick_at: int | None = None
        self.waking = False
        self.busy_until = 0
        """The time until which the core's thread is busy."""
        self.busy_ns = 0
        """Total working time of the core's thread, over all processes."""
        self.crash_after_effects: int | None = None
        self.steps_by_view: Counter[int] = Counter()


class Timeline:
    """Virtual time: the calls that are due, and the log of what happened."""

    def __init__(self) -> None:
        self.now = 0
        self.events = 0
        self.events_max = EVENTS_MAX
        self.sink: Callable[[str], None] | None = None
        """Called with each line of the event log."""
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._scheduled = 0
        self._log = hashlib.blake2b(digest_size=16)

    def at(self, time: int, call: Callable[..., None], *arguments: object) -> None:
        """Schedules a call."""
        self._scheduled += 1
        heapq.heappush(self._queue, (max(time, self.now), self._scheduled, call, arguments))

    def run(self, until_ms: float, done: Callable[[], bool] | None, check_every: int) -> bool:
        """Does what `Engine.run` says."""
        limit = int(until_ms * NS_PER_MS)
        queue = self._queue
        while queue and queue[0][0] <= limit:
            if self.events % check_every == 0 and done is not None and done():
                return True
            self.now, _, call, arguments = heapq.heappop(queue)
            self.events += 1
            assert self.events < self.events_max, "the run doesn't end"
            call(*arguments)
        self.now = max(self.now, limit)
        return done is not None and done()

    def note(self, line: str) -> None:
        """Adds a line to the event log."""
        self._log.update(line.encode())
        if self.sink is not None:
            self.sink(line)

    def hash(self) -> str:
        """Returns the hash of the event log."""
        return self._log.hexdigest()


N = TypeVar("N", bound=Node)


class Engine(Generic[N]):
    """The nodes' cores on a timeline, which engines can share."""

    def __init__(self, nodes: list[N], time: Timeline | None = None) -> None:
        self.nodes = nodes
        self.time = Timeline() if time is None else time
        self.step_ns = 0
        """Time that a step of a core costs its thread."""
        self.counts: Counter[str] = Counter()
        self.inputs_seen: list[tuple[int, int, Input]] | None = None

    # ---- time

    @property
    def now(self) -> int:
        """Virtual time in nanoseconds."""
        return self.time.now

    def at(self, time: int, call: Callable[..., None], *arguments: object) -> None:
        self.time.at(time, call, *arguments)

    def after_ms(self, delay_ms: float, call: Callable[..., None], *arguments: object) -> None:
        self.time.at(self.time.now + int(delay_ms * NS_PER_MS), call, *arguments)

    def run(self, until_ms: float, done: Callable[[], bool] | None = None, check_every: int = 32) -> bool:
        """Runs to that time, or until `done()` is true, which is called every `check_every` events. Returns whether it
        became true."""
        return self.time.run(until_ms, done, check_every)

    # ---- the event log

    def note(self, line: str) -> None:
        """Adds a line to the event log."""
        self.time.note(line)

    def hash(self) -> str:
        """Returns the hash of the event log, which has at least every input of every core with its time."""
        return self.time.hash()

    # ---- processes

    def start(self, index: int) -> None:
        """Starts a node's process, if it isn't running."""
        raise NotImplementedError

    def crash(self, index: int) -> None:
        """Kills a process as by `kill -9`: the process is gone, the page cache stays."""
        node = self.nodes[index]
        if node.port is not None:
            node.port = node.replica = None
            node.incarnation += 1

    def later(self, index: int, incarnation: int, delay_ms: float, call: Callable[..., None], *args: object) -> None:
        """Schedules a call of a process; it never runs if the process dies first."""
        self.at(self.now + int(delay_ms * NS_PER_MS), self._if_alive, index, incarnation, call, args)

    def _if_alive(self, index: int, incarnation: int, call: Callable[..., None], args: tuple[object, ...]) -> None:
        if self.nodes[index].incarnation == incarnation:
            call(*args)

    # ---- the driver of each core

    def wake(self, index: int, after_ns: int = 0) -> None:
        node = self.nodes[index]
        if not node.waking and node.port is not None:
            node.waking = True
            self.at(max(self.now + after_ns, node.busy_until) + WAKE_NS, self._step, index, node.incarnation)

    def _step(self, index: int, incarnation: int) -> None:
        node = self.nodes[index]
        if node.incarnation != incarnation or node.port is None:
            return
        node.waking = False
        if not self._take_inputs(node) or node.incarnation != incarnation:
            return
        if node.port.waiting():
            self.wake(index)
        self._arm(node)

    def _take_inputs(self, node: N) -> bool:
        """Steps what waits for a core; returns `False` if the node dies in the middle of its effects."""
        assert node.port is not None
        return all(self._feed(node, event) for event in node.port.drain(DRAIN_LIMIT))

    def _feed(self, node: N, event: Input) -> bool:
        """Runs one step of one core; returns `False` if the node dies in the middle of its effects."""
        assert node.port is not None
        assert node.replica is not None
        self.note(f"{self.now}:{node.index}:{event!r}")
        node.busy_until = max(node.busy_until, self.now) + self.step_ns
        node.busy_ns += self.step_ns
        if self.inputs_seen is not None:
            self.inputs_seen.append((self.now, node.index, event))
        node.steps_by_view[node.port.view] += 1
        effects = node.replica.on_input(self.now, event)
        cut = node.crash_after_effects
        if cut is not None and effects:
            self.counts["crash within a step"] += 1
            node.port.submit(effects[:cut])
            self.crash(node.index)
            self.after_ms(20.0, self.start, node.index)
            return False
        node.port.submit(effects)
        return True

    def _arm(self, node: N) -> None:
        assert node.replica is not None
        deadline = node.replica.next_deadline()
        if deadline is not None and (node.tick_at is None or deadline < node.tick_at):
            node.tick_at = deadline
            self.at(deadline, self._tick, node.index, node.incarnation, deadline)

    def _tick(self, index: int, incarnation: int, deadline: int) -> None:
        node = self.nodes[index]
        if node.incarnation != incarnation or node.replica is None or node.tick_at != deadline:
            return
        node.tick_at = None
        if not self._take_inputs(node) or node.incarnation != incarnation:
            return
        current = node.replica.next_deadline()
        if current is not None and current <= self.now and not self._feed(node, Tick()):
            return
        self._arm(node)
