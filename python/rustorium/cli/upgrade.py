"""`upgrade` and `upgrade activate`."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import (
    GenesisOption,
    HomeOption,
    NetOption,
    NodeOption,
    PassphraseOption,
    SetOption,
    TimeoutOption,
    TokenFileOption,
    client_of,
    home_of,
    key_of,
    net_of,
    parameters_of,
    tls_of,
    token_of,
)
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

group = typer.Typer(help="Convert a home to this release's format; activate protocol version 2 on a running chain.")
ASK_S = 5.0
"""Maximum time for a node's report."""


@group.callback(invoke_without_command=True)
def upgrade(
    context: typer.Context,
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
    if context.invoked_subcommand is not None:
        return
    from rustorium._native import Node  # noqa: F401  (its absence is the error)
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


@group.command()
def activate(
    key: Annotated[
        list[Path], typer.Option("--key", help="Key file of an operator's account; repeat for those that you hold.")
    ],
    without: Annotated[
        list[str] | None,
        typer.Option("--without", help="Name of a validator that may stand until it has the new release; repeat."),
    ] = None,
    operator_quorum: Annotated[
        int | None,
        typer.Option("--operator-quorum", help="Operators that must approve from then on. Default: as many as now."),
    ] = None,
    parameter: SetOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only check whether all are ready.")] = False,
    net: NetOption = None,
    node: NodeOption = None,
    genesis: GenesisOption = None,
    token_file: TokenFileOption = None,
    timeout_s: TimeoutOption = 120.0,
    passphrase_file: PassphraseOption = None,
    output: Output = Format.table,
) -> None:
    """Have operators end version 1 of the chain: from the next epoch on it follows version 2. Nothing can be undone
    after that.

    The command refuses unless all validators run a release that knows version 2. It puts the operators' signed values,
    waits for their proofs, and approves that the epoch ends. Where other people hold the other operators' keys, each of
    them runs the same command; it waits for the others until the timeout."""
    from rustorium.access.genesis import read_genesis
    from rustorium.errors import UsageError
    from rustorium.net.activating import Wanted, check_ready, check_signers
    from rustorium.net.activating import activate as carry_out
    from rustorium.net.probe import ask

    found = net_of(net) if not node else None
    file = genesis or (Path(found.genesis) if found is not None else None)
    endpoints = list(node or []) or (found.endpoints if found is not None else [])
    if file is None or not endpoints:
        raise UsageError("no net is named: give --net devnet.json, or --node URL with --genesis FILE")
    content, signers = read_genesis(file), [key_of(one, passphrase_file) for one in key]
    wanted = Wanted(operator_quorum, parameters_of(parameter or []))
    check_signers(content, signers, wanted)
    with client_of(net, node, file, timeout_s, token_file=token_file) as client:
        statuses = ask(endpoints, ASK_S, token_of(token_file, None), tls_of(found))
        check_ready(statuses, client.validators(), without or [])
        note("All validators are ready for version 2." if not without else "All other validators are ready.")
        if dry_run:
            return
        done = carry_out(client, content, signers, wanted, timeout_s, note)
    emit_one({"epoch": done.epoch, "put": done.put, "needed": done.needed, "active": done.active}, output)


def _nothing(number: int) -> str:
    return f"the home has format {number} already: there is nothing to do"
