"""A native port without Rust: a queue of inputs, which records the effects that it gets."""

import threading
import time
from collections import deque

from rustorium.consensus.vocabulary import Effect, Input


class FakePort:
    """Follows the native port's contract: `turn` waits while no input waits, until the deadline or `stop`."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._inputs: deque[Input] = deque()
        self._stopped = False
        self.submitted: list[list[Effect]] = []
        self.observed = 0
        self.ticks = 0
        self.deadlines: list[int | None] = []
        """The deadlines of the turns that had to wait."""

    def push(self, *inputs: Input) -> None:
        with self._changed:
            self._inputs.extend(inputs)
            self._changed.notify()

    def turn(self, effects: list[Effect], deadline_ns: int | None, ticked: bool, limit: int) -> list[Input] | None:
        with self._changed:
            if effects:
                self.submitted.append(effects)
            self.ticks += ticked
            if not self._inputs:
                self.deadlines.append(deadline_ns)
                left_s = None if deadline_ns is None else max(0, deadline_ns - time.monotonic_ns()) / 1e9
                self._changed.wait_for(lambda: self._inputs or self._stopped, left_s)
            if self._stopped:
                return None
            return [self._inputs.popleft() for _ in range(min(limit, len(self._inputs)))]

    def stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._changed.notify()

    def observe_step(self, cpu_ns: int, wall_ns: int) -> None:
        assert cpu_ns >= 0
        assert wall_ns >= 0
        self.observed += 1
