"""Verified reads: a client accepts only answers to its own question, no older than allowed, from any node that can
prove them."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import ok, problem

from rustorium.client import AsyncClient, base
from rustorium.client.prooffile import trust_to_bytes
from rustorium.errors import Busy, NoStateRoot, ProofPruned, ProofRefused, UsageError, VerificationFailed
from rustorium.types import PROOF_KEYS_MAX, Receipt, Subject

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(VECTORS.read_text())["cases"]}
ONE = CASES["one value beside another client's"]
BAD = CASES["too few signatures"]
GENESIS = bytes.fromhex(ONE["genesis"])
TAG_BYTES = 1
"""Length of the tag before a read proof's bytes."""

Answer = Callable[[httpx2.Request], httpx2.Response]


def proven(case: dict[str, Any]) -> Answer:
    return lambda _: ok({"proof_hex": case["bytes"][2 * TAG_BYTES :]})


def run(nodes: list[Answer], body: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    """Runs `body` with a client of nodes n0, n1, …, each of which gives this answer to every request for a proof."""

    async def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/v1/proofs":
            return ok({"status": "ok", "reasons": []})
        return nodes[int(request.url.host[1:])](request)

    async def main() -> Any:
        urls = [f"http://n{number}" for number in range(len(nodes))]
        transport = httpx2.MockTransport(handle)
        async with AsyncClient(urls, genesis=GENESIS, timeout_s=5.0, transport=transport) as client:
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def account() -> str:
    """The account of the key of the vectors' one value."""

    async def body(client: AsyncClient) -> str:
        facts = await client.light.show(bytes.fromhex(ONE["bytes"]))
        return str(facts["items"][0]["account"])

    found: str = run([proven(ONE)], body)
    return found


ACCOUNT = account()
VALUE = b"\x03" * 9


def test_a_verified_answer_is_returned() -> None:
    async def body(client: AsyncClient) -> None:
        assert await client.get(ACCOUNT, b"\x03") == VALUE
        state = await client.prove([Subject(ACCOUNT, key=b"\x03")])
        shown = (await client.verify_proof(state.proof)).state
        assert shown == state
        assert shown is not None
        assert shown.claim.signed_by == state.claim.signed_by == client.light.signers(state.claim.digest)
        assert shown.claim.signed_by is not None
        assert shown.claim.signed_by.validators == 4
        assert client.light.signers("00" * 32) is None

    run([proven(ONE)], body)


def test_a_false_answer_is_skipped() -> None:
    async def body(client: AsyncClient) -> None:
        for _ in range(3):
            assert await client.get(ACCOUNT, b"\x03") == VALUE

    run([proven(BAD), proven(ONE)], body)
    run([proven(ONE), proven(BAD)], body)


@pytest.mark.parametrize(
    "answer",
    [
        proven(BAD),
        proven(CASES["another value"]),
        lambda _: ok({"proof_hex": ""}),
        lambda _: ok({"proof_hex": ONE["bytes"]}),
        lambda _: ok({"proof_hex": CASES["a block"]["bytes"][2:]}),
    ],
)
def test_if_all_nodes_lie_no_answer_is_returned(answer: Answer) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(VerificationFailed):
            await client.get(ACCOUNT, b"\x03")

    run([answer, answer], body)


def test_a_proof_of_something_else_or_older_is_refused() -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(ProofRefused, match="something else"):
            await client.get(ACCOUNT, b"other")
        with pytest.raises(ProofRefused, match="something else"):
            await client.prove([Subject(ACCOUNT, key=b"\x03"), Subject(ACCOUNT)])
        with pytest.raises(ProofRefused, match="height 1"):
            await client.prove([Subject(ACCOUNT, key=b"\x03")], from_height=2)
        with pytest.raises(ProofRefused, match="height 1"):
            await client.prove([Subject(ACCOUNT, key=b"\x03")], at=7)
        assert await client.get(ACCOUNT, b"\x03") == VALUE

    run([proven(ONE)], body)


def test_a_client_that_starts_again_from_its_trust_file_goes_not_back(tmp_path: Path) -> None:
    path = tmp_path / "trust.json"

    def again(answer: Answer, expected: type[Exception] | None = None, match: str = "") -> None:
        async def main() -> None:
            transport = httpx2.MockTransport(answer)
            async with AsyncClient(
                "http://n0", genesis=GENESIS, timeout_s=2.0, transport=transport, trust_file=path
            ) as client:
                if expected is None:
                    assert await client.get(ACCOUNT, b"\x03") == VALUE
                    return
                with pytest.raises(expected, match=match):
                    await client.get(ACCOUNT, b"\x03")

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))

    again(proven(ONE))
    fields = json.loads(path.read_bytes())
    assert fields["height"] == 1
    path.write_bytes(trust_to_bytes(fields["facts"], bytes.fromhex(fields["state"]), 9))
    again(proven(ONE), ProofRefused, r"state of height 1, .* verified height 9 before \(noted in .*trust\.json\)")
    behind = problem(503, "not-proven-yet", "No root of height 9 is certified yet.", retry_after_ms=50)
    again(lambda _: behind, Busy, r"no node proves height 9 or a later one, .*trust\.json")
    assert json.loads(path.read_bytes())["height"] == 9


def test_a_client_never_reads_below_an_earlier_read_or_write() -> None:
    asked: list[int] = []

    def node(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content)["from_height"])
        return proven(ONE)(request)

    async def body(client: AsyncClient) -> None:
        for _ in range(2):
            assert await client.get(ACCOUNT, b"\x03") == VALUE
        client._wrote(Receipt("", ACCOUNT, 0, 2, 0, 1, 1))
        with pytest.raises(ProofRefused, match="height 1"):
            await client.get(ACCOUNT, b"\x03")

    run([node], body)
    assert asked == [0, 1, 2]


def test_the_current_state_of_a_node_that_is_behind_is_not_taken() -> None:
    async def body(client: AsyncClient) -> None:
        subject = Subject(ACCOUNT, key=b"\x03")
        assert (await client.proven([subject], at="current")).at.height == 1
        client._wrote(Receipt("", ACCOUNT, 0, 2, 0, 1 << 61, 1))
        with pytest.raises(Busy, match="older state") as behind:
            await client.proven([subject], at="current")
        assert behind.value.code == "not-proven-yet"

    run([proven(ONE)], body)


def test_a_write_in_another_shard_sets_no_floor_in_this_one() -> None:
    """Heights of two shards are independent: a floor of one shard would make a read of the other wait forever."""
    asked: list[int] = []

    def node(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content)["from_height"])
        return proven(ONE)(request)

    async def body(client: AsyncClient) -> None:
        client._wrote(Receipt("", ACCOUNT, 0, 900, 0, 1, 1, shard=1))
        assert await client.get(ACCOUNT, b"\x03") == VALUE
        client._wrote(Receipt("", ACCOUNT, 0, 2, 0, 1, 1, shard=client.light.shard))
        with pytest.raises(ProofRefused, match="height 1"):
            await client.get(ACCOUNT, b"\x03")

    run([node], body)
    assert asked == [0, 2]


def test_reasons_are_typed_and_a_wait_ends() -> None:
    asked: list[dict[str, Any]] = []

    def late(request: httpx2.Request) -> httpx2.Response:
        asked.append(json.loads(request.content))
        return problem(503, "not-proven-yet", "Not yet.", retry_after_ms=500)

    async def waits(client: AsyncClient) -> None:
        with pytest.raises(Busy, match="not yet"):
            await client.prove([Subject(ACCOUNT)], from_height=9)

    run([late], waits)
    assert all(question["from_height"] == 9 for question in asked)

    async def none(client: AsyncClient) -> None:
        with pytest.raises(NoStateRoot):
            await client.get(ACCOUNT, b"a")

    run([lambda _: problem(409, "no-state-root", "None.")], none)

    async def pruned(client: AsyncClient) -> None:
        with pytest.raises(ProofPruned) as found:
            await client.prove([Subject(ACCOUNT)], at=1)
        assert found.value.nearest == 5

    run([lambda _: problem(410, "proof-pruned", "Gone.", nearest=5)], pruned)


@pytest.mark.parametrize("earlier_ms", [0, 1])
def test_an_own_write_is_waited_for_until_it_is_proved_false(earlier_ms: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """A node claimed a height. Only a final header below it, of a later time, shows that the node lied."""
    # The vectors' headers have times in the future.
    monkeypatch.setattr(base, "time", SimpleNamespace(time_ns=lambda: 1 << 62))

    def reached(request: httpx2.Request) -> httpx2.Response:
        if json.loads(request.content).get("from_height", 0) > 1:
            return problem(503, "not-proven-yet", "Not yet.", retry_after_ms=500)
        return proven(ONE)(request)

    async def body(client: AsyncClient) -> None:
        time_ms = (await client.prove([Subject(ACCOUNT, key=b"\x03")])).claim.time_ms - earlier_ms
        client._wrote(Receipt("", ACCOUNT, 0, 99, 0, time_ms, 1))
        with pytest.raises(Busy, match="not yet"):
            await client.prove([Subject(ACCOUNT, key=b"\x03")], from_height=100)
        for _ in range(2):
            with pytest.raises(Busy, match="not yet"):
                await client.get(ACCOUNT, b"\x03")
            if earlier_ms:
                assert await client.get(ACCOUNT, b"\x03") == VALUE
                return

    run([reached], body)


def test_questions_have_bounds() -> None:
    async def body(client: AsyncClient) -> None:
        for subjects in (
            [],
            [Subject(ACCOUNT)] * 2,
            [Subject(ACCOUNT, key=b"%d" % n) for n in range(PROOF_KEYS_MAX + 1)],
        ):
            with pytest.raises(UsageError):
                await client.prove(subjects)
        assert await client.get_many(ACCOUNT, []) == {}

    run([proven(ONE)], body)


@pytest.mark.parametrize("timeout_s", [0.5, 2.0, 20.0])
def test_a_deadline_shorter_than_the_nodes_wait_names_the_height_that_was_verified_before(timeout_s: float) -> None:
    async def handle(request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/v1/proofs":
            return ok({"status": "ok", "reasons": []})
        await trio.sleep(json.loads(request.content)["timeout_ms"] / 1000)
        return problem(503, "not-proven-yet", "Not yet.", retry_after_ms=500)

    async def main() -> None:
        urls, transport = ["http://n0", "http://n1"], httpx2.MockTransport(handle)
        async with AsyncClient(urls, genesis=GENESIS, timeout_s=timeout_s, transport=transport) as client:
            client.light.verified(99)
            with pytest.raises(Busy, match="no node proves height 99 or a later one, which this client has verified"):
                await client.get(ACCOUNT, b"\x03")

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
