"""A transaction that read more than it declared work for is signed again, once, with enough for the largest values."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet

from rustorium.client import AsyncClient, Key
from rustorium.client.operations import delete, put
from rustorium.errors import TransactionFailed
from rustorium.types import Submitted

LARGEST = 64 * 1024 // 64
"""Work units of reading the largest value."""
ASSUMED = 4 * 1024 // 64
"""Work units that a client declares for a value of unknown length at first."""


Run = Callable[[FakeNet, Key, Callable[[AsyncClient], Awaitable[Any]]], None]


def run(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[Any]]) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, timeout_s=10.0, transport=net.transport) as client:
            await body(client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.fixture
def run_proven(monkeypatch: pytest.MonkeyPatch) -> Run:
    """Runs with a client for which failures are proven, as they are with a genesis (`test_lying_nodes.py`)."""

    def run_with(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[Any]]) -> None:
        async def patched(client: AsyncClient) -> None:
            monkeypatch.setattr(client, "_trusts", lambda: True)
            monkeypatch.setattr(client._sender, "_has_version_2", lambda: False)
            await body(client)

        run(net, key, patched)

    return run_with


def test_a_nodes_word_alone_makes_nobody_send_twice(net: FakeNet, key: Key) -> None:
    net.work_needed = 10**9

    async def body(client: AsyncClient) -> None:
        with pytest.raises(TransactionFailed, match="on the word of"):
            await client.put(b"a", b"1")
        await client.send_many([[put(key.address, b"a", b"2")]] * 3)
        assert len(net.work_limits) == 1 + 3

    run(net, key, body)


def test_a_write_over_a_large_value_is_signed_again(net: FakeNet, key: Key, run_proven: Run) -> None:
    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        [first] = net.work_limits
        net.work_needed = first + LARGEST - ASSUMED
        done = await client.put(b"a", b"1")
        assert done.receipt is not None
        assert (done.receipt.ok, done.receipt.nonce) == (True, 2)
        assert net.work_limits == [first, first, net.work_needed]

    run_proven(net, key, body)


def test_what_fails_with_the_largest_limit_is_not_tried_again(net: FakeNet, key: Key, run_proven: Run) -> None:
    net.work_needed = 10**9

    async def body(client: AsyncClient) -> None:
        with pytest.raises(TransactionFailed) as caught:
            await client.put(b"a", b"1")
        assert caught.value.failure == "work-limit"
        assert len(net.work_limits) == 2
        results = await client.send_many([[put(key.address, b"a", b"2")]] * 3)
        assert [isinstance(result, Submitted) and result.receipt is not None for result in results] == [True] * 3
        assert len(net.work_limits) == 2 + 6

    run_proven(net, key, body)


def test_of_many_those_that_read_too_much_are_signed_again(net: FakeNet, key: Key, run_proven: Run) -> None:
    async def body(client: AsyncClient) -> None:
        # A deletion costs more than this put, so only the puts declare too little.
        small, large = [put(key.address, b"a", b"1")], [delete(key.address, b"b")] * 2
        await client.send(small)
        [first] = net.work_limits
        net.work_needed = first + 1
        results = await client.send_many([small, large, small])
        assert all(isinstance(result, Submitted) and result.receipt and result.receipt.ok for result in results)
        assert net.work_limits[-2:] == [first + LARGEST - ASSUMED] * 2
        assert len(net.work_limits) == 1 + 3 + 2

    run_proven(net, key, body)


def test_a_write_declares_the_work_of_the_epochs_version(net: FakeNet, key: Key) -> None:
    for net.protocol in (None, 1, 2):
        run(net, key, lambda client: client.put(b"a", b"1"))
    unknown, first, second = net.work_limits
    assert first < second == unknown, "whoever doesn't know the version declares the dearer work"


def test_a_write_that_the_switch_to_another_version_refuses_is_signed_again(net: FakeNet, key: Key) -> None:
    net.protocol = 1

    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"1")
        refusal = {"code": "work-limit-too-low", "message": "It declares too little."}
        net.protocol, net.refuse_next = 2, [refusal] * 2
        done = await client.put(b"a", b"2")
        assert done.receipt is not None
        assert done.receipt.nonce == 1
        first, second = net.work_limits
        assert first < second

    run(net, key, body)
