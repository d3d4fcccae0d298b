"""Several clients, as in several processes, sign for one account: each finds its own nonce.

Time is trio's mock clock.
"""

import trio
import trio.testing
from fake_net import FakeNet

from rustorium.client import AsyncClient, Key
from rustorium.client.nonces import Nonces
from rustorium.client.operations import put
from rustorium.types import SignedTransaction, Submitted

CLIENTS, PUTS = 8, 20


def transaction(nonce: int) -> SignedTransaction:
    return SignedTransaction(f"{nonce:064x}", b"x", "rs1", nonce, 100_000)


def test_clients_that_share_an_account_are_not_refused(net: FakeNet, key: Key) -> None:
    net.block_s = 0.02
    for position, node in enumerate(net.nodes):
        node.delay_s = 0.001 * (position + 1)

    async def process(name: bytes) -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            for number in range(PUTS):
                await client.put(b"%s-%d" % (name, number), b"v")

    async def main() -> None:
        async with trio.open_nursery() as nursery:
            for number in range(CLIENTS):
                nursery.start_soon(process, b"%d" % number)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert net.executed == list(range(CLIENTS * PUTS))
    assert len(net.values) == CLIENTS * PUTS


def test_many_at_once_are_signed_again_if_others_were_faster(net: FakeNet, key: Key) -> None:
    async def main() -> None:
        async with (
            AsyncClient(net.urls, key=key, transport=net.transport) as first,
            AsyncClient(net.urls, key=key, transport=net.transport) as second,
        ):
            await first.put(b"a", b"1")
            await second.put(b"b", b"1")  # the first client doesn't know that this nonce is used
            results = await first.send_many([[put(key.address, b"%d" % number, b"v")] for number in range(10)])
            assert all(isinstance(result, Submitted) for result in results), results

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert net.executed == list(range(12))


def test_a_nonce_in_use_by_another_client_is_skipped_for_a_while() -> None:
    """The nonce is avoided until the other transaction turns out to be lost, since others wait behind it."""
    nonces = Nonces()
    nonces.synced(0, 0)
    nonces.sent(transaction(nonces.take()))
    nonces.taken(0, now_ms=0)
    assert not nonces.stale, "the next nonce is known without asking"
    assert nonces.take() == 1
    nonces.sent(transaction(1))
    nonces.lost(1)
    nonces.synced(0, 1_000)
    assert nonces.take() == 2
    nonces.unused(2)
    nonces.synced(0, 3_000)
    assert [nonces.take(), nonces.take()] == [0, 2]
