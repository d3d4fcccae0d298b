"""Measures the cost of the interpreter's threads per node and view, and how often they wake. See docs/benchmarks.md.

Invariants: CPU time and voluntary switches of each validator's main thread and core threads, as the kernel counts them,
over one load; nothing passes or fails by time.
"""

import argparse
import tempfile
from dataclasses import dataclass
from pathlib import Path

from main_job import ACCOUNTS, STEP, mean_step_us, snapshot

from rustorium.access.netfile import Net
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load

WARM_UP_S = 2


@dataclass(frozen=True, slots=True)
class Thread:
    """The sum over all validators: of their core threads, or of their main threads."""

    cpu_us: float
    wakes: int


def threads(net: Net) -> tuple[Thread, Thread]:
    """Returns the core threads' sum and the main threads'."""
    sums = {True: [0, 0], False: [0, 0]}
    for node in net.nodes:
        for task in Path(f"/proc/{node.pid}/task").iterdir():
            core = (task / "comm").read_text().startswith("core")
            if core or task.name == str(node.pid):
                lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
                sums[core][0] += int((task / "schedstat").read_text().split()[0])
                sums[core][1] += int(lines["voluntary_ctxt_switches"])
    both = [Thread(sums[core][0] / 1_000, sums[core][1]) for core in (True, False)]
    return both[0], both[1]


def measure(net: Net, rate: int, seconds: int) -> str:
    """One load."""
    before, (core, main) = snapshot(net), threads(net)
    report = run_load(net, rate_per_s=rate, seconds=seconds)
    after, (core_later, main_later) = snapshot(net), threads(net)
    views = (after.views - before.views) * len(net.nodes)
    steps = sum(after.sums[key] - before.sums[key] for key in after.sums if key[0] == STEP)
    inside = steps * mean_step_us(lambda name: after.sums[name, ""] - before.sums[name, ""])
    core_us, main_us = core_later.cpu_us - core.cpu_us, main_later.cpu_us - main.cpu_us
    wakes = core_later.wakes - core.wakes + main_later.wakes - main.wakes
    return (
        f"{rate:,} tx/s: {(core_us + main_us) / views:.0f} us of the interpreter's threads a node and view, "
        f"{core_us / views:.0f} of them the core's, {inside / views:.0f} in {steps / views:.2f} steps; "
        f"{wakes / views:.2f} wakes, {(core_later.wakes - core.wakes) / views:.2f} of them the core's; "
        f"{views / len(net.nodes) / seconds:.0f} views/s, p50 {report['p50_ms']:.2f} ms, p99 {report['p99_ms']:.2f} ms"
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--rates", type=lambda text: [int(rate) for rate in text.split(",")], default=[100, 1_000])
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, Devnet.create(Path(folder) / "net", accounts=ACCOUNTS) as net:
        net.start()
        run_load(net.net, rate_per_s=500, seconds=WARM_UP_S)
        for rate in arguments.rates:
            print(measure(net.net, rate, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
