"""`dashboards export`."""

from pathlib import Path
from typing import Annotated

import typer

from rustorium.cli.metrics import MetricsNodeOption
from rustorium.cli.options import NetOption, OutOption, named_out, net_of
from rustorium.cli.output import Format, Output, emit, note

group = typer.Typer(help="Grafana dashboards and alert rules.", no_args_is_help=True)


@group.callback()
def dashboards() -> None:
    """Grafana dashboards and alert rules."""


@group.command()
def export(
    folder: Annotated[
        Path | None, typer.Argument(help="Folder to write to; it is created if missing. Or name it by --out.")
    ] = None,
    out: OutOption = None,
    net: NetOption = None,
    node: MetricsNodeOption = None,
    output: Output = Format.table,
) -> None:
    """Write four Grafana dashboards, alert rules, and the files with which Prometheus and Grafana find them and the
    nodes."""
    from rustorium.observe.export import export as write
    from rustorium.observe.scrape import Target, targets_of

    into = named_out(folder, out)
    found = net_of(net) if not node else None
    named = bool(node) or found is not None
    targets = targets_of(found, node or []) if named else [Target("127.0.0.1:26660", "http://127.0.0.1:26660")]
    written = write(into, targets)
    emit([{"file": str(path)} for path in written], output)
    if not named:
        note("No net was named: prometheus/targets.json lists a node of this machine. Replace it with yours.")
    note(f"Start: cd {into}/prometheus && prometheus --config.file=prometheus.yml")
