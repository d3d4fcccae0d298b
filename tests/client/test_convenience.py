"""JSON values, many keys at once, all keys of a prefix, and an outcome that was unknown for a while."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet
from hypothesis import given
from hypothesis import strategies as st

from rustorium import _native
from rustorium.cli.bulk import decoded, entries
from rustorium.client import AsyncClient, Client, Key
from rustorium.client.convenience import BYTES_MAX, fitting, json_bytes, json_value
from rustorium.errors import OutcomeUnknown, UsageError
from rustorium.types import OPERATIONS_MAX, Submitted

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=4),
    max_leaves=10,
)


def run(net: FakeNet, key: Key, body: Callable[[AsyncClient], Awaitable[Any]], timeout_s: float = 10.0) -> Any:
    async def main() -> Any:
        async with AsyncClient(net.urls, key=key, timeout_s=timeout_s, transport=net.transport) as client:
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


@given(value=JSON)
def test_json_comes_back_as_it_was_written(value: Any) -> None:
    try:
        content = json_bytes(value)
    except UsageError:
        assert any(0xD800 <= ord(one) <= 0xDFFF for one in repr(value)) or "\\ud" in repr(value)
        return
    assert json_value(b"key", content) == value


def test_equal_values_have_equal_bytes() -> None:
    assert json_bytes({"b": [1, "ü"], "a": None}) == b'{"a":null,"b":[1,"\xc3\xbc"]}'
    assert json_bytes({"a": None, "b": [1, "ü"]}) == json_bytes({"b": [1, "ü"], "a": None})


@pytest.mark.parametrize("value", [float("nan"), {1, 2}, b"bytes", object()])
def test_a_value_that_json_cannot_hold_is_refused_in_a_sentence(value: object) -> None:
    with pytest.raises(UsageError, match="can't be written as JSON"):
        json_bytes(value)


def test_an_issue_returns_the_id_of_its_asset(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        done = await client.issue("COIN", 7)
        assert (done.reached, done.asset) == ("final", _native.asset_id(key.address, "COIN"))
        other = Key.generate().address
        assert (await client.issue("COIN", 7, to=other)).asset == done.asset
        assert done.to_dict()["asset"] == done.asset
        with pytest.raises(UsageError, match="above 0"):
            await client.issue("COIN", 0)
        for symbol in ("", "€", "A B", "A\n"):
            with pytest.raises(UsageError, match="can't be an asset's symbol"):
                await client.issue(symbol, 7)

    run(net, key, body)


def test_a_json_value_is_put_and_read(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        await client.put_json(b"order/1", {"items": [3, 1], "paid": True})
        assert await client.get_json(key.address, b"order/1", verify=False) == {"items": [3, 1], "paid": True}
        assert await client.get_json(key.address, b"order/2", verify=False) is None
        await client.put(b"raw", b"\xff")
        with pytest.raises(UsageError, match=r"b'raw' is not JSON .* read it with `get`"):
            await client.get_json(key.address, b"raw", verify=False)

    run(net, key, body)


@given(sizes=st.lists(st.integers(0, 64 * 1024), max_size=40), more=st.integers(0, 600))
def test_keys_are_cut_into_transactions_that_fit_and_keep_their_order(sizes: list[int], more: int) -> None:
    values = {f"{index}".encode(): bytes(size) for index, size in enumerate([*sizes, *[0] * more])}
    groups = list(fitting(values))
    assert [name for group in groups for name in group] == list(values)
    for group in groups:
        assert 0 < len(group) <= OPERATIONS_MAX
        assert sum(len(name) + len(values[name]) for name in group) <= BYTES_MAX or len(group) == 1


def test_text_counts_as_its_bytes_and_keeps_its_spelling(net: FakeNet, key: Key) -> None:
    values = {f"größe/{index}": "ü" * 30_000 for index in range(4)}
    assert [len(group) for group in fitting(values)] == [3, 1], "60,000 bytes each"

    async def body(client: AsyncClient) -> None:
        assert list(await client.put_many(values)) == list(values)
        assert (await client.read(key.address, "größe/3")).value == ("ü" * 30_000).encode()
        await client.put_json("größe", [1])
        assert await client.get_json(key.address, "größe", verify=False) == [1]

    run(net, key, body)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"k": 5}, "the value of 'k' is bytes or text, not int"),
        ({5: b"1"}, "the key 5 is bytes or text, not int"),
        ({"k": "\ud800"}, "the value of 'k' has half a character"),
        ({b"k": bytes(70_000)}, "the value of b'k' has 70,000 bytes, and at most 65,536"),
        ({b"k" * 600: b"1"}, f"the key b'{'k' * 78}… has 600 bytes, and at most 512"),
    ],
)
def test_a_refused_key_or_value_among_many_is_named(net: FakeNet, key: Key, wrong: dict[Any, Any], said: str) -> None:
    async def body(client: AsyncClient) -> None:
        with pytest.raises(UsageError, match=said):
            await client.put_many({"first": "1", **wrong})

    run(net, key, body)
    assert not net.receipts, "nothing was sent"


def test_a_wrong_value_in_a_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "many.json"
    file.write_text('{"a": "61", "b": 5}')
    with pytest.raises(UsageError, match="has no text as value of 'b': write an object"):
        entries(file)
    with pytest.raises(UsageError, match="the value of '62' is not hex"):
        decoded({"61": "61", "62": "6"}, "hex")


def test_many_keys_are_set_in_few_transactions(net: FakeNet, key: Key) -> None:
    values = {f"many/{index}".encode(): b"%d" % index for index in range(600)}

    async def body(client: AsyncClient) -> None:
        told: list[tuple[int, int]] = []
        results = await client.put_many(values, on_progress=lambda done, of: told.append((done, of)))
        assert list(results) == list(values)
        assert all(isinstance(one, Submitted) for one in results.values())
        assert len({one.id for one in results.values() if isinstance(one, Submitted)}) == 3
        assert told[-1] == (3, 3)
        assert (await client.read(key.address, b"many/599")).value == b"599"
        assert await client.put_many({}) == {}

    run(net, key, body)


def test_a_clients_repr_has_its_endpoints_and_no_secret() -> None:
    token = "rsk_0123456789abcdef_" + "A" * 43
    with Client(
        ["https://a.example", "https://b.example"], token=dict.fromkeys(["https://a.example"], token)
    ) as client:
        assert repr(client) == "<Client of chain unknown at https://a.example, https://b.example>"


def test_an_unknown_outcome_is_resolved_once_a_node_answers(net: FakeNet, key: Key) -> None:
    async def body(client: AsyncClient) -> None:
        for node in net.nodes:
            node.loses_answers = node.knows_nothing = True
        with pytest.raises(OutcomeUnknown) as unknown:
            await client.put(b"name", b"value", timeout_s=2.0)
        with pytest.raises(OutcomeUnknown):
            await client.resolve(unknown.value, timeout_s=2.0)
        for node in net.nodes:
            node.loses_answers = node.knows_nothing = False
        done = await client.resolve(unknown.value, timeout_s=2.0)
        assert done.receipt is not None
        assert (done.id, done.reached) == (unknown.value.transaction, "final")

    run(net, key, body)
