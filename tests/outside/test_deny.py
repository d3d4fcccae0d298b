"""Bans, licences and sources of all Rust dependencies (deny.toml)."""

import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.outside
def test_rust_dependencies_are_allowed() -> None:
    command = ["cargo-deny", "--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
