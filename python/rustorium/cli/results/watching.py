"""Results of commands that watch, measure and search for faults.

Invariants: PURE; rates are per second, times Unix ms, durations in the unit that the name ends with.
"""

from typing import Any

from rustorium.cli.results.base import ABSENT, Absent, Json, OpenResult, Result


class Problem(Result):
    """Something that needs attention, and what to do."""

    code: str
    level: str
    evidence: str
    advice: str


class ShardVerdict(Result):
    """The verdict on a shard besides shard 0."""

    shard: int
    verdict: str
    problems: list[Problem]


class NetVerdict(Result):
    """The verdict on the whole net. `shards` where nodes host other shards than 0."""

    verdict: str
    problems: list[Problem]
    shards: list[ShardVerdict] | Absent = ABSENT


class NodeHealth(OpenResult):
    """A node's health: its report (the fields of `GET /v1/status`, if it answered), the verdict on it, and the verdict
    on the net, so that each line of `-o jsonl` stands alone. `at_ms` with `--watch`."""

    verdict: str
    problems: list[Problem]
    network: NetVerdict
    at_ms: int | Absent = ABSENT


class Sample(Result):
    """A metric's value; `NaN` and infinities are strings."""

    name: str
    labels: dict[str, str]
    value: float | str


class NodeFigures(OpenResult):
    """A node's main figures and all metrics; with `--for` the rates of the recording, and how often it was silent."""

    node: str
    error: str | Absent | None = ABSENT
    at_ms: int | Absent = ABSENT
    took_ms: float | Absent = ABSENT
    metrics: list[Sample] | Absent = ABSENT
    silent_looks: int | Absent = ABSENT


class Converted(Result):
    """A recording that was converted."""

    file: str
    complete: bool


class LogLine(OpenResult):
    """A line of a node's log, after the corrected time."""

    at_ms: int
    node: str


class LoadReport(OpenResult):
    """The result of a load test."""

    face: str
    offered_per_s: float
    achieved_per_s: float
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None
    max_ms: float | None
    seconds: int
    offered: int
    finalized: int
    failed: int
    rejected: int


class SimRun(Result):
    """A run of the simulator."""

    seed: int
    mode: str
    shape: Json
    failure: str
    height: int
    epoch: int
    transactions: int
    virtual_ms: float
    events: int
    traitors: list[Any]
    faults: dict[str, int]
    calls: dict[str, int]
    log_hash: str
    ok: bool
    repeat: str


class Replayed(Result):
    """The summary of a replay."""

    steps: int
    segments: int
    seconds: float
    inputs: dict[str, int]
    effects: dict[str, int]


class ReplayStep(Result):
    """A step of a replay."""

    step: int
    at_ms: float
    input: str
    effects: list[str]
