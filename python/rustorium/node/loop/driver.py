"""The loop between one data plane and one replica, on a thread of its own: take inputs, step, hand effects over.

Invariants: trio starts the thread and ends it; nothing else on it knows trio. One call across the port hands over the
effects of a turn, in order, and waits for the next inputs or the deadline without the interpreter's lock. All inputs of
a turn are stepped with the same time. Port, replica and input log belong to the thread while it runs. Trio's thread
reads only whole numbers that the core's thread replaces (`steps`, `busy_ms`, `Replica.backoff`), and calls only
`NativePort.stop` and the profiler. The cost of a step (thread CPU time and wall time) is measured around `on_input`
alone, in one turn of 16.
"""

import ctypes
import gc
import sys
import time
from collections.abc import Callable
from typing import NoReturn, Protocol

import trio

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.port import NativePort
from rustorium.consensus.vocabulary import Effect, Input, Tick
from rustorium.node.loop.inputlog import InputLog
from rustorium.node.profile import Profiler

INPUTS_MAX = 256
"""Maximum number of inputs in one turn, not counting the newest values of levels."""
MEASURED_ONE_IN = 16
GC_THRESHOLDS = (50_000, 20, 20)
IDLE_STEPS_MAX = 4
"""Steps a second of an idle node: a heartbeat takes one or two."""
LOCK_S = 0.000_5
"""Time after which a thread that runs Python gives the interpreter's lock to one that waits for it."""
LOAD_STEPS_MIN = 200
"""Minimum number of steps before a collection."""


class Steps(Protocol):
    """The part of a replica that the loop needs."""

    def on_input(self, now: int, event: Input) -> list[Effect]: ...

    def next_deadline(self) -> int | None: ...


class Driver:
    """Drives `replica` from `port` until cancelled."""

    def __init__(
        self,
        port: NativePort,
        replica: Steps,
        log: InputLog | None = None,
        profiler: Profiler | None = None,
        name: str = "core",
    ) -> None:
        """`name`: of the thread, at most 15 characters."""
        self._port = port
        self._replica = replica
        self._log = log
        self._name = name
        self._effects: list[Effect] = []
        self._deadline: int | None = None
        self._ticked = False
        self._turns = 0
        self._began: int | None = None
        self.profiler = Profiler() if profiler is None else profiler
        self.steps = 0

    @property
    def busy_ms(self) -> int:
        """How long the core has been at its present turn; 0 while it waits for inputs."""
        began = self._began
        return 0 if began is None else (time.monotonic_ns() - began) // NS_PER_MS

    async def run(self) -> NoReturn:
        """Runs until cancelled, and then until the present turn is over. Any exception of the port or the replica ends
        it."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._stop_if_cancelled)
            # A limiter of its own: cores must not take the threads of other work, nor wait for them.
            alone = trio.CapacityLimiter(1)
            fault = await trio.to_thread.run_sync(self._run_thread, thread_name=self._name, limiter=alone)
            nursery.cancel_scope.cancel()
        if fault is not None:
            raise fault  # Outside the nursery, which would wrap it.
        await trio.sleep_forever()
        raise AssertionError("a stopped core is a cancelled one")

    async def _stop_if_cancelled(self) -> None:
        try:
            await trio.sleep_forever()
        finally:
            self._port.stop()

    def _run_thread(self) -> Exception | None:
        """Takes turns until the port is stopped. Returns the exception that ended it otherwise."""
        try:
            self._deadline = self._replica.next_deadline()
            while self.turn():
                pass
        except Exception as error:
            return error
        return None

    def turn(self) -> bool:
        """Takes one turn. Returns `False` once the port is stopped."""
        log = self._log
        flush = log is not None and (self._ticked or log.is_due)
        self._began = None
        # Zero is a deadline that has passed: the effects don't wait until the log is written.
        inputs = self._port.turn(self._effects, 0 if flush else self._deadline, self._ticked, INPUTS_MAX)
        if inputs is None:
            return False
        self._began = now = time.monotonic_ns()
        self._effects, self._ticked = [], False
        if flush and log is not None:
            log.flush()
        self._take(now, inputs)
        return True

    def _take(self, now: int, inputs: list[Input]) -> None:
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

    def _measured_step(self, now: int, event: Input) -> list[Effect]:
        began, cpu = time.monotonic_ns(), time.thread_time_ns()
        if self.profiler.on:
            caused = self.profiler.run(type(event).__name__, self._replica.on_input, now, event)
        else:
            caused = self._replica.on_input(now, event)
        cpu = time.thread_time_ns() - cpu
        self._port.observe_step(cpu, time.monotonic_ns() - began)
        return caused


def configure_interpreter() -> None:
    """Exempts the objects that exist at start from collection, and scans young objects rarely: steps make few
    cycles. A core waits for the interpreter's lock only briefly."""
    sys.setswitchinterval(LOCK_S)
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
