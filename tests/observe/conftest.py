"""Makes the `cli` fixture available in this folder, too."""

import os
import sys
from pathlib import Path

import pytest

sys.path.append(str(Path(__file__).parents[1] / "cli"))
from cli_runner import Cli, make_cli


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Cli:
    for name in [name for name in os.environ if name.startswith("RUSTORIUM_")]:
        monkeypatch.delenv(name)
    return make_cli(capsys)
