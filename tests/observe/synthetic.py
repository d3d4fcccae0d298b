"""Recordings of nets that never ran: each figure is chosen, so that the slow parts are known.

Invariants: the same net gives the same bytes; a node's text has the form of real metrics.
"""

import bisect
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from rustorium.access.files import create
from rustorium.observe.analysis.names import (
    FINALITY,
    LEADER_PROPOSALS,
    LEADER_SECONDS,
    PLACE,
    ROOT,
    STAGES,
    STEP_CPU,
    STEP_WALL,
    SYNC,
    member,
)
from rustorium.observe.boards import OF_SHARD
from rustorium.observe.exposition import Family, parse
from rustorium.observe.recording import Recorder, Recording
from rustorium.observe.scrape import Scrape, Target

BOUNDS = [0.00002 * 2**power for power in range(22)]
STAGE_MS = {
    "submit": 0.4, "pool": 2.0, "propose": 3.0, "notarize": 4.0, "finalize": 3.0, "execute": 0.8, "persist": 0.9,
    "notify": 0.1,
}  # fmt: skip


@dataclass
class SyntheticNet:
    """A net in which everything is as fast as on one machine, except what a test makes slow."""

    n: int = 4
    regions: tuple[str, ...] = ("local",)
    looks: int = 12
    per_look: int = 50
    """Number of views, with a transaction each."""
    sync_ms: dict[int, float] = field(default_factory=dict)
    rtt_ms: dict[tuple[int, int], float] = field(default_factory=dict)
    usual_rtt_ms: float = 0.5
    lost: dict[tuple[int, int], float] = field(default_factory=dict)
    """Share of lost packets, by link."""
    down: set[tuple[int, int]] = field(default_factory=set)
    queued: dict[tuple[int, int], int] = field(default_factory=dict)
    stage_ms: dict[tuple[int, str], float] = field(default_factory=dict)
    step_ms: dict[int, tuple[float, float]] = field(default_factory=dict)
    """CPU and wall time of a step."""
    busy: dict[int, int] = field(default_factory=dict)
    """Number of refusals in each scrape."""
    late_ms: dict[int, float] = field(default_factory=dict)
    """Delay between work and a leader's proposal."""
    loses: dict[int, float] = field(default_factory=dict)
    """Share of a leader's views in which it proposes nothing."""
    nullified: int = 0
    """Views that end without a block, in each scrape."""
    findings: dict[int, str] = field(default_factory=dict)
    silent: set[int] = field(default_factory=set)
    restarts: dict[int, int] = field(default_factory=dict)
    """The scrape at which a node has restarted."""
    named_shard: str | None = "0"
    """The label `shard`; `None` as in releases with a single shard."""
    committee: tuple[int, ...] = ()
    """The shard's members; all nodes if empty. Others don't host it, unless it is the root shard."""
    also: "SyntheticNet | None" = None
    """Another shard of the same nodes."""

    @property
    def members(self) -> tuple[int, ...]:
        return self.committee or tuple(range(self.n))

    def record(self, path: Path) -> Recording:
        """Writes the recording; each node answers a few ms after the one before."""
        targets = [
            Target(f"node-{i}", f"http://127.0.0.1:{i + 1}", self.regions[i % len(self.regions)]) for i in range(self.n)
        ]
        with create(path) as out:
            recorder = Recorder(out, targets, 1_000_000, 1_000)
            for look in range(self.looks):
                for index, target in enumerate(targets):
                    at_ms = 1_000_000 + 1_000 * look + 3 * index
                    if index in self.silent:
                        recorder.add(Scrape(target.name, at_ms, 9, {}, "doesn't answer (refused)"))
                    else:
                        recorder.add(Scrape(target.name, at_ms, 3, self.families(index, look)))
            recorder.end(1_000_000 + 1_000 * self.looks)
        return Recording.open(path)

    def families(self, index: int, look: int) -> dict[str, Family]:
        """Returns what a node shows in a scrape, of all shards that it hosts."""
        found = parse(self.text(index, look).encode())
        if self.also is not None and index in self.also.members:
            for name, family in parse(self.also.text(index, look).encode()).items():
                if OF_SHARD.match(name):
                    found[name].samples.extend(family.samples)
        return found

    def text(self, index: int, look: int) -> str:
        """Returns a node's text in a scrape."""
        since = self.restarts.get(index, 0)
        done = (look + 1 if look < since else look - since + 1) * self.per_look
        place = self.members.index(index) if index in self.members else None
        lines = [
            *_gauge("rustorium_node_build", {f'name="node-{index}",place="{"" if place is None else place}"': 1}),
            *_gauge(PLACE, {"": place} if place is not None and self.named_shard is not None else {}),
            *_gauge("rustorium_node_ready", {"": 1}),
            *_gauge("rustorium_consensus_height", {"": done}),
            *_gauge("rustorium_consensus_validators", {"": self.n}),
            *_counter("rustorium_execution_transactions", {"": done}),
            *_counter("rustorium_gateway_busy", {"": self.busy.get(index, 0) * look}),
            *_counter("rustorium_consensus_nullified_views", {"": self.nullified * look}),
            *_counter("rustorium_process_cpu_seconds", {"": 0.2 * look}),
            *_gauge("rustorium_node_finding", {f'code="{code}"': 1 for i, code in self.findings.items() if i == index}),
            *self._links(index, done),
            *self._leaders(done),
            *_histogram(FINALITY, done, sum(STAGE_MS.values()) + 2.0),
            *_histogram("rustorium_consensus_view_seconds", done, 20.0),
            *_histogram(SYNC, 2 * done, self.sync_ms.get(index, 0.6)),
        ]
        cpu_ms, wall_ms = self.step_ms.get(index, (0.1, 0.12))
        lines += [*_histogram(STEP_CPU, 6 * done, cpu_ms), *_histogram(STEP_WALL, 6 * done, wall_ms)]
        for stage in STAGES:
            lines += _histogram(stage.metric, done, self.stage_ms.get((index, stage.name), STAGE_MS[stage.name]))
        return "\n".join([*map(self._with_shard, lines), "# EOF", ""])

    def _with_shard(self, line: str) -> str:
        if self.named_shard is None or not OF_SHARD.match(line):
            return line
        name, value = line.rsplit(" ", 1)
        bare, _, labels = name.partition("{")
        inside = ",".join([f'shard="{self.named_shard}"', *([labels[:-1]] if labels else [])])
        return f"{bare}{{{inside}}} {value}"

    def _leaders(self, done: int) -> list[str]:
        members = self.members
        came = {
            place: int(done / len(members) * (1 - self.loses.get(leader, 0.0))) for place, leader in enumerate(members)
        }
        after = {place: self.late_ms.get(leader, STAGE_MS["propose"]) / 1000 for place, leader in enumerate(members)}
        return [
            *_counter(LEADER_SECONDS, {f'peer="{leader}"': count * after[leader] for leader, count in came.items()}),
            *_counter(LEADER_PROPOSALS, {f'peer="{leader}"': count for leader, count in came.items()}),
        ]

    def _links(self, index: int, done: int) -> list[str]:
        linked = {*self.members, *(self.also.members if self.also is not None else ())}
        peers = [peer for peer in range(self.n) if peer != index and peer in linked]
        up = [peer for peer in peers if not self._of(self.down, index, peer) and peer not in self.silent]
        rtts = {peer: self.rtt_ms.get((min(index, peer), max(index, peer)), self.usual_rtt_ms) / 1000 for peer in up}
        lost = {peer: self.lost.get((min(index, peer), max(index, peer)), 0.0) for peer in up}
        queued = {peer: self.queued.get((min(index, peer), max(index, peer)), 0) for peer in peers}
        return [
            *_gauge("rustorium_transport_link_up", {self._peer(peer): int(peer in up) for peer in peers}),
            *_gauge("rustorium_transport_rtt_seconds", {self._peer(peer): rtt for peer, rtt in rtts.items()}),
            *_counter("rustorium_transport_sent_packets", {self._peer(peer): 40 * done for peer in up}),
            *_counter("rustorium_transport_lost_packets", {self._peer(p): int(40 * done * lost[p]) for p in up}),
            *_gauge(
                "rustorium_transport_queue_bytes",
                {f'class="data",{self._peer(peer)}': size for peer, size in queued.items()},
            ),
        ]

    def _peer(self, node: int) -> str:
        shard = self if node in self.members or self.also is None else self.also
        return f'peer="{member(shard.named_shard or ROOT, str(shard.members.index(node)))}"'

    @staticmethod
    def _of(pairs: set[tuple[int, int]], a: int, b: int) -> bool:
        return (min(a, b), max(a, b)) in pairs


def _series(name: str, kind: str, suffix: str, values: Mapping[str, float]) -> list[str]:
    lines = [f"# TYPE {name} {kind}"]
    return lines + [
        f"{name}{suffix}{{{labels}}} {value!r}" if labels else f"{name}{suffix} {value!r}"
        for labels, value in values.items()
    ]


def _gauge(name: str, values: Mapping[str, float]) -> list[str]:
    return _series(name, "gauge", "", values)


def _counter(name: str, values: Mapping[str, float]) -> list[str]:
    return _series(name, "counter", "_total", values)


def _histogram(name: str, count: int, mean_ms: float) -> list[str]:
    """Returns a histogram whose observations are all equal."""
    place = bisect.bisect_left(BOUNDS, mean_ms / 1000)
    lines = [f"# TYPE {name} histogram", f"{name}_sum {count * mean_ms / 1000!r}", f"{name}_count {count}"]
    for number, bound in enumerate([*BOUNDS, math.inf]):
        le = "+Inf" if bound == math.inf else repr(bound)
        lines.append(f'{name}_bucket{{le="{le}"}} {count if number >= place else 0}')
    return lines
