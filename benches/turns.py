"""Compares this checkout with another commit: the same load on both, in turns on one machine (`just bench-turns REF`).

Machines of one kind differ by a factor of two, and one machine differs from hour to hour. So a figure of another day
says nothing about a change; only two runs beside each other do. The turns go REF, here, here, REF, …: a drift of the
machine then weighs on both alike.

The other commit is checked out and built once below the build cache (some minutes), with a target folder of its own:
in a shared one, cargo takes sources of this checkout that are older than that build for built. Each turn starts a new
devnet with the build of its side, and measures it by that side's own `benches/main_job.py`.

Invariants: a ratio joins two neighbouring turns, never two distant ones; nothing passes or fails by time.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from machine import RESULTS, ROOT, machine

RATES = (100, 1_000, 5_000, 10_000)
CACHE = Path(os.environ.get("RUSTORIUM_BUILD_CACHE", "~/.cache/rustorium-build")).expanduser()
BUILT = ".turns-built"
"""Written into a checkout once its build is whole."""

Figures = dict[str, Any]
Turn = dict[int, Figures]
"""The figures of one turn, by offered rate."""


@dataclass(frozen=True, slots=True)
class Measure:
    """A figure that is compared. `better` is the sign of an improvement."""

    name: str
    better: int
    of: Callable[[Figures], float | None]


def scaled(name: str, factor: float = 1.0) -> Callable[[Figures], float | None]:
    """Returns a reader of a figure in other units. The reader returns `None` where the figure is missing."""
    return lambda figures: None if figures.get(name) is None else figures[name] * factor


MEASURES = (
    Measure("achieved tx/s", 1, scaled("achieved_per_s")),
    Measure("p50 ms", -1, scaled("p50_ms")),
    Measure("p99 ms", -1, scaled("p99_ms")),
    Measure("CPU µs per transaction and validator", -1, scaled("cpu_s_per_validator_per_1000", 1_000)),
    Measure("CPU ms per view, all validators", -1, scaled("cpu_ms_per_view")),
    Measure("journal bytes per transaction", -1, scaled("journal_bytes_per_transaction")),
    Measure("generator CPU s", -1, scaled("generator_cpu_s")),
    Measure("private MB", -1, scaled("private_mb")),
)


@dataclass(frozen=True, slots=True)
class Compared:
    """One figure at one rate: both medians, and the ratios (here divided by the other commit) of all pairs."""

    rate: int
    measure: Measure
    other: float
    here: float
    ratios: list[float]

    @property
    def ratio(self) -> float:
        return statistics.median(self.ratios)

    @property
    def verdict(self) -> str:
        """Better or worse only if all pairs agree; one pair says nothing of the spread."""
        if len(self.ratios) < 2 or min(self.ratios) <= 1 <= max(self.ratios):
            return ""
        return "better" if (self.ratio > 1) == (self.measure.better > 0) else "worse"


def order(pairs: int) -> Iterator[str]:
    """Yields whose turn it is: other, here, here, other, other, here, …"""
    for number in range(pairs):
        yield from ("other", "here") if number % 2 == 0 else ("here", "other")


def compare(others: list[Turn], here: list[Turn]) -> list[Compared]:
    """Joins the turns of both sides, pair by pair. A pair in which a figure is missing or zero doesn't count for it."""
    compared = []
    for rate in here[0]:
        for measure in MEASURES:
            pairs = [(measure.of(a[rate]), measure.of(b[rate])) for a, b in zip(others, here, strict=True)]
            known = [(a, b) for a, b in pairs if a and b]
            if known:
                sides = [statistics.median(side) for side in zip(*known, strict=True)]
                compared.append(Compared(rate, measure, sides[0], sides[1], [b / a for a, b in known]))
    return compared


def table(rows: list[Compared], name: str) -> str:
    """The comparison in Markdown."""
    lines = [
        f"| offered tx/s | figure | {name} | here | here / {name} | lowest to highest | |",
        "|--:|---|--:|--:|--:|--:|---|",
    ]
    for row in rows:
        figures = f"{row.other:,.2f} | {row.here:,.2f} | {row.ratio:.3f}"
        spread = f"{min(row.ratios):.3f} to {max(row.ratios):.3f}"
        lines.append(f"| {row.rate:,} | {row.measure.name} | {figures} | {spread} | {row.verdict} |")
    return "\n".join(lines)


def resolve(ref: str) -> str:
    """Returns the hash of a commit. Errors: SystemExit."""
    command = ["git", "rev-parse", "--verify", "--quiet", f"{ref}^{{commit}}"]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if found.returncode:
        raise SystemExit(f"{ref} names no commit of this repository: fetch it, or give another tag, branch or hash")
    return found.stdout.strip()


def checkout(commit: str) -> Path:
    """Returns a built checkout of the commit below the build cache."""
    folder = CACHE / "turns" / commit[:12]
    if not (folder / BUILT).exists():
        say(f"building {commit[:12]} in {folder}, once")
        if not (folder / ".git").exists():
            subprocess.run(["git", "clone", "-q", "--shared", "--no-checkout", str(ROOT), str(folder)], check=True)
        subprocess.run(["git", "checkout", "-q", "--force", "--detach", commit], cwd=folder, check=True)
        subprocess.run([sys.executable, "-m", "venv", ".venv"], cwd=folder, check=True)
        pip = [".venv/bin/python", "-m", "pip", "install", "-q", "--disable-pip-version-check", "rust-just"]
        subprocess.run(pip, cwd=folder, check=True)
        environment = os.environ | {"CARGO_TARGET_DIR": str(folder / "target")}
        subprocess.run([".venv/bin/just", "build"], cwd=folder, check=True, env=environment)
        (folder / BUILT).touch()
    return folder


def turn(side: Path, rates: list[int], seconds: int, roots: bool) -> Turn:
    """Measures one side in a process of its own Python."""
    say(f"a turn of {side}")
    worker = [str(side / ".venv/bin/python"), str(Path(__file__).resolve()), "--measure", str(side)]
    worker += ["--seconds", str(seconds), *([] if roots else ["--no-roots"]), "--rates", *map(str, rates)]
    done = subprocess.run(worker, cwd=side, check=True, stdout=subprocess.PIPE, text=True)
    return {int(rate): figures for rate, figures in json.loads(done.stdout).items()}


def measure(side: Path, rates: list[int], seconds: int, roots: bool) -> Turn:
    """The worker: one devnet of the side's build, one run of each rate."""
    sys.path.insert(0, str(side / "benches"))
    import main_job

    with tempfile.TemporaryDirectory(prefix="rustorium-turns-") as folder:
        parameters = None if roots else {"state_roots": False}
        with main_job.Devnet.create(Path(folder) / "net", accounts=main_job.ACCOUNTS, parameters=parameters) as devnet:
            devnet.start()
            return {rate: main_job.point(devnet, rate, seconds, 1)["runs"][0] for rate in rates}


def say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("ref", help="the commit to compare with: a tag, a branch or a hash")
    parser.add_argument("--rates", type=int, nargs="+", default=list(RATES), help="transactions per second to offer")
    parser.add_argument("--seconds", type=int, default=10, help="of each run")
    parser.add_argument("--pairs", type=int, default=4, help="turns of each side")
    parser.add_argument("--no-roots", action="store_true", help="measure chains without state roots")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    # The process of one turn: `ref` is then the folder of its side.
    parser.add_argument("--measure", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    roots = not options.no_roots
    if options.measure:
        print(json.dumps(measure(Path(options.ref), options.rates, options.seconds, roots)))
        return
    commit = resolve(options.ref)
    sides = {"other": checkout(commit), "here": ROOT}
    facts = machine(Path(tempfile.gettempdir()).resolve())
    turns: dict[str, list[Turn]] = {"other": [], "here": []}
    for side in order(options.pairs):
        turns[side].append(turn(sides[side], options.rates, options.seconds, roots))
    rows = compare(turns["other"], turns["here"])
    on = "on" if roots else "off"
    print(f"{facts['cpu']}, {facts['cores']} cores, load average before {facts['load_average_before']:.2f}")
    print(f"{options.pairs} pairs of turns, {options.seconds} s a run, state roots {on}")
    print(
        f"here: {facts['git_commit'][:12]} and {facts['git_changed_files']} changed files; {options.ref}: {commit[:12]}"
    )
    print(f"\n{table(rows, options.ref)}")
    options.results.mkdir(parents=True, exist_ok=True)
    path = options.results / f"turns-{facts['date'][:10]}.json"
    result = {"machine": facts, "other": commit, "seconds": options.seconds, "state_roots": roots, "turns": turns}
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(f"\n{path}")


if __name__ == "__main__":
    main()
