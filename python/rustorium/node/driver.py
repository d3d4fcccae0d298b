"""The loop between one data plane and one replica: wait, drain once, step, submit once.

Invariants: effects of one drain leave in one call, in order; nothing is logged per step; what a step costs (thread CPU
time and wall time) is measured around `on_input` alone.
"""

import ctypes
import gc
import math
import time
from typing import Protocol

import trio

from rustorium.consensus.vocabulary import Effect, Input, Tick
from rustorium.node.bridge import wait_for_inputs
from rustorium.node.inputlog import InputLog
from rustorium.node.profile import Profiler
from rustorium.port import NativePort

DRAIN_INPUTS_MAX = 256
FLUSH_BYTES = 16 * 1024
"""The input log is written when this much waits, or when a tick (a heartbeat at the latest) leaves time for it."""
GC_THRESHOLDS = (50_000, 20, 20)
IDLE_STEPS_MAX = 4
"""Steps a second of an idle node: a heartbeat takes one or two."""
LOAD_STEPS_MIN = 200
"""After fewer steps there is nothing to collect."""


class Steps(Protocol):
    """What the loop needs of a replica."""

    def on_input(self, now: int, event: Input) -> list[Effect]: ...

    def next_deadline(self) -> int | None: ...


class MeasuredPort(NativePort, Protocol):
    """A port that also takes what each step cost."""

    def observe_step(self, input_kind: str, cpu_ns: int, wall_ns: int) -> None: ...


class Driver:
    """Drives `replica` from `port` until cancelled."""

    def __init__(self, port: MeasuredPort, replica: Steps, log: InputLog | None = None) -> None:
        self._port = port
        self._replica = replica
        self._log = log
        self.profiler = Profiler()
        self.steps = 0

    async def run(self) -> None:
        """Never returns by itself; cancel it. Whatever the port or the replica raises ends it."""
        descriptor = self._port.fileno()
        while True:
            deadline = self._replica.next_deadline()
            seconds = math.inf if deadline is None else max(0, deadline - time.monotonic_ns()) / 1e9
            await wait_for_inputs(descriptor, seconds)
            self.turn()

    def turn(self) -> None:
        """One wake: every input that waits, then the tick if it is due: a process that slept too long hears its peers
        before it gives up on them."""
        effects: list[Effect] = []
        for event in self._port.drain(DRAIN_INPUTS_MAX):
            self._step(event, effects)
        deadline = self._replica.next_deadline()
        ticked = deadline is not None and time.monotonic_ns() >= deadline
        if ticked:
            self._step(Tick(), effects)
        if effects:
            self._port.submit(effects)
        if self._log is not None:
            self._log.flush(FLUSH_BYTES if not ticked else 0)

    def _step(self, event: Input, effects: list[Effect]) -> None:
        now, kind, profiler = time.monotonic_ns(), type(event).__name__, self.profiler
        cpu = time.thread_time_ns()
        if profiler.on:
            caused = profiler.run(kind, self._replica.on_input, now, event)
        else:
            caused = self._replica.on_input(now, event)
        cpu = time.thread_time_ns() - cpu
        self._port.observe_step(kind, cpu, time.monotonic_ns() - now)
        effects += caused
        self.steps += 1
        if self._log is not None:
            self._log.append(now, event, caused)


def calm_collector() -> None:
    """What exists at start is never scanned again, and young objects are scanned rarely: steps make few cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def give_memory_back() -> None:
    """glibc keeps what a load freed in its threads' arenas; other C libraries have no such call and need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


async def collect_when_idle(driver: Driver, idle_s: float = 10.0) -> None:
    """Collects cycles, and gives the memory that a load left free back to the system, at a time when hardly a step has
    run for a second; at most once per `idle_s`, and not again before another load."""
    collected = 0
    while True:
        await trio.sleep(idle_s)
        before = -IDLE_STEPS_MAX - 1
        while driver.steps - before > IDLE_STEPS_MAX:
            before = driver.steps
            await trio.sleep(1)
        if driver.steps - collected > LOAD_STEPS_MIN:
            collected = driver.steps
            gc.collect(1)
            give_memory_back()
