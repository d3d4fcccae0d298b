"""A report as one HTML file: charts, tables and words, for readers with nothing but a browser.

Invariants: self-contained; the page forbids itself scripts and requests; every node's text is escaped.
"""

import datetime
from collections.abc import Iterable, Sequence
from html import escape

from rustorium.observe.analysis import charts
from rustorium.observe.analysis.report import Report
from rustorium.observe.analysis.text import final, ms, pretended

POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
HEAT_NODES_MAX = 40
HUES = (210, 265, 330, 20, 45, 95, 150, 185)

STYLE = (
    """
:root {
  color-scheme: light dark;
  --ink: #1b1f24; --paper: #fff; --soft: #667; --rule: #d8dce2; --line: #1f6feb; --bad: #b3470a;
}
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6e8eb; --paper: #14171b; --soft: #99a; --rule: #333a42; --line: #6cb0ff; --bad: #ffa25e; }
}
body {
  font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--paper);
  margin: 0 auto; max-width: 60rem; padding: 1rem;
}
h1 { font-size: 1.4rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
figure { margin: 1rem 0; } figcaption { font-weight: 600; } .unit, .soft { color: var(--soft); font-weight: 400; }
svg { width: 100%; height: auto; } svg text { fill: var(--soft); font-size: 11px; }
.grid { stroke: var(--rule); } .line { fill: none; stroke: var(--line); stroke-width: 1.6; }
.dot, .bar { fill: var(--line); } .bad { fill: var(--bad); }
.cause { border-left: 4px solid var(--bad); padding-left: .8rem; }
.wide { overflow-x: auto; } table { border-collapse: collapse; }
th, td { padding: .2rem .6rem; text-align: right; border-bottom: 1px solid var(--rule); }
th:first-child, td:first-child { text-align: left; }
.legend { list-style: none; padding: 0; display: flex; flex-wrap: wrap; gap: .2rem 1rem; }
.key { display: inline-block; width: .8em; height: .8em; margin-right: .4em; }
"""
    + "".join(
        f".s{i} {{ fill: hsl({h} 60% 52%); }} .b{i} {{ background: hsl({h} 60% 52%); }}\n" for i, h in enumerate(HUES)
    )
    + "".join(f".h{level} {{ background: hsl(24 85% 50% / {level / 12:.2f}); }}\n" for level in range(10))
)


def page(report: Report) -> str:
    """Returns the whole file."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>Rustorium: where time goes</title><style>{STYLE}</style></head><body>\n"
        + "\n".join(
            [
                *_head(report),
                *_causes(report),
                *_stages(report),
                *_shards(report),
                *_time(report),
                *_nodes(report),
                *_links(report),
            ]
        )
        + "\n</body></html>\n"
    )


def _head(report: Report) -> Iterable[str]:
    began = datetime.datetime.fromtimestamp(report.started_ms / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S UTC")
    yield "<h1>Where the time of transactions goes</h1>"
    yield (
        f"<p>{len(report.nodes)} nodes, {report.seconds:,.1f} s from {began}: {report.transactions:,} transactions "
        f"({report.transactions_per_s:,.1f}/s), {final(report)}.</p>"
    )
    if report.cut_off:
        yield "<p>The recording was cut off: this report covers its complete part.</p>"


def _causes(report: Report) -> Iterable[str]:
    yield "<h2>What stands out</h2>"
    if not report.causes:
        yield "<p>No disk, link or node stands out.</p>"
    for cause in report.causes:
        yield (
            f'<p class="cause"><strong>{escape(cause.subject)}</strong> '
            f'<span class="soft">{escape(cause.code)}</span><br>'
            f"{escape(cause.evidence)}.<br>Try: {escape(cause.advice)}.</p>"
        )
    slowest = (("disk", report.slowest_disk), ("link", report.slowest_link), ("node", report.slowest_node))
    said = "; ".join(
        f"slowest {what}: {escape(one.name)} ({ms(one.ms)} ms)" for what, one in slowest if one is not None
    )
    yield f"<p>{said}.</p>" if said else ""


def _stages(report: Report) -> Iterable[str]:
    worst = max(report.stages, key=lambda row: row.share)
    yield "<h2>Stages</h2>"
    yield charts.bars("Mean time of each stage", [(row.stage, row.mean_ms) for row in report.stages], "ms", worst.stage)
    head = ("stage", "count", "mean ms", "p50 ms", "p99 ms", "share %", "slowest node", "its mean ms")
    rows = [
        (
            row.stage,
            f"{row.count:,}",
            ms(row.mean_ms),
            ms(row.p50_ms),
            ms(row.p99_ms),
            f"{row.share:.0f}",
            row.slowest_node or "-",
            ms(row.slowest_ms),
        )
        for row in report.stages
    ]
    yield _table(head, rows)
    yield "<ul>" + "".join(f"<li><b>{row.stage}</b>: {escape(row.what)}</li>" for row in report.stages) + "</ul>"
    if report.between_ms is not None:
        yield f"<p>Between the stages: {ms(report.between_ms)} ms (batches in transit, and waiting for a turn).</p>"
    if report.advice:
        yield f"<p>Most of the time goes to <b>{worst.stage}</b>: {escape(report.advice)}.</p>"


def _shards(report: Report) -> Iterable[str]:
    if not report.shards:
        return
    yield "<h2>Shards</h2>"
    head = ("shard", "tx/s", "final mean ms", "p50 ms", "p99 ms", "slowest stage", "its mean ms")
    rows = [
        (
            str(row.shard),
            f"{row.transactions_per_s:,.1f}",
            ms(row.final_mean_ms),
            ms(row.final_p50_ms),
            ms(row.final_p99_ms),
            row.slowest_stage or "-",
            ms(row.slowest_ms),
        )
        for row in report.shards
    ]
    yield _table(head, rows)


def _time(report: Report) -> Iterable[str]:
    yield "<h2>Over time</h2>"
    yield charts.over_time("Transactions", [one.transactions_per_s for one in report.bins], report.seconds, "a second")
    yield charts.over_time("Time to finality", [one.final_ms for one in report.bins], report.seconds, "ms, mean")
    names, rows = [row.stage for row in report.stages], [one.stages_ms for one in report.bins]
    yield charts.stacked("Stages", names, rows, report.seconds, "ms, means")


def _nodes(report: Report) -> Iterable[str]:
    disk, node = (one.name if one is not None else "" for one in (report.slowest_disk, report.slowest_node))
    yield "<h2>Nodes</h2>"
    yield charts.bars("A sync of the journal", [(r.node, r.sync_ms) for r in report.nodes], "ms", disk)
    yield charts.bars("A node's own work", [(r.node, r.own_ms) for r in report.nodes], "ms", node)
    head = (
        "node",
        "region",
        "tx/s",
        "final p50 ms",
        "final p99 ms",
        "sync ms",
        "persist ms",
        "execute ms",
        "core step ms",
        "proposals after ms",
        "quorum round trip ms",
        "CPU cores",
        "restarts",
        "samples without answer",
    )
    rows = [
        (
            row.node,
            row.region or "-",
            f"{row.transactions_per_s:,.1f}",
            ms(row.final_p50_ms),
            ms(row.final_p99_ms),
            ms(row.sync_ms),
            ms(row.persist_ms),
            ms(row.execute_ms),
            ms(row.step_ms),
            ms(row.proposes_ms),
            ms(row.quorum_rtt_ms),
            f"{row.cpu_cores:.2f}",
            str(row.restarts),
            str(row.silent_looks),
        )
        for row in report.nodes
    ]
    yield _table(head, rows)


def _links(report: Report) -> Iterable[str]:
    if not report.links:
        return
    yield "<h2>Links</h2>"
    if (said := pretended(report)) is not None:
        yield f'<p class="soft">{escape(said)}.</p>'
    names = list(dict.fromkeys(name for link in report.links for name in (link.a, link.b)))
    if len(names) <= HEAT_NODES_MAX:
        yield '<p class="soft">Round trips, ms.</p>'
        yield charts.heat(names, {(one.a, one.b): one.rtt_ms for one in report.links if one.rtt_ms is not None})
    slowest_first = sorted(report.links, key=lambda link: -(link.rtt_ms or 0.0))[:HEAT_NODES_MAX]
    head = ("link", "round trip ms", "usual ms", "lost %", "queued KiB", "up %")
    rows = [
        (
            link.name,
            ms(link.rtt_ms),
            ms(link.usual_ms),
            "-" if link.lost_percent is None else f"{link.lost_percent:.2f}",
            f"{link.queued_bytes / 1024:,.1f}",
            f"{link.up_percent:.0f}",
        )
        for link in slowest_first
    ]
    yield _table(head, rows)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    top = "".join(f'<th scope="col">{escape(name)}</th>' for name in head)
    lines = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return f'<div class="wide"><table><tr>{top}</tr>{lines}</table></div>'
