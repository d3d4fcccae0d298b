"""Totals of each node over a recording: changes of its counters, values of its gauges, and the course over time.

Invariants: one pass. A counter that goes back is a restart and loses nothing that was seen. Memory is bounded by the
number of series and of points, however long the recording.
"""

import math
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from rustorium.observe.analysis.names import FINALITY, PLACE, ROOT, STAGES, TRANSACTIONS, member
from rustorium.observe.exposition import Labels, quantile
from rustorium.observe.recording import Look, Recording, Series

POINTS_MAX = 1_024
"""Maximum number of points of a node. Beyond it every second one is dropped, and later ones come half as often."""
COUNTED = ("counter", "histogram")

Key = tuple[str, Labels]


@dataclass(slots=True)
class Gauge:
    """The values of a gauge."""

    total: float = 0.0
    count: int = 0
    highest: float = -math.inf
    last: float = math.nan

    def add(self, value: float) -> None:
        """Adds one look's value."""
        if math.isfinite(value):
            self.total, self.count = self.total + value, self.count + 1
            self.highest, self.last = max(self.highest, value), value

    @property
    def mean(self) -> float:
        return self.total / self.count if self.count else math.nan


@dataclass(frozen=True, slots=True)
class Spread:
    """The counts of a histogram during the recording. Seconds."""

    count: float
    total: float
    buckets: tuple[tuple[float, float], ...]

    @property
    def mean_ms(self) -> float | None:
        return 1000 * self.total / self.count if self.count > 0 else None

    def quantile_ms(self, share: float) -> float | None:
        """Returns a quantile; `None` if nothing was counted."""
        found = quantile(self.buckets, share)
        return None if found is None else 1000 * found


def together(spreads: Iterable[Spread]) -> Spread:
    """Merges the spreads of several nodes."""
    count, total, buckets = 0.0, 0.0, dict[float, float]()
    for one in spreads:
        count, total = count + one.count, total + one.total
        for bound, value in one.buckets:
            buckets[bound] = buckets.get(bound, 0.0) + value
    return Spread(count, total, tuple(sorted(buckets.items())))


@dataclass(frozen=True, slots=True)
class Point:
    """A node at one moment, by its counts since the first look."""

    at_ms: int
    transactions: float
    finality: tuple[float, float]
    """Seconds and number of clients' transactions that became final."""
    stages: tuple[tuple[float, float], ...]
    """The same for each stage, in their order."""

    def towards(self, later: "Point", at_ms: float) -> "Point":
        """Interpolates between this point and a later one."""
        apart_ms = later.at_ms - self.at_ms
        part = min(1.0, max(0.0, (at_ms - self.at_ms) / apart_ms)) if apart_ms > 0 else 0.0

        def mixed(a: tuple[float, float], b: tuple[float, float]) -> tuple[float, float]:
            return a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])

        return Point(
            round(at_ms),
            self.transactions + part * (later.transactions - self.transactions),
            mixed(self.finality, later.finality),
            tuple(mixed(a, b) for a, b in zip(self.stages, later.stages, strict=True)),
        )


@dataclass(slots=True)
class Node:
    """One node in the time of the recording."""

    name: str
    region: str
    looks: int = 0
    silent: int = 0
    error: str = ""
    """The reason for its last missing answer."""
    restarts: int = 0
    first_ms: int = 0
    last_ms: int = 0
    counted: dict[Key, float] = field(default_factory=dict)
    gauges: dict[Key, Gauge] = field(default_factory=dict)
    points: list[Point] = field(default_factory=list)
    place: str = ""
    """The node's name in others' label `peer`, in the root shard's committee; empty if it is not a member."""
    _before: dict[int, float] = field(default_factory=dict)
    _totals: dict[str, float] = field(default_factory=dict)
    """The changes of counters by name, whatever their labels."""
    _every: int = 1

    @property
    def seconds(self) -> float:
        return (self.last_ms - self.first_ms) / 1000

    @property
    def places(self) -> set[str]:
        """The node's names in others' label `peer`, one for each committee that it is a member of."""
        of_shards = self.gauges_by(PLACE, "shard")
        found = {member(shard, f"{gauge.last:g}") for shard, gauge in of_shards.items() if gauge.count}
        return found | ({self.place} if self.place else set())

    def count(self, name: str) -> float:
        """Returns the change of a counter (named without `_total`), all its series together."""
        return self._totals.get(f"{name}_total", 0.0)

    def counts(self, name: str, label: str) -> dict[str, float]:
        """Returns the change of a counter by one label's value. A `peer` is named as links name it."""
        found: dict[str, float] = {}
        for (full, labels), value in self.counted.items():
            if full == f"{name}_total":
                said = _said(dict(labels), label)
                found[said] = found.get(said, 0.0) + value
        return found

    def gauge(self, name: str) -> Gauge | None:
        """Returns a gauge; of several series, as of a node with several shards, the one with the highest value."""
        return self.gauges_by(name, "").get("")

    def gauges_by(self, name: str, label: str) -> dict[str, Gauge]:
        """Returns the series of a gauge by one label's value; of several, the one with the highest value."""
        found: dict[str, Gauge] = {}
        for (full, labels), value in self.gauges.items():
            if full == name:
                said = dict(labels).get(label, "")
                if said not in found or found[said].highest < value.highest:
                    found[said] = value
        return found

    def spread(self, name: str, shard: str | None = None) -> Spread:
        """Returns a histogram: all its series together, or those of a shard."""
        count, total, buckets = 0.0, 0.0, dict[float, float]()
        for (full, labels), value in self.counted.items():
            if not full.startswith(name) or (shard is not None and _said(dict(labels), "shard") != shard):
                continue
            if full == f"{name}_sum":
                total += value
            elif full == f"{name}_count":
                count += value
            elif full == f"{name}_bucket":
                bound = float(dict(labels)["le"])
                buckets[bound] = buckets.get(bound, 0.0) + value
        return Spread(count, total, tuple(sorted(buckets.items())))

    def take(self, look: Look, series: dict[int, Series], kinds: dict[str, tuple[str, str]]) -> None:
        """Takes one more look at the node."""
        if look.error:
            self.silent, self.error = self.silent + 1, look.error
            return
        first = self.looks == 0
        self.looks, self.last_ms = self.looks + 1, look.at_ms
        if first:
            self.first_ms = look.at_ms
        before, now, back = self._before, dict[int, float](), False
        for number, value in look.values.items():
            one = series[number]
            key = (one.name, one.labels)
            if kinds[one.family][0] not in COUNTED:
                self.gauges.setdefault(key, Gauge()).add(value)
                continue
            now[number] = value
            was = before.get(number, value if first else 0.0)
            back = back or (value < was and one.name == f"{TRANSACTIONS}_total")
            moved = value - was if value >= was else value
            self.counted[key] = self.counted.get(key, 0.0) + moved
            self._totals[one.name] = self._totals.get(one.name, 0.0) + moved
        self._before = now
        self.restarts += back
        for (name, labels), _ in self.gauges.items():
            if name == "rustorium_node_build":
                self.place = dict(labels).get("place", "")
        self._point(look.at_ms)

    def _point(self, at_ms: int) -> None:
        if (self.looks - 1) % self._every:
            return
        self.points.append(
            Point(at_ms, self.count(TRANSACTIONS), self._sum(FINALITY), tuple(self._sum(one.metric) for one in STAGES))
        )
        if len(self.points) > POINTS_MAX:
            self.points, self._every = self.points[::2], self._every * 2

    def _sum(self, name: str) -> tuple[float, float]:
        return self._totals.get(f"{name}_sum", 0.0), self._totals.get(f"{name}_count", 0.0)


def _said(labels: Mapping[str, str], label: str) -> str:
    said = labels.get(label, ROOT if label == "shard" else "")
    return member(labels.get("shard", ROOT), said) if label == "peer" else said


@dataclass(frozen=True, slots=True)
class Net:
    """All nodes of a recording."""

    nodes: tuple[Node, ...]
    started_ms: int
    ended: bool
    names: Mapping[str, str]
    """Names by what links call the members of the committees."""

    @property
    def seconds(self) -> float:
        return max((node.seconds for node in self.nodes), default=0.0)

    @property
    def shards(self) -> list[str]:
        """The shards that executed transactions, in order."""
        found = {shard for node in self.heard for shard in node.counts(TRANSACTIONS, "shard")}
        return sorted(found, key=lambda shard: (len(shard), shard))

    @property
    def heard(self) -> list[Node]:
        """The nodes that answered at least twice: one look shows no change."""
        return [node for node in self.nodes if node.looks > 1]

    def name_of(self, place: str) -> str:
        """Returns the node's name for a peer's label."""
        shard, slash, number = place.partition("/")
        unknown = f"validator {number} of shard {shard}" if slash else f"validator {place}"
        return self.names.get(place, unknown)


def gather(recording: Recording) -> Net:
    """Reads a recording to its end. Errors: RecordingError."""
    nodes = {target.name: Node(target.name, target.region) for target in recording.nodes}
    for look in recording:
        nodes[look.node].take(look, recording.series, recording.families)
    return Net(tuple(nodes.values()), recording.started_ms, recording.ended, _names(nodes.values()))


def _names(nodes: Collection[Node]) -> dict[str, str]:
    """Returns names by place. If one silent node and one unknown place are left, they belong together."""
    found = {place: node.name for node in nodes for place in node.places}
    seen = {peer for node in nodes for peer in node.gauges_by("rustorium_transport_link_up", "peer")}
    left, silent = seen - found.keys(), [node.name for node in nodes if not node.looks]
    return found | dict(zip(left, silent, strict=True)) if len(left) == len(silent) == 1 else found
