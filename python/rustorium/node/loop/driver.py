"""The loop between one data plane and one replica: wait, take inputs, step, hand effects over.

Invariants: one call across the port gives the effects of a turn, in order, and takes the next inputs; the data plane
keeps the deadline, so that the loop waits for one descriptor; inputs of a turn are stepped at one time; what a step
costs (thread CPU time and wall time) is measured around `on_input` alone, in one turn of 16.
"""

import ctypes
import gc
import time
from typing import Protocol

import trio

from rustorium.consensus.port import NativePort
from rustorium.consensus.vocabulary import Effect, Input, Tick
from rustorium.node.loop.inputlog import InputLog
from rustorium.node.profile import Profiler

INPUTS_MAX = 256
"""Of one turn, but for the newest values of levels."""
TURNS_MAX = 8
"""After so many in a row other tasks run."""
MEASURED_ONE_IN = 16
GC_THRESHOLDS = (50_000, 20, 20)
IDLE_STEPS_MAX = 4
"""Steps a second of an idle node: a heartbeat takes one or two."""
LOAD_STEPS_MIN = 200
"""After fewer steps there is nothing to collect."""


class Steps(Protocol):
    """What the loop needs of a replica."""

    def on_input(self, now: int, event: Input) -> list[Effect]: ...

    def next_deadline(self) -> int | None: ...


class Driver:
    """Drives `replica` from `port` until cancelled."""

    def __init__(self, port: NativePort, replica: Steps, log: InputLog | None = None) -> None:
        self._port = port
        self._replica = replica
        self._log = log
        self._effects: list[Effect] = []
        self._deadline: int | None = None
        self._ticked = False
        self._turns = 0
        self.profiler = Profiler()
        self.steps = 0

    async def run(self) -> None:
        """Never returns by itself; cancel it. Whatever the port or the replica raises ends it."""
        descriptor = self._port.fileno()
        self._deadline = self._replica.next_deadline()
        while True:
            if self.turns():
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(descriptor)

    def turns(self) -> bool:
        """Turns until nothing is left to do, or until others are to run: then there may be more."""
        for _ in range(TURNS_MAX):
            inputs = self._port.turn(self._effects, self._deadline, self._ticked, INPUTS_MAX)
            self._effects, self._ticked = [], False
            now = time.monotonic_ns()
            if not inputs and (self._deadline is None or now < self._deadline):
                if self._log is not None:
                    self._log.flush(whole=False)
                return False
            self._turn(now, inputs)
        return True

    def _turn(self, now: int, inputs: list[Input]) -> None:
        """Every input that came, then the tick if it is due: a process that slept too long hears its peers before it
        gives up on them."""
        self._turns += 1
        step = self._step if self._turns % MEASURED_ONE_IN and not self.profiler.on else self._measured_step
        for event in inputs:
            step(now, event)
        deadline = self._replica.next_deadline() if inputs else self._deadline
        if deadline is not None and now >= deadline:
            step(now, Tick())
            self._ticked = True
            deadline = self._replica.next_deadline()
        self._deadline = deadline
        if self._ticked and self._log is not None:
            self._log.flush(whole=True)

    def _step(self, now: int, event: Input) -> None:
        caused = self._replica.on_input(now, event)
        self._took(now, event, caused)

    def _measured_step(self, now: int, event: Input) -> None:
        began, cpu = time.monotonic_ns(), time.thread_time_ns()
        if self.profiler.on:
            caused = self.profiler.run(type(event).__name__, self._replica.on_input, now, event)
        else:
            caused = self._replica.on_input(now, event)
        cpu = time.thread_time_ns() - cpu
        self._port.observe_step(cpu, time.monotonic_ns() - began)
        self._took(now, event, caused)

    def _took(self, now: int, event: Input, caused: list[Effect]) -> None:
        self.steps += 1
        self._effects += caused
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
