"""Checks by the repository's history that each test that finds a seeded bug is older than the bug.

Invariants: a bug is as old as the newest commit that brought its name into the crates or the patches when neither had
it; a test is older if the commit before that one has it. What can't be told from the history (a seed of the simulator:
no one test) isn't judged.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r'seeded::bug\("([^"]+)"|^.\s*"([^"]+)": _(?:seeds|tests)\(')
FUNCTION = re.compile(r"^[0-9a-f]+\^:(?P<path>[^:]+):(?:fn|def) (?P<name>\w+)$")


def _git(*arguments: str) -> list[str]:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@cache
def brought_by() -> dict[str, str]:
    """The commit that brought each bug, by the bug's name."""
    patches = ["log", "--reverse", "--format=commit %H", "-p", "-U0", "-G", r"seeded::bug|_seeds\(|_tests\("]
    there: Counter[str] = Counter()
    changed: Counter[str] = Counter()
    origin: dict[str, str] = {}
    commit = ""
    for line in [*_git(*patches, "--", "crates", "tools/seeded", "tests/broken_rules.py"), "commit "]:
        if line.startswith("commit "):
            origin |= {name: commit for name, by in changed.items() if there[name] == 0 < by}
            there.update(changed)
            changed, commit = Counter(), line.removeprefix("commit ")
        for found in NAMED.finditer(line):
            changed[found[1] or found[2]] += {"+": 1, "-": -1}.get(line[:1], 0)
    return origin


@cache
def functions_before(commit: str) -> set[tuple[str, str]]:
    """The functions that there were before the commit, each with the crate, or `tests`, that it is in."""
    found = map(FUNCTION.match, _git("grep", "-o", "-E", r"(fn|def) \w+", f"{commit}^", "--", "crates", "tests"))
    places = ((match["path"].split("/"), match["name"]) for match in found if match)
    return {(path[1] if path[0] == "crates" else "tests", name) for path, name in places}


def _test(caught_by: str) -> tuple[str, str] | None:
    """Returns a test's file and the name of its function."""
    if caught_by.startswith("seed "):
        return None
    if ".py::" in caught_by:
        return "tests", caught_by.rpartition("::")[2].partition("[")[0]
    crate, _, path = caught_by.split()
    return crate, path.rpartition("::")[2]


def younger_than_their_bug(found: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """Returns how many pairs of a bug and its test could be judged, and the tests that are younger than their bug."""
    judged, young = 0, []
    for name, caught_by in found:
        commit, test = brought_by().get(name), _test(caught_by)
        if commit is None or test is None:
            continue
        judged += 1
        if test not in functions_before(commit):
            young.append(f"{name}: {caught_by} is younger than the bug, which came with {commit[:10]}")
    return judged, young
