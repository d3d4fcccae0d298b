"""`logs aggregate`."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import NetOption, net_of
from rustorium.cli.output import Format, Output, note

if TYPE_CHECKING:
    from rustorium.observe.nodelogs.merge import MergedLine, Merger
    from rustorium.observe.nodelogs.select import LineFilter

group = typer.Typer(help="Read the logs of many nodes as one.", no_args_is_help=True)


@group.callback()
def logs() -> None:
    """Read the logs of many nodes as one."""


@group.command()
def aggregate(
    log: Annotated[list[Path] | None, typer.Argument(help="Log files or homes of nodes, instead of --net.")] = None,
    net: NetOption = None,
    since: Annotated[
        str | None, typer.Option("--since", help="Earliest time: 2026-11-26T12:00:00Z, Unix ms, or 10m (ago).")
    ] = None,
    until: Annotated[str | None, typer.Option("--until", help="Latest time, in the same forms as --since.")] = None,
    node: Annotated[list[str] | None, typer.Option("--node", help="Show only this node's lines; repeat.")] = None,
    level: Annotated[
        str, typer.Option("--level", help="Lowest level to show: trace, debug, info, warn, error.")
    ] = "trace",
    event: Annotated[str | None, typer.Option("--event", help="Show only this event.")] = None,
    transaction: Annotated[
        str | None,
        typer.Option(
            "--transaction", help="Show only lines with this transaction id. Nodes write them at log.level = debug."
        ),
    ] = None,
    height: Annotated[
        str | None, typer.Option("--height", help="Show only lines of this height, or of FIRST..LAST.")
    ] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Keep printing new lines until Ctrl-C.")] = False,
    out: Annotated[
        Path | None, typer.Option("--out", help="Write JSON lines to this new file instead of standard output.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Merge logs into one stream, ordered by time. Clocks are corrected by comparing what the nodes log about the same
    blocks. Exit code 3: no line matched."""
    from rustorium.observe.nodelogs.find import find_logs
    from rustorium.observe.nodelogs.merge import Merger, log_files

    wanted = _wanted(since, until, node, level, event, transaction, height)
    found = find_logs(net_of(net) if not log else None, log or [], wanted.nodes)
    count = 0
    with ExitStack() as stack:
        sources = [stack.enter_context(closing(source)) for source in log_files(found, follow=follow)]
        merger = Merger(sources)
        write = _writer(stack, out, output)
        merger.look_ahead()
        try:
            for line in _lines(merger, follow=follow):
                if wanted.takes(line):
                    write(line)
                    count += 1
        except KeyboardInterrupt:
            if not follow:
                raise
    _tell(merger)
    if count == 0:
        raise typer.Exit(3)


def _wanted(
    since: str | None,
    until: str | None,
    node: list[str] | None,
    level: str,
    event: str | None,
    transaction: str | None,
    height: str | None,
) -> "LineFilter":
    import time

    from rustorium.errors import UsageError
    from rustorium.observe.nodelogs.lines import LEVELS
    from rustorium.observe.nodelogs.select import LineFilter, heights_of, moment, transaction_of

    if level not in LEVELS:
        raise UsageError(f"--level {level!r} is not a level: use {', '.join(LEVELS)}")
    now_ms = time.time_ns() // 1_000_000
    return LineFilter(
        since_ms=moment(since, "--since", now_ms) if since is not None else None,
        until_ms=moment(until, "--until", now_ms) if until is not None else None,
        nodes=frozenset(node) if node else None,
        level=LEVELS[level],
        event=event,
        transaction=transaction_of(transaction) if transaction is not None else None,
        heights=heights_of(height) if height is not None else None,
    )


def _lines(merger: "Merger", *, follow: bool) -> "Iterator[MergedLine]":
    from rustorium.observe.nodelogs.merge import Follow

    return merger.follow(Follow()) if follow else merger.merge()


def _writer(stack: ExitStack, out: Path | None, output: Format) -> "Callable[[MergedLine], None]":
    from rustorium.access.files import create
    from rustorium.observe.nodelogs.select import as_json, as_text

    show = as_text if output is Format.table and out is None else as_json
    if out is not None:
        file = stack.enter_context(create(out))
        return lambda line: _nothing(file.write(show(line).encode() + b"\n"))

    def write(line: "MergedLine") -> None:
        print(show(line))

    return write


def _nothing(_: object) -> None:
    """Ignores a line."""


def _tell(merger: "Merger") -> None:
    """Prints notes on faults of logs and clocks."""
    for source in merger.sources:
        if source.garbage:
            note(f"{source.name}: {source.garbage} lines of {source.path} are not log lines, and were skipped")
    merger.clocks.solve()
    for source, offset in zip(merger.sources, merger.clocks.offsets, strict=True):
        bound = "of no known bound" if offset.bound_ms is None else f"within {offset.bound_ms} ms"
        if len(merger.sources) > 1 and (offset.ms or offset.bound_ms is None):
            note(f"{source.name}: its clock was corrected by {-offset.ms:+d} ms, {bound}")
    if merger.clocks.jumps:
        note(f"clocks contradicted themselves {merger.clocks.jumps} times: one was set while the logs were written")
