"""Draws docs/latency.svg: how long a transaction takes to be final, beside other ledgers on the same machine.

The bars are the newest `main_job-*.json` and `peers-*.json` in benches/results, which `just bench` and
`just bench-peers` write. Errors: SystemExit if one is missing, or the two were measured on different machines.
"""

import json
import math
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
RATE = 100
"""Transactions a second at which the bars were measured."""
WIDTH, LEFT, ROW, TOP = 760, 250, 46, 64
FIRST_MS, LAST_MS = 1.0, 10_000.0


@dataclass(frozen=True, slots=True)
class Bar:
    """One system: its median latency, and the 99th percentile."""

    name: str
    p50_ms: float
    p99_ms: float
    own: bool


def newest(folder: Path, kind: str, recipe: str) -> Any:
    """The newest result of a benchmark."""
    files = sorted(folder.glob(f"{kind}-*.json"))
    if not files:
        raise SystemExit(f"{folder} has no {kind}-*.json: run `just {recipe}` first")
    return json.loads(files[-1].read_text())


def bars(own: Any, peers: Any) -> list[Bar]:
    """All bars, in the order of the page."""
    machines = [(one["machine"]["cpu"], one["machine"]["cores"]) for one in (own, peers)]
    if machines[0] != machines[1]:
        raise SystemExit(f"measured on {machines[0]} and {machines[1]}: measure both on one machine")
    point = next(one for one in own["rooted"] if one["rate"] == RATE)
    found = [Bar("Rustorium", point["p50_ms"], point["p99_ms"], own=True)]
    return found + [Bar(one["name"], one["p50_ms"], one["p99_ms"], own=False) for one in peers["points"]]


def place(ms: float) -> float:
    """The x coordinate of a time; the axis is logarithmic."""
    share = math.log10(max(ms, FIRST_MS) / FIRST_MS) / math.log10(LAST_MS / FIRST_MS)
    return LEFT + share * (WIDTH - LEFT - 30)


def drawn(rows: list[Bar], machine: Any) -> str:
    """The picture."""
    bottom = TOP + ROW * len(rows)
    title = "Milliseconds until a transaction is final"
    said = "; ".join(f"{bar.name} {bar.p50_ms:.0f} ms, p99 {bar.p99_ms:.0f} ms" for bar in rows)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {bottom + 62}" role="img" '
        'aria-labelledby="title desc" font-family="system-ui, sans-serif" font-size="14">',
        f'<title id="title">{title}</title><desc id="desc">{escape(said)}</desc>',
        f'<rect width="{WIDTH}" height="{bottom + 62}" fill="#ffffff"/>',
        f'<text x="20" y="28" font-size="17" font-weight="600" fill="#1f2328">{title}</text>',
        f'<text x="20" y="48" fill="#57606a">{RATE} tx/s; bar: median, line: 99th percentile; logarithmic</text>',
    ]
    for decade in range(int(math.log10(LAST_MS)) + 1):
        x = place(10.0**decade)
        parts.append(f'<path d="M{x:.1f} {TOP}V{bottom}" stroke="#d0d7de"/>')
        parts.append(f'<text x="{x:.1f}" y="{bottom + 18}" text-anchor="middle" fill="#57606a">{10**decade:,}</text>')
    for index, bar in enumerate(rows):
        y = TOP + ROW * index
        start, end, tail = place(FIRST_MS), place(bar.p50_ms), place(bar.p99_ms)
        color = "#0a7f5a" if bar.own else "#8c959f"
        parts += [
            f'<text x="{LEFT - 12}" y="{y + 28}" text-anchor="end" fill="#1f2328">{escape(bar.name)}</text>',
            f'<rect x="{start:.1f}" y="{y + 12}" width="{end - start:.1f}" height="22" rx="3" fill="{color}"/>',
            f'<path d="M{end:.1f} {y + 23}H{tail:.1f}M{tail:.1f} {y + 15}v16" stroke="{color}" stroke-width="2"/>',
            f'<text x="{tail + 8:.1f}" y="{y + 28}" fill="#1f2328">{bar.p50_ms:,.1f} / {bar.p99_ms:,.0f} ms</text>',
        ]
    where = f"{machine['cpu']}, {machine['cores']} cores, {machine['date'][:10]}; just bench, just bench-peers"
    where = escape(f"Four validators and the load on one machine: {where}")
    parts.append(f'<text x="20" y="{bottom + 44}" font-size="12" fill="#57606a">{where}</text>')
    return "\n".join([*parts, "</svg>"]) + "\n"


def main() -> None:
    """Writes the picture."""
    results = ROOT / "benches" / "results"
    own, peers = newest(results, "main_job", "bench"), newest(results, "peers", "bench-peers")
    path = ROOT / "docs" / "latency.svg"
    path.write_text(drawn(bars(own, peers), own["machine"]))
    print(path, file=sys.stderr)


if __name__ == "__main__":
    main()
