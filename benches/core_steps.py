"""Measures the core's steps alone, on the inputs that validators recorded under load. See docs/benchmarks.md.

Invariants: the same inputs for every variant of the core, in the recorded turns. `cold` clears the processor's caches
before each turn, as the other work of a node does; `warm` takes the turns in one loop. CPU time of this thread.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from itertools import groupby
from pathlib import Path

from main_job import ACCOUNTS

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import EnterView, Input
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from rustorium.node.loop.inputlog import replay

EVICTED = bytearray(64 * 1024 * 1024)
LINE_BYTES = 64


def record(folder: Path, rate: int, seconds: int) -> None:
    """Leaves the input logs of a net under load in `folder`."""
    with Devnet.create(folder, accounts=ACCOUNTS) as net:
        net.start()
        run_load(net.net, rate_per_s=rate, seconds=seconds)


def inputs(folder: Path) -> tuple[list[tuple[int, Input]], int]:
    """Returns the recorded inputs with their times, and the number of views that they entered."""
    steps = list(replay(folder))
    views = sum(isinstance(effect, EnterView) for step in steps for effect in step.effects)
    return [(step.now, step.event) for step in steps], views


def evict() -> None:
    EVICTED[::LINE_BYTES] = EVICTED[::LINE_BYTES]


def measure(steps: list[tuple[int, Input]], *, cold: bool) -> dict[str, list[int]]:
    """Returns the cost of each turn by its kinds of inputs, ns."""
    replica, took = Replica(ConsensusConfig()), defaultdict(list)
    for now, turn in groupby(steps, key=lambda step: step[0]):
        events = [event for _, event in turn]
        if cold:
            evict()
        began = time.thread_time_ns()
        for event in events:
            replica.on_input(now, event)
        replica.next_deadline()
        took[" ".join(type(event).__name__ for event in events)].append(time.thread_time_ns() - began)
    return took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="a node's log/inputs; made anew if it isn't given")
    parser.add_argument("--seconds", type=int, default=6)
    parser.add_argument("--rate", type=int, default=100)
    parser.add_argument("--steps", type=int, default=3_000)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as made:
        folder = arguments.folder
        if folder is None:
            record(Path(made) / "net", arguments.rate, arguments.seconds)
            folder = next(Path(made).rglob("inputs"))
        steps, views = inputs(folder)
    shown = steps[: arguments.steps]
    views = max(1, views * len(shown) // len(steps))
    for cold in (False, True):
        took = measure(shown, cold=cold)
        whole = sum(map(sum, took.values())) / 1_000
        most = sorted(took, key=lambda kinds: -sum(took[kinds]))[:6]
        rows = ", ".join(f"{kinds} {sum(took[kinds]) / 1_000 / len(took[kinds]):.0f}" for kinds in most)
        print(f"{'cold' if cold else 'warm'}: {whole / views:.0f} us a view in {len(shown) / views:.1f} steps; {rows}")


if __name__ == "__main__":
    main()
