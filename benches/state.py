"""Measures the cost of keeping and proving state beside the promised figures: one table, medians of several runs.

Programs of the crates `state` and `storage` measure what needs no node; the rest comes from a devnet on this machine.
The store's batches and RocksDB's own `db_bench` run in turns and are compared pair by pair, since a machine that is
shared changes between two of them by more than they differ. See docs/benchmarks.md.

Invariants: every figure is of this run; processor times where others on the machine would count otherwise; nothing
passes or fails by time.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from main_job import machine, memory_mb
from proofs import KEYS, Bench, median_ms

from rustorium.net.devnet import Devnet

BATCHES, PUTS = 200, 1_000
KEY_BYTES, VALUE_BYTES = 72, 256
"""Sizes of the key and the value of one row in the store."""
IDLE_S = 10
HITS = 500

Row = tuple[str, str, str]
"""A row of the table: what is measured, what is promised, what was measured."""


def ran(command: list[str]) -> tuple[str, float]:
    """Returns what a program printed, and its processor time, s."""
    before = os.times()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout + done.stderr, cpu_s


@dataclass
class Medians:
    """Figures by name, of several runs."""

    seen: defaultdict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

    def add(self, name: str, value: float) -> None:
        self.seen[name].append(value)

    def __getitem__(self, name: str) -> float:
        return statistics.median(self.seen[name])


def db_bench(folder: Path, value_bytes: int, sync: bool) -> tuple[float, float]:
    """Rows a second of RocksDB's benchmark in batches as large, and its processor time for a row, us."""
    command = [
        "db_bench", "--benchmarks=fillrandom", f"--batch_size={PUTS}", f"--num={BATCHES * PUTS}",
        f"--key_size={KEY_BYTES}", f"--value_size={value_bytes}", "--compression_type=none",
        "--write_buffer_size=33554432", "--max_background_jobs=2", f"--sync={str(sync).lower()}", f"--db={folder}",
    ]  # fmt: skip
    printed, cpu_s = ran(command)
    found = re.search(r"^fillrandom\s*:.* (\d+) ops/sec", printed, re.MULTILINE)
    if found is None:
        raise SystemExit(f"db_bench printed no rate: {printed[-500:]}")
    return float(found[1]), 1e6 * cpu_s / (BATCHES * PUTS)


def db_bench_version() -> str:
    """The version of RocksDB that `db_bench` has."""
    with tempfile.TemporaryDirectory() as folder:
        printed, _ = ran(["db_bench", "--benchmarks=fillseq", "--num=1", f"--db={folder}"])
    found = re.search(r"RocksDB:\s*version (\S+)", printed)
    return found[1] if found else "of a version that it doesn't say"


class Store:
    """The program that measures the store, in a folder on the disk that counts."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self.program, self.folder = programs / "store_bench", folder

    def run(self, name: str) -> dict[str, Any]:
        printed, _ = ran([str(self.program), str(self.folder), name])
        figure: dict[str, Any] = json.loads(printed.splitlines()[-1])["figure"]
        return figure

    def batches(self, runs: int) -> list[Row]:
        """The store and `db_bench` in turns."""
        found, version = Medians(), db_bench_version()
        rows: list[Row] = []
        for _ in range(runs):
            for sync in (False, True):
                self._turn(found, sync)
        for sync, name in ((False, "no sync"), (True, "a sync each")):
            ours = found[f"{sync} puts"], found[f"{sync} cpu"]
            for size in ("large", "small"):
                theirs = found[f"{sync} {size}"], found[f"{sync} {size} cpu"]
                large = f"rows as large as a put ({found['put_bytes']:.0f} bytes)"
                what = large if size == "large" else f"rows of {VALUE_BYTES} bytes"
                rows.append((
                    f"batches of {PUTS:,} puts, {name}; db_bench {version} with {what}",
                    "50 %" if size == "large" else "",
                    f"{100 * found[f'{sync} {size} ratio']:.0f} %: {ours[0]:,.0f} puts/s, {theirs[0]:,.0f} rows/s; "
                    f"CPU {ours[1]:.1f} and {theirs[1]:.1f} us",
                ))  # fmt: skip
        return rows

    def _turn(self, found: Medians, sync: bool) -> None:
        ours = self.run("sealed-sync" if sync else "sealed")
        puts = float(ours["puts_per_s"])
        found.add("put_bytes", ours["row_bytes_a_put"])
        found.add(f"{sync} puts", puts)
        found.add(f"{sync} cpu", ours["cpu_ns_a_put"] / 1000)
        for size, value_bytes in (("large", int(ours["row_bytes_a_put"]) - KEY_BYTES), ("small", VALUE_BYTES)):
            with tempfile.TemporaryDirectory(dir=self.folder) as folder:
                rate, cpu_us = db_bench(Path(folder), value_bytes, sync)
            found.add(f"{sync} {size}", rate)
            found.add(f"{sync} {size} cpu", cpu_us)
            found.add(f"{sync} {size} ratio", puts / rate)

    def single(self, runs: int) -> list[Row]:
        """Reads, and single writes beside a sync of the same disk."""
        found = Medians()
        for _ in range(runs):
            reads, durable = self.run("reads"), self.run("durable")
            for name in ("hit", "miss"):
                found.add(name, reads[name]["p50_ns"] / 1000)
                found.add(f"{name} p99", reads[name]["p99_ns"] / 1000)
            for name, value in durable.items():
                found.add(name, value)
        sync_us = found["file_and_fdatasync_us"]
        return [
            ("state read, in the cache", "20 us", f"{found['hit']:.2f} us, p99 {found['hit p99']:.2f}"),
            ("state read, warm disk", "1 ms", f"{found['miss']:.1f} us, p99 {found['miss p99']:.1f}"),
            ("one put, durable in the store", "a sync", f"{found['store_us']:.0f} us; a sync alone {sync_us:.0f}"),
            ("one put, durable in the journal", "a sync", f"{found['journal_us']:.0f} us; a sync alone {sync_us:.0f}"),
        ]


TREE = {
    "write": r"^write in a period of 10000\s+([\d.]+) us",
    "faster": r"^the same on two threads .*: ([\d.]+)x",
    "width": r"^table of width (\d+)",
    "one make": r"^proof of\s+1 keys\s+([\d.]+) ms",
    "one check": r"^proof of\s+1 keys.* ([\d.]+) ms to check",
    "one bytes": r"^proof of\s+1 keys.* (\d+) bytes",
    "all check": rf"^proof of\s+{KEYS} keys.* ([\d.]+) ms to check",
}


def tree(programs: Path, keys: int, runs: int) -> list[Row]:
    """The state tree alone, by processor time."""
    found = Medians()
    for _ in range(runs):
        printed, _ = ran([str(programs / "tree"), str(keys)])
        for name, pattern in TREE.items():
            match = re.search(pattern, printed, re.MULTILINE)
            if match is None:
                raise SystemExit(f"the program `tree` printed nothing for {name}: {printed[-500:]}")
            found.add(name, float(match[1]))
    return [
        (f"tree of {keys:,} keys, width {found['width']:.0f}: a write, CPU", "25 us", f"{found['write']:.1f} us"),
        ("the same on two threads", "1.9x", f"{found['faster']:.2f}x"),
        ("proof of one key: made, CPU", "15 ms", f"{found['one make']:.1f} ms"),
        ("proof of one key: checked, CPU", "4 ms", f"{found['one check']:.1f} ms"),
        ("proof of one key: size", "1 KB", f"{found['one bytes']:.0f} bytes"),
        (f"proof of {KEYS:,} keys: checked, a key", "0.1 ms", f"{found['all check'] / KEYS:.3f} ms"),
    ]  # fmt: skip


def nodes(keys: int, rounds: int) -> list[Row]:
    """Measures on a devnet: memory of idle nodes, reads through HTTP, proofs as clients get them."""
    with tempfile.TemporaryDirectory(prefix="rustorium-bench-") as folder, Devnet.create(Path(folder) / "net") as net:
        net.start()
        time.sleep(IDLE_S)
        private = statistics.median(memory_mb(node.pid)["private_mb"] for node in net.net.nodes)
        with closing(Bench(net, keys, rounds)) as bench:
            bench.fill()
            path = f"/v1/accounts/{bench.key.address}/keys/{bench.names[0].decode()}"
            hit = median_ms(HITS, lambda: bench.node.get(path))
            rows = [(f"{name}, through a node", "", figure) for name, figure in bench.sizes()]
            time.sleep(IDLE_S)
            filled = statistics.median(memory_mb(node.pid)["private_mb"] for node in net.net.nodes)
    return [
        ("state read, in the cache, through HTTP", "1 ms", f"{hit:.2f} ms"),
        ("private memory of an idle node", "150 MB", f"{private:.0f} MB; after {keys:,} keys {filled:.0f}"),
        *rows,
    ]


def main() -> None:
    """Runs it all and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--programs", type=Path, required=True, help="folder of the programs `store_bench` and `tree`")
    parser.add_argument("--runs", type=int, default=5, help="runs of each program (default: 5)")
    parser.add_argument("--keys", type=int, default=1_000_000, help="keys of the tree (default: a million)")
    parser.add_argument(
        "--folder", type=Path, default=Path.cwd() / "target", help="where stores are made (default: target)"
    )
    parser.add_argument(
        "--only", choices=["batches", "single", "tree", "nodes"], nargs="*", help="parts, instead of all"
    )
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    facts = machine(arguments.folder.absolute())
    print(
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, {facts['file_system']}, load average before "
        f"{facts['load_average_before']:.2f}, commit {facts['git_commit'][:12]} and {facts['git_changed_files']} "
        f"changed files, medians of {arguments.runs}"
    )
    with tempfile.TemporaryDirectory(prefix="store-bench-", dir=arguments.folder) as folder:
        store = Store(arguments.programs, Path(folder))
        parts: dict[str, Callable[[], list[Row]]] = {
            "single": lambda: store.single(arguments.runs),
            "batches": lambda: store.batches(arguments.runs),
            "tree": lambda: tree(arguments.programs, arguments.keys, arguments.runs),
            "nodes": lambda: nodes(2 * KEYS, 50),
        }
        print("\n| | promised | seen |\n|---|---|---|")
        for name, part in parts.items():
            if arguments.only is None or name in arguments.only:
                for row in part():
                    print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
