"""`geo plan` and `geo show`."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rustorium.cli.options import net_of, tls_of, token_of
from rustorium.cli.output import Format, Output, emit, emit_one, note, show
from rustorium.cli.sending import Reaching
from rustorium.cli.shared import shared_options

if TYPE_CHECKING:
    from rustorium.geo.plan import ClientFloor, Plan
    from rustorium.net.measured import Place as MeasuredPlace

group = typer.Typer(help="Plan where the nodes of a net stand.", no_args_is_help=True)
COLUMNS_MAX = 6
"""Regions of members of which each gets a column; of more, the worst outage is named."""
UNUSUAL_MS = 5.0
"""Least difference between a round trip and the usual one that is shown."""


@group.callback()
def geo() -> None:
    """Plan where the nodes of a net stand."""


@group.command()
def plan(
    regions: Annotated[
        str | None,
        typer.Option("--regions", help="Regions of members, comma-separated. Default: all that have round-trip times."),
    ] = None,
    validators: Annotated[
        int | None,
        typer.Option("--validators", min=1, help="Number of members, one region after the other. Default: one each."),
    ] = None,
    choose: Annotated[
        int | None,
        typer.Option("--choose", min=1, help="Take this many of the regions, the best ones for the clients."),
    ] = None,
    apart_ms: Annotated[
        float, typer.Option("--apart", min=0, help="With --choose: the least round trip between two regions, ms.")
    ] = 0.0,
    clients: Annotated[
        str | None,
        typer.Option("--clients", help="Regions of clients with weights, as in R=3,S=1. Default: --regions alike."),
    ] = None,
    rtt_matrix: Annotated[
        Path | None, typer.Option("--rtt-matrix", help="JSON file with round-trip times between regions.")
    ] = None,
    output: Output = Format.table,
) -> None:
    """Show how fast a committee can be where it stands, and which outages it lives through.

    The floor is the least time to finality that the distances allow, without any work or waiting. It needs no node.
    Clients use the member nearest to them.
    """
    from rustorium.errors import UsageError
    from rustorium.geo.matrix import ROUND_TRIP_MS_MAX
    from rustorium.geo.plan import choose as best_of
    from rustorium.geo.plan import plan as plan_of
    from rustorium.geo.plan import spread
    from rustorium.net.distances import RTT_MATRIX, read_matrix

    matrix = read_matrix(rtt_matrix or RTT_MATRIX)
    named = _names(regions) if regions is not None else list(matrix.regions)
    for region in named:
        matrix.place(region)
    weights = _weights(clients) if clients is not None else dict.fromkeys(named, 1)
    for region in weights:
        matrix.place(region)
    if not 0 <= apart_ms <= ROUND_TRIP_MS_MAX:
        raise UsageError(f"--apart is a round trip of 0 to {ROUND_TRIP_MS_MAX} ms, not {apart_ms:g}")
    if choose is not None:
        named = list(best_of(matrix, named, choose, weights, round(apart_ms * 1000)))
    elif apart_ms:
        raise UsageError("--apart is about what --choose takes: add --choose")
    found = plan_of(matrix, spread(named, validators if validators is not None else len(named)), weights)
    if output is not Format.table:
        emit_one(asdict(found), output)
        return
    show([(line, "") for line in _summary(found)])
    show([("", "")])
    emit([_row(found, one) for one in found.clients], output)
    if found.moves:
        show([("", ""), *((line, "") for line in _moves(found))])


@group.command("show")
@shared_options
def show_(reaching: Reaching, output: Output = Format.table) -> None:
    """Show how far a running net's validators are from each other, as they measure it, and how near to the floor its
    finality is.

    The floor is the least time to finality that the distances allow. What clients wait is shown with --net, which knows
    where the nodes' metrics are."""
    from rustorium.net.distances import RTT_MATRIX, read_matrix
    from rustorium.net.measured import FLOORS_MAX, places
    from rustorium.net.probe import ask
    from rustorium.net.scrape import pages_of
    from rustorium.regions import region_name

    net = None if reaching.node else net_of(reaching.net)
    with reaching.client() as client:
        validators = client.validators()["validators"]
    endpoints = net.endpoints if net is not None else list(reaching.node or [])
    labels = [one.region for one in net.nodes] if net is not None else []
    statuses = ask(endpoints, reaching.timeout_s, token_of(reaching.token_file), tls_of(net))
    metered = [one for one in net.nodes if one.metrics] if net is not None else []
    pages = dict(zip((one.name for one in metered), pages_of(metered, reaching.timeout_s), strict=True))
    regions = [region_name(int(one["region"]), labels) for one in validators]
    found = places(validators, regions, statuses, pages, read_matrix(RTT_MATRIX))
    if output is not Format.table:
        emit([asdict(one) for one in found], output)
        return
    others = [one.name for one in found] if len(found) <= COLUMNS_MAX else []
    emit([_measured_row(one, others) for one in found], output)
    unknown = [one.name for one in found if one.floor_ms is None]
    if unknown and len(found) <= FLOORS_MAX:
        note("A floor needs all round trips: ask more of the validators, by --node, or wait until they have measured.")


def _measured_row(one: "MeasuredPlace", others: Sequence[str]) -> dict[str, object]:
    row: dict[str, object] = {"validator": one.name, "region": one.region_name}
    row |= {f"to {other}": _way(one, other) for other in others}
    if not others and one.round_trips_ms:
        far = max(one.round_trips_ms, key=lambda name: one.round_trips_ms[name])
        row["farthest"] = f"{far} {one.round_trips_ms[far]:.0f} ms"
    times = one.final_ms / one.floor_ms if one.final_ms and one.floor_ms else None
    return row | {
        "floor ms": one.floor_ms, "usual ms": one.usual_floor_ms, "clients wait ms": one.final_ms,
        "times the floor": round(times, 2) if times else None,
    }  # fmt: skip


def _way(one: "MeasuredPlace", other: str) -> str:
    """A round trip, and what is usual between the regions where that is far from it."""
    if other == one.name or other not in one.round_trips_ms:
        return "–" if other == one.name else "?"
    ms, usual = one.round_trips_ms[other], one.usual_ms.get(other)
    beside = f" (usual {usual:.0f})" if usual is not None and abs(ms - usual) > max(UNUSUAL_MS, usual / 10) else ""
    return f"{ms:.1f} ms{beside}" if ms < 10 else f"{ms:.0f} ms{beside}"


def _names(text: str) -> list[str]:
    """Parses names between commas. Errors: UsageError."""
    from rustorium.errors import UsageError

    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names or len(set(names)) < len(names):
        raise UsageError("--regions names each region once: for more members in it add --validators")
    return names


def _weights(text: str) -> dict[str, int]:
    """Parses regions with weights. Errors: UsageError."""
    from rustorium.errors import UsageError

    weights: dict[str, int] = {}
    for part in text.split(","):
        name, has_weight, weight = (piece.strip() for piece in part.partition("="))
        count = int(weight) if re.fullmatch("[0-9]{1,9}", weight) else 0
        if not name or name in weights or (has_weight and count == 0):
            raise UsageError(
                "--clients names each region once with a whole number above 0 of up to nine digits, as in us-east-1=3: "
                f"not {part[:100]!r}"
            )
        weights[name] = count if has_weight else 1
    return weights


def _ms(time_us: int) -> int:
    return round(time_us / 1000)


def _summary(found: "Plan") -> list[str]:
    counts = Counter(found.regions)
    where = ", ".join(region if count == 1 else f"{region} ({count})" for region, count in counts.items())
    lines = [
        f"Committee: {len(found.regions)} members in {where}; {found.quorum} must vote.",
        f"Finality floor: {_ms(found.alone_us)} ms for one transaction at a time, {_ms(found.loaded_us)} ms under "
        f"load; a block each {_ms(found.interval_us)} ms.",
    ]
    if len(counts) > 1:
        only = Counter(found.leaders)
        where = ", ".join(region if count == 1 else f"{region} ({count})" for region, count in only.items())
        fewer = len(found.leaders) < len(found.regions) and _ms(found.led_us) < _ms(found.alone_us)
        led = f"; {_ms(found.led_us)} ms if only those in {where} lead" if fewer else ""
        lines.append(f"Leaders: best in {found.best_leader}, worst in {found.worst_leader}{led}.")
        lines.append(f"Outages: {_outages(found, counts)}.")
    return lines


def _outages(found: "Plan", counts: Counter[str]) -> str:
    """Says which regions the chain can miss."""
    if found.stop_alone:
        alone = f"without {' or '.join(found.stop_alone)} the chain stands"
        return alone if len(found.stop_alone) == len(counts) else f"{alone}; any other one may fail"
    pairs = len(counts) * (len(counts) - 1) // 2
    if len(found.stop_together) == pairs:
        return "any one region may fail; any two stop the chain"
    if not found.stop_together:
        return "any two regions may fail"
    together = ", ".join(" with ".join(pair) for pair in found.stop_together)
    return f"any one region may fail; these two together stop the chain: {together}"


def _row(found: "Plan", row: "ClientFloor") -> dict[str, object]:
    cells: dict[str, object] = {
        "clients of": row.region,
        "node": row.via,
        "alone ms": _ms(row.alone_us),
        "load ms": _ms(row.loaded_us),
        "own leader ms": _ms(row.own_us),
    }
    away = list(dict.fromkeys(found.regions))
    if len(away) <= COLUMNS_MAX:
        return cells | {f"without {region}": _away(row, region) for region in away if len(away) > 1}
    known = {region: time_us for region, time_us in row.without_us.items() if time_us is not None}
    worst = max(known, key=known.__getitem__, default="")
    return cells | {"worst without": f"{worst} {_ms(known[worst])}" if worst else "–"}


def _away(row: "ClientFloor", region: str) -> object:
    if region not in row.without_us:
        return "–"
    time_us = row.without_us[region]
    return "stands" if time_us is None else _ms(time_us)


def _moves(found: "Plan") -> list[str]:
    lines = ["Clients gain most by:"]
    for move in found.moves:
        near = f"{_ms(move.nearest_us)} ms from {move.nearest}"
        lines.append(f"  {move.target} in place of {move.source}: {_ms(move.alone_us)} ms ({near})")
    return lines
