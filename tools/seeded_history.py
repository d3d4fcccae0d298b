"""Checks by the repository's history that each test that finds a seeded bug is older than the bug.

Invariants: a bug is as old as the newest commit that brought its name into the crates or the patches when neither had
it; a test is older if the commit before that one has it, also under a former name or in another crate. What can't be
told from the history (a seed of the simulator: no one test) isn't judged.
"""

import re
import subprocess
from collections import Counter
from collections.abc import Iterable
from functools import cache
from itertools import chain
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
NAMED = re.compile(r'seeded::bug\("([^"]+)"|^.\s*"([^"]+)": _(?:seeds|tests)\(')
TABLES = ("tests/broken_rules.py", "tests/broken_client_rules.py")
FUNCTION = re.compile(r"^[0-9a-f]+\^:(?P<path>[^:]+):(?:fn|def) (?P<name>\w+)$")
CHANGED = re.compile(r"^(?P<sign>[-+])\s*(?:pub(?:\([^)]*\))? |async )*(?:fn|def) (?P<name>\w+)")


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
    for line in [*_git(*patches, "--", "crates", "tools/seeded", *TABLES), "commit "]:
        if line.startswith("commit "):
            origin |= {name: commit for name, by in changed.items() if there[name] == 0 < by}
            there.update(changed)
            changed, commit = Counter(), line.removeprefix("commit ")
        for found in NAMED.finditer(line):
            changed[found[1] or found[2]] += {"+": 1, "-": -1}.get(line[:1], 0)
    return origin


def renames(lines: Iterable[str]) -> dict[str, set[str]]:
    """Returns the former names of each function by the lines of diffs without context, oldest commit first.

    A place of a diff that replaces as many functions as it adds renames them, in their order.
    """
    former: dict[str, set[str]] = {}
    gone: list[str] = []
    come: list[str] = []
    for line in chain(lines, ["@@"]):
        if line.startswith("@@"):
            if len(gone) == len(come):
                for old, new in zip(gone, come, strict=True):
                    if old != new:
                        former.setdefault(new, set()).update({old}, former.get(old, ()))
            gone, come = [], []
        elif found := CHANGED.match(line):
            (gone if found["sign"] == "-" else come).append(found["name"])
    return former


@cache
def former_names() -> dict[str, set[str]]:
    """The former names of each function of the crates and the tests."""
    return renames(_git("log", "--reverse", "--format=", "-p", "-U0", "-G", r"(fn|def) ", "--", "crates", "tests"))


@cache
def functions_before(commit: str) -> set[tuple[str, str]]:
    """The functions that there were before the commit, each with `crates` or `tests`, where it is."""
    found = map(FUNCTION.match, _git("grep", "-o", "-E", r"(fn|def) \w+", f"{commit}^", "--", "crates", "tests"))
    return {(match["path"].partition("/")[0], match["name"]) for match in found if match}


def _test(caught_by: str) -> tuple[str, str] | None:
    """Returns `crates` or `tests`, where a test is, and the name of its function."""
    if caught_by.startswith("seed "):
        return None
    if ".py::" in caught_by:
        return "tests", caught_by.rpartition("::")[2].partition("[")[0]
    _, _, path = caught_by.split()
    return "crates", path.rpartition("::")[2]


def younger_than_their_bug(found: Iterable[tuple[str, str]]) -> tuple[int, list[str]]:
    """Returns how many pairs of a bug and its test could be judged, and the tests that are younger than their bug."""
    judged, young = 0, []
    for name, caught_by in found:
        commit, test = brought_by().get(name), _test(caught_by)
        if commit is None or test is None:
            continue
        judged += 1
        names = {test[1]} | former_names().get(test[1], set())
        if not any((test[0], older) in functions_before(commit) for older in names):
            young.append(f"{name}: {caught_by} is younger than the bug, which came with {commit[:10]}")
    return judged, young
