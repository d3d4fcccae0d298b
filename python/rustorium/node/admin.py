"""The admin socket `run/admin.sock` (0600): one JSON request per line, one JSON answer per line.

A request is {"op": name, ...}; an answer {"ok": true, "result": …} or {"ok": false, "code": …, "message": …}.

Invariants: who can open the socket owns the node, so that nothing more is asked; lines, connections and waiting are
bounded; an operator's act is written to the audit log before it takes effect.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol

import trio

from rustorium import _native
from rustorium.errors import NodeError, NotReady, RustoriumError
from rustorium.node.bridge import connect_unix, listen_unix
from rustorium.node.profile import Profiler

LINE_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 16
IDLE_S = 30.0


class Inspected(Protocol):
    """What the socket needs of a node."""

    def status(self) -> str: ...

    def addresses(self) -> dict[str, str]: ...

    def audit(self, event: str, fields_json: str) -> None: ...

    def rotate_keys(self) -> None: ...

    def rotation(self) -> str: ...

    def copy_store(self) -> None: ...

    def copying(self) -> str: ...

    def snapshots(self) -> str: ...

    def create_snapshot(self) -> str: ...


class AdminServer:
    """Serves one node's socket."""

    def __init__(
        self, path: Path, node: Inspected, stop: Callable[[str], None], profiler: Profiler | None = None
    ) -> None:
        """`profiler`: of the core's steps; none before there are any."""
        self._path, self._node, self._stop, self._profiler = path, node, stop, profiler
        self._room = trio.CapacityLimiter(CONNECTIONS_MAX)
        self._operations: dict[str, Callable[[dict[str, Any]], object]] = {
            "status": lambda _: json.loads(self._node.status()),
            "addresses": lambda _: self._node.addresses(),
            "stop": self._order_stop,
            "note_recovery": lambda request: self._note(request, "recover"),
            "note_anchor": lambda request: self._note(request, "audit anchored"),
            "rotate_keys": self._rotate_keys,
            "rotation": lambda _: json.loads(self._node.rotation()),
            "copy_store": self._copy_store,
            "copying": lambda _: json.loads(self._node.copying()),
            "note_backup": self._note_backup,
            "snapshots": lambda _: json.loads(self._node.snapshots()),
            "create_snapshot": self._create_snapshot,
            "profile_steps": self._profile_steps,
            "take_profile": lambda _: self._steps().take(),
        }

    async def run(self) -> None:
        """Until cancelled; the socket's file goes with it."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        listener = trio.SocketListener(trio.socket.from_stdlib_socket(listen_unix(self._path)))
        try:
            await trio.serve_listeners(self._connection, [listener])
        finally:
            self._path.unlink(missing_ok=True)

    def answer(self, line: bytes) -> dict[str, object]:
        """The answer to one request line."""
        try:
            request = json.loads(line)
            operation = self._operations[request["op"]]
        except (ValueError, TypeError, KeyError, RecursionError):
            known = ", ".join(self._operations)
            return {"ok": False, "code": "bad-request", "message": f'send {{"op": …}} with one of: {known}'}
        try:
            return {"ok": True, "result": operation(request)}
        except RustoriumError as error:
            return {"ok": False, "code": error.code, "message": error.message}

    async def _connection(self, stream: trio.SocketStream) -> None:
        if self._room.available_tokens == 0:
            await stream.aclose()
            return
        async with self._room, stream:
            buffer = bytearray()
            with trio.move_on_after(IDLE_S) as idle:
                try:
                    async for chunk in stream:
                        buffer += chunk
                        while b"\n" in buffer:
                            line, _, buffer = buffer.partition(b"\n")
                            await stream.send_all(json.dumps(self.answer(bytes(line))).encode() + b"\n")
                            idle.deadline = trio.current_time() + IDLE_S
                        if len(buffer) > LINE_BYTES_MAX:
                            return
                except trio.BrokenResourceError:
                    return

    def _order_stop(self, _request: dict[str, Any]) -> object:
        self._node.audit("stop ordered", json.dumps({"by": "admin socket"}))
        self._stop("ordered by the admin socket")
        return {}

    def _note(self, request: dict[str, Any], event: str) -> object:
        fields = request.get("fields")
        self._node.audit(event, json.dumps(fields if isinstance(fields, dict) else {}))
        return {}

    def _note_backup(self, request: dict[str, Any]) -> object:
        fields = request.get("fields")
        self._node.audit("backup", json.dumps(fields if isinstance(fields, dict) else {}))
        return {}

    def _copy_store(self, _request: dict[str, Any]) -> object:
        self._node.audit("copy of the store ordered", json.dumps({"by": "admin socket"}))
        try:
            self._node.copy_store()
        except _native.NativeError as error:
            raise NodeError(error.args[0], code=error.code) from None
        return {}

    def _rotate_keys(self, _request: dict[str, Any]) -> object:
        self._node.audit("key rotation ordered", json.dumps({"by": "admin socket"}))
        try:
            self._node.rotate_keys()
        except _native.NativeError as error:
            raise NodeError(error.args[0], code=error.code) from None
        return {}

    def _create_snapshot(self, _request: dict[str, Any]) -> object:
        self._node.audit("snapshot ordered", json.dumps({"by": "admin socket"}))
        try:
            return json.loads(self._node.create_snapshot())
        except _native.NativeError as error:
            raise NodeError(error.args[0], code=error.code) from None

    def _profile_steps(self, request: dict[str, Any]) -> object:
        seconds = request.get("seconds")
        self._node.audit("profile ordered", json.dumps({"by": "admin socket"}))
        self._steps().start(float(seconds) if isinstance(seconds, (int, float)) else 0.0)
        return {}

    def _steps(self) -> Profiler:
        if self._profiler is None:
            raise NodeError("the node runs no steps yet: try again when it is ready", code="not-ready")
        return self._profiler


def call(path: Path, operation: str, *, timeout_s: float = 5.0, **arguments: object) -> Any:
    """Asks a running node over its socket (blocking). Errors: NotReady where none runs, NodeError with its answer."""
    try:
        with connect_unix(path, timeout_s) as connection, connection.makefile("rwb") as file:
            file.write(json.dumps({"op": operation, **arguments}).encode() + b"\n")
            file.flush()
            answer = json.loads(file.readline(16 * 1024 * 1024))
    except TimeoutError:
        raise NotReady(
            f"the node behind {path} takes questions and has answered none for {timeout_s:g} s: it hangs, restart it",
            code="node-hangs",
        ) from None
    except (OSError, ValueError):
        raise NotReady(
            f"no node answers on {path}: start it with `rustorium-node start --home {path.parent.parent}`",
            code="node-not-running",
        ) from None
    if not answer["ok"]:
        if answer["code"] == NotReady.code:
            raise NotReady(answer["message"])
        raise NodeError(answer["message"], code=answer["code"])
    return answer["result"]
