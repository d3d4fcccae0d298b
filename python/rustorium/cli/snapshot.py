"""`snapshot list` and `snapshot create`."""

import typer

from rustorium.cli.options import HomeOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one

group = typer.Typer(help="Snapshots of the state that a running node offers its peers.", no_args_is_help=True)


@group.command("list")
def list_(home: HomeOption = None, output: Output = Format.table) -> None:
    """Show the snapshots that the node offers, newest first."""
    from rustorium.node.admin import call

    emit(call(home_of(home).admin_socket, "snapshots"), output, ["height", "time_ms"])


@group.command()
def create(home: HomeOption = None, output: Output = Format.table) -> None:
    """Offer the newest certified state now, at a height at which only this node has a snapshot."""
    from rustorium.node.admin import call

    emit_one(call(home_of(home).admin_socket, "create_snapshot", timeout_s=30.0), output)
