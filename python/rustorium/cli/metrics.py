"""`metrics collect`, `metrics convert`."""

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import NetOption, NodeTimeoutOption, net_of
from rustorium.cli.output import Format, Output, emit, emit_one, note, progress

if TYPE_CHECKING:
    from rustorium.observe.scrape import Scrape, Scraper
    from rustorium.observe.watching import RecordingResult

group = typer.Typer(help="Collect the metrics of nodes.", no_args_is_help=True)
COLUMNS = [
    "node",
    "ready",
    "height",
    "view",
    "missing",
    "byzantine",
    "peers",
    "pool",
    "transactions",
    "nullified",
    "final_p50_ms",
    "final_p99_ms",
    "sync_p99_ms",
    "rtt_max_ms",
    "memory_mib",
    "error",
]
MetricsNodeOption = Annotated[
    list[str] | None,
    typer.Option("--node", help="URL of a node's metrics, such as http://HOST:26660, instead of --net; repeat."),
]


@group.callback()
def metrics() -> None:
    """Collect the metrics of nodes."""


@group.command()
def collect(
    net: NetOption = None,
    node: MetricsNodeOption = None,
    for_: Annotated[
        str | None, typer.Option("--for", metavar="<duration>", help="Record for this long, such as 90s or 5m.")
    ] = None,
    every: Annotated[
        str, typer.Option("--every", metavar="<duration>", help="Interval between two samples of a recording.")
    ] = "1s",
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="File to write, which must not exist: the current metrics as OpenMetrics, or a recording with --for.",
        ),
    ] = None,
    timeout_s: NodeTimeoutOption = 3.0,
    output: Output = Format.table,
) -> None:
    """Query all nodes of a net at once. The result is a table of the main figures, all figures as JSON, or a file. Exit
    code 5: a node did not answer."""
    from rustorium.errors import UsageError
    from rustorium.observe.scrape import Scraper, targets_of

    found = net_of(net) if not node else None
    targets = targets_of(found, node or [])
    if for_ is not None and out is None:
        raise UsageError("--for records into a file: name the file with --out FILE")
    with Scraper(targets, timeout_s) as scraper:
        if for_ is not None and out is not None:
            rows, silent = _record(scraper, out, for_, every)
        else:
            rows, silent = _moment(scraper, out, output)
    if rows:
        emit(rows, output, [name for name in COLUMNS if name in rows[0]] if for_ is None else None)
    if silent:
        raise typer.Exit(5)


@group.command()
def convert(
    recording: Annotated[Path, typer.Argument(help="A recording of `metrics collect --for`.")],
    out: Annotated[Path, typer.Option("--out", help="OpenMetrics file to write; it must not exist.")],
    output: Output = Format.table,
) -> None:
    """Convert a recording to one OpenMetrics file with timestamps. `promtool tsdb create-blocks-from openmetrics`
    imports it."""
    from rustorium.observe.openmetrics import of_recording
    from rustorium.observe.recording import Recording

    opened = Recording.open(recording.expanduser())
    _write(out, of_recording(opened))
    if output is not Format.table:
        emit_one({"file": str(out), "complete": opened.ended}, output)
    if not opened.ended:
        note(f"{recording} was cut off. {out} has its complete part.")


def _moment(scraper: "Scraper", out: Path | None, output: Format) -> tuple[list[dict[str, object]], bool]:
    from rustorium.observe.openmetrics import of_moment

    scrapes = scraper.scrape()
    silent = any(not scrape.ok for scrape in scrapes)
    if out is not None:
        for scrape in scrapes:
            if not scrape.ok:
                note(f"{scrape.node} {scrape.error}")
        if any(scrape.ok for scrape in scrapes):
            _write(out, of_moment(scrapes))
        return [], silent
    return [_row(scrape, everything=output is not Format.table) for scrape in scrapes], silent


def _record(scraper: "Scraper", out: Path, for_: str, every: str) -> tuple[list[dict[str, object]], bool]:
    from rustorium.access.files import create
    from rustorium.errors import UsageError
    from rustorium.observe.watching import LOOK_S_MIN, seconds_of, watch

    for_s, every_s = seconds_of(for_, "--for"), seconds_of(every, "--every")
    if every_s < LOOK_S_MIN:
        raise UsageError(
            "--every must be at least 100ms, because more frequent queries would distort the figures: give a "
            "longer interval"
        )
    with create(out) as file, progress("recording") as advance:
        try:
            seen = watch(scraper, file, for_s=for_s, every_s=every_s, advance=advance, tell=note)
        finally:
            if file.tell() == 0:
                out.expanduser().unlink()
    note(f"{seen.looks} looks at {len(scraper.targets)} nodes in {out}")
    return [_moved(target.name, seen) for target in scraper.targets], bool(seen.away)


def _row(scrape: "Scrape", *, everything: bool) -> dict[str, object]:
    from rustorium.observe.figures import figures

    row: dict[str, object] = {"node": scrape.node, **figures(scrape.families), "error": scrape.error or None}
    if everything:
        row |= {"at_ms": scrape.at_ms, "took_ms": scrape.took_ms, "metrics": _metrics(scrape)}
    return row


def _metrics(scrape: "Scrape") -> list[dict[str, object]]:
    from math import isfinite

    samples = (sample for family in scrape.families.values() for sample in family.samples)
    return [
        {"name": one.name, "labels": dict(one.labels), "value": one.value if isfinite(one.value) else str(one.value)}
        for one in samples
    ]


def _moved(name: str, seen: "RecordingResult") -> dict[str, object]:
    from rustorium.observe.figures import rates

    row: dict[str, object] = {"node": name, "silent_looks": seen.errors.get(name, 0)}
    first, last = seen.first.get(name), seen.last.get(name)
    if first is None or last is None:
        return row
    return row | rates(first.families, last.families, (last.at_ms - first.at_ms) / 1000)


def _write(path: Path, lines: Iterable[str]) -> None:
    """Writes a new file, and removes it if writing fails."""
    from rustorium.access.files import create

    with create(path) as file:
        try:
            file.writelines(line.encode() for line in lines)
        except BaseException:
            path.expanduser().unlink()
            raise
