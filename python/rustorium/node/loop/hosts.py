"""The hosted shards of a node: a core for each, on a thread of its own, which is started again after a fault.

Invariants: everything here but the cores runs on trio's thread. A fault of one shard ends that shard alone while the
node hosts others; a fault of the process, or of the only shard, ends the process, since a half-working validator is of
no use. Each end and each start is in the log and the audit log before the next one.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Protocol

import trio

from rustorium import _native
from rustorium.consensus.port import NativePort
from rustorium.consensus.replica import Replica
from rustorium.health.catalogue import ends_process
from rustorium.logs import Logger
from rustorium.node.loop import pacehint
from rustorium.node.loop.driver import Driver
from rustorium.node.loop.inputlog import InputLog
from rustorium.node.loop.launch import Launch
from rustorium.node.loop.watch import PASSING, Watch, wall_ms
from rustorium.node.profile import Profiler

ROOT = 0
"""The number of the root shard, which the gateway serves."""
DELAY_S_MIN = 1.0
DELAY_S_MAX = 300.0
"""Maximum time between the end of a shard and its next start."""
RAN_WELL_S = 600.0
"""Time after which a shard that ran without a fault has the shortest delay again."""
CORE_FAULT = "core-fault"


class Host(NativePort, Protocol):
    """The part of a hosted shard's data plane that its core's loop needs."""

    def status(self) -> str: ...

    def vitals(self) -> str: ...

    def tell_health(self, findings_json: str, suspicion_json: str) -> None: ...

    def runs(self) -> bool: ...

    def end(self, code: str, sentence: str) -> None: ...

    def start(self) -> None: ...


class Delays:
    """Delays between the end of a shard and its next start: each is twice the one before, up to a bound."""

    def __init__(self) -> None:
        self._next_s = DELAY_S_MIN

    def after(self, ran_s: float) -> float:
        """Returns the delay after a life of the shard of `ran_s` seconds."""
        if ran_s >= RAN_WELL_S:
            self._next_s = DELAY_S_MIN
        delay_s = self._next_s
        self._next_s = min(2 * delay_s, DELAY_S_MAX)
        return delay_s


@dataclass(frozen=True, slots=True)
class Process:
    """The parts of a node that its shards share."""

    launch: Launch
    log: Logger
    note: Callable[[str, Mapping[str, object]], None]
    """Writes an event with its fields to the log and the audit log."""
    audit: Callable[[str, str], None]
    """Writes an event with its fields, JSON, to the audit log. Errors: NativeError."""
    several: bool
    """`True` if the node hosts more than one shard."""


class Audited:
    """A shard's data plane and the node's audit log, as the watch needs them; audit lines name the shard."""

    def __init__(self, host: Host, audit: Callable[[str, str], None], shard: int) -> None:
        self.status, self.vitals, self.tell_health = host.status, host.vitals, host.tell_health
        self._audit, self._shard = audit, shard

    def audit(self, event: str, fields_json: str) -> None:
        """Writes an event to the audit log. Errors: NativeError."""
        fields = json.loads(fields_json)
        self._audit(event, fields_json if self._shard == ROOT else json.dumps({"shard": self._shard, **fields}))


class HostedShard:
    """Runs the core of one shard, and starts the shard again after a fault."""

    def __init__(self, shard: int, host: Host, process: Process, troubles: Callable[[], str] = str) -> None:
        """`troubles`: describes the trouble of the node's other shards; empty if there is none."""
        self.shard, self._host, self._process, self._troubles = shard, host, process, troubles
        self.log: Logger = process.log if shard == ROOT else process.log.bind(shard=shard)
        self.profiler = Profiler()
        self._driver: Driver | None = None
        self._replica: Replica | None = None
        self._steps_before = 0
        self._delays = Delays()
        self.trouble = ""
        """A description of what is wrong with the shard; empty if nothing is."""

    @property
    def runs(self) -> bool:
        """`False` while the shard is filled, and after it ended."""
        return self._host.runs()

    @property
    def steps(self) -> int:
        """Number of the core's steps, over all its lives."""
        return self._steps_before + (self._driver.steps if self._driver is not None else 0)

    @property
    def busy_ms(self) -> int:
        """How long the core has been at its present turn; 0 while it waits or has ended."""
        return self._driver.busy_ms if self._driver is not None else 0

    async def run(self) -> Exception:
        """Runs until cancelled, or until a fault that ends the process. Returns that fault."""
        again = False
        while True:
            began = trio.current_time()
            fault = await self._start(again) or await self._live()
            again = True
            code, sentence = described(fault)
            if not self._process.several or ends_process(code):
                return fault
            delay_s = self._delays.after(trio.current_time() - began)
            self.trouble = f"shard {self.shard} ended with {code} ({sentence}), and is started again in {delay_s:g} s"
            self._note("shard ended", code=code, reason=sentence, again_in_s=delay_s)
            await trio.to_thread.run_sync(self._host.end, code, sentence)
            await trio.sleep(delay_s)

    async def _start(self, again: bool) -> Exception | None:
        """Starts the shard if it doesn't run; this may fill its store for hours. Returns the fault that prevents it."""
        if self._host.runs():
            return None
        self.trouble = self.trouble or f"shard {self.shard} is being started; `status check` says how far it is"
        try:
            # When the node is closed, the call ends by itself.
            await trio.to_thread.run_sync(self._host.start, abandon_on_cancel=True)
        except _native.NativeError as error:
            return error
        if again:
            self._note("shard started")
        return None

    async def _live(self) -> Exception:
        """Drives the core until a fault, which is returned."""
        self._replica = replica = Replica(self._process.launch.config.consensus)
        inputs = self._input_log(replica)
        self._driver = Driver(self._host, replica, inputs, self.profiler, f"core-{self.shard}")
        self.trouble = ""
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._watch().run)
                fault = await self._drive(self._driver)
                nursery.cancel_scope.cancel()
        finally:
            self._steps_before, self._driver = self.steps, None
            if inputs is not None:
                inputs.close()
        return fault

    async def _drive(self, driver: Driver) -> Exception:
        try:
            await driver.run()
        except _native.NativeError as error:
            # The data plane can't go on, for example because of a full disk. Its sentence says what to do; a trace
            # wouldn't help.
            self.log.error("data plane failed", code=error.code, reason=error.args[0])
            return error
        except Exception as error:
            self.log.exception("core fault")
            return error

    async def keep_pace(self) -> None:
        """Notes the network's pace for the next start, until cancelled."""

        def backoff() -> int | None:
            return self._replica.backoff if self._replica is not None else None

        await pacehint.keep(self._process.launch.home.pace, backoff, wall_ms, self.log)

    def _watch(self) -> Watch:
        launch = self._process.launch
        return Watch(
            Audited(self._host, self._process.audit, self.shard),
            launch.config,
            launch.home.path,
            self.log,
            keep_few=launch.keep_few,
            of_process=self.shard == ROOT,
            others=self._troubles,
            core_ms=lambda: self.busy_ms,
            told=self._tell,
            node_key=launch.public_keys["node_key"],
        )

    def _tell(self, codes: list[str]) -> None:
        """Takes the codes of the shard's findings."""
        lasting = [code for code in codes if code not in PASSING]
        self.trouble = f"shard {self.shard} has {', '.join(lasting)}" if lasting else ""

    def _input_log(self, replica: Replica) -> InputLog | None:
        launch = self._process.launch
        bytes_max = launch.config.log.core_inputs_bytes_max
        if bytes_max == 0:
            return None
        folder = launch.home.input_log_of(self.shard)
        return InputLog(folder, replica, launch.config.consensus, launch.index, launch.n, bytes_max)

    def _note(self, event: str, **fields: object) -> None:
        self._process.note(event, {"shard": self.shard, **fields})


def described(fault: Exception) -> tuple[str, str]:
    """Returns the code of a shard's fault, and one sentence."""
    if isinstance(fault, _native.NativeError):
        return fault.code, str(fault.args[0])
    return CORE_FAULT, f"a fault of the core: {type(fault).__name__}: {fault}"


class HostedShards:
    """All shards of a node."""

    def __init__(self, node: _native.Node, process: Process) -> None:
        shards = node.shards()
        self.all = [HostedShard(shard, node.host(shard), process, partial(self._troubles, shard)) for shard in shards]

    @property
    def root(self) -> HostedShard:
        return self.all[0]

    @property
    def steps(self) -> int:
        """Number of steps of all cores."""
        return sum(one.steps for one in self.all)

    @property
    def busy_ms(self) -> int:
        """How long the core that is longest at one turn has been at it; 0 if all wait."""
        return max(one.busy_ms for one in self.all)

    def _troubles(self, shard: int) -> str:
        """Describes the trouble of the other shards, for the root shard's watch, which speaks for the node."""
        if shard != ROOT:
            return ""
        return "; ".join(one.trouble for one in self.all if one.shard != shard and one.trouble)

    async def run(self, ended: Callable[[Exception], None]) -> None:
        """Runs all shards until cancelled. Calls `ended` with a fault that ends the process."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self.root.keep_pace)
            for one in self.all:
                nursery.start_soon(self._run_one, one, ended)

    @staticmethod
    async def _run_one(one: HostedShard, ended: Callable[[Exception], None]) -> None:
        ended(await one.run())
