"""The loop takes inputs on its own thread, steps the replica, passes effects on in one call, and ticks when the
replica's deadline has come."""

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import trio
from fake_port import FakePort

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Effect,
    EnterView,
    Heartbeat,
    Input,
    PayloadStatus,
    Recovered,
    ResendVotes,
    Tick,
    Vote,
    WorkSeen,
)
from rustorium.errors import InputLogError
from rustorium.node.loop.driver import Driver
from rustorium.node.loop.inputlog import InputLog, replay
from rustorium.node.loop.statecodec import freeze

GENESIS = BlockFacts(0, 0, bytes(32), 0, bytes(32), 0, 0, False, 0)


class Script:
    """A replica that answers every input with one effect and has the given deadlines."""

    def __init__(self, deadlines: list[int | None]) -> None:
        self.deadlines = deadlines
        self.seen: list[Input] = []

    def on_input(self, now: int, event: Input) -> list[Effect]:
        self.seen.append(event)
        return [Heartbeat(len(self.seen))]

    def next_deadline(self) -> int | None:
        return self.deadlines.pop(0) if len(self.deadlines) > 1 else self.deadlines[0]


@pytest.fixture
def port() -> FakePort:
    return FakePort()


def run(driver: Driver, steps: int) -> None:
    """Runs the driver until it has taken this many steps, and handed their effects over."""

    async def main() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.run)
                while driver.steps < steps:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()

    trio.run(main)


def test_the_effects_of_one_turn_leave_in_one_call(port: FakePort) -> None:
    port.push(WorkSeen(True), WorkSeen(False), WorkSeen(True))
    script = Script([None])
    run(Driver(port, script), 3)
    assert script.seen == [WorkSeen(True), WorkSeen(False), WorkSeen(True)]
    assert port.submitted == [[Heartbeat(1), Heartbeat(2), Heartbeat(3)]]
    assert port.ticks == 0


def test_a_due_deadline_ticks_after_the_inputs(port: FakePort) -> None:
    port.push(WorkSeen(True))
    script = Script([None, 0, None])
    run(Driver(port, script), 2)
    assert script.seen == [WorkSeen(True), Tick()]
    assert port.submitted == [[Heartbeat(1), Heartbeat(2)]]
    assert port.ticks == 1


def test_a_deadline_that_passed_ticks_without_an_input(port: FakePort) -> None:
    script = Script([0, None])
    run(Driver(port, script), 1)
    assert script.seen == [Tick()]


def test_the_data_plane_gets_the_newest_deadline_before_the_loop_waits(port: FakePort) -> None:
    port.push(WorkSeen(True))
    later = time.monotonic_ns() + 10**12
    run(Driver(port, Script([later + 1, later])), 1)
    assert set(port.deadlines) <= {None, later}
    assert port.deadlines[-1] == later


def test_one_turn_in_sixteen_is_measured(port: FakePort) -> None:
    driver = Driver(port, Script([None]))
    for number in range(1, 33):
        port.push(WorkSeen(True), WorkSeen(True))
        assert driver.turn()
        assert port.observed == 2 * (number // 16)


def test_other_tasks_run_during_endless_inputs(port: FakePort) -> None:
    class Endless(Script):
        def on_input(self, now: int, event: Input) -> list[Effect]:
            port.push(WorkSeen(True))
            return super().on_input(now, event)

    port.push(WorkSeen(True))
    run(Driver(port, Endless([None])), 100)


def test_nothing_happens_without_input_or_deadline_and_a_cancelled_core_ends_at_once(port: FakePort) -> None:
    script = Script([None])

    async def main() -> None:
        with trio.move_on_after(0.05):
            await Driver(port, script).run()

    trio.run(main)
    assert script.seen == []
    assert port.submitted == []


def test_a_core_that_was_told_to_end_hands_its_last_effects_over(port: FakePort) -> None:
    inside, told = threading.Event(), threading.Event()

    class Slow(Script):
        def on_input(self, now: int, event: Input) -> list[Effect]:
            inside.set()
            assert told.wait(60)
            return super().on_input(now, event)

    port.push(WorkSeen(True))

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            nursery.start_soon(Driver(port, Slow([None])).run)
            await trio.to_thread.run_sync(inside.wait, 60)
            nursery.cancel_scope.cancel()
            told.set()

    trio.run(main)
    assert port.submitted == [[Heartbeat(1)]]


def test_the_core_has_a_thread_of_its_own_and_trio_goes_on_while_it_hangs(port: FakePort) -> None:
    inside, told, names = threading.Event(), threading.Event(), []

    class Hanging(Script):
        def on_input(self, now: int, event: Input) -> list[Effect]:
            names.append(threading.current_thread().name)
            inside.set()
            assert told.wait(60)
            return []

    port.push(WorkSeen(True))
    driver = Driver(port, Hanging([None]), name="core-7")
    assert driver.busy_ms == 0

    async def main() -> None:
        with trio.fail_after(20):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(driver.run)
                await trio.to_thread.run_sync(inside.wait, 60)
                while driver.busy_ms < 20:
                    await trio.lowlevel.checkpoint()
                told.set()
                while driver.busy_ms:
                    await trio.lowlevel.checkpoint()
                nursery.cancel_scope.cancel()

    trio.run(main)
    assert names == ["core-7"]


def test_two_cores_run_at_the_same_time(port: FakePort) -> None:
    both = threading.Barrier(2, timeout=60)

    class Meeting(Script):
        def on_input(self, now: int, event: Input) -> list[Effect]:
            both.wait()
            return []

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            drivers = [Driver(one, Meeting([None])) for one in (port, FakePort())]
            for one in drivers:
                one._port.push(WorkSeen(True))  # type: ignore[attr-defined]
                nursery.start_soon(one.run)
            while any(one.steps == 0 for one in drivers):
                await trio.lowlevel.checkpoint()
            nursery.cancel_scope.cancel()

    trio.run(main)


def test_a_fault_of_the_replica_ends_the_loop(port: FakePort) -> None:
    class Broken(Script):
        def on_input(self, now: int, event: Input) -> list[Effect]:
            raise RuntimeError("broken")

    port.push(WorkSeen(True))
    with pytest.raises(RuntimeError, match="broken"):
        trio.run(Driver(port, Broken([None])).run)


def test_effects_do_not_wait_for_the_log(port: FakePort, tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)
    path = tmp_path / "00000001.inputs"
    header = path.stat().st_size
    port.push(Recovered(GENESIS, 0, 0, 1, 4))
    driver = Driver(port, replica, log)
    assert driver.turn()
    while not driver._ticked:
        assert driver.turn()
    assert path.stat().st_size == header, "the tick's effects come first"
    assert driver.turn()
    assert any(isinstance(effect, Heartbeat) for effect in port.submitted[-1])
    log.close()
    assert len(list(replay(tmp_path))) == driver.steps


def make_log(folder: Path, replica: Replica, bytes_max: int = 1 << 20) -> InputLog:
    return InputLog(folder, replica, ConsensusConfig(), 1, 4, bytes_max)


def drive(replica: Replica, log: InputLog, steps: int, start: int = 1) -> None:
    """Ticks the replica at its own deadlines."""
    for _ in range(start, start + steps):
        now = replica.next_deadline()
        assert now is not None
        log.append(now, Tick(), replica.on_input(now, Tick()))
        log.flush()


def recovered(replica: Replica, log: InputLog) -> None:
    event = Recovered(GENESIS, 0, 0, 1, 4)
    log.append(1, event, replica.on_input(1, event))
    work = WorkSeen(True)
    log.append(2, work, replica.on_input(2, work))
    log.flush()


def test_a_log_replays_to_the_same_effects(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)
    recovered(replica, log)
    drive(replica, log, 50)
    log.close()
    steps = list(replay(tmp_path))
    assert len(steps) == 52
    assert isinstance(steps[0].event, Recovered)
    assert steps[0].event.final == GENESIS
    kinds = {type(effect) for step in steps for effect in step.effects}
    assert {EnterView, ResendVotes} <= kinds


def test_the_log_is_bounded_and_replays_from_its_middle(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica, bytes_max=16_384)
    recovered(replica, log)
    drive(replica, log, 2_000)
    log.close()
    segments = sorted(tmp_path.glob("*.inputs"))
    assert len(segments) == 4
    assert segments[0].name != "00000001.inputs"
    assert sum(path.stat().st_size for path in segments) < 5 * 16_384
    assert all((path.stat().st_mode & 0o777) == 0o600 for path in segments)
    assert len(list(replay(tmp_path))) > 100
    assert len(list(replay(segments[1]))) > 10


def test_a_restarted_node_appends_segments(tmp_path: Path) -> None:
    for _ in range(2):
        replica = Replica(ConsensusConfig())
        log = make_log(tmp_path, replica)
        recovered(replica, log)
        log.close()
    assert [path.name for path in sorted(tmp_path.iterdir())] == ["00000001.inputs", "00000002.inputs"]
    assert len(list(replay(tmp_path))) == 4


def test_a_torn_tail_is_the_end_and_damage_is_an_error(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)
    recovered(replica, log)
    drive(replica, log, 20)
    log.close()
    path = tmp_path / "00000001.inputs"
    whole = path.read_bytes()
    path.write_bytes(whole[:-3])
    assert len(list(replay(path))) == 21
    path.write_bytes(whole[:-8] + b"\xc1" * 8)
    with pytest.raises(InputLogError):
        list(replay(path))


def test_other_effects_than_recorded_are_named(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)
    event = Recovered(GENESIS, 0, 0, 1, 4)
    log.append(1, event, [Heartbeat(9), Heartbeat(9), Heartbeat(9)])
    log.close()
    with pytest.raises(
        InputLogError, match="step 0 had the effects Heartbeat, Heartbeat, Heartbeat and now has"
    ) as said:
        list(replay(tmp_path))
    assert "effect 0 was Heartbeat(view=9), and now is EnterView(view=1, " in str(said.value)


def other_digest(vote: Vote) -> Vote:
    return replace(vote, digest=bytes(32))


def other_view(vote: Vote) -> Vote:
    return replace(vote, view=vote.view + 1)


@pytest.mark.parametrize("change", [other_digest, other_view])
def test_a_core_that_votes_for_something_else_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[Vote], Vote]
) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)
    block = BlockFacts(1, 1, b"\x07" * 32, 0, GENESIS.digest, 1, 10, True, 0)
    events: list[Input] = [Recovered(GENESIS, 0, 0, 2, 4), BlockSeen(block, PayloadStatus.READY)]
    for now, event in enumerate(events):
        effects = replica.on_input(now, event)
        log.append(now, event, effects)
    log.close()
    (vote,) = (effect for effect in effects if isinstance(effect, Vote))
    assert vote.digest == block.digest
    list(replay(tmp_path))

    step = Replica.on_input

    def changed(core: Replica, now: int, event: Input) -> list[Effect]:
        return [change(one) if isinstance(one, Vote) else one for one in step(core, now, event)]

    monkeypatch.setattr(Replica, "on_input", changed)
    with pytest.raises(InputLogError) as said:
        list(replay(tmp_path))
    assert f"was {vote}, and now is {change(vote)}" in str(said.value)


def test_another_version_is_refused(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    make_log(tmp_path, replica).close()
    path = tmp_path / "00000001.inputs"
    content = path.read_bytes()
    path.write_bytes(content.replace(b"\xa7version\x04", b"\xa7version\x01"))
    with pytest.raises(InputLogError, match="has version 1 and this build reads 4: replay it there"):
        list(replay(tmp_path))


def test_a_full_disk_stops_the_log_and_not_the_node(tmp_path: Path) -> None:
    replica = Replica(ConsensusConfig())
    log = make_log(tmp_path, replica)

    class Full:
        def write(self, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        def close(self) -> None:
            pass

    log.close()
    log._file = Full()  # type: ignore[assignment]
    recovered(replica, log)
    recovered_again = WorkSeen(True)
    log.append(3, recovered_again, replica.on_input(3, recovered_again))
    log.flush()
    assert log.fault is not None
    assert log.fault.errno == 28


def test_state_of_foreign_classes_is_refused() -> None:
    with pytest.raises(TypeError, match="not part of the core's state"):
        freeze(Path("/"))
