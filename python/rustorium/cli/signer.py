"""`signer init`, `signer run`, `signer adopt` and `signer show`: keys in a separate process."""

import os
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import PassphraseOption
from rustorium.cli.output import Format, Output, emit, emit_one, note

group = typer.Typer(
    help="Keep keys in a separate process, which signs nothing that contradicts an earlier signature.",
    no_args_is_help=True,
)
StateOption = Annotated[Path, typer.Option("--state", help="Folder of the signer's records, on a durable disk.")]
ValidatorOption = Annotated[
    str, typer.Option("--validator", help="The validator's key file, or a pkcs11: URI of a key in a token.")
]


@group.command()
def init(
    state: StateOption,
    validator: ValidatorOption,
    adopt: Annotated[
        bool,
        typer.Option("--adopt", help="The key has signed before: take over what its node's journal shows."),
    ] = False,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Create the record of what a validator key signs, once for each key. The signer doesn't start without it."""
    from rustorium.home.signing import create_record

    emit_one(create_record(state, validator, adopt, passphrase_file, os.environ), output)
    note("next: `rustorium-node signer run`, and url and key in the section [signer] of the node's config.toml")


@group.command()
def run(
    socket: Annotated[
        Path, typer.Option("--socket", help="Socket to listen on; set the node's signer.url to unix:SOCKET.")
    ],
    state: StateOption,
    genesis: Annotated[list[Path], typer.Option("--genesis", help="Genesis file of a chain to sign for; repeat.")],
    validator: Annotated[
        list[str] | None, typer.Option("--validator", help="Key file or pkcs11: URI of a validator key; repeat.")
    ] = None,
    account: Annotated[
        list[str] | None, typer.Option("--account", help="Key file or pkcs11: URI of an account's key; repeat.")
    ] = None,
    allow_user: Annotated[
        list[int] | None,
        typer.Option("--allow-user", help="Numeric id of another user whose processes may connect; repeat."),
    ] = None,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Sign for nodes and clients on a Unix socket until Ctrl-C or SIGTERM. Only processes of this user may connect."""
    from rustorium.home.signing import open_signer

    signer, rows = open_signer(
        socket, state, genesis, validator or [], account or [], allow_user or [], passphrase_file, os.environ
    )
    emit(rows, output, ["role", "public_key", "source"])
    note(f"listens at {socket}")
    signer.run_until_signal()


@group.command()
def adopt(
    state: StateOption,
    validator: ValidatorOption,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Let the signer trust what the next node's journal shows, after an old copy of the record was restored. Use it
    only if no other node has used the key since, and stop the signer first."""
    from rustorium.home.signing import adopt_record

    emit_one(adopt_record(state, validator, passphrase_file, os.environ), output)


@group.command()
def show(
    state: StateOption,
    validator: ValidatorOption,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Show the record of a validator key. The signer must be stopped."""
    from rustorium.home.signing import show_record

    emit(show_record(state, validator, passphrase_file, os.environ), output)
