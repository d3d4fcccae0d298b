"""The simulated world of the release stages: nodes with disks that crash and lose power, links, and clients.

A world is one shard. Worlds of several shards share time, processes and links, and a frame reaches the host of its own
shard.

Invariants: those of the engine. A frame is only ever delayed, copied or dropped by a link, and its sender is always
known. Honest nodes' frames pass the checkers before they are on a link.
"""

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from rustorium import _native
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.geo.floor import Delays
from rustorium.sim import engine
from rustorium.sim.actors.base import Actor, Incoming, Outgoing, said_in
from rustorium.sim.checkers import Checkers
from rustorium.sim.engine import Engine
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import VOTE, read_vote
from rustorium.sim.links import CALM, LinkFaults, Links
from rustorium.sim.net import AMOUNT, NEWEST_VERSION, Net
from rustorium.sim.port import CONSENSUS, Pace, ReleasePort
from rustorium.sim.processes import Process
from rustorium.sim.shadow import Shadow
from rustorium.sim.terms import BoundaryFault, Stage

NOBODY = -1
"""The number of a member whose key no node has."""
LINK_UP_MS = 1.5
LINK_DOWN_MS = 20.0
"""Time after which a peer's transport has noticed that a process is gone."""
OLD_LINKS, LINKS = 2, 6
"""Versions of the peer protocol: those of 0.2.0 and of this release."""
REPAIR_MS = 50.0
"""Time until a node that a failing disk stopped is started again."""


class Node(engine.Node):
    """A node's host of the world's shard, whose disk survives it."""

    port: ReleasePort | None

    def __init__(self, index: int, number: int) -> None:
        super().__init__(index)
        self.number = number
        """The node's number on the wire. A traitor's twin has the number of another node."""
        self.disk = _native.SimDisk()
        self.key = 0
        """The number of its current validator key."""
        self.unborn = False
        """`True` if the node doesn't exist yet, and nothing starts it."""
        self.wiped = False
        """`True` once a disk of the node is lost: its key may then be retired, and it counts as faulty."""
        self.seen_records = 0
        """The journal position up to which the checkers have seen what is on disk."""
        self.old = False
        """`True` while the node runs 0.2.0, which knows protocol version 1 and older links alone."""
        self.newest = NEWEST_VERSION
        """The newest protocol version that its release speaks."""
        self.failing = False
        """`True` if its disk was told to fail: a process may then end by itself."""
        self.calls: Counter[str] = Counter()
        """Calls into the release stages, by processes that ended."""
        self.clock_ms = 0
        """Milliseconds by which its clock is ahead of the true time."""
        self._offenders: set[int] = set()

    def offenders(self) -> set[int]:
        """Returns the places of members that the node, over all its processes, holds evidence against."""
        if self.port is not None:
            self._offenders.update(self.port.native.offenders())
        return self._offenders

    def end(self) -> None:
        """Saves the parts of the ending process that are reported at the end of the run."""
        if self.port is not None:
            self.offenders()
            self.calls.update(self.port.native.calls())


class World(Engine[Node]):
    """Everything that one run of one shard consists of."""

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
        delays_us: Delays | None = None,
        beside: "World | None" = None,
    ) -> None:
        """`skews_ms`: by node number, milliseconds by which clocks are ahead. `twins`: numbers of traitors that run
        twice. `costs`: prices of threads' work in nanoseconds; `None`: work takes no time. `delays_us`: the delay from
        each node to each, in place of `base_ms`. `beside`: the first world, whose processes also host this world's
        shard."""
        places = [Node(index, number) for index, number in enumerate([*range(nodes), *twins])]
        super().__init__(places, None if beside is None else beside.time)
        self.shard = net.shard
        self.rng = random.Random(seed if beside is None else f"{seed} shard {self.shard}")
        self.net, self.n, self.size, self.config = net, net.n, nodes, config
        self.actors = actors or {}
        self.hosts = [number for number in range(nodes) if net.is_hosted_by(number)]
        """The numbers of the nodes that host the shard."""
        self.honest = frozenset(self.hosts) - frozenset(self.actors)
        self.checkers = Checkers(len(self.nodes), net.version)
        people = [(account.address, _native.public_key(account.seed)) for account in net.accounts]
        here = net.is_here
        self.shadow = Shadow([key for _, key in people], [address for address, _ in people], AMOUNT, here)
        if beside is None:
            self.processes = [Process() for _ in self.nodes]
            self.links = Links(self.rng, base_ms, faults, self.counts, delays_us)
            self.probes = delays_us is not None
            """`True` if nodes measure their round trips to peers."""
            self.worlds = [self]
            """The worlds of all shards that the processes host."""
        else:
            self.counts, self.processes, self.links = beside.counts, beside.processes, beside.links
            self.probes = beside.probes
            self.worlds = beside.worlds
            self.worlds.append(self)
        self.on_answer: Callable[[int, int, str, int | None], None] = lambda node, tag, how, height: None
        """Called with the end of each submission: node, tag, a code, and the height if the transaction is final
        there."""
        self.link_version = LINKS
        """The version of the peer protocol that nodes of this release speak."""
        self.on_executed: Callable[[int, int], None] = lambda node, height: None
        """Called with a node and a height when that node has executed it."""
        self.on_owner: Callable[[dict[str, Any]], None] = lambda operation: None
        """Called with the operations of the churning validator's owner."""
        self.bars: Callable[[int, int, bytes], bool] = lambda source, target, frame: False
        """Returns `True` for a frame of one node that must not reach another one."""
        self.departs = 0
        """The time at which frames sent now leave, if later than now: their sender is busy until then."""
        self.costs = costs
        self.boundary_faults: list[BoundaryFault] = []
        self._paces = paces or {}
        for node in self.nodes:
            # A twin has another clock, so that its blocks differ too.
            node.clock_ms = dict(enumerate(skews_ms)).get(node.number, 0) + (node.index >= nodes)
        keys = {net.validator_key(index, number): index for index in range(nodes) for number in range(2)}
        self._number_of_key = keys
        self._named = [[node.index for node in self.nodes if node.number == number] for number in range(nodes)]

    # ---- nodes

    def start(self, index: int) -> None:
        process, number = self.processes[index], self.nodes[index].number
        if process.running or self.nodes[index].unborn:
            return
        process.begin()
        incarnation = process.incarnation
        for world in self.worlds:
            if process.incarnation == incarnation:
                world._begin(index)
        for peer, other in enumerate(self.nodes):
            there = self.processes[peer]
            if process.incarnation == incarnation and other.number != number and there.running:
                self.after_ms(LINK_UP_MS, self._link_up, index, peer, incarnation, there.incarnation)

    def _begin(self, index: int) -> None:
        """Starts a process' host of this shard, on the links that are up."""
        node = self.nodes[index]
        if not self.net.is_hosted_by(node.number):
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
        for number in sorted(self.processes[index].linked):
            port.link(number, up=True, version=self._link_version(index, number))

    def place_of(self, number: int) -> int:
        """Returns a node's place in the first committee; the number itself for a node that is no member."""
        members = self.net.members
        return members.index(number) if number in members else number

    def number_at(self, place: int) -> int:
        """Returns the number of the node with a place in the first committee; the place itself if there is none."""
        members = self.net.members
        return members[place] if place < len(members) else place

    def member_after(self, number: int, steps: int) -> int:
        """Returns the number of the first committee's member so many places after a node."""
        members = self.net.members
        return members[(self.place_of(number) + steps) % len(members)]

    def seed_of(self, index: int) -> bytes:
        """Returns the seed of a node's validator key."""
        node = self.nodes[index]
        return self.net.validator_seed(node.number, node.key)

    def _link_up(self, a: int, b: int, a_incarnation: int, b_incarnation: int) -> None:
        one, other = self.processes[a], self.processes[b]
        if (one.incarnation, other.incarnation) != (a_incarnation, b_incarnation):
            return
        for here, there in ((a, b), (b, a)):
            number = self.nodes[there].number
            self.processes[here].linked.add(number)
            self._tell_link(here, number, up=True)

    def _tell_link(self, here: int, number: int, *, up: bool) -> None:
        """Tells all hosts of a process that its link to a node came up or went down."""
        for world in self.worlds:
            port = world.nodes[here].port
            if port is not None:
                port.link(number, up=up, version=world._link_version(here, number))

    def _link_version(self, here: int, number: int) -> int:
        """Returns the version of the peer protocol that both ends of a link speak."""
        ends = [self.nodes[here], *(self.nodes[there] for there in self._named[number])]
        return OLD_LINKS if any(node.old for node in ends) else self.link_version

    def start_all(self) -> None:
        for index in range(len(self.nodes)):
            self.start(index)

    def crash(self, index: int) -> None:
        process = self.processes[index]
        if not process.running:
            return
        process.end()
        for world in self.worlds:
            world._die(index)
        for peer, other in enumerate(self.nodes):
            if other.number != self.nodes[index].number:
                self.after_ms(LINK_DOWN_MS, self._link_down, peer, index, process.incarnation)

    def _die(self, index: int) -> None:
        """Ends a process' host of this shard. Its memory is lost."""
        node = self.nodes[index]
        if node.port is not None:
            node.end()
            super().crash(index)
            self.checkers.crashed(index)

    def fault(self, index: int, down_ms: float) -> None:
        """Ends a process' host of this shard, as a node does after a fault of the shard's core, and starts it again.
        The process, its links and its other hosts go on."""
        self._die(index)
        self.counts["host fault"] += 1
        self.after_ms(down_ms, self._begin_again, index, self.processes[index].incarnation)

    def _begin_again(self, index: int, incarnation: int) -> None:
        if self.processes[index].incarnation == incarnation and self.nodes[index].port is None:
            self._begin(index)

    def _link_down(self, here: int, gone: int, incarnation: int) -> None:
        if self.processes[gone].incarnation == incarnation:
            number = self.nodes[gone].number
            self.processes[here].linked.discard(number)
            self._tell_link(here, number, up=False)

    def failed(self, index: int, code: str, sentence: str) -> None:
        """Ends a host whose data plane can't go on, as a node's supervisor would: the process if it has no other host,
        or its disk is full."""
        node = self.nodes[index]
        if node.old and code == "protocol-newer":
            self.counts["old release stopped"] += 1
            self.crash(index)
            return
        if not node.failing:
            raise BreachError(f"node {index} stopped by itself with {code}: {sentence}")
        full = "full" in sentence
        self.counts["full disk" if full else "failing disk"] += 1
        if len(self.worlds) > 1 and not full:
            self.fault(index, REPAIR_MS)
            return
        self.crash(index)
        self.after_ms(REPAIR_MS, self.start, index)

    def lose_power(self, nodes: Sequence[int] | None = None) -> None:
        """Cuts the power of these nodes, or of all. Their disks lose what isn't synced, except a random part of it."""
        for index in range(self.size) if nodes is None else nodes:
            self.crash(index)
            for world in self.worlds:
                disk = world.nodes[index].disk
                records, writes = disk.unsynced()
                lost = disk.lose_power(self.rng.randint(0, records), self.rng.randint(0, writes))
                self.counts["forgotten records"] += lost[0]
                self.counts["forgotten store writes"] += lost[1]
        self.counts["power loss"] += 1

    def partition(self, islands: Sequence[int] | None) -> None:
        """Parts the network into islands, by node numbers: nodes hear only their own island. A twin is on another
        island than its other half."""
        if islands is not None:
            islands = [*islands, *(1 - min(islands[node.number], 1) for node in self.nodes[self.size :])]
        self.links.partition(None if islands is None else list(islands))

    def jump_clock(self, number: int, ms: int, noticed_ms: float) -> None:
        """Changes the wall clock of the nodes with this number; they look at it within `noticed_ms`."""
        for index in self._named[number]:
            for world in self.worlds:
                node = world.nodes[index]
                node.clock_ms += ms
                world.later(index, node.incarnation, self.rng.uniform(0, noticed_ms), world._look, index)

    def _look(self, index: int) -> None:
        port = self.nodes[index].port
        if port is not None:
            port.look()

    def wipe(self, index: int) -> None:
        """Replaces a node's disk by an empty one: everything that the node signed is gone."""
        self.crash(index)
        for world in self.worlds:
            node = world.nodes[index]
            node.disk, node.wiped = _native.SimDisk(), True
            world.checkers.wiped(index, node.incarnation)
        self.counts["wiped node"] += 1

    def rekey(self, index: int) -> None:
        """Gives a stopped node its next validator key, with a new journal for it, as its operator would."""
        self.crash(index)
        node = self.nodes[index]
        node.disk.new_journal()
        node.key, node.wiped = node.key + 1, False
        self.counts["new key"] += 1

    def change_release(self, index: int, *, old: bool = False) -> None:
        """Stops a node, and starts its home with 0.2.0 or with this release, once its peers have noticed."""
        if self.nodes[index].old == old:
            return
        self.crash(index)
        for world in self.worlds:
            world.nodes[index].old = old
        self.counts["release taken back" if old else "release installed"] += 1
        self.after_ms(LINK_DOWN_MS + REPAIR_MS, self.start, index)

    def bear(self, index: int) -> None:
        """Creates a node, with nothing but the genesis."""
        node = self.nodes[index]
        if node.unborn:
            node.unborn = False
            self.counts["late node"] += 1
            self.start(index)

    # ---- epochs

    def committee_of(self, node: Node, epoch: int) -> tuple[int, ...]:
        """Returns the members' numbers by their places, as a node's disk has them."""
        keys = node.disk.committee(self.net.native, epoch)
        assert keys is not None, "an epoch that a node is in begins on its disk"
        return tuple(self._number_of_key.get(key, NOBODY) for key in keys)

    def reached(self, index: int, epoch: int, stage: Stage) -> None:
        """Notes that a node has reached a stage of an epoch's end. The fault that waits for the first such node
        strikes."""
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
        """Returns the ports of the running honest nodes."""
        return [node.port for node in self.nodes if node.port is not None and node.index in self.honest]

    def process_at(self, index: int, incarnation: int, at: int, call: Callable[..., None], *args: object) -> None:
        """Schedules a call at a time, unless the process has ended by then."""
        self.at(at, self._if_alive, index, incarnation, call, args)

    def calls(self) -> Counter[str]:
        """Returns the number of calls into the release stages, by name, over all nodes and their processes."""
        total: Counter[str] = Counter()
        for node in self.nodes:
            total.update(node.calls)
            if node.port is not None:
                total.update(node.port.native.calls())
        return total

    def note(self, line: str) -> None:
        super().note(line if self.shard == 0 else f"shard {self.shard}:{line}")

    # ---- messages

    def send(self, source: int, targets: Sequence[int], stream: int, frame: bytes) -> None:
        """Sends a frame of a node's data plane to nodes by their numbers."""
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
        """Puts a frame on the links to all nodes with this number, bypassing the sender's actor."""
        for index in self._named[target]:
            if self.bars(source, index, frame):
                self.counts["partition"] += 1
                continue
            if self.nodes[index].old and target not in self.processes[source].linked:
                # Before the greeting a node doesn't know in which form its peer reads a frame, and none can leave.
                continue
            for at in self.links.arrivals(max(self.now, self.departs), source, index, self.shard):
                starts = (self.nodes[source].incarnation, self.processes[index].incarnation)
                self.at(at, self._deliver, source, index, stream, frame, starts)

    def _deliver(self, source: int, target: int, stream: int, frame: bytes, starts: tuple[int, int]) -> None:
        """Delivers a frame. `starts`: incarnations of the sending host and the receiving process when it was sent. A
        link is between two processes: a frame on its way to an ended process never reaches its successor, but a frame
        from an ended process may still arrive. A host that ended by itself misses what comes meanwhile."""
        node = self.nodes[target]
        if node.port is None or self.processes[target].incarnation != starts[1]:
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
    """Returns the content of a frame; for another traitor's garbage, an empty content."""
    try:
        return said_in(frame)
    except ValueError:
        return {"message": "garbage", "epoch": None, "view": None}
