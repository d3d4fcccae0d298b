"""Nodes that hang cost a caller little time, and errors name the nodes that were asked.

Time is trio's mock clock.
"""

from collections.abc import Awaitable, Callable

import pytest
import trio
import trio.testing
from fake_net import FakeNet

from rustorium.client import AsyncClient, Key
from rustorium.errors import Busy, NotFound, Unreachable


@pytest.fixture
def four(net: FakeNet) -> FakeNet:
    """Four nodes. The first two hang after the client has measured them as the nearest."""
    more = FakeNet(4)
    more.ids = net.ids
    for position, node in enumerate(more.nodes):
        node.delay_s = 0.001 * (position + 1)
    return more


def seconds(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[object]], timeout_s: float = 4.0) -> float:
    """Returns the seconds of a call that starts after the client has measured the nodes and two of them began to
    hang.
    """

    async def main() -> float:
        async with AsyncClient(net.urls, key=key, timeout_s=timeout_s, transport=net.transport) as client:
            await client.put(b"a", b"1")
            await client.status()
            net.nodes[0].hangs = net.nodes[1].hangs = True
            start = trio.current_time()
            await body(client)
            return trio.current_time() - start

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_read_asks_others_while_two_nodes_hang(four: FakeNet, key: Key) -> None:
    assert seconds(four, key, lambda client: client.get(key.address, b"a", verify=False)) < 1.0
    assert seconds(four, key, lambda client: client.get(key.address, b"a", verify=False), timeout_s=30.0) < 1.0


def test_a_write_keeps_its_deadline_while_two_nodes_hang(four: FakeNet, key: Key) -> None:
    async def other_writer(client: AsyncClient) -> None:
        client._sender._accounts.clear()  # as in a new process: the nonce has to be asked for
        await client.put(b"a", b"2")

    assert seconds(four, key, other_writer) < 4.0


def test_a_node_that_hung_is_asked_last_for_a_while(four: FakeNet, key: Key) -> None:
    async def twice(client: AsyncClient) -> None:
        await client.status()
        before = [len(node.requests) for node in four.nodes]
        await client.status()
        assert [len(node.requests) for node in four.nodes] == [before[0], before[1], before[2] + 1, before[3]]

    seconds(four, key, twice)


def test_a_deadline_is_kept_if_all_nodes_hang(net: FakeNet, key: Key) -> None:
    for node in net.nodes:
        node.hangs = True

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=1.0) as client:
            for call in (client.status, lambda: client.put(b"a", b"1")):
                start = trio.current_time()
                with pytest.raises(Unreachable):
                    await call()
                assert trio.current_time() - start <= 1.5

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize("timeout_s", [0.01, 1.0, 30.0])
def test_an_error_names_the_nodes_that_were_asked_which_are_all(net: FakeNet, key: Key, timeout_s: float) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=timeout_s) as client:
            await client.status()
            before = [len(node.requests) for node in net.nodes]
            for node in net.nodes:
                node.hangs = True
            with pytest.raises(Unreachable, match="answered before the deadline") as caught:
                await client.status()
            asked = [
                url for url, node, had in zip(net.urls, net.nodes, before, strict=True) if len(node.requests) > had
            ]
            assert [url for url in net.urls if url in caught.value.message] == asked == net.urls

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


REFUSAL = r"nothing listens at http://n0 \(connection refused\), .*http://n2 .*: start the nodes, or correct the URLs"


@pytest.mark.parametrize(("timeout_s", "tried_s"), [(2.0, 2.0), (10.0, 3.0), (30.0, 5.0), (120.0, 20.0)])
def test_a_stopped_net_is_reported_long_before_the_deadline(
    net: FakeNet, key: Key, timeout_s: float, tried_s: float
) -> None:
    for node in net.nodes:
        node.down = True

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=timeout_s) as client:
            for call in (client.status, lambda: client.put(b"a", b"1")):
                start = trio.current_time()
                with pytest.raises(Unreachable, match=REFUSAL if tried_s < timeout_s else "connection refused"):
                    await call()
                # Pauses between two rounds grow to a second.
                assert trio.current_time() - start <= min(tried_s + 1.1, timeout_s)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_net_that_starts_is_waited_for_and_one_that_restarts_until_the_deadline(net: FakeNet, key: Key) -> None:
    async def down_for(seconds: float) -> None:
        await trio.sleep(seconds)
        for node in net.nodes:
            node.down = False

    async def main() -> None:
        async with (
            trio.open_nursery() as nursery,
            AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client,
        ):
            # The first call waits for a net that needs some seconds to listen, and later calls for one that was known.
            for seconds in (4.0, 25.0):
                for node in net.nodes:
                    node.down = True
                nursery.start_soon(down_for, seconds)
                assert (await client.put(b"a", b"1")).reached == "final"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_what_answers_as_no_node_does_is_told_long_before_the_deadline(net: FakeNet, key: Key) -> None:
    net.nodes[0].down = True
    net.nodes[1].garbage = net.nodes[2].strange = True
    said = r"no node answers at http://n0 \(connection refused\), http://n1 \(not a node's answer\), .*: name nodes'"

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client:
            for call in (client.status, lambda: client.put(b"a", b"1")):
                start = trio.current_time()
                with pytest.raises(Unreachable, match=said):
                    await call()
                assert trio.current_time() - start <= 6.1

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert not any(node.posts() for node in net.nodes)


def test_a_node_that_answered_before_has_until_the_deadline_whatever_answers_now(net: FakeNet, key: Key) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client:
            await client.status()
            for node in net.nodes:
                node.garbage = True
            start = trio.current_time()
            with pytest.raises(Unreachable, match=r"no node answered before the deadline \(http://n0: not a node's"):
                await client.status()
            assert trio.current_time() - start >= 28.0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_net_of_which_one_node_is_silent_has_until_the_deadline(net: FakeNet, key: Key) -> None:
    """Its machine may be starting, and the others' nodes were never here."""
    net.nodes[0].hangs = net.nodes[1].down = net.nodes[2].down = True

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client:
            start = trio.current_time()
            with pytest.raises(Unreachable, match="before the deadline"):
                await client.status()
            assert trio.current_time() - start >= 28.0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_unsuccessful_answer_is_reported_at_once(net: FakeNet, key: Key) -> None:
    """Only silence makes a client ask two nodes at the same time."""

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=2.0) as client:
            await client.status()
            before = sum(len(node.requests) for node in net.nodes)
            with pytest.raises(NotFound):
                await client._read(dict, "/v1/nothing")
            assert sum(len(node.requests) for node in net.nodes) == before + 1
            for node in net.nodes:
                node.busy = True
            with pytest.raises(Busy):
                await client.status()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
