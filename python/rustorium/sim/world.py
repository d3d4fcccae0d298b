"""The simulated world: an event queue with a virtual clock, nodes that crash and lose power, and the links between
them.

Invariants: time only moves by events; equal times run in the order in which they were scheduled; what a dead process
had scheduled never runs (each start of a node is an incarnation of its own).
"""

import hashlib
import heapq
import random
from collections import Counter
from collections.abc import Callable

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.vocabulary import Certificate, Input, Tick
from rustorium.replica import Replica
from rustorium.sim.actors import Actor, Outgoing
from rustorium.sim.checkers import Checkers
from rustorium.sim.disk import Disk
from rustorium.sim.epochs import Change
from rustorium.sim.faults import BoundaryFault, Stage
from rustorium.sim.held import Pace
from rustorium.sim.links import CALM, LinkFaults, Links
from rustorium.sim.model import NS_PER_MS, Message, first_committee
from rustorium.sim.port import SimPort
from rustorium.sim.roots import PeriodRule

WAKE_NS = 30_000
DRAIN_LIMIT = 64
EVENTS_MAX = 400_000
"""A run that needs more has run away: a bug, never a slow network."""


class Node:
    """A node across its restarts: the disk stays, process and core don't."""

    def __init__(self, index: int) -> None:
        self.index = index
        self.disk = Disk()
        self.keys = {0}
        """Which of its validator keys the node holds."""
        self.unborn = False
        """It isn't there yet, and nothing starts it."""
        self.port: SimPort | None = None
        self.replica: Replica | None = None
        self.incarnation = 0
        self.tick_at: int | None = None
        self.waking = False
        self.crash_after_effects: int | None = None
        self.steps_by_view: Counter[int] = Counter()
        self.view = 0


class World:
    """Everything that one run consists of: the first `n` of its nodes are the first committee."""

    def __init__(
        self,
        seed: int,
        n: int,
        config: ConsensusConfig,
        *,
        faults: LinkFaults = CALM,
        base_ms: float = 1.0,
        actors: dict[int, Actor] | None = None,
        paces: dict[int, Pace] | None = None,
        periods: PeriodRule | None = None,
        nodes: int | None = None,
        epoch_ms: int | None = None,
    ) -> None:
        self.rng = random.Random(seed)
        self.n, self.config, self.epoch_ms = n, config, epoch_ms
        self.size = n if nodes is None else nodes
        self.committee = first_committee(n)
        self.changes: dict[int, Change] = {}
        """What transactions do to the committee record; all others leave it alone."""
        self.boundary_faults: list[BoundaryFault] = []
        self.periods = periods or PeriodRule()
        self.now = 0
        self.counts: Counter[str] = Counter()
        self.actors = actors or {}
        self.honest = frozenset(range(self.size)) - frozenset(self.actors)
        self.checkers = Checkers(self.honest)
        self.links = Links(self.rng, base_ms, faults, self.counts)
        self.nodes = [Node(index) for index in range(self.size)]
        self.events = 0
        self.inputs_seen: list[tuple[int, int, Input]] | None = None
        self._paces = paces or {}
        self._queue: list[tuple[int, int, Callable[..., None], tuple[object, ...]]] = []
        self._scheduled = 0
        self._genuine: set[tuple[int, Certificate]] = set()
        self._log = hashlib.blake2b(digest_size=16)

    # ---- time

    def at(self, time: int, call: Callable[..., None], *arguments: object) -> None:
        self._scheduled += 1
        heapq.heappush(self._queue, (max(time, self.now), self._scheduled, call, arguments))

    def after_ms(self, delay_ms: float, call: Callable[..., None], *arguments: object) -> None:
        self.at(self.now + int(delay_ms * NS_PER_MS), call, *arguments)

    def run(self, until_ms: float, done: Callable[[], bool] | None = None, check_every: int = 32) -> bool:
        """Runs to that time, or until `done`, asked every so many events, says so; returns whether it did."""
        limit = int(until_ms * NS_PER_MS)
        queue = self._queue
        while queue and queue[0][0] <= limit:
            if self.events % check_every == 0 and done is not None and done():
                return True
            self.now, _, call, arguments = heapq.heappop(queue)
            self.events += 1
            assert self.events < EVENTS_MAX, "the run doesn't end"
            call(*arguments)
        self.now = max(self.now, limit)
        return done is not None and done()

    def hash(self) -> str:
        """Covers every input of every core with its time."""
        return self._log.hexdigest()

    # ---- nodes

    def start(self, index: int) -> None:
        node = self.nodes[index]
        if node.port is not None or node.unborn:
            return
        node.crash_after_effects = None
        node.replica = Replica(self.config)
        self._open_port(node)

    def _open_port(self, node: Node) -> SimPort:
        node.incarnation += 1
        node.tick_at, node.waking = None, False
        pace = self._paces.get(node.index, Pace())
        node.port = SimPort(self, node.index, node.incarnation, node.disk, pace)
        node.port.start()
        return node.port

    def start_all(self) -> None:
        for index in range(self.size):
            self.start(index)

    def end_epoch(self, index: int) -> None:
        """The node has executed its epoch's boundary. Its core may be busy while the data plane goes on, and so have
        inputs of the old epoch in hand when the new one begins (R29)."""
        node = self.nodes[index]
        busy_ms = self.rng.uniform(0, 4) if self.rng.random() < 0.5 else 0.0
        node.waking = node.waking or busy_ms > 0
        self.later(index, node.incarnation, busy_ms, self._begin_epoch, index)

    def _begin_epoch(self, index: int) -> None:
        """A restart in place: a new data plane from the store, and the same core."""
        node = self.nodes[index]
        old = node.port
        assert old is not None
        in_hand = old.drain(DRAIN_LIMIT) if node.waking else []
        port = self._open_port(node)
        for event in in_hand:
            if not self._feed(node, event):
                return
        port.take_over(old.leftovers(), old.parked)
        self._arm(node)
        self.reached(index, old.epoch.number, Stage.BEGUN)

    def reached(self, index: int, epoch: int, stage: Stage) -> None:
        """A node has come to a stage of an epoch's end: the fault that waits for the first one strikes."""
        fault = next((fault for fault in self.boundary_faults if (fault.epoch, fault.stage) == (epoch, stage)), None)
        if fault is not None:
            self.boundary_faults.remove(fault)
            self.counts["crash at a boundary"] += 1
            self.at(self.now, self._strike, index, fault)

    def _strike(self, index: int, fault: BoundaryFault) -> None:
        if fault.power:
            self.lose_power()
        else:
            self.crash(index)
        for each in range(self.size) if fault.power else (index,):
            self.after_ms(fault.down_ms, self.start, each)

    def wipe(self, index: int, key: int) -> None:
        """The node's disk is gone, and with it all that it signed: it starts anew, with another key."""
        node = self.nodes[index]
        self.crash(index)
        node.disk, node.keys = Disk(), {key}
        self.counts["wiped node"] += 1

    def crash(self, index: int) -> None:
        """kill -9: the process is gone, the page cache stays."""
        node = self.nodes[index]
        if node.port is not None:
            node.port = node.replica = None
            node.incarnation += 1

    def lose_power(self) -> None:
        """All nodes at once forget what they haven't synced."""
        for node in self.nodes:
            self.crash(node.index)
            self.counts["forgotten records"] += node.disk.lose_power()
        self.counts["power loss"] += 1

    def ports(self) -> list[SimPort]:
        """The running honest nodes."""
        return [node.port for node in self.nodes if node.port is not None and node.index in self.honest]

    def later(self, index: int, incarnation: int, delay_ms: float, call: Callable[..., None], *args: object) -> None:
        """Schedules a call of a process, which dies with it."""
        self.at(self.now + int(delay_ms * NS_PER_MS), self._if_alive, index, incarnation, call, args)

    def _if_alive(self, index: int, incarnation: int, call: Callable[..., None], args: tuple[object, ...]) -> None:
        if self.nodes[index].incarnation == incarnation:
            call(*args)

    # ---- the driver of each core

    def wake(self, index: int) -> None:
        node = self.nodes[index]
        if not node.waking and node.port is not None:
            node.waking = True
            self.at(self.now + WAKE_NS, self._step, index, node.incarnation)

    def _step(self, index: int, incarnation: int) -> None:
        node = self.nodes[index]
        if node.incarnation != incarnation or node.port is None:
            return
        node.waking = False
        for event in node.port.drain(DRAIN_LIMIT):
            if not self._feed(node, event):
                return
        if node.port.waiting():
            self.wake(index)
        self._arm(node)

    def _feed(self, node: Node, event: Input) -> bool:
        """One step of one core; False when the node dies in the middle of its effects."""
        assert node.port is not None
        assert node.replica is not None
        self._log.update(f"{self.now}:{node.index}:{event!r}".encode())
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

    def _arm(self, node: Node) -> None:
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
        current = node.replica.next_deadline()
        if current is not None and current <= self.now and not self._feed(node, Tick()):
            return
        self._arm(node)

    # ---- signatures

    def formed(self, epoch: int, certificate: Certificate) -> None:
        """A quorum of the epoch's committee has really signed this: nobody else's word makes a certificate."""
        self.checkers.certified(epoch, certificate)
        self._genuine.add((epoch, certificate))

    def is_genuine(self, epoch: int, certificate: Certificate) -> bool:
        return (epoch, certificate) in self._genuine

    # ---- messages

    def send(self, source: int, target: int, message: Message, epoch: int) -> None:
        """`epoch` is the sender's."""
        actor = self.actors.get(source)
        if actor is None or actor.lets_out(Outgoing(self, source, target, message)):
            self.pass_on(source, target, message, epoch)

    def pass_on(self, source: int, target: int, message: Message, epoch: int) -> None:
        """Puts a message on the link, whatever the sender's actor says."""
        for at in self.links.arrivals(self.now, source, target):
            self.at(at, self._deliver, source, target, message, epoch)

    def _deliver(self, source: int, target: int, message: Message, epoch: int) -> None:
        port = self.nodes[target].port
        if port is not None:
            port.receive(source, message, epoch)
