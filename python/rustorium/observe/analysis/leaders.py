"""The lateness of each leader's proposals, as the other validators saw it.

Invariants: PURE; a leader's report about itself doesn't count; too few proposals give no verdict.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from rustorium.observe.analysis.gather import Net
from rustorium.observe.analysis.links import Link
from rustorium.observe.analysis.names import LEADER_PROPOSALS, LEADER_SECONDS, shard_of


@dataclass(frozen=True, slots=True)
class Leader:
    """A validator in the views that it led."""

    name: str
    shard: str
    proposals: float
    """Count by the other node that saw most of them."""
    after_ms: float | None
    """Mean time until they came, from the view's start or from when there was work; `None` if none came."""
    way_ms: float
    """The part for the round trip to the leader, by the longest of its links."""

    @property
    def late_ms(self) -> float:
        """The part that the round trip doesn't explain."""
        return max(0.0, (self.after_ms or 0.0) - self.way_ms)


def leaders_of(net: Net, links: Sequence[Link]) -> list[Leader]:
    """Returns all members of the committees that others have heard propose, or could have, in the net's order. A node
    that leads in several shards is there for each."""
    seen: dict[str, list[tuple[float, float]]] = {}
    for node in net.heard:
        seconds, counts = node.counts(LEADER_SECONDS, "peer"), node.counts(LEADER_PROPOSALS, "peer")
        for place, count in counts.items():
            if place not in node.places:
                seen.setdefault(place, []).append((seconds.get(place, 0.0), count))
    shards = {shard_of(place) for place in seen}
    found = []
    order = {node.name: number for number, node in enumerate(net.nodes)}
    for place, name in sorted(net.names.items(), key=lambda one: order.get(one[1], len(order))):
        if shard_of(place) not in shards:
            continue
        heard = seen.get(place, [])
        count = sum(number for _, number in heard)
        after_ms = 1000 * sum(one for one, _ in heard) / count if count else None
        way_ms = max((one.rtt_ms or 0.0 for one in links if name in (one.a, one.b)), default=0.0)
        found.append(Leader(name, shard_of(place), max((number for _, number in heard), default=0.0), after_ms, way_ms))
    return found
