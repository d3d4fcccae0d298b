"""`status check`."""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    EVERY,
    AdminUrlOption,
    HomeOption,
    NetOption,
    NodeOption,
    NodeTimeoutOption,
    duration,
    home_of,
    net_of,
    plane_of,
    tls_of,
    token_of,
)
from rustorium.cli.output import Format, Output, clear, emit, show

if TYPE_CHECKING:
    from rustorium.access.bearer import Tokens
    from rustorium.access.netfile import Net
    from rustorium.health.verdict import Verdict
    from rustorium.home.paths import Home
    from rustorium.node.admin.remote import Remote
    from rustorium.types import NodeStatus

group = typer.Typer(help="Show node health.", no_args_is_help=True)
COLUMNS = [
    "node",
    "role",
    "ready",
    "height",
    "view",
    "executed",
    "claimed",
    "peers_up",
    "pool_transactions",
    "durability",
    "release",
    "home_format",
]
wait = time.sleep
"""Waits between two checks; tests replace it."""


@group.callback()
def status() -> None:
    """Show node health."""


@group.command()
def check(
    home: HomeOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: Annotated[
        Path | None,
        typer.Option(
            "--token-file",
            help="File (0600) with the token for --admin-url, or otherwise for the node that is asked; or a line "
            "`URL rsk_…` for each of them. Default: RUSTORIUM_ADMIN_TOKEN_FILE, RUSTORIUM_TOKEN_FILE.",
        ),
    ] = None,
    timeout_s: NodeTimeoutOption = 3.0,
    watch: Annotated[bool, typer.Option("--watch", help="Repeat the check until Ctrl-C.")] = False,
    every_s: Annotated[float, duration(*EVERY, text="Time between two checks, such as 2s.")] = 2.0,
    output: Output = Format.table,
) -> None:
    """Check one node by its admin plane (--home, --admin-url), nodes over HTTP (--net, --node), or both. Shows whether
    they and the net are healthy, why not, and what to do. Exit code 0: all is well; 1: it works, but something needs
    attention; 5: not ready, or nobody answers."""
    from rustorium.health.verdict import worst

    plane = plane_of(home, admin_url, token_file) if admin_url is not None else None
    look = _looker(plane or home, net, node or [], timeout_s, token_of(token_file, admin_url))
    while True:
        statuses, nets, nodes = look()
        _print(statuses, nets, nodes, output, again=watch)
        if not watch:
            raise typer.Exit(int(worst((*nets, *nodes))))
        wait(every_s)


Look = Callable[[], "tuple[list[NodeStatus], list[Verdict], list[Verdict]]"]


def _looker(
    home: "Path | Remote | None", net: Path | None, nodes: Sequence[str], timeout_s: float, token: "Tokens | None"
) -> Look:
    """Returns the function that checks. It returns the reports, the verdicts on the net and on its shards besides shard
    0, and those on the nodes in order. Errors: UsageError, HomeMissing."""
    from rustorium.errors import HomeMissing
    from rustorium.health.verdict import of_net, of_node, of_shards
    from rustorium.home.paths import Home, default_home
    from rustorium.net.probe import ask

    found = net_of(net) if not nodes and (net is not None or home is None) else None
    endpoints = list(nodes) or (found.endpoints if found is not None else [])
    tls = tls_of(found)
    own: Home | Remote | None = None
    if home is None and not endpoints and default_home(os.environ) is None:
        raise HomeMissing(
            "neither a net nor a home is named: give --net or --home, or set RUSTORIUM_NET or RUSTORIUM_HOME"
        )
    if home is None or isinstance(home, Path):
        own = _known(home_of(home)) if home is not None or not endpoints else None
    else:
        own = home

    def look() -> "tuple[list[NodeStatus], list[Verdict], list[Verdict]]":
        mine, advice = _own(own, timeout_s) if own is not None else (None, "")
        others = [_named(one, found) for one in ask(endpoints, timeout_s, token, tls)] if endpoints else []
        known = [(mine, str(own.path) if isinstance(own, Home) else own.url)] if mine and own else []
        known += [
            (one, url) for one, url in zip(others, endpoints, strict=True) if mine is None or not _same(one, mine)
        ]
        statuses, places = [one for one, _ in known], [place for _, place in known]
        asked = found is not None
        nets = [of_net(statuses, all_asked=asked, places=places), *of_shards(statuses, all_asked=asked)]
        return statuses, nets, [of_node(one, advice if one is mine else "") for one in statuses]

    return look


def _same(one: "NodeStatus", mine: "NodeStatus") -> bool:
    """Checks that both are reports of one node. Nodes of different chains may have one name."""
    return one.node == mine.node and (not one.chain or not mine.chain or one.chain == mine.chain)


def _named(one: "NodeStatus", net: "Net | None") -> "NodeStatus":
    """Gives a node that doesn't answer, and so doesn't say its name, the name that the net's file has for it."""
    name = next((node.name for node in net.nodes if node.http == one.node), "") if net is not None else ""
    if one.chain or not name:
        return one
    reason = f"{one.node} {one.reason}"
    return replace(one, node=name, reason=reason, raw=one.raw | {"node": name, "reason": reason})


def _known(home: "Home") -> "Home":
    """Checks that the home exists. Errors: HomeMissing."""
    from rustorium.errors import HomeMissing

    if not home.config.is_file():
        raise HomeMissing(f"{home.path} is not a node's home, because it has no config.toml: name another with --home")
    return home


def _own(node: "Home | Remote", timeout_s: float) -> "tuple[NodeStatus, str]":
    from rustorium.errors import AccessRefused, NotReady
    from rustorium.home.format import look
    from rustorium.home.paths import Home
    from rustorium.net.probe import silent, status_of
    from rustorium.node.admin.socket import call

    if isinstance(node, Home):
        mine, advice = _of_home(node, timeout_s)
        return replace(mine, raw=mine.raw | {"home_format": look(node.path).format}), advice
    try:
        return status_of(call(node, "status", timeout_s=timeout_s)), ""
    except (NotReady, AccessRefused) as error:
        return silent(node.url, error.message), "look at it on its own machine: `status check --home`"


def _of_home(home: "Home", timeout_s: float) -> "tuple[NodeStatus, str]":
    """Returns a node's status and the next step. If it doesn't run, the status comes from its supervisor or its last
    end."""
    from rustorium.errors import NotReady
    from rustorium.net.probe import silent, status_of
    from rustorium.node.admin.socket import call
    from rustorium.node.recovery.state import last_end, supervisor_state

    try:
        return status_of(call(home.admin_socket, "status", timeout_s=timeout_s)), ""
    except NotReady as error:
        state, hangs = supervisor_state(home), error.code == "node-hangs"
    if state is not None:
        said = silent(str(home.path), str(state.get("reason") or "it is not up yet"))
        reason = f"`recover auto` {state['state']}: {said.reason}"
        do = f"`rustorium-node recover manual --dry-run --home {home.path}` says what is known and what would be done"
        return replace(said, reason=reason, raw=said.raw | {"reason": reason, "recovery": state}), do
    if hangs:
        said = silent(str(home.path), f"it takes questions and has answered none for {timeout_s:g} s")
        return said, "it hangs: restart it, and report its log"
    if (end := last_end(home)) is not None:
        said = silent(str(home.path), f"it doesn't run: it ended with {end[0]}, {end[1]}")
        return said, f"`rustorium-node recover manual --home {home.path}` says what heals it, and does it"
    said = silent(str(home.path), "it doesn't run")
    return said, f"start it with `rustorium-node start --home {home.path}`, or under `recover auto`"


def _print(
    statuses: "list[NodeStatus]", nets: "list[Verdict]", nodes: "list[Verdict]", output: Format, *, again: bool
) -> None:
    # A node that didn't answer has no height; 0 would look like a height.
    rows = [
        {name: getattr(one, name) if one.chain or name in ("node", "ready") else None for name in COLUMNS}
        for one in statuses
    ]
    if output is Format.table:
        if again:
            clear()
        show(_screen([*nets, *nodes]))
        print()
        emit(rows, output, COLUMNS)
        return
    seen = {"at_ms": time.time_ns() // 1_000_000} if again else {}
    network = nets[0].as_json()
    if others := nets[1:]:
        network["shards"] = [{"shard": int(one.subject.split()[1]), **one.as_json()} for one in others]
    emit(
        [
            seen | (one.raw or row) | verdict.as_json() | {"network": network}
            for one, row, verdict in zip(statuses, rows, nodes, strict=True)
        ],
        output,
    )


def _screen(verdicts: "list[Verdict]") -> Iterator[tuple[str, str]]:
    width = max(len(verdict.subject) for verdict in verdicts)
    for verdict in verdicts:
        level = verdict.level
        yield f"{verdict.subject:<{width}}  {level.words:<9}  {verdict.summary}", "bad" if level else "good"
        for problem in verdict.problems:
            yield f"  {problem.code}: {problem.evidence}", ""
            yield f"    do: {problem.advice}", ""
