"""The admin socket answers its owner, and only in bounded bites."""

import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import trio
import trio.testing

from rustorium.errors import NodeError, NotReady
from rustorium.node.admin import LINE_BYTES_MAX, AdminServer, call
from rustorium.node.bridge import connect_unix, listen_unix


class FakeNode:
    def __init__(self) -> None:
        self.audited: list[str] = []

    def status(self) -> str:
        return '{"height": 7}'

    def addresses(self) -> dict[str, str]:
        return {"http": "127.0.0.1:1"}

    def audit(self, event: str, fields_json: str) -> None:
        json.loads(fields_json)
        self.audited.append(event)

    def rotate_keys(self) -> None:
        self.audited.append("rotated")

    def rotation(self) -> str:
        return '{"running": false}'

    def copy_store(self) -> None:
        self.audited.append("copied")

    def copying(self) -> str:
        return '{"running": false, "failed": null}'

    def snapshots(self) -> str:
        return '[{"height": 7, "time_ms": 1}]'

    def create_snapshot(self) -> str:
        self.audited.append("snapshot made")
        return '{"height": 9, "time_ms": 2}'


@contextmanager
def serving(path: Path) -> Iterator[tuple[FakeNode, list[str]]]:
    """A server on a thread of its own."""
    node, stopped = FakeNode(), list[str]()
    ready = threading.Event()
    token: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            token.append((trio.lowlevel.current_trio_token(), scope))
            async with trio.open_nursery() as nursery:
                nursery.start_soon(AdminServer(path, node, stopped.append).run)
                await trio.testing.wait_all_tasks_blocked()
                ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    ready.wait(10)
    try:
        yield node, stopped
    finally:
        token[0][0].run_sync_soon(token[0][1].cancel)
        thread.join(10)
        assert not path.exists()


@pytest.mark.parametrize("folder", ["run", "a-very-long-folder-name" * 8])
def test_calls(tmp_path: Path, folder: str) -> None:
    path = tmp_path / folder / "admin.sock"
    with serving(path) as (node, stopped):
        assert path.stat().st_mode & 0o777 == 0o600
        assert call(path, "status") == {"height": 7}
        assert call(path, "addresses") == {"http": "127.0.0.1:1"}
        assert call(path, "stop") == {}
        assert call(path, "rotation") == {"running": False}
        assert call(path, "rotate_keys") == {}
        assert call(path, "snapshots") == [{"height": 7, "time_ms": 1}]
        assert call(path, "create_snapshot") == {"height": 9, "time_ms": 2}
        assert call(path, "note_anchor", fields={"head": "7:00"}) == {}
        with pytest.raises(NotReady, match="runs no steps yet"):
            call(path, "profile_steps", seconds=1)
        assert node.audited.pop() == "profile ordered"
        assert node.audited.pop() == "audit anchored"
        assert node.audited == ["stop ordered", "key rotation ordered", "rotated", "snapshot ordered", "snapshot made"]
        assert stopped == ["ordered by the admin socket"]
        with pytest.raises(NodeError, match="with one of: status, addresses, stop"):
            call(path, "reboot")


def test_a_node_that_hangs_is_told_from_one_that_is_not_there(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with pytest.raises(NotReady) as absent:
        call(path, "status")
    # The kernel takes the question, and nobody answers.
    with listen_unix(path), pytest.raises(NotReady, match="takes questions") as hangs:
        call(path, "status", timeout_s=0.01)
    assert (absent.value.code, hangs.value.code) == ("node-not-running", "node-hangs")


@pytest.mark.parametrize("line", [b"\n", b"null\n", b"[]\n", b'{"op": []}\n', b"\xff\n", b"[" * 60_000 + b"\n"])
def test_bad_requests_are_answered(tmp_path: Path, line: bytes) -> None:
    path = tmp_path / "admin.sock"
    with serving(path), connect_unix(path, 10) as connection, connection.makefile("rwb") as file:
        for _ in range(2):
            file.write(line)
            file.flush()
            assert json.loads(file.readline())["code"] == "bad-request"


def test_an_endless_line_is_cut_off(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with serving(path), connect_unix(path, 10) as connection:
        try:
            for _ in range(20):
                connection.sendall(b"x" * LINE_BYTES_MAX)
            assert connection.recv(1) == b""
        except (BrokenPipeError, ConnectionResetError):
            pass


def test_no_node(tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="no node answers"):
        call(tmp_path / "run" / "admin.sock", "status")


def test_a_leftover_file_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    path.touch()
    os.chmod(path, 0o600)
    with serving(path):
        assert call(path, "status") == {"height": 7}
