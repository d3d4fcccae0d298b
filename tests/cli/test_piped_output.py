"""What a command prints comes out of a pipe while the command runs on."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ENDED_BY_THE_READER = 141
"""As of a program that SIGPIPE ends."""


def without_the_variable() -> dict[str, str]:
    """With PYTHONUNBUFFERED Python buffers nothing, on whatever machine sets it."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}


def test_a_line_comes_at_once(tmp_path: Path) -> None:
    log = tmp_path / "node.log"
    log.write_text(json.dumps({"ts": 1, "level": "info", "target": "t", "event": "began", "node": "node-0"}) + "\n")
    command = [sys.executable, "-m", "rustorium.cli", "logs", "aggregate", str(log), "--follow", "-o", "jsonl"]
    process = subprocess.Popen(command, env=without_the_variable(), stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["event"] == "began"
        assert process.poll() is None
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("line", ["--version", "schema"], ids=["a line", "more than a buffer"])
def test_a_reader_that_has_gone_is_no_failure_to_report(line: str) -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "rustorium.cli", line]
    ended = subprocess.run(
        command, env=without_the_variable(), stdout=write, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(write)
    assert (ended.returncode, ended.stderr) == (ENDED_BY_THE_READER, "")


@pytest.mark.parametrize("line", ["--version", "schema"], ids=["a line", "more than a buffer"])
def test_a_full_disk_is_one_sentence(line: str) -> None:
    command = [sys.executable, "-m", "rustorium.cli", line]
    with open("/dev/full", "w") as full:
        ended = subprocess.run(
            command, env=without_the_variable(), stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )
    said = (
        "error: the output can't be written (No space left on device): free some space and run it again [disk-full]\n"
    )
    assert (ended.returncode, ended.stderr) == (1, said)
