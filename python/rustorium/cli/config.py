"""`config show`."""

import os
from typing import Annotated

import typer

from rustorium.cli.options import HomeOption, home_of
from rustorium.cli.output import Format, Output, emit

group = typer.Typer(help="Show a node's configuration.", no_args_is_help=True)


@group.callback()
def config() -> None:
    """Show a node's configuration."""


@group.command()
def show(
    home: HomeOption = None,
    origin: Annotated[bool, typer.Option("--origin", help="Show where each value comes from.")] = False,
    output: Output = Format.table,
) -> None:
    """Show every key with its effective value, after config.toml and environment variables are applied."""
    rows = home_of(home).load_config(os.environ).rows()
    emit(
        [{"key": key, "value": value} | ({"origin": source} if origin else {}) for key, value, source in rows],
        output,
    )
