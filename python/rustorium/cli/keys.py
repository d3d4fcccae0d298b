"""`keys new`, `keys show`, `keys rotate` and `keys rotation`."""

import os
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli import authority
from rustorium.cli.options import (
    AdminTokenOption,
    AdminUrlOption,
    HomeOption,
    OutOption,
    PassphraseOption,
    home_of,
    named_out,
    plane_of,
)
from rustorium.cli.output import Format, Output, emit_one

group = typer.Typer(help="Create and show account keys; replace a node's keys and passphrases.", no_args_is_help=True)


@group.command()
def new(
    file: Annotated[
        Path | None, typer.Argument(help="Key file to create; it must not exist. Or name it by --out.")
    ] = None,
    out: OutOption = None,
    region: Annotated[str, typer.Option("--region", help="Home region of the account: a name or a byte.")] = "0",
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Create a new account key, encrypted with a passphrase."""
    from rustorium.access.passphrases import new_passphrase
    from rustorium.client import Key
    from rustorium.errors import FileExists
    from rustorium.regions import parse_region

    path, byte = named_out(file, out), parse_region(region)
    if path.exists():
        raise FileExists(path)
    key = Key.generate(byte)
    key.save(path, new_passphrase(passphrase_file, os.environ))
    emit_one({"address": key.address, "public_key": key.public_key, "region": byte, "key_file": str(path)}, output)


@group.command()
def show(
    file: Annotated[Path, typer.Argument(help="Key file of an account or node.")],
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Show a key file's kind, public key and address, never its secret."""
    from rustorium.client.keys import describe

    emit_one(describe(file.expanduser(), passphrase_file, os.environ), output)


class RotationTarget(StrEnum):
    """The key or passphrase that `keys rotate` replaces."""

    rows = "rows"
    master = "master"
    backup = "backup"
    passphrase = "passphrase"


@group.command()
def rotate(
    what: Annotated[
        RotationTarget,
        typer.Argument(
            help="rows: the key that encrypts rows, under the same storage.key; master: storage.key itself; "
            "backup: backup.key; passphrase: the passphrase of key files."
        ),
    ] = RotationTarget.rows,
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    key: Annotated[
        Path | None,
        typer.Option(
            "--key", help="With passphrase: a key file, or a folder of them. With backup: the backup key's file."
        ),
    ] = None,
    passphrase_file: PassphraseOption = None,
    new_passphrase_file: Annotated[
        Path | None,
        typer.Option(
            "--new-passphrase-file", help="File (0600) with the new passphrase. Default: a random one is generated."
        ),
    ] = None,
    discard_old: Annotated[
        bool, typer.Option("--discard-old", help="With backup: destroy the previous key, which backup.key replaced.")
    ] = False,
    from_: Annotated[
        str | None,
        typer.Option("--from", help="With --discard-old: refuse if a backup there still needs the previous key."),
    ] = None,
    signer_apart: Annotated[
        bool,
        typer.Option(
            "--signer-apart",
            help="With passphrase: the signer's key file has another passphrase, or the key is in a token.",
        ),
    ] = False,
    output: Output = Format.table,
) -> None:
    """Replace a key of a node, or a passphrase. The key for rows is replaced while the node runs, and that work goes on
    when this command ends. After an interruption, run the same command again to continue."""
    from rustorium.cli import rotating

    if what is RotationTarget.rows:
        emit_one(rotating.rows(plane_of(home, admin_url, token_file)), output)
    elif what is RotationTarget.master:
        emit_one(rotating.master(home_of(home), passphrase_file), output)
    elif what is RotationTarget.backup:
        file = key if key is not None else home_of(home).path / "backup.key"
        emit_one(rotating.backup(file, home, passphrase_file, discard_old, from_), output)
    else:
        place = key.expanduser() if key is not None else home_of(home).path
        emit_one(rotating.passphrase(place, passphrase_file, new_passphrase_file, signer_apart), output)


@group.command()
def rotation(
    home: HomeOption = None,
    admin_url: AdminUrlOption = None,
    token_file: AdminTokenOption = None,
    output: Output = Format.table,
) -> None:
    """Show the progress of a running node's rotation: rows, then table files, then the safety journal, then the old
    key."""
    from rustorium.node.admin.socket import call

    emit_one(call(plane_of(home, admin_url, token_file), "rotation"), output)


group.add_typer(authority.group, name="authority")
