"""A fresh read has what two nodes had executed when it was asked for, whichever node answers.

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
from fake_net import FakeNet, ok, problem

from rustorium import _native
from rustorium.client import AsyncClient
from rustorium.errors import Busy, ProofRefused, Unreachable

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(VECTORS.read_text())["cases"]}
ONE = CASES["one value beside another client's"]
GENESIS, PROOF = bytes.fromhex(ONE["genesis"]), bytes.fromhex(ONE["bytes"])
CHAIN = _native.genesis_hash(GENESIS)
FACTS = json.loads(_native.Light.from_genesis(GENESIS).check(PROOF, 0))
ACCOUNT, HEIGHT = str(FACTS["items"][0]["account"]), int(FACTS["height"])
KEY, VALUE = b"\x03", b"\x03" * 9

Node = Callable[[httpx2.Request], httpx2.Response]


def node(height: int, *, proves: bool = True, chain: str = CHAIN) -> Node:
    """A node that says it has executed this height. What it proves is always of `HEIGHT`."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/status":
            place = {"shard": 0, "height": height, "root": "ab" * 32}
            return ok(FakeNet().status() | {"chain": chain, "height": height, "at": place})
        if not proves:
            return problem(503, "not-proven-yet", "Later.", retry_after_ms=50)
        return ok({"proof_hex": PROOF[1:].hex()})

    return answer


def dead(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("all failed", request=request) from OSError(111, "Connection refused")


async def confirmed(*_: object) -> None:
    """A witness has the block."""


def run(
    *nodes: Node, witnesses: tuple[Node, ...] = (), listed: tuple[Node, ...] = (),
    body: Callable[[AsyncClient], Awaitable[Any]] = lambda client: client.read(ACCOUNT, KEY, at="fresh"),
) -> Any:  # fmt: skip
    """Reads at a client of these nodes, witnesses and nodes of the directory."""
    hosts = {f"{kind}{place}": one for kind, all_ in (("n", nodes), ("w", witnesses), ("d", listed))
             for place, one in enumerate(all_)}  # fmt: skip

    async def main() -> Any:
        transport = httpx2.MockTransport(lambda request: hosts[str(request.url.host)](request))
        urls = [f"http://n{place}" for place in range(len(nodes))]
        more = [f"http://w{place}" for place in range(len(witnesses))]
        async with AsyncClient(urls, genesis=GENESIS, timeout_s=5.0, transport=transport, witnesses=more) as client:
            client._transport.endpoints.listed([f"https://d{place}" for place in range(len(listed))])
            for place, endpoint in enumerate(reversed(client._transport.endpoints.all)):
                endpoint.rtt_s = float(place)
            client._transport.known.probed = True
            # Here the witnesses only say how far the chain is.
            client._witnesses.confirm = confirmed  # type: ignore[method-assign]
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_an_answer_that_two_nodes_confirm_is_fresh() -> None:
    assert run(node(HEIGHT), node(HEIGHT)).value == VALUE
    assert run(node(HEIGHT), node(HEIGHT - 3, proves=False)).value == VALUE
    assert run(node(HEIGHT)).value == VALUE, "the only node that there is"


def test_an_older_state_is_no_answer_though_it_is_proven() -> None:
    newer = node(HEIGHT + 5, proves=False)
    for nodes in ((node(HEIGHT), newer), (newer, node(HEIGHT))):
        with pytest.raises((Busy, ProofRefused)):
            run(*nodes)
        assert run(*nodes, body=lambda client: client.read(ACCOUNT, KEY, at="proven")).value == VALUE
    with pytest.raises((Busy, ProofRefused)):
        run(node(HEIGHT), witnesses=(node(HEIGHT + 1),))


def test_a_listed_node_that_is_behind_decides_nothing() -> None:
    """It is the nearest, proves an old state, and says that there is none newer."""
    stale = node(HEIGHT)
    assert run(node(HEIGHT + 5, proves=False), listed=(stale,),
               body=lambda client: client.read(ACCOUNT, KEY, at="proven")).value == VALUE  # fmt: skip
    with pytest.raises((Busy, ProofRefused)):
        run(node(HEIGHT + 5, proves=False), listed=(stale,))


def test_who_does_not_answer_or_is_of_another_chain_confirms_nothing() -> None:
    for other in (dead, node(HEIGHT, chain="ff" * 32)):
        with pytest.raises(Unreachable, match="only 1 of 2 nodes said how far the chain is"):
            run(node(HEIGHT), other)
    assert run(node(HEIGHT), dead, node(HEIGHT)).value == VALUE
    assert run(node(HEIGHT), dead, witnesses=(node(HEIGHT),)).value == VALUE
