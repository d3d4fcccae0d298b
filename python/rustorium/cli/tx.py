"""`tx put`, `tx put-many`, `tx delete`, `tx transfer`, `tx issue`, `tx grant`, `tx revoke`, `tx send`, `tx status`."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli import bulk, signing
from rustorium.cli.options import (
    EncodingHelp,
    ProofOutOption,
    content_of,
    net_of,
)
from rustorium.cli.output import Format, Output, emit_one, note, write_proof
from rustorium.cli.sending import (
    Reaching,
    Sending,
    SendingFile,
    receipt_row,
    submitted_row,
)
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.types import TransactionStatus

group = typer.Typer(help="Send transactions and look them up.", no_args_is_help=True)
NamespaceOption = Annotated[str | None, typer.Option(help="Address of another account that granted this one the key.")]


@group.command()
@shared_options
def put(
    name: Annotated[str, typer.Argument(help="The key.")],
    value: Annotated[str, typer.Argument(help="Its value.")],
    sending: Sending,
    namespace: NamespaceOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    output: Output = Format.table,
) -> None:
    """Set a key in the account's namespace."""
    from rustorium.client import operations, text_to_bytes

    raw_name, raw_value = text_to_bytes(name, encoding), text_to_bytes(value, encoding)
    emit_one(sending.finish(lambda own: [operations.put(namespace or own, raw_name, raw_value)])[0], output)


@group.command()
@shared_options
def transfer(
    to: Annotated[str, typer.Argument(help="Address of the receiver.")],
    amount: Annotated[str, typer.Argument(help="Amount in the asset's smallest units.")],
    sending: Sending,
    asset: Annotated[str | None, typer.Option(help="Asset id (hex). Default: the asset of --net.")] = None,
    output: Output = Format.table,
) -> None:
    """Move an amount of an asset to another account."""
    from rustorium.client import amount_of, operations
    from rustorium.errors import UsageError

    units = amount_of(amount)
    found = net_of(sending.net) if asset is None else None
    if asset is None and (found is None or not found.asset):
        raise UsageError("no asset is named: give --asset, or a --net that has one")
    named = asset or (found.asset if found is not None else "")
    emit_one(sending.finish(lambda own: [operations.transfer(to, named, units)])[0], output)


@group.command()
@shared_options
def delete(
    name: Annotated[str, typer.Argument(help="The key.")],
    sending: Sending,
    namespace: NamespaceOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    output: Output = Format.table,
) -> None:
    """Remove a key and its value from the account's namespace."""
    from rustorium.client import operations, text_to_bytes

    raw_name = text_to_bytes(name, encoding)
    emit_one(sending.finish(lambda own: [operations.delete(namespace or own, raw_name)])[0], output)


@group.command()
@shared_options
def issue(
    symbol: Annotated[str, typer.Argument(help="Symbol of the account's own asset, such as COIN.")],
    amount: Annotated[str, typer.Argument(help="Amount in the asset's smallest units.")],
    sending: Sending,
    to: Annotated[
        str | None, typer.Option("--to", help="Address that receives it. Default: the account itself.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Create an amount of the account's own asset, which only this account can issue."""
    from rustorium import _native
    from rustorium.client import amount_of, operations

    units = amount_of(amount)
    row, address = sending.finish(lambda own: [operations.issue(symbol, to or own, units)])
    emit_one(row | ({"asset": _native.asset_id(address, symbol)} if sending.unsigned is None else {}), output)


@group.command()
@shared_options
def grant(
    to: Annotated[str, typer.Argument(help="Address of the account that may write.")],
    prefixes: Annotated[list[str], typer.Argument(help="Beginnings of keys that it may write.", metavar="PREFIX")],
    sending: Sending,
    rights: Annotated[
        list[str] | None,
        typer.Option("--rights", help="What it may do: put or delete; repeat. Default: both."),
    ] = None,
    until: Annotated[
        str | None,
        typer.Option(
            "--until", metavar="<duration>", help="How long it may, such as 30d, from now on by this machine's clock."
        ),
    ] = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    output: Output = Format.table,
) -> None:
    """Let another account write keys that begin with one of these texts in this account's namespace. It replaces an
    earlier grant."""
    from rustorium.client import operations, text_to_bytes
    from rustorium.errors import UsageError

    raw = [text_to_bytes(prefix, encoding) for prefix in prefixes]
    if not all(raw):
        raise UsageError("an empty prefix would give the whole namespace away: name the beginning of the keys")
    made = operations.grant(to, raw, rights=rights or operations.RIGHTS, until_ms=_end_of(until))
    emit_one(sending.finish(lambda own: [made])[0], output)


@group.command()
@shared_options
def revoke(
    to: Annotated[str, typer.Argument(help="Address of the account that may no longer write.")],
    sending: Sending,
    output: Output = Format.table,
) -> None:
    """Take back what `tx grant` let another account write."""
    from rustorium.client import operations

    emit_one(sending.finish(lambda own: [operations.revoke(to)])[0], output)


@group.command()
@shared_options
def send(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON file with one operation or a list of them, or - for standard input; or a file that `tx sign` "
            "signed.",
            allow_dash=True,
        ),
    ],
    sending: SendingFile,
    output: Output = Format.table,
) -> None:
    """Send one transaction with any operations: all of them take effect, or none.

    Each operation is an object with its type, such as {"type": "put", "namespace": "rs1…", "key": "a", "value": "b"}.
    docs/reference/http.md lists all types and their fields, under OperationView. A file that `tx sign` signed needs no
    --key."""
    from rustorium.client import SigningFile, wait_of
    from rustorium.client.signingfile import is_signing_file
    from rustorium.errors import UsageError

    content = content_of(file)
    if not is_signing_file(content):
        listed = _operations(file, content)
        emit_one(sending.finish(lambda own: listed)[0], output)
        return
    if sending.key is not None or sending.unsigned is not None:
        raise UsageError("the file's keys sign it with `tx sign`: leave out --key and --unsigned")
    signed, reached = SigningFile.from_bytes(content), wait_of(sending.wait)
    signed.transaction()
    with sending.client() as client:
        emit_one(submitted_row(client.send_file(signed, wait=reached)), output)


@group.command("status")
@shared_options
def tx_status(
    transaction: Annotated[str, typer.Argument(help="Transaction id (hex).")],
    verify: Annotated[bool, typer.Option(help="Check the receipt's proof against the genesis.")] = True,
    proof_out: ProofOutOption = None,
    *,
    reaching: Reaching,
    output: Output = Format.table,
) -> None:
    """Show the state of a transaction: pending, or final with its receipt. A certified receipt is proven here. The exit
    code is 0 for a failed transaction, too: read `outcome`."""
    from rustorium.errors import NotFound, UsageError

    if proof_out is not None and not verify:
        raise UsageError("--proof-out needs a proof: leave out --no-verify")
    with reaching.client() as client:
        found = client.get_transaction(transaction, verify=verify)
        proof = client.prove_transaction(transaction) if proof_out is not None else b""
    if found.state == "unknown":
        raise NotFound(
            f"on the word of the nodes that were asked, none has executed transaction {transaction}: check the id; if "
            "you sent it, it may still be executed until it expires, so don't sign another one before"
        )
    if proof_out is not None:
        write_proof(proof_out, proof)
    if found.state == "final" and not found.proven:
        trusts = not reaching.node or reaching.genesis is not None
        note(f"The receipt is on the node's word: {_unproven(found, verify, trusts=trusts)}.")
    row: dict[str, object] = {"id": found.id, "state": found.state, "certified": found.certified}
    row["proven"] = found.proven
    if found.receipt is not None:
        row |= receipt_row(found.receipt)
    if found.signed_by is not None:
        row["signed_by"] = found.signed_by.to_dict()
    emit_one(row, output)


def _end_of(until: str | None) -> int | None:
    """Returns the time (Unix ms) after a duration from now. Errors: UsageError."""
    if until is None:
        return None
    from rustorium.observe.watching import seconds_of

    return time.time_ns() // 1_000_000 + int(1000 * seconds_of(until, "--until", days_max=10_000))


def _operations(file: Path, content: bytes) -> "list[Operation]":
    """Returns the operations in a file. Errors: UsageError."""
    from rustorium.errors import UsageError

    try:
        found: Any = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON ({error}): write one operation or a list of them") from None
    listed = found if isinstance(found, list) else [found]
    if not listed or not all(isinstance(one, dict) and isinstance(one.get("type"), str) for one in listed):
        raise UsageError(f'{file} has no operations: write objects such as {{"type": "put", …}}, one or a list of them')
    return listed


def _unproven(found: "TransactionStatus", verify: bool, trusts: bool) -> str:
    """Returns the reason why a final receipt was not checked, and what to do about it."""
    if not verify:
        return "leave out --no-verify to have it checked"
    if not trusts:
        return "add --genesis FILE to have it checked"
    if not found.certified:
        return "no block certifies it yet, ask again in a moment"
    return "this node keeps no proof of it, ask another node"


group.command("put-many")(bulk.put_many)
group.command()(signing.sign)
group.command()(signing.combine)
