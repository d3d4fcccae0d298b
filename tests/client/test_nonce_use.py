"""What one node says of a nonce is proven before a transaction is signed again: who signs it twice may pay twice.

Time is trio's mock clock; the proof is a vector's.
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from test_lying_nodes import AT, CERTIFIED, FORGED, GENESIS, ID, RAW, SIGNED, TRUE

from rustorium.client import AsyncClient, Key
from rustorium.client.operations import put
from rustorium.errors import OutcomeUnknown, Refused
from rustorium.types import SignedTransaction, Submitted

KEY = Key(bytes(32))
MINE = SignedTransaction("11" * 32, b"mine", SIGNED.sender, SIGNED.nonce, 2**62)
"""Another transaction with the nonce that the proven one used."""
PROVEN = CERTIFIED | {"transaction_hex": RAW.hex()}
PUT = [put(KEY.address, b"a", b"1")]


@dataclass
class World:
    """Nodes that refuse transactions, and what they say of the account's transactions."""

    refusals: list[str]
    """Codes of the first answers; after them, each transaction is final."""
    signs: list[SignedTransaction]
    """What the client signs, one after the other; then transactions of its own with the next nonces."""
    pages: list[list[str]] = field(default_factory=lambda: [[ID]])
    """The account's transactions as the node lists them, page by page."""
    said: list[dict[str, Any]] = field(default_factory=lambda: [PROVEN])
    """What the node says of a transaction, the last one again and again."""
    posts: int = 0
    signed: list[list[int] | None] = field(default_factory=list)
    """Nonces that each signing was told to take."""

    def answer(self, request: httpx2.Request) -> httpx2.Response:
        path = request.url.path
        if path == "/livez":
            return httpx2.Response(200, json={})
        if path.endswith("/transactions") and request.method == "GET":
            page = int(request.url.params.get("before", 0))
            listed = [{"id": identity, "height": 1, "index": 0} for identity in self.pages[page]]
            after = {"next": str(page + 1)} if page + 1 < len(self.pages) else {}
            return httpx2.Response(200, json={"transactions": listed, "at": AT} | after)
        if request.method == "GET":
            asked = path.rsplit("/", 1)[1]
            said = self.said.pop(0) if len(self.said) > 1 else self.said[0]
            if "proof_hex" in said and asked != ID:
                return httpx2.Response(404, json={"code": "transaction-not-found", "detail": "It isn't known."})
            return httpx2.Response(200, json={"at": AT, "id": asked} | said)
        self.posts += 1
        if self.refusals:
            code = self.refusals.pop(0)
            refused = {"id": self.last.id, "status": "refused", "code": code, "message": "No."}
            return httpx2.Response(422, json={"code": code, "detail": "No.", "results": [refused]})
        receipt = TRUE | {"id": self.last.id, "nonce": self.last.nonce}
        return httpx2.Response(
            200, json={"results": [{"id": self.last.id, "status": "final", "receipt": receipt}]} | {"at": AT}
        )

    async def sign(self, wanted: Any, *_: Any, nonces: list[int] | None = None, **__: Any) -> list[SignedTransaction]:
        assert len(wanted) == 1
        self.signed.append(nonces)
        number = len(self.signed)
        new = SignedTransaction(f"{number:064x}", b"new", SIGNED.sender, SIGNED.nonce + number, 2**62)
        self.last = self.signs.pop(0) if self.signs else new
        return [self.last]

    def run(self, body: Callable[[AsyncClient], Awaitable[None]], *, genesis: bytes | None = GENESIS) -> None:
        async def main() -> None:
            transport = httpx2.MockTransport(self.answer)
            async with AsyncClient("http://n0", genesis=genesis, timeout_s=5.0, transport=transport, key=KEY) as client:
                client._sender.sign = self.sign  # type: ignore[method-assign]
                await body(client)

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def send(client: AsyncClient) -> Submitted | Exception:
    try:
        return await client.send(PUT)
    except (OutcomeUnknown, Refused) as error:
        return error


async def send_many(client: AsyncClient) -> Submitted | Exception:
    [result] = await client.send_many([PUT])
    return result


ways = pytest.mark.parametrize("way", [send, send_many])
codes = pytest.mark.parametrize("code", ["nonce-used", "nonce-taken"])


@ways
@codes
def test_a_refused_transaction_that_was_executed_is_found(way: Callable[..., Awaitable[Any]], code: str) -> None:
    world = World([code], [SIGNED])

    async def body(client: AsyncClient) -> None:
        done = await way(client)
        assert (done.id, done.reached, done.receipt.nonce, done.endpoint) == (ID, "certified", SIGNED.nonce, "")

    world.run(body)
    assert (world.posts, len(world.signed)) == (1, 1)


@ways
@codes
def test_another_transaction_that_is_proven_to_have_the_nonce_lets_it_be_signed_again(
    way: Callable[..., Awaitable[Any]], code: str
) -> None:
    not_yet = {"status": "final", "receipt": TRUE}
    world = World([code], [MINE], [["33" * 32], [ID]], [{"status": "pending"}, not_yet, {"status": "pending"}, PROVEN])

    async def body(client: AsyncClient) -> None:
        done = await way(client)
        assert (done.reached, done.receipt.nonce) == ("final", SIGNED.nonce + 2)

    world.run(body)
    assert (world.posts, world.signed) == (2, [None, None])


@ways
@codes
@pytest.mark.parametrize(
    ("nonce", "pages", "said"),
    [
        (SIGNED.nonce, [[]], PROVEN),
        (SIGNED.nonce, [[ID]], FORGED | {"transaction_hex": RAW.hex()}),
        (SIGNED.nonce, [[ID]], {"status": "final", "receipt": TRUE}),
        (SIGNED.nonce, [[ID]], {"status": "certified"}),
        (SIGNED.nonce + 1, [[ID]], PROVEN),
    ],
    ids=["lists-nothing", "forged", "no-proof", "nothing", "another-nonce"],
)
def test_without_a_proof_nothing_is_signed_again(
    way: Callable[..., Awaitable[Any]], code: str, nonce: int, pages: list[list[str]], said: dict[str, Any]
) -> None:
    """The node passed the transaction on: what is signed in its place would be paid besides."""
    sent = SignedTransaction(MINE.id, MINE.raw, MINE.sender, nonce, 2**62)
    world = World([code] * 20, [sent], pages, [said])

    async def body(client: AsyncClient) -> None:
        error = await way(client)
        assert isinstance(error, OutcomeUnknown)
        assert (error.transaction, error.endpoint) == (sent.id, "http://n0")
        assert f"http://n0 says that transaction {sent.id} was refused ({code})" in error.message

    world.run(body)
    assert (world.posts, len(world.signed)) == (1, 1)


@ways
def test_a_refusal_for_its_price_is_signed_again_with_the_same_nonce(way: Callable[..., Awaitable[Any]]) -> None:
    """Only one of both can be executed, whatever the node did with the first one."""
    world = World(["work-limit-too-low"], [SIGNED])

    async def body(client: AsyncClient) -> None:
        assert (await way(client)).reached == "final"

    world.run(body)
    assert world.signed == [None, [SIGNED.nonce]]


@ways
@codes
def test_what_was_signed_again_with_its_nonce_is_not_paid_twice(way: Callable[..., Awaitable[Any]], code: str) -> None:
    """The node passes the first one on, calls it too cheap, and says then that the nonce is used: by that one."""
    world = World(["work-limit-too-low", "work-limit-too-low", code], [SIGNED, MINE, MINE])

    async def body(client: AsyncClient) -> None:
        done = await way(client)
        assert (done.id, done.reached, done.endpoint) == (ID, "certified", "")

    world.run(body)
    assert (world.posts, world.signed) == (3, [None, [SIGNED.nonce], [SIGNED.nonce]])


@ways
@codes
def test_an_unknown_outcome_names_what_was_signed_with_the_same_nonce(
    way: Callable[..., Awaitable[Any]], code: str
) -> None:
    world = World(["work-limit-too-low", code], [SIGNED, MINE], [[]])

    async def body(client: AsyncClient) -> None:
        error = await way(client)
        assert isinstance(error, OutcomeUnknown)
        assert (error.transaction, error.replaced) == (MINE.id, (SIGNED.id,))
        assert (await client.resolve(error)).id == SIGNED.id

    world.run(body)


@ways
def test_a_nonce_that_one_node_calls_too_far_is_not_given_up(way: Callable[..., Awaitable[Any]]) -> None:
    world = World(["nonce-too-far"] * 20, [SIGNED])

    async def body(client: AsyncClient) -> None:
        error = await way(client)
        assert isinstance(error, Refused)
        assert (error.code, error.alone) == ("nonce-too-far", True)

    world.run(body)
    assert len(world.signed) == 1


@ways
@codes
def test_without_a_genesis_the_only_node_is_believed(way: Callable[..., Awaitable[Any]], code: str) -> None:
    world = World([code], [MINE])

    async def body(client: AsyncClient) -> None:
        assert (await way(client)).reached == "final"

    world.run(body, genesis=None)
    assert world.signed == [None, None]
