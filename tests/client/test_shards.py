"""A client of several shards: which shard's path each call asks, and with which light client it checks."""

import contextlib
import json
from collections.abc import Awaitable, Callable
from functools import partial
from itertools import pairwise
from typing import Any

import anyio
import httpx2
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rustorium import _native
from rustorium.client import AsyncClient, Key
from rustorium.client import operations as ops
from rustorium.errors import GenesisNeeded, RustoriumError, UsageError
from rustorium.ranges import cuts
from rustorium.sim.net import REGION, make_net
from rustorium.types import Subject

NET = make_net(4, 4, 6, shards=3)
KEYS = [Key(account.seed, REGION) for account in NET.accounts]
URL = "http://node.test"


class Asked:
    """A node that refuses everything, and notes what it was asked."""

    def __init__(self) -> None:
        self.paths: list[str] = []

    async def __call__(self, request: httpx2.Request) -> httpx2.Response:
        self.paths.append(request.url.path)
        if request.url.path.endswith("/events"):
            return httpx2.Response(400, content=b'{"code": "bad-filter", "detail": "None."}')
        problem = {"code": "key-not-found", "detail": "None.", "at": {"shard": 0, "height": 1, "root": "0" * 64}}
        return httpx2.Response(404, content=json.dumps(problem).encode())


def asked(act: Callable[[AsyncClient], Awaitable[Any]], genesis: bytes | None = NET.genesis) -> list[str]:
    """Returns the paths that a call asks for, each once."""
    node = Asked()

    async def main() -> None:
        transport = httpx2.MockTransport(node)
        async with AsyncClient(URL, genesis=genesis, transport=transport, timeout_s=2.0, key=KEYS[0]) as client:
            with contextlib.suppress(RustoriumError):
                await act(client)

    anyio.run(main)
    return [path for path in dict.fromkeys(node.paths) if path != "/livez"]


def prefix(shard: int) -> str:
    return f"/v1/shards/{shard}" if shard else "/v1"


def shard_of(key: Key) -> int:
    return _native.Shards(NET.genesis).of(key.address)


@pytest.mark.parametrize("key", KEYS)
def test_a_read_asks_for_the_shard_of_its_account(key: Key) -> None:
    under = prefix(shard_of(key))
    subject = Subject(key.address)
    assert asked(lambda client: client.read(key.address, "k")) == [f"{under}/accounts/{key.address}/keys/6b"]
    assert asked(lambda client: client.list_keys(key.address)) == [f"{under}/accounts/{key.address}/keys"]
    assert asked(lambda client: client.proven([subject])) == [f"{under}/proofs"]
    assert asked(lambda client: client.prove(subjects=[subject])) == [f"{under}/proofs"]
    assert asked(lambda client: client.account_transactions(key.address)) == [
        f"{under}/accounts/{key.address}/transactions"
    ]


@pytest.mark.parametrize("address", ["nonsense", "rs1", "", KEYS[0].address[:-1]])
def test_what_is_no_address_is_said_and_nobody_is_asked(address: str) -> None:
    async def main(client: AsyncClient) -> None:
        for call in (partial(client.get, address, "k"), partial(client.account, address)):
            with pytest.raises(UsageError, match="is not an address"):
                await call()

    assert asked(main) == []


@pytest.mark.parametrize("key", KEYS)
def test_a_write_asks_for_the_shard_of_its_signer(key: Key) -> None:
    under = prefix(shard_of(key))
    # In the end it asks whether the nodes are of this chain at all.
    assert asked(lambda client: client.put("k", "v", key=key)) == [f"{under}/accounts/{key.address}", f"{under}/status"]
    assert asked(lambda client: client.send_many([[ops.put(key.address, "k", "v")]], key=key)) == [
        f"{under}/accounts/{key.address}"
    ]


@pytest.mark.parametrize("key", KEYS)
def test_events_of_a_sender_come_from_its_shard(key: Key) -> None:
    under, shard = prefix(shard_of(key)), shard_of(key)

    def paths(filter: str | None, after: str) -> list[str]:
        return asked(lambda client: client.subscribe_transactions(filter, after=after).__anext__())

    assert paths(f"failed, sender:{key.address}", f"{shard}.5.0") == [f"{under}/events"]
    assert paths(None, f"{shard}.5.0") == [f"{under}/events"]


def test_events_of_an_owner_or_seat_come_from_the_chosen_shard() -> None:
    system = _native.format_address(bytes(23) + bytes([5]) + bytes(8))
    for shard in range(3):
        assert asked(
            lambda client, shard=shard: (
                client.in_shard(shard).subscribe_transactions(f"sender:{system}", after=f"{shard}.5.0").__anext__()
            )
        ) == [f"{prefix(shard)}/events"]
        assert asked(
            lambda client, shard=shard: client.in_shard(shard).subscribe_transactions(f"sender:{system}").__anext__()
        ) == [f"{prefix(shard)}/status"]


def test_events_of_two_shards_are_not_in_one_stream() -> None:
    first, second = (next(key for key in KEYS if shard_of(key) == shard) for shard in (0, 1))
    both = f"sender:{first.address},sender:{second.address}"

    async def main(client: AsyncClient) -> None:
        for wanted, after in [(both, None), (f"sender:{first.address}", "1.5.0")]:
            with pytest.raises(UsageError, match="shards 0 and 1 don't come in one stream"):
                client.subscribe_transactions(wanted, after=after)
        with pytest.raises(UsageError, match="is not an address"):
            client.subscribe_transactions("sender:nobody")
        with pytest.raises(UsageError, match="the net has the shards 0 to 2, not 7"):
            client.subscribe_transactions(after="7.5.0")
        part = client.in_shard(1)
        stream = part.subscribe_transactions()
        assert client.subscribe_transactions(after="1.5.0") in part._streams
        assert stream in part._streams

    assert asked(main) == []


def test_a_transaction_is_looked_for_in_all_shards() -> None:
    paths = [f"{prefix(shard)}/transactions/{'0' * 64}" for shard in range(3)]
    # In the end it asks whether the nodes are of this chain at all.
    assert asked(lambda client: client.get_transaction("0" * 64)) == [*paths, "/v1/status"]
    assert asked(lambda client: client.prove_transaction("0" * 64)) == [*paths, "/v1/status"]


def test_without_a_genesis_everything_is_about_the_root_shard() -> None:
    for key in KEYS:
        assert asked(lambda client, key=key: client.read(key.address, "k"), None) == [
            f"/v1/accounts/{key.address}/keys/6b"
        ]


def test_parts_share_what_is_the_clients_and_have_their_own_trust() -> None:
    async def main() -> None:
        async with AsyncClient(URL, genesis=NET.genesis, key=KEYS[0]) as client:
            other = client.in_shard(2)
            assert other.in_shard(0) is client
            assert client.in_shard(2) is other
            assert (client.shards, client.shard, other.shard) == (3, 0, 2)
            assert (client.light.shard, other.light.shard) == (0, 2)
            assert client.light.chain == other.light.chain
            assert [facts.shard for facts in client.shard_list()] == [0, 1, 2]
            for bad in (3, -1):
                with pytest.raises(UsageError):
                    client.in_shard(bad)
            with pytest.raises(UsageError, match="one shard"):
                await client.prove([Subject(key.address) for key in KEYS])

    anyio.run(main)


def test_only_the_genesis_says_how_to_check_another_shard() -> None:
    async def main(checkpoint: bytes | None) -> None:
        async with AsyncClient(URL, checkpoint=checkpoint) as client:
            assert client.shards == 1
            for ask in (partial(client.in_shard, 2), client.shard_list):
                with pytest.raises(GenesisNeeded):
                    ask()

    anyio.run(main, None)

    async def checkpoint_of(shard: int) -> bytes:
        async with AsyncClient(URL, genesis=NET.genesis) as client:
            return client.in_shard(shard).light.checkpoint()

    anyio.run(main, anyio.run(checkpoint_of, 1))

    async def about(shard: int) -> int:
        async with AsyncClient(URL, checkpoint=await checkpoint_of(shard)) as client:
            return client.shard

    assert [anyio.run(about, shard) for shard in range(3)] == [0, 1, 2]


def test_a_trust_file_belongs_to_one_shard(tmp_path: Any) -> None:
    file = tmp_path / "trust.json"

    async def main() -> None:
        async with AsyncClient(URL, genesis=NET.genesis, trust_file=file) as client:
            for shard in range(3):
                client.in_shard(shard).light.save_trust()

    for _ in range(2):
        anyio.run(main)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "trust.json",
        "trust.json.shard-1",
        "trust.json.shard-2",
    ]


def test_a_trust_file_is_kept_from_a_checkpoint_of_any_shard(tmp_path: Any) -> None:
    async def main(shard: int) -> set[str]:
        async with AsyncClient(URL, genesis=NET.genesis) as client:
            checkpoint = client.in_shard(shard).light.checkpoint()
        folder = tmp_path / str(shard)
        folder.mkdir()
        for genesis in (None, NET.genesis, None):
            file = folder / "trust.json"
            async with AsyncClient(URL, genesis=genesis, checkpoint=checkpoint, trust_file=file) as client:
                assert (client.shard, client.light.shard) == (shard, shard)
                if genesis is not None:
                    assert client.in_shard(2 - shard).light.shard == 2 - shard
        return {path.name for path in folder.iterdir()}

    names = ["trust.json", "trust.json.shard-1", "trust.json.shard-2"]
    assert anyio.run(main, 0) == {names[0], names[2]}
    assert anyio.run(main, 1) == {names[1]}
    assert anyio.run(main, 2) == {names[0], names[2]}


@given(st.data())
def test_cuts_leave_each_shard_its_part_of_the_accounts(data: st.DataObject) -> None:
    ids = data.draw(st.lists(st.binary(min_size=32, max_size=32), min_size=1, max_size=12, unique=True))
    shards = data.draw(st.integers(1, len(ids)))
    found = cuts(ids, shards)
    edges = [bytes(32), *found, b"\xff" * 33]
    counts = [sum(low <= one < high for one in ids) for low, high in pairwise(edges)]
    assert len(found) == shards - 1
    assert sum(counts) == len(ids)
    assert max(counts) - min(counts) <= 1


def test_a_node_without_the_shard_is_no_witness_against_a_transaction() -> None:
    """Two nodes don't host the shard, and the third does: it is asked first from then on."""
    asked_of: list[str] = []
    key = next(key for key in KEYS if shard_of(key) == 2)
    at = {"shard": 2, "height": 1, "root": "0" * 64}
    record = {
        "account": key.address,
        "public_key": key.public_key,
        "nonce": 4,
        "quota_left": 9,
        "protocol": 2,
        "at": at,
    }
    record["storage_bytes_left"] = 9

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/livez":
            return httpx2.Response(200, content=b"{}")
        asked_of.append(request.url.host)
        if request.url.host != "c.test":
            problem = {"code": "elsewhere", "detail": "This node doesn't host shard 2.", "shard": 2}
            return httpx2.Response(421, content=json.dumps(problem).encode())
        return httpx2.Response(200, content=json.dumps(record).encode())

    async def main() -> None:
        urls = [f"http://{name}.test" for name in "abc"]
        transport = httpx2.MockTransport(answer)
        async with AsyncClient(urls, genesis=NET.genesis, transport=transport, timeout_s=5.0) as client:
            client._transport.known.probed = True  # in the given order
            for _ in range(2):
                assert (await client.sign([ops.put(key.address, "k", "v")], key=key)).nonce >= 4
                client.in_shard(2)._sender._accounts.clear()

    anyio.run(main)
    assert asked_of == ["a.test", "b.test", "c.test", "c.test"]
