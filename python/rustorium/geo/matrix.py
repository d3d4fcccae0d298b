"""Usual round trips between regions, as measured by others.

Invariants: PURE; every region has a time to every other one; the time between two machines of one region is that
between two of its zones.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Any

from rustorium.errors import UsageError

US_PER_MS = 1000
IN_REGION_MS = 0.7
"""The round trip inside a region, if the matrix doesn't give it; the transport's shaper uses the same."""
REGIONS_MAX = 64
ROUND_TRIP_MS_MAX = 10_000
"""The longest round trip. A longer one is a mistake of units."""


@dataclass(frozen=True, slots=True)
class Matrix:
    """One-way delays between regions, microseconds: half of the round trip in that direction."""

    regions: tuple[str, ...]
    between_us: tuple[tuple[int, ...], ...]
    """From the row's region to the column's. The diagonal isn't used."""
    inside_us: int
    """From one machine of a region to another one of it."""

    def place(self, region: str) -> int:
        """Returns the region's row. Errors: UsageError."""
        if region not in self.regions:
            close = get_close_matches(region, self.regions, n=1)
            hint = f"did you mean {close[0]}?" if close else f"it has {', '.join(self.regions)}"
            raise UsageError(f"there are no round-trip times for region {region!r}: {hint}")
        return self.regions.index(region)

    def one_way_us(self, source: str, target: str) -> int:
        """Returns the delay between machines of two regions, or of one. Errors: UsageError."""
        if source == target:
            return self.inside_us
        return self.between_us[self.place(source)][self.place(target)]

    def round_trip_us(self, one: str, other: str) -> int:
        """Returns the delay there and back. Errors: UsageError."""
        return self.one_way_us(one, other) + self.one_way_us(other, one)

    def delays_us(self, regions: Sequence[str]) -> list[list[int]]:
        """Returns the delays between machines that stand in these regions; 0 from each to itself. Errors:
        UsageError."""
        places = range(len(regions))
        return [[0 if a == b else self.one_way_us(regions[a], regions[b]) for b in places] for a in places]


def parse_matrix(content: Any, name: str) -> Matrix:
    """Parses the JSON of a matrix: `regions` and `p50` (rows of round trips in milliseconds), or an object `aws` with
    both. `name` is the file's, for the error. Errors: UsageError."""
    try:
        table: Mapping[str, Any] = content.get("aws", content)
        regions = tuple(str(region) for region in table["regions"])
        rows = tuple(tuple(_one_way_us(value) for value in row) for row in table["p50"])
        inside = content.get("intra_region")
        inside_us = _one_way_us(IN_REGION_MS if inside is None else inside["inter_az_rtt_ms_min_typ_max"][1])
    except (ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise UsageError(f"{name} is not a matrix of round-trip times ({error}): name another file") from None
    if not 1 <= len(regions) <= REGIONS_MAX:
        raise UsageError(f"{name} has {len(regions)} regions: give 1 to {REGIONS_MAX}")
    if len(set(regions)) < len(regions) or len(rows) != len(regions) or any(len(row) != len(rows) for row in rows):
        raise UsageError(f"{name} needs each region once, and a row with a time to each of them: correct the file")
    return Matrix(regions, rows, inside_us)


def _one_way_us(round_trip_ms: Any) -> int:
    if isinstance(round_trip_ms, bool) or not isinstance(round_trip_ms, int | float):
        raise TypeError(f"{round_trip_ms!r} is no number of milliseconds")
    if not 0 <= round_trip_ms <= ROUND_TRIP_MS_MAX:
        raise ValueError(f"{round_trip_ms} ms is no round trip")
    return round(round_trip_ms * US_PER_MS / 2)
