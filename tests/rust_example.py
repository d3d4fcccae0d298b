"""The programs in the crates' `examples` that tests run on homes."""

import json
import os
import subprocess
import sys
from pathlib import Path

from disk_layer import ROOT


def rust_example(name: str) -> Path:
    """Returns the program that the environment names (`VOTE_PATH`), or else builds it from the crates that `just test`
    has compiled by then."""
    if built := os.environ.get(name.upper()):
        return Path(built)
    exports = subprocess.run(
        [sys.executable, ROOT / "tools/build/backend.py"], check=True, capture_output=True, text=True
    ).stdout
    build = f"cargo build --release --locked --workspace --exclude rustorium-native --example {name}"
    command = ["bash", "-ec", f"{exports}\n{build} --message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True)
    artifacts = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    [program] = [found["executable"] for found in artifacts if found.get("executable")]
    return Path(program)
