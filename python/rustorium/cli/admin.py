"""`admin whoami`, `admin stop` and `admin token`."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import AdminTokenOption, AdminUrlOption, HomeOption, PassphraseOption, home_of, plane_of
from rustorium.cli.output import Format, Output, emit, emit_one, note

if TYPE_CHECKING:
    from rustorium.home.paths import Home

group = typer.Typer(help="A node's admin plane: who may use it, and which calls each may make.", no_args_is_help=True)
tokens = typer.Typer(
    help="Tokens for the admin plane and the gateway. Changes take effect at once.", no_args_is_help=True
)
group.add_typer(tokens, name="token")

NameArgument = Annotated[str, typer.Argument(help="The token's name.", show_default=False)]
COLUMNS = ["name", "id", "role", "gateway", "created_ms", "expires_ms", "expired"]
DAYS_MAX = 3650


@group.command()
def whoami(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Show the identity and role that a running node's admin plane assigns to the caller."""
    from rustorium.node.admin.socket import call

    emit_one(call(plane_of(home, admin_url, token_file), "whoami"), output)


@group.command()
def stop(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Stop a running node cleanly. Under `recover auto` or a service manager it may be started again."""
    from rustorium.node.admin.socket import call

    call(plane_of(home, admin_url, token_file), "stop")
    if output is not Format.table:
        emit_one({"stopping": True}, output)
    note("The node is stopping. It finishes its current work first.")


@tokens.command()
def create(
    name: Annotated[str, typer.Option("--name", help="The token's name in lists and in the audit log.")],
    role: Annotated[
        str | None,
        typer.Option(
            "--role", help="Role at the admin plane: read, operate or admin. Each includes the roles before it."
        ),
    ] = None,
    gateway: Annotated[
        str | None, typer.Option("--gateway", help="Role at the gateway: read, or submit, which includes read.")
    ] = None,
    expires: Annotated[
        str,
        typer.Option(
            "--expires", metavar="<duration>", help="When the token expires: 12h, 90d, up to 3650d, or never."
        ),
    ] = "90d",
    out: Annotated[
        Path | None, typer.Option("--out", help="Write the token to this new file (0600) instead of standard output.")
    ] = None,
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Create a token and show it once. A running node creates it. If the node is stopped, this command does so and
    signs the audit entry with the node key."""
    from rustorium.access.private import write_private
    from rustorium.node.admin.tokenwork import parse_token_request
    from rustorium.observe.watching import seconds_of

    life = None if expires == "never" else round(1000 * seconds_of(expires, "--expires", DAYS_MAX))
    arguments = {"name": name, "role": role, "gateway": gateway, "expires_in_ms": life}
    parse_token_request(arguments)
    if out is not None:
        # Fails early if the file can't be written: a token that nobody can read must not exist.
        write_private(out.expanduser(), "")
    try:
        made = _do("create_token", arguments, home, admin_url, token_file, passphrase_file)
    except BaseException:
        if out is not None:
            out.expanduser().unlink(missing_ok=True)
        raise
    if out is not None:
        out.expanduser().write_text(f"{made.pop('token')}\n")
        made["file"] = str(out)
    emit_one(made, output)
    note("Keep the token where only its user can read it. It isn't shown again.")


@tokens.command("list")
def list_(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """List the tokens, without their secrets."""
    emit(_do("tokens", {}, home, admin_url, token_file, None), output, COLUMNS)


@tokens.command()
def revoke(
    name: NameArgument,
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Revoke a token. Its user can no longer connect, and its open connections end."""
    emit_one(_do("revoke_token", {"name": name}, home, admin_url, token_file, passphrase_file), output)


def _do(
    operation: str,
    arguments: Mapping[str, Any],
    home: Path | None,
    admin_url: str | None,
    token_file: Path | None,
    passphrase_file: Path | None,
) -> Any:
    """Asks the running node; if none runs, does the work here. Errors: RustoriumError, NativeError."""
    from rustorium.errors import NotReady
    from rustorium.node.admin.remote import NO_NODE
    from rustorium.node.admin.socket import call

    plane = plane_of(home, admin_url, token_file)
    try:
        return call(plane, operation, **arguments)
    except NotReady as error:
        if not isinstance(plane, Path) or error.code != NO_NODE:
            raise
    return _at_rest(operation, arguments, home_of(home), passphrase_file)


def _at_rest(operation: str, arguments: Mapping[str, Any], home: "Home", passphrase_file: Path | None) -> Any:
    """Does the work in the home of a stopped node. Errors: RustoriumError, NativeError."""
    from rustorium.node.admin.tokenwork import run_without_node

    home.load_config()
    return run_without_node(home, operation, arguments, passphrase_file, os.environ, time.time_ns() // 1_000_000)
