"""Many nodes' logs as one stream in the order of events, as far as the clocks can be corrected.

Invariants: a node's own lines keep their order. Memory is bounded by the number of nodes (and, when following, by
`HELD_MAX`), not by the length of the logs.
"""

import heapq
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from rustorium.observe.nodelogs.clocks import Clocks
from rustorium.observe.nodelogs.lines import Entry, LogFile

AHEAD_BYTES = 4 * 1024 * 1024
"""Bytes at the start of each log that are read for clocks before anything is merged."""
HOLD_MS = 1_000
"""Time that a followed line waits for lines of earlier events."""
POLL_S = 0.2
HELD_MAX = 50_000
STEP_MS = 10_000
"""A line earlier than the one before it by more than this comes after a setting of its node's clock."""


@dataclass(slots=True)
class MergedLine:
    """A line in its place: `at_ms` by the net's median clock."""

    at_ms: int
    node: str
    entry: Entry


@dataclass(frozen=True, slots=True)
class Follow:
    """The clock and the wait of following, real or a test's. `wait` returns `False` to stop."""

    wall_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    wait: Callable[[float], bool] = lambda seconds: not threading.Event().wait(seconds)


class Merger:
    """Merges logs. `clocks` holds the offsets found so far."""

    def __init__(self, sources: Sequence[LogFile]) -> None:
        self.sources = list(sources)
        self.clocks = Clocks(len(self.sources))
        self._before = [0] * len(self.sources)
        self._heap: list[tuple[int, int, int, Entry]] = []
        self._number = 0

    def look_ahead(self) -> None:
        """Learns the clocks from the beginnings of the logs."""
        for index, source in enumerate(self.sources):
            with closing(LogFile(source.name, source.path)) as log:
                taken = 0
                while taken < AHEAD_BYTES and (entry := log.read()) is not None:
                    taken += len(entry.raw)
                    self.clocks.see(index, entry)
        self.clocks.solve()

    def merge(self) -> Iterator[MergedLine]:
        """Yields all existing lines."""
        for index in range(len(self.sources)):
            self._pull(index)
        while self._heap:
            at_ms, index, _, entry = heapq.heappop(self._heap)
            self._pull(index)
            yield MergedLine(at_ms, self.sources[index].name, entry)

    def follow(self, follow: Follow) -> Iterator[MergedLine]:
        """Yields all existing lines and new ones, until `follow.wait` returns `False`."""
        going = True
        while going:
            for index in range(len(self.sources)):
                while len(self._heap) < HELD_MAX and self._pull(index):
                    pass
            ripe_ms = follow.wall_ms() - HOLD_MS
            while self._heap and (self._heap[0][0] <= ripe_ms or len(self._heap) >= HELD_MAX):
                at_ms, index, _, entry = heapq.heappop(self._heap)
                yield MergedLine(at_ms, self.sources[index].name, entry)
            going = follow.wait(POLL_S)
        while self._heap:
            at_ms, index, _, entry = heapq.heappop(self._heap)
            yield MergedLine(at_ms, self.sources[index].name, entry)

    def _pull(self, index: int) -> bool:
        entry = self.sources[index].read()
        if entry is None:
            return False
        self.clocks.see(index, entry)
        at_ms, before = entry.ts - self.clocks.offsets[index].ms, self._before[index]
        if before - STEP_MS <= at_ms < before:
            at_ms = before
        self._before[index] = at_ms
        self._number += 1
        heapq.heappush(self._heap, (at_ms, index, self._number, entry))
        return True


def log_files(logs: Sequence[tuple[str, Path]], *, follow: bool) -> list[LogFile]:
    """Opens logs by name. Errors: UsageError."""
    opened: list[LogFile] = []
    try:
        opened.extend(LogFile(name, path, follow=follow) for name, path in logs)
    except BaseException:
        for source in opened:
            source.close()
        raise
    return opened
