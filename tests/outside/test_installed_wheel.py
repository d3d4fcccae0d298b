"""The node's wheel, installed on a clean environment, gets to a final transaction."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from wheel_start import first_transaction

pytestmark = pytest.mark.outside

ROOT = Path(__file__).resolve().parents[2]
PROCESSOR_S_MAX = 60.0
"""Thirty seconds of two cores. Processor time doesn't depend on the machine's other work."""


def wheel_of(folder: Path) -> Path:
    """Builds a wheel from the tests' compilation, which is linked at most once more."""
    line = [
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "-q",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        str(folder),
        str(ROOT),
    ]
    # Cargo compiles anew if its incremental state is wanted where it was not, or the other way round, so the wheel is
    # built as this environment was: `just build` keeps the state unless the variable says otherwise.
    variables = {"CARGO_INCREMENTAL": "1"} | os.environ
    done = subprocess.run(line, env=variables, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,) = folder.glob("*.whl")
    return wheel


def test_from_the_wheel_to_the_first_final_transaction(tmp_path: Path, figure: Callable[[str], None]) -> None:
    wheel = wheel_of(tmp_path / "wheels")
    assert "-cp311-abi3-" in wheel.name
    seconds = first_transaction(wheel, tmp_path)
    figure(f"from the wheel: {', '.join(f'{step} {value:.1f} s' for step, value in seconds.items())}")
    assert seconds["processor"] < PROCESSOR_S_MAX
