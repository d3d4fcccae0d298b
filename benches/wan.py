"""Measures how near to the floor of its distances a committee makes transactions final, in virtual time
(`just bench-wan`).

The release's stages over links with the usual round trips between regions, and with what work costs by
`python/rustorium/sim/prices.py`. Clients stand beside each node, and their accounts are in its region. *Alone*: one
transaction at a time on an idle chain. *Load*: 20 transactions a second, from all regions alike. The floor is that of
`geo plan`: no work, no queue, no timer.
`--write` puts the table into docs/geography.md.

Invariants: the same command gives the same table; a transaction that doesn't become final ends the run.
"""

import argparse
import json
import random
import statistics
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.geo.floor import Committee, quorum
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.sim.net import make_net
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.shadow import SignedByClient
from rustorium.sim.usage import declared_work
from rustorium.sim.world import World

PAGE = Path(__file__).parents[1] / "docs/geography.md"
BEGIN, END = "<!-- bench-wan: begin -->", "<!-- bench-wan: end -->"
NETS = {
    "four": ["us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"],
    "europe4": ["eu-west-1", "eu-west-2", "eu-central-1", "eu-north-1"],
    "namerica4": ["us-east-1", "us-east-2", "us-west-2", "ca-central-1"],
    "world10": json.loads(RTT_MATRIX.read_text())["aws"]["default_10"],
}
SAMPLES = 40
"""Transactions of each region."""
ACCOUNTS_EACH = 4
IDLE_MS, WARM_MS, LIMIT_MS, GAP_MS = 1_500.0, 3_000.0, 60_000.0, 50.0
EVENTS_MAX = 50_000_000


@dataclass(frozen=True, slots=True)
class Region:
    """What clients beside one node waited."""

    name: str
    floor_ms: float
    times_ms: list[float]

    @property
    def median_ms(self) -> float:
        """Returns the median."""
        return statistics.median(self.times_ms)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one committee and one load."""

    regions: list[Region]
    nullified: float
    """Views without a block, of 100."""

    @property
    def factor(self) -> float:
        """Returns the mean of all regions over the mean of their floors."""
        waited = statistics.fmean(region.median_ms for region in self.regions)
        return waited / statistics.fmean(region.floor_ms for region in self.regions)

    @property
    def worst(self) -> float:
        """Returns the largest factor of a region."""
        return max(region.median_ms / region.floor_ms for region in self.regions)


class Senders:
    """Clients beside each node, who submit there and note how long it takes."""

    def __init__(self, world: World, regions: list[str], seed: int) -> None:
        self.world, self.regions, self._rng = world, regions, random.Random(seed)
        self.times_ms: list[list[float]] = [[] for _ in regions]
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
            self.times_ms[begun[0]].append((self.world.now - begun[1]) / NS_PER_MS)


def measure(regions: list[str], rate: float | None, seed: int) -> Measured:
    """Runs a committee. `rate`: transactions a second of all regions together; `None`: one at a time."""
    n = len(regions)
    delays = read_matrix(RTT_MATRIX).delays_us(regions)
    net = make_net(n, n, n * ACCOUNTS_EACH + 1, regions=tuple(range(1, n + 1)))
    config = ConsensusConfig(state_roots=True)
    world = World(seed, net, n, config, costs=PRICES, delays_us=delays)
    world.step_ns, world.time.events_max = CORE_STEP_NS, EVENTS_MAX
    world.start_all()
    world.run(WARM_MS)
    senders, rng = Senders(world, regions, seed), random.Random(f"wan {seed}")
    if rate is None:
        one_at_a_time(world, senders, rng)
    else:
        at_a_rate(world, senders, rng, rate)
    floors = Committee(delays, quorum(n)).floors()
    floor_us = floors.alone_us if rate is None else [floors.loaded_us(node) for node in range(n)]
    found = [Region(name, floor_us[node] / 1000, senders.times_ms[node]) for node, name in enumerate(regions)]
    views, height = max(port.view for port in world.ports()), world.checkers.final_height
    return Measured(found, 100 * max(0, views - 1 - height) / views)


def one_at_a_time(world: World, senders: Senders, rng: random.Random) -> None:
    """Submits the transactions of all nodes in a random order, each on a chain at rest."""
    order = [node for node in range(len(senders.regions)) for _ in range(SAMPLES)]
    rng.shuffle(order)
    senders.warm = True
    for node in order:
        senders.submit(node)
        assert world.run(world.now / NS_PER_MS + LIMIT_MS, lambda: not senders.waiting()), "the chain stands"
        world.run(world.now / NS_PER_MS + IDLE_MS + rng.uniform(0, 500))


def at_a_rate(world: World, senders: Senders, rng: random.Random, rate: float) -> None:
    """Submits transactions at random times, from all nodes alike."""
    n = len(senders.regions)

    def enough() -> bool:
        return min(map(len, senders.times_ms)) >= SAMPLES

    def go_on() -> None:
        if not enough():
            senders.submit(rng.randrange(n))
            world.after_ms(rng.expovariate(rate) * 1000, go_on)

    world.after_ms(0, go_on)
    world.run(world.now / NS_PER_MS + WARM_MS)
    senders.warm = True
    limit_ms = world.now / NS_PER_MS + 20 * n * SAMPLES * 1000 / rate
    assert world.run(limit_ms, lambda: enough() and not senders.waiting()), "the chain stands"


def table(found: dict[str, tuple[Measured, Measured]]) -> str:
    """Returns the figures as Markdown."""
    lines = [
        "| net | alone: floor | measured | times the floor (worst region) | load: floor | measured | times the floor "
        "(worst region) | views without a block |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for name, (alone, load) in found.items():
        cells = []
        for one in (alone, load):
            floor = statistics.fmean(region.floor_ms for region in one.regions)
            waited = statistics.fmean(region.median_ms for region in one.regions)
            cells.append(f"{floor:.0f} ms | {waited:.0f} ms | {one.factor:.2f} ({one.worst:.2f})")
        lines.append(f"| {name} | {' | '.join(cells)} | {alone.nullified:.0f} %, {load.nullified:.0f} % |")
    day = time.strftime("%Y-%m-%d", time.gmtime())
    said = f"Means over the regions of their medians, {SAMPLES} or more transactions each; `just bench-wan`, {day}."
    return "\n".join([*lines, "", said])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="committees")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE.name}")
    options = parser.parse_args()
    found = {}
    for name in options.nets:
        found[name] = (measure(NETS[name], None, options.seed), measure(NETS[name], 20.0, options.seed))
        for region in (*found[name][0].regions, *found[name][1].regions):
            print(f"{name} {region.name}: {region.median_ms:.1f} ms, floor {region.floor_ms:.1f}", flush=True)
    text = table(found)
    print(text)
    if options.write:
        page = PAGE.read_text()
        begin, end = page.index(BEGIN) + len(BEGIN), page.index(END)
        PAGE.write_text(f"{page[:begin]}\n{text}\n{page[end:]}")


if __name__ == "__main__":
    main()
