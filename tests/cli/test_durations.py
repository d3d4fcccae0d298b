"""Durations of options are written as 90s, 5m or 2h; a plain number counts seconds."""

import pytest
from cli_runner import Cli

from rustorium.cli.options import seconds
from rustorium.errors import UsageError


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("90s", 90.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("250ms", 0.25),
        (2.0, 2.0),
        ("90d", 7_776_000.0),
    ],
)
def test_durations(given: str | float, found: float) -> None:
    assert seconds(given) == found


@pytest.mark.parametrize("given", ["", "s", "-1", "1w", "0", "50ms", "nan", "1e3", "90 s", "91d"])
def test_what_is_no_duration_is_refused(given: str) -> None:
    with pytest.raises(UsageError, match="duration"):
        seconds(given)


@pytest.mark.parametrize("option", ["--timeout", "--timeout-s"])
def test_commands_take_them(cli: Cli, option: str) -> None:
    nowhere = ("status", "check", "--node", "http://127.0.0.1:1")
    assert "unreachable" in cli(*nowhere, option, "300ms").out
    cli(*nowhere, option, "soon").fails(2, "'soon' is not a duration", "such as 90s or 5m")
