"""Measures how often a live peer is suspected on a machine without a free core: recorded from a devnet, per node-day.

`record SECONDS FILE` runs four validators beside one busy process a core, and writes down what the watch of one of
them read: its own lateness and its peers' arrivals. `judge FILE` plays the detector over blocks of these readings,
drawn by a seed, until they make node-days; with the correction by the watcher's own lateness, and without.

Invariants: what is drawn are whole minutes, so that lateness and arrivals stay as they came together.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

from rustorium.config import RecoverySection
from rustorium.health.detect import Detector, PeerVitals, Vitals

MS = 1_000_000
BLOCK_LOOKS = 60
DAY_MS = 86_400_000
WATCHED = 3


@dataclass(frozen=True)
class Look:
    """One reading: when, how late, and when each peer was heard; all in ms of the node's clock."""

    now_ms: int
    lag_ms: int
    heard_ms: list[list[int]]


def drawn(looks: list[Look], seed: int, span_ms: int) -> Iterator[Look]:
    """Readings for so long: blocks of the recorded ones, one behind the other."""
    luck, now_ms, end_ms = random.Random(seed), 0, span_ms
    while now_ms < end_ms:
        first = luck.randrange(1, max(2, len(looks) - BLOCK_LOOKS))
        for before, look in zip(looks[first - 1 :], looks[first : first + BLOCK_LOOKS], strict=False):
            moved = now_ms - before.now_ms
            now_ms = look.now_ms + moved
            yield Look(now_ms, look.lag_ms, [[at + moved for at in heard] for heard in look.heard_ms])


def suspicions(looks: Iterator[Look], *, corrected: bool) -> int:
    """Number of times that a suspicion began. No node was away, so each one is wrong."""
    detector, count, known = Detector(RecoverySection(), 500), 0, False
    for look in looks:
        peers = [PeerVitals(f"peer-{n}", True, [at * MS for at in one]) for n, one in enumerate(look.heard_ms)]
        vitals = Vitals(now_ns=look.now_ms * MS, wall_ms=look.now_ms, busy_ms={}, peers=peers)
        found = detector.observe(vitals, look.lag_ms * MS if corrected else 0)
        now = any(one.code == "peers-suspected" for one in found)
        count += now and not known
        known = now
    return count


def read(path: Path) -> list[Look]:
    """Recorded readings."""
    return [Look(*row) for row in json.loads(path.read_text())["looks"]]


def judge(path: Path, days: int, seed: int) -> dict[str, Any]:
    """Figures of a recording."""
    looks = read(path)
    span_ms = looks[-1].now_ms - looks[0].now_ms
    gaps = sorted(b - a for one in zip(*(look.heard_ms for look in looks), strict=True) for a, b in _pairs(one))
    lags = sorted(look.lag_ms for look in looks)

    def at(values: list[int], part: float) -> int:
        return values[min(len(values) - 1, int(len(values) * part))]

    return {
        "recorded_s": span_ms // 1000,
        "gap_ms": {"median": at(gaps, 0.5), "p99": at(gaps, 0.99), "most": gaps[-1]},
        "lag_ms": {"median": at(lags, 0.5), "p99": at(lags, 0.99), "most": lags[-1]},
        "gaps_over_three_heartbeats": sum(gap > 1500 for gap in gaps),
        "node_days": days,
        "suspicions_a_node_day": suspicions(drawn(looks, seed, days * DAY_MS), corrected=True) / days,
        "uncorrected": suspicions(drawn(looks, seed, days * DAY_MS), corrected=False) / days,
    }


def _pairs(heard: tuple[list[int], ...]) -> Iterator[tuple[int, int]]:
    all_ms = [at for one in heard for at in one]
    return pairwise(all_ms)


def record(seconds: int, path: Path) -> None:
    """Runs the devnet and its company."""
    from rustorium.net.devnet import Devnet

    burn = [sys.executable, "-c", "while True: pass"]
    with tempfile.TemporaryDirectory() as folder, Devnet.create(Path(folder) / "net", nodes=4, accounts=1) as net:
        net.start()
        net.kill(WATCHED)
        company = [subprocess.Popen(burn) for _ in os.sched_getaffinity(0)]
        try:
            home = net.net.nodes[WATCHED].home
            watched = subprocess.Popen([sys.executable, __file__, "node", home, str(path.absolute())])
            threading.Event().wait(seconds)
            watched.terminate()
            watched.wait()
        finally:
            for one in company:
                one.kill()
                one.wait()


def node(home: Path, path: Path) -> None:
    """Runs a home's node whose watch writes down what it reads, from the moment on when all peers speak."""
    from rustorium.home.paths import Home
    from rustorium.node.loop import supervisor
    from rustorium.node.loop.launch import prepare
    from rustorium.node.loop.watch import Watch

    looks: list[Look] = []

    class Recorder(Watch):
        def look(self, lag_ns: int) -> None:
            self.lag_ms = lag_ns // MS
            super().look(lag_ns)

        def _read(self) -> Vitals | None:
            vitals = super()._read()
            if vitals is not None and (looks or all(peer.heard_ns for peer in vitals.peers)):
                heard = [[at // MS for at in peer.heard_ns] for peer in vitals.peers]
                looks.append(Look(vitals.now_ns // MS, self.lag_ms, heard))
            return vitals

    found = Home(home)
    supervisor.Watch = Recorder  # type: ignore[attr-defined, misc]
    supervisor.run(prepare(found, found.load_config(os.environ), None, os.environ), supervisor.Descriptors())
    path.write_text(json.dumps({"looks": [list(asdict(look).values()) for look in looks]}, separators=(",", ":")))


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    recorder = commands.add_parser("record")
    recorder.add_argument("seconds", type=int)
    recorder.add_argument("path", type=Path)
    judged = commands.add_parser("judge")
    judged.add_argument("path", type=Path)
    judged.add_argument("--days", type=int, default=10)
    judged.add_argument("--seed", type=int, default=1)
    watched = commands.add_parser("node")
    watched.add_argument("home", type=Path)
    watched.add_argument("path", type=Path)
    given = parser.parse_args()
    if given.command == "record":
        record(given.seconds, given.path)
    elif given.command == "judge":
        print(json.dumps(judge(given.path, given.days, given.seed), indent=1))
    else:
        node(given.home, given.path)


if __name__ == "__main__":
    main()
