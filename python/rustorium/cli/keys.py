"""`keys new`, `keys show` and `keys rotate`."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import AdminTokenOption, AdminUrlOption, HomeOption, PassphraseOption, plane_of
from rustorium.cli.output import Format, Output, emit_one, progress

group = typer.Typer(help="Make and show account keys; rotate a node's storage keys.", no_args_is_help=True)


@group.command()
def new(
    file: Annotated[Path, typer.Argument(help="Key file to make; it must not exist.")],
    region: Annotated[str, typer.Option("--region", help="The account's home region: its name, or its byte.")] = "0",
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Make a new account key, sealed with a passphrase."""
    from rustorium.client import Key
    from rustorium.home import new_passphrase
    from rustorium.regions import parse_region

    byte = parse_region(region)
    key = Key.generate(byte)
    key.save(file.expanduser(), new_passphrase(passphrase_file, os.environ))
    emit_one({"address": key.address, "public_key": key.public_key, "region": byte, "key_file": str(file)}, output)


@group.command()
def show(
    file: Annotated[Path, typer.Argument(help="Key file of an account or node.")],
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Show a key file's kind, public key and address, never its secret."""
    from rustorium.client.keys import describe

    emit_one(describe(file.expanduser(), passphrase_file, os.environ), output)


@group.command()
def rotate(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Seal all that a running node has stored anew, under a new key version. It goes on when this command is ended."""
    from rustorium.node.rotation import rotate as rotate_node

    with progress("rows sealed anew") as advance:
        emit_one(rotate_node(plane_of(home, admin_url, token_file), advance), output)
