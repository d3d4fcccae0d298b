"""Whether each test that finds a seeded bug is older than the bug, by the history of the repository.

Invariants: a bug is as old as the newest commit that put its name into the code; a test is older if the commit before
that one has it. What can't be told from the history (a seed of the simulator: no one test) isn't judged.
"""

import re
import subprocess
from collections.abc import Iterable
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def _git(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)


def _has(commit: str, pattern: str, folder: str) -> bool:
    return _git("grep", "-q", "-E", pattern, commit, "--", folder).returncode == 0


@cache
def seeded_in(name: str, folder: str) -> str | None:
    """The commit that brought the bug; none where it isn't committed yet."""
    needle = f'"{name}"'
    changed = _git("log", "--format=%H", "-S", needle, "--", folder).stdout.split()
    pattern = re.escape(needle)
    return next((c for c in changed if _has(c, pattern, folder) and not _has(f"{c}^", pattern, folder)), None)


def _test(caught_by: str) -> tuple[str, str] | None:
    """How the test is written, and in which folder it is."""
    if caught_by.startswith("seed "):
        return None
    if "::" in caught_by and ".py" in caught_by:
        return rf"def {caught_by.rpartition('::')[2].partition('[')[0]}\b", "tests"
    crate, _, path = caught_by.split()
    return rf"fn {path.rpartition('::')[2]}\b", f"crates/{crate}"


def younger_than_their_bug(found: Iterable[tuple[str, str, str]]) -> tuple[int, list[str]]:
    """Of bugs with their folders and the tests that caught them: how many could be judged, and which are too young."""
    judged, young = 0, []
    for name, folder, caught_by in found:
        commit, test = seeded_in(name, folder), _test(caught_by)
        if commit is None or test is None:
            continue
        judged += 1
        if not _has(f"{commit}^", *test):
            young.append(f"{name}: {caught_by} is younger than the bug, which came with {commit[:10]}")
    return judged, young
