"""The versions of a key and the assets of an account, through the client and the command line, on a devnet."""

import json

import pytest

from process_tools import cli
from rustorium import _native
from rustorium.client import Client, Key
from rustorium.client.operations import delete, grant, issue, put, transfer
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes


@pytest.fixture
def key(devnet: Devnet) -> Key:
    """A funded account of this test alone."""
    new = Key.generate()
    with Client.from_net(devnet.path, key=Key.open(devnet.net.accounts[2].key_file)) as client:
        client.create_account(new, 1_000_000)
    return new


def test_a_keys_versions_are_proven_by_the_transactions_that_wrote_them(devnet: Devnet, key: Key) -> None:
    guest = Key.open(devnet.net.accounts[3].key_file)
    with Client.from_net(devnet.path, key=key) as client:
        client.send([grant(guest.address, [b"deal/"])])
        done = [
            client.send([put(key.address, b"deal/1", b"draft"), put(key.address, b"deal/1", b"open")]),
            client.send([put(key.address, b"deal/1", b"paid")], key=guest),
            client.send([put(key.address, b"other", b"x")]),
            client.send([delete(key.address, b"deal/1")], wait="certified"),
        ]
        heights = [one.receipt.height for one in done if one.receipt is not None]
        page = client.history(key.address, "deal/1")
        wanted = [(3, None), (1, b"paid"), (0, b"open")]
        assert [(one.height, one.value, one.transaction) for one in page.versions] == [
            (heights[place], value, done[place].id) for place, value in wanted
        ]
        assert all(one.proven and one.time_ms for one in page.versions)
        assert (page.next_before, page.kept_from) == (None, 0)
        first = client.history(key.address, b"deal/1", limit=1)
        assert (first.versions, first.next_before) == (page.versions[:1], heights[3])
        rest = client.history(key.address, b"deal/1", before=first.next_before)
        assert rest.versions == page.versions[1:]
        told = client.history(key.address, "deal/1", verify=False).versions
        assert [(one.value, one.proven) for one in told] == [(value, False) for _, value in wanted]
        assert client.history(key.address, "nothing").versions == ()
    rows = json.loads(cli("account", "history", key.address, "deal/1", "--net", devnet.path, "-o", "json").stdout)
    assert [(row["value"], row["proven"]) for row in rows] == [(None, True), ("paid", True), ("open", True)]
    line = ("account", "history", key.address, "deal/1", "--net", devnet.path, "--limit", 1, "-o", "jsonl")
    ended = cli(*line)
    assert json.loads(ended.stdout)["height"] == heights[3]
    assert f"--before {heights[3]}" in ended.stderr


def test_all_assets_of_an_account_are_listed_and_proven(devnet: Devnet, key: Key) -> None:
    symbols = ["GOLD", "SILVER", "TIN"]
    with Client.from_net(devnet.path, key=key) as client:
        client.send([issue(symbol, key.address, 10 + place) for place, symbol in enumerate(symbols)])
        assets = {symbol: _native.asset_id(key.address, symbol) for symbol in symbols}
        other = devnet.net.accounts[3].address
        client.send([transfer(other, assets["TIN"], 12)], wait="certified")
        found, cursor = {}, None
        while True:
            page = client.holdings(key.address, cursor=cursor, limit=1)
            assert len(page.balances) <= 1
            found |= {one.asset: one.amount for one in page.balances}
            assert all(one.at.proven for one in page.balances)
            cursor = page.next_cursor
            if cursor is None:
                break
        assert found == {assets["GOLD"]: 10, assets["SILVER"]: 11}, "what was spent is not held"
        assert {one.asset for one in client.holdings(other, limit=100).balances} >= {assets["TIN"], devnet.net.asset}
    rows = json.loads(cli("account", "holdings", key.address, "--net", devnet.path, "-o", "json").stdout)
    assert sorted((row["asset"], row["amount"], row["proven"]) for row in rows) == sorted(
        (assets[symbol], amount, True) for symbol, amount in (("GOLD", "10"), ("SILVER", "11"))
    )
    told = cli("account", "holdings", key.address, "--net", devnet.path, "--no-verify", "--limit", 1, "-o", "json")
    assert [row["proven"] for row in json.loads(told.stdout)] == [False]
    assert "--limit" in told.stderr
