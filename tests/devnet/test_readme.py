"""Each example and command in the README works."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.mark.nodes
def test_the_python_example(devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "net").symlink_to(devnet.root)
    (tmp_path / "example.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    run = runpy.run_path("example.py")
    assert run["shown"].receipt.ok


def output(words: list[str], folder: Path) -> str:
    """Runs a command that must succeed; returns its output."""
    command = [sys.executable, "-m", "rustorium.cli", *words]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.nodes
def test_the_commands_of_the_devnet(devnet: Devnet, tmp_path: Path) -> None:
    account = json.loads(devnet.path.read_text())["accounts"][0]
    (tmp_path / "net").symlink_to(devnet.root)
    lines = re.findall(r"^rustorium (.*net/devnet\.json.*)$", README, re.MULTILINE)
    assert len(lines) == 2
    real = [line.replace("KEY_FILE", account["key_file"]).replace("ADDRESS", account["address"]) for line in lines]
    assert "world" in [output(shlex.split(line), tmp_path) for line in real][-1]


def masked(line: str) -> str:
    """Returns a line of output without the parts that differ between nets: ids, addresses, times, numbers and which of
    the validators signed."""
    line = re.sub(r"^(signed by +)[34] of 4 validators(: node-\d|, node-\d)+$", r"\1a quorum", line)
    return " ".join(re.sub(r"rs1\w+|\S+T\S+Z|[0-9a-f]{16,}|\d+", "#", line).split())


@pytest.mark.nodes
def test_the_transcript(devnet_factory: DevnetFactory, tmp_path: Path) -> None:
    (text,) = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    _, *steps = [part.splitlines() for part in text.split("$ ")[1:]]
    assert [step[0].split()[0] for step in steps] == ["rustorium", "rustorium", "kill", "rustorium"]
    net = devnet_factory(nodes=4, accounts=1)
    (tmp_path / "net").symlink_to(net.root)
    (account,) = json.loads(net.path.read_text())["accounts"]
    for line, *shown in steps:
        if line.startswith("kill -9 "):
            net.kill(3)
            continue
        words = shlex.split(re.sub(r"rs1\w+", account["address"], line))
        told = [masked(one) for one in output(words[1:], tmp_path).splitlines()]
        expected = [masked(one) for one in shown]
        if expected[-1] == "…":
            expected.pop()
            told = told[: len(expected)]
        assert told == expected


def test_the_commands_of_the_table() -> None:
    rows = re.findall(r"^\| [a-z ]+ \| (`.*`) \|$", README, re.MULTILINE)
    commands = [name.split() for row in rows for name in re.findall(r"`([^`]+)`", row)]
    assert ["tx", "put"] in commands
    from typer.testing import CliRunner

    from rustorium.cli.app import app

    for command in commands:
        result = CliRunner().invoke(app, [*command, "--help"])
        assert result.exit_code == 0, command
        assert "Usage:" in result.output
