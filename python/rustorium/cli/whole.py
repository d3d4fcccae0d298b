"""Wraps commands that need the node: in an installation of the client alone, they explain how to install it.

Invariants: the extension is imported only when a command runs.
"""

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

import typer

P = ParamSpec("P")
T = TypeVar("T")


def needing_node(command: Callable[P, T]) -> Callable[P, T]:
    """Wraps a command so that it raises NativeError `node-missing` in an installation without the node."""

    @wraps(command)
    def checked(*arguments: P.args, **named: P.kwargs) -> T:
        from rustorium._native import Node  # noqa: F401  (its absence is the error)

        return command(*arguments, **named)

    return checked


def group_needing_node(group: typer.Typer) -> typer.Typer:
    """Wraps each command of a group."""
    for command in group.registered_commands:
        if command.callback is not None:
            command.callback = needing_node(command.callback)
    return group
