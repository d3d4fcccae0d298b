"""Measures the pause that the end of an epoch makes: the time from the last block of an epoch to the first of the next
one, beside the usual interval between blocks. On a devnet under load, and in the simulator.

Epochs end by their length, which is a few seconds here. On the devnet a client of one validator notes when each block
becomes final: these are times of the wall clock, so other work on the machine lengthens all of them. The simulator runs
the same stages on virtual time, where work costs what `python/rustorium/sim/prices.py` says: its figures are the same
on every machine.

Invariants: gaps and usual intervals are of the same run; nothing passes or fails by time.
"""

import argparse
import json
import statistics
import tempfile
import threading
import time
import urllib.request
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from machine import machine
from main_job import ACCOUNTS, VALIDATORS, WARM_UP_S, cpu_seconds

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from rustorium.sim.clients import Clients
from rustorium.sim.net import make_net
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.world import World

RATES = (100, 1_000)
EPOCH_MS = 2_000
PAGE = 100
EVENTS_MAX = 100_000_000
SEED = 7
PEOPLE = 100
"""Accounts in the simulator. Each sends its transactions at random times."""


@dataclass(frozen=True, slots=True)
class Seen:
    """A block that became final."""

    at_ms: float
    time_ms: int
    """Its header's time; 0 if it is not known."""
    transactions: int
    """Number of its receipts; 1 if it is not known."""


@dataclass
class Blocks:
    """Final blocks by height, as a client sees them."""

    seen: dict[int, Seen] = field(default_factory=dict)

    def gap(self, height: int) -> float | None:
        """Returns the time, ms, between this block and the next one."""
        block, after = self.seen.get(height), self.seen.get(height + 1)
        return None if block is None or after is None else after.at_ms - block.at_ms

    def header_gap(self, height: int) -> float | None:
        """Returns the same by the headers' times."""
        block, after = self.seen.get(height), self.seen.get(height + 1)
        if block is None or after is None or not block.time_ms:
            return None
        return float(after.time_ms - block.time_ms)

    def pause(self, height: int) -> float | None:
        """Returns the time, ms, between the last block with transactions up to this one and the first above it."""
        before = [block for at, block in self.seen.items() if at <= height and block.transactions]
        after = [block for at, block in self.seen.items() if at > height and block.transactions]
        return after[0].at_ms - before[-1].at_ms if before and after else None

    def figures(self, boundaries: list[int]) -> dict[str, Any]:
        """Returns the figures of all epochs that ended while blocks were seen."""
        ends = set(boundaries)
        usual = [self.gap(height) for height in self.seen if height not in ends]
        return {
            "epoch_ends": len([height for height in boundaries if self.gap(height) is not None]),
            "blocks": len(self.seen),
            "usual_ms": _summary(usual),
            "gap_ms": _summary([self.gap(height) for height in boundaries]),
            "header_gap_ms": _summary([self.header_gap(height) for height in boundaries]),
            "pause_ms": _summary([self.pause(height) for height in boundaries]),
        }


def _summary(found: list[float | None]) -> dict[str, float]:
    values = sorted(value for value in found if value is not None)
    if not values:
        return {}
    place = min(len(values) - 1, len(values) * 95 // 100)
    figures = {"median": statistics.median(values), "p95": values[place], "max": values[-1]}
    return {name: round(value, 1) for name, value in figures.items()}


def _watch(endpoint: str, blocks: Blocks, ready: threading.Event) -> None:
    """Notes the blocks of a node's stream until the node closes it."""
    with closing(urllib.request.urlopen(f"{endpoint}/v1/events?filter=blocks", timeout=30)) as stream:  # noqa: S310
        kind = ""
        for line in stream:
            ready.set()
            if line.startswith(b"event:"):
                kind = line[6:].strip().decode()
            elif line.startswith(b"data:") and kind == "block":
                block = json.loads(line[5:])
                seen = Seen(1000 * time.monotonic(), int(block["time_ms"]), int(block["receipts"]))
                blocks.seen[int(block["height"])] = seen


def _boundaries(endpoint: str) -> list[int]:
    """Returns the heights of the blocks that ended epochs."""
    heights: list[int] = []
    while True:
        url = f"{endpoint}/v1/epochs?from={len(heights)}&limit={PAGE}"
        with closing(urllib.request.urlopen(url, timeout=30)) as answer:  # noqa: S310
            page = json.load(answer)["changes"]
        if not page:
            return heights
        heights += [int(change["height"]) for change in page]


def devnet(folder: Path, rate: int, seconds: int) -> dict[str, Any]:
    """Runs four validators under load while their epochs end."""
    net = Devnet.create(folder, nodes=VALIDATORS, accounts=ACCOUNTS, parameters={"epoch_ms": EPOCH_MS})
    blocks, ready = Blocks(), threading.Event()
    with net:
        for index in range(VALIDATORS):
            net.spawn(index)
        net.wait_ready()
        run_load(net.net, rate_per_s=rate, seconds=WARM_UP_S)
        endpoint = net.net.nodes[0].http
        watching = threading.Thread(target=_watch, args=(endpoint, blocks, ready))
        watching.start()
        ready.wait()
        before = sum(cpu_seconds(node.pid) for node in net.net.nodes)
        report = run_load(net.net, rate_per_s=rate, seconds=seconds)
        cpu_s = sum(cpu_seconds(node.pid) for node in net.net.nodes) - before
        boundaries = _boundaries(endpoint)
    watching.join()
    kept = {name: report[name] for name in ("achieved_per_s", "lost", "failed", "p50_ms", "p99_ms") if name in report}
    return blocks.figures(boundaries) | {"load": kept, "validators_cpu_s": round(cpu_s, 1)}


def simulated(rate: int, seconds: int, link_ms: float) -> dict[str, Any]:
    """Runs four validators in the simulator while their epochs end."""
    net = make_net(VALIDATORS, VALIDATORS, PEOPLE + 1, (("epoch_ms", EPOCH_MS),))
    world = World(SEED, net, VALIDATORS, ConsensusConfig(state_roots=True), base_ms=link_ms, costs=PRICES)
    world.step_ns, world.events_max = CORE_STEP_NS, EVENTS_MAX
    world.start_all()
    clients = Clients(world, 1000 * PEOPLE / rate)
    clients.begin()
    blocks, boundaries = Blocks(), dict[int, int]()
    checkers = world.checkers

    def note() -> bool:
        for height in range(len(blocks.seen) + 1, checkers.final_height + 1):
            blocks.seen[height] = Seen(world.now / 1e6, 0, 1)
        if checkers.epoch and checkers.epoch not in boundaries:
            boundaries[checkers.epoch] = checkers.final_height
        return False

    world.run(1000.0 * seconds, note, check_every=1)
    busy_ns = sum(node.busy_ns for node in world.nodes)
    return blocks.figures(list(boundaries.values())) | {
        "link_ms": link_ms,
        "achieved_per_s": clients.done / seconds,
        "core_s": round(busy_ns / 1e9, 3),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES), help="transactions a second")
    parser.add_argument("--seconds", type=int, default=60, help="length of each load")
    parser.add_argument("--virtual-seconds", type=int, default=20, help="length of each run of the simulator")
    parser.add_argument("--link-ms", type=float, default=1.0, help="delay of a link in the simulator, one way")
    parser.add_argument("--only", choices=("devnet", "simulator"), help="leave the other one out")
    options = parser.parse_args()
    print(json.dumps(machine(Path(tempfile.gettempdir()))), flush=True)
    for rate in options.rates:
        if options.only != "simulator":
            with tempfile.TemporaryDirectory() as folder:
                found = devnet(Path(folder) / "net", rate, options.seconds)
            print(json.dumps({"where": "devnet", "rate_per_s": rate} | found), flush=True)
        if options.only != "devnet":
            found = simulated(rate, options.virtual_seconds, options.link_ms)
            print(json.dumps({"where": "simulator", "rate_per_s": rate} | found), flush=True)


if __name__ == "__main__":
    main()
