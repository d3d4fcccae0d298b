"""How sure it is that a peer is gone, and how late the watcher itself is.

Suspicion is phi-accrual: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ Accrual Failure Detector", SRDS 2004.
The correction by the watcher's own condition is the local health multiplier of A. Dadgar, J. Phillips, J. Currey,
"Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN 2018.

Invariants: PURE; information only: who leads, who is skipped and who is a member never depends on it.
"""

import math
from collections import deque

NS_PER_MS = 1_000_000
WINDOW = 128
"""Intervals that count."""
PHI_MAX = 99.0
"""Beyond it the normal tail is 0 in a double."""


class LocalHealth:
    """How late a watcher wakes: 0 is on time, and each late wake adds one, each timely one takes one away."""

    SCORE_MAX = 8

    def __init__(self, late_ns: int) -> None:
        self._late_ns = late_ns
        self._score = 0

    def woke(self, lag_ns: int) -> None:
        """It woke by so much later than it had asked."""
        self._score = min(self.SCORE_MAX, self._score + 1) if lag_ns > self._late_ns else max(0, self._score - 1)

    @property
    def stretch(self) -> int:
        """By how much all that it waits for may take longer."""
        return 1 + self._score


class Accrual:
    """One peer's arrivals."""

    def __init__(self, period_ns: int) -> None:
        """`period_ns`: how far apart signs of life are meant to be."""
        self._period_ns = period_ns
        self._intervals: deque[int] = deque()
        # Sums of the intervals and of their squares: integers, so that they stay exact.
        self._sum, self._squares = 0, 0
        self._count(period_ns)
        self._last_ns: int | None = None
        self._lag_ns = 0

    def heard(self, at_ns: int) -> None:
        """A sign of life."""
        if self._last_ns is not None and at_ns > self._last_ns:
            self._count(at_ns - self._last_ns)
        if self._last_ns is None or at_ns > self._last_ns:
            self._last_ns = at_ns
        self._lag_ns = 0

    def _count(self, interval_ns: int) -> None:
        self._intervals.append(interval_ns)
        self._sum, self._squares = self._sum + interval_ns, self._squares + interval_ns**2
        if len(self._intervals) > WINDOW:
            gone = self._intervals.popleft()
            self._sum, self._squares = self._sum - gone, self._squares - gone**2

    def lagged(self, lag_ns: int) -> None:
        """The watcher did not run for so long: what came meanwhile may not have been taken in."""
        self._lag_ns += lag_ns

    def phi(self, now_ns: int, stretch: int) -> float:
        """-log10 of how likely a living peer is silent for so long; 0 before its first sign."""
        if self._last_ns is None:
            return 0.0
        count = len(self._intervals)
        mean = self._sum / count
        variance = (self._squares * count - self._sum**2) / count**2
        # Half a period at least: the tail of a few even intervals would be thinner than anything that machines do.
        spread = max(math.sqrt(variance), self._period_ns / 2) * stretch
        elapsed = max(0, now_ns - self._last_ns - self._lag_ns)
        tail = 0.5 * math.erfc((elapsed - mean) / (spread * math.sqrt(2)))
        return PHI_MAX if tail < 10**-PHI_MAX else -math.log10(tail)

    def silent_ms(self, now_ns: int) -> int:
        """Since the last sign."""
        return 0 if self._last_ns is None else (now_ns - self._last_ns) // NS_PER_MS
