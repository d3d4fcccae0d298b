"""The admin socket `run/admin.sock` (0600): one JSON request per line, one JSON answer per line; and its callers.

A request is {"op": name, ...}; an answer {"ok": true, "result": …} or {"ok": false, "code": …, "message": …}. The same
calls are available over HTTP if `[admin] listen` is set (`admin.http`).

Invariants: on the socket only the node's own user and root get answers, and both are admins. Lines, connections and
waiting times are bounded; neither interface takes room that the other needs.
"""

import json
import os
import socket
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import trio

from rustorium.errors import NotReady, RustoriumError
from rustorium.home.followers import AllowedFollowers
from rustorium.node.admin.calls import AdminNode, Caller, Plane, socket_owner
from rustorium.node.admin.http import AdminHttp
from rustorium.node.admin.keyring import Keyring
from rustorium.node.admin.remote import NO_NODE, Remote, ask_remote, error_of
from rustorium.node.admin.trail import Trail
from rustorium.node.bridge import connect_unix, listen_unix, owner_of
from rustorium.node.profile import Profiler

LINE_BYTES_MAX = 64 * 1024
CONNECTIONS_MAX = 16
IDLE_S = 30.0


@dataclass(frozen=True, slots=True)
class Callers:
    """The callers of a node's admin plane that it knows, while it starts and then while it runs."""

    keyring: Keyring
    listener: socket.socket | None = None
    """The socket for callers with a token; `None`: no such socket."""
    allowed: AllowedFollowers | None = None
    """The nodes that may follow; `None`: they can't be changed here."""
    trail: Trail = field(default_factory=Trail)

    @property
    def addresses(self) -> dict[str, str]:
        """The addresses for callers, by interface."""
        return {"admin": address_of(self.listener)} if self.listener is not None else {}


class AdminServer:
    """Serves one node's admin plane."""

    def __init__(
        self,
        path: Path,
        node: AdminNode,
        stop: Callable[[str], None],
        profiler: Profiler | None = None,
        callers: Callers | None = None,
    ) -> None:
        """`profiler`: of the core's steps; `None` before there are steps. `callers`: without them no token is valid."""
        self._path, self._callers = path, callers
        keyring, addresses = (None, {}) if callers is None else (callers.keyring, callers.addresses)
        trail, allowed = (Trail(), None) if callers is None else (callers.trail, callers.allowed)
        self.plane = Plane(node, stop, profiler, keyring, addresses, trail, allowed=allowed)
        self._room = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def run(self, *, task_status: trio.TaskStatus[None] = trio.TASK_STATUS_IGNORED) -> None:
        """Serves until cancelled, then removes the socket's file. Reports started once callers can connect."""
        self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        local = trio.SocketListener(trio.socket.from_stdlib_socket(listen_unix(self._path)))
        task_status.started()
        try:
            async with trio.open_nursery() as nursery:
                nursery.start_soon(trio.serve_listeners, self._connection, [local])
                nursery.start_soon(self.plane.trail.run, self.plane.audit)
                if self._callers is not None:
                    nursery.start_soon(self._callers.keyring.watch, self._faulty)
                if self._callers is not None and self._callers.listener is not None:
                    remote = trio.SocketListener(trio.socket.from_stdlib_socket(self._callers.listener.dup()))
                    nursery.start_soon(trio.serve_listeners, AdminHttp(self.plane).connection, [remote])
        finally:
            self._path.unlink(missing_ok=True)

    def answer(self, line: bytes, caller: Caller) -> dict[str, object]:
        """Returns the answer to one request line."""
        try:
            request = json.loads(line)
            operation = request["op"] if isinstance(request["op"], str) else ""
        except (ValueError, TypeError, KeyError, RecursionError):
            request, operation = {}, ""
        try:
            return {"ok": True, "result": self.plane.perform(operation, request, caller)}
        except RustoriumError as error:
            return {"ok": False, "code": error.code, "message": error.message}

    def _faulty(self, error: RustoriumError) -> None:
        self.plane.trail.note("tokens.json", "load", error.code, trio.current_time())

    async def _connection(self, stream: trio.SocketStream) -> None:
        if self._room.available_tokens == 0:
            await stream.aclose()
            return
        async with self._room, stream:
            pid, uid = owner_of(stream.socket)
            if uid not in (os.geteuid(), 0):
                refused = self.plane.refuse_user(uid)
                with trio.move_on_after(IDLE_S), suppress(trio.BrokenResourceError):
                    # Closing with unread bytes would discard the answer.
                    await stream.receive_some(LINE_BYTES_MAX)
                    await _send(stream, {"ok": False, "code": refused.code, "message": refused.message})
                return
            await self._serve(stream, socket_owner(uid, pid))

    async def _serve(self, stream: trio.SocketStream, caller: Caller) -> None:
        buffer = bytearray()
        with trio.move_on_after(IDLE_S) as idle:
            try:
                async for chunk in stream:
                    buffer += chunk
                    while b"\n" in buffer:
                        line, _, buffer = buffer.partition(b"\n")
                        await _send(stream, self.answer(bytes(line), caller))
                        idle.deadline = trio.current_time() + IDLE_S
                    if len(buffer) > LINE_BYTES_MAX:
                        return
            except trio.BrokenResourceError:
                return


async def _send(stream: trio.SocketStream, answer: dict[str, object]) -> None:
    await stream.send_all(json.dumps(answer).encode() + b"\n")


def address_of(listener: socket.socket) -> str:
    """Returns the address that the socket listens on."""
    host, port = listener.getsockname()[:2]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def call(plane: Path | Remote, operation: str, *, timeout_s: float = 5.0, **arguments: object) -> Any:
    """Calls a running node over its socket, or from elsewhere with a token (blocking).

    Errors: NotReady if no node runs, AccessRefused, NodeError with the node's answer."""
    if isinstance(plane, Remote):
        return ask_remote(plane, operation, timeout_s, arguments)
    try:
        with connect_unix(plane, timeout_s) as connection, connection.makefile("rwb") as file:
            file.write(json.dumps({"op": operation, **arguments}).encode() + b"\n")
            file.flush()
            answer = json.loads(file.readline(16 * 1024 * 1024))
    except TimeoutError:
        raise NotReady(
            f"the node behind {plane} accepts connections and has answered none for {timeout_s:g} s: it hangs, so "
            "restart it",
            code="node-hangs",
        ) from None
    except (OSError, ValueError):
        raise NotReady(
            f"no node answers on {plane}: start it with `rustorium-node start --home {plane.parent.parent}`",
            code=NO_NODE,
        ) from None
    if not answer["ok"]:
        raise error_of(str(answer["code"]), str(answer["message"]))
    return answer["result"]
