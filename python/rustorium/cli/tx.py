"""`tx put`, `tx transfer`, `tx status`."""

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
    net_of,
)
from rustorium.cli.output import Format, Output, emit_one

if TYPE_CHECKING:
    from rustorium.types import Submitted

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


@group.command("status")
def tx_status(
    transaction: Annotated[str, typer.Argument(help="Transaction id (hex).")],
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Show the state of a transaction: pending, or final with its receipt."""
    from rustorium.errors import NotFound

    with client_of(net, node, genesis, timeout_s, token_file=token_file) as client:
        found = client.get_transaction(transaction)
    if found.state == "unknown":
        raise NotFound(f"no node knows transaction {transaction}: check the id, or send it again")
    row: dict[str, object] = {"id": found.id, "state": found.state, "certified": found.certified}
    if found.receipt is not None:
        row |= _receipt(found.receipt)
    emit_one(row, output)


def submitted_row(submitted: "Submitted") -> dict[str, object]:
    """What became of a transaction, as a row."""
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
    outcome = fields.pop("failure")
    return fields | {"outcome": outcome or "ok"}
