"""Messages to systemd, over a real datagram socket and in virtual time."""

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import trio
import trio.testing

from rustorium.node.loop.notify import STATUS_CHARACTERS_MAX, Notifier

PID = 77


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as found:
        found.bind(str(tmp_path / "notify"))
        found.setblocking(False)
        yield found


def said(listener: socket.socket) -> list[list[str]]:
    messages = []
    while True:
        try:
            messages.append(listener.recv(4096).decode().split("\n"))
        except BlockingIOError:
            return messages


def told(environment: dict[str, str], seconds: float, up_after: float = 0.0, status: str = "fine") -> None:
    """Runs a notifier for this long, in virtual time."""

    async def run() -> None:
        start = trio.current_time()
        with trio.move_on_after(seconds):
            await Notifier(environment, PID).run(lambda: trio.current_time() - start >= up_after, lambda: status)

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))


def test_the_notifier_extends_the_start_time_out_and_then_feeds_the_watchdog(listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "9000000"}
    told(environment, 9.5, up_after=2.5)
    assert said(listener) == [
        ["EXTEND_TIMEOUT_USEC=9000000", "WATCHDOG=1", "STATUS=fine"],
        ["EXTEND_TIMEOUT_USEC=9000000", "WATCHDOG=1"],
        ["EXTEND_TIMEOUT_USEC=9000000", "WATCHDOG=1"],
        ["READY=1", "WATCHDOG=1"],
        ["WATCHDOG=1"],
        ["WATCHDOG=1"],
    ]


def test_the_watchdog_hears_nothing_while_a_core_hangs(listener: socket.socket) -> None:
    environment = {"NOTIFY_SOCKET": listener.getsockname(), "WATCHDOG_USEC": "9000000"}
    alive = iter([True, False, True])

    async def run() -> None:
        with trio.move_on_after(8):
            await Notifier(environment, PID).run(lambda: True, lambda: "fine", lambda: next(alive))

    trio.run(run, clock=trio.testing.MockClock(autojump_threshold=0))
    assert said(listener) == [["READY=1", "WATCHDOG=1", "STATUS=fine"], [""], ["WATCHDOG=1"]]


def test_without_a_watchdog_the_notifier_reports_readiness_and_status(listener: socket.socket) -> None:
    told({"NOTIFY_SOCKET": listener.getsockname()}, 25.0, status="two\nlines " + "x" * 500)
    first, *rest = said(listener)
    assert first[0] == "READY=1"
    assert first[1].startswith("STATUS=two lines xxx")
    assert len(first[1]) == len("STATUS=") + STATUS_CHARACTERS_MAX
    assert rest == [[""], [""]], "nothing new"


def test_another_processs_watchdog_and_invalid_values_are_ignored(listener: socket.socket) -> None:
    address = {"NOTIFY_SOCKET": listener.getsockname()}
    for more in ({"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": "1"}, {"WATCHDOG_USEC": "soon"}, {"WATCHDOG_USEC": "-1"}):
        told(address | more, 5.0)
        assert said(listener) == [["READY=1", "STATUS=fine"]]
    told(address | {"WATCHDOG_USEC": "3000000", "WATCHDOG_PID": str(PID)}, 0.5)
    assert said(listener) == [["READY=1", "WATCHDOG=1", "STATUS=fine"]]


def test_an_abstract_socket_and_a_stop(tmp_path: Path) -> None:
    name = f"rustorium-test-{tmp_path.name}-{id(tmp_path)}"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind("\0" + name)
        listener.setblocking(False)
        Notifier({"NOTIFY_SOCKET": "@" + name}, PID).stopping()
        assert said(listener) == [["STOPPING=1"]]


def test_a_missing_socket_is_no_error(tmp_path: Path) -> None:
    told({}, 100.0)
    Notifier({}, PID).stopping()
    told({"NOTIFY_SOCKET": str(tmp_path / "gone")}, 30.0)
    told({"NOTIFY_SOCKET": "vsock:1:2"}, 30.0)
