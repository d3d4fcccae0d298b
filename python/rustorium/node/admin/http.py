"""The admin plane over HTTP, for callers with a token: `POST /v1/admin/CALL` with a JSON object of arguments.

The answer is the call's result, or a problem (RFC 9457) with its stable code. The server has no TLS and listens on
loopback only (`config`): an SSH tunnel or a reverse proxy leads to it.

Invariants: no part of a body is read before its sender is known. Heads, bodies, connections and waiting times are
bounded. Input that can't be understood gives a problem, never a fault.
"""

import json
from http import HTTPStatus
from typing import Any

import h11
import trio

from rustorium.errors import (
    AccessRefused,
    NodeError,
    NotFound,
    NotReady,
    RustoriumError,
    TooManyCalls,
    UsageError,
)
from rustorium.node.admin.calls import Caller, Plane
from rustorium.node.admin.remote import PATH

BODY_BYTES_MAX = 64 * 1024
HEAD_BYTES_MAX = 16 * 1024
CONNECTIONS_MAX = 16
IDLE_S = 30.0
REQUEST_S = 10.0
LINGER_S = 1.0
READ_BYTES = 16 * 1024
STATUSES = {"role-too-low": 403, "bad-request": 400, "not-ready": 503, "busy": 503, "unknown-route": 404}
STATUSES |= {
    "tokens-invalid": 503,
    "tokens-exposed": 503,
    "method-not-allowed": 405,
    "body-too-large": 413,
    "too-slow": 408,
}


class AdminHttp:
    """Serves connections."""

    def __init__(self, plane: Plane) -> None:
        self._plane = plane
        self._room = trio.CapacityLimiter(CONNECTIONS_MAX)

    async def connection(self, stream: trio.SocketStream) -> None:
        """Serves one connection, until it ends or is idle for too long."""
        if self._room.available_tokens == 0:
            await stream.aclose()
            return
        async with self._room, stream:
            link = _Link(stream)
            try:
                while await self._request(link):
                    link.machine.start_next_cycle()
            except (trio.BrokenResourceError, h11.LocalProtocolError):
                return

    async def _request(self, link: "_Link") -> bool:
        """Serves one request; returns `True` if the connection stays open."""
        try:
            with trio.fail_after(IDLE_S):
                request = await link.next()
            if not isinstance(request, h11.Request):
                return False
            with trio.fail_after(REQUEST_S):
                call, caller = self._who(request, link.address)
                arguments = arguments_of(await link.body())
            await link.answer(200, self._plane.perform(call, arguments, caller))
        except h11.RemoteProtocolError as error:
            await link.refuse(NodeError(f"that is no HTTP/1.1 request: {error}", code="bad-request"))
            return False
        except trio.TooSlowError:
            await link.refuse(NodeError("the request came too slowly: send it again", code="too-slow"))
            return False
        except RustoriumError as error:
            await link.refuse(error)
        return link.machine.our_state is h11.DONE and link.machine.their_state is h11.DONE

    def _who(self, request: h11.Request, address: str) -> tuple[str, Caller]:
        path = request.target.decode("ascii", "replace")
        call = path.removeprefix(PATH) if path.startswith(PATH) else ""
        given = [value for name, value in request.headers if name == b"authorization"]
        text = given[0].decode("ascii", "replace") if len(given) == 1 else None
        if text is not None or given:
            scheme, _, token = (text or "").partition(" ")
            text = token.strip() if scheme.lower() == "bearer" else ""
        caller = self._plane.bearer(text, address, call)
        if request.method != b"POST":
            raise NodeError(f"calls are made by POST: send POST {PATH}CALL", code="method-not-allowed")
        if call not in self._plane.operations:
            known = ", ".join(self._plane.operations)
            raise NodeError(f"there is no such call: send POST {PATH}CALL with one of {known}", code="unknown-route")
        return call, caller


class _Link:
    """A connection's bytes."""

    def __init__(self, stream: trio.SocketStream) -> None:
        self._stream = stream
        self.machine = h11.Connection(h11.SERVER, max_incomplete_event_size=HEAD_BYTES_MAX)
        self.address = str(stream.socket.getpeername()[0])

    async def next(self) -> Any:
        """Returns the next event. Errors: h11.RemoteProtocolError."""
        while (event := self.machine.next_event()) is h11.NEED_DATA:
            if self.machine.they_are_waiting_for_100_continue:
                await self._send(h11.InformationalResponse(status_code=100, headers=[]))
            self.machine.receive_data(await self._stream.receive_some(READ_BYTES))
        return event

    async def body(self) -> bytes:
        """Returns the rest of the request. Errors: NodeError, h11.RemoteProtocolError."""
        body = bytearray()
        while isinstance(event := await self.next(), h11.Data):
            body += event.data
            if len(body) > BODY_BYTES_MAX:
                raise NodeError(f"a call has at most {BODY_BYTES_MAX} bytes: send less", code="body-too-large")
        return bytes(body)

    async def answer(self, status: int, result: object, *more: tuple[str, str]) -> None:
        """Answers with JSON."""
        media = "application/json" if status == 200 else "application/problem+json"
        content = json.dumps(result).encode()
        headers = [("content-type", media), ("content-length", str(len(content))), ("cache-control", "no-store")]
        # The rest of an unread body isn't read: the connection ends instead.
        if self.machine.their_state is not h11.DONE:
            headers.append(("connection", "close"))
        with trio.fail_after(REQUEST_S):
            await self._send(h11.Response(status_code=status, headers=[*headers, *more]))
            await self._send(h11.Data(data=content))
            await self._send(h11.EndOfMessage())

    async def refuse(self, error: RustoriumError) -> None:
        """Answers with a problem, if an answer is still possible."""
        if self.machine.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return
        status = status_of(error)
        problem: dict[str, object] = {
            "type": f"urn:rustorium:problem:{error.code}",
            "code": error.code,
            "title": HTTPStatus(status).phrase,
            "status": status,
            "detail": error.message,
        }
        more = []
        if isinstance(error, TooManyCalls):
            problem["retry_after_ms"] = error.retry_after_ms
            more.append(("retry-after", str(-(-error.retry_after_ms // 1000))))
        if status == 401:
            reason = "" if error.code == "token-missing" else ', error="invalid_token"'
            more.append(("www-authenticate", f'Bearer realm="rustorium admin"{reason}'))
        if status == 403:
            more.append(("www-authenticate", 'Bearer realm="rustorium admin", error="insufficient_scope"'))
        try:
            await self.answer(status, problem, *more)
        except trio.TooSlowError:
            return
        if self.machine.their_state is not h11.DONE:
            await self._linger()

    async def _linger(self) -> None:
        """Lets a sender finish and read its answer: closing with unread bytes would discard the answer."""
        left = BODY_BYTES_MAX
        with trio.move_on_after(LINGER_S):
            await self._stream.send_eof()
            while left > 0 and (chunk := await self._stream.receive_some(READ_BYTES)):
                left -= len(chunk)

    async def _send(self, event: Any) -> None:
        await self._stream.send_all(self.machine.send(event) or b"")


def status_of(error: RustoriumError) -> int:
    """Returns the HTTP status of a call that failed."""
    if error.code in STATUSES:
        return STATUSES[error.code]
    if isinstance(error, TooManyCalls):
        return 429
    if isinstance(error, AccessRefused):
        return 401
    if isinstance(error, UsageError):
        return 400
    if isinstance(error, NotFound):
        return 404
    return 503 if isinstance(error, NotReady) else 409


def arguments_of(body: bytes) -> dict[str, Any]:
    """Parses a call's arguments. Errors: NodeError."""
    try:
        found = json.loads(body or b"{}")
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise NodeError("a call's body is a JSON object of its arguments: correct it", code="bad-request")
    return found
