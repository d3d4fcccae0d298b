"""The `cli` fixture, in an environment without Rustorium's variables."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli, make_cli
from status_answers import ANSWER

from rustorium.net.probe import silent, status_of


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


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """Makes nodes answer over HTTP; `None` is a node that doesn't answer. Returns the options that name the nodes."""

    def make(*answers: dict[str, Any] | None) -> list[str]:
        said = [
            silent(f"http://n{i}", "refused") if answer is None else status_of(ANSWER | {"node": f"node-{i}"} | answer)
            for i, answer in enumerate(answers)
        ]
        monkeypatch.setattr(
            "rustorium.net.probe.ask", lambda endpoints, timeout_s, token=None, tls=None: said[: len(endpoints)]
        )
        return [word for i in range(len(answers)) for word in ("--node", f"http://n{i}")]

    return make
