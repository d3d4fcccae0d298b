"""`followers add`, `followers list` and `followers remove`: nodes that may follow this one."""

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from rustorium.cli.options import AdminTokenOption, AdminUrlOption, HomeOption, home_of, plane_of
from rustorium.cli.output import Format, Output, emit, note

group = typer.Typer(
    help="Nodes outside the committee that may follow a node: they receive the whole chain.",
    no_args_is_help=True,
)
COLUMNS = ["node_key", "named_in"]
KeyArgument = Annotated[
    str, typer.Argument(help="The follower's node key, as its `init` prints it.", show_default=False)
]


@group.command("list")
def list_(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """List the node keys that are allowed to follow this node by name."""
    emit(_do("followers", None, home, admin_url, token_file), output, COLUMNS)


@group.command("add")
def add_(
    node_key: KeyArgument,
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Allow a node to follow this one. Its connection slot is reserved, however many others connect."""
    emit(_do("add_follower", node_key, home, admin_url, token_file), output, COLUMNS)


@group.command("remove")
def remove_(
    node_key: KeyArgument,
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Stop a node from following this one, and close its link. A node named in `config.toml` stays allowed."""
    rows = _do("remove_follower", node_key, home, admin_url, token_file)
    emit(rows, output, COLUMNS)
    if any(row["node_key"] == node_key.lower() for row in rows):
        note("config.toml names this key, so it stays allowed. Remove it from p2p.followers and restart the node.")


def _do(
    operation: str, node_key: str | None, home: Path | None, admin_url: str | None, token_file: Path | None
) -> list[dict[str, Any]]:
    """Asks the running node; if none runs, changes its home. Errors: RustoriumError."""
    from rustorium.errors import NotReady
    from rustorium.home.followers import parse
    from rustorium.node.admin.remote import NO_NODE
    from rustorium.node.admin.socket import call

    arguments: dict[str, Any] = {} if node_key is None else {"node_key": parse(node_key)}
    plane = plane_of(home, admin_url, token_file)
    try:
        rows: list[dict[str, Any]] = call(plane, operation, **arguments)
        return rows
    except NotReady as error:
        if not isinstance(plane, Path) or error.code != NO_NODE:
            raise
    return _at_rest(operation, arguments, home)


def _at_rest(operation: str, arguments: dict[str, Any], home: Path | None) -> list[dict[str, Any]]:
    from rustorium.home.followers import AllowedFollowers, add, remove

    found = home_of(home)
    allowed = AllowedFollowers(found.followers, found.load_config().config.p2p.followers_named)
    changes: dict[str, Callable[[Path, str], list[str]]] = {"add_follower": add, "remove_follower": remove}
    change = changes.get(operation)
    return list(allowed.rows() if change is None else allowed.change(change, arguments["node_key"]))
