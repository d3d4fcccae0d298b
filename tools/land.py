"""Writes the outline of the explorer's map, crates/gateway/ui/land.js, from Natural Earth's land at 1:110m.

Natural Earth is in the public domain. Its land comes as TopoJSON in the npm package world-atlas (2.0.2):

    npm pack world-atlas@2.0.2 && tar xzf world-atlas-2.0.2.tgz
    python tools/land.py package/land-110m.json

The outline is an equirectangular projection, simplified to what a screen shows, without small islands and Antarctica.
"""

import json
import math
import sys
from itertools import pairwise
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "crates" / "gateway" / "ui" / "land.js"
UNITS_A_DEGREE = 1500 / 360
NORTH, SOUTH = 84.0, -57.0
TOLERANCE = 1.6
AREA_MIN = 22.0

Point = tuple[float, float]


def rings(topology: dict[str, object]) -> list[list[Point]]:
    """Returns all outer rings of the land, in degrees."""
    decoded = json.loads(json.dumps(topology))
    (scale_x, scale_y), (move_x, move_y) = decoded["transform"]["scale"], decoded["transform"]["translate"]
    arcs: list[list[Point]] = []
    for arc in decoded["arcs"]:
        x = y = 0
        points = []
        for step_x, step_y in arc:
            x, y = x + step_x, y + step_y
            points.append((x * scale_x + move_x, y * scale_y + move_y))
        arcs.append(points)
    found = []
    for geometry in decoded["objects"]["land"]["geometries"]:
        polygons = geometry["arcs"] if geometry["type"] == "MultiPolygon" else [geometry["arcs"]]
        for polygon in polygons:
            ring: list[Point] = []
            for index in polygon[0]:
                ring += (arcs[index] if index >= 0 else arcs[~index][::-1])[1 if ring else 0 :]
            found.append(ring)
    return found


def unwrap(ring: list[Point]) -> list[Point]:
    """Returns a ring that continues across the date line instead of jumping to the other end of the map."""
    found = [ring[0]]
    for east, north in ring[1:]:
        turns = round((found[-1][0] - east) / 360)
        found.append((east + 360 * turns, north))
    return found


def clip(ring: list[Point], limit: float, sign: int) -> list[Point]:
    """The part of a ring that lies on one side of a meridian (Sutherland and Hodgman)."""
    found: list[Point] = []
    for (ax, ay), (bx, by) in pairwise(ring):
        inside, follows = sign * (ax - limit) <= 0, sign * (bx - limit) <= 0
        if inside:
            found.append((ax, ay))
        if inside != follows:
            found.append((limit, ay + (by - ay) * (limit - ax) / (bx - ax)))
    return [*found, found[0]] if found else []


def on_map(ring: list[Point]) -> list[list[Point]]:
    """A ring in the parts that the map's ends cut it into."""
    whole = unwrap(ring)
    copies = ([(east + turn, north) for east, north in whole] for turn in (-360, 0, 360))
    parts = (clip(clip(copy, 180, 1), -180, -1) for copy in copies)
    return [part for part in parts if len(part) > 3]


def project(point: Point) -> Point:
    """Degrees east and north as the map's units."""
    east, north = point
    return (east + 180) * UNITS_A_DEGREE, (NORTH - max(north, SOUTH)) * UNITS_A_DEGREE


def simplify(points: list[Point]) -> list[Point]:
    """Douglas and Peucker's lines: no point of the given ones is farther away than the tolerance."""
    if len(points) < 3:
        return points
    (ax, ay), (bx, by) = points[0], points[-1]
    length = math.hypot(bx - ax, by - ay)

    def away(point: Point) -> float:
        if length == 0:
            return math.hypot(point[0] - ax, point[1] - ay)
        return abs((bx - ax) * (ay - point[1]) - (ax - point[0]) * (by - ay)) / length

    farthest = max(range(1, len(points) - 1), key=lambda index: away(points[index]))
    if away(points[farthest]) <= TOLERANCE:
        return [points[0], points[-1]]
    return simplify(points[: farthest + 1])[:-1] + simplify(points[farthest:])


def area(points: list[Point]) -> float:
    """A ring's area."""
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairwise(points))) / 2


def path(ring: list[Point]) -> str:
    """A ring as an SVG path of whole units, each relative to the one before."""
    whole = [(round(x), round(y)) for x, y in ring]
    steps = [(bx - ax, by - ay) for (ax, ay), (bx, by) in pairwise(whole[:-1])]
    numbers = " ".join(f"{x} {y}" for x, y in steps if (x, y) != (0, 0)).replace(" -", "-")
    return f"M{whole[0][0]} {whole[0][1]}l{numbers}z"


def main(source: str) -> None:
    """Writes the outline."""
    outlines = []
    for ring in (part for whole in rings(json.loads(Path(source).read_text())) for part in on_map(whole)):
        if max(north for _, north in ring) <= SOUTH:
            continue
        projected = [project(point) for point in ring]
        if area(projected) < AREA_MIN:
            continue
        half = len(projected) // 2
        outline = simplify(projected[: half + 1])[:-1] + simplify(projected[half:])
        if len(outline) > 4:
            outlines.append(path(outline))
    height = round((NORTH - SOUTH) * UNITS_A_DEGREE)
    TARGET.write_text(
        "// The outline of the land: Natural Earth 1:110m, in the public domain, simplified by tools/land.py.\n\n"
        f"export const WIDTH = {round(360 * UNITS_A_DEGREE)};\nexport const HEIGHT = {height};\n\n"
        "/** Degrees north and east as a point of the map. */\n"
        "export const project = ([north, east]) =>\n"
        f"  [((east + 180) * WIDTH) / 360, (({NORTH:g} - north) * WIDTH) / 360];\n\n"
        f'export const LAND = "{"".join(outlines)}";\n'
    )
    print(f"{TARGET.name}: {TARGET.stat().st_size:,} bytes, {len(outlines)} outlines")


if __name__ == "__main__":
    main(sys.argv[1])
