"""A node's word that there is no such thing, or nothing yet, is not taken for a proof.

Time is trio's mock clock.
"""

import json
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet, ok, problem

from rustorium import _native
from rustorium.client import AsyncClient, Key
from rustorium.client.light import LightClient
from rustorium.errors import (
    AbsenceUnproven,
    Absent,
    Busy,
    EpochUnknown,
    GenesisUnconfirmed,
    NoStateRoot,
    NotFound,
    ProofRefused,
    Refused,
    RustoriumError,
    VerificationFailed,
)
from rustorium.types import Subject, Value

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(VECTORS.read_text())["cases"]}
ONE = CASES["one value beside another client's"]
GENESIS, PROOF = bytes.fromhex(ONE["genesis"]), bytes.fromhex(ONE["bytes"])
CHAIN = _native.genesis_hash(GENESIS)
ACCOUNT = str(json.loads(_native.Light.from_genesis(GENESIS).check(PROOF, 0))["items"][0]["account"])
KEY, VALUE = b"\x03", b"\x03" * 9
UNPROVEN = re.compile(r"http://n\d says that there is no such thing, without a proof")
LIE = "invoice/17 is proven to be absent at height 13"

Node = Callable[[httpx2.Request], httpx2.Response]


def honest(_: httpx2.Request) -> httpx2.Response:
    return ok({"proof_hex": PROOF[1:].hex()})


def says(status: int, code: str, detail: str = LIE) -> Node:
    return lambda _: problem(status, code, detail, retry_after_ms=50)


def at_height(height: int, chain: str = CHAIN, *, ready: bool = True) -> Node:
    """A node that proves nothing yet, and whose status has this height."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/status":
            place = {"shard": 0, "height": height, "root": "ab" * 32}
            why = None if ready else "only 1 of 3 are connected\x1b[31m"
            status = {"chain": chain, "height": height, "at": place, "ready": ready, "not_ready_because": why}
            return ok(FakeNet().status() | status)
        return problem(503, "not-proven-yet", "Later.", retry_after_ms=50)

    return answer


def dead(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("all failed", request=request) from OSError(111, "Connection refused")


def run(body: Callable[[AsyncClient], Awaitable[Any]], *nodes: Node, **named: Any) -> Any:
    """Runs `body` with a client of these nodes, which are asked in this order, and of these `witnesses`."""
    others: list[Node] = named.pop("witnesses", [])
    hosts = {f"n{place}": node for place, node in enumerate(nodes)} | {
        f"w{place}": node for place, node in enumerate(others)
    }

    async def main() -> Any:
        transport = httpx2.MockTransport(lambda request: hosts[str(request.url.host)](request))
        urls = [f"http://n{place}" for place in range(len(nodes))]
        named["witnesses"] = [f"http://w{place}" for place in range(len(others))]
        async with AsyncClient(urls, genesis=GENESIS, timeout_s=5.0, transport=transport, **named) as client:
            for place, endpoint in enumerate(client._transport.endpoints.all):
                endpoint.rtt_s = float(place)
            client._transport.known.probed = True
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


READS: dict[str, Callable[[AsyncClient], Awaitable[Any]]] = {
    "get": lambda client: client.get(ACCOUNT, KEY),
    "get_many": lambda client: client.get_many(ACCOUNT, [KEY]),
    "prove": lambda client: client.prove([Subject(ACCOUNT, key=KEY)]),
    "account": lambda client: client.account(ACCOUNT),
    "history": lambda client: client.history(ACCOUNT, KEY),
}


@pytest.mark.parametrize("read", READS)
@pytest.mark.parametrize("code", ["not-found", "absent", "account-not-found", "pruned", "proof-pruned"])
def test_absence_without_a_proof_is_an_unverified_answer(read: str, code: str) -> None:
    for nodes in ([says(404, code)], [says(404, code), says(404, code)], [says(404, code), dead], [dead, honest404]):
        with pytest.raises(AbsenceUnproven, match=UNPROVEN) as told:
            run(READS[read], *nodes)
        assert told.value.exit_code == 4
        assert "proven to be absent" not in told.value.message


honest404 = says(404, "unknown-route", "There is nothing here.")


@pytest.mark.parametrize(
    "liar",
    [
        says(404, "not-found"),
        says(409, "no-state-root"),
        says(410, "proof-pruned"),
        says(410, "pruned"),
        says(400, "proof-refused"),
        says(401, "token-missing"),
        says(500, "internal"),
        says(503, "not-proven-yet"),
        at_height(0),
        at_height(0, "ff" * 32),
        dead,
    ],
)
def test_beside_an_honest_node_a_lie_is_never_the_result(liar: Node) -> None:
    for nodes in ([liar, honest], [honest, liar], [liar, liar, honest]):
        assert run(READS["get"], *nodes) == VALUE


def test_a_404_to_a_later_question_of_a_read_is_no_absence_either() -> None:
    """A node may deny its status, or the epoch changes that its own proof needs."""

    def later(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/proofs":
            return problem(503, "not-proven-yet", "Later.", retry_after_ms=50)
        return problem(404, "not-found", LIE)

    def of_a_later_epoch(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/proofs":
            return ok({"proof_hex": CASES["a block of the third committee"]["bytes"][2:]})
        return problem(404, "not-found", LIE)

    async def follow(client: AsyncClient) -> None:
        await client.light.show(bytes.fromhex(CASES["a block of the third committee"]["bytes"]))

    with pytest.raises(Busy, match="later"):
        run(READS["get"], later)
    with pytest.raises(VerificationFailed):
        run(READS["get"], of_a_later_epoch)
    with pytest.raises(EpochUnknown, match="http://n0"):
        run(follow, of_a_later_epoch)
    assert run(READS["get"], later, honest) == run(READS["get"], of_a_later_epoch, honest) == VALUE


def test_what_all_nodes_say_is_told_as_their_word() -> None:
    for node, kind in (
        (says(409, "no-state-root", "None."), NoStateRoot),
        (says(401, "token-missing", "No."), Refused),
    ):
        with pytest.raises(kind, match=r"^http://n1 answered: no"):
            run(READS["get"], node, node)
    with pytest.raises(NotFound, match=r"^on the word of http://n0: no such block"):
        run(lambda client: client.block(99), says(404, "block-not-found", "No such block."))


def test_proven_absence_has_a_code_and_a_sentence_that_no_node_can_give() -> None:
    assert (Absent("x").code, Absent("x").exit_code, issubclass(Absent, NotFound)) == ("absent", 3, True)
    for code in ("absent", "proof-refused", "verification-failed", "chain-forked"):
        with pytest.raises(RustoriumError) as told:
            run(lambda client: client.block(99), says(404, code))
        assert told.value.code == "http-404"


# ---- before the first block ------------------------------------------------------------------------------------------


def read(client: AsyncClient) -> Awaitable[Value]:
    return client.read(ACCOUNT, KEY, at="proven")


def test_what_the_genesis_says_is_not_called_proven() -> None:
    async def body(client: AsyncClient) -> None:
        state = await client.proven([Subject(ACCOUNT, key=KEY)])
        assert (state.at.height, state.at.proven, state.claim.signed_by, state.proof) == (0, False, None, b"")
        found = await read(client)
        assert (found.value, found.at.height, found.at.proven) == (None, 0, False)

    run(body, at_height(0), at_height(0))
    run(body, at_height(0), witnesses=[at_height(0)])
    run(body, at_height(0), dead, at_height(0), witnesses=[at_height(0), dead])


@pytest.mark.parametrize("silent", [dead, says(503, "busy", "Later.")])
def test_a_node_that_stands_alone_with_an_empty_chain_is_not_believed(silent: Node) -> None:
    """It may hide everything that happened since the genesis: what exists, and what was paid."""
    for nodes, witnesses in (
        ([at_height(0)], []),
        ([at_height(0), silent], []),
        ([at_height(0)], [silent]),
        ([at_height(0), at_height(0)], [silent]),
    ):
        for ask in (read, READS["get"], READS["get_many"], READS["account"]):
            with pytest.raises(GenesisUnconfirmed, match=r"http://n\d says that the chain has no block yet") as told:
                run(ask, *nodes, witnesses=witnesses)
            assert (told.value.exit_code, told.value.code) == (4, "genesis-unconfirmed")
    assert run(READS["get"], at_height(0), silent, honest) == VALUE


@pytest.mark.parametrize("ask", [read, READS["get"]])
def test_a_node_alone_that_catches_up_is_waited_for(ask: Callable[[AsyncClient], Awaitable[Any]]) -> None:
    """A newcomer answers before it has its first block (found beside processes that spin)."""
    asked = 0

    def joins(request: httpx2.Request) -> httpx2.Response:
        nonlocal asked
        asked += request.url.path != "/v1/status"
        return honest(request) if asked > 3 else at_height(0, ready=False)(request)

    run(ask, joins)
    assert asked == 4
    with pytest.raises(Busy, match=r"^http://n0 has no block yet and isn't ready \(only 1 of 3 are connected") as told:
        run(ask, at_height(0, ready=False))
    assert (told.value.code, "\x1b" in told.value.message) == ("not-proven-yet", False)


@pytest.mark.parametrize(
    ("nodes", "witnesses"),
    [
        ([at_height(7)], []),
        ([says(503, "not-proven-yet", "Later.")], []),
        ([at_height(0), at_height(7)], []),
        ([at_height(0)], [at_height(7)]),
        ([at_height(0), dead], [dead, at_height(1)]),
    ],
)
def test_while_anybody_shows_a_block_the_genesis_is_not_the_state(nodes: list[Node], witnesses: list[Node]) -> None:
    with pytest.raises((Busy, VerificationFailed)) as told:
        run(read, *nodes, witnesses=witnesses)
    assert told.value.code in ("not-proven-yet", "bad-response")


def test_a_node_of_another_chain_shows_nothing_about_this_one() -> None:
    with pytest.raises(ProofRefused, match=f"http://n0 is of chain {'ff' * 32}, .* chain {CHAIN}"):
        run(read, at_height(0, "ff" * 32))


def lacks(chain: str = CHAIN) -> Node:
    """A node of a chain, which has none of what it is asked for."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/status":
            return at_height(3, chain)(request)
        return problem(404, "not-found", "There is no such thing here.")

    return answer


@pytest.mark.parametrize(
    "ask",
    [
        lambda client: client.get_transaction("ab" * 32),
        lambda client: client.prove_transaction("ab" * 32),
        lambda client: client.block(3),
        lambda client: client.block_receipts(3),
        lambda client: client.put("k", "v", key=Key.generate()),
    ],
    ids=["transaction", "its proof", "block", "receipts", "write"],
)
def test_where_only_nodes_of_other_chains_lack_it_the_chain_is_the_reason(
    ask: Callable[[AsyncClient], Awaitable[Any]],
) -> None:
    with pytest.raises(ProofRefused, match=f"http://n0 is of chain {'ff' * 32}, .* chain {CHAIN}"):
        run(ask, lacks("ff" * 32), dead)


def test_where_one_node_of_this_chain_lacks_it_nothing_else_is_said() -> None:
    asked: list[str] = []

    def ours(request: httpx2.Request) -> httpx2.Response:
        asked.append(request.url.path)
        return lacks()(request)

    async def twice(client: AsyncClient) -> None:
        with pytest.raises(NotFound):
            await client.block(3)
        assert (await client.get_transaction("ab" * 32)).state == "unknown"

    run(twice, lacks("ff" * 32), ours)
    assert asked.count("/v1/status") == 1, "it is asked once, not for each thing that isn't there"


def test_once_a_node_is_of_this_chain_silent_ones_are_not_waited_for() -> None:
    async def silent(_: httpx2.Request) -> httpx2.Response:
        await trio.sleep_forever()
        raise AssertionError("it never answers")

    async def main() -> float:
        async def answer(request: httpx2.Request) -> httpx2.Response:
            return lacks()(request) if request.url.host == "n0" else await silent(request)

        transport = httpx2.MockTransport(answer)
        async with AsyncClient(
            ["http://n0", "http://n1"], genesis=GENESIS, timeout_s=5.0, transport=transport
        ) as client:
            client._transport.known.probed = True
            started = trio.current_time()
            await client._require_own_chain()
            return trio.current_time() - started

    assert trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0)) < 0.1


def test_a_client_that_has_read_a_block_never_goes_back_to_the_genesis() -> None:
    liar = at_height(0)
    now: list[Node] = [honest]

    async def body(client: AsyncClient) -> None:
        assert await client.get(ACCOUNT, KEY) == VALUE
        now[0] = liar
        with pytest.raises(Busy, match=r"http://n0 answered: later|verified before"):
            await client.get(ACCOUNT, KEY)

    run(body, lambda request: now[0](request))
    assert LightClient(GENESIS).verified_height == 0


# ---- text ------------------------------------------------------------------------------------------------------------


def test_text_of_a_node_has_no_control_characters_and_a_bounded_length() -> None:
    forged = "\x1b[2J\x1b[32mVERIFIED: signed by 4 of 4\n\x9b1mvalue \u202e9200\r" + "x" * 10_000
    for status, code in ((404, "x\x1b[2J"), (401, "y\n"), (500, "z\u202e"), (409, "no-state-root"), (410, "pruned")):
        with pytest.raises(RustoriumError) as told:
            run(lambda client: client.block(99), says(status, code, forged))
        assert told.value.message.isprintable()
        assert told.value.code.isprintable()
        assert len(told.value.message) < 600
        assert "http://n0" in told.value.message
