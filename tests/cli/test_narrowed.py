"""A command line builds the parser of its own command or group, and of all commands where a reader may need them."""

import pytest
import typer

from rustorium.cli.app import GLOBAL_OPTIONS, app
from rustorium.cli.narrowed import narrowed


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("tx put a b", "tx"),
        ("tx --help", "tx"),
        ("query --account a k", "query"),
        ("--ca tx status check", "status"),
        ("--client-key=tx --ca status query k", "query"),
    ],
)
def test_a_line_builds_only_the_parser_of_its_command(line: str, word: str) -> None:
    group = typer.main.get_command(narrowed(app, line.split(), GLOBAL_OPTIONS))
    assert list(group.commands) == [word]
    assert group.name == typer.main.get_command(app).name


@pytest.mark.parametrize(
    "line", ["", "--help", "-h tx", "--version", "--version tx", "--nonsense tx", "pot", "--ca tx", "--", "-- tx"]
)
def test_help_of_the_program_and_wrong_words_see_all_commands(line: str) -> None:
    assert narrowed(app, line.split(), GLOBAL_OPTIONS) is app


def test_the_options_with_values_are_those_of_the_program() -> None:
    parameters = typer.main.get_command(app).params
    assert [one for option in parameters if not option.is_flag for one in option.opts] == list(GLOBAL_OPTIONS)
