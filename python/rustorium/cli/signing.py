"""`tx sign` and `tx combine`: several keys sign one transaction in a file.

Invariants: a key signs only after everything that it signs was shown, and only what counts for the account by the
proven state, except with --offline.
"""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

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
    net_of,
)
from rustorium.cli.output import Format, Output, emit_one, note
from rustorium.cli.sending import signing_row

if TYPE_CHECKING:
    from rustorium.client import SigningFile

FileArgument = Annotated[Path, typer.Argument(help="File that a command made with --unsigned.")]


def sign(
    file: FileArgument,
    key: KeyOption,
    yes: Annotated[bool, typer.Option("--yes", help="Sign without asking.")] = False,
    offline: Annotated[
        bool,
        typer.Option(
            "--offline",
            help="Ask no node: compare only the chain with the genesis. The authority is not compared with the "
            "account's.",
        ),
    ] = False,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Add a key's signature to a transaction in a file. It shows every operation and asks first.

    It refuses a file of another chain, one whose keys aren't the account's by the newest proven state, and one whose
    nonce was used or whose time is over."""
    from rustorium.client import SigningFile
    from rustorium.errors import UsageError

    found = SigningFile.read(file)
    for line in found.words:
        note(line)
    if offline:
        _check_chain(found, net, genesis)
    else:
        with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
            client.check_file(found)
    if not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: read what it signs above, and give --yes")
    if not yes and not typer.confirm("Sign this?", err=True):
        raise UsageError("nothing is signed, as you answered: run the command again to sign")
    signer = key_of(key, passphrase_file)
    signed = found.sign(signer)
    if signed is found:
        note(f"The key {signer.public_key} has signed it already.")
    else:
        signed.replace(file)
    _say_next(signed, file)
    emit_one(signing_row(signed, file), output)


def combine(
    files: Annotated[list[Path], typer.Argument(help="Copies of one file, each with signatures.", metavar="FILE")],
    out: Annotated[Path, typer.Option("--out", help="The new file with the signatures of all.")],
    output: Output = Format.table,
) -> None:
    """Put the signatures in copies of one file together."""
    from rustorium.access.files import write_new
    from rustorium.client import SigningFile

    first, *others = [SigningFile.read(file) for file in files]
    together = first.combine(*others)
    write_new(out, together.to_bytes())
    _say_next(together, out)
    emit_one(signing_row(together, out), output)


def _check_chain(file: "SigningFile", net: Path | None, genesis: Path | None) -> None:
    """Compares the file's chain with the genesis. Errors: UsageError."""
    from rustorium import _native
    from rustorium.access.genesis import read_genesis
    from rustorium.errors import UsageError

    found = net_of(net) if genesis is None else None
    named = Path(found.genesis) if found is not None else genesis
    if named is None:
        raise UsageError("nothing says which chain to sign for: give --genesis FILE or --net FILE")
    chain = _native.genesis_hash(read_genesis(named))
    if file.chain != chain:
        raise UsageError(f"the file is for chain {file.chain}, and the genesis is of chain {chain}: don't sign it here")
    note("No node was asked: that these are the account's keys is on the word of whoever made the file.")


def _say_next(file: "SigningFile", path: Path) -> None:
    if file.missing:
        keys = ", ".join(file.open_keys)
        note(f"It needs {file.missing} more of these keys to sign it: {keys}.")
    else:
        note(f"It has the signatures that it needs. `rustorium tx send {path}` sends it.")
