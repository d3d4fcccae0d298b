"""What one node says against a transaction isn't believed while another node or a proof can be asked.

Time is trio's mock clock.
"""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet

from rustorium import _native
from rustorium.client import AsyncClient, Key
from rustorium.client.operations import put
from rustorium.errors import (
    BadResponse,
    OutcomeUnknown,
    ProofRefused,
    Refused,
    TransactionFailed,
    Unreachable,
    VerificationFailed,
)
from rustorium.types import SignedTransaction

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
[CASE] = [
    case
    for case in json.loads(VECTORS.read_text())["cases"]
    if case["shows"] is not None and case["type"] == "transaction"
]
GENESIS, PROOF = bytes.fromhex(CASE["genesis"]), bytes.fromhex(CASE["bytes"])
FACTS = json.loads(_native.Light.from_genesis(GENESIS).check(PROOF, 0))
TRUE = FACTS["receipt"]
ID, AT = TRUE["id"], {"shard": 0, "height": TRUE["height"], "root": "ab" * 32}


def _receipt_proof() -> tuple[bytes, bytes]:
    for cut in range(2, len(PROOF)):
        try:
            if _native.wrap_proof("transaction", PROOF[1:cut], PROOF[cut:]) == PROOF:
                return PROOF[1:cut], PROOF[cut:]
        except _native.NativeError:
            continue
    raise AssertionError("the vector is no transaction's proof")


RAW, RECEIPT_PROOF = _receipt_proof()
SIGNED = SignedTransaction(ID, RAW, TRUE["sender"], TRUE["nonce"], 2**62)
FAILED = TRUE | {"outcome": "failed", "failure": {"code": "insufficient-balance", "operation": 0}}
CERTIFIED = {"status": "certified", "receipt": TRUE, "proof_hex": RECEIPT_PROOF.hex()}
FORGED = CERTIFIED | {"proof_hex": (RECEIPT_PROOF[:40] + bytes([RECEIPT_PROOF[40] ^ 1]) + RECEIPT_PROOF[41:]).hex()}
OTHER = CERTIFIED | {"receipt": FAILED}

Says = Callable[[str], dict[str, Any] | None]
"""Returns a node's result for a milestone that is waited for; `None` if the node is dead."""


def honest(wait: str) -> dict[str, Any]:
    return CERTIFIED if wait == "certified" else {"status": "final", "receipt": TRUE}


def says_failed(wait: str) -> dict[str, Any]:
    return {"status": "timed-out"} if wait == "certified" else {"status": "final", "receipt": FAILED}


def run(body: Callable[[AsyncClient], Awaitable[Any]], *nodes: Says, genesis: bytes | None = GENESIS) -> list[str]:
    """Runs `body` with a client of these nodes, which is asked in this order; returns the hosts that got
    transactions."""
    asked: list[str] = []

    def handle(request: httpx2.Request) -> httpx2.Response:
        host = str(request.url.host)
        said = nodes[int(host[1:])](str(request.url.params.get("wait")))
        if said is None:
            raise httpx2.ConnectError("all failed", request=request) from OSError(111, "Connection refused")
        if request.url.path == "/livez":
            return httpx2.Response(200, json={})
        if request.method == "GET":
            return httpx2.Response(200, json={"id": ID, "at": AT} | said)
        asked.append(host)
        return httpx2.Response(200, json={"results": [{"id": ID} | said], "at": AT})

    async def main() -> None:
        urls = [f"http://n{place}" for place in range(len(nodes))]
        transport = httpx2.MockTransport(handle)
        async with AsyncClient(urls, genesis=genesis, timeout_s=5.0, transport=transport, key=Key(bytes(32))) as client:
            for place, endpoint in enumerate(client._transport.endpoints.all):
                endpoint.rtt_s = float(place)
            client._transport.known.probed = True

            async def sign(*_: Any, **__: Any) -> list[SignedTransaction]:
                return [SIGNED]

            client._sender.sign = sign  # type: ignore[method-assign]
            await body(client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return asked


@pytest.mark.parametrize("code", ["nonce-used", "nonce-taken", "work-limit-too-high", "expired"])
def test_what_one_node_calls_refused_is_not_signed_again_while_another_node_knows_better(
    net: FakeNet, key: Key, code: str
) -> None:
    """The node has the transaction executed: if it were signed again, the write would happen twice."""
    net.nodes[0].claims = {"status": "refused", "code": code, "message": "No."}
    net.nodes[1].delay_s, net.nodes[2].delay_s = 0.001, 0.002

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            done = await client.put(b"a", b"1")
            assert done.receipt is not None
            assert done.receipt.nonce == 0

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert net.executed == [0]


@pytest.mark.parametrize("code", ["nonce-used", "nonce-taken", "nonce-too-far", "work-limit-too-low"])
def test_what_one_node_of_several_calls_refused_is_not_signed_again_while_the_others_are_silent(
    net: FakeNet, key: Key, code: str
) -> None:
    """The node passes each transaction on, and says that it was refused: a payment was made 21 times so."""
    net.nodes[0].claims = {"status": "refused", "code": code, "message": "No."}
    net.nodes[0].knows_nothing = net.nodes[1].down = net.nodes[2].down = True

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=5.0) as client:
            with pytest.raises(Refused, match="http://n0 alone says so"):
                await client.put(b"a", b"1")
            results = await client.send_many([[put(key.address, "b", "1")], [put(key.address, "c", "2")]])
            assert all(isinstance(result, Refused) and result.alone for result in results)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert net.executed == [0, 1, 2]


def test_a_refusal_that_no_other_node_confirms_says_on_whose_word_it_rests(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "work-limit-too-high", "message": "It may use at most 5 units."}]
    net.nodes[1].down = net.nodes[2].down = True

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            with pytest.raises(Refused, match=r"at most 5 units.*http://n0 alone says so") as caught:
                await client.put(b"a", b"0")
            assert caught.value.endpoint == "http://n0"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_two_nodes_that_refuse_are_believed_and_no_third_is_asked(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "work-limit-too-high", "message": "It may use at most 5 units."}] * 2

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            with pytest.raises(Refused) as caught:
                await client.put(b"a", b"0")
            assert "alone" not in caught.value.message

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert sum(len(node.posts()) for node in net.nodes) == 2


def test_a_failed_verdict_is_proven_before_it_is_believed() -> None:
    async def body(client: AsyncClient) -> None:
        done = await client.submit_transaction(SIGNED)
        assert done.receipt is not None
        assert (done.receipt.ok, done.reached) == (True, "certified")
        assert (await client.send([put(client._signer(None).address, b"a", b"1")])).receipt == done.receipt

    assert run(body, says_failed, honest)[:3] == ["n0", "n0", "n1"]


def test_a_failed_verdict_without_a_proof_leaves_the_outcome_open() -> None:
    async def body(client: AsyncClient) -> None:
        for again in (lambda: client.submit_transaction(SIGNED), lambda: client.send([put("rs1", b"a", b"1")])):
            with pytest.raises(OutcomeUnknown, match=r"http://n0 says .* failed \(insufficient-balance\)") as caught:
                await again()
            assert (caught.value.transaction, caught.value.endpoint) == (ID, "http://n0")

    run(body, says_failed)


def test_without_a_genesis_a_failed_verdict_says_on_whose_word_it_rests() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(TransactionFailed, match="on the word of http://n0") as caught:
            await client.send([put("rs1", b"a", b"1")])
        assert caught.value.endpoint == "http://n0"

    run(body, says_failed, genesis=None)


def test_an_unknown_outcome_is_not_resolved_by_an_unproven_failure() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(OutcomeUnknown):
            await client.resolve(OutcomeUnknown(ID), timeout_s=2.0)

    run(body, says_failed)


@pytest.mark.parametrize("lie", [FORGED, OTHER, CERTIFIED | {"id": "00" * 32}, {"status": "certified"}])
def test_after_a_refused_proof_the_other_nodes_are_asked(lie: dict[str, Any]) -> None:
    async def body(client: AsyncClient) -> None:
        done = await client.submit_transaction(SIGNED, wait="certified")
        assert done.receipt is not None
        assert done.receipt.ok

    assert run(body, lambda _: lie, honest) == ["n0", "n1"]


@pytest.mark.parametrize("lower", [{"status": "final", "receipt": TRUE}, {"status": "accepted"}])
def test_a_lower_milestone_than_was_asked_for_is_not_enough(lower: dict[str, Any]) -> None:
    async def body(client: AsyncClient) -> None:
        assert isinstance((await client.submit_transaction(SIGNED, wait="certified")).proof, bytes)

    assert run(body, lambda _: lower, honest) == ["n0", "n1"]


PROVEN = CERTIFIED | {"transaction_hex": RAW.hex()}


@pytest.mark.parametrize(
    "denial", [{"status": "pending"}, {"status": "final", "receipt": FAILED}, {"status": "certified", "receipt": TRUE}]
)
def test_what_one_node_says_is_not_certified_is_asked_of_the_others(denial: dict[str, Any]) -> None:
    async def body(client: AsyncClient) -> None:
        found = await client.get_transaction(ID)
        assert (found.state, found.proven, found.receipt is not None and found.receipt.ok) == ("final", True, True)

    run(body, lambda _: denial, lambda _: PROVEN)


def test_what_no_node_proves_is_the_claim_of_the_one_that_knows_most() -> None:
    async def body(client: AsyncClient) -> None:
        start = trio.current_time()
        found = await client.get_transaction(ID)
        assert (found.state, found.proven, found.certified) == ("final", False, False)
        assert trio.current_time() == start, "a dead node is not waited for"

    run(body, lambda _: {"status": "pending"}, lambda _: None, lambda _: {"status": "final", "receipt": TRUE})


def test_a_node_that_hangs_holds_up_the_others_claims_once(net: FakeNet, key: Key) -> None:
    net.nodes[0].hangs = True

    async def main() -> None:
        async with AsyncClient(net.urls, genesis=GENESIS, key=key, transport=net.transport) as client:
            endpoints = client._transport.endpoints.all
            for place, endpoint in enumerate(endpoints):
                endpoint.rtt_s = float(place)
            client._transport.known.probed = True
            net.receipts[ID] = TRUE
            spent = []
            for _ in range(2):
                start = trio.current_time()
                found = await client.get_transaction(ID)
                assert (found.state, found.proven) == ("final", False)
                spent.append(trio.current_time() - start)
            assert spent[0] <= 1.3, "a part of a second until the next one is asked, and a second for the others"
            assert spent[1] == 0.0, "it is asked last for a while"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_if_all_proofs_are_refused_the_error_names_who_lied() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(ProofRefused, match=r"http://n1") as caught:
            await client.submit_transaction(SIGNED, wait="certified")
        assert caught.value.endpoint == "http://n1"

    assert run(body, lambda _: OTHER, lambda _: FORGED) == ["n0", "n1"]


def test_errors_about_a_lying_node_name_it() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(VerificationFailed, match="http://n0") as caught:
            await client.get_transaction(ID)
        assert caught.value.endpoint == "http://n0"
        with pytest.raises(BadResponse, match="http://n0"):
            await client.status()
        with pytest.raises(BadResponse, match="http://n0"):
            await client.holdings(Key(bytes(32)).address)

    run(body, lambda _: {"status": "certified", "receipt": TRUE, "transaction_hex": "00", "proof_hex": "00"})


def test_an_error_about_dead_nodes_keeps_each_cause() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(Unreachable, match=r"http://n0 \(connection refused\), http://n1 \(connection refused\)"):
            await client.status()

    run(body, lambda _: None, lambda _: None)

    async def alone(client: AsyncClient) -> None:
        with pytest.raises(Unreachable, match=r"http://n0 .*\(connection refused\)"):
            await client.status()

    run(alone, lambda _: None)
