"""The `cli` fixture, in an environment without Rustorium's variables."""

import os
from pathlib import Path

import pytest
from cli_runner import Cli, make_cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in [name for name in os.environ if name.startswith("RUSTORIUM_")]:
        monkeypatch.delenv(name)
    return make_cli(capsys)


@pytest.fixture
def passphrase(tmp_path: Path) -> Path:
    path = tmp_path / "secret"
    path.touch(0o600)
    path.write_text("correct horse\n")
    return path
