"""A report as lines for a terminal, with bars and lines of blocks; plain characters if the terminal has no others.

Invariants: each line is complete in itself; colour only repeats what the words say.
"""

from collections.abc import Iterator, Sequence

from rustorium.observe.analysis.report import Report

BLOCKS, RAMP = "▏▎▍▌▋▊▉█", "▁▂▃▄▅▆▇█"
PLAIN_RAMP = ".:-=+*#@"
BAR = 30
SPARK = 60


Line = tuple[str, str]
"""A line and its tone: `head`, `bad`, `good`, `dim`, or empty."""


def bar(share: float, width: int, *, plain: bool) -> str:
    """Returns a bar of `share` (0 to 1) of `width`."""
    share = min(1.0, max(0.0, share))
    if plain:
        return "#" * round(share * width)
    eighths = round(share * width * 8)
    return "█" * (eighths // 8) + (BLOCKS[eighths % 8 - 1] if eighths % 8 else "")


def spark(values: Sequence[float | None], width: int, *, plain: bool) -> str:
    """Returns a line of blocks: the means of `width` parts, from 0 to the highest; a space if a part has no value."""
    pieces = _pieces(values, width)
    top = max((value for value in pieces if value is not None), default=0.0)
    ramp = PLAIN_RAMP if plain else RAMP
    return "".join(
        " " if value is None else ramp[min(len(ramp) - 1, int(value / top * len(ramp)) if top > 0 else 0)]
        for value in pieces
    )


def _pieces(values: Sequence[float | None], width: int) -> list[float | None]:
    if len(values) <= width:
        return list(values)
    found: list[float | None] = []
    for place in range(width):
        part = values[place * len(values) // width : (place + 1) * len(values) // width]
        known = [value for value in part if value is not None]
        found.append(sum(known) / len(known) if known else None)
    return found


def ms(value: float | None) -> str:
    """Formats a time in ms for people."""
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 1 else f"{value:.2f}"


def final(report: Report) -> str:
    """Says how long clients waited."""
    if report.final_mean_ms is None:
        return "no client waited for finality"
    quantiles = f"p50 {ms(report.final_p50_ms)}, p99 {ms(report.final_p99_ms)}"
    return f"final after {ms(report.final_mean_ms)} ms on average ({quantiles})"


def pretended(report: Report) -> str | None:
    """Explains round trips that are too fast for their distance; `None` if there are none."""
    count = sum(link.pretended for link in report.links)
    if not count:
        return None
    return (
        f"{count} links are faster than their distance allows: a devnet delays messages above QUIC, so there the usual "
        "delay between these regions is added to their round trips; on other nets, correct the regions' names"
    )


def lines(report: Report, *, plain: bool) -> Iterator[Line]:
    """Yields the lines of the whole report."""
    yield from _head(report, plain=plain)
    yield ("", "")
    yield from _stages(report, plain=plain)
    yield ("", "")
    if report.shards:
        yield from _shards(report)
        yield ("", "")
    yield from _slowest(report)
    yield ("", "")
    yield from _causes(report)


def _head(report: Report, *, plain: bool) -> Iterator[Line]:
    yield (
        f"{len(report.nodes)} nodes, {report.seconds:,.1f} s: {report.transactions:,} transactions "
        f"({report.transactions_per_s:,.1f}/s), {final(report)}",
        "head",
    )
    if report.cut_off:
        yield ("the recording was cut off: this report covers its complete part", "dim")
    if report.transactions:
        rates, times = [one.transactions_per_s for one in report.bins], [one.final_ms for one in report.bins]
        known = [value for value in times if value is not None]
        yield (f"transactions/s  {spark(rates, SPARK, plain=plain)}  up to {max(rates, default=0):,.0f}", "")
        if known:
            yield (f"final after ms  {spark(times, SPARK, plain=plain)}  up to {ms(max(known))}", "")
    else:
        yield ("nothing was executed during the measurement: record while the net has work (`bench load`)", "bad")


def _stages(report: Report, *, plain: bool) -> Iterator[Line]:
    yield (f"{'stage':<9}{'mean ms':>9}{'p50':>8}{'p99':>8}{'share':>8}  {'':<{BAR}}  slowest node", "head")
    top = max((row.share for row in report.stages), default=0.0)
    for row in report.stages:
        share = bar(row.share / 100, BAR, plain=plain)
        slowest = f"{row.slowest_node} ({ms(row.slowest_ms)})" if row.slowest_node else "-"
        yield (
            f"{row.stage:<9}{ms(row.mean_ms):>9}{ms(row.p50_ms):>8}{ms(row.p99_ms):>8}{row.share:>6.0f} %  "
            f"{share:<{BAR}}  {slowest}",
            "bad" if row.share == top and top else "",
        )
    if report.between_ms is not None:
        yield (f"{'between':<9}{ms(report.between_ms):>9}  batches in transit, and waiting for a turn", "dim")
    if report.advice:
        worst = max(report.stages, key=lambda row: row.share)
        yield (f"most of the time goes to {worst.stage} ({worst.what}): {report.advice}", "")


def _shards(report: Report) -> Iterator[Line]:
    yield (f"{'shard':<9}{'tx/s':>9}{'final ms':>10}{'p50':>8}{'p99':>8}  most of the time", "head")
    for row in report.shards:
        most = f"{row.slowest_stage} ({ms(row.slowest_ms)} ms)" if row.slowest_stage else "-"
        times = f"{ms(row.final_mean_ms):>10}{ms(row.final_p50_ms):>8}{ms(row.final_p99_ms):>8}"
        yield (f"{row.shard:<9}{row.transactions_per_s:>9,.1f}{times}  {most}", "")


def _slowest(report: Report) -> Iterator[Line]:
    for what, one, does in (
        ("disk", report.slowest_disk, "a sync takes"),
        ("link", report.slowest_link, "a round trip takes"),
        ("node", report.slowest_node, "its own work (checks, execution, store, notifications) takes"),
    ):
        if one is not None:
            others = f", on the others {ms(one.others_ms)} ms" if one.others_ms is not None else ""
            yield (f"slowest {what}  {one.name}: {does} {ms(one.ms)} ms{others}", "")
    if (said := pretended(report)) is not None:
        yield (said, "dim")


def _causes(report: Report) -> Iterator[Line]:
    if not report.causes:
        yield ("no disk, link or node stands out", "good")
    for cause in report.causes:
        yield (f"{cause.code}  {cause.subject}: {cause.evidence}", "bad")
        yield (f"  try: {cause.advice}", "")
