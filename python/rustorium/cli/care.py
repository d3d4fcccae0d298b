"""`doctor`, `debug bundle`, `systemd print`."""

import os
import shutil
import sys
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.options import HomeOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note

debug_group = typer.Typer(help="Collect diagnostics for support.", no_args_is_help=True)
systemd_group = typer.Typer(help="Run a node as a service.", no_args_is_help=True)


@debug_group.callback()
def debug() -> None:
    """Collect diagnostics for support."""


@systemd_group.callback()
def systemd() -> None:
    """Run a node as a service."""


def doctor(home: HomeOption = None, output: Output = Format.table) -> None:
    """Check this machine, and a home if there is one. Report what would keep a node from running well, and what to do
    about it. Exit code 1: something must be changed."""
    from rustorium.home.paths import default_home
    from rustorium.observe.doctor import examine

    found = home_of(home) if home is not None or default_home(os.environ) is not None else None
    checks = examine(found)
    rows = [{"check": one.name, "result": one.result.value, "seen": one.seen, "do": one.do or None} for one in checks]
    emit(rows, output, ["check", "result", "seen", "do"])
    if found is None:
        note("No home is named, so only this machine was checked. Name a home with --home.")
    if any(one.result == "fail" for one in checks):
        raise typer.Exit(1)


@debug_group.command("bundle")
def bundle(
    out: Annotated[Path, typer.Option("--out", help="File to write, .tar.gz; it must not exist.")] = Path(
        "rustorium-debug.tar.gz"
    ),
    home: HomeOption = None,
    output: Output = Format.table,
) -> None:
    """Collect configuration, status, metrics, logs and machine state in one file. Keys, passphrases and anything that
    looks like a secret are left out."""
    from rustorium.errors import HomeMissing
    from rustorium.observe.bundle import bundle as write

    found = home_of(home)
    if not found.path.is_dir():
        raise HomeMissing(f"there is no home {found.path}: name another with --home")
    names = write(found, out)
    emit_one({"file": str(out), "bytes": out.expanduser().stat().st_size, "parts": len(names)}, output)
    note(f"Look through {out} before you send it: `tar -xzf {out}`")


@systemd_group.command("print")
def print_unit(
    home: HomeOption = None,
    user: Annotated[str, typer.Option("--user", help="User that runs the node.")] = "rustorium",
    command: Annotated[Path | None, typer.Option("--command", help="Path of rustorium-node.")] = None,
) -> None:
    """Print a systemd unit for a home, with Type=notify, a watchdog, and only the permissions that a node needs. The
    node runs under `recover auto`."""
    from rustorium.errors import UsageError
    from rustorium.observe.systemd import Unit, hidden, unit_text

    found = home_of(home)
    name = found.load_config().config.node.name
    named = command or shutil.which("rustorium-node") or shutil.which(sys.argv[0])
    if named is None:
        raise UsageError("rustorium-node isn't on the PATH: name it with --command")
    path = Path(named).expanduser().absolute()
    if not path.is_file():
        raise UsageError(f"there is no {path}: name rustorium-node with --command")
    unit = Unit(name, found.path, path, user)
    print(unit_text(unit), end="")
    for sentence in hidden(unit):
        note(f"WARNING: {sentence}")
