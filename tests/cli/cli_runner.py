"""Runs the command line inside the test's process."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from rustorium.cli import main


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    def fails(self, code: int, *parts: str) -> None:
        """It ended with this code and one sentence that has these parts."""
        assert self.code == code, self
        assert self.out == ""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert lines[0].startswith("error: ")
        for part in parts:
            assert part in lines[0]


Cli = Callable[..., Ended]


def make_cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: object) -> Ended:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        code = ended.value.code
        return Ended(code if isinstance(code, int) else 1, out, err)

    return run
