"""`sim run|replay`: runs seeds of the simulator, and repeats a run from its printed line."""

from enum import StrEnum
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Annotated, Any

import typer

from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

group = typer.Typer(
    help="Simulate whole nets in one process, in virtual time, with faults chosen by a seed.", no_args_is_help=True
)


class ModeName(StrEnum):
    """Values of --mode."""

    safety = "safety"
    liveness = "liveness"
    epochs = "epochs"
    traitors = "traitors"
    partitions = "partitions"
    twins = "twins"
    bad_hours = "bad-hours"
    clocks = "clocks"
    attacks = "attacks"
    hosts = "hosts"
    shards = "shards"
    quota = "quota"
    authority = "authority"
    governance = "governance"
    pause = "pause"
    activate = "activate"
    activate_few = "activate-few"
    activate_at_end = "activate-at-end"
    activate_twice = "activate-twice"
    activate_committee = "activate-committee"
    activate_away = "activate-away"
    activate_power_cut = "activate-power-cut"
    activate_back = "activate-back"


@group.callback()
def sim() -> None:
    """Simulate whole nets in one process, in virtual time, with faults chosen by a seed."""


@group.command()
def run(
    seed: Annotated[int, typer.Option("--seed", min=0, help="The first seed.")] = 0,
    count: Annotated[int, typer.Option("--count", min=1, help="Number of seeds.")] = 1,
    nodes: Annotated[int, typer.Option("--nodes", min=1, max=16, help="Number of validators.")] = 4,
    heights: Annotated[int, typer.Option("--heights", min=1, max=5000, help="Blocks to make, at least.")] = 50,
    mode: Annotated[
        ModeName,
        typer.Option(
            "--mode",
            help="safety: faults until the end. liveness: faults until a calm phase. epochs: faults while "
            "committees change. traitors, partitions, twins: the seed's number picks a combination of "
            "traitors, a partition, or a scenario of twins. bad-hours: up to 1,000 views without a final "
            "block. clocks: clocks that jump. attacks: the seed's number picks a combination of floods. "
            "hosts: two shards in each process, whose parts also fail one by one. shards: one of safety, traitors, "
            "partitions, bad-hours, clocks, attacks and hosts, in turn, of two shards whose committees are the same, "
            "overlap, or are apart. quota: clients that want more than "
            "their quotas. authority, governance, pause: one of the modes before, in turn, while keys of accounts "
            "change, operators' seats change the chain, or they pause accounts. "
            "activate: one of the modes before those, in turn, on a chain that goes to protocol version 2. "
            "activate-few, activate-at-end, activate-twice, activate-committee, "
            "activate-away, activate-power-cut, activate-back: something special at the switch.",
        ),
    ] = ModeName.liveness,
    jobs: Annotated[int, typer.Option("--jobs", min=1, max=64, help="Number of processes.")] = 1,
    output: Output = Format.table,
) -> None:
    """Run seeds. Each prints one line that is enough to repeat the run: faults that happened, calls into the extension,
    hash."""
    from rustorium.sim.many import play
    from rustorium.sim.modes import Mode
    from rustorium.sim.run import Report, run_seed
    from rustorium.sim.scenario import Shape

    play_one = partial(run_seed, mode=Mode(mode.value), shape=Shape(nodes, heights))
    start = monotonic()
    failed: list[Report] = []
    rows: list[dict[str, Any]] = []
    with progress("seeds") as advance:
        for done, report in enumerate(play(play_one, range(seed, seed + count), jobs), start=1):
            advance(done, count)
            if not report.ok:
                failed.append(report)
            if output is Format.json:
                rows.append(report.row())
            elif output is Format.jsonl:
                emit([report.row()], output)
            else:
                print(report.line())
    if output is Format.json:
        emit(rows, output)
    seconds = monotonic() - start
    note(f"{count} seeds in {seconds:.1f} s: {count / seconds * 60:.0f} a minute; {len(failed)} failed")
    for report in failed:
        note(f"{report.failure}\n  repeat with: {report.repeat()}")
    if failed:
        raise typer.Exit(1)


@group.command()
def replay(
    line: Annotated[str, typer.Argument(help="Line that `sim run` printed, in quotes.")],
    log: Annotated[Path | None, typer.Option("--log", help="Write the event log to this new file.")] = None,
    output: Output = Format.table,
) -> None:
    """Repeat the run of a printed line. Fails if the run fails, or is no longer the same run."""
    from rustorium.errors import RustoriumError
    from rustorium.sim.run import read_line, run_seed

    seed, mode, shape, log_hash = read_line(line)
    if log is None:
        report = run_seed(seed, mode, shape)
    else:
        from rustorium.access.files import create

        with create(log) as file:

            def sink(entry: str) -> None:
                file.write(f"{entry}\n".encode())

            report = run_seed(seed, mode, shape, sink=sink)
    if output is Format.table:
        print(report.line())
    else:
        emit_one(report.row(), output)
    if log_hash is not None and log_hash != report.log_hash:
        raise RustoriumError(
            f"this is another run: its event log has the hash {report.log_hash} where the line says {log_hash}; "
            "play it with the build that printed the line"
        )
    if not report.ok:
        raise typer.Exit(1)
