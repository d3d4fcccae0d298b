"""Arguments that a newcomer tries first work, or are refused in one sentence that names the right ones."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet

from rustorium.access.netfile import read_net
from rustorium.client import AsyncClient, Client, Key, operations
from rustorium.errors import UsageError
from rustorium.types import Subject

ASSET = "07" * 32
OTHER = Key(b"\x05" * 32).address


def test_text_is_encoded_as_utf_8(net: FakeNet, key: Key) -> None:
    with Client(net.urls, key=key, transport=net.transport) as client:
        client.put("größe", "väl")
        assert client.get(key.address, "größe", verify=False) == "väl".encode()
        assert client.get(key.address, "größe".encode(), verify=False) == "väl".encode()
        assert client.read(key.address, "größe").key == "größe".encode()
        told: list[tuple[int, int]] = []
        found = client.get_many(
            key.address, ["größe", "none"], verify=False, on_progress=lambda *done: told.append(done)
        )
        assert found == {"größe": "väl".encode(), "none": None}
        assert told == [(1, 2), (2, 2)]
        assert client.held(Subject(key.address, key="größe")) == client.read(key.address, "größe")


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda client, key: client.put(b"k", {"a": 1}), "a value is bytes or text, not dict"),
        (lambda client, key: client.put(b"k", 5), "a value is bytes or text, not int"),
        (lambda client, key: client.put(None, b"v"), "a key is bytes or text, not NoneType"),
        (lambda client, key: client.get(key.address, 7, verify=False), "a key is bytes or text, not int"),
        (lambda client, key: client.get("nobody", b"k", verify=False), "'nobody' is not an address"),
        (lambda client, key: client.account(key.address[:-1] + "q", verify=False), "is not an address"),
        (lambda client, key: client.transfer(key.address, ASSET, -5), "an amount is a whole number above 0"),
        (lambda client, key: client.transfer(key.address, ASSET, 1.5), "an amount is a whole number above 0"),
        (lambda client, key: client.transfer("rs1wrong", ASSET, 5), "can't be made"),
        (lambda client, key: client.transfer(OTHER, "nosuch", 5), "is not an asset id"),
        (lambda client, key: client.send(operations.put(key.address, "k", "v")), "write [operation]"),
        (lambda client, key: client.send([]), "without operations would change nothing"),
        (lambda client, key: client.send_many([[operations.put(key.address, "k", "v")], []]), "without operations"),
        (
            lambda client, key: client.send([operations.put(key.address, "k", "v")] * 257),
            "at most 256 operations, not 257",
        ),
    ],
)
def test_arguments_of_wrong_types_are_usage_errors(
    net: FakeNet, key: Key, call: Callable[[Any, Key], Awaitable[Any]], says: str
) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            with pytest.raises(UsageError) as caught:
                await call(client, key)
            assert says in caught.value.message
            assert "column" not in caught.value.message
            assert not [request for node in net.nodes for request in node.posts()]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_operations_take_text_too() -> None:
    assert operations.put("rs1", "k", "v") == operations.put("rs1", b"k", b"v")
    assert operations.delete("rs1", "k") == operations.delete("rs1", b"k")
    assert operations.grant("rs1", ["k"]) == operations.grant("rs1", [b"k"])
    assert operations.revoke("rs1") == operations.grant("rs1", [])
    assert operations.require_absent("rs1", "k") == operations.require_absent("rs1", b"k")
    assert operations.require_value("rs1", "k", "v") == operations.require_value("rs1", b"k", b"v")


@pytest.mark.parametrize("prefix", ["invoice/17", b"invoice/17"])
def test_a_single_prefix_is_not_treated_as_a_list_of_letters(prefix: str | bytes) -> None:
    with pytest.raises(UsageError, match=r"prefixes is a list, not one prefix: write \[b?'invoice/17'\]"):
        operations.grant("rs1", prefix)  # type: ignore[arg-type]


def test_a_closed_client_says_so(net: FakeNet, key: Key) -> None:
    async def main() -> None:
        client = AsyncClient(net.urls, key=key, transport=net.transport)
        await client.aclose()
        with pytest.raises(UsageError, match="the client is closed"):
            await client.get(key.address, b"k", verify=False)

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_nets_file_is_named_by_text_or_path(tmp_path: Path) -> None:
    for path in (tmp_path / "none.json", str(tmp_path / "none.json")):
        with pytest.raises(UsageError, match=r"none\.json can't be read"):
            read_net(path)
