"""Runs the check that should find a seeded bug: the command, its result, and what is kept for the next time.

Invariants: a run is kept under a hash of all that it depends on, so that a kept one is never about other code; a
command that doesn't end is stopped with all that it started, and has found nothing: a test has to fail, not to hang.
"""

import hashlib
import json
import os
import re
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from threading import Lock

ROOT = Path(__file__).resolve().parents[1]
TIMEOUT_S = 300
OUTPUT_MAX = 20_000
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
    programs: tuple[str, ...] = ()
    """The program that was compiled for it."""

    @property
    def is_rust(self) -> bool:
        """Returns whether this is a program of Rust tests."""
        return self.folder != ROOT

    def depends_on(self) -> str:
        """A hash of the code that it runs."""
        parts = [_digest(Path(program)) for program in self.programs]
        return hashlib.sha256("".join([*parts, "" if self.is_rust else _python()]).encode()).hexdigest()


@dataclass(frozen=True)
class Bug:
    """A seeded bug."""

    rules: str
    name: str
    where: str
    check: Check
    variable: str

    def is_among(self, wanted: set[str]) -> bool:
        """Returns whether the bug has this name or breaks this rule."""
        return not wanted or bool(wanted & {self.name, self.rules, *self.rules.split()})


@dataclass(frozen=True)
class Outcome:
    """Result of a command: whether it passed, whether it ended at all, its duration, and its last output."""

    passed: bool
    ended: bool
    seconds: float
    output: str


@cache
def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@cache
def _python() -> str:
    """Returns a hash over all Python files: there are few, and they are read quickly."""
    files = sorted(path for folder in ("python", "tests") for path in (ROOT / folder).rglob("*.py"))
    return hashlib.sha256("".join(_digest(path) for path in files).encode()).hexdigest()


class RecordedOutcomes:
    """The outcomes so far, in a file with a line for each."""

    def __init__(self, path: Path, anew: bool) -> None:
        self._path, self._lock = path, Lock()
        self._known: dict[str, Outcome] = {}
        path.parent.mkdir(parents=True, exist_ok=True)
        if anew:
            path.unlink(missing_ok=True)
        for line in path.read_text().splitlines() if path.exists() else ():
            entry = json.loads(line)
            key = entry.pop("key")
            self._known[key] = Outcome(**entry)

    def run(self, check: Check, **bug: str) -> Outcome:
        """Returns the result of the command, with a bug or without; runs it if the result isn't known."""
        key = hashlib.sha256(repr((check.shown_as, check.depends_on(), bug)).encode()).hexdigest()
        if known := self._known.get(key):
            return known
        outcome = run(check, **bug)
        with self._lock, self._path.open("a") as file:
            file.write(json.dumps({"key": key, **asdict(outcome)}) + "\n")
        return outcome


def run(check: Check, **bug: str) -> Outcome:
    """Runs the command, with a bug or without."""
    environment = {**os.environ, **PROPTEST, "CARGO_MANIFEST_DIR": str(check.folder), **bug}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests")])
    started = time.monotonic()
    with subprocess.Popen(
        check.command,
        cwd=check.folder,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        start_new_session=True,
    ) as process:
        try:
            output, _ = process.communicate(timeout=TIMEOUT_S)
            ended = True
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            output, _ = process.communicate()
            ended = False
    return Outcome(process.returncode == 0, ended, round(time.monotonic() - started, 1), output[-OUTPUT_MAX:])


def unfit(check: Check, outcome: Outcome) -> str | None:
    """Returns what is wrong with a command while no bug is switched on; empty if it passes and tests something."""
    if not outcome.ended:
        return f"no end in {TIMEOUT_S} s without a bug: {check.shown_as}"
    if not outcome.passed:
        return f"fails without a bug: {check.shown_as}\n{outcome.output}"
    if check.is_rust and not re.search(r"ok\. [1-9]\d* passed", outcome.output):
        return f"tests nothing: {check.shown_as}"
    return None


def finder(bug: Bug, outcome: Outcome) -> str | None:
    """The first test that failed, or seed; none where the bug survived."""
    if outcome.passed or not outcome.ended:
        return None
    if seed := re.search(r"^(seed \d+ \w+): FAILED", outcome.output, re.MULTILINE):
        return seed[1]
    if test := re.search(r"^(?:FAILED|ERROR) (\S+)", outcome.output, re.MULTILINE):
        return test[1].removeprefix("tests/")
    if test := re.search(r"^    (\S+)$", outcome.output.rpartition("failures:")[2], re.MULTILINE):
        return f"{' '.join(bug.check.shown_as.split()[:2])} {test[1]}"
    return None
