"""Witnesses: a node that has the same block confirms it, and one that has another final one shows a fork."""

import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import ok, problem

from rustorium import _native
from rustorium.client import AsyncClient
from rustorium.client.light import LightClient
from rustorium.errors import BadResponse, ChainForked, ProofRefused, ProofTooOld, WitnessesSilent

FILE: dict[str, Any] = json.loads((Path(__file__).parent.parent / "vectors" / "light.json").read_text())
GENESIS = bytes.fromhex(FILE["genesis"])
CASES: dict[str, list[dict[str, Any]]] = {case["name"]: case["steps"] for case in FILE["cases"]}
START_MS = FILE["changes_at_ms"][0] - (FILE["changes_at_ms"][1] - FILE["changes_at_ms"][0])
PROOF_BYTES = {3: 4 + 85 + 4 + 3 * 66, 1: 4 + 85 + 4 + 66}
"""Bytes of a finalization without descendants (no headers, the vote, the signatures), by its number of signatures."""
LAST = "the last moment of a period, from where an epoch ends at the latest"

Page = dict[str, Any]


def block(step: dict[str, Any], signatures: int = 3, height: int = 5) -> Page:
    """A node's answer about the block of a vector."""
    raw = bytes.fromhex(step["check"])[1:]
    header, proof = raw[: -PROOF_BYTES[signatures]], raw[-PROOF_BYTES[signatures] :]
    without_inline = header + bytes(4)
    digest = _native.block_digest(without_inline)
    shown = {
        "height": height,
        "view": height,
        "parent": "",
        "proposer": 0,
        "time_ms": 0,
        "transactions": 0,
        "result": {"height": 0},
    }
    return {
        "header": shown,
        "digest": digest,
        "at": {"root": "", "shard": 0},
        "block_hex": without_inline.hex(),
        "proof_hex": proof.hex(),
    }


ONE = block(CASES[LAST][0])
ANOTHER = block(CASES["headers that are no later than what is trusted"][1])
"""Another block of the same height and committee."""
assert ONE["digest"] != ANOTHER["digest"]
UNSIGNED = ANOTHER | {"proof_hex": ANOTHER["proof_hex"][:-2] + "ff"}


@pytest.fixture(autouse=True)
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [CASES[LAST][0]["now_ms"]]
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: now[0])
    return now


def run(
    nodes: dict[str, list[Page | None]],
    body: Callable[[AsyncClient], Awaitable[None]],
    epochs: dict[str, list[str]] | None = None,
    **named: Any,
) -> list[str]:
    """Runs a client of node `n0`, with all others as witnesses. Each witness gives these answers in turn and then
    repeats the last; `None` means that it has no such block. Returns the hosts that were asked for blocks."""
    asked: list[str] = []

    async def handle(request: httpx2.Request) -> httpx2.Response:
        host = str(request.url.host)
        if request.url.path == "/v1/epochs":
            first = int(request.url.params["from"])
            changes = (epochs or {}).get(host, [])[first:]
            return ok({"changes": [{"change_hex": change} for change in changes]})
        asked.append(host)
        answers = nodes[host]
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        return problem(404, "block-not-found", "None.") if answer is None else ok(answer)

    async def main() -> None:
        named.setdefault("witnesses", [f"http://{host}" for host in nodes if host != "n0"])
        transport = httpx2.MockTransport(handle)
        async with AsyncClient("http://n0", genesis=GENESIS, timeout_s=5.0, transport=transport, **named) as client:
            await body(client)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    return asked


async def read(client: AsyncClient) -> None:
    await client.prove_block(5)


def test_a_witness_that_has_the_block_is_enough_and_asked_once_for_it() -> None:
    async def twice(client: AsyncClient) -> None:
        await read(client)
        await read(client)

    assert run({"n0": [ONE], "w0": [ONE], "w1": [None]}, twice).count("w0") == 1
    assert run({"n0": [ONE]}, twice) == ["n0", "n0"]


@pytest.mark.parametrize("which", [3, 1_000, "ab" * 32])
def test_another_block_than_was_asked_for_is_no_answer_though_it_is_final(which: int | str) -> None:
    async def refused(client: AsyncClient) -> None:
        calls = [client.prove_block, client.block, *([client.wait_for_quorum] if isinstance(which, int) else [])]
        for call in calls:
            with pytest.raises(BadResponse, match=f"sent block 5 where block {which} was asked for"):
                await call(which)

    run({"n0": [ONE]}, refused)

    async def not_proven(client: AsyncClient) -> None:
        with pytest.raises(ProofRefused, match="is another one than the node said"):
            await client.prove_block(which)

    false = {"digest": which} if isinstance(which, str) else {"header": ONE["header"] | {"height": which}}
    run({"n0": [ONE | false]}, not_proven)


def test_a_witness_may_be_behind_for_a_while() -> None:
    assert run({"n0": [ONE], "w0": [None, None, ONE]}, read).count("w0") == 3


def test_a_witness_with_another_final_block_shows_a_fork() -> None:
    async def forked(client: AsyncClient) -> None:
        with pytest.raises(ChainForked, match="heights 5 and 5") as found:
            await read(client)
        fields = json.loads(found.value.evidence)
        assert fields["sources"] == ["http://n0", "http://w1"]
        shown = LightClient(GENESIS).show_fork(found.value.evidence)
        assert [signer["index"] for signer in shown["signed_both"]] == [1, 2, 3]
        with pytest.raises(ChainForked):
            await read(client)

    run({"n0": [ONE], "w0": [ONE], "w1": [ANOTHER]}, forked)


def test_a_witness_with_another_committee_shows_where_the_chain_forked(clock: list[int]) -> None:
    [other] = [step for step in CASES["E: the same without a period"] if step.get("gives") == "two-ends"]
    clock[0] = other["now_ms"]
    in_epoch_1 = next(steps for name, steps in CASES.items() if name.startswith("G: a checkpoint"))
    here = block(in_epoch_1[0], 1, 101)

    async def forked(client: AsyncClient) -> None:
        with pytest.raises(ChainForked, match="epoch 0") as found:
            await client.prove_block(101)
        assert LightClient(GENESIS).show_fork(found.value.evidence)["epoch"] == 0

    run({"n0": [here], "w0": [UNSIGNED]}, forked, {"n0": FILE["changes"][:1], "w0": [other["follow"]]})


@pytest.mark.parametrize("answer", [None, UNSIGNED, ANOTHER | {"proof_hex": ""}, {}])
def test_a_witness_without_an_answer_neither_confirms_nor_accuses(answer: Page | None) -> None:
    async def silent(client: AsyncClient) -> None:
        with pytest.raises(WitnessesSilent, match="no witness has block 5"):
            await read(client)

    run({"n0": [ONE], "w0": [answer]}, silent)
    run({"n0": [ONE], "w0": [answer], "w1": [ONE]}, read)


def test_a_witness_gets_no_token() -> None:
    given: list[tuple[str, str | None]] = []

    async def handle(request: httpx2.Request) -> httpx2.Response:
        given.append((str(request.url.host), request.headers.get("authorization")))
        return ok(ONE)

    async def main() -> None:
        transport = httpx2.MockTransport(handle)
        async with AsyncClient(
            "http://127.0.0.1", genesis=GENESIS, transport=transport, token="rsk_x", witnesses=["http://w0"]
        ) as client:
            await read(client)

    trio.run(main)
    assert given == [("127.0.0.1", "Bearer rsk_x"), ("w0", None)]


def test_a_read_may_be_as_old_as_the_client_or_the_call_allows(clock: list[int]) -> None:
    """Reads of the state have a header with a time, so they may be as old as the caller allows and no older."""
    vectors = json.loads((Path(__file__).parent.parent / "vectors" / "proofs.json").read_text())["cases"]
    [case] = [case for case in vectors if case["name"] == "one value beside another client's"]
    genesis = bytes.fromhex(case["genesis"])
    facts = json.loads(_native.Light.from_genesis(genesis).check(bytes.fromhex(case["bytes"]), 0))
    account = facts["items"][0]["account"]
    clock[0] = facts["claimed_by"]["time_ms"] + 30_000

    async def handle(request: httpx2.Request) -> httpx2.Response:
        return ok({"proof_hex": case["bytes"][2:]})

    async def main() -> None:
        transport = httpx2.MockTransport(handle)
        async with AsyncClient("http://n0", genesis=genesis, transport=transport, max_age_s=29) as client:
            with pytest.raises(ProofTooOld, match="30 s old"):
                await client.get(account, b"\x03")
            assert await client.get(account, b"\x03", max_age_s=30) == b"\x03" * 9
            assert await client.get_many(account, [b"\x03"], max_age_s=30) == {b"\x03": b"\x03" * 9}
        async with AsyncClient("http://n0", genesis=genesis, transport=transport) as client:
            assert await client.get(account, b"\x03") == b"\x03" * 9
            with pytest.raises(ProofTooOld):
                await client.get(account, b"\x03", max_age_s=29)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
