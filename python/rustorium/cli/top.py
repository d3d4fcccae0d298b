"""`top`."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.metrics import MetricsNodeOption
from rustorium.cli.options import EVERY, NetOption, NodeTimeoutOption, duration, net_of


def top(
    recording: Annotated[
        Path | None, typer.Argument(help="A recording of `metrics collect --for`, instead of live nodes.")
    ] = None,
    net: NetOption = None,
    node: MetricsNodeOption = None,
    every_s: Annotated[float, duration(*EVERY, text="Time between two samples, such as 2s.")] = 1.0,
    timeout_s: NodeTimeoutOption = 3.0,
) -> None:
    """Watch nodes, links and findings in the terminal, live or from a recording. Press `?` for the keys."""
    from rustorium.errors import UsageError
    from rustorium.observe.recording import Recording
    from rustorium.observe.scrape import Scraper, targets_of
    from rustorium.observe.top.sources import Live, Replay

    if recording is not None and (net is not None or node):
        raise UsageError("a recording and live nodes can't be watched together: give only one of them")
    if not (sys.stdin.isatty() and sys.stdout.isatty()) or os.environ.get("TERM") == "dumb":
        raise UsageError("`top` needs a terminal: use `status check --watch` or `metrics collect` without one")
    if recording is not None:
        from rustorium.observe.top.app import Top

        Top(Replay(Recording.open(recording.expanduser())), str(recording), every_s).run(mouse=False)
        return
    targets = targets_of(net_of(net) if not node else None, node or [])
    with Scraper(targets, timeout_s) as scraper:
        from rustorium.observe.top.app import Top

        Top(Live(scraper), f"{len(targets)} nodes", every_s).run(mouse=False)
