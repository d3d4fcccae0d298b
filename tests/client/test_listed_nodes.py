"""What nodes of the directory can't do to a client, and what measuring other nodes costs it.

Time is trio's mock clock.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from random import Random

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet, problem

from rustorium.client import AsyncClient, Key, transport
from rustorium.client.endpoints import PROBE_S, Endpoints
from rustorium.client.transport import Transport
from rustorium.errors import BadResponse, Busy, NotFound, OutcomeUnknown, Refused, RustoriumError, Unreachable

REFUSED = {"status": "refused", "code": "account-paused", "message": "It is paused."}


def run(body: Callable[[], Awaitable[None]]) -> None:
    trio.run(body, clock=trio.testing.MockClock(autojump_threshold=0))


def with_listed(client: AsyncClient, listed: list[str], round_trips_s: tuple[float, ...]) -> None:
    client._transport.found(listed, [])
    for endpoint, seconds in zip(client._transport.endpoints.all, round_trips_s, strict=True):
        endpoint.rtt_s = seconds
    client._transport.known.probed = True


def test_a_listed_nodes_refusal_alone_is_never_the_outcome(net: FakeNet, key: Key) -> None:
    """It may keep the transaction, and send it once the client has signed another one."""

    async def main() -> None:
        async with AsyncClient(["http://n1"], key=key, transport=net.transport, timeout_s=5.0) as client:
            with_listed(client, ["https://n0"], (0.5, 0.1))
            for code in ("account-paused", "nonce-taken", "nonce-used", "unknown-account"):
                net.nodes[0].claims = {"status": "refused", "code": code, "message": "No."}
                for down, busy in ((True, False), (False, True)):
                    net.nodes[1].down, net.nodes[1].busy = down, busy
                    with pytest.raises((OutcomeUnknown, Busy)):
                        await client.put(b"a", b"1", wait="final")

    run(main)


class Endless(httpx2.AsyncByteStream):
    """A body without an end."""

    def __init__(self) -> None:
        self.read_bytes, self.closed = 0, False

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while True:
            self.read_bytes += 1 << 10
            yield b" " * (1 << 10)

    async def aclose(self) -> None:
        self.closed = True


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_an_answer_without_an_end_fills_no_memory(
    net: FakeNet, key: Key, monkeypatch: pytest.MonkeyPatch, method: str
) -> None:
    monkeypatch.setattr(transport, "ANSWER_BYTES_MAX", 1 << 20)
    bodies: list[Endless] = []

    async def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "n0" and request.method == method:
            bodies.append(Endless())
            return httpx2.Response(200, stream=bodies[-1])
        assert request.headers["accept-encoding"] == "identity", "what is packed may be far larger than what comes"
        return await net._handle(request)

    async def main() -> None:
        mock = httpx2.MockTransport(answer)
        async with AsyncClient(["http://n1"], key=key, transport=mock, timeout_s=5.0) as client:
            with_listed(client, ["https://n0"], (0.5, 0.1))
            await client.put(b"a", b"1", wait="final")
            assert await client.get(key.address, b"a", verify=False) == b"1"
        async with AsyncClient(["http://n0"], key=key, transport=mock, timeout_s=5.0) as client:
            if method == "POST":
                with pytest.raises(OutcomeUnknown):
                    await client.put(b"a", b"2", wait="final")
            else:
                with pytest.raises(BadResponse, match=r"longer than 1 MiB.*http://n0"):
                    await client.status()

    run(main)
    assert bodies
    assert all(body.closed and body.read_bytes <= (1 << 20) + (1 << 10) for body in bodies)


def test_two_refusals_are_believed_though_the_first_came_late(net: FakeNet, key: Key) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client:
            await client.status()
            for node in net.nodes:
                node.claims, node.delay_s = REFUSED, 1.3
            start = trio.current_time()
            with pytest.raises(Refused, match="paused"):
                await client.put(b"a", b"1", wait="final")
            assert trio.current_time() - start < 10

    run(main)


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_listed_node_that_refuses_to_answer_ends_no_read(status: int) -> None:
    def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.host == "listed":
            return problem(status, "token-missing" if status < 404 else "not-found", "No.")
        return httpx2.Response(200, json=FakeNet().status())

    async def main() -> None:
        async with AsyncClient("http://own", transport=httpx2.MockTransport(handle), timeout_s=5.0) as client:
            with_listed(client, ["https://listed"], (0.5, 0.1))
            start = trio.current_time()
            assert (await client.status()).chain
            assert trio.current_time() - start < 0.5

    run(main)


def test_the_users_nodes_decide_what_there_is_not(net: FakeNet) -> None:
    """A listed node is dead, and the user's node says that there is no such thing."""

    async def main() -> None:
        async with AsyncClient(["http://n0"], transport=net.transport, timeout_s=30.0) as client:
            with_listed(client, ["https://n1"], (0.1, 0.5))
            net.nodes[1].down = True
            start = trio.current_time()
            with pytest.raises(NotFound):
                await client._transport.first(lambda endpoint: _absent(), trio.current_time() + 30, absent=True)
            assert trio.current_time() - start < 1.0

    async def _absent() -> None:
        raise NotFound("there is no such thing")

    run(main)


def test_streams_of_events_to_listed_nodes_are_checked_as_their_answers_are(net: FakeNet) -> None:
    async def main() -> None:
        transport = Transport(["http://n0"], net.transport)
        transport.endpoints.listed(["https://n1"])
        own, listed = transport.endpoints.all
        assert transport.http_of(own) is transport.http
        assert transport.http_of(listed) is not transport.http
        await transport.aclose()

    run(main)


def test_an_error_of_a_read_stays_itself_while_another_node_is_measured(net: FakeNet) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, transport=net.transport, timeout_s=5.0) as client:
            await client.status()
            endpoints = client._transport.endpoints
            for _ in range(20):
                await trio.sleep(PROBE_S)
                probed = endpoints._probes

                async def refuse(_endpoint: object) -> None:
                    raise Refused("no")

                with pytest.raises(RustoriumError, match="no"):
                    await client._transport.first(refuse, trio.current_time() + 5)
                if endpoints._probes > probed:
                    return
            raise AssertionError("nothing was measured")

    run(main)


def test_another_node_is_measured_beside_a_read(net: FakeNet) -> None:
    async def main() -> None:
        for position, node in enumerate(net.nodes):
            node.delay_s = 0.005 * (position + 1)
        async with AsyncClient(net.urls, transport=net.transport, timeout_s=5.0) as client:
            await client.status()
            net.nodes[2].delay_s = 0.001
            for _ in range(60):
                await trio.sleep(PROBE_S)
                start = trio.current_time()
                await client.status()
                assert trio.current_time() - start < 0.2
            assert client._transport.endpoints.order(trio.current_time())[0].url == net.urls[2]

    run(main)


def test_a_node_that_hangs_is_left_by_reads_that_come_seldom(net: FakeNet) -> None:
    async def main() -> None:
        for position, node in enumerate(net.nodes):
            node.delay_s = 0.001 * (position + 1)
        async with AsyncClient(net.urls, transport=net.transport, timeout_s=30.0) as client:
            await client.status()
            net.nodes[0].hangs = True
            slow = 0
            for _ in range(100):
                await trio.sleep(20.0)
                start = trio.current_time()
                await client.status()
                slow += trio.current_time() - start > 0.2
            assert slow <= 2

    run(main)


def test_failures_without_end_and_an_only_node_are_no_faults() -> None:
    endpoints = Endpoints({"http://own": None}, Random(1))
    for _ in range(3_000):
        endpoints.failed(endpoints.own[0], 0.0)
    assert endpoints.own[0].down_until <= 15.0
    endpoints.listed([], ["https://reserve"])
    endpoints.order(100.0, sticky=True)
    assert {endpoints.to_probe(float(second)) for second in range(0, 100_000, 60)} <= {None, *endpoints.reserve}


def test_a_busy_listed_node_keeps_nobody_from_a_second_opinion() -> None:
    endpoints = Endpoints({"http://own": None}, Random(1))
    endpoints.listed(["https://busy"])
    endpoints.busy(endpoints.all[1], 0.0, 60.0)
    assert endpoints.may_hedge(1.0)


def test_unreachable_is_what_a_dead_net_is(net: FakeNet) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, transport=net.transport, timeout_s=1.0) as client:
            await client.status()
            for node in net.nodes:
                node.down = True
            for endpoint in client._transport.endpoints.all:
                endpoint.failures = 5_000
            with pytest.raises(Unreachable):
                await client.status()

    run(main)


def test_what_a_node_says_does_not_go_back_in_time(net: FakeNet) -> None:
    """The nodes are equally near, and one of them is behind."""

    async def main() -> None:
        for node in net.nodes:
            node.delay_s = 0.001
        async with AsyncClient(net.urls, transport=net.transport, timeout_s=5.0) as client:
            for _ in range(30):
                await client.status()
            assert sorted(sum(r.url.path == "/v1/status" for r in node.requests) for node in net.nodes) == [0, 0, 30]

    run(main)
