"""Measures what operations cost a validator beside the work that they declare, for both tables of prices.

Others may share the machine: processor times are divided by how much longer a signature took than `just bench-costs`
once measured, and the results keep both.

The program `work_bench` of the crate `node` runs each operation at its worst, in blocks of its own. This prints one
table, whose last columns are the processor time a declared unit of 0.1 µs: 1.0 is a price that fits, and none of
version 2 may be over 1.5. See docs/benchmarks.md.

Invariants: every figure is of this run; processor times, since others on the machine would count otherwise; nothing
passes or fails by time.
"""

import argparse
import datetime
import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

from machine import RESULTS, machine

from rustorium.sim.prices import PRICES

UNIT_NS = 100
SIGNATURE_NS = PRICES["single"]
"""Processor time of a signature that is checked alone when nobody else uses the machine."""
VERSIONS = (1, 2)


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


def slowness(figure: dict[str, Any]) -> float:
    """How much longer a signature took between the blocks than on this machine alone."""
    return float(figure["signature_ns"]) / SIGNATURE_NS


def ratio(figure: dict[str, Any]) -> float:
    """Processor time a declared unit, in units of 0.1 µs of the machine alone."""
    return float(figure["cpu_ns"]) / slowness(figure) / UNIT_NS / max(int(figure["declared_units"]), 1)


def table(results: list[dict[str, Any]]) -> str:
    """The Markdown table: a line for each case, and the declared work of both versions."""
    lines = [
        "| transaction | CPU, µs | of it: signatures, run, commit, tree | written, bytes | memory, bytes "
        "| declared, version 1 | version 2 | CPU a unit, version 1 | version 2 |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    by = {(figure["case"], figure["version"]): figure for figure in results}
    for case in dict.fromkeys(figure["case"] for figure in results):
        first, second = (by[case, version] for version in VERSIONS)
        scale = 1000 * slowness(second)
        parts = ", ".join(f"{second[part] / scale:.1f}" for part in ("check_ns", "execute_ns", "commit_ns", "tree_ns"))
        count = f" of {second['operations']}" if second["operations"] > 1 else ""
        lines.append(
            f"| `{case}`{count} | {second['cpu_ns'] / scale:.1f} | {parts} | {second['written_bytes']:,} "
            f"| {second['memory_bytes']:,} | {first['declared_units']:,} | {second['declared_units']:,} "
            f"| {ratio(first):.2f} | {ratio(second):.2f} |"
        )
    return "\n".join(lines)


def main() -> None:
    """Measures, prints the table, and writes the figures to benches/results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--program", type=Path, required=True, help="the built example")
    parser.add_argument("--case", action="append", default=[], help="only this case; may be repeated")
    parser.add_argument("--out", type=Path, help="where the figures are written; by default benches/results")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="rustorium-work-") as name:
        folder = Path(name)
        facts = machine(folder)
        results = [figure for version in VERSIONS for figure in figures(given.program, folder, version, given.case)]
    today = datetime.datetime.now(datetime.UTC).date()
    out = given.out or RESULTS / f"work-{today}.json"
    out.write_text(json.dumps({"machine": facts, "figures": results}, indent=1) + "\n")
    print(table(results))


if __name__ == "__main__":
    main()
