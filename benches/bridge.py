"""Measures the cost of the interpreter's thread per node and view, and how often it wakes. See docs/benchmarks.md.

Invariants: CPU time and voluntary switches of the main thread of each validator, as the kernel counts them, over one
load; nothing passes or fails by time.
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
    """The sum over all validators' main threads."""

    cpu_us: float
    wakes: int


def threads(net: Net) -> Thread:
    cpu_ns = wakes = 0
    for node in net.nodes:
        task = Path(f"/proc/{node.pid}/task/{node.pid}")
        cpu_ns += int((task / "schedstat").read_text().split()[0])
        lines = dict(line.split(":", 1) for line in (task / "status").read_text().splitlines())
        wakes += int(lines["voluntary_ctxt_switches"])
    return Thread(cpu_ns / 1_000, wakes)


def measure(net: Net, rate: int, seconds: int) -> str:
    """One load."""
    before, thread = snapshot(net), threads(net)
    report = run_load(net, rate_per_s=rate, seconds=seconds)
    after, later = snapshot(net), threads(net)
    views = (after.views - before.views) * len(net.nodes)
    steps = sum(after.sums[key] - before.sums[key] for key in after.sums if key[0] == STEP)
    inside = steps * mean_step_us(lambda name: after.sums[name, ""] - before.sums[name, ""])
    return (
        f"{rate:,} tx/s: {(later.cpu_us - thread.cpu_us) / views:.0f} us of the interpreter's thread a node and view, "
        f"{inside / views:.0f} of them in {steps / views:.2f} steps, {(later.wakes - thread.wakes) / views:.2f} wakes; "
        f"{views / len(net.nodes) / seconds:.0f} views/s, p50 {report['p50_ms']:.2f} ms"
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
