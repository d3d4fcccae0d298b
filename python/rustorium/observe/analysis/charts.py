"""Charts as SVG inside a page: lines over time, stacked areas, bars, and a grid of round trips.

Invariants: no script, no request, and no colours (only classes); all text is escaped.
"""

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 720, 180
LEFT, RIGHT, TOP, BOTTOM = 56, 8, 10, 24


def _number(value: float) -> str:
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def _x(place: float, count: int) -> float:
    return LEFT + (WIDTH - LEFT - RIGHT) * place / max(1, count)


def _y(value: float, top: float) -> float:
    return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * (value / top if top > 0 else 0.0)


def _frame(title: str, top: float, seconds: float, unit: str, inside: str) -> str:
    label = escape(title, quote=True)
    marks = "".join(
        f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
        f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(value)}</text>'
        for value, y in ((top * part, _y(part, 1.0)) for part in (0.0, 0.5, 1.0))
    )
    times = "".join(
        f'<text x="{_x(part, 1):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{_number(seconds * part)} s</text>'
        for part, anchor in ((0.0, "start"), (0.5, "middle"), (1.0, "end"))
    )
    return (
        f'<figure><figcaption>{label} <span class="unit">{escape(unit)}</span></figcaption>'
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="{label}">{marks}{times}{inside}</svg></figure>'
    )


def over_time(title: str, values: Sequence[float | None], seconds: float, unit: str) -> str:
    """Draws a line, interrupted at missing values."""
    top = max((value for value in values if value is not None), default=0.0)
    parts: list[list[str]] = [[]]
    for place, value in enumerate(values):
        if value is None:
            parts.append([])
        else:
            parts[-1].append(f"{_x(place + 0.5, len(values)):.1f},{_y(value, top):.1f}")
    drawn = "".join(
        f'<polyline class="line" points="{" ".join(part)}"/>'
        if len(part) > 1
        else f'<circle class="dot" cx="{part[0].partition(",")[0]}" cy="{part[0].partition(",")[2]}" r="2"/>'
        for part in parts
        if part
    )
    return _frame(title, top, seconds, unit, drawn)


def stacked(title: str, names: Sequence[str], rows: Sequence[Sequence[float | None]], seconds: float, unit: str) -> str:
    """Draws a column for each part of the time, stacked by name, with a legend."""
    top = max((sum(value or 0.0 for value in row) for row in rows), default=0.0)
    drawn = []
    for place, row in enumerate(rows):
        below, left, right = 0.0, _x(place, len(rows)), _x(place + 1, len(rows))
        for kind, value in enumerate(row):
            if value:
                y, width = _y(below + value, top), max(0.5, right - left - 0.4)
                said = f"{names[kind]} {_number(value)} {unit}"
                drawn.append(
                    f'<rect class="s{kind}" x="{left:.1f}" y="{y:.1f}" width="{width:.1f}" '
                    f'height="{_y(below, top) - y:.1f}"><title>{escape(said)}</title></rect>'
                )
                below += value
    legend = "".join(f'<li><span class="key b{kind}"></span>{escape(name)}</li>' for kind, name in enumerate(names))
    return _frame(title, top, seconds, unit, "".join(drawn)) + f'<ul class="legend">{legend}</ul>'


def bars(title: str, rows: Sequence[tuple[str, float | None]], unit: str, marked: str = "") -> str:
    """Draws a bar for each name, the marked one in another colour."""
    top, height = max((value or 0.0 for _, value in rows), default=0.0), 22 * len(rows) + 6
    drawn = []
    for place, (name, value) in enumerate(rows):
        y, length = 22 * place + 4, (WIDTH - 260) * ((value or 0.0) / top if top > 0 else 0.0)
        said = "-" if value is None else f"{_number(value)} {unit}"
        kind = "bad" if name == marked else "bar"
        drawn.append(
            f'<text x="150" y="{y + 13}" text-anchor="end">{escape(name)}</text>'
            f'<rect class="{kind}" x="158" y="{y}" width="{max(1.0, length):.1f}" height="16"/>'
            f'<text x="{164 + length:.1f}" y="{y + 13}">{escape(said)}</text>'
        )
    label = escape(title, quote=True)
    return (
        f"<figure><figcaption>{label}</figcaption>"
        f'<svg viewBox="0 0 {WIDTH} {height}" role="img" aria-label="{label}">{"".join(drawn)}</svg></figure>'
    )


def heat(names: Sequence[str], values: dict[tuple[str, str], float]) -> str:
    """Makes a table of the values between each two names; higher values are darker."""
    top = max(values.values(), default=0.0)
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in names)
    lines = []
    for a in names:
        cells = []
        for b in names:
            value = values.get((a, b), values.get((b, a)))
            level = round(9 * value / top) if value is not None and top > 0 else 0
            cells.append("<td></td>" if value is None else f'<td class="h{level}">{_number(value)}</td>')
        lines.append(f'<tr><th scope="row">{escape(a)}</th>{"".join(cells)}</tr>')
    return f'<div class="wide"><table class="heat"><tr><td></td>{head}</tr>{"".join(lines)}</table></div>'
