"""A client understands nodes of 0.1.0, which write codes with underscores, also in a net of both releases."""

from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet, receipt

from rustorium.client import AsyncClient, Key, wire
from rustorium.client.operations import put
from rustorium.errors import Busy, NoStateRoot, NotFound, NotReady, ProofPruned, Refused, RustoriumError
from rustorium.types import Failure


def run(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[None]]) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, timeout_s=10.0, transport=net.transport) as client:
            await body(client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@pytest.mark.parametrize(
    ("status", "earlier", "kind", "code"),
    [
        (409, "no_state_root", NoStateRoot, "no-state-root"),
        (410, "proof_pruned", ProofPruned, "proof-pruned"),
        (503, "not_ready", NotReady, "not-ready"),
        (503, "not_proven_yet", Busy, "not-proven-yet"),
        (422, "pool_full", Busy, "pool-full"),
        (404, "key_not_found", NotFound, "key-not-found"),
        (401, "token_missing", Refused, "token-missing"),
    ],
)
def test_a_problem_is_the_same_error(status: int, earlier: str, kind: type[RustoriumError], code: str) -> None:
    for said in (earlier, code):
        error = wire.problem(status, {"code": said, "detail": "No."})
        assert (type(error), error.code) == (kind, code)


def test_ends_failures_and_evidence_are_the_same_words() -> None:
    assert [wire.submitted({"status": status, "id": "ab"}, 0) for status in ("timed_out", "timed-out")] == ["ab", "ab"]
    full = wire.submitted({"status": "refused", "id": "ab", "code": "sender_full", "message": "Full."}, 0)
    assert isinstance(full, Busy)
    assert full.code == "sender-full"
    failed = receipt("ab", "rs1", 0, 1) | {"outcome": "failed", "failure": {"code": "not_an_operator", "operation": 2}}
    assert wire.receipt(failed, 0).failure == Failure("not-an-operator", 2)
    one: dict[str, Any] = {"validator": 1, "name": "bob", "kind": "two_batches", "first": "batch 7", "count": 5}
    assert wire.evidence(one).kind == "two-batches"


def test_a_node_that_is_behind_is_not_believed_alone(net: FakeNet, key: Key) -> None:
    net.refuse_next = [
        {"code": "unknown_account", "message": "There is no such account."},
        {"code": "nonce_too_far", "message": "The nonce 1025 is too far ahead."},
    ]

    async def body(client: AsyncClient) -> None:
        assert (await client.put(b"a", b"0")).reached == "final"

    run(net, key, body)


def test_a_nonce_that_another_program_used_is_signed_again(net: FakeNet, key: Key) -> None:
    net.refuse_next = [{"code": "nonce_used", "message": "The nonce 0 was used before."}]

    async def body(client: AsyncClient) -> None:
        assert (await client.send([put(key.address, b"a", b"0")])).reached == "final"

    run(net, key, body)
