"""`tx put-many`: many keys in few transactions, as fast as the account's quota allows (V63)."""

import json
from collections.abc import Mapping
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
    TimeoutOption,
    TokenFileOption,
    client_of,
    content_of,
    key_of,
)
from rustorium.cli.output import Format, Output, emit_one, progress

if TYPE_CHECKING:
    from rustorium.client.submit import Result

FileArgument = Annotated[
    Path,
    typer.Argument(help='JSON file with an object of keys and values: {"name": "value", …}, or - for standard input.'),
]


def put_many(
    file: FileArgument,
    key: KeyOption,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    namespace: Annotated[
        str | None, typer.Option(help="Address of another account that granted this one the keys.")
    ] = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    timeout_s: TimeoutOption = 600.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Set many keys, up to 256 in a transaction.

    It waits while the account's quota is used up, and shows the rate and the time left. --timeout is for each
    transaction. Run it again after an error: keys that were set are set again."""
    values = decoded(entries(file), encoding)
    signer = key_of(key, passphrase_file)
    open_client = client_of(net, node, genesis, timeout_s, token_file=token_file)
    with open_client as client, progress("transactions") as advance:
        results = client.put_many(values, key=signer, namespace=namespace, on_progress=advance)
    faults = [fault for fault in map(fault_of, results.values()) if fault is not None]
    made = {result.id for result in results.values() if not isinstance(result, Exception) and fault_of(result) is None}
    emit_one({"keys": len(values), "set": len(values) - len(faults), "transactions": len(made)}, output)
    if faults:
        raise faults[0]


def entries(file: Path) -> Mapping[str, str]:
    """Returns the keys and values in a file. Errors: UsageError."""
    from rustorium.errors import UsageError

    try:
        found: Any = json.loads(content_of(file))
    except (ValueError, RecursionError) as error:
        raise UsageError(f"{file} is not JSON ({error}): write an object of keys and values") from None
    if not isinstance(found, dict):
        raise UsageError(f'{file} has no keys with texts as values: write an object such as {{"name": "value"}}')
    for name, value in found.items():
        if not isinstance(value, str):
            raise UsageError(
                f'{file} has no text as value of {name!r}: write an object of texts such as {{"name": "value"}}'
            )
    return found


def decoded(texts: Mapping[str, str], encoding: str) -> dict[bytes, bytes]:
    """Returns keys and values as bytes. Errors: UsageError that names the key."""
    from rustorium.client import text_to_bytes
    from rustorium.errors import UsageError

    values = dict[bytes, bytes]()
    for name, value in texts.items():
        key = text_to_bytes(name, encoding)
        try:
            values[key] = text_to_bytes(value, encoding)
        except UsageError:
            raise UsageError(
                f"the value of {name!r} is not {encoding}: correct it or choose another --encoding"
            ) from None
    return values


def fault_of(result: "Result") -> Exception | None:
    """Returns why a key wasn't set; `None` if it was."""
    from rustorium.client.transactions import succeeded
    from rustorium.errors import RustoriumError

    if isinstance(result, Exception):
        return result
    try:
        succeeded(result)
    except RustoriumError as error:
        return error
    return None
