"""Suspicion that a peer is gone, and the lateness of the watcher itself.

Suspicion is phi-accrual: N. Hayashibara, X. Défago, R. Yared, T. Katayama, "The φ Accrual Failure Detector", SRDS 2004.
The correction by the watcher's own condition is the local health multiplier of A. Dadgar, J. Phillips, J. Currey,
"Lifeguard: Local Health Awareness for More Accurate Failure Detection", DSN 2018.

Invariants: PURE; information only: leaders, skipped views and membership never depend on it.
"""

import math
from collections import deque

NS_PER_MS = 1_000_000
WINDOW = 128
"""Number of intervals that count."""
PHI_MAX = 99.0
"""Maximum phi: beyond it the normal tail is 0 in a double."""


class LocalHealth:
    """Lateness of a watcher's wake-ups: 0 is on time; each late wake-up adds one, each timely one takes one away."""

    SCORE_MAX = 8

    def __init__(self, late_ns: int) -> None:
        self._late_ns = late_ns
        self._score = 0

    def woke(self, lag_ns: int) -> None:
        """Records a wake-up that came `lag_ns` after the requested time."""
        self._score = min(self.SCORE_MAX, self._score + 1) if lag_ns > self._late_ns else max(0, self._score - 1)

    @property
    def stretch(self) -> int:
        """Factor by which everything that the watcher waits for may take longer."""
        return 1 + self._score


class Accrual:
    """One peer's arrivals."""

    def __init__(self, period_ns: int) -> None:
        """`period_ns`: the intended interval between signs of life."""
        self._period_ns = period_ns
        self._intervals: deque[int] = deque()
        # Sums of the intervals and of their squares: integers, so that they stay exact.
        self._sum, self._squares = 0, 0
        self._count(period_ns)
        self._last_ns: int | None = None
        self._lag_ns = 0

    def heard(self, at_ns: int) -> None:
        """Records a sign of life."""
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
        """Records that the watcher did not run for `lag_ns`: arrivals in that time may not have been read."""
        self._lag_ns += lag_ns

    def phi(self, now_ns: int, stretch: int) -> float:
        """Returns -log10 of the probability that a living peer is silent for so long; 0 before its first sign."""
        if self._last_ns is None:
            return 0.0
        count = len(self._intervals)
        mean = self._sum / count
        variance = (self._squares * count - self._sum**2) / count**2
        # At least half a period: otherwise the tail of a few even intervals would be thinner than on any real machine.
        spread = max(math.sqrt(variance), self._period_ns / 2) * stretch
        elapsed = max(0, now_ns - self._last_ns - self._lag_ns)
        tail = 0.5 * math.erfc((elapsed - mean) / (spread * math.sqrt(2)))
        return PHI_MAX if tail < 10**-PHI_MAX else -math.log10(tail)

    def silent_ms(self, now_ns: int) -> int:
        """Returns the milliseconds since the last sign of life."""
        return 0 if self._last_ns is None else (now_ns - self._last_ns) // NS_PER_MS
