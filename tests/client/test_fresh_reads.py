"""A fresh read has what two of the user's nodes prove, whichever proves more.

Time is trio's mock clock.
"""

import json
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import ok, problem

from rustorium import _native
from rustorium.client import AsyncClient
from rustorium.client.endpoints import Endpoint
from rustorium.errors import Busy, ProofRefused, Unreachable

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
CASES: dict[str, dict[str, Any]] = {case["name"]: case for case in json.loads(VECTORS.read_text())["cases"]}
ONE = CASES["one value beside another client's"]
GENESIS, PROOF = bytes.fromhex(ONE["genesis"]), bytes.fromhex(ONE["bytes"])
ACCOUNT = str(json.loads(_native.Light.from_genesis(GENESIS).check(PROOF, 0))["items"][0]["account"])
KEY, VALUE = b"\x03", b"\x03" * 9
NOT_ENOUGH = "not enough nodes prove how far the chain is"

Node = Callable[[httpx2.Request], httpx2.Response]


def proves(_: httpx2.Request) -> httpx2.Response:
    return ok({"proof_hex": PROOF[1:].hex()})


def waits(_: httpx2.Request) -> httpx2.Response:
    return problem(503, "not-proven-yet", "Later.", retry_after_ms=50)


def dead(request: httpx2.Request) -> httpx2.Response:
    raise httpx2.ConnectError("all failed", request=request) from OSError(111, "Connection refused")


def run(nodes: Sequence[Node], listed: Sequence[Node], body: Callable[[AsyncClient], Awaitable[Any]]) -> Any:
    """Runs `body` with a client of these nodes and nodes of the directory, the last one the nearest."""
    hosts = {f"{kind}{place}": one for kind, all_ in (("n", nodes), ("d", listed)) for place, one in enumerate(all_)}

    async def main() -> Any:
        transport = httpx2.MockTransport(lambda request: hosts[str(request.url.host)](request))
        urls = [f"http://n{place}" for place in range(len(nodes))]
        async with AsyncClient(urls, genesis=GENESIS, timeout_s=5.0, transport=transport) as client:
            client._transport.endpoints.listed([f"https://d{place}" for place in range(len(listed))])
            for place, endpoint in enumerate(reversed(client._transport.endpoints.all)):
                endpoint.rtt_s = float(place)
            client._transport.known.probed = True
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def fresh(client: AsyncClient) -> bytes | None:
    return (await client.read(ACCOUNT, KEY, at="fresh")).value


def test_what_two_nodes_prove_is_fresh() -> None:
    assert run([proves, proves], [], fresh) == VALUE
    assert run([proves], [], fresh) == VALUE, "the only node that there is"
    assert run([proves], [proves], fresh) == VALUE
    assert run([proves, dead, proves], [], fresh) == VALUE


@pytest.mark.parametrize("other", [dead, waits, lambda request: problem(404, "not-found", "Nothing.")])
def test_one_node_of_several_shows_nothing_fresh(other: Node) -> None:
    for nodes in ([proves, other], [other, proves]):
        with pytest.raises(Unreachable, match=NOT_ENOUGH):
            run(nodes, [], fresh)
    with pytest.raises(Unreachable, match=NOT_ENOUGH):
        run([other], [proves, proves], fresh)


def heights(nodes: Sequence[int | Exception], listed: Sequence[int] = ()) -> int:
    """The height that is taken of those that nodes prove. Who is nearer answers sooner."""
    told = {f"http://n{place}": one for place, one in enumerate(nodes)}
    told |= {f"https://d{place}": one for place, one in enumerate(listed)}

    async def ask(endpoint: Endpoint) -> int:
        await trio.sleep(endpoint.rtt_s or 0.0)
        found = told[endpoint.url]
        if isinstance(found, Exception):
            raise found
        return found

    async def body(client: AsyncClient) -> int:
        return await client._newest_of_two(ask, lambda height: height, trio.current_time() + 60)

    return int(run([dead] * len(nodes), [dead] * len(listed), body))


def test_the_higher_of_two_counts_and_listed_nodes_never_instead_of_the_users() -> None:
    assert heights([100, 3]) == heights([3, 100]) == 100
    assert heights([100, 99], [3, 3, 3]) == 100
    assert heights([100], [3, 3]) == 100, "the user's node is waited for"
    assert heights([5], [7]) == 7
    assert heights([Unreachable("gone"), 100, 3]) == 100
    assert heights([ProofRefused("a lie"), 100, 3]) == 100


def test_without_the_users_nodes_nothing_is_fresh() -> None:
    for nodes in ([Busy("later")], [Unreachable("gone"), 100]):
        with pytest.raises(Unreachable, match=NOT_ENOUGH):
            heights(nodes, [100, 100])
