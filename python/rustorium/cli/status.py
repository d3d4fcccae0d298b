"""`status check`."""

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import HomeOption, NetOption, NodeOption, home_of, net_of
from rustorium.cli.output import Format, Output, emit

if TYPE_CHECKING:
    from rustorium.home import Home
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
    """Ask a node by its admin socket (--home), or nodes over HTTP (--net, --node): are they well, why not, what to do.
    Exit code 5: one isn't ready, or its validator key is retired."""
    from rustorium.client.probe import ask

    found = net_of(net) if home is None and not node else None
    if node or found is not None:
        endpoints = node or (found.endpoints if found is not None else [])
        statuses: list[NodeStatus] = ask(endpoints, timeout_s)
    else:
        statuses = [_of_home(home_of(home), timeout_s)]
    rows = [{name: getattr(one, name) for name in COLUMNS} | {"chain": one.chain} for one in statuses]
    if output is Format.table:
        emit(rows, output, COLUMNS)
        _explain(statuses)
    else:
        emit([one.raw or row for one, row in zip(statuses, rows, strict=True)], output)
    if not all(one.ready and not one.retired for one in statuses):
        raise typer.Exit(5)


def _of_home(home: "Home", timeout_s: float) -> "NodeStatus":
    """What the node says, or its supervisor while it doesn't run. Errors: NotReady where there is neither."""
    from rustorium.client.probe import silent, status_of
    from rustorium.errors import NotReady
    from rustorium.node.admin import call

    try:
        return status_of(call(home.admin_socket, "status", timeout_s=timeout_s))
    except NotReady:
        from rustorium.node.recoverystate import at_work

        state = at_work(home)
        if state is None:
            raise
        said = silent(str(home.path), str(state.get("reason") or "it is not up yet"))
        return replace(
            said, reason=f"`recover auto` {state['state']}: {said.reason}", raw=said.raw | {"recovery": state}
        )


def _explain(statuses: "list[NodeStatus]") -> None:
    """What is wrong, and what to do."""
    found = [
        {"node": status.node, "code": one.code, "severity": one.severity, "evidence": one.evidence, "do": one.advice}
        for status in statuses
        for one in status.findings
    ]
    if found:
        print()
        emit(found, Format.table)
