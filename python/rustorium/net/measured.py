"""How far a net's validators are from each other as they measure it, and how near to the floor its finality is.

Invariants: SYNC for what it asks; a way that neither end has measured is unknown, and no floor is computed without it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rustorium.geo.floor import Committee, quorum
from rustorium.geo.matrix import ROUND_TRIP_MS_MAX, Matrix
from rustorium.net.finality import Waited
from rustorium.types import NodeStatus

ROUND_TRIP_US_MAX = 1000 * ROUND_TRIP_MS_MAX
FLOORS_MAX = 32
"""The largest committee whose floors are computed: the work grows with the fourth power."""


@dataclass(frozen=True, slots=True)
class Place:
    """A validator, as its committee sees it."""

    name: str
    region_name: str
    round_trips_ms: dict[str, float]
    """To the others, by their names: what this one measured, or else what they did."""
    usual_ms: dict[str, float]
    """What is usual between the regions, where the matrix knows both."""
    floor_ms: float | None
    """The least time to finality for clients beside it, by what was measured."""
    usual_floor_ms: float | None
    final_ms: float | None
    """What its clients wait on average, since it started."""


def places(
    validators: Sequence[Mapping[str, Any]],
    regions: Sequence[str],
    statuses: Sequence[NodeStatus],
    pages: Mapping[str, Sequence[str]],
    matrix: Matrix,
) -> list[Place]:
    """Returns the members of a committee. `regions`: their regions' names; `statuses`: those of the nodes that answer;
    `pages`: the lines of nodes' metrics, by name."""
    names = [str(one["name"]) for one in validators]
    told = {one.node: _told(one) for one in statuses if one.raw}
    measured = [[_between_us(told, one, other) for other in names] for one in names]
    known = [[None if one == other else _usual_us(matrix, one, other) for other in regions] for one in regions]
    floors, usual = _floors(measured), _floors(known)
    found = []
    for place, name in enumerate(names):
        trips = {other: us / 1000 for other, us in zip(names, measured[place], strict=True) if us and other != name}
        common = {other: us / 1000 for other, us in zip(names, known[place], strict=True) if us and other != name}
        found.append(
            Place(name, regions[place], trips, common, floors[place], usual[place], _final_ms(pages.get(name, ())))
        )
    return found


def _told(status: NodeStatus) -> dict[str, int]:
    """What a node says that it measured; nothing if it says no numbers."""
    found = status.raw.get("round_trips_us")
    pairs = found.items() if isinstance(found, dict) else ()
    return {str(name): us for name, us in pairs if type(us) is int and 0 < us <= ROUND_TRIP_US_MAX}


def _between_us(told: Mapping[str, Mapping[str, int]], one: str, other: str) -> int | None:
    if one == other:
        return 0
    return told.get(one, {}).get(other) or told.get(other, {}).get(one)


def _usual_us(matrix: Matrix, one: str, other: str) -> int | None:
    known = one in matrix.regions and other in matrix.regions
    return matrix.round_trip_us(one, other) if known else None


def _floors(round_trips_us: Sequence[Sequence[int | None]]) -> list[float | None]:
    """Returns the floor at each place; unknown if any way is."""
    n = len(round_trips_us)
    if n > FLOORS_MAX:
        return [None] * n
    delays = [[0] * n for _ in range(n)]
    for one in range(n):
        for other in range(n):
            us = round_trips_us[one][other]
            if one != other and us is None:
                return [None] * n
            delays[one][other] = (us or 0) // 2 if one != other else 0
    committee = Committee(delays, quorum(n))
    return [round(committee.alone_us(place) / 1000, 1) for place in range(n)]


def _final_ms(lines: Sequence[str]) -> float | None:
    [ms] = Waited(1).since_last([lines])
    return None if ms is None else round(ms, 1)
