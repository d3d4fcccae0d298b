"""Steps are profiled by their calls, on a clock of the test's, so that every figure is known."""

import re
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
import trio
from fake_port import FakePort

from rustorium.consensus.vocabulary import Effect, Input, Tick
from rustorium.errors import NodeError
from rustorium.node.admin.calls import socket_owner
from rustorium.node.admin.socket import AdminServer
from rustorium.node.loop.driver import Driver
from rustorium.node.profile import PATHS_MAX, Profiler
from rustorium.observe.flame import svg, tree

NS = 1_000_000_000


class Clock:
    """A clock that moves when a profiled function calls `work`."""

    def __init__(self) -> None:
        self.now = 5 * NS

    def __call__(self) -> int:
        return self.now

    def work(self, ns: int) -> None:
        self.now += ns


CLOCK = Clock()


def inner(ns: int) -> None:
    CLOCK.work(ns)


def outer(ns: int) -> int:
    CLOCK.work(10)
    inner(ns)
    inner(ns)
    return len("four")


def failing() -> None:
    inner(3)
    raise ValueError("wrong")


def paths(profiler: Profiler) -> dict[str, tuple[int, int]]:
    return {path.replace(f"{__name__}.", ""): (own_ns, calls) for path, own_ns, calls in profiler.take()["paths"]}


def test_calls_and_times_are_exact() -> None:
    profiler = Profiler(CLOCK)
    profiler.start(60)
    for _ in range(2):
        assert profiler.run("Tick", outer, 7) == 4
    assert sys.getprofile() is None
    found = paths(profiler)
    assert {path: calls for path, (_, calls) in found.items()} == {
        "Tick": 2,
        "Tick;outer": 2,
        "Tick;outer;Clock.work": 2,
        "Tick;outer;inner": 4,
        "Tick;outer;inner;Clock.work": 4,
        "Tick;outer;len": 2,
    }
    assert (found["Tick;outer;Clock.work"][0], found["Tick;outer;inner;Clock.work"][0]) == (20, 28)
    assert sum(own_ns for own_ns, _ in found.values()) == 48


def test_a_steps_exception_passes_and_the_next_step_is_profiled_correctly() -> None:
    profiler = Profiler(CLOCK)
    profiler.start(60)
    with pytest.raises(ValueError, match="wrong"):
        profiler.run("Tick", failing)
    assert sys.getprofile() is None
    profiler.run("Tick", inner, 4)
    found = paths(profiler)
    assert found["Tick;inner;Clock.work"] == (4, 1)
    assert found["Tick;failing;inner;Clock.work"] == (3, 1)


def test_a_profile_ends_by_itself_and_only_one_runs_at_a_time() -> None:
    profiler = Profiler(CLOCK)
    assert not profiler.on
    profiler.start(60)
    with pytest.raises(NodeError, match="being profiled already"):
        profiler.start(60)
    CLOCK.work(60 * NS)
    assert not profiler.on
    assert profiler.take() == {"seconds": 60.0, "steps": 0, "paths": []}
    profiler.start(1)
    for wrong in (0.0, -1.0, float("nan"), 1e9):
        with pytest.raises(NodeError, match="at most 600 s"):
            Profiler(CLOCK).start(wrong)


def deep(depth: int) -> None:
    if depth:
        deep(depth - 1)


def test_a_profiles_memory_is_bounded() -> None:
    profiler, limit = Profiler(CLOCK), sys.getrecursionlimit()
    profiler.start(60)
    sys.setrecursionlimit(3 * PATHS_MAX)
    try:
        profiler.run("Tick", deep, PATHS_MAX + 100)
    finally:
        sys.setrecursionlimit(limit)
    assert profiler._paths == PATHS_MAX
    profiler.run("Tick", inner, 1)
    assert profiler._paths == PATHS_MAX


class Replica:
    def on_input(self, now: int, event: Input) -> list[Effect]:
        return []

    def next_deadline(self) -> int | None:
        return None


def test_the_drivers_steps_are_profiled_while_it_is_on_only() -> None:
    port = FakePort()
    driver = Driver(port, Replica())
    port.push(Tick())
    driver.turn()
    driver.profiler.start(60)
    port.push(Tick(), Tick())
    driver.turn()
    taken = driver.profiler.take()
    port.push(Tick())
    driver.turn()
    assert (taken["steps"], driver.steps) == (2, 4)
    assert [(path.rpartition(".")[2], calls) for path, _, calls in taken["paths"]] == [("Tick", 2), ("on_input", 2)]
    assert port.observed == 2


def test_a_profile_is_taken_while_another_thread_runs_a_step() -> None:
    profiler, inside, taken = Profiler(CLOCK), threading.Event(), threading.Event()

    def step() -> None:
        inner(3)
        inside.set()
        assert taken.wait(60)
        outer(4)

    profiler.start(60)
    thread = threading.Thread(target=profiler.run, args=("Tick", step))
    thread.start()
    assert inside.wait(60)
    found = paths(profiler)
    taken.set()
    thread.join()
    assert sum(own_ns for own_ns, _ in found.values()) == 3
    assert not profiler.on


def test_the_admin_socket_starts_a_profile_and_returns_it(tmp_path: Path) -> None:
    class Node:
        def audit(self, event: str, fields_json: str) -> None:
            audited.append(event)

    audited: list[str] = []
    server = AdminServer(tmp_path / "sock", Node(), lambda _: None, Profiler(CLOCK))  # type: ignore[arg-type]

    async def ask(line: bytes) -> dict[str, Any]:
        return server.answer(line, socket_owner(0, 1))

    def answer(line: bytes) -> dict[str, Any]:
        return trio.run(ask, line)

    for bad in (b'"long"', b"1e400", b"1" + b"0" * 400, b"NaN", b"-1", b"null"):
        assert answer(b'{"op": "profile_steps", "seconds": ' + bad + b"}")["code"] == "bad-request"
    assert answer(b'{"op": "profile_steps", "seconds": 5}') == {"ok": True, "result": {}}
    assert answer(b'{"op": "profile_steps", "seconds": 5}')["code"] == "busy"
    CLOCK.work(2 * NS)
    taken = answer(b'{"op": "take_profile"}')
    assert taken == {"ok": True, "result": {"seconds": 2.0, "steps": 0, "paths": []}}
    assert audited == ["profile ordered"] * 8


def test_a_picture_has_a_box_a_function_as_wide_as_its_time() -> None:
    profile = [("Tick", 0, 2), ("Tick;a.f", 30_000, 2), ("Tick;a.f;b.g<x>", 70_000, 4), ("Final", 100_000, 1)]
    text = svg(tree({"node-0": profile}), "steps")
    assert "<script" not in text
    widths = dict(re.findall(r"<title>([^:]+):[^<]*</title><rect [^>]*width=\"([0-9.]+)\"", text))
    assert widths == {"all": "1200.00", "Tick": "600.00", "a.f": "600.00", "b.g&lt;x&gt;": "420.00", "Final": "600.00"}
    assert "a.f: 0.100 ms (50.0 %), 0.030 ms its own, 2 calls" in text
    both = svg(tree({"node-0": profile, "node-1": profile}), "steps")
    assert both.count("<title>node-") == 2
    assert "no step ran meanwhile" in svg(tree({}), "steps")
