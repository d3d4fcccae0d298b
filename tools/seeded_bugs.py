"""The tests tested: switches the seeded bugs on, one at a time, and shows which test finds each; 1 when one survives.

The bugs are in the Rust code behind `seeded::bug("name")`, which is nothing in a build without the feature
`seeded-bugs`, and in `tests/broken_rules.py`, which breaks rules of the Python core. The tests were there before the
bugs and know none. This builds the workspace's tests with the feature, into a folder of its own; runs what is to find
the bugs without any, where all must pass; and then for each bug what is to find it, which must fail.

`python tools/seeded_bugs.py [NAMES...]`: of these bugs only, or of these rules (`R21`); `--list` names them.
"""

import argparse
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from seeded_table import ROWS

ROOT = Path(__file__).resolve().parents[1]
RULES_MAX = 32
"""Rules of docs/spec/consensus.md: each has a bug."""
TIMEOUT_S = 300
SLOW = ("state", "native")
"""Crates whose tests would take too long unoptimized; for the others compiling is what takes long."""
SITE = re.compile(r'seeded::bug\(\s*"([^"]+)"')
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
# A property that fails is to say so, and to leave no file behind; the same cases every time.
PROPTEST = {
    "PROPTEST_DISABLE_FAILURE_PERSISTENCE": "1",
    "PROPTEST_MAX_SHRINK_ITERS": "0",
    "PROPTEST_RNG_SEED": "1",
}


@dataclass(frozen=True)
class Check:
    """A command that finds a bug: it passes without it, and fails with it."""

    shown_as: str
    command: tuple[str, ...]
    folder: Path


@dataclass(frozen=True)
class Bug:
    """A seeded bug."""

    rules: str
    name: str
    where: str
    check: Check
    variable: str

    def is_among(self, wanted: set[str]) -> bool:
        """Whether it is called so, or breaks such a rule."""
        return not wanted or bool(wanted & {self.name, self.rules, *self.rules.split()})


@dataclass(frozen=True)
class Outcome:
    """What became of a command: whether it passed, in how long, and what it said."""

    passed: bool
    seconds: float
    output: str


def build() -> dict[str, str]:
    """Builds the tests with the bugs in them: the program of each target, by `crate target`."""
    sys.path.insert(0, str(ROOT / "tools" / "build"))
    from backend import CACHE, build_environment

    environment = {**os.environ, **build_environment()}
    environment["CARGO_TARGET_DIR"] = os.environ.get("SEEDED_BUGS_TARGET_DIR") or str(CACHE / "target-seeded-bugs")
    environment["CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS"] = "true"
    environment["CARGO_PROFILE_RELEASE_OVERFLOW_CHECKS"] = "true"
    command = ["cargo", "test", "--no-run", "--release", "--locked", "--workspace", "--exclude", "rustorium-native"]
    command += ["--tests", "--example", "vote_path"]
    command += ["--features", "rustorium-types/seeded-bugs", "--message-format", "json-render-diagnostics"]
    for crate in sorted(path.parent.name for path in (ROOT / "crates").glob("*/Cargo.toml")):
        if crate not in SLOW:
            command += ["--config", f"profile.release.package.rustorium-{crate}.opt-level=0"]
    done = subprocess.run(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("the tests did not compile with the bugs in them: cargo's messages above say why")
    programs = {}
    for message in map(json.loads, done.stdout.splitlines()):
        if message["reason"] == "compiler-artifact" and message["executable"]:
            target = message["target"]
            name = "lib" if "lib" in target["kind"] else target["name"]
            programs[f"{Path(message['manifest_path']).parent.name} {name}"] = message["executable"]
    os.environ["VOTE_PATH"] = programs["storage vote_path"]  # for tests/disk, which else compiles one without bugs
    return programs


def sites() -> dict[str, str]:
    """The bugs in the code: where each stands."""
    found: dict[str, str] = {}
    for path in sorted((ROOT / "crates").rglob("src/**/*.rs")):
        text = path.read_text()
        for match in SITE.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            found[match[1]] = f"{path.relative_to(ROOT / 'crates')}:{line}".replace("/src/", "/")
    return found


def rust_bugs(programs: dict[str, str]) -> Iterator[Bug]:
    """Those in the Rust code, with the tests that the table names."""
    places = sites()
    unknown = sorted(places.keys() ^ {name for _, name, _ in ROWS})
    if unknown:
        sys.exit(f"in the code or in tools/seeded_table.py, but not in both: {', '.join(unknown)}")
    for rules, name, test in ROWS:
        if test.startswith("tests/"):
            check = Check(test, (*PYTEST, *test.split()), ROOT)
        else:
            crate, target, *filters = test.split()
            program = programs.get(f"{crate} {target}", "")
            check = Check(test, (program, "--quiet", *filters), ROOT / "crates" / crate)
        yield Bug(rules, name, places[name], check, "SEEDED_BUG")


def python_bugs() -> Iterator[Bug]:
    """Rules of the Python core and of the model of its data plane that aren't kept."""
    sys.path.insert(0, str(ROOT / "tests"))
    from broken_rules import RULES, Seeds

    for name, broken in RULES.items():
        if isinstance(broken.shown_by, Seeds):
            shown_as = f"seeds of {broken.shown_by.mode.value} from {broken.shown_by.first} on"
            command = (sys.executable, "tests/broken_rules.py")
        else:
            shown_as = broken.shown_by
            command = (*PYTEST, "-p", "broken_rules", shown_as)
        yield Bug(name.split(":")[0], name, broken.where, Check(shown_as, command, ROOT), "BROKEN_RULE")


def every(programs: dict[str, str]) -> list[Bug]:
    """All bugs, by rule; what is beside the specification comes last."""
    found = [*rust_bugs(programs), *python_bugs()]
    return sorted(found, key=lambda bug: (int(re.findall(r"\d+", f"{bug.rules} 99")[0]), bug.rules, bug.name))


def run(check: Check, **bug: str) -> Outcome:
    """Runs the command, with a bug or without."""
    environment = {**os.environ, **PROPTEST, "CARGO_MANIFEST_DIR": str(check.folder), **bug}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests")])
    started = time.monotonic()
    try:
        done = subprocess.run(
            check.command, cwd=check.folder, env=environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        passed, output = done.returncode == 0, done.stdout + done.stderr
    except subprocess.TimeoutExpired:
        passed, output = False, f"no end in {TIMEOUT_S} s"
    return Outcome(passed, time.monotonic() - started, output)


def unfit(check: Check, outcome: Outcome) -> str | None:
    """What is wrong with a command that no bug is switched on for; none where it passes and tests something."""
    if not outcome.passed:
        return f"fails without a bug: {check.shown_as}\n{outcome.output}"
    if check.folder != ROOT and not re.search(r"ok\. [1-9]\d* passed", outcome.output):
        return f"tests nothing: {check.shown_as}"
    return None


def finder(bug: Bug, outcome: Outcome) -> str:
    """The first test that failed, or seed."""
    if seed := re.search(r"^(seed \d+ \w+): FAILED", outcome.output, re.MULTILINE):
        return seed[1]
    if test := re.search(r"^FAILED (\S+)", outcome.output, re.MULTILINE):
        return test[1].removeprefix("tests/")
    if test := re.search(r"^    (\S+)$", outcome.output.rpartition("failures:")[2], re.MULTILINE):
        return f"{' '.join(bug.check.shown_as.split()[:2])} {test[1]}"
    return f"{bug.check.shown_as}, which ended or hung without naming a test"


def hunt(bugs: Sequence[Bug], jobs: int) -> tuple[list[list[str]], list[str]]:
    """The catch table's rows, and the names of the bugs that survived."""
    rows, survivors = [], []
    with ThreadPoolExecutor(jobs) as workers:
        outcomes = workers.map(lambda bug: run(bug.check, **{bug.variable: bug.name}), bugs)
        for number, (bug, outcome) in enumerate(zip(bugs, outcomes, strict=True), 1):
            # A command of the simulator says with its exit code that it found something; tests fail by it as well.
            caught = "nothing" if outcome.passed else finder(bug, outcome)
            print(f"{number}/{len(bugs)} {bug.name}: {caught}", file=sys.stderr, flush=True)
            if outcome.passed:
                survivors.append(bug.name)
            rows.append([bug.rules, bug.name, bug.where, caught, f"{outcome.seconds:.1f}"])
    return rows, survivors


def table(rows: Sequence[Sequence[str]]) -> str:
    """The rows in columns, as Markdown."""
    rows = [["rule", "bug", "where", "caught by", "s"], *rows]
    widths = [max(len(row[column]) for row in rows) for column in range(5)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |" for row in rows
    ]
    lines.insert(1, "|" + "|".join("-" * (width + 2) for width in widths) + "|")
    return "\n".join(lines)


def without_a_bug(bugs: Sequence[Bug]) -> list[str]:
    """Rules of the specification that no bug breaks."""
    broken = {rule for bug in bugs for rule in bug.rules.split()}
    return [rule for rule in (f"R{number}" for number in range(1, RULES_MAX + 1)) if rule not in broken]


def main() -> int:
    """Prints the catch table; 1 where a bug survives or a rule has none."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs, or rules such as R21; none: all")
    parser.add_argument("--list", action="store_true", help="names the bugs, and runs nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at once")
    arguments = parser.parse_args()
    wanted = set(arguments.names)
    if missing := without_a_bug(every({})):
        sys.exit(f"no bug breaks {', '.join(missing)}: seed one")
    bugs = [bug for bug in every({}) if bug.is_among(wanted)]
    if not bugs:
        sys.exit(f"there is no bug or rule called {', '.join(sorted(wanted))}: --list names them")
    if not arguments.list and any(bug.variable == "SEEDED_BUG" for bug in bugs):
        bugs = [bug for bug in every(build()) if bug.is_among(wanted)]
    if arguments.list:
        print("\n".join(f"{bug.rules:12} {bug.name}" for bug in bugs))
        return 0
    checks = list(dict.fromkeys(bug.check for bug in bugs if bug.check.command[-1] != "tests/broken_rules.py"))
    with ThreadPoolExecutor(arguments.jobs) as workers:
        faults = [fault for fault in map(unfit, checks, workers.map(run, checks)) if fault]
    if faults:
        sys.exit("\n".join(faults))
    print(f"{len(checks)} commands pass without a bug", file=sys.stderr, flush=True)
    rows, survivors = hunt(bugs, arguments.jobs)
    print(table(rows))
    print(f"{len(rows) - len(survivors)} of {len(rows)} bugs caught")
    if survivors:
        print(f"survived: {', '.join(survivors)}: the tests have a hole there", file=sys.stderr)
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main())
