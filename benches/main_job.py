"""The main job's figures: open-loop load of signed Puts on four validators of this machine. See docs/benchmarks.md.

Invariants: latency runs from the intended send time to the receipt of the final, persisted transaction; all figures of
a validator are differences of its own counters over one point; nothing passes or fails by time.
"""

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
import urllib.request
from collections import defaultdict
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import machine

from rustorium.access.netfile import Net
from rustorium.client import Client
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load

ROOT = Path(__file__).resolve().parent.parent
RATES = (100, 1_000, 5_000, 10_000, 15_000)
ROOTED_RATES = (100, 1_000, 10_000)
"""Measured with state roots. All other points are measured without, as before there were state roots."""
VALIDATORS = 4
ACCOUNTS = 16
WARM_UP_S = 1
IDLE_S = 10
SETTLE_S = 2.0
BACKLOG_S = 60.0
OVERLOAD_S_MIN = 10
BUSY_RATE = 20_000
BUSY_POOL = 64
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
SERIES = re.compile(r"^(\w+)(?:\{(.*)\})? (\S+)$")
LABEL = re.compile(r'(\w+)="([^"]*)"')
POOL = "rustorium_txpool_transactions"
STEP = "rustorium_python_steps_total"
STEP_CPU = "rustorium_python_step_cpu_seconds"

Figures = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Counters of all validators: CPU seconds of each, and the sums of their metrics by (name, label)."""

    cpu_s: list[float]
    sums: defaultdict[tuple[str, str], float]
    views: int
    """The view of the furthest."""


def cpu_seconds(pid: int) -> float:
    """User and system time of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S


def memory_mb(pid: int) -> dict[str, float]:
    """Resident, proportional and private megabytes (of 1,000,000 bytes).

    Only root may look into a process that holds keys; for others the two latter are its anonymous pages alone."""
    kib: dict[str, int] = {}
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:]
    except PermissionError:
        lines = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.endswith(" kB")]
    for line in lines:
        name, _, rest = line.partition(":")
        kib[name] = int(rest.split()[0])
    if "Pss" not in kib:
        return {"rss_mb": mb(kib["VmRSS"]), "pss_mb": mb(kib["RssAnon"]), "private_mb": mb(kib["RssAnon"])}
    private = kib["Private_Clean"] + kib["Private_Dirty"]
    return {"rss_mb": mb(kib["Rss"]), "pss_mb": mb(kib["Pss"]), "private_mb": mb(private)}


def mb(kib: int) -> float:
    return round(kib * 1024 / 1e6, 1)


def snapshot(net: Net) -> Snapshot:
    """Reads all validators, one after the other."""
    sums: defaultdict[tuple[str, str], float] = defaultdict(float)
    views = 0
    for node in net.nodes:
        with closing(urllib.request.urlopen(f"{node.metrics}/metrics", timeout=10)) as answer:  # noqa: S310
            text: str = answer.read().decode()
        for line in text.splitlines():
            if (match := SERIES.match(line)) is not None:
                name, labels, value = match.groups()
                label = next((value for name, value in LABEL.findall(labels or "") if name != "shard"), "")
                sums[name, label] += float(value)
                if name == "rustorium_consensus_view":
                    views = max(views, int(value))
    return Snapshot([cpu_seconds(node.pid) for node in net.nodes], sums, views)


def percentile_bound_ms(deltas: Iterable[tuple[str, float]], share: float) -> float | None:
    """Upper edge of the histogram's bucket that holds this share of its observations."""
    buckets = sorted((float(edge.replace("+Inf", "inf")), count) for edge, count in deltas)
    if not buckets or buckets[-1][1] == 0:
        return None
    return next(edge for edge, count in buckets if count >= share * buckets[-1][1]) * 1_000


def measure(devnet: Devnet, rate: int, seconds: int) -> Figures:
    """One point: the generator's report and what the validators spent on it."""
    before, wall = snapshot(devnet.net), time.monotonic()
    report = run_load(devnet.net, rate_per_s=rate, seconds=seconds)
    after, wall = snapshot(devnet.net), time.monotonic() - wall

    def delta(name: str, label: str = "") -> float:
        if not label and (name, "") not in after.sums:
            raise SystemExit(f"the nodes have no metric {name}: was it renamed?")
        return after.sums[name, label] - before.sums[name, label]

    def buckets(name: str) -> list[tuple[str, float]]:
        labels = [label for (found, label) in after.sums if found == f"{name}_bucket"]
        return [(label, delta(f"{name}_bucket", label)) for label in labels]

    cpu_s = sum(after.cpu_s) - sum(before.cpu_s)
    views = after.views - before.views
    span_s = ratio(report["finalized"], report["achieved_per_s"]) or seconds
    transactions = delta("rustorium_execution_transactions_total") / VALIDATORS
    kinds = sorted(label for (name, label) in after.sums if name == STEP)
    steps = {kind: delta(STEP, kind) / VALIDATORS for kind in kinds}
    syncs, journal = delta("rustorium_storage_journal_syncs_total"), delta("rustorium_storage_journal_bytes_total")
    memory = [memory_mb(node.pid) for node in devnet.net.nodes]
    blocks = delta("rustorium_execution_blocks_total") / VALIDATORS
    return report | {
        "wall_s": wall,
        "generator_cpu_s": report["cpu_seconds"],
        "transactions": transactions,
        "skipped": delta("rustorium_execution_skipped_transactions_total") / VALIDATORS,
        "validators_cpu_s": cpu_s,
        "cpu_s_per_validator_per_1000": ratio(cpu_s * 1_000 / VALIDATORS, transactions),
        "transactions_per_validator_cpu_s": ratio(transactions, cpu_s),
        "journal_bytes_per_transaction": ratio(journal / VALIDATORS, transactions),
        "fsyncs_per_transaction": ratio(syncs / VALIDATORS, transactions),
        "views": views,
        "views_per_s": views / span_s,
        "nullified_views": delta("rustorium_consensus_nullified_views_total") / VALIDATORS,
        "blocks": blocks,
        "transactions_per_block": ratio(transactions, blocks),
        "cpu_ms_per_view": ratio(cpu_s * 1_000, views),
        "fsyncs_per_view": ratio(syncs, views),
        "journal_bytes_per_view": ratio(journal, views),
        "steps_per_view": ratio(sum(steps.values()), views),
        "steps_per_view_by_kind": {kind: ratio(count, views) for kind, count in steps.items()},
        "step_cpu_us_per_view": ratio(mean_step_us(delta) * sum(steps.values()), views),
        "step_cpu_p99_below_ms": percentile_bound_ms(buckets(STEP_CPU), 0.99),
        "step_wall_p99_below_ms": percentile_bound_ms(buckets("rustorium_python_step_wall_seconds"), 0.99),
        **{name: max(figures[name] for figures in memory) for name in memory[0]},
    }


def mean_step_us(delta: Callable[[str], float]) -> float:
    """CPU time of a step, of which one turn in 16 is measured."""
    return (ratio(delta(f"{STEP_CPU}_sum"), delta(f"{STEP_CPU}_count")) or 0.0) * 1e6


def ratio(part: float, whole: float) -> float | None:
    return part / whole if whole else None


def medians(runs: list[Figures]) -> Figures:
    """The median of each figure over the runs; of `lost` and `failed`, which a median would hide, the largest."""
    merged: Figures = {}
    for key, first in runs[0].items():
        found = [run[key] for run in runs if run[key] is not None]
        if not found or isinstance(first, str):
            merged[key] = first
        elif isinstance(found[0], dict):
            names = sorted({name for value in found for name in value})
            merged[key] = {name: statistics.median(value.get(name) or 0 for value in found) for name in names}
        else:
            merged[key] = max(found) if key in ("lost", "failed") else statistics.median(found)
    return merged


def point(devnet: Devnet, rate: int, seconds: int, runs: int) -> Figures:
    """A warm-up, then `runs` measurements."""
    run_load(devnet.net, rate_per_s=rate, seconds=WARM_UP_S)
    measured = []
    for number in range(1, runs + 1):
        say(f"{rate:,} tx/s for {seconds} s, run {number} of {runs}")
        measured.append(measure(devnet, rate, seconds))
    return medians(measured) | {"rate": rate, "runs": measured}


def idle(devnet: Devnet) -> Figures:
    """The processor time of idle validators, measured after the rest of a load has ended."""
    began = time.monotonic()
    while snapshot(devnet.net).sums[POOL, ""] > 0 and time.monotonic() < began + BACKLOG_S:
        time.sleep(SETTLE_S)
    backlog_s = time.monotonic() - began
    say(f"idle for {IDLE_S} s, {backlog_s:.0f} s after the load")
    time.sleep(SETTLE_S)
    before = snapshot(devnet.net)
    time.sleep(IDLE_S)
    after = snapshot(devnet.net)
    cores = [(b - a) / IDLE_S * 100 for a, b in zip(before.cpu_s, after.cpu_s, strict=True)]
    memory = [memory_mb(node.pid) for node in devnet.net.nodes]
    return {
        "seconds": IDLE_S,
        "backlog_s": backlog_s,
        "cpu_percent_of_a_core": max(cores),
        "views": after.views - before.views,
        **{name: max(figures[name] for figures in memory) for name in memory[0]},
    }


def overload(devnet: Devnet, peak: Figures, seconds: int, runs: int) -> Figures:
    """Twice the load that the peak was reached with is offered, long enough to fill the pools."""
    figures = point(devnet, 2 * peak["rate"], max(seconds, OVERLOAD_S_MIN), runs)
    name = "transactions_per_validator_cpu_s"
    return figures | {
        "committed_rate_to_peak": ratio(figures["achieved_per_s"], peak["achieved_per_s"]),
        "committed_per_cpu_s_to_peak": ratio(figures[name] or 0, peak[name] or 0),
        "us_per_busy": ratio(
            (figures["validators_cpu_s"] - (ratio(figures["transactions"], peak[name] or 0) or 0)) * 1e6,
            figures["rejected"],
        ),
    }


def busy(folder: Path, seconds: int) -> Figures:
    """CPU of a typed Busy by itself: with two of four validators dead nothing is committed; tiny pools stay full."""
    say(f"busy: {BUSY_RATE:,} tx/s for {seconds} s against full pools without a quorum")
    devnet = Devnet.create(folder, accounts=ACCOUNTS, name="busy")
    for node in devnet.net.nodes:
        with open(Path(node.home) / "config.toml", "a") as config:
            config.write(f"\n[txpool]\ntransactions_max = {BUSY_POOL}\n")
    with devnet:
        devnet.start()
        for index in (2, 3):
            devnet.kill(index)
        net = devnet.net
        alive = Net(net.chain, net.genesis, net.name, net.asset, net.nodes[:2], net.accounts)
        run_load(alive, rate_per_s=1_000, seconds=WARM_UP_S)  # fills the pools

        def spent() -> float:
            return sum(cpu_seconds(node.pid) for node in alive.nodes)

        resting = spent()
        time.sleep(SETTLE_S)
        resting = (spent() - resting) / SETTLE_S
        before, began = spent(), time.monotonic()
        report = run_load(alive, rate_per_s=BUSY_RATE, seconds=seconds)
        cpu_s = spent() - before - resting * (time.monotonic() - began)
    answers = report["rejected_by_code"].get("busy", 0)
    return {
        "offered": report["offered"],
        "busy": answers,
        "other": {code: count for code, count in report["rejected_by_code"].items() if code != "busy"},
        "lost": report["lost"],
        "validators_cpu_s_without_load_per_s": resting,
        "validators_cpu_s": cpu_s,
        "us_per_busy": ratio(cpu_s * 1e6, answers),
    }


def number(value: float | None, digits: int = 1) -> str:
    return "-" if value is None else f"{value:,.{digits}f}"


Column = tuple[str, Callable[[Figures], str]]

SPEED: list[Column] = [
    ("offered tx/s", lambda f: number(f["offered_per_s"], 0)),
    ("achieved tx/s", lambda f: number(f["achieved_per_s"], 0)),
    ("p50 ms", lambda f: number(f["p50_ms"])),
    ("p95 ms", lambda f: number(f["p95_ms"])),
    ("p99 ms", lambda f: number(f["p99_ms"])),
    ("rejected", lambda f: number(f["rejected"], 0)),
    ("lost", lambda f: number(f["lost"], 0)),
    ("generator CPU s", lambda f: number(f["generator_cpu_s"], 2)),
]
COST: list[Column] = [
    ("offered tx/s", lambda f: number(f["offered_per_s"], 0)),
    ("CPU s per validator per 1,000 tx", lambda f: number(f["cpu_s_per_validator_per_1000"], 3)),
    ("journal bytes per tx", lambda f: number(f["journal_bytes_per_transaction"], 0)),
    ("fsyncs per tx", lambda f: number(f["fsyncs_per_transaction"], 4)),
    ("tx per block", lambda f: number(f["transactions_per_block"])),
    ("RSS MB", lambda f: number(f["rss_mb"])),
    ("PSS MB", lambda f: number(f["pss_mb"])),
]
VIEW: list[Column] = [
    ("offered tx/s", lambda f: number(f["offered_per_s"], 0)),
    ("views/s", lambda f: number(f["views_per_s"])),
    ("nullified", lambda f: number(f["nullified_views"], 0)),
    ("CPU ms, 4 processes", lambda f: number(f["cpu_ms_per_view"], 2)),
    ("fsyncs, 4 processes", lambda f: number(f["fsyncs_per_view"], 2)),
    ("journal KiB, 4 processes", lambda f: number((f["journal_bytes_per_view"] or 0) / 1024)),
    ("Python steps per node", lambda f: number(f["steps_per_view"], 2)),
    ("their CPU µs", lambda f: number(f["step_cpu_us_per_view"], 0)),
    ("step p99 CPU ms <", lambda f: number(f["step_cpu_p99_below_ms"], 2)),
    ("step p99 wall ms <", lambda f: number(f["step_wall_p99_below_ms"], 2)),
]


def table(title: str, columns: list[Column], rows: list[Figures]) -> str:
    """The table in aligned Markdown: readable on a terminal, and ready to paste into a page."""
    lines = [[name for name, _ in columns], *([show(row) for _, show in columns] for row in rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(columns))]
    text = [
        "| " + " | ".join(cell.rjust(width) for cell, width in zip(line, widths, strict=True)) + " |" for line in lines
    ]
    text.insert(1, "|" + "|".join("-" * (width + 1) + ":" for width in widths) + "|")
    return f"\n{title}\n\n" + "\n".join(text)


def steps_table(rows: list[Figures]) -> str:
    kinds = sorted({kind for row in rows for kind in row["steps_per_view_by_kind"]})
    columns: list[Column] = [SPEED[0]]
    columns += [(kind, lambda f, kind=kind: number(f["steps_per_view_by_kind"].get(kind), 2)) for kind in kinds]  # type: ignore[misc]
    return table("Python steps per node and view, by input", columns, rows)


def summary(result: Figures) -> str:
    """All tables and sentences."""
    facts, fresh, idle, over, busy = (result[name] for name in ("machine", "fresh", "idle", "overload", "busy"))
    rows = [*result["points"], over]
    lines = []
    lines.append(
        f"{facts['cpu']}, {facts['cores']} cores, Linux {facts['kernel']}, {facts['file_system']}, "
        f"load average before {facts['load_average_before']:.2f}, commit {facts['git_commit'][:12]} and "
        f"{facts['git_changed_files']} changed files"
    )
    lines.append(f"{result['seconds']} s a run, medians of {result['run_count']}; last row: twice the load of the peak")
    lines += [table("Latency and rate", SPEED, rows), table("Cost of a transaction", COST, rows)]
    lines += [table("Budget of a view", VIEW, rows), steps_table(rows)]
    lines += [table("With state roots, the chain's default", [*SPEED[:7], COST[1], VIEW[2]], result["rooted"]), ""]
    for title, node in (("Fresh", fresh), ("After the load", idle)):
        lines.append(
            f"{title}, idle for {node['seconds']} s: {number(node['cpu_percent_of_a_core'], 2)} % of a core, "
            f"{node['private_mb']} MB private, {node['pss_mb']} MB PSS, {node['rss_mb']} MB RSS, {node['views']} views"
        )
    rate, share = ((over[n] or 0) * 100 for n in ("committed_rate_to_peak", "committed_per_cpu_s_to_peak"))
    lines.append(
        f"Overload, twice the load of the peak: {rate:.0f} % of the peak's committed rate, {share:.0f} % of its "
        f"committed transactions per validator CPU-second, {number(over['us_per_busy'])} us of validator CPU for each "
        f"refusal beyond what the committed ones cost at the peak; last refusals: "
        f"{over['runs'][-1]['rejected_by_code']}"
    )
    lines.append(
        f"Busy: {number(busy['us_per_busy'])} us of validator CPU each; of {busy['offered']:,} offered "
        f"{busy['busy']:,} got it, {json.dumps(busy['other'])} others, {busy['lost']:,} without a result"
    )
    return "\n".join(lines)


def say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def run(folder: Path, rates: list[int], seconds: int, runs: int) -> Figures:
    """Everything, in the folder."""
    result: Figures = {"machine": machine(folder), "seconds": seconds, "run_count": runs, "value_bytes": 256}
    with Devnet.create(folder / "net", accounts=ACCOUNTS, parameters={"state_roots": False}) as devnet:
        devnet.start()
        with Client(devnet.net.endpoints) as client:
            say(f"four validators are ready, chain {client.chain()[:12]}")
        result["fresh"] = idle(devnet)
        result["points"] = [point(devnet, rate, seconds, runs) for rate in rates]
        peak = max(result["points"], key=lambda figures: float(figures["achieved_per_s"]))
        result["overload"] = overload(devnet, peak, seconds, runs)
        result["idle"] = idle(devnet)
    with Devnet.create(folder / "rooted", accounts=ACCOUNTS) as devnet:
        devnet.start()
        result["rooted"] = [point(devnet, rate, seconds, runs) for rate in ROOTED_RATES]
    result["busy"] = busy(folder / "busy", seconds)
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES), help="transactions per second to offer")
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--runs", type=int, default=3, help="of each point; their medians are shown")
    parser.add_argument("--quick", action="store_true", help="one run of 3 s a point")
    parser.add_argument("--folder", type=Path, help="where the nets' folder is made (default: the system's)")
    parser.add_argument("--results", type=Path, default=ROOT / "benches" / "results", help="where the JSON goes")
    options = parser.parse_args()
    seconds, runs = (3, 1) if options.quick else (options.seconds, options.runs)
    with tempfile.TemporaryDirectory(prefix="rustorium-bench-", dir=options.folder) as folder:
        result = run(Path(folder).resolve(), options.rates, seconds, runs)
    print(summary(result))
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"main_job-{result['machine']['date'][:10]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
