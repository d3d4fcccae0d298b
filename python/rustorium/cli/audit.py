"""`audit show`, `audit verify` and `audit export`."""

from collections import deque
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import HomeOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note

group = typer.Typer(help="A node's tamper-evident record of what operators and peers did.", no_args_is_help=True)

LogArgument = Annotated[
    Path | None, typer.Argument(help="An audit log's file, instead of a home's; with --node-key.", show_default=False)
]
NodeKeyOption = Annotated[
    str | None, typer.Option("--node-key", help="Public node key that signed it, 64 hex digits. Default: the home's.")
]
AnchorOption = Annotated[
    str | None, typer.Option("--anchor", help="SEQ:HASH of a line that it must have, as an earlier check printed it.")
]


@group.command()
def show(
    home: HomeOption = None,
    event: Annotated[list[str] | None, typer.Option("--event", help="Events of this name only; repeat.")] = None,
    last: Annotated[int | None, typer.Option("--last", min=1, help="The newest so many only.")] = None,
    output: Output = Format.table,
) -> None:
    """Show what the log says, oldest first. It is not checked here: `audit verify` does that."""
    from rustorium.auditlog import log_of, read

    lines = (line for line in read(log_of(home_of(home))) if not event or line["event"] in event)
    emit(list(deque(lines, maxlen=last)), output, ["seq", "ts_ms", "event", "fields"])


@group.command()
def verify(
    log: LogArgument = None,
    home: HomeOption = None,
    node_key: NodeKeyOption = None,
    anchor: AnchorOption = None,
    output: Output = Format.table,
) -> None:
    """Check hash, signature and order of every line; name the first that isn't as it was written (exit code 4)."""
    from rustorium.auditlog import check, log_of, parse_anchor, signer_of
    from rustorium.errors import UsageError
    from rustorium.home import is_node_key

    if node_key is not None and not is_node_key(node_key):
        raise UsageError(f"`{node_key}` is no node key: give 64 hex digits, as `keys show` prints them")
    if log is not None and (home is not None or node_key is None):
        raise UsageError("a log's file needs --node-key and no --home: it doesn't say by itself who may sign it")
    signer = bytes.fromhex(node_key) if node_key is not None else signer_of(home_of(home))
    named = log.expanduser() if log is not None else log_of(home_of(home))
    emit_one(asdict(check(named, signer, parse_anchor(anchor) if anchor is not None else None)), output)


@group.command()
def export(
    out: Annotated[Path, typer.Argument(help="The file to write; it must not exist.")],
    home: HomeOption = None,
    output: Output = Format.table,
) -> None:
    """Copy the log whole, after a check, and print what an auditor needs to check it again."""
    from rustorium.auditlog import check, export_to, log_of, signer_of

    found = home_of(home)
    signer = signer_of(found)
    export_to(log_of(found), out.expanduser())
    emit_one(asdict(check(out.expanduser(), signer)) | {"node_key": signer.hex()}, output)
    note(f"{out} is checked with `rustorium-node audit verify {out} --node-key {signer.hex()}`")
