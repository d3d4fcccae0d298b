"""`tx put`, `tx delete`, `tx transfer`, `tx issue`, `tx grant`, `tx revoke`, `tx send`, `tx status`."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rustorium.cli.options import (
    EncodingHelp,
    GenesisOption,
    KeyOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    ProofOutOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    content_of,
    key_of,
    net_of,
)
from rustorium.cli.output import Format, Output, emit_one, note, write_proof

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.types import Submitted, TransactionStatus

group = typer.Typer(help="Send transactions and look them up.", no_args_is_help=True)
WaitOption = Annotated[str, typer.Option("--wait", help="What to wait for: accepted, final or certified.")]


@group.command()
def put(
    name: Annotated[str, typer.Argument(help="The key.")],
    value: Annotated[str, typer.Argument(help="Its value.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    namespace: Annotated[
        str | None, typer.Option(help="Address of another account that granted this one the key.")
    ] = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Set a key in the account's namespace."""
    from rustorium.client import text_to_bytes, wait_of

    reached, raw_name, raw_value = wait_of(wait), text_to_bytes(name, encoding), text_to_bytes(value, encoding)
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit_one(submitted_row(client.put(raw_name, raw_value, key=signer, namespace=namespace, wait=reached)), output)


@group.command()
def transfer(
    to: Annotated[str, typer.Argument(help="Address of the receiver.")],
    amount: Annotated[str, typer.Argument(help="Amount in the asset's smallest units.")],
    key: KeyOption,
    asset: Annotated[str | None, typer.Option(help="Asset id (hex). Default: the asset of --net.")] = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Move an amount of an asset to another account."""
    from rustorium.client import amount_of, wait_of
    from rustorium.errors import UsageError

    reached, units = wait_of(wait), amount_of(amount)
    found = net_of(net) if asset is None else None
    if asset is None and (found is None or not found.asset):
        raise UsageError("no asset is named: give --asset, or a --net that has one")
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        named = asset or (found.asset if found is not None else "")
        emit_one(submitted_row(client.transfer(to, named, units, key=signer, wait=reached)), output)


@group.command()
def delete(
    name: Annotated[str, typer.Argument(help="The key.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    namespace: Annotated[
        str | None, typer.Option(help="Address of another account that granted this one the key.")
    ] = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Remove a key and its value from the account's namespace."""
    from rustorium.client import text_to_bytes, wait_of

    reached, raw_name = wait_of(wait), text_to_bytes(name, encoding)
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit_one(submitted_row(client.delete(raw_name, key=signer, namespace=namespace, wait=reached)), output)


@group.command()
def issue(
    symbol: Annotated[str, typer.Argument(help="Symbol of the account's own asset, such as COIN.")],
    amount: Annotated[str, typer.Argument(help="Amount in the asset's smallest units.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    to: Annotated[
        str | None, typer.Option("--to", help="Address that receives it. Default: the account itself.")
    ] = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Create an amount of the account's own asset, which only this account can issue."""
    from rustorium.client import amount_of, wait_of

    reached, units = wait_of(wait), amount_of(amount)
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        done = client.issue(symbol, units, to=to, key=signer, wait=reached)
    emit_one(submitted_row(done) | {"asset": done.asset}, output)


@group.command()
def grant(
    to: Annotated[str, typer.Argument(help="Address of the account that may write.")],
    prefixes: Annotated[list[str], typer.Argument(help="Beginnings of keys that it may write.", metavar="PREFIX")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Let another account write keys that begin with one of these texts in this account's namespace. It replaces an
    earlier grant."""
    from rustorium.client import text_to_bytes
    from rustorium.errors import UsageError

    raw = [text_to_bytes(prefix, encoding) for prefix in prefixes]
    if not all(raw):
        raise UsageError("an empty prefix would give the whole namespace away: name the beginning of the keys")
    _grant(to, raw, key, passphrase_file, net, node, genesis, token_file, wait, timeout_s, output)


@group.command()
def revoke(
    to: Annotated[str, typer.Argument(help="Address of the account that may no longer write.")],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Take back what `tx grant` let another account write."""
    _grant(to, [], key, passphrase_file, net, node, genesis, token_file, wait, timeout_s, output)


@group.command()
def send(
    file: Annotated[
        Path,
        typer.Argument(
            help="JSON file with one operation or a list of them, or - for standard input.", allow_dash=True
        ),
    ],
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    wait: WaitOption = "final",
    timeout_s: TimeoutOption = 30.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Send one transaction with any operations: all of them take effect, or none.

    Each operation is an object with its type, such as {"type": "put", "namespace": "rs1…", "key": "a", "value": "b"}.
    docs/reference/http.md lists all types and their fields, under OperationView."""
    from rustorium.client import wait_of

    reached, operations = wait_of(wait), _operations(file)
    signer = key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit_one(submitted_row(client.send(operations, key=signer, wait=reached)), output)


@group.command("status")
def tx_status(
    transaction: Annotated[str, typer.Argument(help="Transaction id (hex).")],
    verify: Annotated[bool, typer.Option(help="Check the receipt's proof against the genesis.")] = True,
    proof_out: ProofOutOption = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Show the state of a transaction: pending, or final with its receipt. A certified receipt is proven here. The exit
    code is 0 for a failed transaction, too: read `outcome`."""
    from rustorium.errors import NotFound, UsageError

    if proof_out is not None and not verify:
        raise UsageError("--proof-out needs a proof: leave out --no-verify")
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
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
        note(f"The receipt is on the node's word: {_unproven(found, verify, trusts=not node or genesis is not None)}.")
    row: dict[str, object] = {"id": found.id, "state": found.state, "certified": found.certified}
    row["proven"] = found.proven
    if found.receipt is not None:
        row |= _receipt(found.receipt)
    if found.signed_by is not None:
        row["signed_by"] = found.signed_by.to_dict()
    emit_one(row, output)


def _grant(
    to: str,
    prefixes: list[bytes],
    key: Path,
    passphrase_file: Path | None,
    net: Path | None,
    node: list[str] | None,
    genesis: Path | None,
    token_file: Path | None,
    wait: str,
    timeout_s: float,
    output: Format,
) -> None:
    from rustorium.client import wait_of
    from rustorium.client.operations import grant as operation

    reached, signer = wait_of(wait), key_of(key, passphrase_file)
    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        emit_one(submitted_row(client.send([operation(to, prefixes)], key=signer, wait=reached)), output)


def _operations(file: Path) -> "list[Operation]":
    """Reads the operations in a file. Errors: UsageError."""
    from rustorium.errors import UsageError

    content = sys.stdin.buffer.read() if str(file) == "-" else content_of(file)
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


def submitted_row(submitted: "Submitted") -> dict[str, object]:
    """Returns a transaction's outcome, as a row."""
    row: dict[str, object] = {"id": submitted.id, "reached": submitted.reached}
    if submitted.receipt is not None:
        row |= _receipt(submitted.receipt)
    if submitted.proof is not None:
        row["proof"] = submitted.proof.hex()
    return row


def _receipt(receipt: object) -> dict[str, object]:
    import msgspec

    fields: dict[str, object] = msgspec.to_builtins(receipt)
    fields.pop("transaction")
    failure = fields.pop("failure")
    return fields | ({"outcome": "failed", "failure": failure} if failure is not None else {"outcome": "ok"})
