"""Measures the cost of a view as the committee grows: bytes, processor time of each thread, and views per second, in
the simulator.

Real stages on virtual time: work costs what `python/rustorium/sim/prices.py` says, on a machine of four cores a
node; links have a delay and no end of bandwidth. Nobody fails, and a few clients send all the time. `--write` puts the
table into docs/benchmarks.md.

Invariants: the same command gives the same table; only frames of the consensus class count as bytes of a view.
"""

import argparse
import time
from collections import Counter
from dataclasses import dataclass

from page import put

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.sim.clients import Clients
from rustorium.sim.net import make_net
from rustorium.sim.port import CONSENSUS
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.world import World

PAGE = "benchmarks.md"
SIZES = (4, 7, 16, 31, 50, 100)
ACCOUNTS = 7
GAP_MS = 40.0
WARM_VIEWS, VIEWS = 6, 24
LIMIT_MS = 120_000.0
EVENTS_MAX = 50_000_000
THREADS = ("shard", "verify", "execute")


@dataclass(frozen=True, slots=True)
class Row:
    """A committee's figures, of one view and node."""

    n: int
    bytes: float
    kinds: dict[str, float]
    threads_ms: dict[str, float]
    core_ms: float
    steps: float
    rate: float
    """Views a second of virtual time."""


class CountingWorld(World):
    """A world that counts what is sent."""

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]
        self.sent: Counter[int] = Counter()

    def pass_on(self, source: int, target: int, stream: int, frame: bytes) -> None:
        if stream == CONSENSUS:
            self.sent[frame[0]] += len(frame)
        super().pass_on(source, target, stream, frame)


KINDS = ("proposals", "votes", "certificates", "heartbeats", "reports")


def measure(n: int, link_ms: float) -> Row:
    """Runs a committee."""
    net = make_net(n, n, ACCOUNTS)
    world = CountingWorld(n, net, n, ConsensusConfig(state_roots=True), base_ms=link_ms, costs=PRICES)
    world.step_ns, world.events_max = CORE_STEP_NS, EVENTS_MAX
    world.start_all()
    Clients(world, GAP_MS).begin()

    def views() -> int:
        return min((port.view for port in world.ports()), default=0)

    assert world.run(LIMIT_MS, lambda: views() >= WARM_VIEWS), "the committee doesn't begin"
    first, begun, sent = views(), world.now, Counter(world.sent)
    busy = total(world)
    cores, steps = sum(node.busy_ns for node in world.nodes), count_steps(world)
    assert world.run(LIMIT_MS, lambda: views() >= first + VIEWS), "the committee stands still"
    passed, took_s = views() - first, (world.now - begun) / 1e9
    each = passed * n
    kinds = {name: (world.sent[tag] - sent[tag]) / each for tag, name in enumerate(KINDS)}
    after = total(world)
    return Row(
        n,
        sum(kinds.values()),
        kinds,
        {name: (after[name] - busy[name]) / each / 1e6 for name in THREADS},
        (sum(node.busy_ns for node in world.nodes) - cores) / each / 1e6,
        (count_steps(world) - steps) / each,
        passed / took_s,
    )


def total(world: World) -> Counter[str]:
    """Time for which threads were busy, ns, of all nodes."""
    busy: Counter[str] = Counter()
    for port in world.ports():
        busy.update(port.native.busy())
    return busy


def count_steps(world: World) -> int:
    return sum(sum(node.steps_by_view.values()) for node in world.nodes)


def table(rows: list[Row], link_ms: float) -> str:
    """The rows as Markdown."""
    lines = [
        "| n | KB a view and node | of which votes | shard, ms a view | verifiers, ms | executor, ms "
        "| core, ms (steps) | views/s |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        threads = " | ".join(f"{row.threads_ms[name]:.2f}" for name in THREADS)
        lines.append(
            f"| {row.n} | {row.bytes / 1e3:.1f} | {row.kinds['votes'] / 1e3:.1f} | {threads} "
            f"| {row.core_ms:.2f} ({row.steps:.1f}) | {row.rate:.1f} |"
        )
    day = time.strftime("%Y-%m-%d", time.gmtime())
    return "\n".join([*lines, "", f"Links of {link_ms:g} ms one way; `just bench-committee`, {day}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sizes", type=int, nargs="+", default=list(SIZES), help="committees")
    parser.add_argument("--link-ms", type=float, default=1.0, help="delay of a link, one way")
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE}")
    options = parser.parse_args()
    rows = []
    for n in options.sizes:
        rows.append(measure(n, options.link_ms))
        print(rows[-1], flush=True)
    printed = table(rows, options.link_ms)
    print(printed)
    if options.write:
        put(PAGE, "bench-committee", printed)


if __name__ == "__main__":
    main()
