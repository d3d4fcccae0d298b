"""The tests tested: switches the seeded bugs on, one at a time, and shows which test finds each; 1 when one survives.

The bugs are patches: those of the Rust code are in `tools/seeded/*.diff` (`seeded_patches.py`), those of rules of the
Python core in `tests/broken_rules.py`. The tests were there before the bugs and know none. This copies the tree into a
folder of its own, with all patches applied, and builds the tests of the workspace there; runs what is to find the bugs
without any, where all must pass; and then for each bug what is to find it, which must fail.

`python tools/seeded_bugs.py [NAMES...]`: of these bugs only, or of these rules (`R21`). What came of a run is kept in
that folder, so that one that was stopped goes on, and what is unchanged isn't run again.
"""

import argparse
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from seeded_history import younger_than_their_bug
from seeded_pages import PAGE, page, rows_of, table
from seeded_patches import UnsoundTable, read_table, write_copy
from seeded_runs import ROOT, TIMEOUT_S, Bug, Check, RecordedOutcomes, finder, run, unfit

RULES = [f"R{number}" for number in range(1, 51) if number != 43]
"""Rules of docs/spec/consensus.md, which has no R43: each has a bug."""
SLOW = ("state", "native")
"""Crates whose tests would take too long unoptimized; for the others compiling is what takes long."""
PYTEST = (sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider")
VOTE_PATH = "storage vote_path"
SEEDS = "tests/broken_rules.py"
EXTENSION_TEST = "tests/build/test_seeded_bugs.py::test_the_extension_has_no_switch"


def target_folder() -> Path:
    """Returns the folder in which the tests are built and their results are kept."""
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


def try_the_extension() -> int:
    """Builds the extension as for a release, but with the bugs. Its test must find them; returns 1 otherwise."""
    os.environ |= {"PYO3_BUILD_EXTENSION_MODULE": "1", "PYO3_PYTHON": sys.executable}
    write_copy(copy_folder())
    [built] = [message for message in compile_with_bugs("build", "-p", "rustorium-native") if _is_extension(message)]
    check = Check(EXTENSION_TEST, (*PYTEST, EXTENSION_TEST), ROOT)
    without, with_bugs = run(check), run(check, EXTENSION=built["filenames"][0])
    if fault := unfit(check, without):
        sys.exit(fault)
    found = re.search(r"^E +(AssertionError.*)", with_bugs.output, re.MULTILINE)
    if with_bugs.passed or not found:
        sys.exit(f"{EXTENSION_TEST} takes an extension with the bugs in it for a release\n{with_bugs.output}")
    print(f"{EXTENSION_TEST} fails where the bugs are in the extension, as it should: {found[1]}")
    return 0


def _is_extension(message: dict[str, Any]) -> bool:
    return bool(message["target"]["name"] == "_native")


def rust_bugs(programs: dict[str, str]) -> Iterator[Bug]:
    """Returns the bugs in Rust code, with the tests that the table names."""
    patches = read_table()
    places = patches.places()
    tested = copy_folder() if programs else ROOT
    for rules, name, test in patches.rows:
        if test.startswith("tests/"):
            check = Check(test, (*PYTEST, *test.split()), ROOT, (programs.get(VOTE_PATH, ""),))
        else:
            crate, target, *filters = test.split()
            program = programs.get(f"{crate} {target}")
            if programs and program is None:
                sys.exit(f"{name}: there is no test target `{target}` of the crate `{crate}`")
            check = Check(test, (program or "", "--quiet", *filters), tested / "crates" / crate, (program or "",))
        yield Bug(rules, name, places[name], check, "SEEDED_BUG")


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
        yield Bug(name.split(":")[0], name, broken.where, Check(shown_as, command, ROOT), "BROKEN_RULE")


def every(programs: dict[str, str]) -> list[Bug]:
    """Returns all bugs, by rule; those outside the specification come last."""
    found = [*rust_bugs(programs), *python_bugs()]
    return sorted(found, key=lambda bug: (int(re.findall(r"\d+", f"{bug.rules} 99")[0]), bug.rules, bug.name))


def named_beside(bugs: Sequence[Bug]) -> list[str]:
    """Yields places in Rust code that name a bug: neither a test nor the code under test may know about bugs."""
    names = [f'"{bug.name}"' for bug in bugs if bug.variable == "SEEDED_BUG"]
    texts = {path.relative_to(ROOT): path.read_text() for path in sorted((ROOT / "crates").rglob("*.rs"))}
    return [f"{place} names {name}" for place, text in texts.items() for name in names if name in text]


def fail_without(bugs: Sequence[Bug], kept: RecordedOutcomes, jobs: int) -> list[str]:
    """Returns what is wrong with the commands while no bug is switched on."""
    checks = list(dict.fromkeys(bug.check for bug in bugs if bug.check.command[-1] != SEEDS))
    with ThreadPoolExecutor(jobs) as workers:
        faults = [fault for fault in map(unfit, checks, workers.map(kept.run, checks)) if fault]
    print(f"{len(checks) - len(faults)} of {len(checks)} commands pass without a bug", file=sys.stderr, flush=True)
    return faults


def hunt(bugs: Sequence[Bug], kept: RecordedOutcomes, jobs: int) -> tuple[list[list[str]], list[str]]:
    """The catch table's rows, and the names of the bugs that survived."""
    rows, survivors = [], []
    with ThreadPoolExecutor(jobs) as workers:
        outcomes = workers.map(lambda bug: kept.run(bug.check, **{bug.variable: bug.name}), bugs)
        for number, (bug, outcome) in enumerate(zip(bugs, outcomes, strict=True), 1):
            caught = finder(bug, outcome)
            if caught is None:
                survivors.append(bug.name)
            if not outcome.ended:
                caught = f"nothing: no end in {TIMEOUT_S} s"
            elif caught is None:
                caught = "nothing" if outcome.passed else "no test by name: the program ended"
            print(f"{number}/{len(bugs)} {bug.name}: {caught}", file=sys.stderr, flush=True)
            rows.append([bug.rules, bug.name, bug.where, caught, f"{outcome.seconds:.1f}"])
    return rows, survivors


def write_page(rows: Sequence[list[str]]) -> None:
    """Writes the rows into the page, beside those of other bugs that there still are."""
    before = rows_of(PAGE.read_text()) if PAGE.exists() else []
    known = {row[1]: row for row in [*before, *rows]}
    PAGE.write_text(page([known[bug.name] for bug in every({}) if bug.name in known]))


def without_a_bug(bugs: Sequence[Bug]) -> list[str]:
    """Rules of the specification that no bug breaks."""
    broken = {rule for bug in bugs for rule in bug.rules.split()}
    return [rule for rule in RULES if rule not in broken]


def asked_for() -> argparse.Namespace:
    """Returns the bugs that the command line names."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("names", nargs="*", metavar="NAME", help="bugs, or rules such as R21; none: all")
    parser.add_argument("--list", action="store_true", help="names the bugs, and runs nothing")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="commands at once")
    parser.add_argument("--anew", action="store_true", help="runs again what an earlier run has done")
    parser.add_argument("--extension", action="store_true", help="sees that the bugs would be noticed in the extension")
    parser.add_argument("--write", action="store_true", help=f"writes {PAGE.relative_to(ROOT)}, where none survived")
    return parser.parse_args()


def chosen(wanted: set[str]) -> list[Bug]:
    """The bugs with these names, or of these rules; ends with one sentence where the table isn't sound."""
    bugs = every({})
    if missing := without_a_bug(bugs):
        sys.exit(f"no bug breaks {', '.join(missing)}: seed one")
    if named := named_beside(bugs):
        sys.exit(f"{'; '.join(named)}: code and tests must not know of a bug")
    known = {word for bug in bugs for word in (bug.name, bug.rules, *bug.rules.split())}
    if unknown := sorted(wanted - known):
        sys.exit(f"there is no bug or rule called {', '.join(unknown)}: --list names them")
    return [bug for bug in bugs if bug.is_among(wanted)]


def main() -> int:
    """Prints the catch table; 1 where a bug survives or a test is younger than its bug."""
    arguments = asked_for()
    if arguments.extension:
        return try_the_extension()
    wanted = set(arguments.names)
    bugs = chosen(wanted)
    if arguments.list:
        print("\n".join(f"{bug.rules:12} {bug.name}" for bug in bugs))
        return 0
    if any(bug.variable == "SEEDED_BUG" for bug in bugs):
        bugs = [bug for bug in every(build()) if bug.is_among(wanted)]
    kept = RecordedOutcomes(target_folder() / "seeded-bugs.jsonl", arguments.anew)
    if faults := fail_without(bugs, kept, arguments.jobs):
        sys.exit("\n".join(faults))
    rows, survivors = hunt(bugs, kept, arguments.jobs)
    found = [(bug, row[3]) for bug, row in zip(bugs, rows, strict=True) if bug.name not in survivors]
    judged, young = younger_than_their_bug((bug.name, by) for bug, by in found)
    seconds = sum(float(row[4]) for row in rows)
    summary = f"{len(rows)} bugs, {len(found)} found, {len(survivors)} survived"
    print(table(rows))
    print("\n".join(young) or f"{judged} of the tests were looked up in the history: each is older than its bug")
    print(f"{summary}; {seconds:.0f} s in all commands")
    if survivors:
        print(f"survived: {', '.join(survivors)}: the tests have a hole there", file=sys.stderr)
    if arguments.write and not survivors and not young:
        write_page(rows)
    return int(bool(survivors or young))


if __name__ == "__main__":
    try:
        sys.exit(main())
    except UnsoundTable as fault:
        sys.exit(str(fault))
