"""The links of a net as both of their ends measured them, with the usual figures for their distance.

Invariants: a link is named by its ends in the net's order; a value without a measurement is `None`, never 0.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.observe.analysis.gather import Gauge, Net, Node
from rustorium.observe.analysis.names import RTT

PRETENDED_SHARE, PRETENDED_MS_MIN = 0.25, 10.0
"""A round trip below this share of the usual one, over a distance of at least so many ms, contradicts the region."""
SENT_MIN = 200
"""Minimum number of packets to compute a share of lost ones."""


@dataclass(frozen=True, slots=True)
class Link:
    """The link between two validators, both directions."""

    a: str
    b: str
    rtt_ms: float | None
    """Mean of the looks of both ends. For a link whose distance is pretended, the usual round trip is added."""
    usual_ms: float | None
    """An earlier measurement between data centres of their regions; `None` if there is no such figure."""
    lost_percent: float | None
    queued_bytes: float
    """Mean number of bytes that waited to be sent, on the fuller side."""
    up_percent: float
    pretended: bool = False
    """`True` if the link is too fast for its regions: a devnet, which delays above QUIC, or wrongly named regions."""

    @property
    def name(self) -> str:
        return f"{self.a} – {self.b}"


@cache
def _usual() -> Mapping[tuple[str, str], float]:
    matrix = read_matrix(RTT_MATRIX)
    return {(a, b): 2 * matrix.one_way_us(a, b) / 1000 for a in matrix.regions for b in matrix.regions}


def links_of(net: Net) -> list[Link]:
    """Returns all links between nodes that were asked. A link whose other end wasn't asked is known from one end
    alone."""
    seen: dict[tuple[str, str], list[tuple[Node, str]]] = {}
    order = {node.name: place for place, node in enumerate(net.nodes)}
    for node in net.heard:
        for peer in node.gauges_by("rustorium_transport_link_up", "peer"):
            ends = sorted((node.name, net.name_of(peer)), key=lambda name: order.get(name, len(order)))
            seen.setdefault((ends[0], ends[1]), []).append((node, peer))
    regions = {node.name: node.region for node in net.nodes}
    return [_link(a, b, regions, sides) for (a, b), sides in seen.items() if a != b]


def _link(a: str, b: str, regions: Mapping[str, str], sides: list[tuple[Node, str]]) -> Link:
    rtts = [one for node, peer in sides if (one := _gauge(node, RTT, peer)) is not None and one.count]
    ups = [one.mean for node, peer in sides if (one := _gauge(node, "rustorium_transport_link_up", peer)) is not None]
    sent = sum(node.counts("rustorium_transport_sent_packets", "peer").get(peer, 0.0) for node, peer in sides)
    lost = sum(node.counts("rustorium_transport_lost_packets", "peer").get(peer, 0.0) for node, peer in sides)
    queues = [_gauge(node, "rustorium_transport_queue_bytes", peer) for node, peer in sides]
    count = sum(one.count for one in rtts)
    rtt_ms = 1000 * sum(one.total for one in rtts) / count if count else None
    usual_ms = _usual().get((regions.get(a, ""), regions.get(b, "")))
    pretended = (
        rtt_ms is not None
        and usual_ms is not None
        and usual_ms >= PRETENDED_MS_MIN
        and rtt_ms < PRETENDED_SHARE * usual_ms
    )
    return Link(
        a,
        b,
        (rtt_ms or 0.0) + (usual_ms or 0.0) if pretended else rtt_ms,
        usual_ms,
        100 * lost / sent if sent >= SENT_MIN else None,
        max((one.mean for one in queues if one is not None and one.count), default=0.0),
        100 * min(ups, default=0.0),
        pretended,
    )


def _gauge(node: Node, name: str, peer: str) -> Gauge | None:
    return node.gauges_by(name, "peer").get(peer)
