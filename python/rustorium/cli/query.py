"""`query`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import (
    CheckpointOption,
    EncodingHelp,
    GenesisOption,
    NetOption,
    NodeOption,
    TimeoutOption,
    client_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rustorium.types import Account, Balance, Held, Value


def query(
    account: Annotated[str, typer.Option("--account", help="Address of the account.")],
    names: Annotated[
        list[str] | None, typer.Argument(help="Keys of its namespace; without any, show the account.", metavar="KEY...")
    ] = None,
    asset: Annotated[str | None, typer.Option(help="Show its balance of this asset (hex).")] = None,
    at: Annotated[
        str | None,
        typer.Option(
            help="proven (waits for a root that holds all that is final), a height, or with --no-verify latest."
        ),
    ] = None,
    verify: Annotated[bool, typer.Option(help="Check the proof against the genesis.")] = True,
    proof_out: Annotated[
        Path | None, typer.Option("--proof-out", help="Write the proof to this file; `verify` checks it offline.")
    ] = None,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    checkpoint: CheckpointOption = None,
    encoding: Annotated[str, typer.Option(help=EncodingHelp)] = "utf8",
    timeout_s: TimeoutOption = 10.0,
    output: Output = Format.table,
) -> None:
    """Read an account, its keys, or a balance, and check the proof of what the node says."""
    from rustorium.client import bytes_to_text, text_to_bytes
    from rustorium.errors import NotFound, UsageError
    from rustorium.types import Subject

    if names and asset is not None:
        raise UsageError("a key and an asset are two questions: ask one at a time")
    where = at or ("proven" if verify else "latest")
    if where not in ("proven", "latest") and not where.isdigit():
        raise UsageError(f"--at is proven, latest or a height, not {where!r}")
    if verify and where == "latest":
        raise UsageError("the newest state has no certified root yet: leave out --at, or add --no-verify")
    if proof_out is not None and not verify:
        raise UsageError("--proof-out needs a proof: leave out --no-verify")
    subjects = [Subject(account, key=text_to_bytes(name, encoding)) for name in dict.fromkeys(names or [])]
    subjects = subjects or [Subject(account, asset=asset)]
    with client_of(net, node, genesis, timeout_s, checkpoint) as client:
        items: Mapping[Subject, Held]
        if verify:
            state = client.prove(subjects, at=int(where) if where.isdigit() else "current")
            items, height = state.items, state.at.height
            if proof_out is not None:
                _write(proof_out, state.proof)
        else:
            items = {subject: client.held(subject, at=where) for subject in subjects}
            height = max(held.at.height for held in items.values() if held is not None)
    rows = [_row(held, encoding) for held in items.values() if held is not None]
    if len(subjects) > 1:
        emit([row for row in rows if row.get("value", "") is not None], output)
    elif rows and rows[0].get("value", "") is not None:
        emit_one(rows[0], output)
    absent = [subject for subject in subjects if _is_absent(items[subject])]
    if absent:
        what = ", ".join(bytes_to_text(subject.key, encoding) for subject in absent if subject.key is not None)
        how = "proven to be absent" if verify else "absent, on the node's word,"
        raise NotFound(f"{what or account} is {how} at height {height}")


def _write(path: Path, content: bytes) -> None:
    from rustorium.errors import UsageError

    try:
        path.write_bytes(content)
    except OSError as error:
        raise UsageError(f"the proof can't be written to {path} ({error.strerror}): name another file") from None
    note(f"the proof is in {path}; `rustorium-node verify {path} --genesis FILE` checks it")


def _is_absent(held: "Held") -> bool:
    from rustorium.types import Value

    return held is None or (isinstance(held, Value) and held.value is None)


def _row(held: "Account | Balance | Value", encoding: str) -> dict[str, object]:
    from rustorium.client import bytes_to_text
    from rustorium.types import Account, Balance

    where: dict[str, object] = {"height": held.at.height, "root": held.at.root, "proven": held.at.proven}
    if isinstance(held, Account):
        names = ("address", "nonce", "public_key", "quota_left", "storage_bytes_left")
        return {name: getattr(held, name) for name in names} | where
    if isinstance(held, Balance):
        return {"account": held.account, "asset": held.asset, "amount": str(held.amount)} | where
    value = bytes_to_text(held.value, encoding) if held.value is not None else None
    return {"key": bytes_to_text(held.key, encoding), "value": value} | where
