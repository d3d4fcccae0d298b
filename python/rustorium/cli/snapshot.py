"""`snapshot list` and `snapshot create`."""

import typer

from rustorium.cli.options import AdminTokenOption, AdminUrlOption, HomeOption, ShardOption, plane_of
from rustorium.cli.output import Format, Output, emit, emit_one

group = typer.Typer(help="State snapshots that a running node offers its peers.", no_args_is_help=True)


@group.command("list")
def list_(
    home: HomeOption = None,
    shard: ShardOption = 0,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """List the snapshots that the node offers, newest first."""
    from rustorium.node.admin.socket import call

    emit(call(plane_of(home, admin_url, token_file), "snapshots", shard=shard), output, ["height", "time_ms"])


@group.command()
def create(
    home: HomeOption = None,
    shard: ShardOption = 0,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Offer a snapshot of the newest certified state now. Other nodes have no snapshot of this height."""
    from rustorium.node.admin.socket import call

    emit_one(call(plane_of(home, admin_url, token_file), "create_snapshot", timeout_s=30.0, shard=shard), output)
