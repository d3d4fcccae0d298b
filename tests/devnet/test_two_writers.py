"""Two writers with one account at two nodes: a transaction that lost its nonce to another is refused at once.

Counted, not timed: a wait that nothing ends but its time is answered with `timed-out`.
"""

from collections import Counter

import anyio
import httpx2
import msgspec
import pytest

from rustorium.client import AsyncClient, Key
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes
PUTS = 50


class Counting(httpx2.AsyncBaseTransport):
    """Counts the nodes' results of submissions, by status or by the code of a refusal."""

    def __init__(self) -> None:
        self._inner = httpx2.AsyncHTTPTransport()
        self.seen: Counter[str] = Counter()

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        response = await self._inner.handle_async_request(request)
        if request.method == "POST" and request.url.path == "/v1/transactions":
            for result in msgspec.json.decode(await response.aread()).get("results", ()):
                self.seen[result.get("code") or result["status"]] += 1
        return response

    async def aclose(self) -> None:
        await self._inner.aclose()


def test_no_writer_waits_for_a_nonce_that_is_used(devnet: Devnet) -> None:
    account, nodes = devnet.net.accounts[2], devnet.net.endpoints[:2]
    counting = [Counting() for _ in nodes]

    async def write(place: int) -> None:
        key, transport = Key.open(account.key_file), counting[place]
        async with AsyncClient(nodes[place], key=key, timeout_s=60.0, transport=transport) as client:
            for number in range(PUTS):
                done = await client.put(f"{place}/{number}", b"v")
                assert done.receipt is not None

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for place in range(len(nodes)):
                tasks.start_soon(write, place)

    anyio.run(main)
    seen = counting[0].seen + counting[1].seen
    print(dict(seen))
    assert seen["final"] == len(nodes) * PUTS
    assert seen["timed-out"] == 0, seen
    assert sum(seen.values()) > len(nodes) * PUTS, "the writers never met"
