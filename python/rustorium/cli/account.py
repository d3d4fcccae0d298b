"""`account create` makes the account of a new key."""

from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import (
    GenesisOption,
    KeyOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    key_of,
)
from rustorium.cli.output import Format, Output, emit_one
from rustorium.cli.tx import WaitOption, submitted_row

group = typer.Typer(help="Make accounts.", no_args_is_help=True)
STORAGE_BYTES = 1 << 20


@group.callback()
def account() -> None:
    """Make accounts."""


@group.command()
def create(
    file: Annotated[
        Path, typer.Argument(help="Key file that `keys new` made, or the file to which it printed with -o json.")
    ],
    key: KeyOption,
    storage_bytes: Annotated[
        int,
        typer.Option("--storage-bytes", min=0, help="Bytes of keys and values that it may store, taken from --key's."),
    ] = STORAGE_BYTES,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Make the account of a new key, so that it can send transactions. The account of --key gives it storage.

    Only the public part of the new key is read, so its holder needs to hand over nothing secret."""
    from rustorium.client import wait_of
    from rustorium.client.operations import create_account

    reached = wait_of(wait)
    address, public_key, region = _account_of(file.expanduser())
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        done = client.send([create_account(region, public_key, storage_bytes)], key=signer, wait=reached)
    emit_one({"address": address, "storage_bytes": storage_bytes} | submitted_row(done), output)


def _account_of(file: Path) -> tuple[str, str, int]:
    """Returns address, public key and region from a key file or its JSON. Errors: UsageError, KeyFileError."""
    import os

    from rustorium.client.keys import describe
    from rustorium.errors import KeyFileError, UsageError
    from rustorium.net.parties import read_holder

    try:
        found = describe(file, None, os.environ)
    except KeyFileError as error:
        if error.code != "key-invalid":
            raise
        holder = read_holder(file)
        return holder.address, holder.public_key, holder.region
    if "address" not in found:
        raise UsageError(f"{file} is the key of a {found['kind']}, not of an account: make one with `keys new`")
    return str(found["address"]), str(found["public_key"]), int(str(found["region"]))
