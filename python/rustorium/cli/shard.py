"""`shard list|show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.output import Format, Output, emit, emit_one
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.client import Client
    from rustorium.types import ShardFacts

group = typer.Typer(help="Show the shards of a net.", no_args_is_help=True)


@group.callback()
def shard() -> None:
    """Show the shards of a net."""


@group.command("list")
@shared_options
def list_(
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List the shards: their accounts by the genesis, and how far each is by the nearest node."""
    with reaching.client() as client:
        emit([_row(client, one) for one in client.shard_list()], output)


@group.command()
@shared_options
def show(
    which: Annotated[str, typer.Argument(help="A shard's number, or the address of an account that it has.")],
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Show a shard, by its number or by an account."""
    with reaching.client() as client:
        number = int(which) if which.isdecimal() else client.shard_of(which)
        client.in_shard(number)
        found = client.shard_list()[number]
        emit_one(_row(client, found) | {"members": list(found.members)}, output)


def _row(client: "Client", found: "ShardFacts") -> dict[str, object]:
    from rustorium.errors import RustoriumError

    row: dict[str, object] = {
        "shard": found.shard,
        "from_account": found.from_account,
        "to_account": found.to_account,
        "members": len(found.members),
    }
    try:
        status = client.in_shard(found.shard).status()
    except RustoriumError as error:
        return row | {"height": None, "epoch": None, "state": str(error)}
    return row | {"height": status.executed, "epoch": status.epoch, "state": "ready" if status.ready else "not ready"}
