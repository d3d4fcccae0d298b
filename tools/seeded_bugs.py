"""The tests tested: switches the seeded bugs on, one at a time, and shows which test finds each; 1 when one survives.

The bugs are patches: those of the Rust code are in `tools/seeded/*.diff` (`seeded_patches.py`), those of rules of the
Python core in `tests/broken_rules.py`. The tests know none of them. This copies the tree into a folder of its own, with
all patches applied, and builds the tests of the workspace there; runs what is to find the bugs without any, where all
must pass; and then for each bug what is to find it, which must fail.

`python tools/seeded_bugs.py [NAMES...]`: of these bugs only, or of these rules (`R21`).
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from seeded_patches import UnsoundTable, read_table, write_copy
from seeded_runs import ROOT, TIMEOUT_S, Bug, Check, finder, run, unfit

PAGE = ROOT / "docs" / "seeded-bugs.md"
HEAD = "| rule | bug | caught by |\n|---|---|---|\n"
SLOW = ("state", "native")
"""Crates whose tests would take too long unoptimized; for the others compiling is what takes long."""
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
VOTE_PATH = "storage vote_path"
SEEDS = "tests/broken_rules.py"


def target_folder() -> Path:
    """Returns the folder in which the tests are built."""
    sys.path.insert(0, str(ROOT / "tools" / "build"))
    from backend import CACHE

    return Path(os.environ.get("SEEDED_BUGS_TARGET_DIR") or CACHE / "target-seeded-bugs")


def copy_folder() -> Path:
    """The copy of the tree that has the bugs."""
    return target_folder() / "tree"


def compile_with_bugs(*arguments: str) -> list[dict[str, Any]]:
    """Cargo's messages on what was compiled of the copy, as for the release."""
    target = target_folder()
    from backend import build_environment

    environment = {**os.environ, **build_environment(), "CARGO_TARGET_DIR": str(target)}
    command = ["cargo", arguments[0], "--release", "--locked", *arguments[1:]]
    command += ["--message-format", "json-render-diagnostics"]
    done = subprocess.run(command, cwd=copy_folder(), env=environment, stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        sys.exit("it did not compile with the bugs in it: cargo's messages above say why")
    messages = map(json.loads, done.stdout.splitlines())
    return [message for message in messages if message["reason"] == "compiler-artifact"]


def build() -> dict[str, str]:
    """Builds the tests with the bugs in them: the program of each target, by `crate target`."""
    write_copy(copy_folder())
    fast = [path.parent.name for path in sorted((ROOT / "crates").glob("*/Cargo.toml"))]
    levels = [f"profile.release.package.rustorium-{crate}.opt-level=0" for crate in fast if crate not in SLOW]
    options = ["--workspace", "--exclude", "rustorium-native", "--exclude", "rustorium-fuzz"]
    options += [word for level in levels for word in ("--config", level)]
    # `cargo test --example` would make a program of its tests, of which it has none.
    made = compile_with_bugs("test", "--no-run", "--tests", *options)
    made += compile_with_bugs("build", "--example", "vote_path", *options)
    programs = {}
    for message in made:
        if message["executable"]:
            name = "lib" if "lib" in message["target"]["kind"] else message["target"]["name"]
            programs[f"{Path(message['manifest_path']).parent.name} {name}"] = message["executable"]
    os.environ["VOTE_PATH"] = programs[VOTE_PATH]  # for tests/disk, which else compiles one without bugs
    return programs


def rust_bugs(programs: dict[str, str]) -> Iterator[Bug]:
    """Returns the bugs in Rust code, with the tests that the table names."""
    tested = copy_folder() if programs else ROOT
    for rules, name, test in read_table().rows:
        if test.startswith("tests/"):
            check = Check(test, (*PYTEST, *test.split()), ROOT)
        else:
            crate, target, *filters = test.split()
            program = programs.get(f"{crate} {target}")
            if programs and program is None:
                sys.exit(f"{name}: there is no test target `{target}` of the crate `{crate}`")
            check = Check(test, (program or "", "--quiet", *filters), tested / "crates" / crate)
        yield Bug(rules, name, check, "SEEDED_BUG")


def python_bugs() -> Iterator[Bug]:
    """Rules of the Python core and of the model of its data plane that aren't kept."""
    sys.path.insert(0, str(ROOT / "tests"))
    from breaking import Seeds
    from broken_rules import RULES

    for name, broken in RULES.items():
        if isinstance(broken.shown_by, Seeds):
            shown_as = f"seeds of {broken.shown_by.mode.value} from {broken.shown_by.first} on"
            command: tuple[str, ...] = (sys.executable, SEEDS)
        else:
            shown_as = broken.shown_by
            command = (*PYTEST, "-p", "broken_rules", shown_as)
        yield Bug(name.split(":")[0], name, Check(shown_as, command, ROOT), "BROKEN_RULE")


def every(programs: dict[str, str]) -> list[Bug]:
    """Returns all bugs, by rule; those outside the specification come last."""
    found = [*rust_bugs(programs), *python_bugs()]
    return sorted(found, key=lambda bug: (int(re.findall(r"\d+", f"{bug.rules} 99")[0]), bug.rules, bug.name))


def named_beside(bugs: Sequence[Bug]) -> list[str]:
    """Returns the places in Rust code that name a bug: neither a test nor the code under test may know about bugs."""
    names = [f'"{bug.name}"' for bug in bugs if bug.variable == "SEEDED_BUG"]
    texts = {path.relative_to(ROOT): path.read_text() for path in sorted((ROOT / "crates").rglob("*.rs"))}
    return [f"{place} names {name}" for place, text in texts.items() for name in names if name in text]


def fail_without(bugs: Sequence[Bug], jobs: int) -> list[str]:
    """Returns what is wrong with the commands while no bug is switched on."""
    checks = list(dict.fromkeys(bug.check for bug in bugs if bug.check.command[-1] != SEEDS))
    with ThreadPoolExecutor(jobs) as workers:
        faults = [fault for fault in map(unfit, checks, workers.map(run, checks)) if fault]
    print(f"{len(checks) - len(faults)} of {len(checks)} commands pass without a bug", file=sys.stderr, flush=True)
    return faults


def hunt(bugs: Sequence[Bug], jobs: int) -> tuple[list[tuple[str, str, str]], list[str]]:
    """Returns the catch table's rows, and the names of the bugs that survived."""
    rows, survivors = [], []
    with ThreadPoolExecutor(jobs) as workers:
        outcomes = workers.map(lambda bug: run(bug.check, **{bug.variable: bug.name}), bugs)
        for number, (bug, outcome) in enumerate(zip(bugs, outcomes, strict=True), 1):
            caught = finder(bug, outcome)
            if caught is None:
                survivors.append(bug.name)
            if not outcome.ended:
                caught = f"nothing: no end in {TIMEOUT_S} s"
            elif caught is None:
                caught = "nothing" if outcome.passed else "no test by name: the program ended"
            print(f"{number}/{len(bugs)} {bug.name}: {caught}", file=sys.stderr, flush=True)
            rows.append((bug.rules, bug.name, caught))
    return rows, survivors


def table(rows: Sequence[tuple[str, str, str]]) -> str:
    """Returns the rows as a Markdown table."""
    return HEAD + "".join(f"| {rule} | {bug} | `{by}` |\n" for rule, bug, by in rows)


def rows_of(text: str) -> list[tuple[str, str, str]]:
    """Returns the rows of a page."""
    cells = [[cell.strip(" `") for cell in line.split("|")] for line in text.partition(HEAD)[2].splitlines()]
    return [(rule, bug, by) for _, rule, bug, by, _ in cells]


def page(rows: Sequence[tuple[str, str, str]], day: str) -> str:
    """Returns the page of the documentation."""
    return f"""\
# Seeded bugs

These {len(rows)} bugs are put into the code on purpose, one at a time, and a test must find each
([why](reliability.md#the-tests-tested)). Each would fork the chain, forge something, lose money or data, or leak a key.
`just seeded-bugs --write` found each of them, the newest on {day}. Names of rules are those of
[the specification](spec/consensus.md).

{table(rows)}"""


def write_page(rows: Sequence[tuple[str, str, str]]) -> None:
    """Writes the rows into the page, beside those of other bugs that still exist."""
    known = {row[1]: row for row in [*rows_of(PAGE.read_text()), *rows]}
    kept = [known[bug.name] for bug in every({}) if bug.name in known]
    PAGE.write_text(page(kept, datetime.now(UTC).date().isoformat()))


def asked_for() -> argparse.Namespace:
    """Returns the bugs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs, or rules such as R21; none: all")
    parser.add_argument("--list", action="store_true", help="names the bugs, and runs nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at once")
    parser.add_argument("--write", action="store_true", help=f"writes {PAGE.relative_to(ROOT)}, where none survived")
    return parser.parse_args()


def chosen(wanted: set[str]) -> list[Bug]:
    """The bugs with these names, or of these rules; ends with one sentence where the table isn't sound."""
    bugs = every({})
    if named := named_beside(bugs):
        sys.exit(f"{'; '.join(named)}: code and tests must not know of a bug")
    known = {word for bug in bugs for word in (bug.name, bug.rules, *bug.rules.split())}
    if unknown := sorted(wanted - known):
        sys.exit(f"there is no bug or rule called {', '.join(unknown)}: --list names them")
    return [bug for bug in bugs if bug.is_among(wanted)]


def main() -> int:
    """Prints the catch table; returns 1 if a bug survives."""
    arguments = asked_for()
    wanted = set(arguments.names)
    bugs = chosen(wanted)
    if arguments.list:
        print("\n".join(f"{bug.rules:12} {bug.name}" for bug in bugs))
        return 0
    if any(bug.variable == "SEEDED_BUG" for bug in bugs):
        bugs = [bug for bug in every(build()) if bug.is_among(wanted)]
    if faults := fail_without(bugs, arguments.jobs):
        sys.exit("\n".join(faults))
    rows, survivors = hunt(bugs, arguments.jobs)
    print(table(rows) + f"{len(rows)} bugs, {len(rows) - len(survivors)} found, {len(survivors)} survived")
    if survivors:
        print(f"survived: {', '.join(survivors)}: the tests have a hole there", file=sys.stderr)
    elif arguments.write:
        write_page(rows)
    return int(bool(survivors))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UnsoundTable as fault:
        sys.exit(str(fault))
