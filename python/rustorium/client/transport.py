"""Sends requests to one node after another until one answers or the deadline passes.

Invariants: all requests are repeatable (reads, and submissions of the same bytes); a busy node is not asked for as long
as it demanded.
"""

import contextlib
import copy
import math
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Self, TypeVar

import anyio
import httpx2

from rustorium.access.bearer import Tokens, bearing, place_of, tokens_by_url
from rustorium.access.causes import REFUSED, cause_of
from rustorium.access.tls import Tls, refusal, verifying
from rustorium.client.endpoints import SMOOTHING, Endpoint, Endpoints
from rustorium.client.hedge import HEDGE_S, Round
from rustorium.client.wire import decoded, parse, problem
from rustorium.errors import (
    BadResponse,
    Busy,
    ClientError,
    NotFound,
    NotReady,
    Refused,
    RustoriumError,
    TlsRefused,
    Unreachable,
    UsageError,
)

T = TypeVar("T")

PROBE_S = 2.0
MEASURE_S = 0.1
"""Time for which a request waits, once a minute, for the measurement of another node."""
PAUSE_S_MIN = 0.02
PAUSE_S_MAX = 1.0
CONNECTIONS_MAX = 64
ATTEMPT_S_MIN = 1.0
READ_ATTEMPT_S = 5.0
PATIENCE_S_MIN = 1.0
PATIENCE_TIMES = 4
"""A submission goes to another node, too, after so many times the usual time until its milestone."""
REFUSED_S_MIN = 3.0
REFUSED_SHARE = 6
"""A client that no node has answered yet gives up when all have refused its connections for this part of a call's time,
and for `REFUSED_S_MIN`: the net is stopped, or the URLs are wrong. A net that has answered before may be
restarting, and has until the deadline."""
NO_NODE = "not a node's answer"
"""The cause where something else than a node answers."""
ANSWER_BYTES_MAX = 64 << 20
"""Largest answer that is read. A node holds at most 32 MiB of answers for all clients."""

ELSEWHERE = "elsewhere"
"""Code of a node that doesn't host a shard, and of an account that a shard doesn't have."""
ROOT = "/v1"
"""The API's paths of the root shard begin with this."""


@dataclass(slots=True)
class Known:
    """What a client's connections have shown, whatever shard they asked about."""

    probed: bool
    """The round trips are measured."""
    met: bool = False
    """Any node has answered."""
    closed: bool = False
    usual_s: dict[str, float] = field(default_factory=dict)
    """Smoothed time until submissions reach a milestone, by its name."""

    def took(self, milestone: str, seconds: float) -> None:
        """Notes the time of a submission that reached its milestone."""
        old = self.usual_s.get(milestone, seconds)
        self.usual_s[milestone] = old + SMOOTHING * (seconds - old)

    def patience_s(self, milestone: str) -> float:
        """Returns the time after which a submission that hasn't reached its milestone goes to another node, too."""
        return max(PATIENCE_S_MIN, PATIENCE_TIMES * self.usual_s.get(milestone, 0.0))


class Transport:
    """The HTTP side of one client."""

    def __init__(
        self,
        urls: Sequence[str],
        transport: httpx2.AsyncBaseTransport | None = None,
        token: Tokens | None = None,
        tls: Tls | None = None,
    ) -> None:
        """`token`: for endpoints that require one. `tls`: for `https://` endpoints. Errors: UsageError."""
        if not urls:
            raise UsageError("a client needs at least one endpoint: give the URL of a node's HTTP API")
        given: Sequence[object] = urls
        for url in given:
            if not isinstance(url, str) or not url.lower().startswith(("http://", "https://")):
                raise UsageError(f"{url!r} is not the URL of an HTTP API: give one such as http://127.0.0.1:26651")
            place_of(url)
        self.endpoints = Endpoints(tokens_by_url(urls, token))
        self.known = Known(len(self.endpoints.all) == 1)
        self.find: Callable[[float], Awaitable[None]] | None = None
        """Looks for nodes in the directory, in the time until the deadline."""
        self._probing = anyio.Lock()
        self._prefix = ROOT
        self._lacking: set[str] = set()
        """URLs of nodes that have said that they don't host the shard."""
        self.http = _http(transport, verifying(urls, tls))
        # Nodes of the directory see neither the client's certificate nor a connection without TLS' checks.
        authorities = Tls(tls.ca) if tls is not None else None
        self._listed_http = cache(lambda: _http(transport, verifying(["https://"], authorities)))

    async def __aenter__(self) -> Self:
        await self.http.__aenter__()
        return self

    async def aclose(self) -> None:
        """Closes all connections. Requests raise UsageError from now on."""
        self.known.closed = True
        await self.http.aclose()
        if self._listed_http.cache_info().currsize:
            await self._listed_http().aclose()

    def for_shard(self, shard: int) -> Self:
        """Returns the same connections, on which each request about the state or the chain is about this shard."""
        part = copy.copy(self)
        part._prefix = f"{ROOT}/shards/{shard}" if shard else ROOT
        part._lacking = set()
        return part

    def http_of(self, endpoint: Endpoint) -> httpx2.AsyncClient:
        """Returns the connections for a node: those of the user's nodes, or of the directory's."""
        return self._listed_http() if endpoint.listed else self.http

    def url(self, endpoint: Endpoint, path: str) -> str:
        """Returns the URL of a path of the API at a node."""
        asked = self._prefix + path.removeprefix(ROOT) if path.startswith(f"{ROOT}/") else path
        return endpoint.url + asked

    async def order(self, deadline: float = math.inf, *, sticky: bool = True) -> list[Endpoint]:
        """Returns the nodes in the order in which they are asked, the same one first each time if `sticky`; measures
        them on first use, in at most half of the time until the deadline."""
        if self.find is not None:
            await self.find(deadline)
        if not self.known.probed:
            async with self._probing:
                if not self.known.probed:
                    await self._probe(min(PROBE_S, (deadline - anyio.current_time()) / 2))
                    self.known.probed = True
        nodes = self.endpoints.order(anyio.current_time(), sticky=sticky)
        return sorted(nodes, key=lambda endpoint: endpoint.url in self._lacking)

    def found(self, candidates: Sequence[str], reserve: Sequence[str]) -> None:
        """Takes the directory's nodes; the new ones are measured before the next request."""
        before = set(self.endpoints.all)
        self.endpoints.listed(candidates, reserve)
        if not before.issuperset(self.endpoints.all):
            self.known.probed = False

    async def get(
        self,
        what: Callable[[Any], T],
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str | int] | None = None,
        absent: bool = False,
    ) -> T:
        """Reads JSON from the nearest node that answers, and parses it by `what`. After an answer that `what` refuses
        the other nodes are asked; with `absent`, after a 404 or another refusal, too.

        Errors: that of the node's problem document, Unreachable at the deadline, BadResponse."""
        return (await self.get_from(what, path, deadline, params=params, absent=absent))[0]

    async def get_from(
        self,
        what: Callable[[Any], T],
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str | int] | None = None,
        absent: bool = False,
    ) -> tuple[T, str]:
        """Does the same, and returns the URL of the node that answered, too."""

        async def ask(endpoint: Endpoint) -> tuple[T, str]:
            return parse(what, await self.attempt("GET", endpoint, path, deadline, params=params)), endpoint.url

        return await self.first(ask, deadline, absent=absent)

    async def first(
        self,
        ask: Callable[[Endpoint], Awaitable[T]],
        deadline: float,
        *,
        absent: bool = False,
        patience_s: float = HEDGE_S,
        spread: bool = False,
    ) -> T:
        """Returns the first answer, from the nearest nodes on; from any of those that are equally near if `spread`,
        where an answer that is older than an earlier one is refused. Another node is asked, too, if one takes longer
        than `patience_s`.

        A node whose answer can't be verified isn't asked again in this round. With `absent`, after a 404 or another
        refusal of a node the other nodes are asked, too; after that of a listed node always. It counts when all nodes
        that the user named have given one.

        Errors: those of `ask`, Unreachable at the deadline, VerificationFailed if no answer could be verified."""
        causes: dict[str, str] = {}
        last: RustoriumError | None = None
        told: RustoriumError | None = None
        pause, start = PAUSE_S_MIN, anyio.current_time()
        while True:
            nodes = await self.order(deadline, sticky=not spread)
            turn = Round(self.endpoints, ask, absent=absent)
            await self._measuring(turn, nodes, deadline, patience_s)
            if turn.answers:
                return turn.answers[0]
            causes |= {endpoint.url: "no answer yet" for endpoint in turn.asked} | turn.causes
            last, told = turn.last or last, turn.told or told
            if turn.told is not None and turn.spoken.issuperset(node for node in nodes if not node.listed):
                raise turn.told
            if self.is_stopped(turn.causes, start, deadline, (REFUSED, NO_NODE)):
                raise self.stopped(start, turn.causes)
            if anyio.current_time() + pause >= deadline:
                if isinstance(last, Busy) and last.code == "not-proven-yet":
                    raise last
                if told is not None and not isinstance(last, (Busy, NotReady)):
                    raise told
                raise _unreachable(causes, last)
            await anyio.sleep(pause)
            pause = min(2 * pause, PAUSE_S_MAX)

    async def _measuring(self, turn: Round[T], nodes: Sequence[Endpoint], deadline: float, patience_s: float) -> None:
        """Lets a round run, and meanwhile measures another node if that is due, for a short time more if need be."""
        other = self.endpoints.to_probe(anyio.current_time())
        if other is None or other is nodes[0]:
            await turn.run(nodes, deadline, patience_s)
            return
        fault: Exception | None = None
        measured = anyio.Event()

        async def measure() -> None:
            with contextlib.suppress(RustoriumError):
                # The first request opens the connection.
                await self.attempt("GET", other, "/livez", deadline, waits=True)
                await self.attempt("GET", other, "/livez", deadline)
                self.endpoints.admit(other)
            measured.set()

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(measure)
            try:
                await turn.run(nodes, deadline, patience_s)
            except Exception as error:
                fault = error
            with anyio.move_on_after(MEASURE_S if fault is None else 0.0):
                await measured.wait()
            tasks.cancel_scope.cancel()
        if fault is not None:
            raise fault

    def is_stopped(
        self, causes: Mapping[str, str], start: float, deadline: float, final: Sequence[str] = (REFUSED,)
    ) -> bool:
        """Returns whether a call that began at `start` gives up, because no node has ever answered and each endpoint
        fails for a cause in `final`. `causes`: why each endpoint failed just now, by URL."""
        if self.known.met or any(causes.get(endpoint.url) not in final for endpoint in self.endpoints.all):
            return False
        return anyio.current_time() - start >= max(REFUSED_S_MIN, (deadline - start) / REFUSED_SHARE)

    def stopped(self, start: float, causes: Mapping[str, str]) -> Unreachable:
        """Returns the error of such a call."""
        where = ", ".join(f"{endpoint.url} ({causes[endpoint.url]})" for endpoint in self.endpoints.all)
        seconds = anyio.current_time() - start
        if NO_NODE in causes.values():
            said = f"no node answers at {where}, tried for {seconds:.0f} s: name nodes' HTTP APIs"
            return Unreachable(said, sent=True, cause=NO_NODE)
        return Unreachable(
            f"nothing listens at {where}, tried for {seconds:.0f} s: start the nodes, or correct the URLs",
            cause=REFUSED,
        )

    async def attempt(
        self,
        method: str,
        endpoint: Endpoint,
        path: str,
        deadline: float,
        *,
        params: Mapping[str, str | int] | None = None,
        content: bytes | None = None,
        media: str | None = None,
        attempt_s: float = READ_ATTEMPT_S,
        waits: bool = False,
        named: bool = True,
    ) -> Any:
        """Sends one request to one node. `waits`: the node may wait before it answers, so the time measures no round
        trip. `named`: the sentence of a problem document, which is the node's, is introduced by the node's URL.

        Errors: Unreachable, TlsRefused, BadResponse, or that of the node's problem document."""
        if self.known.closed:
            raise UsageError("the client is closed: make another one")
        start = anyio.current_time()
        seconds = max(0.001, min(attempt_s, deadline - start))
        headers = bearing(endpoint.token) | {"accept-encoding": "identity"}
        headers |= {"content-type": media} if media is not None else {}
        http = self.http_of(endpoint)
        self.endpoints.asked()
        endpoint.in_flight += 1
        try:
            with anyio.fail_after(seconds):
                async with http.stream(
                    method, self.url(endpoint, path), params=params, content=content, headers=headers, timeout=None
                ) as response:
                    answer = await _whole(response)
        except (httpx2.HTTPError, TimeoutError, OSError) as error:
            self.endpoints.failed(endpoint, anyio.current_time())
            if (untrusted := refusal(endpoint.url, error)) is not None:
                raise TlsRefused(untrusted) from None
            cause = cause_of(error, seconds)
            sent = not isinstance(error, (httpx2.ConnectError, httpx2.ConnectTimeout))
            message = f"{endpoint.url} doesn't answer ({cause}): check that the node runs"
            raise Unreachable(message, sent=sent, cause=cause) from None
        finally:
            endpoint.in_flight -= 1
        if answer is None:
            self.endpoints.failed(endpoint, anyio.current_time())
            raise BadResponse(f"a node's answer is longer than {ANSWER_BYTES_MAX >> 20} MiB: ask another node")
        body = decoded(answer)
        if _is_strange(method, response.status_code, body):
            self.endpoints.failed(endpoint, anyio.current_time())
            message = f"{endpoint.url} doesn't answer as a node's HTTP API does: check the URL"
            raise Unreachable(message, sent=True, cause=NO_NODE)
        self.known.met = True
        if response.status_code >= 300:
            error_found = problem(response.status_code, body)
            if isinstance(error_found, Refused) and error_found.code == ELSEWHERE and self._prefix != ROOT:
                # Its word about this shard says nothing: others are asked, and it is the last from now on.
                self._lacking.add(endpoint.url)
                raise Unreachable(f"{endpoint.url} answered: {error_found}", cause="it doesn't host this shard")
            if isinstance(error_found, (Busy, NotReady)) or response.status_code >= 500:
                if isinstance(error_found, Busy):
                    self.endpoints.busy(endpoint, anyio.current_time(), error_found.retry_after_ms / 1000)
                else:
                    self.endpoints.failed(endpoint, anyio.current_time())
            raise _introduced(error_found, endpoint.url) if named else error_found
        self.endpoints.answered(endpoint, None if waits else anyio.current_time() - start)
        return body

    async def _probe(self, seconds: float) -> None:
        """Measures all nodes at once; ends when the first has answered and twice its time has passed, or after
        `seconds`."""

        answered: float | None = None
        start = anyio.current_time()
        scope = anyio.CancelScope(deadline=start + seconds)

        async def ask(endpoint: Endpoint) -> None:
            nonlocal answered
            try:
                # The first request opens the connection, and the second one is measured.
                await self.attempt("GET", endpoint, "/livez", start + seconds, waits=True)
                await self.attempt("GET", endpoint, "/livez", start + seconds)
            except RustoriumError:
                return
            if answered is None:
                answered = anyio.current_time() - start
                scope.deadline = anyio.current_time() + answered

        with scope:
            async with anyio.create_task_group() as group:
                for endpoint in self.endpoints.all:
                    group.start_soon(ask, endpoint)


def _http(transport: httpx2.AsyncBaseTransport | None, verify: ssl.SSLContext | bool) -> httpx2.AsyncClient:
    limits = httpx2.Limits(max_connections=CONNECTIONS_MAX, max_keepalive_connections=CONNECTIONS_MAX)
    return httpx2.AsyncClient(
        transport=transport, verify=verify, trust_env=False, follow_redirects=False, limits=limits
    )


async def _whole(response: httpx2.Response) -> bytes | None:
    """Reads a body. `None` if it is longer than any node's: whoever sends it must not fill this machine's memory."""
    read = bytearray()
    async with contextlib.aclosing(response.aiter_bytes()) as parts:
        async for part in parts:
            read += part
            if len(read) > ANSWER_BYTES_MAX:
                return None
    return bytes(read)


def _is_strange(method: str, status: int, body: object) -> bool:
    """Returns whether an answer is no node's. A node answers with JSON, gives no redirection, and a code with each 404.
    A refused submission counts as a node's: what refused it may have passed it on."""
    if status < 300:
        return body is None
    return method == "GET" and (status < 400 or (status == 404 and not (isinstance(body, Mapping) and "code" in body)))


def _introduced(error: RustoriumError, url: str) -> RustoriumError:
    """Says whose word a sentence is."""
    if isinstance(error, ClientError):
        error.endpoint = url
    error.args = (f"on the word of {url}: {error}" if isinstance(error, NotFound) else f"{url} answered: {error}",)
    return error


def _unreachable(causes: Mapping[str, str], last: RustoriumError | None) -> RustoriumError:
    if isinstance(last, (Busy, NotReady)):
        return last
    named = "; ".join(f"{url}: {cause}" for url, cause in causes.items())
    message = f"no node answered before the deadline ({named}): check that the nodes run and the URLs are right"
    return Unreachable(message, cause=next(iter(causes.values()), ""))
