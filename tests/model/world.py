"""The simulated world of the model: nodes that crash and lose power, and the links between them.

Invariants: those of the engine; only the world knows which certificates are genuine.
"""

import random

from model.actors import Actor, Outgoing
from model.checkers import Checkers
from model.disk import Disk
from model.epochs import Change
from model.faults import BoundaryFault, Stage
from model.held import Pace
from model.port import SimPort
from model.roots import PeriodRule
from model.vocabulary import Message, first_committee
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import Certificate
from rustorium.sim import engine
from rustorium.sim.engine import DRAIN_LIMIT, Engine
from rustorium.sim.links import CALM, LinkFaults, Links


class Node(engine.Node):
    """A node whose disk and keys survive its process."""

    port: SimPort | None

    def __init__(self, index: int) -> None:
        super().__init__(index)
        self.disk = Disk()
        self.keys = {0}
        """The numbers of the validator keys that the node holds."""
        self.unborn = False
        """`True` if the node doesn't exist yet: nothing starts it."""
        self.view = 0


class World(Engine[Node]):
    """All parts of one run; the first `n` of its nodes are the first committee."""

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
        drawn: bool = False,
    ) -> None:
        self.size = n if nodes is None else nodes
        super().__init__([Node(index) for index in range(self.size)])
        self.rng = random.Random(seed)
        self.n, self.config, self.epoch_ms, self.drawn = n, config, epoch_ms, drawn
        self.committee = first_committee(n)
        self.changes: dict[int, Change] = {}
        """Changes of the committee record by transaction; all other transactions leave it unchanged."""
        self.boundary_faults: list[BoundaryFault] = []
        self.periods = periods or PeriodRule()
        self.actors = actors or {}
        self.honest = frozenset(range(self.size)) - frozenset(self.actors)
        self.checkers = Checkers(self.honest)
        self.links = Links(self.rng, base_ms, faults, self.counts)
        self._paces = paces or {}
        self._genuine: set[tuple[int, Certificate]] = set()

    # ---- nodes

    def start(self, index: int) -> None:
        node = self.nodes[index]
        if node.port is not None or node.unborn:
            return
        node.crash_after_effects = None
        node.replica = Replica(self.config)
        self._open_port(node)

    def _open_port(self, node: Node, backoff: int | None = None) -> SimPort:
        node.incarnation += 1
        node.tick_at, node.waking = None, False
        pace = self._paces.get(node.index, Pace())
        node.port = SimPort(self, node.index, node.incarnation, node.disk, pace)
        node.port.backoff = backoff
        node.port.start()
        return node.port

    def start_all(self) -> None:
        for index in range(self.size):
            self.start(index)

    def end_epoch(self, index: int) -> None:
        """Called when the node has executed its epoch's boundary. Its core may be busy while the data plane goes on,
        and so may still have inputs of the old epoch when the new one begins (R29)."""
        node = self.nodes[index]
        busy_ms = self.rng.uniform(0, 4) if self.rng.random() < 0.5 else 0.0
        node.waking = node.waking or busy_ms > 0
        self.later(index, node.incarnation, busy_ms, self._begin_epoch, index)

    def _begin_epoch(self, index: int) -> None:
        """Restarts in place: a new data plane from the store, and the same core."""
        node = self.nodes[index]
        old = node.port
        assert old is not None
        in_hand = old.drain(DRAIN_LIMIT) if node.waking else []
        port = self._open_port(node, old.backoff)
        for event in in_hand:
            if not self._feed(node, event):
                return
        port.take_over(old.leftovers(), old.parked)
        self._arm(node)
        self.reached(index, old.epoch.number, Stage.BEGUN)

    def reached(self, index: int, epoch: int, stage: Stage) -> None:
        """Called when a node has reached a stage of an epoch's end; triggers the fault that waits for the first node
        there."""
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
        """Wipes the node's disk with everything that it signed; the node starts again with another key."""
        node = self.nodes[index]
        self.crash(index)
        node.disk, node.keys = Disk(), {key}
        self.counts["wiped node"] += 1

    def lose_power(self) -> None:
        """Takes the power from all nodes at once: each loses its unsynced data."""
        for node in self.nodes:
            self.crash(node.index)
            self.counts["forgotten records"] += node.disk.lose_power()
        self.counts["power loss"] += 1

    def ports(self) -> list[SimPort]:
        """The running honest nodes."""
        return [node.port for node in self.nodes if node.port is not None and node.index in self.honest]

    # ---- signatures

    def formed(self, epoch: int, certificate: Certificate) -> None:
        """Notes that a quorum of the epoch's committee has really signed this. A certificate is genuine only if noted
        here."""
        self.checkers.certified(epoch, certificate)
        self._genuine.add((epoch, certificate))

    def is_genuine(self, epoch: int, certificate: Certificate) -> bool:
        return (epoch, certificate) in self._genuine

    # ---- messages

    def send(self, source: int, target: int, message: Message, epoch: int) -> None:
        """Sends a message; `epoch` is the sender's."""
        actor = self.actors.get(source)
        if actor is None or actor.lets_out(Outgoing(self, source, target, message)):
            self.pass_on(source, target, message, epoch)

    def pass_on(self, source: int, target: int, message: Message, epoch: int) -> None:
        """Sends a message on the link, whatever the sender's actor wants."""
        for at in self.links.arrivals(self.now, source, target):
            self.at(at, self._deliver, source, target, message, epoch)

    def _deliver(self, source: int, target: int, message: Message, epoch: int) -> None:
        port = self.nodes[target].port
        if port is not None:
            port.receive(source, message, epoch)
