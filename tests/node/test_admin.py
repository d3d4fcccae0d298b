"""The admin socket answers only its owner, and reads only a bounded number of bytes."""

import json
import os
from pathlib import Path

import pytest

from admin_tools import calls, serving
from rustorium.errors import NodeError, NotReady
from rustorium.node.admin.socket import LINE_BYTES_MAX, call
from rustorium.node.bridge import connect_unix, listen_unix


def test_calls_about_a_store_name_its_shard(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with serving(path) as (node, _):
        assert call(path, "snapshots", shard=2) == [{"height": 9, "time_ms": 1}]
        assert call(path, "create_snapshot", shard=2) == {"height": 11, "time_ms": 2}
        assert call(path, "copy_store", shard=2) == {}
        assert call(path, "copying", shard=2) == {"running": False, "failed": None}
        assert "copied 2" in node.audited
        assert [fields.get("shard") for fields in node.said("copy of the store ordered")] == [2]
        assert [fields.get("shard") for fields in node.said("snapshot ordered")] == [2]
        for wrong in (-1, 1 << 32, 1.5, True, "1", [1], None):
            for operation in ("snapshots", "copying", "create_snapshot", "copy_store"):
                with pytest.raises(NodeError, match="a shard is a number"):
                    call(path, operation, shard=wrong)


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
    me = f"uid {os.geteuid()}"
    told = calls(node)
    assert told[me, "status", "ok"] == 1
    assert told[me, "profile_steps", "not-ready"] == 1
    assert told[me, "unknown", "bad-request"] == 1
    assert sum(told.values()) == 10, "every call is in the audit log, one way or the other"
    by = {"by": "admin socket", "uid": os.geteuid(), "pid": os.getpid(), "role": "admin"}
    assert node.said("stop ordered") == [by]
    assert node.said("audit anchored") == [{"head": "7:00", "caller": by}]


def test_a_hanging_node_and_a_missing_one_have_different_errors(tmp_path: Path) -> None:
    path = tmp_path / "admin.sock"
    with pytest.raises(NotReady) as absent:
        call(path, "status")
    # The kernel accepts the request, and nobody answers it.
    with listen_unix(path), pytest.raises(NotReady, match="accepts connections") as hangs:
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


def test_an_endless_line_is_refused(tmp_path: Path) -> None:
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
