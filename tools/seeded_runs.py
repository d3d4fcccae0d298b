"""Runs the check that should find a seeded bug: the command and its result.

Invariants: a command that doesn't end is stopped with all that it started, and has found nothing: a test has to fail,
not to hang.
"""

import os
import re
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

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

    @property
    def is_rust(self) -> bool:
        """Returns whether this is a program of Rust tests."""
        return self.folder != ROOT


@dataclass(frozen=True)
class Bug:
    """A seeded bug."""

    rules: str
    name: str
    check: Check
    variable: str

    def is_among(self, wanted: set[str]) -> bool:
        """Returns whether the bug has this name or breaks this rule."""
        return not wanted or bool(wanted & {self.name, self.rules, *self.rules.split()})


@dataclass(frozen=True)
class Outcome:
    """Result of a command: whether it passed, whether it ended at all, and its last output."""

    passed: bool
    ended: bool
    output: str


def run(check: Check, **bug: str) -> Outcome:
    """Runs the command, with a bug or without."""
    environment = {**os.environ, **PROPTEST, "CARGO_MANIFEST_DIR": str(check.folder), **bug}
    environment["PYTHONPATH"] = os.pathsep.join([str(ROOT / "python"), str(ROOT / "tests")])
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
    return Outcome(process.returncode == 0, ended, output[-OUTPUT_MAX:])


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
