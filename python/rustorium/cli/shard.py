"""`shard list|show`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import GenesisOption, NetOption, NodeOption, TimeoutOption, TokenFileOption, client_of
from rustorium.cli.output import Format, Output, emit, emit_one

if TYPE_CHECKING:
    from rustorium.client import Client
    from rustorium.types import ShardFacts

group = typer.Typer(help="Show the shards of a net.", no_args_is_help=True)


@group.callback()
def shard() -> None:
    """Show the shards of a net."""


@group.command("list")
def list_(
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """List the shards: their accounts by the genesis, and how far each is by the nearest node."""
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit([_row(client, one) for one in client.shard_list()], output)


@group.command()
def show(
    which: Annotated[str, typer.Argument(help="A shard's number, or the address of an account that it has.")],
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Show a shard, by its number or by an account."""
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
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
