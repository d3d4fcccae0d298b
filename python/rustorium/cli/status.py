"""`status check`."""

from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import HomeOption, NetOption, NodeOption, home_of, net_of
from rustorium.cli.output import Format, Output, emit

if TYPE_CHECKING:
    from rustorium.types import NodeStatus

group = typer.Typer(help="See how nodes are.", no_args_is_help=True)
COLUMNS = [
    "node",
    "role",
    "ready",
    "reason",
    "height",
    "view",
    "executed",
    "claimed",
    "peers_up",
    "pool_transactions",
    "durability",
    "attention",
]


@group.callback()
def status() -> None:
    """See how nodes are."""


@group.command()
def check(
    home: HomeOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    timeout_s: Annotated[float, typer.Option("--timeout-s", min=0.1, help="Per node, seconds.")] = 3.0,
    output: Output = Format.table,
) -> None:
    """Ask a node by its admin socket (--home), or nodes over HTTP (--net, --node). Exit code 5: one isn't ready, or its
    validator key is retired."""
    from rustorium.client.probe import ask, status_of

    found = net_of(net) if home is None and not node else None
    if node or found is not None:
        endpoints = node or (found.endpoints if found is not None else [])
        statuses: list[NodeStatus] = ask(endpoints, timeout_s)
    else:
        from rustorium.node.admin import call

        statuses = [status_of(call(home_of(home).admin_socket, "status", timeout_s=timeout_s))]
    rows = [{name: getattr(one, name) for name in COLUMNS} | {"chain": one.chain} for one in statuses]
    if output is Format.table:
        emit(rows, output, COLUMNS)
    else:
        emit([one.raw or row for one, row in zip(statuses, rows, strict=True)], output)
    if not all(one.ready and not one.retired for one in statuses):
        raise typer.Exit(5)
