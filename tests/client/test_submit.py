"""The same bytes are sent to other nodes until the deadline. After it the outcome is reported as unknown and never
guessed.

Time is trio's mock clock, so that deadlines pass at once.
"""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet, unframe

from rustorium.client import AsyncClient, Key
from rustorium.client.operations import put
from rustorium.errors import (
    Busy,
    GenesisNeeded,
    NotFound,
    OutcomeUnknown,
    Refused,
    TransactionFailed,
    Unreachable,
    UsageError,
)
from rustorium.types import Failure, Receipt, Submitted


def run(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[Any]], timeout_s: float = 10.0) -> Any:
    async def main() -> Any:
        async with AsyncClient(net.urls, key=key, timeout_s=timeout_s, transport=net.transport) as client:
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def sent(net: FakeNet) -> list[bytes]:
    return [raw for node in net.nodes for request in node.posts() for raw in unframe(request.content)]


def test_a_put_is_final_and_read_again(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        done = await client.put(b"name", b"value")
        assert done.reached == "final"
        assert done.receipt is not None
        assert (done.receipt.nonce, done.receipt.ok) == (0, True)
        assert (await client.read(key.address, b"name")).value == b"value"
        assert await client.get(key.address, b"name", verify=False) == b"value"
        absent = await client.read(key.address, b"other")
        assert (absent.value, absent.at.height) == (None, 1)
        with pytest.raises(GenesisNeeded):
            await client.get(key.address, b"name")
        status = await client.get_transaction(done.id)
        assert (status.state, status.receipt) == ("final", done.receipt)
        assert (await client.get_transaction("00" * 32)).state == "unknown"

    run(net, key, body)


@pytest.mark.parametrize("mood", ["down", "hangs", "busy", "loses_answers", "garbage", "lacks_accounts"])
def test_another_node_takes_over(net: FakeNet, key: Key, mood: str) -> None:
    async def body(client: AsyncClient) -> None:
        await client.status()
        setattr(net.nodes[0], mood, True)
        for node in net.nodes[1:]:
            node.delay_s = 0.001
        done = await client.put(b"a", b"b")
        assert done.receipt is not None
        assert done.receipt.nonce == 0

    run(net, key, body)
    assert net.executed == [0]
    assert len(set(sent(net))) == 1, "always the same bytes"


def test_an_account_that_no_node_knows_is_missed_at_once(net: FakeNet, key: Key) -> None:
    for node in net.nodes:
        node.lacks_accounts = True

    async def body(client: AsyncClient) -> None:
        begun = trio.current_time()
        with pytest.raises(NotFound, match="no account"):
            await client.put(b"a", b"b")
        assert trio.current_time() - begun < 1

    run(net, key, body)
    assert not sent(net)


def test_the_nearest_node_is_asked(net: FakeNet, key: Key) -> None:
    net.nodes[0].delay_s, net.nodes[1].delay_s, net.nodes[2].delay_s = 0.3, 0.01, 0.2

    async def body(client: AsyncClient) -> None:
        for _ in range(3):
            await client.put(b"a", b"b")

    run(net, key, body)
    assert [len(node.posts()) for node in net.nodes] == [0, 3, 0]


def test_all_down_is_unreachable_and_the_nonce_is_used_again(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        for node in net.nodes:
            node.down = True
        signed = await client.sign([put(key.address, b"a", b"1")])
        with pytest.raises(Unreachable, match="doesn't answer"):
            await client.submit_transaction(signed, timeout_ms=2_000)
        for node in net.nodes:
            node.down = False
        done = await client.put(b"a", b"2")
        assert done.receipt is not None
        assert done.receipt.nonce == signed.nonce == 1

    run(net, key, body)


def test_all_down_is_unreachable_for_many_too(net: FakeNet, key: Key) -> None:
    for node in net.nodes:
        node.down = True

    async def body(client: AsyncClient) -> None:
        with pytest.raises(Unreachable, match="nothing listens at http://n0"):
            await client.send_many([[put(key.address, b"a", b"1")], [put(key.address, b"b", b"1")]])
        for node in net.nodes:
            node.down = False
        with pytest.raises(UsageError, match="can't be made"):
            await client.send_many([[{"type": "bad"}]])

    run(net, key, body)


def test_results_distinguish_sent_and_unsent_transactions(net: FakeNet, key: Key) -> None:
    """The nodes fail while the second group is signed. The results of the first group must not be lost."""

    async def body(client: AsyncClient) -> None:
        wanted = [[put(key.address, b"k%d" % index, b"v")] for index in range(1_500)]
        real = client._sender.sign

        async def sign(chunk: Any, signer: Key, timeout_s: float, **_: Any) -> Any:
            if len(chunk) == 500:
                raise Unreachable("none of them answered")
            return await real(chunk, signer, timeout_s)

        client._sender.sign = sign  # type: ignore[method-assign]
        results = await client.send_many(wanted)
        assert all(isinstance(result, Submitted) and result.receipt for result in results[:1_000])
        assert all(isinstance(result, Unreachable) for result in results[1_000:])

    run(net, key, body)


def test_an_open_outcome_is_unknown_and_the_bytes_are_sent_again(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        for node in net.nodes:
            node.hangs = True
        signed = await client.sign([put(key.address, b"a", b"1")])
        before = trio.current_time()
        with pytest.raises(OutcomeUnknown) as caught:
            await client.submit_transaction(signed, timeout_ms=5_000)
        assert trio.current_time() - before < 6.5
        assert caught.value.transaction == signed.id
        assert signed.id in caught.value.message
        for node in net.nodes:
            node.hangs = False
        done = await client.put(b"a", b"2")
        assert done.receipt is not None
        assert done.receipt.nonce == 2
        assert (await client.get_transaction(signed.id)).state == "final"

    run(net, key, body)
    assert net.executed == [0, 1, 2]


def test_busy_everywhere_is_busy_at_the_deadline(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        signed = await client.sign([put(key.address, b"a", b"1")])
        for node in net.nodes:
            node.busy = True
        with pytest.raises(Busy) as caught:
            await client.submit_transaction(signed, timeout_ms=1_000)
        assert caught.value.retry_after_ms == 50
        assert caught.value.exit_code == 5

    run(net, key, body)


def test_a_full_pool_is_tried_again(net: FakeNet, key: Key) -> None:
    full = {"code": "pool-full", "message": "The pool is full.", "retry_after_ms": 20}
    net.refuse_next = [full] * 5

    async def body(client: AsyncClient) -> None:
        assert (await client.put(b"a", b"b")).reached == "final"

    run(net, key, body)


def test_a_transaction_without_quota_waits_as_long_as_nodes_say(net: FakeNet, key: Key) -> None:
    lacking = {"code": "quota-too-small", "message": "The quota is used up.", "retry_after_ms": 3_000}
    net.refuse_next = [lacking | {"retry_after_ms": wait_ms} for wait_ms in (4_000, 3_000, 5_000)]

    async def body(client: AsyncClient) -> None:
        start = trio.current_time()
        assert (await client.put(b"a", b"b")).reached == "final"
        assert 5.0 <= trio.current_time() - start < 6.0
        assert len(sent(net)) == 4
        net.refuse_next = [lacking] * 3
        with pytest.raises(Busy, match="quota is used up") as caught:
            await client.put(b"a", b"c", timeout_s=2.0)
        assert caught.value.retry_after_ms == 3_000

    run(net, key, body)


def test_a_nonce_that_somebody_else_used_is_replaced(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        net.nonces[key.address] += 3
        done = await client.put(b"a", b"1")
        assert done.receipt is not None
        assert done.receipt.nonce == 4

    run(net, key, body)


def test_a_refusal_names_its_code_and_the_nonce_stays_free(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "work-limit-too-high", "message": "It may use at most 5 units."}] * 2

    async def body(client: AsyncClient) -> None:
        with pytest.raises(Refused, match="at most 5 units") as caught:
            await client.put(b"a", b"0")
        assert caught.value.code == "work-limit-too-high"
        done = await client.put(b"a", b"1")
        assert done.receipt is not None
        assert done.receipt.nonce == 0

    run(net, key, body)


def test_a_node_that_is_behind_is_not_believed_alone(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "unknown-account", "message": "There is no such account."}]

    async def body(client: AsyncClient) -> None:
        assert (await client.put(b"a", b"0")).reached == "final"

    run(net, key, body)


def test_nodes_that_are_behind_are_not_believed_while_another_one_is_busy(net: FakeNet, key: Key) -> None:
    """The busy node may have what the others lack, such as the nonces before it."""
    net.refuse_next = [{"code": "nonce-too-far", "message": "The nonce 1025 is too far ahead."}] * 2
    net.nodes[0].busy_submissions = 1

    async def body(client: AsyncClient) -> None:
        signed = await client.sign([put(key.address, b"a", b"1")])
        assert (await client.submit_transaction(signed)).reached == "final"

    run(net, key, body)


def test_a_node_that_is_behind_is_not_believed_after_a_full_one(net: FakeNet, key: Key) -> None:
    full = {"code": "pool-full", "message": "The pool is full.", "retry_after_ms": 20}
    behind = {"code": "nonce-too-far", "message": "The nonce 1025 is too far ahead."}
    net.refuse_next = [full, behind, behind]

    async def body(client: AsyncClient) -> None:
        signed = await client.sign([put(key.address, b"a", b"1")])
        assert (await client.submit_transaction(signed)).reached == "final"

    run(net, key, body)


def test_all_nodes_say_unknown_account(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "unknown-account", "message": "There is no such account."}] * 3

    async def body(client: AsyncClient) -> None:
        with pytest.raises(Refused, match="no such account"):
            await client.put(b"a", b"0")

    run(net, key, body)


@pytest.mark.parametrize("mood", ["hangs", "fails"])
@pytest.mark.parametrize("code", ["unknown-account", "nonce-too-far", "expired", "nonce-taken"])
def test_a_possibly_accepted_transaction_is_not_reported_as_refused(
    net: FakeNet, key: Key, mood: str, code: str
) -> None:
    """The nodes that refuse it are behind, or use their own clocks. The node that may have accepted it can still bring
    it into a block."""

    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        setattr(net.nodes[0], mood, True)
        net.nodes[1].delay_s = net.nodes[2].delay_s = 0.001
        net.refuse_next = [{"code": code, "message": "No."}] * 1_000
        with pytest.raises(OutcomeUnknown):
            await client.put(b"a", b"1")

    run(net, key, body)


def test_a_skipped_transaction_is_waited_for(net: FakeNet, key: Key) -> None:
    """A later block executes it. A second transaction, signed in its place, would be executed too."""
    skipped = {"code": "skipped", "message": "It was ordered and skipped: the work quota is too small."}
    net.refuse_next = [skipped] * 5

    async def body(client: AsyncClient) -> None:
        done = await client.put(b"a", b"0")
        assert done.receipt is not None
        assert done.receipt.nonce == 0

    run(net, key, body)
    assert len(set(sent(net))) == 1, "always the same bytes"


def test_a_used_nonce_needs_only_the_word_of_the_node_that_reports_it(net: FakeNet, key: Key) -> None:
    """That node has executed the transaction that used the nonce, and doesn't know this one. An answer of another node
    shows nothing."""

    async def body(client: AsyncClient) -> None:
        await client.put(b"a", b"0")
        net.nodes[0].hangs = net.nodes[1].knows_nothing = True
        net.nodes[1].delay_s, net.nodes[2].delay_s = 0.001, 0.1
        net.nodes[2].loses_answers = True
        signed = await client.sign([put(key.address, b"a", b"1")])
        net.nonces[key.address] += 1
        with pytest.raises(OutcomeUnknown):
            await client.submit_transaction(signed, timeout_ms=5_000)
        net.nodes[1].knows_nothing = False
        with pytest.raises(Refused) as caught:
            await client.submit_transaction(signed, timeout_ms=5_000)
        assert caught.value.code == "nonce-used"
        assert not [request for request in net.nodes[2].requests if signed.id in request.url.path]

    run(net, key, body)


def test_concurrent_sends_take_consecutive_nonces(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        async with trio.open_nursery() as nursery:
            for index in range(50):
                nursery.start_soon(client.put, b"k%d" % index, b"v")

    run(net, key, body)
    assert sorted(net.executed) == list(range(50))


def test_many_go_in_groups_and_in_order(net: FakeNet, key: Key) -> None:
    progress: list[tuple[int, int]] = []

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            wanted = [[put(key.address, b"k%d" % index, b"v")] for index in range(2_500)]
            results = await client.send_many(wanted, on_progress=lambda *where: progress.append(where))
            nonces = [result.receipt.nonce for result in results if isinstance(result, Submitted) and result.receipt]
            assert nonces == list(range(2_500))

    trio.run(main)
    assert max(net.group_sizes) == 1_000
    assert net.executed == list(range(2_500))
    assert sorted(progress)[-1] == (2_500, 2_500)


def test_an_operation_that_cannot_be_encoded_is_a_usage_error_and_uses_no_nonce(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(UsageError, match="can't be made"):
            await client.send([{"type": "bad"}])
        done = await client.put(b"a", b"1")
        assert done.receipt is not None
        assert done.receipt.nonce == 0

    run(net, key, body)


def test_a_failed_receipt_is_an_error_of_put_but_not_of_submit(
    net: FakeNet, key: Key, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed = Receipt("x", key.address, 0, 1, 0, 1, 1, Failure("insufficient-balance", 0))

    async def submit(*_: object) -> list[Submitted]:
        return [Submitted("x", "final", failed)]

    async def body(client: AsyncClient) -> None:
        monkeypatch.setattr(client._sender, "submit", submit)
        signed = await client.sign([put(key.address, b"a", b"1")])
        assert (await client.submit_transaction(signed)).receipt == failed
        with pytest.raises(
            TransactionFailed,
            match=r"operation 0 \(insufficient-balance\): set key .a. to .1. in .*; look up the balance",
        ) as caught:
            await client.put(b"a", b"1")
        assert caught.value.failure == "insufficient-balance"

    run(net, key, body)


def test_no_key_and_bad_ids_are_usage_errors(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(UsageError, match="64 hex digits"):
            await client.get_transaction("zz")
        with pytest.raises(NotFound):
            await client.block(5)

    run(net, key, body)
    with pytest.raises(UsageError, match="at least one endpoint"):
        AsyncClient([])
    with pytest.raises(UsageError, match="not the URL"):
        AsyncClient(["127.0.0.1:26651"])
