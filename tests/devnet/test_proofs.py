"""Clients need not trust nodes: they check reads, writes and files against the genesis, also if a node sends false
answers."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import httpx2
import pytest

from process_tools import cli
from rustorium.client import Client, Key, LightClient
from rustorium.client.operations import delete, put, transfer
from rustorium.errors import Busy, NotFound, ProofPruned, ProofRefused, VerificationFailed
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from rustorium.types import Balance, Subject, Value

pytestmark = pytest.mark.nodes


@pytest.fixture
def key(devnet: Devnet) -> Key:
    return Key.open(devnet.net.accounts[0].key_file)


def test_a_read_is_verified_and_sees_the_clients_own_writes(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        for number in range(3):
            client.put(b"own", b"%d" % number)
            assert client.get(key.address, b"own") == b"%d" % number
        found = client.read(key.address, b"own", at="proven")
        assert found.at.proven
        client.send([put(key.address, b"many/%d" % n, b"v%d" % n) for n in range(50)])
        wanted = [b"many/%d" % n for n in range(60)]
        values = client.get_many(key.address, wanted)
        assert values == {name: b"v%d" % n if n < 50 else None for n, name in enumerate(wanted)}
        client.delete(b"own")
        assert client.get(key.address, b"own") is None
        assert client.account(key.address).nonce == client.account(key.address, verify=False).nonce
        with pytest.raises(NotFound):
            client.account(Key.generate().address)


def test_before_the_first_block_the_genesis_is_the_state(devnet_factory: DevnetFactory) -> None:
    devnet = devnet_factory(nodes=1)
    key = Key.open(devnet.net.accounts[0].key_file)
    with Client.from_net(devnet.path, key=key) as client:
        found = client.read(key.address, b"nothing", at="proven")
        assert (found.value, found.at.height, found.at.proven) == (None, 0, False)
        balance = client.balance(key.address, devnet.net.asset)
        assert balance.amount == client.balance(key.address, devnet.net.asset, verify=False).amount > 0
        assert client.account(key.address).nonce == 0
        with pytest.raises(NotFound):
            client.account(Key.generate().address)
        shown = cli("query", "--net", devnet.path, "--account", key.address, "--asset", devnet.net.asset, "-o", "json")
        row = json.loads(shown.stdout)[0]
        assert (row["amount"], row["proven"], row["signed_by"]) == (str(balance.amount), False, None)
        assert "signed by nobody: no block was shown" in shown.stderr
        # No certificate covers height 0: there is no proof for others.
        with pytest.raises(Busy) as refused:
            client.prove([Subject(key.address)])
        assert refused.value.code == "not-proven-yet"
        client.put(b"first", b"1")
        assert client.read(key.address, b"first", at="proven").at.height > 0
        assert client.read(key.address, b"nothing", at="proven").at.proven


def test_a_write_comes_with_the_proof_of_what_it_wrote(devnet: Devnet, key: Key) -> None:
    other, asset = devnet.net.accounts[1].address, devnet.net.asset
    with Client.from_net(devnet.path, key=key) as client:
        before = client.balance(other, asset).amount
        written = client.write_with_proof(
            [put(key.address, b"a", b"1"), delete(key.address, b"a"), transfer(other, asset, 7)]
        )
        assert written.receipt.ok
        assert written.state is not None
        assert written.state.at.height >= written.receipt.height
        value, balance = (written.state.items[s] for s in (Subject(key.address, key=b"a"), Subject(other, asset=asset)))
        assert isinstance(value, Value)
        assert isinstance(balance, Balance)
        assert (value.value, balance.amount) == (None, before + 7)
        shown = client.verify_proof(written.state.proof)
        assert shown.state == written.state
        assert client.verify_proof(written.proof).receipt == written.receipt
        whole = client.verify_proof(client.prove_transaction(written.receipt.transaction))
        assert (whole.kind, whole.receipt) == ("transaction", written.receipt)
        block = client.verify_proof(client.prove_block(written.receipt.height))
        assert (block.kind, block.claim.height) == ("block", written.receipt.height)


def test_an_old_root_is_proven_as_long_as_it_is_kept(devnet: Devnet, key: Key) -> None:
    subject = Subject(key.address, key=b"old")
    with Client.from_net(devnet.path, key=key) as client:
        client.put(b"old", b"1")
        old = client.prove([subject])
        client.put(b"old", b"2")
        new = client.prove([subject], from_height=old.at.height + 1)
        again = client.prove([subject], at=old.at.height)
        values = [held.value for state in (old, new, again) if isinstance(held := state.items[subject], Value)]
        assert values == [b"1", b"2", b"1"]
        assert again.at == old.at
        assert client.held(subject, at=old.at.height).at.height == old.at.height
        with pytest.raises(ProofPruned) as none:
            client.prove([subject], at=new.at.height + 10_000)
        assert none.value.nearest is not None
        assert none.value.nearest >= new.at.height


def test_a_proof_file_is_checked_offline_by_another_process(devnet: Devnet, key: Key, tmp_path: Path) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        client.send([put(key.address, b"invoice/17", b"paid"), put(key.address, b"invoice/18", b"open")])
    query = ("query", "--net", devnet.path, "--account", key.address)
    file, genesis = tmp_path / "proof.json", devnet.net.genesis
    rows = json.loads(cli(*query, "invoice/17", "invoice/18", "--proof-out", file, "-o", "json").stdout)
    assert [(row["key"], row["value"], row["proven"]) for row in rows] == [
        ("invoice/17", "paid", True),
        ("invoice/18", "open", True),
    ]
    told = cli("verify", file, "--genesis", genesis).stdout
    assert "invoice/17" in told
    assert "paid" in told
    facts = json.loads(cli("verify", file, "--genesis", genesis, "-o", "json").stdout)
    assert [item["value"] for item in facts["items"]] == ["paid", "open"]
    content = json.loads(file.read_text())
    content["facts"]["items"][0]["value"] = "open"
    tampered = tmp_path / "tampered.json"
    other = "1" if content["proof"][-1] == "0" else "0"
    for fields in (content, content | {"facts": facts, "proof": content["proof"][:-1] + other}):
        tampered.write_text(json.dumps(fields))
        ended = cli("verify", tampered, "--genesis", genesis, "-o", "json", code=4)
        assert json.loads(ended.stderr)["exit_code"] == 4
        assert not ended.stdout
    assert "never overwritten" in cli(*query, "invoice/99", "--proof-out", file, code=2).stderr
    file = tmp_path / "absent.json"
    absent = cli(*query, "invoice/99", "--proof-out", file, code=3)
    assert "proven to be absent" in absent.stderr
    assert "[absent]" in absent.stderr
    cli("verify", file, "--genesis", genesis)
    assert "on the node's word" in cli(*query, "invoice/99", "--no-verify", code=3).stderr
    checkpoint = tmp_path / "checkpoint.json"
    cli("checkpoint", checkpoint, "--net", devnet.path)
    cli("verify", file, "--checkpoint", checkpoint)
    cli("verify", file, code=2)
    cli("verify", tmp_path / "none.json", "--genesis", genesis, code=2)
    cli(*query, "invoice/17", "--at", "latest", code=2)
    assert json.loads(cli(*query, "invoice/17", "--no-verify", "-o", "json").stdout)[0]["proven"] is False


Change = tuple[str, str]


@contextmanager
def liar(node: str, change: Change) -> Iterator[str]:
    """Runs a node that relays another node's answers, with one change in every body."""

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            media = {"content-type": self.headers.get("content-type") or "application/json"}
            with httpx2.Client(trust_env=False, timeout=30) as http:
                found = http.request(self.command, node + self.path, content=body, headers=media)
            told = found.content.replace(change[0].encode(), change[1].encode())
            self.send_response(found.status_code)
            self.send_header("content-type", found.headers["content-type"])
            self.send_header("content-length", str(len(told)))
            self.end_headers()
            self.wfile.write(told)

        do_GET = do_POST = answer  # noqa: N815  (the names that the library calls)

        def log_message(self, format: str, *arguments: object) -> None:
            del format, arguments

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_false_answer_is_noticed_and_an_honest_node_is_asked(devnet: Devnet, key: Key) -> None:
    names = [b"honest/true", b"honest/fake"]
    with Client.from_net(devnet.path, key=key) as client:
        client.send([put(key.address, names[0], b"1000"), put(key.address, names[1], b"9999")])
        assert client.get(key.address, names[0]) == b"1000"
    node, genesis = devnet.net.nodes[0].http, Path(devnet.net.genesis)
    with liar(node, ('"1000"', '"9999"')) as url, Client(url, genesis=genesis, timeout_s=20.0) as client:
        assert client.get(key.address, names[0], verify=False) == b"9999", "it lies"
    # Proofs contain values and names as bytes.
    for lie in [(b"1000".hex(), b"9999".hex()), (names[0].hex(), names[1].hex())]:
        with liar(node, lie) as url:
            with Client(url, genesis=genesis, timeout_s=20.0) as client:
                with pytest.raises(ProofRefused):
                    client.get(key.address, names[0])
                with pytest.raises(VerificationFailed):
                    client.prove([Subject(key.address, key=names[0])])
            with Client([url, node], genesis=genesis, timeout_s=60.0) as client:
                assert client.get(key.address, names[0]) == b"1000", "the honest one is asked"


def test_a_light_client_checks_files_without_a_node(devnet: Devnet, key: Key) -> None:
    with Client.from_net(devnet.path, key=key) as client:
        client.put(b"light", b"1")
        state = client.prove([Subject(key.address, key=b"light")])
        checkpoint = client.light.checkpoint()
    light = LightClient(devnet.net.genesis)
    assert light.show_file(state.proof).state == state
    assert LightClient(checkpoint, checkpoint=True).show_file(state.proof).state == state
