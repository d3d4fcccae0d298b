"""`analyze performance`."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.metrics import MetricsNodeOption
from rustorium.cli.options import NetOption, NodeTimeoutOption, home_of, net_of
from rustorium.cli.output import Format, Output, can_draw, emit_one, note, progress, show

if TYPE_CHECKING:
    from rustorium.access.netfile import Net
    from rustorium.home.paths import Home
    from rustorium.observe.analysis.gather import Net as Gathered

PROFILE_SPARE_S = 10.0
"""Time after which a node ends a profile that nobody fetches."""

group = typer.Typer(help="Find out where time is spent.", no_args_is_help=True)


@group.callback()
def analyze() -> None:
    """Find out where time is spent."""


@group.command()
def performance(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording of `metrics collect --for`, instead of live nodes.")
    ] = None,
    net: NetOption = None,
    node: MetricsNodeOption = None,
    home: Annotated[
        Path | None, typer.Option("--home", help="Home of a node that runs on this machine, to analyze it alone.")
    ] = None,
    for_: Annotated[
        str, typer.Option("--for", metavar="<duration>", help="How long to watch live nodes, such as 30s or 5m.")
    ] = "10s",
    every: Annotated[
        str, typer.Option("--every", metavar="<duration>", help="Interval between two samples of live nodes.")
    ] = "500ms",
    html: Annotated[Path | None, typer.Option("--html", help="Write the report with charts to this new file.")] = None,
    flame: Annotated[
        Path | None,
        typer.Option(
            "--flame", help="Write a flame graph of the Python steps to this new SVG file, for nodes on this machine."
        ),
    ] = None,
    timeout_s: NodeTimeoutOption = 3.0,
    output: Output = Format.table,
) -> None:
    """Show where the time of transactions is spent, stage by stage; which node, link or disk is the slowest; and what
    to try."""
    from rustorium.errors import UsageError
    from rustorium.observe.analysis.page import page
    from rustorium.observe.analysis.report import report_of
    from rustorium.observe.analysis.text import lines

    if sum((recording is not None, net is not None, bool(node), home is not None)) > 1:
        raise UsageError("a recording, --net, --node and --home each name what to analyze: use only one of them")
    if flame is not None and (recording is not None or node):
        raise UsageError("--flame needs nodes that run on this machine: name them with --net or --home")
    if recording is not None:
        gathered = _read(recording)
    else:
        found = net_of(net) if home is None and not node else None
        with _profiles(_homes(found, home) if flame is not None else {}, for_, flame):
            gathered = _watch(found, _urls(home) if home is not None else node or [], for_, every, timeout_s)
    report = report_of(gathered)
    if html is not None:
        _write(html, page(report))
        note(f"The report with charts is in {html}.")
    if output is Format.table:
        show(lines(report, plain=not can_draw()))
    else:
        emit_one(report.as_json(), output)


def _urls(home: Path) -> list[str]:
    from rustorium.node.admin.socket import call

    return [f"http://{call(home_of(home).admin_socket, 'addresses')['metrics']}"]


def _homes(net: "Net | None", home: Path | None) -> "dict[str, Home]":
    from rustorium.home.paths import Home

    if home is not None:
        return {home.name: home_of(home)}
    return {node.name: Home(Path(node.home)) for node in net.nodes} if net is not None else {}


@contextmanager
def _profiles(homes: "dict[str, Home]", for_: str, out: Path | None) -> Iterator[None]:
    """Lets these nodes profile their steps in the meantime, and draws the result."""
    from rustorium.errors import RustoriumError
    from rustorium.node.admin.socket import call
    from rustorium.observe.flame import svg, tree
    from rustorium.observe.watching import seconds_of

    if out is None:
        yield
        return
    seconds = seconds_of(for_, "--for")
    for home in homes.values():
        call(home.admin_socket, "profile_steps", seconds=seconds + PROFILE_SPARE_S)
    profiles = {}
    try:
        yield
    finally:
        for name, home in homes.items():
            with suppress(RustoriumError):
                profiles[name] = call(home.admin_socket, "take_profile")
    steps = sum(one["steps"] for one in profiles.values())
    title = f"Python steps of {', '.join(profiles)}: {steps:,} in {seconds:g} s"
    _write(out, svg(tree({name: one["paths"] for name, one in profiles.items()}), title))
    note(f"{out} has the steps of {', '.join(profiles)} as a flame graph")


def _write(path: Path, text: str) -> None:
    from rustorium.access.files import create

    with create(path) as file:
        file.write(text.encode())


def _read(recording: Path) -> "Gathered":
    from rustorium.observe.analysis.gather import gather
    from rustorium.observe.recording import Recording

    return gather(Recording.open(recording.expanduser()))


def _watch(net: "Net | None", nodes: list[str], for_: str, every: str, timeout_s: float) -> "Gathered":
    """Records a live net into a temporary file and evaluates it."""
    from tempfile import TemporaryDirectory

    from rustorium.access.files import create
    from rustorium.errors import UsageError
    from rustorium.observe.scrape import Scraper, targets_of
    from rustorium.observe.watching import LOOK_S_MIN, seconds_of, watch

    targets = targets_of(net, nodes)
    for_s, every_s = seconds_of(for_, "--for"), seconds_of(every, "--every")
    if every_s < LOOK_S_MIN:
        raise UsageError(
            "--every must be at least 100ms, because more frequent queries would distort the figures: give a "
            "longer interval"
        )
    with TemporaryDirectory(prefix="rustorium-") as folder, Scraper(targets, timeout_s) as scraper:
        path = Path(folder) / "recording"
        with create(path) as file, progress("watching") as advance:
            watch(scraper, file, for_s=for_s, every_s=every_s, advance=advance, tell=note)
        return _read(path)
