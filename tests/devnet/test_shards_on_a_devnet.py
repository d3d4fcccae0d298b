"""A net of two shards, as people, scripts and commands use it."""

import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx2
import pytest

from process_tools import assert_one_sentence, cli, run_command, values_after, wait_for
from rustorium import _native
from rustorium.client import Client, Key, LightClient
from rustorium.client import operations as ops
from rustorium.client.light import now_ms
from rustorium.errors import (
    NotFound,
    ProofRefused,
    Refused,
    TransactionFailed,
    TrustExpired,
    UsageError,
)
from rustorium.net.devnet import Devnet
from rustorium.net.faucet import Faucet
from rustorium.types import Subject

pytestmark = pytest.mark.nodes


@pytest.fixture(scope="module")
def devnet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with Devnet.create(tmp_path_factory.mktemp("net"), shards=2, accounts=4) as net:
        net.start()
        yield net


@pytest.fixture
def client(devnet: Devnet) -> Iterator[Client]:
    with Client.from_net(devnet.path) as client:
        yield client


def keys(devnet: Devnet, client: Client) -> tuple[list[Key], list[Key]]:
    """Returns the funded accounts' keys in each shard."""
    opened = [Key.open(account.key_file) for account in devnet.net.accounts]
    apart = [[key for key in opened if client.shard_of(key.address) == shard] for shard in (0, 1)]
    return apart[0], apart[1]


def test_each_account_is_served_and_proven_by_its_shard(devnet: Devnet, client: Client) -> None:
    assert (client.shards, [len(of_shard) for of_shard in keys(devnet, client)]) == (2, [2, 2])
    for shard, of_shard in enumerate(keys(devnet, client)):
        [first, second] = of_shard
        wrote = client.put("k", f"of {shard}", key=first)
        assert wrote.receipt is not None
        assert wrote.receipt.shard == shard
        assert client.get(first.address, "k") == f"of {shard}".encode()
        paid = client.transfer(second.address, devnet.net.asset, 5, key=first)
        assert paid.receipt is not None
        assert paid.receipt.ok
        balance = client.balance(second.address, devnet.net.asset)
        assert (balance.at.shard, balance.at.proven) == (shard, True)
        status = client.get_transaction(wrote.id)
        assert status.receipt is not None
        assert (status.state, status.receipt.shard) == ("final", shard)
        assert [key.key for key in client.iter_keys(first.address)] == [b"k"]
        assert wrote.id in client.account_transactions(first.address).transactions


def test_many_transactions_of_both_shards_are_sent_at_once(devnet: Devnet, client: Client) -> None:
    [low, _], [high, _] = keys(devnet, client)
    signed = [client.sign([ops.put(key.address, f"m{n}", "v")], key=key) for n in range(5) for key in (low, high)]
    results = client.submit_all(signed)
    shards = [result.receipt.shard for result in results if hasattr(result, "receipt") and result.receipt is not None]
    assert shards == [0, 1] * 5


@pytest.mark.parametrize("face", ["quic", "http"])
def test_load_reaches_the_accounts_of_all_shards(devnet: Devnet, client: Client, face: str) -> None:
    before = [client.in_shard(shard).block("latest").height for shard in (0, 1)]
    told = json.loads(
        cli("bench", "load", "--net", devnet.path, "--rate", "20", "--for", "1s", "--face", face, "-o", "json").stdout
    )
    assert (told["offered"], told["finalized"]) == (20, 20), told
    after = [client.in_shard(shard).block("latest").height for shard in (0, 1)]
    assert all(old < new for old, new in zip(before, after, strict=True))


def test_a_proof_file_of_any_shard_is_checked_with_the_genesis_alone(
    devnet: Devnet, client: Client, tmp_path: Path
) -> None:
    for shard, [first, _] in enumerate(keys(devnet, client)):
        done = client.write_with_proof([ops.put(first.address, "proven", "v")], key=first)
        assert done.state is not None
        reader = LightClient(Path(devnet.net.genesis))
        for file in (done.proof, done.state.proof, client.prove_transaction(done.receipt.transaction)):
            assert reader.show_file(file).facts["shard"] == shard
        named = tmp_path / f"{shard}.json"
        named.write_bytes(done.proof)
        shown = cli("verify", named, "--genesis", devnet.net.genesis).stdout
        assert shown.startswith("VERIFIED")
        with named.open("rb") as opened:
            assert reader.show_file(opened).facts["shard"] == shard
    with pytest.raises(ProofRefused, match="proof is refused"):
        LightClient(Path(devnet.net.genesis), shard=0).show_file(done.proof.replace(b'"shard": 1', b'"shard": 0'))


def test_the_trust_period_holds_for_files_of_any_shard(
    devnet: Devnet, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = []
    for [first, _] in keys(devnet, client):
        done = client.write_with_proof([ops.put(first.address, "aging", "v")], key=first)
        files.append(client.prove_transaction(done.receipt.transaction))
    reader = LightClient(Path(devnet.net.genesis), trust_period_s=3600.0)
    assert [reader.show_file(file).facts["shard"] for file in files] == [0, 1]
    later = now_ms() + 400 * 86_400_000  # beyond any epoch's length
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: later)
    for file in files:
        with pytest.raises(TrustExpired):
            reader.show_file(file)


def test_witnesses_are_asked_about_the_shard_of_the_proof(devnet: Devnet, client: Client) -> None:
    first, second = (one.http for one in devnet.net.nodes[:2])
    with Client(first, genesis=Path(devnet.net.genesis), witnesses=[second]) as careful:
        for shard, [key, _] in enumerate(keys(devnet, client)):
            client.put("witnessed", "v", key=key)
            found = careful.proven([Subject(key.address, b"witnessed")])
            assert found.at.shard == shard


def test_what_concerns_two_shards_fails_and_says_what_to_do(devnet: Devnet, client: Client) -> None:
    [low, _], [high, _] = keys(devnet, client)
    both = [ops.put(low.address, "before", "v"), ops.transfer(high.address, devnet.net.asset, 1)]
    with pytest.raises(TransactionFailed, match="accounts of one shard") as refused:
        client.send(both, key=low)
    assert (refused.value.failure, refused.value.operation) == ("cross-shard", 1)
    assert client.get(low.address, "before") is None
    with pytest.raises(UsageError, match="accounts of one shard"):
        client.prove([Subject(low.address), Subject(high.address)])
    with pytest.raises(UsageError, match="the shards 0 to 1, not 2"):
        client.in_shard(2)


def test_calls_without_an_account_are_about_the_chosen_shard(devnet: Devnet, client: Client) -> None:
    [low, _], [high, _] = keys(devnet, client)
    for key in (low, high):
        client.put("block", "v", key=key)
    other = client.in_shard(1)
    assert (client.shard, other.shard, client.in_shard(0).shard) == (0, 1, 0)
    assert (client.status().shard, other.status().shard) == (0, 1)
    block = other.validate_block(other.block("latest"))
    assert block.height > 0
    with pytest.raises(NotFound):
        client.block(block.digest)
    with closing(other.subscribe_transactions(f"sender:{high.address}", after="1.0.0")) as events:
        assert next(events).receipt.shard == 1


def test_a_node_says_where_what_it_does_not_serve_is(devnet: Devnet, client: Client) -> None:
    _, [high, _] = keys(devnet, client)
    node = devnet.net.nodes[0].http

    def asked(path: str) -> tuple[int, object, object]:
        answer = httpx2.get(f"{node}{path}", trust_env=False)
        return answer.status_code, answer.json().get("code"), answer.json().get("shard")

    assert asked(f"/v1/accounts/{high.address}") == (421, "elsewhere", 1)
    assert asked(f"/v1/shards/0/accounts/{high.address}/keys/a")[:2] == (421, "elsewhere")
    assert asked("/v1/shards/2/status") == (404, "unknown-shard", None)
    assert asked("/v1/shards/x/status") == (404, "unknown-shard", None)
    assert asked("/v1/shards/1/status")[0] == 200
    listed = httpx2.get(f"{node}/v1/shards", trust_env=False).json()["shards"]
    assert [(one["shard"], one["hosted"]) for one in listed] == [(0, True), (1, True)]
    # A client without the genesis knows the root shard alone, and hears where the account is.
    signed = client.sign([ops.put(high.address, "k", "v")], key=high)
    with Client(node) as blind:
        for ask in (lambda: blind.read(high.address, "k"), lambda: blind.submit_transaction(signed)):
            with pytest.raises(Refused, match="in shard 1"):
                ask()


def test_commands_show_shards(devnet: Devnet, client: Client) -> None:
    _, [high, _] = keys(devnet, client)
    rows = json.loads(cli("shard", "list", "--net", devnet.path, "-o", "json").stdout)
    assert [(row["shard"], row["members"], row["state"]) for row in rows] == [(0, 4, "ready"), (1, 4, "ready")]
    assert (rows[0]["to_account"], rows[1]["to_account"]) == (rows[1]["from_account"], None)
    shown = json.loads(cli("shard", "show", high.address, "--net", devnet.path, "-o", "json").stdout)
    assert (shown["shard"], shown["members"]) == (1, [f"node-{place}" for place in range(4)])
    assert_one_sentence(run_command("shard", "show", "9", "--net", str(devnet.path)), 2, "the shards 0 to 1, not 9")


def test_status_check_judges_each_shard(devnet: Devnet, client: Client) -> None:
    for key in (keys(devnet, client)[0][0], keys(devnet, client)[1][0]):
        client.put("for status", "v", key=key)
    height = client.in_shard(1).status().executed
    assert client.status().shards[0].shard == 1
    assert client.status().shards[0].executed >= height
    said = cli("status", "check", "--net", devnet.path).stdout
    [line] = [line for line in said.splitlines() if line.startswith("shard 1 ")]
    assert " well " in line
    assert ", epoch 0, 4 of 4 validators connected, a quorum is 3" in line
    first = json.loads(cli("status", "check", "--net", devnet.path, "-o", "json").stdout)[0]
    assert [(one["shard"], one["verdict"]) for one in first["network"]["shards"]] == [(1, "well")]
    assert [one["shard"] for one in first["shards"]] == [1]
    own = cli("status", "check", "--home", devnet.net.nodes[0].home).stdout
    assert any(line.startswith("shard 1 ") for line in own.splitlines())


def test_what_happens_to_transactions_is_counted_by_shard(devnet: Devnet, client: Client) -> None:
    for [first, _] in keys(devnet, client):
        client.put("counted", "v", key=first)
    texts = [httpx2.get(f"{node.metrics}/metrics", trust_env=False).text for node in devnet.net.nodes]
    for shard in (0, 1):
        counts = [sample(text, f'rustorium_gateway_finality_seconds_count{{shard="{shard}"}}') for text in texts]
        assert sum(counts) > 0
        places = [sample(text, f'rustorium_consensus_place{{shard="{shard}"}}') for text in texts]
        assert sorted(places) == [0, 1, 2, 3]


def sample(text: str, series: str) -> float:
    """Returns the value of a series of a node's metrics."""
    [found] = [line.removeprefix(series) for line in text.splitlines() if line.startswith(f"{series} ")]
    return float(found)


def test_a_node_that_is_killed_comes_back_in_both_shards(devnet: Devnet, client: Client) -> None:
    apart = keys(devnet, client)
    devnet.kill(3)
    for [first, _] in apart:
        client.put("without node 3", "v", key=first)
    devnet.restart(3)
    for [first, _] in apart:
        wrote = client.put("with node 3", "v", key=first)
        with Client(devnet.net.nodes[3].http, genesis=Path(devnet.net.genesis)) as alone:
            assert values_after(alone, wrote, first.address, "without node 3") == [b"v"]


def test_a_shard_whose_store_is_gone_is_filled_from_peers(devnet: Devnet, client: Client) -> None:
    _, [high, _] = keys(devnet, client)
    wrote = client.put("before the loss", "v", key=high)
    devnet.kill(2)
    shutil.rmtree(Path(devnet.net.nodes[2].home) / "shards" / "1" / "db")
    devnet.restart(2)
    with Client(devnet.net.nodes[2].http, genesis=Path(devnet.net.genesis)) as alone:
        assert values_after(alone, wrote, high.address, "before the loss") == [b"v"]


def test_the_faucet_funds_accounts_of_each_shard(devnet: Devnet, client: Client) -> None:
    faucet = Faucet(devnet.net)
    try:
        funded = set[int]()
        while len(funded) < 2:
            new = Key.generate()
            asked = httpx2.post(faucet.url, json={"region": 0, "public_key": new.public_key}, trust_env=False)
            assert asked.status_code == 200, asked.text
            shard = client.shard_of(new.address)
            wait_for("the account", lambda new=new: client.proven([Subject(new.address)]).items[Subject(new.address)])
            assert client.account(new.address).at.shard == shard
            funded.add(shard)
    finally:
        faucet.close()


def test_a_pools_records_are_asked_for_in_its_shard(client: Client) -> None:
    shard = client.shard_of(_native.pool_account(1))
    assert client.in_shard(1 - shard).pool_records(1, 0) == b""
    assert client.in_shard(1 - shard).pool_head()
    with pytest.raises(NotFound):
        client.pool_records(2, 0)
