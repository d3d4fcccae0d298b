"""The simulated world of the release stages: nodes with disks that crash and lose power, links, and clients.

Invariants: as the engine's; a frame is only ever delayed, copied or dropped by a link, and its sender is always known;
honest nodes' frames pass the checkers before they are on a link.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorium import _native
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.sim import engine
from rustorium.sim.actors.base import Actor, Incoming, Outgoing, said_in
from rustorium.sim.checkers import Checkers
from rustorium.sim.engine import Engine
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import VOTE, read_vote
from rustorium.sim.links import CALM, LinkFaults, Links
from rustorium.sim.net import AMOUNT, Net
from rustorium.sim.port import CONSENSUS, Pace, ReleasePort
from rustorium.sim.shadow import Shadow
from rustorium.sim.terms import BoundaryFault, Stage

NOBODY = -1
"""The number of a member whose key no node has."""
LINK_UP_MS = 1.5
LINK_DOWN_MS = 20.0
"""After this time a peer's transport has noticed that a process is gone."""
REPAIR_MS = 50.0
"""How long it takes until a node that a failing disk stopped is started again."""


class Node(engine.Node):
    """A node whose disk survives its process."""

    port: ReleasePort | None

    def __init__(self, index: int, number: int) -> None:
        super().__init__(index)
        self.number = number
        """What it is called on the wire. A traitor's twin has the number of another node."""
        self.disk = _native.SimDisk()
        self.key = 0
        """Which of its validator keys it has."""
        self.unborn = False
        """It isn't there yet, and nothing starts it."""
        self.wiped = False
        """Whether a disk of it is gone: then its key may be retired, and it counts as one of the faulty."""
        self.seen_records = 0
        """Up to this position of the journal the checkers have seen what is on disk."""
        self.failing = False
        """Whether its disk was told to fail: then a process may end by itself."""
        self.calls: Counter[str] = Counter()
        """Calls into the release stages, of processes that ended."""
        self.clock_ms = 0
        """How far its clock is ahead of the true time."""
        self._offenders: set[int] = set()

    def offenders(self) -> set[int]:
        """Places of members that it has evidence against, of all its processes."""
        if self.port is not None:
            self._offenders.update(self.port.native.offenders())
        return self._offenders

    def end(self) -> None:
        """Keeps of a process what is asked for at the end."""
        if self.port is not None:
            self.offenders()
            self.calls.update(self.port.native.calls())


class World(Engine[Node]):
    """Everything that one run consists of."""

    def __init__(
        self,
        seed: int,
        net: Net,
        nodes: int,
        config: ConsensusConfig,
        *,
        faults: LinkFaults = CALM,
        base_ms: float = 1.0,
        actors: dict[int, Actor] | None = None,
        paces: dict[int, Pace] | None = None,
        skews_ms: Sequence[int] = (),
        twins: Sequence[int] = (),
        costs: Mapping[str, int] | None = None,
    ) -> None:
        """`skews_ms`: by numbers, how far clocks are ahead. `twins`: numbers of traitors that run twice. `costs`: the
        prices of threads' work in nanoseconds; None: it takes no time."""
        super().__init__([Node(index, number) for index, number in enumerate([*range(nodes), *twins])])
        self.rng = random.Random(seed)
        self.net, self.n, self.size, self.config = net, net.n, nodes, config
        self.actors = actors or {}
        self.honest = frozenset(range(nodes)) - frozenset(self.actors)
        self.checkers = Checkers(len(self.nodes))
        people = [(account.address, _native.public_key(account.seed)) for account in net.accounts]
        self.shadow = Shadow([key for _, key in people], [address for address, _ in people], AMOUNT)
        self.links = Links(self.rng, base_ms, faults, self.counts)
        self.on_answer: Callable[[int, int, str, int | None], None] = lambda node, tag, how, height: None
        """Told how each submission ended: node, tag, a code, and the height if it is final there."""
        self.on_owner: Callable[[dict[str, Any]], None] = lambda operation: None
        """Takes what the owner of the churning validator does."""
        self.bars: Callable[[int, int, bytes], bool] = lambda source, target, frame: False
        """Whether a frame of one node must not reach another one."""
        self.departs = 0
        """When frames that are sent now leave, if later than now: their sender is busy until then."""
        self.costs = costs
        self.boundary_faults: list[BoundaryFault] = []
        self._paces = paces or {}
        for node in self.nodes:
            # A twin's clock is another one, so that its blocks are too.
            node.clock_ms = dict(enumerate(skews_ms)).get(node.number, 0) + (node.index >= nodes)
        keys = {net.validator_key(index, number): index for index in range(nodes) for number in range(2)}
        self._number_of_key = keys
        self._named = [[node.index for node in self.nodes if node.number == number] for number in range(nodes)]

    # ---- nodes

    def start(self, index: int) -> None:
        node = self.nodes[index]
        if node.port is not None or node.unborn:
            return
        node.crash_after_effects = None
        node.incarnation += 1
        node.tick_at, node.waking = None, False
        try:
            port = ReleasePort(self, node, self.seed_of(index), self._paces.get(node.number, Pace()))
        except _native.NativeError as failure:
            self.failed(index, failure.code, str(failure))
            return
        node.port, node.replica = port, Replica(self.config)
        if node.incarnation == 1 and (actor := self.actors.get(node.number)) is not None:
            actor.begins(self, index)
        port.begin()
        for peer, other in enumerate(self.nodes):
            if other.number != node.number and other.port is not None:
                self.after_ms(LINK_UP_MS, self._link_up, index, peer, node.incarnation, self.nodes[peer].incarnation)

    def seed_of(self, index: int) -> bytes:
        """The seed of a node's validator key."""
        node = self.nodes[index]
        return self.net.validator_seed(node.number, node.key)

    def _link_up(self, a: int, b: int, a_incarnation: int, b_incarnation: int) -> None:
        one, other = self.nodes[a], self.nodes[b]
        if (one.incarnation, other.incarnation) != (a_incarnation, b_incarnation):
            return
        for here, there in ((one, other), (other, one)):
            if here.port is not None:
                here.port.link(there.number, True)

    def start_all(self) -> None:
        for index in range(len(self.nodes)):
            self.start(index)

    def crash(self, index: int) -> None:
        node = self.nodes[index]
        if node.port is None:
            return
        node.end()
        super().crash(index)
        self.checkers.crashed(index)
        for peer, other in enumerate(self.nodes):
            if other.number != node.number:
                self.after_ms(LINK_DOWN_MS, self._link_down, peer, index, node.incarnation)

    def _link_down(self, here: int, gone: int, incarnation: int) -> None:
        port = self.nodes[here].port
        if port is not None and self.nodes[gone].incarnation == incarnation:
            port.link(self.nodes[gone].number, False)

    def failed(self, index: int, code: str, sentence: str) -> None:
        """A node's data plane can't go on: the process ends, as the node's supervisor would have it."""
        node = self.nodes[index]
        if not node.failing:
            raise BreachError(f"node {index} stopped by itself with {code}: {sentence}")
        self.counts["full disk" if "full" in sentence else "failing disk"] += 1
        self.crash(index)
        self.after_ms(REPAIR_MS, self.start, index)

    def lose_power(self, nodes: Sequence[int] | None = None) -> None:
        """These nodes, or all of them, at once forget what they haven't synced, but for some of what was under way."""
        for index in range(self.size) if nodes is None else nodes:
            self.crash(index)
            disk = self.nodes[index].disk
            records, writes = disk.unsynced()
            lost = disk.lose_power(self.rng.randint(0, records), self.rng.randint(0, writes))
            self.counts["forgotten records"] += lost[0]
            self.counts["forgotten store writes"] += lost[1]
        self.counts["power loss"] += 1

    def partition(self, islands: Sequence[int] | None) -> None:
        """Nodes hear only those of their own island, by their numbers; a twin is on another one than its other half."""
        if islands is not None:
            islands = [*islands, *(1 - min(islands[node.number], 1) for node in self.nodes[self.size :])]
        self.links.partition(None if islands is None else list(islands))

    def jump_clock(self, number: int, ms: int, noticed_ms: float) -> None:
        """Changes the wall clock of the nodes with this number; they look at it `noticed_ms` later at the latest."""
        for index in self._named[number]:
            node = self.nodes[index]
            node.clock_ms += ms
            self.later(index, node.incarnation, self.rng.uniform(0, noticed_ms), self._look, index)

    def _look(self, index: int) -> None:
        port = self.nodes[index].port
        if port is not None:
            port.look()

    def wipe(self, index: int) -> None:
        """A node's disk is gone, and with it all that it signed."""
        self.crash(index)
        node = self.nodes[index]
        node.disk, node.wiped = _native.SimDisk(), True
        self.checkers.wiped(index, node.incarnation)
        self.counts["wiped node"] += 1

    def rekey(self, index: int) -> None:
        """The operator gives a stopped node its next validator key, with a journal of its own for it."""
        self.crash(index)
        node = self.nodes[index]
        node.disk.new_journal()
        node.key, node.wiped = node.key + 1, False
        self.counts["new key"] += 1

    def bear(self, index: int) -> None:
        """A node comes into being, with nothing but the genesis."""
        node = self.nodes[index]
        if node.unborn:
            node.unborn = False
            self.counts["late node"] += 1
            self.start(index)

    # ---- epochs

    def committee_of(self, node: Node, epoch: int) -> tuple[int, ...]:
        """The members' numbers by their places, as a node's disk has it."""
        keys = node.disk.committee(self.net.native, epoch)
        assert keys is not None, "an epoch that a node is in begins on its disk"
        return tuple(self._number_of_key.get(key, NOBODY) for key in keys)

    def reached(self, index: int, epoch: int, stage: Stage) -> None:
        """A node has come to a stage of an epoch's end: the fault that waits for the first one strikes."""
        fault = next((fault for fault in self.boundary_faults if (fault.epoch, fault.stage) == (epoch, stage)), None)
        if fault is not None:
            self.boundary_faults.remove(fault)
            self.counts["crash at a boundary"] += 1
            self.at(self.now, self._strike, index, fault)

    def _strike(self, index: int, fault: BoundaryFault) -> None:
        struck = tuple(range(self.size)) if fault.power else (index,)
        if fault.power:
            self.lose_power(struck)
        else:
            self.crash(index)
        for each in struck:
            self.after_ms(fault.down_ms, self.start, each)

    def ports(self) -> list[ReleasePort]:
        """The running honest nodes."""
        return [node.port for node in self.nodes if node.port is not None and node.index in self.honest]

    def process_at(self, index: int, incarnation: int, at: int, call: Callable[..., None], *args: object) -> None:
        """Schedules a call of a process at a time."""
        self.at(at, self._if_alive, index, incarnation, call, args)

    def calls(self) -> Counter[str]:
        """Calls into the release stages, of all nodes and all their processes."""
        total: Counter[str] = Counter()
        for node in self.nodes:
            total.update(node.calls)
            if node.port is not None:
                total.update(node.port.native.calls())
        return total

    # ---- messages

    def send(self, source: int, targets: Sequence[int], stream: int, frame: bytes) -> None:
        """A node's data plane sends a frame to nodes by their numbers."""
        actor = self.actors.get(self.nodes[source].number)
        if actor is not None:
            actor.send(Outgoing(self, source, tuple(targets), stream, frame, said_in(frame)))
            return
        if stream == CONSENSUS:
            self.checkers.frame_left(source, frame)
        else:
            self.checkers.asked(source, frame)
        if self.boundary_faults and stream == CONSENSUS and frame[0] == VOTE:
            self.reached(source, read_vote(frame, 1).epoch - 1, Stage.VOTED)
        for target in targets:
            self.pass_on(source, target, stream, frame)

    def pass_on(self, source: int, target: int, stream: int, frame: bytes) -> None:
        """Puts a frame on the link to whoever has this number, whatever the sender's actor says."""
        for index in self._named[target]:
            if self.bars(source, index, frame):
                self.counts["partition"] += 1
                continue
            for at in self.links.arrivals(max(self.now, self.departs), source, index):
                starts = (self.nodes[source].incarnation, self.nodes[index].incarnation)
                self.at(at, self._deliver, source, index, stream, frame, starts)

    def _deliver(self, source: int, target: int, stream: int, frame: bytes, starts: tuple[int, int]) -> None:
        """`starts`: of both when it was sent. A link is between two processes: what is on its way to one that ended
        comes to none that follows, though it may still come from one that ended."""
        node = self.nodes[target]
        if node.port is None or node.incarnation != starts[1]:
            return
        if stream == CONSENSUS:
            self.checkers.heard(source, starts[0])
        self.note(f"{self.now}:{source}>{target}:{stream}:{len(frame)}:{frame[:1].hex()}:{frame[-32:].hex()}")
        sender, actor = self.nodes[source].number, self.actors.get(node.number)
        if actor is not None:
            incoming = Incoming(self, target, sender, stream, frame, _said_if_readable(frame))
            if not actor.lets_in(incoming) or node.port is None:
                return
        node.port.frame(sender, stream, frame)

    # ---- clients

    def answered(self, node: int, tag: int, how: str, height: int | None) -> None:
        self.note(f"{self.now}:{node}:answer:{tag}:{how}:{height}")
        self.on_answer(node, tag, how, height)


def _said_if_readable(frame: bytes) -> dict[str, Any]:
    """What a frame says; of other traitors' garbage, nothing."""
    try:
        return said_in(frame)
    except ValueError:
        return {"message": "garbage", "epoch": None, "view": None}
