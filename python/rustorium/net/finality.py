"""What clients beside each validator of a net with delayed links wait until a transaction is final: at least, by the
distances alone, and on average of late.

Invariants: SYNC; a node that doesn't answer has no figure.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import httpx2

from rustorium.access.netfile import NetNode
from rustorium.geo.floor import Committee, quorum
from rustorium.home.paths import Home
from rustorium.net.distances import read_matrix

TIMEOUT_S = 1.0
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

    def __init__(self, nodes: Sequence[NetNode]) -> None:
        self._nodes = nodes
        self._before = [(0.0, 0.0)] * len(nodes)

    def since_last(self) -> list[float | None]:
        """Returns the means since the last call, milliseconds; `None` for a node without a final transaction."""
        found: list[float | None] = []
        with httpx2.Client(verify=False, trust_env=False, timeout=TIMEOUT_S) as client:
            for place, node in enumerate(self._nodes):
                seconds, count = self._look(client, node, self._before[place])
                before_s, before = self._before[place]
                self._before[place] = seconds, count
                found.append(1000 * (seconds - before_s) / (count - before) if count > before else None)
        return found

    @staticmethod
    def _look(client: httpx2.Client, node: NetNode, before: tuple[float, float]) -> tuple[float, float]:
        """Returns the sum and the count of a node's histogram, of all shards; what was before if it doesn't answer."""
        with suppress(httpx2.HTTPError, OSError, ValueError):
            lines = client.get(f"{node.metrics}/metrics").text.splitlines()
            seconds, count = (
                sum(float(one.rpartition(" ")[2]) for one in lines if one.startswith(f"{HISTOGRAM}_{part}"))
                for part in ("sum", "count")
            )
            return seconds, count
        return before


def line(known: Sequence[Floor], waited: Sequence[float | None]) -> str:
    """Returns what clients beside each validator waited of late, beside the least."""
    parts = [
        f"{floor.region} {ms:,.0f} ms (floor {floor.alone_ms:,.0f})"
        for floor, ms in zip(known, waited, strict=True)
        if ms is not None
    ]
    return f"final in {', '.join(parts)}" if parts else ""
