"""Assembles the command groups, and turns every error into one sentence and an exit code.

Exit codes: 0 ok, 1 failed, 2 usage, 3 not found, 4 verification failed, 5 not ready, 130 interrupted.
"""

import io
import os
import sys
from pathlib import Path
from typing import Annotated, NoReturn, TextIO

import typer

from rustorium.cli import (
    account,
    admin,
    analyze,
    audit,
    backup,
    bench,
    block,
    care,
    committee,
    config,
    dashboards,
    devnet,
    followers,
    genesis,
    geo,
    govern,
    keys,
    listing,
    logs,
    metrics,
    node,
    query,
    recover,
    replay,
    schema,
    shard,
    signer,
    sim,
    snapshot,
    status,
    testnet,
    top,
    tx,
    upgrade,
    verify,
    wallet,
    zk,
)
from rustorium.cli.failure import explain, wants_json
from rustorium.cli.grouped import SectionedGroup, list_whole
from rustorium.cli.narrowed import narrowed
from rustorium.cli.whole import group_needing_node, needing_node

BROKEN_PIPE = 141
GLOBAL_OPTIONS = ("--ca", "--client-certificate", "--client-key", "--at")
AT_VARIABLE = "RUSTORIUM_AT"
"""Read by `rustorium.client`."""
"""The global options that take a value."""
TLS_VARIABLES = ("RUSTORIUM_CA_FILE", "RUSTORIUM_CLIENT_CERTIFICATE", "RUSTORIUM_CLIENT_KEY")
"""Environment variables through which commands get the values of global options; read by `rustorium.access.tls`, which
is imported only if needed."""

committee.group.command("card")(listing.card)
committee.group.command("announce")(listing.announce)
committee.group.command("withdraw")(listing.withdraw)
geo.group.command("nodes")(listing.nodes)

app = typer.Typer(
    name="rustorium-node",
    help="Rustorium: run a validator or a devnet, send transactions, read the ledger.",
    cls=SectionedGroup,
    context_settings={"help_option_names": ["-h", "--help"]},
    no_args_is_help=True,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
app.command("init")(needing_node(node.init))
app.command("start")(needing_node(node.start))
app.command("devnet")(needing_node(devnet.devnet))
app.command("query")(query.query)
app.command("verify")(verify.verify)
app.command("checkpoint")(verify.checkpoint)
app.command("replay")(needing_node(replay.replay))
app.command("top")(top.top)
# Some results have the name of a command with an option, such as `replay --steps`.
app.command("schema", context_settings={"ignore_unknown_options": True})(schema.schema)
app.command("doctor")(needing_node(care.doctor))
app.add_typer(upgrade.group, name="upgrade", invoke_without_command=True)
app.add_typer(care.debug_group, name="debug")
app.add_typer(care.systemd_group, name="systemd")
app.add_typer(group_needing_node(testnet.group), name="testnet")
app.add_typer(genesis.group, name="genesis")
app.add_typer(keys.group, name="keys")
app.add_typer(signer.group, name="signer")
app.add_typer(snapshot.group, name="snapshot")
app.add_typer(account.group, name="account")
app.add_typer(tx.group, name="tx")
app.add_typer(committee.group, name="node")
app.add_typer(govern.group, name="govern")
app.add_typer(followers.group, name="followers")
app.add_typer(block.group, name="block")
app.add_typer(shard.group, name="shard")
app.add_typer(geo.group, name="geo")
app.add_typer(group_needing_node(recover.group), name="recover")
app.add_typer(status.group, name="status")
app.add_typer(metrics.group, name="metrics")
app.add_typer(analyze.group, name="analyze")
app.add_typer(dashboards.group, name="dashboards")
app.add_typer(logs.group, name="logs")
app.add_typer(group_needing_node(bench.group), name="bench")
app.add_typer(config.group, name="config")
app.add_typer(admin.group, name="admin")
app.add_typer(audit.group, name="audit")
app.add_typer(group_needing_node(backup.group), name="backup")
app.add_typer(group_needing_node(sim.group), name="sim")
app.add_typer(zk.group, name="zk")
app.add_typer(wallet.group, name="wallet")
list_whole(app)


@app.callback(invoke_without_command=True)
def root(
    debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks (anywhere on the line).")] = False,
    version: Annotated[bool, typer.Option("--version", help="Print the version and exit.")] = False,
    ca: Annotated[
        Path | None,
        typer.Option(
            "--ca",
            help="PEM file of the certificate authority that signed the nodes' certificates. Default: "
            "RUSTORIUM_CA_FILE.",
        ),
    ] = None,
    client_certificate: Annotated[
        Path | None,
        typer.Option(
            "--client-certificate",
            help="PEM file of the client certificate to present. Default: RUSTORIUM_CLIENT_CERTIFICATE.",
        ),
    ] = None,
    client_key: Annotated[
        Path | None,
        typer.Option(
            "--client-key",
            help="PEM file of the client certificate's key, if it is a separate file. Default: RUSTORIUM_CLIENT_KEY.",
        ),
    ] = None,
    at: Annotated[
        str | None,
        typer.Option(
            "--at",
            help="Where you are: degrees north and east, a region, or here (by the time zone). The nearest nodes of "
            "the chain's directory are asked, too. Default: RUSTORIUM_AT.",
        ),
    ] = None,
) -> None:
    """Takes the global options. `--debug` was already removed from the line."""
    del debug
    for variable, path in zip(TLS_VARIABLES, (ca, client_certificate, client_key), strict=True):
        if path is not None:
            os.environ[variable] = str(path)
    if at is not None:
        os.environ[AT_VARIABLE] = at
    if version:
        from rustorium import __version__, _native

        print(__version__ if _native.has_node else f"{__version__} (client)")
        raise typer.Exit


def main(arguments: list[str] | None = None) -> NoReturn:
    """Runs the command line and exits."""
    # A program that reads from a pipe gets each line when it is printed, also of a command that runs on.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)
    line = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in line or os.environ.get("RUSTORIUM_DEBUG") == "1"
    line = [argument for argument in line if argument != "--debug"]
    if line[:1] == ["help"]:
        line = [*line[1:], "--help"]
    stdout = sys.stdout
    try:
        code = narrowed(app, line, GLOBAL_OPTIONS)(line, standalone_mode=False, prog_name=_name())
        sys.stdout.flush()
    except BrokenPipeError:
        _end_unread(stdout)
    except SystemExit:
        if sys.stdout is stdout:
            raise
        _end_unread(stdout)  # typer replaces it where nobody reads the pipe any more
    except Exception as error:
        if debug:
            raise
        code = explain(error, as_json=wants_json(line))
        _drop_unwritten(stdout)
        sys.exit(code)
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        sys.exit(130)
    sys.exit(code if isinstance(code, int) else 0)


def _drop_unwritten(stdout: TextIO) -> None:
    """Drops what `stdout` still holds if it can't be written."""
    try:
        stdout.flush()
    except OSError:
        _drop(stdout)


def _drop(stdout: TextIO) -> None:
    """Lets nothing fail at the program's end that `stdout` still holds."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())


def _end_unread(stdout: TextIO) -> NoReturn:
    """Exits as a program does that SIGPIPE ends."""
    _drop(stdout)
    sys.exit(BROKEN_PIPE)


def _name() -> str:
    name = os.path.basename(sys.argv[0])
    return name if name.startswith("rustorium") else "rustorium-node"
