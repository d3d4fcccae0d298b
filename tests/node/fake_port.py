"""A native port without Rust: a queue of inputs behind an eventfd, which records the effects that it gets."""

import os
from collections import deque
from contextlib import suppress

from rustorium.consensus.vocabulary import Effect, Input


class FakePort:
    """Follows the native port's contract: the descriptor is readable while inputs wait, and draining resets it."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._inputs: deque[Input] = deque()
        self.submitted: list[list[Effect]] = []
        self.observed = 0
        self.ticks = 0
        self.deadlines: list[int | None] = []

    def push(self, *inputs: Input) -> None:
        self._inputs.extend(inputs)
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        return self._fd

    def turn(self, effects: list[Effect], deadline_ns: int | None, ticked: bool, limit: int) -> list[Input]:
        if effects:
            self.submitted.append(effects)
        self.ticks += ticked
        taken = [self._inputs.popleft() for _ in range(min(limit, len(self._inputs)))]
        if not self._inputs:
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)
        if not taken:
            self.deadlines.append(deadline_ns)
        return taken

    def observe_step(self, cpu_ns: int, wall_ns: int) -> None:
        assert cpu_ns >= 0
        assert wall_ns >= 0
        self.observed += 1

    def close(self) -> None:
        os.close(self._fd)
