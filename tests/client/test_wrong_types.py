"""An argument of a wrong type is refused in one sentence that names the argument, before anything is sent."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trio
from fake_net import FakeNet

from rustorium.client import (
    AsyncClient,
    Client,
    Key,
    LightClient,
    Wallet,
    amount_of,
    bytes_to_text,
    text_to_bytes,
    wait_of,
)
from rustorium.client import operations as ops
from rustorium.errors import UsageError

ASSET = "07" * 32
OTHER = Key(b"\x05" * 32)
Call = Callable[[Any, Key], Awaitable[Any]]

CALLS: list[tuple[Call, str]] = [
    (lambda client, key: client.put("k", "v", key="me.key"), "key is a Key, not str"),
    (lambda client, key: client.put("k", "v", timeout_s="3"), "timeout_s is a number of seconds, not str"),
    (lambda client, key: client.put("k", "v", wait="done"), "wait is one of 'accepted', 'final', 'certified'"),
    (lambda client, key: client.put("k", "v", namespace=5), "namespace is text, not int"),
    (lambda client, key: client.delete(5), "a key is bytes or text, not int"),
    (lambda client, key: client.transfer(5, ASSET, 1), "to is text, not int"),
    (lambda client, key: client.transfer(OTHER.address, 5, 1), "asset is text, not int"),
    (lambda client, key: client.transfer(OTHER.address, ASSET, True), "an amount is a whole number"),
    (lambda client, key: client.create_account(OTHER.address, 5), "new is a Key, not str"),
    (lambda client, key: client.create_account(OTHER, "5"), "storage_bytes is a whole number, not str"),
    (lambda client, key: client.send(5), "operations is a list of operations, not int"),
    (lambda client, key: client.send("put"), "operations is a list of operations, not str"),
    (lambda client, key: client.send(["put"]), "an operation is a dict"),
    (lambda client, key: client.send_many(5), "transactions is a list of lists of operations, not int"),
    (lambda client, key: client.send_many([5]), "operations is a list of operations, not int"),
    (lambda client, key: client.submit_transaction("00"), "a transaction is a SignedTransaction, not str"),
    (lambda client, key: client.submit_all(5), "transactions is a list of signed transactions, not int"),
    (lambda client, key: client.submit_all([], timeout_ms="5"), "timeout_ms is a whole number, not str"),
    (lambda client, key: client.propose_block(5), "transactions is a list of signed transactions, not int"),
    (lambda client, key: client.get_transaction(5), "a transaction id is text, not int"),
    (lambda client, key: client.get_transaction(b"\0" * 32), "a transaction id is text, not bytes"),
    (lambda client, key: client.account_transactions(5), "an address is text, not int"),
    (lambda client, key: client.account_transactions(key.address, limit="5"), "limit is a whole number, not str"),
    (lambda client, key: client.account_transactions(key.address, before=5), "before is text, not int"),
    (lambda client, key: client.block(1.5), 'a block is named by its height, its digest or "latest", not float'),
    (lambda client, key: client.block(None), 'a block is named by its height, its digest or "latest", not None'),
    (lambda client, key: client.block_receipts(None), "a block is named by"),
    (lambda client, key: client.wait_for_quorum(None), "a block is named by"),
    (lambda client, key: client.validate_block("x"), "block is a Block, not str"),
    (lambda client, key: client.read(5, "k"), "an address is text, not int"),
    (lambda client, key: client.read(key.address, "k", at=1.5), 'at is "latest", "proven" or a height, not float'),
    (lambda client, key: client.get_many(key.address, "abc", verify=False), "keys is a list of keys, not str"),
    (lambda client, key: client.get_many(key.address, 5, verify=False), "keys is a list of keys, not int"),
    (lambda client, key: client.held(5), "subject is a Subject, not int"),
    (lambda client, key: client.account(5, verify=False), "an address is text, not int"),
    (lambda client, key: client.balance(key.address, 5, verify=False), "an asset id is text, not int"),
    (lambda client, key: client.put_many(["k"]), "values is a dict of keys and values, not list"),
    (lambda client, key: client.resolve("00"), "unknown is an OutcomeUnknown, not str"),
    (lambda client, key: client.list_keys(5), "an address is text, not int"),
    (lambda client, key: client.list_keys(key.address, 5), "a prefix is bytes or text, not int"),
    (lambda client, key: client.list_keys(key.address, at="5"), "at is a whole number, not str"),
    (lambda client, key: client.history(key.address, "k", before="5"), "before is a whole number, not str"),
    (lambda client, key: client.holdings(5), "an address is text, not int"),
    (lambda client, key: client.holdings(key.address, limit=2.0), "limit is a whole number, not float"),
    (lambda client, key: client.grants(key.address, limit=2.0), "limit is a whole number, not float"),
    (lambda client, key: client.pool_head("1"), "pool is a whole number, not str"),
    (lambda client, key: client.pool_records("1", 0), "pool is a whole number, not str"),
    (lambda client, key: client.subscribe_transactions(5).__anext__(), "filter is text, not int"),
    (lambda client, key: client.subscribe_transactions(after=5).__anext__(), "after is text, not int"),
]


@pytest.mark.parametrize(("call", "says"), CALLS)
def test_methods_name_the_argument(net: FakeNet, key: Key, call: Call, says: str) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            with pytest.raises(UsageError) as caught:
                await call(client, key)
            assert says in caught.value.message
            assert not [request for node in net.nodes for request in node.posts()]

    trio.run(main)


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda: Client(5), "endpoints is the URL of a node, or a list of URLs, not int"),
        (lambda: Client([5]), "5 is not the URL of an HTTP API"),
        (lambda: Client("http://n0", genesis=5), "genesis is bytes or a path, not int"),
        (lambda: Client("http://n0", checkpoint=5), "checkpoint is bytes or a path, not int"),
        (lambda: Client("http://n0", trust_file=5), "trust_file is a path, as text or as a Path, not int"),
        (lambda: Client("http://n0", key="me.key"), "key is a Key, not str: open one with Key.open"),
        (lambda: Client("http://n0", timeout_s="3"), "timeout_s is a number of seconds, not str"),
        (lambda: Client("http://n0", timeout_s=float("nan")), "timeout_s is a number of seconds from 0 on"),
        (lambda: Client("http://n0", witnesses="http://n1"), "witnesses is a list of URLs, not str"),
        (lambda: Client.from_net(5), "path is a path, as text or as a Path, not int"),
        (lambda: LightClient(5), "anchor is bytes or a path, not int"),
        (lambda: LightClient("x", trust_period_s="30d"), "trust_period_s is a number of seconds, not str"),
        (lambda: Key("seed"), "seed is bytes, not str"),
        (lambda: Key(bytes(32), "0"), "region is a whole number, not str"),
        (lambda: Key.open(5), "path is a path, as text or as a Path, not int"),
        (lambda: Key.remote(5), "url is text, not int"),
        (lambda: OTHER.save(5, b"p"), "path is a path, as text or as a Path, not int"),
        (lambda: OTHER.save("/tmp/none.key", "p"), "passphrase is bytes, not str"),
        (lambda: Wallet.create(5, "00", passphrase=b"p"), "path is a path, as text or as a Path, not int"),
        (lambda: Wallet.create("w", 5, passphrase=b"p"), "chain is text, not int"),
        (lambda: Wallet.create("w", "00", passphrase="p"), "passphrase is bytes, not str"),
        (lambda: Wallet.create("w", "00", passphrase=b"p", seed="s"), "seed is bytes, not str"),
        (lambda: Wallet.create("w", "00", passphrase=b"p", proving_key=5), "proving_key is a path"),
        (lambda: Wallet.open(5), "path is a path, as text or as a Path, not int"),
        (lambda: amount_of(5), "an amount is text here, not int"),
        (lambda: text_to_bytes(b"x"), "the text is text, not bytes"),
        (lambda: bytes_to_text("x"), "the content is bytes, not str"),
        (lambda: wait_of(5), "there is no --wait 5"),
        (lambda: ops.issue(5, OTHER.address, 1), "symbol is text, not int"),
        (lambda: ops.issue("TIN", OTHER.address, 1.0), "an amount is a whole number"),
        (lambda: ops.grant(5, []), "to is text, not int"),
        (lambda: ops.grant(OTHER.address, 5), "prefixes is a list of prefixes, not int"),
        (lambda: ops.create_account("0", "aa", 1), "region is a whole number, not str"),
        (lambda: ops.create_account(0, b"aa", 1), "public_key is text, not bytes"),
        (lambda: ops.require_balance(OTHER.address, ASSET, "5"), "an amount is a whole number"),
        (lambda: ops.require_absent(5, "k"), "namespace is text, not int"),
        (lambda: ops.end_epoch("1"), "epoch is a whole number, not str"),
        (lambda: ops.remove_validator(5), "validator_key is text, not int"),
        (lambda: ops.register_verifier("00"), "key is bytes, not str"),
        (lambda: ops.verify_proof("00", ["00"], b""), "an input is bytes, not str"),
    ],
)
def test_functions_name_the_argument(call: Callable[[], Any], says: str) -> None:
    with pytest.raises(UsageError) as caught:
        call()
    assert says in caught.value.message


def test_what_is_not_a_proof_file_is_named() -> None:
    genesis = Path(__file__).parent.parent / "vectors" / "proofs.json"
    with pytest.raises(Exception, match=r"proofs\.json") as caught:
        LightClient(genesis)
    assert not isinstance(caught.value, TypeError)


def test_a_transfer_to_oneself_is_refused_before_it_is_sent(net: FakeNet, key: Key) -> None:
    async def main() -> None:
        async with AsyncClient(net.urls, key=key, transport=net.transport) as client:
            for call in (
                client.transfer(key.address, ASSET, 5),
                client.send([ops.put(key.address, "k", "v"), ops.transfer(key.address, ASSET, 5)]),
            ):
                with pytest.raises(UsageError, match="a transfer from an account to itself would change nothing"):
                    await call
            assert not [request for node in net.nodes for request in node.posts()]

    trio.run(main)
