"""The loop between one data plane and one replica: wait, take inputs, step, hand effects over.

Invariants: one call across the port hands over the effects of a turn, in order, and takes the next inputs. The data
plane keeps the deadline, so the loop waits for one descriptor. All inputs of a turn are stepped with the same time. The
cost of a step (thread CPU time and wall time) is measured around `on_input` alone, in one turn of 16.
"""

import ctypes
import gc
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

import trio

from rustorium.consensus.port import NativePort
from rustorium.consensus.vocabulary import Effect, Input, Tick
from rustorium.node.loop.inputlog import InputLog
from rustorium.node.profile import Profiler

INPUTS_MAX = 256
"""Maximum number of inputs in one turn, not counting the newest values of levels."""
TURNS_MAX = 8
"""Number of consecutive turns after which other tasks run."""
MEASURED_ONE_IN = 16
GC_THRESHOLDS = (50_000, 20, 20)
IDLE_STEPS_MAX = 4
"""Steps a second of an idle node: a heartbeat takes one or two."""
LOAD_STEPS_MIN = 200
"""Minimum number of steps before a collection."""


class Steps(Protocol):
    """The part of a replica that the loop needs."""

    def on_input(self, now: int, event: Input) -> list[Effect]: ...

    def next_deadline(self) -> int | None: ...


class Driver:
    """Drives `replica` from `port` until cancelled."""

    def __init__(
        self, port: NativePort, replica: Steps, log: InputLog | None = None, profiler: Profiler | None = None
    ) -> None:
        self._port = port
        self._replica = replica
        self._log = log
        self._effects: list[Effect] = []
        self._deadline: int | None = None
        self._ticked = False
        self._turns = 0
        self.profiler = Profiler() if profiler is None else profiler
        self.steps = 0

    async def run(self) -> NoReturn:
        """Runs until cancelled. Any exception of the port or the replica ends it."""
        descriptor = self._port.fileno()
        self._deadline = self._replica.next_deadline()
        while True:
            if self.turns():
                await trio.lowlevel.checkpoint()
            else:
                await trio.lowlevel.wait_readable(descriptor)

    def turns(self) -> bool:
        """Runs turns until there is nothing left to do (returns `False`), or until other tasks should run (returns
        `True`)."""
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
        """Steps every input, and then the tick if it is due: a process that slept too long hears its peers before it
        gives up on them."""
        self._turns += 1
        measured = not self._turns % MEASURED_ONE_IN or self.profiler.on
        on_input = self._measured_step if measured else self._replica.on_input
        effects, log = self._effects, self._log
        for event in inputs:
            caused = on_input(now, event)
            effects += caused
            if log is not None:
                log.append(now, event, caused)
        self.steps += len(inputs)
        deadline = self._replica.next_deadline() if inputs else self._deadline
        if deadline is not None and now >= deadline:
            self._tick(now, on_input)
            deadline = self._replica.next_deadline()
        self._deadline = deadline

    def _tick(self, now: int, on_input: Callable[[int, Input], list[Effect]]) -> None:
        tick = Tick()
        caused = on_input(now, tick)
        self._effects += caused
        self._ticked = True
        self.steps += 1
        if self._log is not None:
            self._log.append(now, tick, caused)
            self._log.flush(whole=True)

    def _measured_step(self, now: int, event: Input) -> list[Effect]:
        began, cpu = time.monotonic_ns(), time.thread_time_ns()
        if self.profiler.on:
            caused = self.profiler.run(type(event).__name__, self._replica.on_input, now, event)
        else:
            caused = self._replica.on_input(now, event)
        cpu = time.thread_time_ns() - cpu
        self._port.observe_step(cpu, time.monotonic_ns() - began)
        return caused


def configure_collector() -> None:
    """Exempts the objects that exist at start from collection, and scans young objects rarely: steps make few
    cycles."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)


def trim_memory() -> None:
    """Returns memory to the system that a load freed and glibc keeps in its threads' arenas. Other C libraries have no
    such call and need none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


class CountsSteps(Protocol):
    """A counter of the steps of all cores."""

    @property
    def steps(self) -> int: ...


async def collect_when_idle(cores: CountsSteps, idle_s: float = 10.0) -> None:
    """Collects cycles, and returns memory that a load freed to the system, after a second with hardly a step. At most
    once per `idle_s`, and not again before another load."""
    collected = 0
    while True:
        await trio.sleep(idle_s)
        before = -IDLE_STEPS_MAX - 1
        while cores.steps - before > IDLE_STEPS_MAX:
            before = cores.steps
            await trio.sleep(1)
        if cores.steps - collected > LOAD_STEPS_MIN:
            collected = cores.steps
            gc.collect(1)
            trim_memory()
