"""Narrows the command line to the command or group that a line names, so that a command doesn't build the parsers of a
hundred others.

Invariants: help of the whole program, completion and wrong words see every command.
"""

from collections.abc import Collection, Sequence
from copy import copy

import typer


def narrowed(app: typer.Typer, line: Sequence[str], valued: Collection[str]) -> typer.Typer:
    """Returns `app` with only the command or group that `line` names; `app` itself if it names none of them.

    `valued`: global options that take a value."""
    name = command_word(line, valued)
    groups = [group for group in app.registered_groups if group.name == name]
    commands = [command for command in app.registered_commands if command.name == name]
    if not groups and not commands:
        return app
    part = copy(app)
    part.registered_groups, part.registered_commands = groups, commands
    return part


def command_word(line: Sequence[str], valued: Collection[str]) -> str | None:
    """Returns the first word that is neither a global option nor its value; `None` if there is none, or if an option
    without a value precedes it, such as `--help`."""
    words = iter(line)
    for word in words:
        if word in valued:
            next(words, None)
        elif word.partition("=")[0] not in valued:
            return None if word.startswith("-") else word
    return None
