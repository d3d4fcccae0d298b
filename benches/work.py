"""Measures what operations cost a validator beside the work that they declare, for both tables of prices.

The program `work_bench` of the crate `node` runs each operation at its worst, in blocks of its own. All operations are
measured in turns, several rounds long, and figures are medians of the rounds.

Others may share the machine. So processor times are divided by how much longer a signature took than `just bench-costs`
once measured, and the last column compares each operation with a plain put of the same round: 2.0 is a unit that costs
twice as much as a unit of that put. The column before it is the processor time a declared unit of 0.1 µs: 1.0 is a
price that fits, and none of version 2 may be over 1.5. See docs/benchmarks.md.

Invariants: every figure is of this run; processor times, since others on the machine would count otherwise; nothing
passes or fails by time.
"""

import argparse
import datetime
import json
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Any

from machine import RESULTS, machine

from rustorium.sim.prices import PRICES

UNIT_NS = 100
SIGNATURE_NS = PRICES["single"]
"""Processor time of a signature that is checked alone when nobody else uses the machine."""
VERSIONS = (1, 2)
PLAIN = "put_256"
"""The case that all others are compared with."""
TIMES = ("cpu_ns", "check_ns", "execute_ns", "commit_ns", "tree_ns")


def figures(program: Path, folder: Path, version: int, cases: list[str]) -> list[dict[str, Any]]:
    command = [str(program), str(version), str(folder), *cases]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as running:
        found = []
        for line in running.stdout or ():
            found.append(json.loads(line))
            print(f"version {version}: {found[-1]['case']}", flush=True)
    if running.returncode:
        raise SystemExit(f"{program.name} failed: see above")
    return found


def scaled(figure: dict[str, Any]) -> dict[str, Any]:
    """Returns a figure with the processor times that this machine would need for itself: divided by how much longer a
    signature took between the blocks."""
    slowness = float(figure["signature_ns"]) / SIGNATURE_NS
    return figure | {name: float(figure[name]) / slowness for name in TIMES}


def ratio(figure: dict[str, Any]) -> float:
    """Processor time of a scaled figure a declared unit, in units of 0.1 µs."""
    return float(figure["cpu_ns"]) / UNIT_NS / max(int(figure["declared_units"]), 1)


def merged(rounds: Sequence[dict[str, Any]], plain: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Returns the medians of a case's scaled figures of its rounds. `plain`: those of the plain put, if any."""
    numbers = [*TIMES, "written_bytes", "memory_bytes"]
    found = rounds[0] | {name: median(float(one[name]) for one in rounds) for name in numbers}
    found["a_unit"] = median(map(ratio, rounds))
    if plain:
        found["beside_put"] = median(ratio(one) / ratio(put) for one, put in zip(rounds, plain, strict=True))
    return found


def summary(rounds: Sequence[Sequence[dict[str, Any]]]) -> list[dict[str, Any]]:
    """Returns one figure for each case and version."""
    by: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for figure in (scaled(figure) for one in rounds for figure in one):
        by.setdefault((figure["version"], figure["case"]), []).append(figure)
    return [merged(found, by.get((version, PLAIN), [])) for (version, _), found in by.items()]


def table(results: Sequence[dict[str, Any]]) -> str:
    """The Markdown table: a line for each version and case."""
    lines = [
        "| version, transaction | CPU, µs | of it: signatures, run, commit, tree | written, bytes | memory, bytes "
        f"| declared | CPU a unit | beside `{PLAIN}` |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for figure in results:
        parts = ", ".join(f"{figure[part] / 1000:.1f}" for part in TIMES[1:])
        count = f" of {figure['operations']}" if figure["operations"] > 1 else ""
        beside = f"{figure['beside_put']:.2f}" if "beside_put" in figure else ""
        lines.append(
            f"| {figure['version']} `{figure['case']}`{count} | {figure['cpu_ns'] / 1000:.1f} | {parts} "
            f"| {figure['written_bytes']:,.0f} | {figure['memory_bytes']:,.0f} | {figure['declared_units']:,} "
            f"| {figure['a_unit']:.2f} | {beside} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the table, and writes the figures to benches/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help="the built example")
    parser.add_argument("--case", action="append", default=[], help="only this case; may be repeated")
    parser.add_argument("--version", action="append", type=int, choices=VERSIONS, help="only this version's prices")
    parser.add_argument(
        "--rounds", type=int, default=3, help="how often each case is measured, in turns with the others"
    )
    parser.add_argument("--out", type=Path, help="where the figures are written; by default benches/results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rustorium-work-") as name:
        folder = Path(name)
        facts = machine(folder)
        versions = given.version or VERSIONS
        measured = [
            [figure for version in versions for figure in figures(given.program, folder, version, given.case)]
            for _ in range(given.rounds)
        ]
    results = summary(measured)
    today = datetime.datetime.now(datetime.UTC).date()
    out = given.out or RESULTS / f"work-{today}.json"
    out.write_text(json.dumps({"machine": facts, "figures": results, "rounds": measured}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
