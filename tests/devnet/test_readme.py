"""Everything in the README works."""

import json
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from rustorium.net.devnet import Devnet

README = (Path(__file__).resolve().parents[2] / "README.md").read_text()


@pytest.mark.nodes
def test_the_python_example(devnet: Devnet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (tmp_path / "net").symlink_to(devnet.root)
    (tmp_path / "example.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    run = runpy.run_path("example.py")
    assert run["shown"].receipt.ok


@pytest.mark.nodes
def test_the_commands_of_the_devnet(devnet: Devnet, tmp_path: Path) -> None:
    account = json.loads(devnet.path.read_text())["accounts"][0]
    (tmp_path / "net").symlink_to(devnet.root)
    lines = re.findall(r"^rustorium (.*net/devnet\.json.*)$", README, re.MULTILINE)
    assert len(lines) == 2
    for line in lines:
        words = shlex.split(line.replace("KEY_FILE", account["key_file"]).replace("ADDRESS", account["address"]))
        command = [sys.executable, "-m", "rustorium.cli", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
        assert done.returncode == 0, done.stderr
    assert "world" in done.stdout


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
