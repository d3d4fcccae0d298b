"""A flame graph as one SVG: each box is a function, as wide as the time in it and in its callees, above its caller.

Invariants: self-contained, without a script or a request; the same profile gives the same picture; names are escaped.
"""

import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from html import escape

WIDTH, ROW, TOP = 1200.0, 18, 44
NARROW = 0.3
"""Boxes below this width are left out."""
CHARACTER = 6.6


@dataclass(slots=True)
class Box:
    """A function on one call path."""

    name: str
    own_ns: int = 0
    calls: int = 0
    below: dict[str, "Box"] = field(default_factory=dict)

    @property
    def total_ns(self) -> int:
        return self.own_ns + sum(box.total_ns for box in self.below.values())

    @property
    def depth(self) -> int:
        return 1 + max((box.depth for box in self.below.values()), default=0)


def tree(profiles: Mapping[str, Sequence[tuple[str, int, int]]]) -> Box:
    """Merges the profiles of nodes by name (paths with own time and calls). If there are several nodes, they are at the
    bottom."""
    root = Box("all")
    for node, paths in profiles.items():
        for path, own_ns, calls in paths:
            names = path.split(";")
            _add(root, [node, *names] if len(profiles) > 1 else names, own_ns, calls)
    return root


def _add(root: Box, names: Iterable[str], own_ns: int, calls: int) -> None:
    box = root
    for name in names:
        box = box.below.setdefault(name, Box(name))
    box.own_ns, box.calls = box.own_ns + own_ns, box.calls + calls


def svg(root: Box, title: str) -> str:
    """Returns the picture. A pointer on a box shows its figures."""
    total, height = root.total_ns, TOP + ROW * root.depth + 10
    boxes = "".join(_boxes(root, 0.0, WIDTH / total, height - 10 - ROW, total)) if total else ""
    said = title if total else f"{title}: no step ran meanwhile"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH:.0f} {height}" '
        'font-family="monospace" font-size="11"><rect width="100%" height="100%" fill="#fffdf8"/>'
        f'<text x="8" y="24" font-size="15">{escape(said)}</text>{boxes}</svg>\n'
    )


def _boxes(box: Box, x: float, scale: float, y: int, total: int) -> Iterator[str]:
    width = box.total_ns * scale
    if width < NARROW:
        return
    share = 100 * box.total_ns / total
    counted = f", {box.calls:,} calls" if box.calls else ""
    told = f"{box.name}: {box.total_ns / 1e6:,.3f} ms ({share:.1f} %), {box.own_ns / 1e6:,.3f} ms its own{counted}"
    hue = zlib.crc32(box.name.rpartition(".")[0].encode()) % 60
    fits = int((width - 6) / CHARACTER)
    label = box.name if len(box.name) <= fits else f"{box.name[: fits - 1]}…" if fits > 2 else ""
    yield (
        f'<g><title>{escape(told)}</title><rect x="{x:.2f}" y="{y}" width="{width:.2f}" height="{ROW - 1}" '
        f'fill="hsl({hue} 85% 68%)" rx="1"/><text x="{x + 3:.2f}" y="{y + 12}">{escape(label)}</text></g>'
    )
    for below in sorted(box.below.values(), key=lambda one: one.name):
        yield from _boxes(below, x, scale, y - ROW, total)
        x += below.total_ns * scale
