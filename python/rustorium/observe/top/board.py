"""The content of `top`: from the newest looks at all nodes, a line for each node, link and finding.

Invariants: only the last looks are kept. Rates and latencies cover the last `WINDOW` looks alone. A node that is silent
or has restarted shows no rate, never an old one.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from rustorium.health.catalogue import FINDINGS
from rustorium.observe.analysis.gather import Spread, together
from rustorium.observe.analysis.names import FINALITY, PLACE, ROOT, RTT, SYNC, TRANSACTIONS, member
from rustorium.observe.exposition import Family
from rustorium.observe.figures import Metrics
from rustorium.observe.scrape import Scrape

WINDOW = 10
HISTORY_MAX = 240


@dataclass(frozen=True, slots=True)
class NodeLine:
    """The current state of a node."""

    node: str
    state: str
    """`ready`, `not ready` or `silent`."""
    height: int | None = None
    view: int | None = None
    transactions_per_s: float | None = None
    final_p50_ms: float | None = None
    final_p99_ms: float | None = None
    sync_ms: float | None = None
    pool: int | None = None
    links: str = ""
    """Number of links that are up, of all."""
    cpu_cores: float | None = None
    memory_mib: int | None = None
    findings: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ShardLine:
    """The current state of a shard, over all nodes."""

    shard: int
    nodes: int
    """Number of nodes that run it."""
    height: int | None
    behind: int
    """Heights by which the lowest node is behind the highest one."""
    transactions_per_s: float | None
    """As the node counts that counts most."""
    final_p50_ms: float | None
    final_p99_ms: float | None
    pool: int | None
    missing: int | None
    """Validators that are missed, as the node counts that misses most."""


@dataclass(frozen=True, slots=True)
class LinkLine:
    """A link as one of its ends sees it."""

    node: str
    peer: str
    up: bool
    rtt_ms: float | None
    lost_percent: float | None
    queued_kib: float
    sent_kib_per_s: float | None


@dataclass(frozen=True, slots=True)
class FindingLine:
    """A problem that a node found with itself, or the fact that it doesn't answer."""

    node: str
    code: str
    advice: str


@dataclass(frozen=True, slots=True)
class Snapshot:
    """Everything that one look shows."""

    at_ms: int
    nodes: tuple[NodeLine, ...]
    shards: tuple[ShardLine, ...]
    links: tuple[LinkLine, ...]
    findings: tuple[FindingLine, ...]
    height: int | None
    behind: int
    """Heights by which the lowest answering node is behind the highest one of the same shard, at most."""
    transactions_per_s: float | None
    final_p50_ms: float | None
    final_p99_ms: float | None
    rates: tuple[float | None, ...]
    """Transactions a second of the last looks."""


@dataclass(slots=True)
class _NodeHistory:
    looks: "deque[Scrape]" = field(default_factory=lambda: deque(maxlen=WINDOW + 1))

    def take(self, scrape: Scrape) -> None:
        if not scrape.ok:
            self.looks.clear()
            return
        if self.looks and _count(scrape.families, TRANSACTIONS) < _count(self.looks[-1].families, TRANSACTIONS):
            self.looks.clear()
        self.looks.append(scrape)

    @property
    def seconds(self) -> float:
        return (self.looks[-1].at_ms - self.looks[0].at_ms) / 1000 if len(self.looks) > 1 else 0.0

    def rate(self, name: str, shard: str | None = None) -> float | None:
        """Returns the rate per second in the window, of all shards or of one."""
        if self.seconds <= 0:
            return None
        first, last = (_count(self.looks[place].families, name, shard) for place in (0, -1))
        return max(0.0, last - first) / self.seconds

    def spread(self, name: str, shard: str | None = None) -> Spread:
        """Returns what a histogram counted in the window, of all shards or of one."""
        if len(self.looks) < 2:
            return Spread(0.0, 0.0, ())
        first, last = (_histogram(self.looks[place].families, name, shard) for place in (0, -1))
        before = dict(first.buckets)
        moved = tuple((bound, max(0.0, count - before.get(bound, 0.0))) for bound, count in last.buckets)
        return Spread(last.count - first.count, last.total - first.total, moved)


class Board:
    """Takes looks at all nodes, one after another."""

    def __init__(self) -> None:
        self._kept: dict[str, _NodeHistory] = {}
        self._rates: deque[float | None] = deque(maxlen=HISTORY_MAX)

    def take(self, scrapes: Sequence[Scrape]) -> Snapshot:
        """Takes the next look."""
        for scrape in scrapes:
            self._kept.setdefault(scrape.node, _NodeHistory()).take(scrape)
        names = {place: scrape.node for scrape in scrapes for place in _places(scrape.families)}
        nodes = tuple(self._node(scrape) for scrape in scrapes)
        heights = [line.height for line in nodes if line.height is not None]
        shards = self._shards([scrape for scrape in scrapes if scrape.ok])
        rates = [line.transactions_per_s for line in shards if line.transactions_per_s is not None]
        self._rates.append(sum(rates) if rates else None)
        final = together(self._kept[scrape.node].spread(FINALITY) for scrape in scrapes)
        return Snapshot(
            at_ms=max((scrape.at_ms for scrape in scrapes), default=0),
            nodes=nodes,
            shards=shards,
            links=tuple(line for scrape in scrapes for line in self._links(scrape, names)),
            findings=tuple(line for scrape in scrapes for line in _findings(scrape)),
            height=max(heights, default=None),
            behind=max((line.behind for line in shards), default=0),
            transactions_per_s=self._rates[-1],
            final_p50_ms=final.quantile_ms(0.5),
            final_p99_ms=final.quantile_ms(0.99),
            rates=tuple(self._rates),
        )

    def _node(self, scrape: Scrape) -> NodeLine:
        if not scrape.ok:
            return NodeLine(scrape.node, "silent", findings=1, error=scrape.error)
        kept, metrics = self._kept[scrape.node], Metrics(scrape.families)
        final, memory = kept.spread(FINALITY), metrics.value("rustorium_process_resident_memory_bytes")
        up = _by(scrape.families, "rustorium_transport_link_up", "peer")
        return NodeLine(
            node=scrape.node,
            state="ready" if metrics.value("rustorium_node_ready") else "not ready",
            height=_whole(metrics.value("rustorium_consensus_height", max)),
            view=_whole(metrics.value("rustorium_consensus_view", max)),
            transactions_per_s=kept.rate(TRANSACTIONS),
            final_p50_ms=final.quantile_ms(0.5),
            final_p99_ms=final.quantile_ms(0.99),
            sync_ms=kept.spread(SYNC).mean_ms,
            pool=_whole(metrics.value("rustorium_txpool_transactions")),
            links=f"{sum(value > 0 for value in up.values())}/{len(up)}",
            cpu_cores=kept.rate("rustorium_process_cpu_seconds"),
            memory_mib=None if memory is None else round(memory / 2**20),
            findings=len(_codes(scrape.families)),
        )

    def _shards(self, scrapes: Sequence[Scrape]) -> tuple[ShardLine, ...]:
        heights = [_by(scrape.families, "rustorium_consensus_height", "shard", ROOT) for scrape in scrapes]
        shards = sorted({int(shard) for of_node in heights for shard in of_node})
        return tuple(self._shard(str(shard), scrapes, heights) for shard in shards)

    def _shard(self, shard: str, scrapes: Sequence[Scrape], heights: Sequence[dict[str, float]]) -> ShardLine:
        own = [int(of_node[shard]) for of_node in heights if shard in of_node]
        kept = [self._kept[scrape.node] for scrape in scrapes]
        rates = [rate for one in kept if (rate := one.rate(TRANSACTIONS, shard)) is not None]
        final = together(one.spread(FINALITY, shard) for one in kept)

        def most(name: str) -> int | None:
            found = [_by(scrape.families, name, "shard", ROOT) for scrape in scrapes]
            return _whole(max((one[shard] for one in found if shard in one), default=None))

        return ShardLine(
            shard=int(shard),
            nodes=len(own),
            height=max(own, default=None),
            behind=max(own, default=0) - min(own, default=0),
            transactions_per_s=max(rates, default=None),
            final_p50_ms=final.quantile_ms(0.5),
            final_p99_ms=final.quantile_ms(0.99),
            pool=most("rustorium_txpool_transactions"),
            missing=most("rustorium_consensus_missing_validators"),
        )

    def _links(self, scrape: Scrape, names: dict[str, str]) -> list[LinkLine]:
        kept, families = self._kept[scrape.node], scrape.families
        first = kept.looks[0].families if len(kept.looks) > 1 else {}
        up, rtts = _by(families, "rustorium_transport_link_up", "peer"), _by(families, RTT, "peer")
        queued = _by(families, "rustorium_transport_queue_bytes", "peer")
        sent, lost, bytes_ = (
            _moved(first, families, f"rustorium_transport_{name}")
            for name in ("sent_packets", "lost_packets", "sent_bytes")
        )
        return [
            LinkLine(
                scrape.node,
                names.get(peer, f"validator {peer}"),
                value > 0,
                1000 * rtts[peer] if peer in rtts else None,
                100 * lost.get(peer, 0.0) / sent[peer] if sent.get(peer) else None,
                queued.get(peer, 0.0) / 1024,
                bytes_[peer] / 1024 / kept.seconds if kept.seconds > 0 and peer in bytes_ else None,
            )
            for peer, value in up.items()
        ]


def _count(families: dict[str, Family], name: str, shard: str | None = None) -> float:
    return Metrics(_of_shard(families, name, shard)).value(name) or 0.0


def _histogram(families: dict[str, Family], name: str, shard: str | None = None) -> Spread:
    families = _of_shard(families, name, shard)
    family = families.get(name)
    total = sum(one.value for one in family.samples if one.name == f"{name}_sum") if family is not None else 0.0
    buckets = Metrics(families).histogram(name)
    return Spread(buckets[-1][1] if buckets else 0.0, total, tuple(buckets))


def _of_shard(families: dict[str, Family], name: str, shard: str | None) -> dict[str, Family]:
    """Returns a metric with the series of one shard; of all shards for `None`."""
    family = families.get(name)
    if shard is None or family is None:
        return families
    own = [sample for sample in family.samples if dict(sample.labels).get("shard", ROOT) == shard]
    return {name: replace(family, samples=own)}


def _by(families: dict[str, Family], name: str, label: str, missing: str = "") -> dict[str, float]:
    """Returns the sums of a metric's series by one label's value; `missing`: that of series without the label."""
    found: dict[str, float] = {}
    family = families.get(name)
    for sample in family.samples if family is not None else ():
        key = dict(sample.labels).get(label, missing)
        found[key] = found.get(key, 0.0) + sample.value
    return found


def _moved(first: dict[str, Family], last: dict[str, Family], name: str) -> dict[str, float]:
    """Returns the changes since the first look; series that restarted are left out."""
    before = _by(first, name, "peer")
    return {
        peer: value - before[peer]
        for peer, value in _by(last, name, "peer").items()
        if peer in before and value >= before[peer]
    }


def _places(families: dict[str, Family]) -> set[str]:
    """Returns what others call a node in the label `peer`."""
    family = families.get("rustorium_node_build")
    place = dict(family.samples[0].labels).get("place", "") if family is not None and family.samples else ""
    found = {member(shard, f"{value:g}") for shard, value in _by(families, PLACE, "shard", ROOT).items()}
    return found | ({place} if place else set())


def _codes(families: dict[str, Family]) -> list[str]:
    return sorted(code for code, value in _by(families, "rustorium_node_finding", "code").items() if value > 0)


def _findings(scrape: Scrape) -> list[FindingLine]:
    if not scrape.ok:
        return [FindingLine(scrape.node, "silent", scrape.error)]
    return [
        FindingLine(scrape.node, code, FINDINGS[code].advice if code in FINDINGS else "run `status check`")
        for code in _codes(scrape.families)
    ]


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
