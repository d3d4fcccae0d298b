"""Measures how near to the floor of its distances a committee makes transactions final, in virtual time
(`just bench-wan`).

The release's stages over links with the usual round trips between regions, and with what work costs by
`python/rustorium/sim/prices.py`. Clients stand beside each node, and their accounts are in its region. *At rest*: one
transaction at a time on an idle chain. *In a row*: one right after the other, each from another region. *Load*: 20
transactions a second, from all regions alike. The floor is that of `geo plan`: no work, no queue, no timer.
`--write` puts the table into docs/geography.md.

Invariants: the same command gives the same table; a transaction that doesn't become final ends the run.
"""

import argparse
import json
import random
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum

from page import put

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.geo.floor import Committee, Delays, quorum
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.sim.actors.base import Actor
from rustorium.sim.frames import WORK
from rustorium.sim.net import make_net
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.shadow import SignedByClient
from rustorium.sim.usage import declared_work
from rustorium.sim.world import World

PAGE = "geography.md"
NETS = {
    "four": ["us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"],
    "europe4": ["eu-west-1", "eu-west-2", "eu-central-1", "eu-north-1"],
    "namerica4": ["us-east-1", "us-east-2", "us-west-2", "ca-central-1"],
    "world10": json.loads(RTT_MATRIX.read_text())["aws"]["default_10"],
}
SAMPLES = 200
"""Transactions of each region."""
ACCOUNTS_EACH = 4
IDLE_MS, WARM_MS, LIMIT_MS = 1_500.0, 3_000.0, 60_000.0
EVENTS_MAX = 50_000_000


def by_leader_of(times: Iterable[tuple[int, float]], proposer: Callable[[int], int]) -> list[list[float]]:
    """Returns times by the members that proposed their blocks. `times`: heights and times."""
    found: dict[int, list[float]] = {}
    for height, ms in times:
        found.setdefault(proposer(height), []).append(ms)
    return list(found.values())


def mean_by_leader(times: Sequence[Sequence[float]]) -> float:
    """Returns the mean over all leaders of their means, as the floor is one: chance doesn't weigh who led more."""
    return statistics.fmean(map(statistics.fmean, times))


@dataclass(frozen=True, slots=True)
class Region:
    """What clients beside one node waited."""

    name: str
    floor_ms: float
    times_ms: list[list[float]]
    """One at a time: a list for each leader. Under load: one list."""

    @property
    def mean_ms(self) -> float:
        """Returns the mean. Under load it is that of all: a leader's block lists more transactions if it took longer
        than others."""
        return mean_by_leader(self.times_ms)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one committee and one load."""

    regions: list[Region]
    nullified: float
    """Views without a block, of 100."""
    asked: int
    """Frames that told a peer of work, because a node waited for longer than it should."""

    @property
    def factor(self) -> float:
        """Returns the mean of all regions over the mean of their floors."""
        waited = statistics.fmean(region.mean_ms for region in self.regions)
        return waited / statistics.fmean(region.floor_ms for region in self.regions)

    @property
    def worst(self) -> float:
        """Returns the largest factor of a region."""
        return max(region.mean_ms / region.floor_ms for region in self.regions)


class Senders:
    """Clients beside each node, who submit there and note how long it takes."""

    def __init__(self, world: World, regions: list[str], seed: int) -> None:
        self.world, self.regions, self._rng = world, regions, random.Random(seed)
        self._times_ms: list[list[tuple[int, float]]] = [[] for _ in regions]
        """Heights and times, by the nodes of the senders."""
        self._begun: dict[int, tuple[int, int]] = {}
        self._nonces: Counter[int] = Counter()
        self.warm = False
        world.on_answer = self._answered

    def submit(self, node: int) -> None:
        """Submits the next transaction of one of a node's accounts there."""
        account = node + len(self.regions) * self._rng.randrange(ACCOUNTS_EACH)
        nonce = self._nonces[account]
        self._nonces[account] += 1
        net = self.world.net
        operations = [{"type": "put", "namespace": net.accounts[account].address, "key": f"{nonce}", "value": "v" * 64}]
        signed = net.sign(account, nonce, operations)
        work = declared_work(signed.raw)
        self.world.shadow.signed(SignedByClient(signed.id, account, nonce, 2**63, operations, work))
        tag = account * 1_000_000 + nonce
        self._begun[tag] = (node, self.world.now)
        port = self.world.nodes[node].port
        assert port is not None, "no node ends"
        port.client(signed.raw, "final", tag)

    def waiting(self) -> int:
        """Returns the number of transactions under way."""
        return len(self._begun)

    def _answered(self, node: int, tag: int, how: str, height: int | None) -> None:
        begun = self._begun.pop(tag)
        assert height is not None, f"a transaction of node {node} ended with {how}"
        if self.warm:
            self._times_ms[begun[0]].append((height, (self.world.now - begun[1]) / NS_PER_MS))

    def fewest(self) -> int:
        """Returns the number of times of the region that has fewest."""
        return min(map(len, self._times_ms))

    def times_ms(self, node: int, *, by_leader: bool) -> list[list[float]]:
        """Returns the times of a node's clients."""
        if not by_leader:
            return [[ms for _, ms in self._times_ms[node]]]
        return by_leader_of(self._times_ms[node], lambda height: self.world.checkers.final_at(height).header.proposer)


class Kind(Enum):
    """When transactions are sent."""

    REST = "at rest"
    ROW = "in a row"
    LOAD = "20 tx/s"


RATE = 20.0
"""Transactions a second of all regions together under load."""


def measure(
    regions: list[str],
    kind: Kind,
    seed: int,
    *,
    paced: bool = True,
    samples: int = SAMPLES,
    actors: dict[int, Actor] | None = None,
) -> Measured:
    """Runs a committee. `paced`: `True` if nodes take their pace from measured round trips (R53). `samples`:
    transactions of each region. `actors`: traitors by their nodes."""
    world, delays = make_world(regions, [], seed, paced=paced, actors=actors)
    world.start_all()
    world.run(WARM_MS)
    senders, asked = Senders(world, regions, seed), 0

    def note(_source: int, _target: int, frame: bytes) -> bool:
        nonlocal asked
        asked += frame[0] == WORK
        return False

    world.bars = note
    send(world, senders, random.Random(f"wan {seed}"), kind, samples)
    floors = Committee(delays, quorum(len(regions))).floors()
    floor_us = floors.alone_us if kind is not Kind.LOAD else list(map(floors.loaded_us, range(len(regions))))
    found = [
        Region(name, floor_us[node] / 1000, senders.times_ms(node, by_leader=kind is not Kind.LOAD))
        for node, name in enumerate(regions)
    ]
    views, height = max(port.view for port in world.ports()), world.checkers.final_height
    return Measured(found, 100 * max(0, views - 1 - height) / views, asked)


def make_world(
    regions: list[str],
    followers: list[str],
    seed: int,
    *,
    paced: bool = True,
    actors: dict[int, Actor] | None = None,
) -> tuple[World, Delays]:
    """Makes a committee with a member in each region, followers in theirs, and what work costs. Returns the delays of
    their links as well."""
    n, places = len(regions), [*regions, *followers]
    delays = read_matrix(RTT_MATRIX).delays_us(places)
    net = make_net(n, len(places), n * ACCOUNTS_EACH + 1, regions=tuple(range(1, n + 1)))
    config = ConsensusConfig(state_roots=True, measured_pace=paced)
    world = World(seed, net, len(places), config, costs=PRICES, delays_us=delays, actors=actors)
    world.step_ns, world.time.events_max = CORE_STEP_NS, EVENTS_MAX
    return world, delays


def send(world: World, senders: Senders, rng: random.Random, kind: Kind, samples: int) -> None:
    """Submits `samples` or more transactions in each region, and ends when all are final."""
    if kind is Kind.LOAD:
        at_a_rate(world, senders, rng, samples)
    else:
        one_at_a_time(world, senders, rng, samples, rests=kind is Kind.REST)


def one_at_a_time(world: World, senders: Senders, rng: random.Random, samples: int, *, rests: bool) -> None:
    """Submits the transactions of all nodes in a random order, each on a chain at rest or as soon as the one before is
    final."""
    order = [node for node in range(len(senders.regions)) for _ in range(samples)]
    rng.shuffle(order)
    senders.warm = True
    for node in order:
        senders.submit(node)
        assert world.run(world.now / NS_PER_MS + LIMIT_MS, lambda: not senders.waiting()), "the chain stands"
        if rests:
            world.run(world.now / NS_PER_MS + IDLE_MS + rng.uniform(0, 500))


def at_a_rate(world: World, senders: Senders, rng: random.Random, samples: int) -> None:
    """Submits transactions at random times, from all nodes alike."""
    n = len(senders.regions)

    def enough() -> bool:
        return senders.fewest() >= samples

    def go_on() -> None:
        if not enough():
            senders.submit(rng.randrange(n))
            world.after_ms(rng.expovariate(RATE) * 1000, go_on)

    world.after_ms(0, go_on)
    world.run(world.now / NS_PER_MS + WARM_MS)
    senders.warm = True
    limit_ms = world.now / NS_PER_MS + 20 * n * samples * 1000 / RATE
    assert world.run(limit_ms, lambda: enough() and not senders.waiting()), "the chain stands"


def table(found: dict[str, dict[Kind, Measured]], paced: bool) -> str:
    """Returns the figures as Markdown."""
    names = " | ".join(f"{kind.value}: floor | measured | times the floor (worst region)" for kind in Kind)
    lines = [f"| net | {names} | views without a block, of 100 | frames of work told again |", f"|---|{'--:|' * 11}"]
    for name, by_kind in found.items():
        cells = []
        for one in by_kind.values():
            floor = statistics.fmean(region.floor_ms for region in one.regions)
            waited = statistics.fmean(region.mean_ms for region in one.regions)
            cells.append(f"{floor:.0f} ms | {waited:.0f} ms | {one.factor:.2f} ({one.worst:.2f})")
        cells.append(", ".join(f"{one.nullified:.0f}" for one in by_kind.values()))
        cells.append(", ".join(f"{one.asked:,}" for one in by_kind.values()))
        lines.append(f"| {name} | {' | '.join(cells)} |")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    said = f"Means over the regions, {SAMPLES} or more transactions each; `just bench-wan{'' if paced else ' --fixed'}`"
    return "\n".join([*lines, "", f"{said}, {day}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="committees")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fixed", action="store_true", help="with the times of the configuration, as without R53")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE}")
    options = parser.parse_args()
    found: dict[str, dict[Kind, Measured]] = {}
    for name in options.nets:
        found[name] = {kind: measure(NETS[name], kind, options.seed, paced=not options.fixed) for kind in Kind}
        for kind, one in found[name].items():
            for region in one.regions:
                said = f"{region.mean_ms:.1f} ms, floor {region.floor_ms:.1f}"
                print(f"{name} {kind.value} {region.name}: {said}", flush=True)
    text = table(found, not options.fixed)
    print(text)
    if options.write:
        put(PAGE, "bench-wan", text)


if __name__ == "__main__":
    main()
