"""`upgrade`."""

import os
from collections.abc import Mapping
from typing import Annotated

import typer

from rustorium.cli.options import HomeOption, PassphraseOption, home_of
from rustorium.cli.output import Format, Output, emit, note, progress


def upgrade(
    home: HomeOption = None,
    back: Annotated[
        bool,
        typer.Option("--back", help="Return to the previous release's format; chain and journal stay."),
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only print what would change.")] = False,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Convert a stopped node's home to this release's format, or back to the previous one. After an interruption, run
    it again to continue. The safety journal, the keys and the store do not change."""
    from rustorium.home.noting import note_by_operator
    from rustorium.home.upgrade import carry_out, plan

    found = home_of(home)
    todo = plan(found, back=back)
    rows = todo.rows(found)
    if dry_run:
        emit(rows, output, ["step", "change", "state"])
        note(f"{found.path} would go from format {todo.start} to {todo.end}" if rows else _nothing(todo.end))
        return
    named = found.load_config().config.keys.passphrase_file
    passphrase = passphrase_file or (found.path / named if named else None)

    def audit(fields: Mapping[str, object]) -> None:
        note_by_operator(found, "upgrade", fields, passphrase, os.environ)

    with progress("upgraded") as advance:
        done = carry_out(found, back=back, audit=audit, advance=advance)
    emit([row | {"state": "done"} for row in rows], output, ["step", "change", "state"])
    note(f"{found.path} has format {done.end}: start it with its release" if rows else _nothing(done.end))


def _nothing(number: int) -> str:
    return f"the home has format {number} already: there is nothing to do"
