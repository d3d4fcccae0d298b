"""A shard that faults is started again, later each time, and the others go on; a fault of the process ends the node."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import pytest
import structlog
import trio
import trio.testing
from fake_port import FakePort
from test_watch import CONFIG, STATUS, VITALS

from rustorium import _native
from rustorium.consensus.vocabulary import BlockFacts, Effect, Input, Recovered, WorkSeen
from rustorium.health.catalogue import ENDS_PROCESS, FINDINGS, ends_process
from rustorium.home.paths import Home
from rustorium.node.loop import hosts
from rustorium.node.loop.driver import Driver
from rustorium.node.loop.hosts import DELAY_S_MAX, DELAY_S_MIN, RAN_WELL_S, Delays, HostedShard, Process
from rustorium.node.loop.launch import Launch

T = TypeVar("T")
GENESIS = BlockFacts(0, 0, bytes(32), 0, bytes(32), 0, 0, False, 0)


class FakeHost(FakePort):
    """A shard's data plane that fails on request and remembers its ends and starts."""

    def __init__(self, clock: trio.testing.MockClock) -> None:
        super().__init__()
        self.pushed = trio.Event()
        self._clock = clock
        self.failure: tuple[str, str] | None = None
        self.refusals: list[str] = []
        """Codes with which the next starts are refused."""
        self.end_s: list[float] = []
        self.start_s: list[float] = []
        self.reason: tuple[str, str] | None = None
        self.shown: list[dict[str, Any]] = []

    def fail(self, code: str) -> None:
        self.failure = (code, "a sentence")
        self.push(WorkSeen(True))

    def push(self, *inputs: Input) -> None:
        super().push(*inputs)
        self.pushed.set()

    def turn(self, effects: list[Effect], deadline_ns: int | None, ticked: bool, limit: int) -> list[Input] | None:
        inputs = super().turn(effects, deadline_ns, ticked, limit)
        if self.failure is not None:
            code, sentence = self.failure
            raise native(code, sentence)
        return inputs

    def status(self) -> str:
        return json.dumps(STATUS)

    def vitals(self) -> str:
        return json.dumps(VITALS)

    def tell_health(self, findings_json: str, suspicion_json: str) -> None:
        self.shown = json.loads(findings_json)

    def runs(self) -> bool:
        return self.reason is None

    def end(self, code: str, sentence: str) -> None:
        self.reason = (code, sentence)
        self.end_s.append(self._clock.current_time())

    def start(self) -> None:
        self.start_s.append(self._clock.current_time())
        if self.refusals:
            code = self.refusals.pop(0)
            self.reason = (code, "a sentence")
            raise native(code, "a sentence")
        self.reason = self.failure = None


def native(code: str, sentence: str) -> _native.NativeError:
    error = _native.NativeError(sentence)
    error.code = code
    return error


@dataclass
class Notes:
    """The node's notes: events and fields."""

    lines: list[tuple[str, Mapping[str, object]]] = field(default_factory=list)

    def note(self, event: str, fields: Mapping[str, object]) -> None:
        self.lines.append((event, dict(fields)))

    def audit(self, event: str, fields_json: str) -> None:
        self.note(event, json.loads(fields_json))


class InLoop(Driver):
    """Takes a turn on trio's thread whenever something was pushed."""

    async def run(self) -> NoReturn:
        host = self._port
        assert isinstance(host, FakeHost)
        while True:
            await host.pushed.wait()
            host.pushed = trio.Event()
            self.turn()


@pytest.fixture(autouse=True)
def _without_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs what goes to a thread at once: virtual time would not wait for a thread."""

    async def run_sync(call: Callable[..., T], *arguments: object, abandon_on_cancel: bool = False) -> T:
        await trio.lowlevel.checkpoint()
        return call(*arguments)

    monkeypatch.setattr(trio.to_thread, "run_sync", run_sync)
    monkeypatch.setattr(hosts, "Driver", InLoop)


@pytest.fixture
def clock() -> trio.testing.MockClock:
    return trio.testing.MockClock(autojump_threshold=0)


def process(folder: Path, notes: Notes, *, several: bool = True) -> Process:
    launch = Launch(Home(folder), CONFIG, "", 0, 4, "", *[None] * 3, {"node_key": ""}, None, {})  # type: ignore[arg-type]
    log = structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(50))
    return Process(launch, log, notes.note, notes.audit, several)


async def until(nursery: trio.Nursery, seconds: float) -> None:
    await trio.sleep(seconds)
    nursery.cancel_scope.cancel()


def test_delays_double_up_to_a_bound_and_begin_again_after_a_good_run() -> None:
    delays = Delays()
    seen = [delays.after(0) for _ in range(12)]
    assert seen[:4] == [DELAY_S_MIN, 2 * DELAY_S_MIN, 4 * DELAY_S_MIN, 8 * DELAY_S_MIN]
    assert seen[-1] == seen[-2] == DELAY_S_MAX
    assert delays.after(RAN_WELL_S - 1) == DELAY_S_MAX
    assert delays.after(RAN_WELL_S) == DELAY_S_MIN


def test_a_shard_that_faults_is_started_again_and_the_other_one_goes_on(
    tmp_path: Path, clock: trio.testing.MockClock
) -> None:
    notes = Notes()
    root, other = FakeHost(clock), FakeHost(clock)
    all_of_it = process(tmp_path, notes)
    failing = HostedShard(7, other, all_of_it)
    steady = HostedShard(0, root, all_of_it, lambda: failing.trouble)
    returned: list[Exception] = []

    async def run(one: HostedShard) -> None:
        returned.append(await one.run())

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(run, steady)
            nursery.start_soon(run, failing)
            await trio.sleep(0.1)
            other.refusals = ["store-corrupt", "store-corrupt"]
            other.fail("thread-panicked")
            await trio.sleep(DELAY_S_MIN / 2)
            assert failing.trouble.startswith("shard 7 ended with thread-panicked")
            await trio.sleep(DELAY_S_MIN)
            assert failing.trouble.startswith("shard 7 ended with store-corrupt")
            [shown] = [one for one in root.shown if one["code"] == "shard-trouble"]
            assert "shard 7 ended" in shown["evidence"]
            assert shown["severity"] == "degraded"
            await trio.sleep(10 * DELAY_S_MIN)
            assert failing.trouble == ""
            assert other.runs()
            nursery.cancel_scope.cancel()

    trio.run(main, clock=clock)
    assert returned == []
    assert (root.end_s, root.start_s) == ([], [])
    waits = [start - end for end, start in zip(other.end_s, other.start_s, strict=True)]
    assert waits == pytest.approx([DELAY_S_MIN, 2 * DELAY_S_MIN, 4 * DELAY_S_MIN])
    ends = [fields for event, fields in notes.lines if event == "shard ended"]
    assert [one["code"] for one in ends] == ["thread-panicked", "store-corrupt", "store-corrupt"]
    assert {one["shard"] for one in ends} == {7}
    assert ("shard started", {"shard": 7}) in notes.lines


def test_a_fault_of_the_core_is_told_with_its_kind(
    tmp_path: Path, clock: trio.testing.MockClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(_self: object, _now: int, _event: Input) -> list[Effect]:
        raise ValueError("a bug")

    monkeypatch.setattr(hosts.Replica, "on_input", broken)
    notes, host = Notes(), FakeHost(clock)
    host.push(Recovered(GENESIS, 0, 0, 1, 4))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(HostedShard(7, host, process(tmp_path, notes)).run)
            nursery.start_soon(until, nursery, DELAY_S_MIN / 2)

    trio.run(main, clock=clock)
    assert host.reason == ("core-fault", "a fault of the core: ValueError: a bug")
    assert list((tmp_path / "shards" / "7" / "log" / "inputs").iterdir()) != []


@pytest.mark.parametrize(("several", "code"), [(False, "thread-panicked"), (True, "disk-full"), (True, "key-in-use")])
def test_a_fault_of_the_only_shard_or_of_the_process_is_returned(
    tmp_path: Path, clock: trio.testing.MockClock, several: bool, code: str
) -> None:
    host = FakeHost(clock)
    one = HostedShard(0, host, process(tmp_path, Notes(), several=several))
    host.fail(code)
    fault = trio.run(one.run, clock=clock)
    assert isinstance(fault, _native.NativeError)
    assert fault.code == code
    assert host.end_s == []


def test_no_finding_of_a_shard_is_taken_for_a_fault_of_the_process() -> None:
    assert not ENDS_PROCESS & FINDINGS.keys()
    assert [ends_process(code) for code in ("disk-full", "store-corrupt", "core-fault")] == [True, False, False]
