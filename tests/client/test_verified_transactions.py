"""A client with a genesis believes no node about a transaction whose receipt is certified; it checks the proof."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio

from rustorium import _native
from rustorium.client import AsyncClient
from rustorium.errors import NotReady, ProofRefused
from rustorium.types import Receipt, TransactionStatus

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
[CASE] = [
    case
    for case in json.loads(VECTORS.read_text())["cases"]
    if case["shows"] is not None and case["type"] == "transaction"
]
GENESIS, PROOF = bytes.fromhex(CASE["genesis"]), bytes.fromhex(CASE["bytes"])
FACTS = json.loads(_native.Light.from_genesis(GENESIS).check(PROOF, 0))
ID = FACTS["receipt"]["id"]
HEIGHT, INDEX = FACTS["receipt"]["height"], FACTS["receipt"]["index"]


def parts() -> tuple[bytes, bytes]:
    """Splits the bytes into the transaction and the receipt's proof."""
    for cut in range(2, len(PROOF)):
        try:
            if _native.wrap_proof("transaction", PROOF[1:cut], PROOF[cut:]) == PROOF:
                return PROOF[1:cut], PROOF[cut:]
        except _native.NativeError:
            continue
    raise AssertionError("the vector is no transaction's proof")


RAW, RECEIPT = parts()


class Node:
    """Answers about one transaction. `lies` replace fields of its answers."""

    def __init__(self, **lies: Any) -> None:
        self.lies = lies
        self.asked: list[httpx2.Request] = []

    def handle(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append(request)
        path = request.url.path
        at = {"shard": 0, "height": HEIGHT, "root": "ab" * 32}
        if path == "/livez":
            return httpx2.Response(200, json={})
        if path.endswith("/receipts"):
            return httpx2.Response(200, json={"receipts": self.lies.get("receipts", [FACTS["receipt"]]), "at": at})
        if path != f"/v1/transactions/{ID}":
            return httpx2.Response(404, json={"code": "transaction-not-found", "detail": "No such transaction."})
        body: dict[str, Any] = {"id": ID, "status": "certified", "receipt": FACTS["receipt"], "at": at}
        if request.url.params.get("proof") == "1":
            body |= {"transaction_hex": RAW.hex(), "proof_hex": RECEIPT.hex()}
        return httpx2.Response(200, json=body | self.lies)


def ask(body: Callable[[AsyncClient], Awaitable[Any]], *nodes: Node, genesis: bytes | None = GENESIS) -> Any:
    async def main() -> Any:
        transport = httpx2.MockTransport(lambda request: nodes[int(request.url.host[1:])].handle(request))
        urls = [f"http://n{place}" for place in range(len(nodes))]
        async with AsyncClient(urls, genesis=genesis, transport=transport, timeout_s=2.0) as client:
            return await body(client)

    return trio.run(main)


def status(*nodes: Node, genesis: bytes | None = GENESIS, verify: bool = True) -> TransactionStatus:
    found: TransactionStatus = ask(lambda client: client.get_transaction(ID, verify=verify), *nodes, genesis=genesis)
    return found


FAILED = FACTS["receipt"] | {"outcome": "failed", "failure": {"code": "insufficient_balance", "operation": 0}}


def test_a_receipt_is_proven() -> None:
    found = status(Node())
    assert (found.state, found.certified, found.proven) == ("final", True, True)
    assert found.receipt is not None
    assert (found.receipt.transaction, found.receipt.ok) == (ID, True)
    assert found.transaction["operations"] == FACTS["transaction"]["operations"]
    assert found.signed_by is not None
    assert len(found.signed_by.names) * 3 > found.signed_by.validators * 2
    assert str(found.signed_by) == f"3 of 4 validators: {', '.join(found.signed_by.names)}"


def test_fields_beside_a_proof_are_not_believed() -> None:
    found = status(Node(receipt=FAILED, transaction={"operations": []}))
    assert (found.proven, found.receipt and found.receipt.ok) == (True, True)
    assert found.transaction["operations"]


def test_without_genesis_or_verification_the_result_is_marked_unproven() -> None:
    for found in (status(Node(receipt=FAILED), genesis=None), status(Node(receipt=FAILED), verify=False)):
        assert (found.state, found.proven, found.signed_by) == ("final", False, None)
        assert found.receipt is not None
        assert not found.receipt.ok


@pytest.mark.parametrize("lies", [{"status": "final"}, {"proof_hex": None}])
def test_a_transaction_without_proof_is_not_reported_as_proven(lies: dict[str, Any]) -> None:
    assert not status(Node(**lies)).proven


def test_a_node_with_a_false_proof_is_passed_over() -> None:
    damaged = RECEIPT[:40] + bytes([RECEIPT[40] ^ 1]) + RECEIPT[41:]
    liar = Node(proof_hex=damaged.hex(), receipt=FAILED)
    found = status(liar, Node())
    assert (found.proven, found.receipt and found.receipt.ok) == (True, True)
    with pytest.raises(ProofRefused):
        status(liar)


def receipts(node: Node, verify: bool = True) -> tuple[Receipt, ...]:
    found: tuple[Receipt, ...] = ask(lambda client: client.block_receipts(HEIGHT, verify=verify), node)
    return found


def test_receipts_of_a_block_are_proven_one_by_one() -> None:
    # The vector's receipt is not the first of its block, so a node that shows it alone leaves receipts out.
    with pytest.raises(ProofRefused, match="in order"):
        receipts(Node())
    assert len(receipts(Node(), verify=False)) == 1


def test_a_changed_receipt_of_a_block_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustorium.client.blocks.in_order", lambda *_: None)
    assert [receipt.transaction for receipt in receipts(Node())] == [ID]
    with pytest.raises(ProofRefused, match="another receipt"):
        receipts(Node(receipts=[FAILED]))
    with pytest.raises(NotReady, match="not certified"):
        receipts(Node(status="final"))


def test_a_node_hides_no_proof_of_a_block_by_calling_its_transaction_failed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustorium.client.blocks.in_order", lambda *_: None)
    with pytest.raises(ProofRefused, match=r"another receipt .*http://n0 listed them"):
        ask(lambda client: client.verify_block_proofs(HEIGHT, []), Node(receipts=[FAILED]))
