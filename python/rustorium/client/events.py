"""The event stream, followed across nodes.

Invariants: each event comes once and in order; the position is known before the first event, so that a reconnect leaves
no gap; the stream fails only if no node can continue from the position.
"""

import contextlib
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Self

import anyio
import httpx2
import msgspec

from rustorium.access.bearer import bearing
from rustorium.access.tls import refusal
from rustorium.client import wire
from rustorium.client.endpoints import Endpoint
from rustorium.client.transport import PAUSE_S_MAX, PAUSE_S_MIN, READ_ATTEMPT_S, Transport
from rustorium.errors import BadResponse, Busy, NotFound, Refused, TlsRefused, UsageError
from rustorium.types import Event

SILENCE_S_MAX = 60.0
"""Longest silence of a working connection; a node sends something every 15 s."""
EVENT_BYTES_MAX = 1024 * 1024
PLACE = re.compile(r"(?:([0-9]{1,10})\.)?([0-9]{1,20})\.([0-9]{1,10})")
"""An event's id; those of earlier releases name no shard."""
SENDER = "sender:"
AFTER_ALL = 2**32 - 1
"""An index above that of every receipt of a height."""


@dataclass(frozen=True, slots=True, order=True)
class Place:
    """A place in a shard's events."""

    shard: int
    height: int
    index: int

    def __str__(self) -> str:
        """The id of the event there."""
        return f"{self.shard}.{self.height}.{self.index}"

    @property
    def earlier_id(self) -> str:
        """The same as nodes of earlier releases have it, which know shard 0 alone."""
        return f"{self.height}.{self.index}"


class EventStream:
    """An endless asynchronous iterator of the events after a position. Close it by `aclose`, or close the client.

    Errors: UsageError if `filter` asks for blocks, or if `after` is no event's id."""

    def __init__(self, transport: Transport, filter: str, after: str | None) -> None:
        if "blocks" in (term.strip() for term in filter.split(",")):
            raise UsageError("blocks are no events of transactions: use receipts, failed, sender:rs1… or id:<hex>")
        self._transport, self._filter = transport, filter
        self._position = behind(after) if after is not None else None
        self._link: _Link | None = None
        self._endpoint: Endpoint | None = None
        self._gone = 0
        self.closed = False
        self._pause = PAUSE_S_MIN

    def __repr__(self) -> str:
        """The filter, and the event behind which it goes on."""
        behind = f"behind {self._position}" if self._position is not None else "from now on"
        return f"<EventStream of {self._filter} {behind}{', closed' if self.closed else ''}>"

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        """Returns the next event. Errors: Refused for a bad filter, NotFound if no node keeps the position any more."""
        if self._position is None:
            self._position = await self._newest()
        while True:
            if self._link is None and not await self._connect(self._position):
                continue
            assert self._link is not None
            try:
                found = await self._link.next()
                event = self._take(found) if found is not None else None
            except BadResponse as error:
                raise error.about(self._link.url) from None
            except (httpx2.HTTPError, OSError, TimeoutError):
                found = event = None
                self._fail()
            if found is None:
                await self._disconnect()
                continue
            if event is not None:
                return event

    async def aclose(self) -> None:
        """Ends the stream."""
        self.closed = True
        await self._unlink()

    async def _unlink(self) -> None:
        if self._link is not None:
            await self._link.aclose()
            self._link = None

    def _take(self, found: "_Frame") -> Event | None:
        assert self._position is not None
        self._gone = self._gone + 1 if found.kind == "gone" else 0
        self._pause = PAUSE_S_MIN
        here = place(found.id) if found.id is not None else self._position
        if here.shard != self._position.shard:
            raise BadResponse(
                f"a node sent an event of shard {here.shard} instead of shard {self._position.shard}: ask another node"
            )
        if here <= self._position:
            return None
        self._position = here
        if found.kind != "receipt":
            return None
        receipt = wire.parse(lambda data: wire.receipt(msgspec.json.decode(data), here.shard), found.data)
        return Event(str(here), receipt)

    async def _newest(self) -> Place:
        deadline = anyio.current_time() + 2 * READ_ATTEMPT_S
        status = await self._transport.get(wire.node_status, "/v1/status", deadline)
        return Place(status.shard, status.executed, AFTER_ALL)

    async def _connect(self, position: Place) -> bool:
        nodes = await self._transport.order()
        if self._gone >= len(nodes):
            message = f"no node keeps the events behind {position}: start at a later one"
            raise NotFound(message, code="gone")
        self._endpoint = nodes[self._gone]
        try:
            self._link = await _Link.open(self._transport, self._endpoint, self._filter, position)
        except (httpx2.HTTPError, OSError, TimeoutError, Busy) as error:
            self._fail()
            untrusted = refusal(self._endpoint.url, error)
            if untrusted is not None and len(nodes) == 1:
                raise TlsRefused(untrusted) from None
            await self._disconnect()
            return False
        return True

    def _fail(self) -> None:
        if self._endpoint is not None:
            self._transport.endpoints.failed(self._endpoint, anyio.current_time())

    async def _disconnect(self) -> None:
        await self._unlink()
        await anyio.sleep(self._pause)
        self._pause = min(2 * self._pause, PAUSE_S_MAX)


class _Frame(msgspec.Struct, frozen=True):
    """One server-sent event."""

    kind: str
    id: str | None
    data: str


class _Link:
    """One connection's stream of frames (the part of WHATWG HTML, section 9.2, that the gateway uses)."""

    def __init__(self, response: httpx2.Response, url: str) -> None:
        self._response, self.url = response, url
        self._chunks: AsyncIterator[bytes] = response.aiter_bytes()
        self._buffer = bytearray()

    @classmethod
    async def open(cls, transport: Transport, endpoint: Endpoint, filter: str, position: Place) -> "_Link":
        try:
            return await cls._open(transport, endpoint, filter, str(position))
        except Refused as error:
            if error.code != "bad-event-id" or position.shard != 0:
                raise
        # A node of an earlier release.
        return await cls._open(transport, endpoint, filter, position.earlier_id)

    @classmethod
    async def _open(cls, transport: Transport, endpoint: Endpoint, filter: str, last: str) -> "_Link":
        headers = {"last-event-id": last, "accept": "text/event-stream"}
        headers |= bearing(endpoint.token)
        http = transport.http_of(endpoint)
        request = http.build_request(
            "GET",
            transport.url(endpoint, "/v1/events"),
            params={"filter": filter},
            headers=headers,
            timeout=httpx2.Timeout(READ_ATTEMPT_S, read=SILENCE_S_MAX),
        )
        response = await http.send(request, stream=True)
        if response.status_code == 200:
            return cls(response, endpoint.url)
        try:
            body = wire.decoded(await response.aread())
        finally:
            await response.aclose()
        error = wire.problem(response.status_code, body)
        raise error if isinstance(error, Refused) else Busy(error.message)

    async def next(self) -> _Frame | None:
        """Returns the next frame; `None` at the end."""
        while True:
            text, found, rest = self._buffer.partition(b"\n\n")
            if found:
                self._buffer = rest
                frame = _parse(text.decode(errors="replace"))
                if frame is not None:
                    return frame
                continue
            if len(self._buffer) > EVENT_BYTES_MAX:
                raise BadResponse("a node sent an event over 1 MiB: ask another node")
            chunk = await anext(self._chunks, None)
            if chunk is None:
                return None
            self._buffer += chunk

    async def aclose(self) -> None:
        await self._response.aclose()
        # httpx2 leaves a generator of its own to the garbage collector unless it ends by itself.
        with contextlib.suppress(httpx2.HTTPError, httpx2.StreamError, OSError):
            await anext(self._chunks, None)


def _parse(text: str) -> _Frame | None:
    """Parses one block of lines; `None` if it has no data."""
    kind, identity, data = "message", None, list[str]()
    for line in text.split("\n"):
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "event":
            kind = value
        elif name == "id":
            identity = value
    return _Frame(kind, identity, "\n".join(data)) if data else None


def senders_in(filter: str) -> list[str]:
    """Returns the addresses of the senders in a filter."""
    terms = (term.strip() for term in filter.split(","))
    return [term.removeprefix(SENDER) for term in terms if term.startswith(SENDER)]


def behind(after: str) -> Place:
    """Returns the place after which a caller wants to go on. Errors: UsageError."""
    try:
        return place(after)
    except BadResponse as error:
        raise UsageError(error.message) from None


def place(text: str) -> Place:
    """The place that an event's id names. Errors: BadResponse."""
    found = PLACE.fullmatch(text)
    if found is None:
        raise BadResponse(f"{text[:100]!r} is not an event's id: give shard.height.index")
    shard, height, index = found.groups(default="0")
    return Place(int(shard), int(height), int(index))
