"""Keys are listed by prefix, in pages that are of one height, through the client and the command line."""

import json

import pytest

from process_tools import cli, wait_for
from rustorium.client import Client, Key
from rustorium.client.operations import delete, grant, put, revoke
from rustorium.client.wording import sentences
from rustorium.errors import ClientError
from rustorium.net.devnet import Devnet
from rustorium.net.governing import in_ms
from rustorium.types import Grant, Subject

pytestmark = pytest.mark.nodes


@pytest.fixture
def key(devnet: Devnet) -> Key:
    """A funded account of this test alone: the devnet's own accounts hold what other tests wrote."""
    new = Key.generate()
    with Client.from_net(devnet.path, key=Key.open(devnet.net.accounts[2].key_file)) as client:
        client.create_account(new, 1_000_000)
    return new


def listed(client: Client, account: str, prefix: bytes, at: int | None = None) -> dict[bytes, bytes | None]:
    """Returns all keys with their values, in pages of three."""
    found: dict[bytes, bytes | None] = {}
    page = client.list_keys(account, prefix, at=at, limit=3, values=True)
    height = page.at.height
    while True:
        assert len(page.keys) <= 3
        assert page.at.height == height
        for key in page.keys:
            assert key.key not in found
            assert key.value is not None
            assert key.value_bytes == len(key.value)
            found[key.key] = key.value
        if page.next_cursor is None:
            return found
        page = client.list_keys(account, prefix, cursor=page.next_cursor, limit=3, values=True)


def test_keys_are_listed_as_of_a_height(devnet: Devnet, key: Key) -> None:
    fruit = {f"fruit/{n}".encode(): f"sort {n}".encode() for n in range(10)}
    with Client.from_net(devnet.path, key=key) as client:
        done = client.send([put(key.address, name, value) for name, value in [*fruit.items(), (b"other", b"x")]])
        assert done.receipt is not None
        assert listed(client, key.address, b"fruit/") == fruit
        assert listed(client, key.address, b"") == fruit | {b"other": b"x"}
        first = client.list_keys(key.address, "fruit/", limit=4)
        assert first.next_cursor is not None
        assert all(found.value is None for found in first.keys)
        client.send([delete(key.address, b"fruit/3"), put(key.address, b"fruit/9", b"new")])
        rest = client.list_keys(key.address, "fruit/", cursor=first.next_cursor, limit=100)
        assert {found.key for found in (*first.keys, *rest.keys)} == fruit.keys(), "what is written later isn't in it"
        now = {name: value for name, value in fruit.items() if name != b"fruit/3"} | {b"fruit/9": b"new"}
        assert listed(client, key.address, b"fruit/") == now
        assert listed(client, key.address, b"fruit/", done.receipt.height) == fruit
        with pytest.raises(ClientError, match="executed"):
            client.list_keys(key.address, at=10**9)


def test_the_command_lists_them(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        client.send([put(key.address, f"shown/{n}".encode(), b"abc") for n in range(3)])
    query = ("query", "--net", devnet.path, "--account", key.address)
    rows = json.loads(cli(*query, "--prefix", "shown/", "-o", "json").stdout)
    assert sorted(row["key"] for row in rows) == ["shown/0", "shown/1", "shown/2"]
    assert {row["value_bytes"] for row in rows} == {3}
    assert "one at a time" in cli(*query, "k", "--prefix", "s", code=2).stderr


def test_grants_are_listed_and_proven(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        others = [Key.generate() for _ in range(3)]
        for other in others:
            client.create_account(other, 10_000)
        writer, ended, gone = (other.address for other in others)
        client.send([grant(writer, ["a/", b"\xff"], rights=["put"])])
        client.send([grant(ended, [""], until_ms=in_ms(client.governance(), 2.0))])
        client.send([grant(gone, ["b/"])])
        client.send([revoke(gone)])
        # Each write is a block of a later time.
        wait_for("the grant ends", lambda: client.put("k", "v") is not None and not held(client, key)[ended].valid)
        found = held(client, key)
        assert found.keys() == {writer, ended}
        assert all(one.at.proven for one in found.values())
        assert (found[writer].rights, set(found[writer].prefixes)) == (("put",), {b"a/", b"\xff"})
        assert (found[writer].valid, found[writer].until_ms, found[ended].valid) == (True, None, False)
        proven = client.prove([Subject(key.address, grant=gone), Subject(key.address, grant=writer)])
        assert [proven.items[Subject(key.address, grant=one)] is None for one in (gone, writer)] == [True, False]
        shown = list(sentences(client.verify_proof(proven.proof).facts))
        assert any(f"lets {gone} write nothing" in one for one in shown)
        rows = json.loads(cli("account", "grants", key.address, "--net", devnet.path, "-o", "json").stdout)
        assert {(row["to"], row["valid"], row["proven"]) for row in rows} == {
            (writer, True, True),
            (ended, False, True),
        }


def held(client: Client, owner: Key) -> dict[str, Grant]:
    return {one.to: one for one in client.grants(owner.address).grants}
