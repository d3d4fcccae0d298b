"""What a command prints comes out of a pipe while the command runs on."""

import json
import os
import subprocess
import sys
from pathlib import Path


def test_a_line_comes_at_once(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    log.write_text(json.dumps({"ts": 1, "level": "info", "target": "t", "event": "began", "node": "node-0"}) + "\n")
    command = [sys.executable, "-m", "rustorium.cli", "logs", "aggregate", str(log), "--follow", "-o", "jsonl"]
    # With this variable Python buffers nothing, on whatever machine sets it.
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(command, env=variables, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "began"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()
