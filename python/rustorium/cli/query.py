"""`query`: an account, a key, or a balance."""

from typing import Annotated

import typer

from rustorium.cli.options import EncodingHelp, GenesisOption, NetOption, NodeOption, TimeoutOption, client_of
from rustorium.cli.output import Format, Output, emit_one


def query(
    account: Annotated[str, typer.Option("--account", help="Address of the account.")],
    name: Annotated[str | None, typer.Argument(help="A key of its namespace; without one, show the account.")] = None,
    asset: Annotated[str | None, typer.Option(help="Show its balance of this asset (hex).")] = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Read an account, one of its keys, or a balance."""
    import msgspec

    from rustorium.client import bytes_to_text, text_to_bytes
    from rustorium.errors import NotFound, UsageError

    if name is not None and asset is not None:
        raise UsageError("a key and an asset are two questions: ask one at a time")
    with client_of(net, node, genesis, timeout_s) as client:
        if name is not None:
            found = client.read(account, text_to_bytes(name, encoding))
            if found.value is None:
                raise NotFound(f"{account} has no key {name!r} at height {found.at.height}")
            value = bytes_to_text(found.value, encoding)
            emit_one({"key": name, "value": value, "height": found.at.height, "root": found.at.root}, output)
        elif asset is not None:
            balance = client.balance(account, asset)
            row: dict[str, object] = {"account": account, "asset": asset, "amount": str(balance.amount)}
            emit_one(row | {"height": balance.at.height, "root": balance.at.root}, output)
        else:
            record = client.account(account)
            shown: dict[str, object] = msgspec.to_builtins(record)
            del shown["at"]
            emit_one(shown | {"height": record.at.height, "root": record.at.root}, output)
