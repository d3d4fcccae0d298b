"""The report on a recording: stages, nodes, links, the slowest of each kind, causes, and the course over time.

Invariants: a value without a measurement is `None`, never 0; the same recording gives the same report.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from statistics import median
from typing import Any

from rustorium.errors import NotReady
from rustorium.observe.analysis.causes import Cause, faults, find
from rustorium.observe.analysis.gather import Net, Node, Point, together
from rustorium.observe.analysis.leaders import Leader, leaders_of
from rustorium.observe.analysis.links import Link, links_of
from rustorium.observe.analysis.names import FINALITY, STAGES, STEP_WALL, SYNC, TRANSACTIONS

BINS_MAX = 240
OWN = [stage.metric for stage in STAGES if stage.own and stage.name != "pool"]
"""Metrics of a node's own work, without deliberate waits."""


@dataclass(frozen=True, slots=True)
class StageRow:
    """A stage over all nodes. `share`: percent of the sum of the stages' means."""

    stage: str
    count: int
    mean_ms: float | None
    p50_ms: float | None
    p99_ms: float | None
    share: float
    slowest_node: str
    slowest_ms: float | None
    what: str


@dataclass(frozen=True, slots=True)
class NodeRow:
    """A node's own figures."""

    node: str
    region: str
    restarts: int
    silent_looks: int
    transactions_per_s: float
    final_p50_ms: float | None
    final_p99_ms: float | None
    sync_ms: float | None
    persist_ms: float | None
    execute_ms: float | None
    step_ms: float | None
    own_ms: float | None
    """Sum of the mean times of the stages that are its own work."""
    proposes_ms: float | None
    """Mean time after which its proposals come while there is work, as the others see it."""
    quorum_rtt_ms: float | None
    """The round trip to the farthest of the nearest peers that make a quorum with it."""
    cpu_cores: float
    stages: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class ShardRow:
    """A shard over all nodes."""

    shard: int
    transactions: int
    transactions_per_s: float
    final_mean_ms: float | None
    final_p50_ms: float | None
    final_p99_ms: float | None
    slowest_stage: str
    """The stage that takes the most time."""
    slowest_ms: float | None


@dataclass(frozen=True, slots=True)
class Bin:
    """A part of the recorded time. Rates are per second; means in ms, `None` if nothing was measured."""

    at_s: float
    transactions_per_s: float
    final_ms: float | None
    stages_ms: tuple[float | None, ...]


@dataclass(frozen=True, slots=True)
class Slowest:
    """The slowest of a kind, with the median of the others (`None` if there are no others)."""

    name: str
    ms: float
    others_ms: float | None


@dataclass(frozen=True, slots=True)
class Report:
    """The whole report."""

    started_ms: int
    seconds: float
    cut_off: bool
    """`True` if the recording lacks its end."""
    nodes: tuple[NodeRow, ...]
    links: tuple[Link, ...]
    stages: tuple[StageRow, ...]
    shards: tuple[ShardRow, ...]
    """Empty if the net has one shard."""
    transactions: int
    transactions_per_s: float
    final_mean_ms: float | None
    final_p50_ms: float | None
    final_p99_ms: float | None
    between_ms: float | None
    """The part of the mean time to finality that no stage measures: batches in transit, and waiting for a turn."""
    slowest_disk: Slowest | None
    """The slowest disk, by the mean time of a journal sync."""
    slowest_link: Slowest | None
    """The slowest link, by its round trip."""
    slowest_node: Slowest | None
    """The slowest node, by its own work."""
    causes: tuple[Cause, ...]
    advice: str
    """Advice about the stage that takes the most time."""
    bins: tuple[Bin, ...]

    def as_json(self) -> dict[str, Any]:
        """Returns the report for `-o json`."""
        return asdict(self)


def report_of(net: Net) -> Report:
    """Makes the report of a recording's nodes. Errors: NotReady if none of them answered twice."""
    if not net.heard:
        said = next((f" ({node.name} {node.error})" for node in net.nodes if node.error), "")
        raise NotReady(f"no node answered twice{said}: start them, or record for longer")
    links = links_of(net)
    stages = _stages(net)
    final = together(node.spread(FINALITY) for node in net.heard)
    shards = tuple(_shard(net, shard) for shard in net.shards)
    after = _proposes(leaders_of(net, links))
    nodes = tuple(_node(node, links, after.get(node.name)) for node in net.heard)
    total = sum(row.mean_ms or 0.0 for row in stages)
    heaviest = max(stages, key=lambda row: row.share)
    return Report(
        started_ms=net.started_ms,
        seconds=round(net.seconds, 3),
        cut_off=not net.ended,
        nodes=nodes,
        links=tuple(links),
        stages=stages,
        shards=shards if len(shards) > 1 else (),
        transactions=sum(row.transactions for row in shards),
        transactions_per_s=round(sum(row.transactions_per_s for row in shards), 2),
        final_mean_ms=_round(final.mean_ms),
        final_p50_ms=_round(final.quantile_ms(0.5)),
        final_p99_ms=_round(final.quantile_ms(0.99)),
        between_ms=_round(max(0.0, final.mean_ms - total)) if final.mean_ms is not None else None,
        slowest_disk=_slowest([(row.node, row.sync_ms) for row in nodes]),
        slowest_link=_slowest([(link.name, link.rtt_ms) for link in links]),
        slowest_node=_slowest([(row.node, row.own_ms) for row in nodes]),
        causes=tuple(find(net, links)),
        advice=next(stage.advice for stage in STAGES if stage.name == heaviest.stage) if heaviest.share else "",
        bins=_bins(net),
    )


def _stages(net: Net) -> tuple[StageRow, ...]:
    spreads = [together(node.spread(stage.metric) for node in net.heard) for stage in STAGES]
    total = sum(spread.mean_ms or 0.0 for spread in spreads)
    rows = []
    for stage, spread in zip(STAGES, spreads, strict=True):
        means = [(node.name, node.spread(stage.metric).mean_ms) for node in net.heard]
        slowest = _slowest(means)
        name, slowest_ms = (slowest.name, slowest.ms) if slowest is not None else ("", None)
        rows.append(
            StageRow(
                stage.name,
                round(spread.count),
                _round(spread.mean_ms),
                _round(spread.quantile_ms(0.5)),
                _round(spread.quantile_ms(0.99)),
                round(100 * (spread.mean_ms or 0.0) / total, 1) if total else 0.0,
                name,
                slowest_ms,
                stage.what,
            )
        )
    return tuple(rows)


def _shard(net: Net, shard: str) -> ShardRow:
    """Returns the row of a shard: counts are those of the node that counted most."""
    counts = {node.name: node.counts(TRANSACTIONS, "shard").get(shard, 0.0) for node in net.heard}
    most = max(net.heard, key=lambda node: counts[node.name])
    final = together(node.spread(FINALITY, shard) for node in net.heard)
    of_shard = [stage for stage in STAGES if stage.name != "submit"]
    means = [(one.name, together(node.spread(one.metric, shard) for node in net.heard).mean_ms) for one in of_shard]
    slowest = _slowest(means)
    return ShardRow(
        int(shard),
        round(counts[most.name]),
        round(counts[most.name] / most.seconds, 2) if most.seconds > 0 else 0.0,
        _round(final.mean_ms),
        _round(final.quantile_ms(0.5)),
        _round(final.quantile_ms(0.99)),
        slowest.name if slowest is not None else "",
        slowest.ms if slowest is not None else None,
    )


def _proposes(leaders: Sequence[Leader]) -> dict[str, float]:
    """Returns the mean time after which each node proposes, in the shard where that takes longest."""
    found: dict[str, float] = {}
    for leader in leaders:
        if leader.after_ms is not None:
            found[leader.name] = max(leader.after_ms, found.get(leader.name, 0.0))
    return found


def _node(node: Node, links: Sequence[Link], proposes_ms: float | None) -> NodeRow:
    final = node.spread(FINALITY)
    stages = {stage.name: _round(node.spread(stage.metric).mean_ms) for stage in STAGES}
    own = [mean for metric in OWN if (mean := node.spread(metric).mean_ms) is not None]
    return NodeRow(
        node.name,
        node.region,
        node.restarts,
        node.silent,
        _rate(node),
        _round(final.quantile_ms(0.5)),
        _round(final.quantile_ms(0.99)),
        _round(node.spread(SYNC).mean_ms),
        stages["persist"],
        stages["execute"],
        _round(node.spread(STEP_WALL).mean_ms),
        _round(sum(own)) if own else None,
        _round(proposes_ms),
        _round(_quorum_rtt_ms(node, links)),
        round(node.count("rustorium_process_cpu_seconds") / node.seconds, 2) if node.seconds > 0 else 0.0,
        stages,
    )


def _quorum_rtt_ms(node: Node, links: Sequence[Link]) -> float | None:
    """Returns the round trip to a quorum; `None` for a node that isn't a member, or has too few links up."""
    gauge = node.gauge("rustorium_consensus_validators")
    n = round(gauge.last) if gauge is not None and gauge.count else 0
    rtts = sorted(one.rtt_ms for one in links if node.name in (one.a, one.b) and one.rtt_ms is not None)
    others = n - faults(n) - 1
    return rtts[others - 1] if node.places and 0 < others <= len(rtts) else None


def _bins(net: Net) -> tuple[Bin, ...]:
    """Cuts the time into parts of equal length: rates of the node that counted most, means over all nodes."""
    start = min(node.first_ms for node in net.heard)
    end = max(node.last_ms for node in net.heard)
    longest = max(len(node.points) for node in net.heard)
    count = max(1, min(BINS_MAX, longest - 1))
    width_ms = max(1.0, (end - start) / count)
    edges = [start + width_ms * place for place in range(count + 1)]
    tracks = [_at_edges(node.points, edges) for node in net.heard]
    found = []
    for place in range(count):
        pairs = [(track[place], track[place + 1]) for track in tracks]
        found.append(
            Bin(
                round(place * width_ms / 1000, 3),
                round(max(b.transactions - a.transactions for a, b in pairs) / width_ms * 1000, 2),
                _mean_ms([(a.finality, b.finality) for a, b in pairs]),
                tuple(_mean_ms([(a.stages[i], b.stages[i]) for a, b in pairs]) for i in range(len(STAGES))),
            )
        )
    return tuple(found)


def _at_edges(points: Sequence[Point], edges: Sequence[float]) -> list[Point]:
    """Returns the counts at each edge, interpolated between two points."""
    found, place = [], 0
    for edge in edges:
        while place + 1 < len(points) and points[place + 1].at_ms <= edge:
            place += 1
        found.append(points[place].towards(points[min(place + 1, len(points) - 1)], edge))
    return found


def _mean_ms(moved: Sequence[tuple[tuple[float, float], tuple[float, float]]]) -> float | None:
    seconds = sum(after[0] - before[0] for before, after in moved)
    count = sum(after[1] - before[1] for before, after in moved)
    return round(1000 * seconds / count, 2) if count > 0 else None


def _slowest(values: Sequence[tuple[str, float | None]]) -> Slowest | None:
    known = sorted((value, name) for name, value in values if value is not None)
    if not known:
        return None
    (most, name), rest = known[-1], known[:-1]
    return Slowest(name, round(most, 2), round(median(value for value, _ in rest), 2) if rest else None)


def _rate(node: Node) -> float:
    return round(node.count(TRANSACTIONS) / node.seconds, 2) if node.seconds > 0 else 0.0


def _round(value: float | None) -> float | None:
    return None if value is None else round(value, 2)
