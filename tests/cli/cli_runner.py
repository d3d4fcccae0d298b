"""Runs the command line inside the test's process."""

import re
from collections.abc import Callable
from dataclasses import dataclass

import pytest

from json_results import check
from rustorium.cli import main


@dataclass(frozen=True)
class CommandResult:
    """The result of a command."""

    code: int
    out: str
    err: str

    def fails(self, code: int, *parts: str) -> None:
        """Checks that the command ended with this exit code and one sentence with a stable code and these parts."""
        assert self.code == code, self
        assert self.out == ""
        lines = self.err.strip().splitlines()
        assert len(lines) == 1, self.err
        assert re.fullmatch(r"error: .* \[[a-z0-9_-]+\]", lines[0]), lines[0]
        for part in parts:
            assert part in lines[0]


Cli = Callable[..., CommandResult]


def make_cli(capsys: pytest.CaptureFixture[str]) -> Cli:
    def run(*arguments: object) -> CommandResult:
        capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            main([str(argument) for argument in arguments])
        out, err = capsys.readouterr()
        check([str(argument) for argument in arguments], out, err)
        code = ended.value.code
        return CommandResult(code if isinstance(code, int) else 1, out, err)

    return run
