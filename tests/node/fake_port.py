"""A native port without Rust: a queue of inputs behind an eventfd, which remembers what was submitted."""

import os
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from rustorium.consensus.vocabulary import Effect, Input


class FakePort:
    """Follows the native port's contract: the descriptor is readable while inputs wait, and draining resets it."""

    def __init__(self) -> None:
        self._fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._inputs: deque[Input] = deque()
        self.submitted: list[list[Effect]] = []
        self.observed: list[str] = []

    def push(self, *inputs: Input) -> None:
        self._inputs.extend(inputs)
        os.eventfd_write(self._fd, 1)

    def fileno(self) -> int:
        return self._fd

    def drain(self, limit: int) -> list[Input]:
        taken = [self._inputs.popleft() for _ in range(min(limit, len(self._inputs)))]
        if not self._inputs:
            with suppress(BlockingIOError):
                os.eventfd_read(self._fd)
        return taken

    def submit(self, effects: Sequence[Effect]) -> None:
        self.submitted.append(list(effects))

    def observe_step(self, input_kind: str, cpu_ns: int, wall_ns: int) -> None:
        assert cpu_ns >= 0
        assert wall_ns >= 0
        self.observed.append(input_kind)

    def close(self) -> None:
        os.close(self._fd)
