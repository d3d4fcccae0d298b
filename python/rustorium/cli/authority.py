"""`keys authority new` and `keys authority show`: the keys of an account, and how they can change.

Invariants: a file of an authority has public keys alone; what is shown of an account is proven.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli import custody
from rustorium.cli.output import Format, Output, emit_one, note
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

group = typer.Typer(help="Put keys together that act for one account, change them, and recover accounts.")


@group.callback()
def authority() -> None:
    """Put keys together that act for one account, change them, and recover accounts."""


@group.command()
def new(
    file: Annotated[Path, typer.Argument(help="File to write; it must not exist.")],
    keys: Annotated[
        list[str],
        typer.Argument(help="1 to 8 keys: key files, files that `keys new -o json` printed, or hex.", metavar="KEY"),
    ],
    threshold: Annotated[int, typer.Option("--threshold", min=1, max=8, help="How many of the keys must sign.")],
    region: Annotated[str, typer.Option("--region", help="Home region of a new account: a name or a byte.")] = "0",
    output: Output = Format.table,
) -> None:
    """Write the file of an authority, and name the account that it opens. No key is opened, and nothing is sent."""
    from rustorium import _native
    from rustorium.access.files import write_new
    from rustorium.errors import UsageError
    from rustorium.regions import parse_region
    from rustorium.types import Authority

    byte, made = parse_region(region), Authority(threshold, map(_public_key, keys))
    try:
        address, digest = _native.authority_names(byte, made.threshold, made.keys)
    except ValueError as error:
        raise UsageError(f"these keys make no authority: {error}") from None
    fields = {"threshold": made.threshold, "keys": list(made.keys)}
    write_new(file, (json.dumps({**fields, "region": byte, "address": address}, indent=1) + "\n").encode())
    emit_one({"address": address, "authority_hash": digest, **fields, "region": byte, "file": str(file)}, output)


@group.command()
@shared_options
def show(
    address: Annotated[str, typer.Argument(help="Address of the account.")],
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Show who may act for an account, how that can change, and the change that waits, proven by the newest state.

    Of several keys of an account without a delay or a recovery account the state has only the hash: each transaction of
    the account shows them."""
    from rustorium.client.moments import moment

    with reaching.client() as client:
        found = client.authority(address)
    row: dict[str, object] = {
        "address": address,
        "threshold": found.authority.threshold if found.authority is not None else None,
        "keys": list(found.authority.keys) if found.authority is not None else None,
        "authority_hash": found.authority_hash,
        "delay_ms": found.delay_ms,
        "recovery": found.recovery.to_dict() if found.recovery is not None else None,
        "pending": found.pending.to_dict() if found.pending is not None else None,
        "frozen_until_ms": found.frozen_until_ms,
        "height": found.height,
        "proven": found.proven,
    }
    emit_one(row, output)
    if found.authority is None:
        note(f"`rustorium keys authority new` shows the same hash of the same keys. {address} has several.")
    if found.pending is not None:
        by = "its recovery account" if found.pending.by == "recovery" else "its keys"
        note(f"A change by {by} takes effect at {moment(found.pending.due_ms)}.")
    if found.frozen_until_ms is not None:
        note("Until then nobody acts for the account: only its recovery account can withdraw the recovery.")


def _public_key(given: str) -> str:
    """Returns the public key, hex, of a file, or of digits. Errors: UsageError, KeyFileError."""
    from rustorium.cli.account import account_key
    from rustorium.errors import UsageError

    if Path(given).expanduser().is_file():
        return account_key(Path(given).expanduser())[1]
    try:
        if len(bytes.fromhex(given)) == 32:
            return given.lower()
    except ValueError:
        pass
    raise UsageError(f"{given} is neither a file nor 64 hex digits of a public key: name one of them")


group.command("set")(custody.set_)
group.command()(custody.cancel)
group.command()(custody.approve)
group.command()(custody.recover)
group.command()(custody.withdraw)
