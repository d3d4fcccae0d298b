"""`block show`."""

from typing import Annotated

import typer

from rustorium.cli.options import GenesisOption, NetOption, NodeOption, TimeoutOption, TokenFileOption, client_of
from rustorium.cli.output import Format, Output, emit_one

group = typer.Typer(help="Show final blocks.", no_args_is_help=True)


@group.callback()
def block() -> None:
    """Show final blocks."""


@group.command()
def show(
    which: Annotated[str, typer.Argument(help="A height, a digest (hex), or latest.")] = "latest",
    verify: Annotated[bool, typer.Option(help="Check the block's certificate against the genesis.")] = True,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Show a final block after checking its certificate."""
    import msgspec

    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        found = client.block(int(which) if which.isdigit() else which)
        if verify:
            client.validate_block(found)
    row: dict[str, object] = msgspec.to_builtins(found)
    del row["raw"], row["proof"]
    emit_one(row | {"verified": verify}, output)
