"""`recover auto` and `recover manual`."""

import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import HomeOption, PassphraseOption, home_of
from rustorium.cli.output import Format, Output, emit, emit_one, note
from rustorium.cli.restart import group as committee

if TYPE_CHECKING:
    from rustorium.config import RecoverySection
    from rustorium.health.plan import Step
    from rustorium.home.paths import Home
    from rustorium.node.recovery.manual import Operator

group = typer.Typer(help="Heal a node: automatically, or step by step.", no_args_is_help=True)
group.add_typer(committee, name="committee")
COLUMNS = ["trouble", "evidence", "act", "what", "undo"]
DryOption = Annotated[bool, typer.Option("--dry-run", help="Print what would be done, and change nothing.")]


@group.command()
def auto(
    home: HomeOption = None, passphrase_file: PassphraseOption = None, dry_run: DryOption = False,
    output: Output = Format.table,
) -> None:  # fmt: skip
    """Run a home's node like `start`, and heal it: restart it, refill a lost or damaged store from its peers, make room
    on a full disk. If only a person can decide, the command ends with the reason."""
    found = home_of(home)
    loaded = found.load_config(os.environ)
    if dry_run:
        _show(*_steps(found, loaded.config.recovery), output)
        return
    import trio

    from rustorium import _native
    from rustorium.logs import configure
    from rustorium.node.recovery.auto import Recovery, SupervisorOptions

    _native.forbid_core_dumps()
    (found.path / "log").mkdir(mode=0o700, exist_ok=True)
    log = configure(found.path / "log" / "recovery.jsonl", loaded.config.log, loaded.config.node.name)
    trio.run(Recovery(SupervisorOptions(found, loaded.config, passphrase_file, os.environ), log).run)


@group.command()
def manual(
    home: HomeOption = None,
    passphrase_file: PassphraseOption = None,
    dry_run: DryOption = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do every step without asking.")] = False,
    undo: Annotated[bool, typer.Option("--undo", help="Restore the store that was moved aside last.")] = False,
    name: Annotated[
        str | None, typer.Option("--name", help="With --undo: the store in quarantine/ to restore.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Examine a home, while its node runs or is stopped, and fix what is wrong. Each step asks for confirmation."""
    from rustorium.errors import UsageError
    from rustorium.node.recovery.manual import Operator, carry_out

    found = home_of(home)
    operator = Operator(found, passphrase_file, os.environ)
    loaded = found.load_config(os.environ)
    if name is not None and not undo:
        raise UsageError("--name says which store --undo restores: give both")
    if not dry_run and not yes and not sys.stdin.isatty():
        raise UsageError("there is no terminal to ask on: give --yes, or --dry-run to see what would be done")
    if undo:
        _undo(operator, name, dry_run, yes, output)
        return
    running, steps = _steps(found, loaded.config.recovery)
    _show(running, steps, output)
    if dry_run:
        return
    for step in steps:
        if step.act.value in ("wait", "ask"):
            note(f"{step.trouble.code}: {step.trouble.evidence}; {step.why}")
        elif yes or typer.confirm(f"{step.trouble.code}: {step.act.value}, that is, {step.why}. Do it?", err=True):
            note(carry_out(operator, step, running=running))
            running = running and step.act.value == "free"


def _undo(operator: "Operator", name: str | None, dry_run: bool, yes: bool, output: Format) -> None:
    from rustorium.node.recovery.manual import undo
    from rustorium.node.recovery.quarantine import quarantined

    stores = [one for one in quarantined(operator.home) if name in (None, one.path.name)]
    if dry_run:
        rows = [{"name": one.path.name, "code": one.code, "evidence": one.evidence} for one in stores[-1:]]
        emit(rows, output, ["name", "code", "evidence"])
        return
    what = stores[-1].path.name if stores else "nothing"
    if yes or typer.confirm(f"put {what} back, and the store that is there aside?", err=True):
        emit_one(undo(operator, name), output)


def _steps(home: "Home", config: "RecoverySection") -> "tuple[bool, list[Step]]":
    from rustorium.node.recovery.manual import examine

    return examine(home, config)


def _show(running: bool, steps: "list[Step]", output: Format) -> None:
    from rustorium.node.recovery.manual import RESTART

    rows = [
        {
            "trouble": step.trouble.code,
            "evidence": step.trouble.evidence,
            "act": step.act.value,
            "what": step.why,
            "undo": step.undo,
        }
        for step in steps
    ]
    emit(rows, output, COLUMNS)
    if not rows and running:
        note("This home and its node report no problem.")
    elif not rows:
        note(f"This home shows no problem, but its node isn't running: {RESTART}.")
