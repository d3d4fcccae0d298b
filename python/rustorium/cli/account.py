"""`account create`, `account holdings`, `account grants`, `account history`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    EncodingHelp,
    GenesisOption,
    KeyOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    key_of,
    readable,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.sending import Reaching, WaitOption, submitted_row
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.types import Grant, Version

AddressArgument = Annotated[str, typer.Argument(help="Address of the account.")]
VerifyOption = Annotated[bool, typer.Option(help="Check the proofs against the genesis.")]
LimitOption = Annotated[int, typer.Option("--limit", min=1, help="Most rows to list.")]
PAGE = 100

group = typer.Typer(
    help="Make accounts, list their assets, their grants and the history of their keys.", no_args_is_help=True
)
STORAGE_BYTES = 1 << 20


@group.callback()
def account() -> None:
    """Make accounts, list their assets, their grants and the history of their keys."""


@group.command()
def create(
    file: Annotated[
        Path,
        typer.Argument(
            help="Key file that `keys new` made, or the file to which it printed with -o json, or a file that `keys "
            "authority new` made."
        ),
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

    reached = wait_of(wait)
    address, operation = _creation(file.expanduser(), storage_bytes)
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        done = client.send([operation], key=signer, wait=reached)
    emit_one({"address": address, "storage_bytes": storage_bytes} | submitted_row(done), output)


@group.command()
@shared_options
def holdings(
    address: AddressArgument,
    limit: LimitOption = 1000,
    verify: VerifyOption = True,
    *,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List the balances of all assets that an account holds, and check each. That no asset is missing is on the node's
    word."""
    rows: list[dict[str, object]] = []
    with reaching.client() as client:
        cursor = None
        while len(rows) < limit:
            asked = min(PAGE, limit - len(rows))
            page = client.holdings(address, cursor=cursor, limit=asked, verify=verify)
            rows += [
                {"asset": one.asset, "amount": str(one.amount), "height": one.at.height, "proven": one.at.proven}
                for one in page.balances
            ]
            cursor = page.next_cursor
            if cursor is None:
                break
    emit(rows, output)
    if not rows:
        note(f"{address} holds no assets, on the word of the node.")
    _note_word(rows, "all assets")
    _note_unchecked(verify, reaching.node, reaching.genesis)
    if cursor is not None:
        note(f"There may be more than {limit} assets. Add --limit N to list more.")


@group.command()
@shared_options
def grants(
    address: AddressArgument,
    limit: LimitOption = 1000,
    verify: VerifyOption = True,
    *,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """List which accounts may write in an account's namespace, and check each grant: what they may do, with which keys,
    until when, and whether the grant still allows it. That no grant is missing is on the node's word."""
    rows: list[dict[str, object]] = []
    with reaching.client() as client:
        cursor = None
        while len(rows) < limit:
            page = client.grants(address, cursor=cursor, limit=min(PAGE, limit - len(rows)), verify=verify)
            rows += [_grant(one) for one in page.grants]
            cursor = page.next_cursor
            if cursor is None:
                break
    emit(rows, output, ["to", "rights", "prefixes", "until", "valid", "height", "proven"])
    if not rows:
        note(f"{address} gave no grants, on the word of the node.")
    _note_word(rows, "all grants")
    _note_unchecked(verify, reaching.node, reaching.genesis)
    if cursor is not None:
        note(f"There may be more than {limit} grants. Add --limit N to list more.")


def _grant(one: "Grant") -> dict[str, object]:
    from rustorium.client.moments import moment

    prefixes, encoding = readable("utf8", *one.prefixes)
    return {
        "to": one.to,
        "rights": list(one.rights),
        "prefixes": list(prefixes),
        "encoding": encoding,
        "until": moment(one.until_ms) if one.until_ms is not None else None,
        "era": one.era,
        "valid": one.valid,
        "height": one.at.height,
        "proven": one.at.proven,
    }


@group.command()
def history(
    address: AddressArgument,
    name: Annotated[str, typer.Argument(help="The key.", metavar="KEY")],
    limit: LimitOption = 30,
    before: Annotated[int | None, typer.Option("--before", min=0, help="List only versions below this height.")] = None,
    verify: VerifyOption = True,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """List the versions of a key, newest first, each with the transaction that wrote it, whose receipt is checked. That
    no later transaction of the same block wrote another value, and that no version is missing, is on the node's
    word."""
    from rustorium.client import text_to_bytes

    raw, asked_below = text_to_bytes(name, encoding), before
    rows: list[dict[str, object]] = []
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        while True:
            page = client.history(address, raw, before=before, limit=min(PAGE, limit - len(rows)), verify=verify)
            rows += [_version(one, encoding) for one in page.versions]
            before = page.next_before
            if before is None or len(rows) >= limit:
                break
    emit(rows, output)
    if not rows:
        below = f" below height {asked_below}" if asked_below is not None else ""
        kept = f", which keeps heights from {page.kept_from}" if page.kept_from else ""
        note(f"{name} of {address} has no versions{below}, on the word of the node{kept}.")
    _note_word(rows, "the last values of their blocks, and all versions,")
    _note_unchecked(verify, node, genesis)
    if before is not None:
        note(f"There are older versions. Continue with --before {before}.")
    elif page.kept_from and rows:
        note(f"The node keeps heights from {page.kept_from}. A version of that height or below may be older.")


def _note_word(rows: list[dict[str, object]], what: str) -> None:
    """Says what of a list no proof shows, if any of its rows is proven."""
    if any(row["proven"] for row in rows):
        note(f"That these are {what} is on the node's word.")


def _note_unchecked(verify: bool, node: list[str] | None, genesis: Path | None) -> None:
    if verify and node and genesis is None:
        note("Nothing was checked. Add --genesis FILE to have it checked.")


def _version(one: "Version", encoding: str) -> dict[str, object]:
    (value,), shown = readable(encoding, one.value)
    row: dict[str, object] = {"height": one.height, "time_ms": one.time_ms, "value": value, "encoding": shown}
    return row | {"transaction": one.transaction, "proven": one.proven}


def _creation(file: Path, storage_bytes: int) -> "tuple[str, Operation]":
    """Returns the address of an account of a key or of an authority, and the operation that makes it. Errors:
    UsageError, KeyFileError."""
    from rustorium import _native
    from rustorium.cli.sending import authority_of
    from rustorium.client.operations import create_account, create_account_of
    from rustorium.errors import UsageError

    named = authority_of(file) if file.is_file() else None
    if named is None:
        address, public_key, region = account_key(file)
        return address, create_account(region, public_key, storage_bytes)
    authority, region = named
    try:
        address, _ = _native.authority_names(region, authority.threshold, authority.keys)
    except (ValueError, OverflowError) as error:
        raise UsageError(f"{file} names no authority: {error}") from None
    return address, create_account_of(region, authority, storage_bytes)


def account_key(file: Path) -> tuple[str, str, int]:
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
