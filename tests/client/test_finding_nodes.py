"""A client takes nodes from the directory without waiting long for it, and without believing it.

Time is trio's mock clock; the wall clock is the machine's.
"""

import json
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from random import Random
from types import SimpleNamespace
from typing import Any, cast

import pytest
import trio
import trio.testing
from fake_net import CHAIN, FakeNet

from rustorium import _native
from rustorium.access.keyfiles import public_part
from rustorium.client import AsyncClient, Client, Key, directory
from rustorium.client.directory import ListedNode, read_record, records_in
from rustorium.client.finder import Finder
from rustorium.client.transport import Transport
from rustorium.errors import GenesisNeeded, Unreachable, UsageError
from rustorium.net.listing import announce
from rustorium.types import At, Subject, Value

PASSPHRASE = b"of a node in a test"
SEED = bytes(range(32))
VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
GENESIS = bytes.fromhex(json.loads(VECTORS.read_text())["cases"][0]["genesis"])
YEAR_MS = 365 * 24 * 3_600_000


@pytest.fixture
def node_key(tmp_path: Path) -> _native.SigningKey:
    _native.seal_key(str(tmp_path / "node.key"), SEED, "node", PASSPHRASE)
    assert public_part(tmp_path / "node.key")[0] == "node"
    return _native.SigningKey.open(str(tmp_path / "node.key"), "node", PASSPHRASE)


def record(key: _native.SigningKey, url: str, *, chain: str = CHAIN, made_ms: int | None = None) -> ListedNode:
    made_ms = round(time.time() * 1000) if made_ms is None else made_ms
    raw = _native.node_record(key, chain, 34, None, url, (made_ms, made_ms + 3_600_000))
    found = read_record(raw, chain)
    assert found is not None
    return found


def test_a_record_is_its_nodes_canonical_bytes(node_key: _native.SigningKey) -> None:
    one = record(node_key, "https://node.example", made_ms=1_000)
    url = b"https://node.example"
    body = (
        bytes.fromhex(CHAIN) + node_key.public + bytes([34, 0]) + len(url).to_bytes(4, "little") + url
        + (1_000).to_bytes(8, "little") + (3_601_000).to_bytes(8, "little")
    )  # fmt: skip
    assert one.raw[:-64] == body
    assert one.place == (53.3, -6.3), "the region's"
    value = _native.node_records([one.raw, one.raw])
    assert value == b"\1" + (2).to_bytes(4, "little") + one.raw * 2
    assert records_in(value, CHAIN) == [one, one]


def test_a_forged_record_is_none(node_key: _native.SigningKey) -> None:
    raw = record(node_key, "https://node.example").raw
    for place in range(len(raw)):
        assert read_record(raw[:place] + bytes([raw[place] ^ 1]) + raw[place + 1 :], CHAIN) is None
    assert read_record(raw, "ef" * 32) is None, "of another chain"
    assert read_record(raw[:-1], CHAIN) is None
    assert records_in(b"\2" + _native.node_records([raw])[1:], CHAIN) == [], "of a later version"
    assert records_in(b"any other value", CHAIN) == []
    for wrong in ({"url": "https://a b"}, {"url": "x" * 129}, {"times_ms": (2, 1)}, {"times_ms": (0, YEAR_MS)},
                  {"place": (91.0, 0.0)}):  # fmt: skip
        given: dict[str, Any] = {"url": "https://a", "times_ms": (1, 2), "place": None} | wrong
        with pytest.raises(ValueError, match=r"at most 90 days|longer than 128|a latitude"):
            _native.node_record(node_key, CHAIN, 0, given["place"], given["url"], given["times_ms"])
    with pytest.raises(ValueError, match="8"):
        _native.node_records([raw] * 9)


Read = Callable[[], Awaitable[list[ListedNode]]]


def run(net: FakeNet, tmp_path: Path, read: Read, body: Callable[[Transport], Awaitable[None]]) -> None:
    async def main() -> None:
        transport = Transport(["https://n0"], net.transport, token="rsk_0123456789abcdef_" + "A" * 43)
        transport.find = Finder(transport, CHAIN, None, read, random=Random(1), file=tmp_path / "cache" / "nodes.json")
        await transport.__aenter__()
        try:
            await body(transport)
        finally:
            await transport.aclose()

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


async def status(transport: Transport, timeout_s: float = 10.0) -> str:
    """Asks any node, and returns who answered."""
    return (await transport.get_from(lambda body: body, "/v1/status", trio.current_time() + timeout_s))[1]


def urls(transport: Transport) -> list[str]:
    return [endpoint.url for endpoint in transport.endpoints.all]


def test_a_listed_node_is_asked_when_the_users_is_down_and_sees_no_token(
    net: FakeNet, tmp_path: Path, node_key: _native.SigningKey
) -> None:
    calls = 0

    async def read() -> list[ListedNode]:
        nonlocal calls
        calls += 1
        return [record(node_key, "https://n1")]

    async def body(transport: Transport) -> None:
        await status(transport)
        assert urls(transport) == ["https://n0", "https://n1"]
        net.nodes[0].down = True
        assert await status(transport) == "https://n1"
        await trio.sleep(directory.FRESH_S / 3)
        await status(transport)
        assert calls == 1
        await trio.sleep(directory.FRESH_S * 1.5)
        await status(transport)
        assert calls == 2

    run(net, tmp_path, read, body)
    assert all("authorization" in request.headers for request in net.nodes[0].requests)
    assert net.nodes[1].requests
    assert not any("authorization" in request.headers for request in net.nodes[1].requests)


def test_a_directory_that_cannot_be_read_costs_a_request_little(net: FakeNet, tmp_path: Path) -> None:
    tries = 0

    async def hangs() -> list[ListedNode]:
        nonlocal tries
        tries += 1
        await trio.sleep_forever()
        return []

    async def body(transport: Transport) -> None:
        start = trio.current_time()
        assert await status(transport) == "https://n0"
        assert trio.current_time() - start <= directory.READ_S + 0.1
        before = trio.current_time()
        await status(transport)
        assert trio.current_time() - before < 0.1
        await trio.sleep(directory.RETRY_S * 1.5)
        await status(transport, 1.0)
        assert tries == 2

    run(net, tmp_path, hangs, body)

    async def fails() -> list[ListedNode]:
        raise Unreachable("nobody answers")

    async def asks(transport: Transport) -> None:
        assert await status(transport) == "https://n0"

    run(net, tmp_path, fails, asks)


def test_the_next_run_begins_with_what_was_kept(net: FakeNet, tmp_path: Path, node_key: _native.SigningKey) -> None:
    async def read() -> list[ListedNode]:
        return [record(node_key, "https://n1")]

    async def never() -> list[ListedNode]:
        raise AssertionError("it is fresh")

    async def known(transport: Transport) -> None:
        await status(transport)
        assert urls(transport) == ["https://n0", "https://n1"]

    run(net, tmp_path, read, known)
    run(net, tmp_path, never, known)
    file = tmp_path / "cache" / "nodes.json"
    kept = json.loads(file.read_text())
    net.nodes[0].down = True  # all bootstrap nodes are dead, and the kept directory is old
    file.write_text(json.dumps(kept | {"read_s": kept["read_s"] - 10 * directory.FRESH_S}))

    async def fails() -> list[ListedNode]:
        raise Unreachable("nobody answers")

    async def elsewhere(transport: Transport) -> None:
        assert await status(transport) == "https://n1"

    run(net, tmp_path, fails, elsewhere)
    for damaged in ("", "[]", '{"read_s": "x"}', json.dumps(kept | {"records": ["00", "zz", 7]})):
        file.write_text(damaged)

        async def alone(transport: Transport) -> None:
            net.nodes[0].down = False
            assert await status(transport) == "https://n0"
            assert urls(transport) == ["https://n0"]

        run(net, tmp_path, fails, alone)


def test_only_a_client_that_can_check_the_directory_has_a_place(monkeypatch: pytest.MonkeyPatch) -> None:
    async def main() -> None:
        with pytest.raises(GenesisNeeded):
            AsyncClient("http://n0", at="asia-northeast")
        with pytest.raises(UsageError, match="is no place"):
            AsyncClient("http://n0", at="Tokyo", genesis=GENESIS)
        monkeypatch.setenv("RUSTORIUM_AT", "asia-northeast")
        async with AsyncClient("http://n0") as client:
            assert client._transport.find is None, "the variable is for those that can"

    trio.run(main)


def test_a_node_that_keeps_a_submission_to_itself_is_left(net: FakeNet, key: Key) -> None:
    """It answers `/livez` all the time."""

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=30.0) as client:
            for position, node in enumerate(net.nodes):
                node.delay_s = 0.001 * (position + 1)
            await client.put(b"a", b"1", wait="final")
            for endpoint, seconds in zip(client._transport.endpoints.all, (0.01, 0.1, 0.2), strict=True):
                endpoint.rtt_s = seconds
            first = client._transport.endpoints.order(trio.current_time(), sticky=True)[0]
            keeper = net.nodes[net.urls.index(first.url)]
            keeper.hangs = True
            start = trio.current_time()
            await client.put(b"a", b"2", wait="final")
            assert trio.current_time() - start <= 1.1
            sent = [node.posts()[-1].content for node in net.nodes if node.posts()]
            assert len(sent) == 2
            assert sent[0] == sent[1], "the same bytes"
            start = trio.current_time()
            await client.put(b"a", b"3", wait="final")
            assert trio.current_time() - start < 0.1, "the next one goes to another node at once"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_slow_chain_gets_few_second_copies(net: FakeNet, key: Key) -> None:
    """All nodes need 5 s of late: a second copy helps nobody, so there are few."""

    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport, timeout_s=60.0) as client:
            await client.put(b"a", b"0", wait="final")
            before = sum(len(node.posts()) for node in net.nodes)
            net.block_s = 5.0
            for number in range(60):
                await client.put(b"a", b"%d" % number, wait="final")
            copies = sum(len(node.posts()) for node in net.nodes) - before - 60
            assert copies <= 16, "ten, and a tenth of the requests"

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_refusal_of_listed_nodes_alone_is_not_believed(net: FakeNet, key: Key) -> None:
    """Two nodes that a liar lists refuse what the user's own node takes, which has failed lately."""

    async def main() -> None:
        async with AsyncClient(["http://n2"], key=key, transport=net.transport, timeout_s=10.0) as client:
            client._transport.found(["https://n0", "https://n1"], [])
            for endpoint, seconds in zip(client._transport.endpoints.all, (0.5, 0.1, 0.2), strict=True):
                endpoint.rtt_s = seconds
            client._transport.known.probed = True
            client._transport.endpoints.failed(client._transport.endpoints.own[0], trio.current_time())
            for node in net.nodes[:2]:
                node.claims = {"status": "refused", "code": "account-paused", "message": "It is paused."}
            written = await client.put(b"a", b"1", wait="final")
            assert written.receipt is not None
            assert [len(node.posts()) for node in net.nodes] == [1, 1, 1]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_card_of_a_clock_that_was_ahead_is_replaced(node_key: _native.SigningKey, key: Key) -> None:
    now_ms = round(time.time() * 1000)
    ahead, card = (record(node_key, f"https://{name}", made_ms=now_ms + hours * 3_600_000)
                   for name, hours in (("ahead", 999), ("now", 0)))  # fmt: skip
    put: list[bytes] = []

    class Ledger:
        def chain(self) -> str:
            return CHAIN

        def proven(self, subjects: list[Subject], *, at: str) -> Any:
            assert at == "current", "another command may have put a card just before"
            value = Value(key.address, _native.directory_key(), _native.node_records([ahead.raw]), At(1, "", 0))
            return SimpleNamespace(items={subjects[0]: value})

        def put(self, _key: bytes, value: bytes, **_: object) -> None:
            put.append(value)

    listed, _ = announce(cast(Client, Ledger()), key, [card])
    assert [one.url for one in listed] == ["https://now"]
    assert put == [_native.node_records([card.raw])]
