"""The universal scalability law, fitted to measured capacities, and intervals of resampled figures."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Fit:
    """The universal scalability law (N. Gunther): N shards do rate·N / (1 + contention·(N − 1) +
    coherency·N(N − 1))."""

    rate: float
    contention: float
    coherency: float


def fit(points: Sequence[tuple[int, float]]) -> Fit:
    """Fits the law by least squares: N·rate/C − 1 is linear in N − 1 and in N(N − 1). The rate is one shard's mean."""
    rate = statistics.fmean(capacity for shards, capacity in points if shards == 1)
    rows = [(n - 1.0, n * (n - 1.0), n * rate / capacity - 1.0) for n, capacity in points if n > 1]
    return Fit(rate, *least_squares(rows))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the middle 95 % of values."""
    ordered = sorted(values)
    return ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))]


def least_squares(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Returns a and b of the best z = a·x + b·y."""
    xx, xy, yy = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    xz, yz = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
    det = xx * yy - xy * xy
    if abs(det) < 1e-9 * max(1.0, xx * yy):
        return (xz / xx if xx else 0.0), 0.0
    return (xz * yy - yz * xy) / det, (yz * xx - xz * xy) / det
