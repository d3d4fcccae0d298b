"""Four validators under load for any time, with a fault in every round: nothing grows that may not, and nothing is
lost. `just soak MINUTES SEED`.

Invariants: the seed determines the order of faults; a round ends when all nodes are at the same height again. A figure
has grown if it is higher in the run's last third than in its middle third by more than its allowance: the first third
may fill caches, and one high round means nothing. Disk use rises and falls by itself, as logs fill and tables are
merged, so growth means that its lowest value is above the former highest one. A live node may be suspected once a
node-day; suspicions of the node that the round's own fault silenced don't count.
"""

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median
from typing import Any

from process_tools import assert_no_panic, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from soak_suspicions import Logs, Suspicion, too_many, unfounded

KEEP_HEIGHTS = 1000
ROUND_S = 20
LEVEL_S = 120.0
Statistic = Callable[[Iterable[float]], float]
ALLOWED: dict[str, tuple[Statistic, Statistic, float, float]] = {
    "pss_mb": (median, median, 1.05, 12.0),
    "files": (median, median, 1.0, 6.0),
    "threads": (median, median, 1.0, 3.0),
    "disk_mb": (min, max, 1.0, 8.0),
}
"""Figures whose last third is compared with the middle one: allowed factor and allowed increase."""
SILENCING = frozenset({"kill", "terminate", "freeze"})
"""Faults after which others may rightly suspect the node."""
SAME_KEYS = 7
"""The load's salt: every round writes the same keys, so that the state has a fixed size."""


@dataclass(frozen=True, slots=True)
class Round:
    """Results of a round: its fault, the load's report, and each node's figures."""

    fault: str
    load: dict[str, Any]
    nodes: list[dict[str, float]]
    seconds: float = 0.0
    suspected: Sequence[Suspicion] = ()
    """Live nodes that others suspected."""


def grown(series: Sequence[float], figure: str) -> bool:
    """Returns true if the last third is above the middle one by more than its allowance. Fewer than six rounds give no
    result."""
    third = len(series) // 3
    if third < 2:
        return False
    last, middle, factor, more = ALLOWED[figure]
    return last(series[-third:]) > factor * middle(series[third : 2 * third]) + more


def verdicts(rounds: Sequence[Round]) -> list[str]:
    """Returns a sentence for each fault."""
    wrong = [f"round {n}: {one.load['lost']} transactions lost" for n, one in enumerate(rounds, 1) if one.load["lost"]]
    for index in range(len(rounds[0].nodes)):
        for figure in ALLOWED:
            series = [one.nodes[index][figure] for one in rounds]
            if grown(series, figure):
                wrong.append(f"node-{index}: {figure} grows: {' '.join(f'{value:.0f}' for value in series)}")
    count, node_hours = suspicions(rounds)
    if too_many(count, node_hours):
        wrong += [
            f"round {n}: {each.watcher} suspected {each.peer}, which lived, after {each.silent_ms} ms"
            for n, one in enumerate(rounds, 1)
            for each in one.suspected
        ]
    return wrong


def suspicions(rounds: Sequence[Round]) -> tuple[int, float]:
    """Returns the number of suspected live nodes, and the node-hours."""
    return sum(len(one.suspected) for one in rounds), sum(one.seconds * len(one.nodes) for one in rounds) / 3600


def figures(net: Devnet, index: int) -> dict[str, float]:
    """Returns one node's figures: proportional memory, open files, threads, bytes of its home."""
    process = Path(f"/proc/{net.net.nodes[index].pid}")
    rollup = dict(line.split(":", 1) for line in (process / "smaps_rollup").read_text().splitlines()[1:])
    home = subprocess.run(["du", "-s", "-B1", net.net.nodes[index].home], capture_output=True, text=True, check=False)
    return {
        "pss_mb": int(rollup["Pss"].split()[0]) * 1024 / 1e6,
        "files": len(os.listdir(process / "fd")),
        "threads": len(os.listdir(process / "task")),
        "disk_mb": int(home.stdout.split()[0]) / 1e6,
    }


def cli(*arguments: str) -> None:
    """Runs an operator's command, which must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", "rustorium.cli", *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, f"{' '.join(arguments)}: {done.stderr}"


def heights(net: Devnet, indexes: Sequence[int] | None = None) -> list[int]:
    return [status.executed for status in statuses(net, indexes)]


class Faults:
    """Faults of one node under load."""

    def __init__(self, net: Devnet, folder: Path) -> None:
        self.net, self.folder = net, folder
        self.all: dict[str, Callable[[int], None]] = {
            "none": lambda _: None,
            "kill": self.kill,
            "terminate": self.terminate,
            "freeze": self.freeze,
            "rotate": lambda index: cli("keys", "rotate", "--home", self.net.net.nodes[index].home),
            "backup": self.backup,
        }

    def kill(self, index: int) -> None:
        self.net.kill(index)
        self.net.restart(index)

    def terminate(self, index: int) -> None:
        assert self.net.terminate(index) == 0
        self.net.restart(index)

    def freeze(self, index: int) -> None:
        """Stops the node until the others have gone on by a hundred heights without it."""
        others = [other for other in range(len(self.net.net.nodes)) if other != index]
        self.net.signal(index, signal.SIGSTOP)
        try:
            goal = max(one.executed for one in statuses(self.net, others)) + 100
            wait_for(
                "the others go on", lambda: min(one.executed for one in statuses(self.net, others)) > goal, LEVEL_S
            )
        finally:
            self.net.signal(index, signal.SIGCONT)

    def backup(self, index: int) -> None:
        to = str(self.folder / f"backups-{index}")  # each home has its own backup key
        cli("backup", "create", "--home", self.net.net.nodes[index].home, "--to", to)
        cli("backup", "prune", "--to", to, "--keep", "1", "--home", self.net.net.nodes[index].home)


def play(net: Devnet, faults: Faults, logs: Logs, fault: str, index: int, rate: int) -> Round:
    """Runs one round: load, and in its middle a fault of one node."""
    reports: list[dict[str, Any]] = []
    began = time.monotonic()

    def load() -> None:
        reports.append(run_load(net.net, rate_per_s=rate, seconds=ROUND_S, salt=SAME_KEYS))

    sending = threading.Thread(target=load)
    before = max(heights(net))
    sending.start()
    wait_for("the load has begun", lambda: max(heights(net)) > before + 10, LEVEL_S)
    faults.all[fault](index)
    sending.join()
    wait_for("all are level", lambda: level(net), LEVEL_S)
    found = statuses(net)
    assert all(not one.evidence and not one.retired for one in found), found
    suspected = unfounded(logs.new(), net.net.nodes[index].name if fault in SILENCING else None)
    nodes = [figures(net, node) for node in range(len(net.net.nodes))]
    return Round(fault, reports[0], nodes, time.monotonic() - began, suspected)


def soak(folder: Path, minutes: float, rate: int, seed: int) -> list[Round]:
    """Runs rounds until the time is over, and prints a line for each."""
    luck, rounds = Random(seed), []
    with Devnet.create(folder / "net", accounts=8) as net:
        for node in net.net.nodes:
            with open(Path(node.home, "config.toml"), "a") as file:
                file.write(f"\n[storage]\nkeep = {KEEP_HEIGHTS}\nproofs_kept = 20\n")
        net.start()
        faults, end = Faults(net, folder), time.monotonic() + 60 * minutes
        logs = Logs({node.name: node.home for node in net.net.nodes})
        logs.new()  # skip suspicions from the start, when nodes are silent
        while time.monotonic() < end:
            fault, index = luck.choice(sorted(faults.all)), luck.randrange(len(net.net.nodes))
            rounds.append(play(net, faults, logs, fault, index, rate))
            tell(len(rounds), index, rounds[-1], max(heights(net)))
        height = assert_same_roots(net, max(1, max(heights(net)) - KEEP_HEIGHTS // 2))
        assert_no_panic(net)
    windows = height // KEEP_HEIGHTS
    count, node_hours = suspicions(rounds)
    print(f"{count} live nodes suspected in {node_hours:.2f} node-hours: {count / node_hours:.2f} a node-hour")
    print(f"{len(rounds)} rounds, height {height}, {windows} windows of {KEEP_HEIGHTS} heights; seed {seed}")
    return rounds


def tell(number: int, index: int, one: Round, height: int) -> None:
    """Prints the round in a line: the highest figure of all nodes."""
    most = {figure: max(node[figure] for node in one.nodes) for figure in ALLOWED}
    shown = "  ".join(f"{figure} {value:.0f}" for figure, value in most.items())
    report = one.load
    print(
        f"round {number}: {one.fault} of node-{index}, height {height}, {report['achieved_per_s']:.0f} tx/s, "
        f"p50 {report['p50_ms']:.1f} p99 {report['p99_ms']:.0f} ms, lost {report['lost']}, "
        f"live suspected {len(one.suspected)}  {shown}",
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--rate", type=int, default=100, help="transactions a second")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rustorium-soak-") as folder:
        rounds = soak(Path(folder), options.minutes, options.rate, options.seed)
    wrong = verdicts(rounds)
    print("\n".join(wrong) or "nothing grew, nothing was lost, nobody was suspected for nothing")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
