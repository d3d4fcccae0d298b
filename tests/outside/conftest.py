"""The linearizability checker of this folder, built with Go."""

import subprocess
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program that is built from `linearizability/`."""
    program = tmp_path_factory.mktemp("checker") / "linearizability"
    command = ["go", "build", "-buildvcs=false", "-o", str(program), "."]
    folder = Path(__file__).with_name("linearizability")
    built = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert built.returncode == 0, built.stderr
    return program
