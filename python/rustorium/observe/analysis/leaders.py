"""How late each leader's proposals are, as the other validators saw them come.

Invariants: PURE; a leader's own word about itself doesn't count; of too few proposals nothing is said.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rustorium.observe.analysis.gather import Net
from rustorium.observe.analysis.links import Link
from rustorium.observe.analysis.names import LEADER_PROPOSALS, LEADER_SECONDS


@dataclass(frozen=True, slots=True)
class Leader:
    """A validator in the views that it led."""

    name: str
    proposals: float
    """That the one of the others who saw most of them counted."""
    after_ms: float | None
    """Mean time after which they came, since the view's start or since there was work; None where none came."""
    way_ms: float
    """Of this the way to it and back, by the longest of its links."""

    @property
    def late_ms(self) -> float:
        """What the way doesn't explain."""
        return max(0.0, (self.after_ms or 0.0) - self.way_ms)


def leaders_of(net: Net, links: Sequence[Link]) -> list[Leader]:
    """All members of the committee whom anybody else has heard propose, or could have. In the net's order."""
    seen: dict[str, list[tuple[float, float]]] = {}
    for node in net.heard:
        seconds, counts = node.counts(LEADER_SECONDS, "peer"), node.counts(LEADER_PROPOSALS, "peer")
        for place, count in counts.items():
            if place != node.place:
                seen.setdefault(place, []).append((seconds.get(place, 0.0), count))
    if not seen:
        return []
    found = []
    order = {node.name: number for number, node in enumerate(net.nodes)}
    for place, name in sorted(net.names.items(), key=lambda one: order.get(one[1], len(order))):
        heard = seen.get(place, [])
        count = sum(number for _, number in heard)
        after_ms = 1000 * sum(one for one, _ in heard) / count if count else None
        way_ms = max((one.rtt_ms or 0.0 for one in links if name in (one.a, one.b)), default=0.0)
        found.append(Leader(name, max((number for _, number in heard), default=0.0), after_ms, way_ms))
    return found
