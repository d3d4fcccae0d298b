"""What clients beside each validator of a net with delayed links wait until a transaction is final: at least, by the
distances alone, and on average of late.

Invariants: SYNC for the files that it reads; a node that doesn't answer has no figure.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rustorium.access.netfile import NetNode
from rustorium.geo.floor import Committee, quorum
from rustorium.home.paths import Home
from rustorium.net.distances import read_matrix
from rustorium.net.scrape import total

HISTOGRAM = "rustorium_gateway_finality_seconds"


@dataclass(frozen=True, slots=True)
class Floor:
    """The least time to finality for clients beside a validator, milliseconds."""

    name: str
    region: str
    alone_ms: float
    """With one transaction under way."""
    loaded_ms: float
    """Under load, where a transaction waits for half a block's time."""


def floors(nodes: Sequence[NetNode]) -> list[Floor]:
    """Returns the floors of a net's validators; none if its links aren't delayed. Errors: UsageError, HomeError."""
    shaper = Home(Path(nodes[0].home)).load_config().config.shaper
    if not shaper.matrix or len(shaper.regions) != len(nodes):
        return []
    delays = read_matrix(Path(shaper.matrix)).delays_us(shaper.regions)
    found = Committee(delays, quorum(len(delays)), shaper.regions).floors()
    return [
        Floor(node.name, region, round(found.alone_us[place] / 1000, 1), round(found.loaded_us(place) / 1000, 1))
        for place, (node, region) in enumerate(zip(nodes, shaper.regions, strict=True))
    ]


class Waited:
    """The mean time to finality for each node's clients, as the nodes measure it."""

    def __init__(self, nodes: int) -> None:
        self._before = [(0.0, 0.0)] * nodes

    def since_last(self, pages: Sequence[Sequence[str]]) -> list[float | None]:
        """Returns the means since the last call, milliseconds; `None` for a node without a final transaction. `pages`:
        the lines of each node's metrics."""
        found: list[float | None] = []
        for place, lines in enumerate(pages):
            before_s, before = self._before[place]
            seconds, count = (total(lines, f"{HISTOGRAM}_{part}") for part in ("sum", "count"))
            if lines:
                self._before[place] = seconds, count
            found.append(1000 * (seconds - before_s) / (count - before) if count > before else None)
        return found


def waited_line(known: Sequence[Floor], waited: Sequence[float | None]) -> str:
    """Returns what clients beside each validator waited of late, beside the least; nothing if nobody waited."""
    parts = [
        f"{floor.region} {ms:,.0f} ms (floor {floor.alone_ms:,.0f})"
        for floor, ms in zip(known, waited, strict=True)
        if ms is not None
    ]
    return f"final in {', '.join(parts)}" if parts else ""
