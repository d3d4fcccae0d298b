"""Bad input at a running net: one typed error that says what to do next, and everybody else goes on.

Covered elsewhere: homes, key files, passphrases, configuration and ports in use (test_homes.py, tests/node); each
refusal and limit of the HTTP and QUIC APIs by itself (crates/gateway/tests/it); frames of peers (crates/transport); a
full disk (tests/outside).
"""

import json
import os
import socket
import time
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from process_tools import assert_no_panic, counter, statuses, wait_for
from rustorium import _native
from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.client.wire import SUBMISSION_MEDIA, frame
from rustorium.config import split_address
from rustorium.errors import Busy, Refused
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory
from rustorium.types import SignedTransaction

pytestmark = pytest.mark.nodes
TWO_DAYS_MS = 48 * 3_600_000
"""An expiry further ahead than the chain allows."""


def now_ms() -> int:
    return time.time_ns() // 1_000_000


def signed(
    chain: str, key: Key, nonce: int, *, value: bytes = b"v", lifetime_ms: int = 30_000, work: int | None = None
) -> SignedTransaction:
    expires_at_ms = now_ms() + lifetime_ms
    text = json.dumps([put(key.address, b"bad", value)])
    identity, raw = _native.build_transaction(key.seed, chain, key.region, nonce, expires_at_ms, work, text)
    return SignedTransaction(identity, raw, key.address, nonce, expires_at_ms)


def post(url: str, transactions: Sequence[SignedTransaction], wait: str = "accepted") -> httpx2.Response:
    address = f"{url}/v1/transactions?wait={wait}&timeout_ms=5000"
    content = frame(transaction.raw for transaction in transactions)
    return httpx2.post(address, content=content, headers={"content-type": SUBMISSION_MEDIA}, trust_env=False)


def replaced(transaction: SignedTransaction, raw: bytes) -> SignedTransaction:
    return SignedTransaction(transaction.id, raw, transaction.sender, transaction.nonce, transaction.expires_at_ms)


def test_each_bad_transaction_has_its_code_and_costs_nothing(devnet: Devnet) -> None:
    key, chain = Key.open(devnet.net.accounts[3].key_file), devnet.net.chain
    with Client.from_net(devnet.path, key=key) as client:
        before = client.account(key.address, verify=False)
    nonce = before.nonce
    good = signed(chain, key, nonce)
    flipped = bytearray(good.raw)
    flipped[-1] ^= 1
    # R49: the transaction is expired by the newest header's time, which on a new chain is the genesis' time.
    late = signed(chain, key, nonce, lifetime_ms=-3_600_000)
    bad = {
        "wrong-chain": signed("ab" * 32, key, nonce),
        "bad-signature": replaced(good, bytes(flipped)),
        "malformed-transaction": replaced(good, good.raw[:-1]),
        "nonce-too-far": signed(chain, key, nonce + 5_000),
        "expired": late,
        "expiry-too-far": signed(chain, key, nonce, lifetime_ms=TWO_DAYS_MS),
        "work-limit-too-low": signed(chain, key, nonce, work=1),
        "unknown-account": signed(chain, Key.generate(), 0),
    }
    if nonce:
        bad["nonce-used"] = signed(chain, key, nonce - 1, value=b"other")
    found = {}
    for code, transaction in bad.items():
        answer = post(devnet.net.nodes[0].http, [transaction])
        body = answer.json()
        assert answer.headers["content-type"] == "application/problem+json", body
        assert 400 <= answer.status_code < 500, body
        assert len(body["detail"]) > 10
        found[code] = body["code"]
    assert found == {code: code for code in bad}
    with Client.from_net(devnet.path, key=key) as client:
        after = client.account(key.address, verify=False)
        assert (after.nonce, after.quota_left >= 0) == (before.nonce, True)
        # A refused transaction has no effect on the good one with the same nonce.
        done = client.submit_transaction(good)
        assert done.receipt is not None
        assert done.receipt.ok
        again = client.submit_transaction(good)
        assert again.receipt == done.receipt
        with pytest.raises(Refused) as refused:
            client.submit_transaction(signed(chain, key, nonce, value=b"other"))
        assert refused.value.code == "nonce-used"
        assert str(nonce + 1) in refused.value.message


def test_oversized_requests_and_transactions_are_refused(devnet: Devnet) -> None:
    url = devnet.net.nodes[1].http
    headers = {"content-type": SUBMISSION_MEDIA}
    large = (1).to_bytes(4, "little") + (300_000).to_bytes(4, "little") + bytes(300_000)
    answer = httpx2.post(f"{url}/v1/transactions", content=large, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (422, "transaction-too-large")
    huge = bytes(2 * 1024 * 1024)
    answer = httpx2.post(f"{url}/v1/transactions", content=huge, headers=headers, trust_env=False)
    assert (answer.status_code, answer.json()["code"]) == (413, "body-too-large")


def test_garbage_on_every_port_does_no_harm(devnet: Devnet) -> None:
    node = devnet.net.nodes[0]
    noise = [os.urandom(size) for size in (1, 17, 1_200, 1_472)]
    # A QUIC Initial of an unknown version, and one of version 1 with random content.
    noise += [b"\xc0\xfa\xce\xb0\x0c\x08" + os.urandom(1_194), b"\xc3\x00\x00\x00\x01\x08" + os.urandom(1_194)]
    for address in (node.p2p, node.client):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.connect(split_address(address))
            for datagram in noise * 20:
                try:
                    sender.send(datagram)
                except ConnectionRefusedError:
                    pytest.fail(f"nobody listens on {address} any more")
    requests = [
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + os.urandom(64),
        b"GET / HTTP/9.9\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nContent-Length: -5\r\n\r\n",
        b"POST /v1/transactions HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"GET /" + b"a" * 70_000 + b" HTTP/1.1\r\nHost: localhost\r\n\r\n",
        b"GET /v1/status HTTP/1.1\r\n" + b"X: y\r\n" * 5_000 + b"\r\n",
        os.urandom(4_096),
    ]
    for url in (node.http, node.metrics):
        for request in requests:
            with socket.create_connection(split_address(url.removeprefix("http://")), timeout=10) as connection:
                answer = talk(connection, request)
                assert answer == b"" or answer.split()[1][:1] == b"4", answer[:200]
    key = Key.open(devnet.net.accounts[3].key_file)
    with Client(node.http, genesis=Path(devnet.net.genesis), key=key) as client:
        client.put(b"after the noise", b"1")
    wait_for("its peers are linked", lambda: counter(devnet, 0, "rustorium_transport_link_up") == 3)
    assert_no_panic(devnet)


def talk(connection: socket.socket, request: bytes) -> bytes:
    """Returns the answer until the other side closes or sends nothing more."""
    try:
        connection.sendall(request)
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while part := connection.recv(65_536):
            answer += part
        return answer
    except TimeoutError:
        raise
    except OSError:
        return b""


def test_a_full_pool_answers_busy_and_loses_no_transaction(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=1, accounts=2, start=False)
    home = Path(net.net.nodes[0].home)
    with open(home / "config.toml", "a") as config:
        config.write("\n[txpool]\ntransactions_max = 8\n")
    net.start()
    key, other = (Key.open(account.key_file) for account in net.net.accounts)
    held = [signed(net.net.chain, key, nonce) for nonce in range(1, 7)]
    with Client.from_net(net.path, key=key, timeout_s=20) as client:
        results = client.submit_all(held, wait="accepted", timeout_ms=300)
        taken = [one for one, result in zip(held, results, strict=True) if not isinstance(result, Exception)]
        refused = [result for result in results if isinstance(result, Exception)]
        assert taken == held[: len(taken)]
        assert refused
        assert all(isinstance(result, Busy) and result.code in ("busy", "pool-full") for result in refused), refused
        answer = post(net.net.nodes[0].http, [held[-1]])
        assert (answer.status_code, answer.json()["retry_after_ms"] > 0) == (503, True)
        assert int(answer.headers["retry-after"]) >= 1
        # A transaction that can be executed finds room, and those that waited behind it are executed with it.
        client.put(b"of another", b"1", key=other)
        done = client.submit_transaction(signed(net.net.chain, key, 0))
        assert done.receipt is not None
        for result in client.submit_all(held, timeout_ms=20_000):
            assert not isinstance(result, Exception), result
        assert client.account(key.address, verify=False).nonce == 7
    assert net.stop() == {"node-0": 0}
    assert_no_panic(net)


def test_an_unreachable_peer_is_reported(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=2, accounts=1)
    url = net.net.nodes[0].http
    assert counter(net, 0, 'rustorium_transport_link_up{peer="1"}') == 1
    net.kill(1)
    wait_for("the node isn't ready", lambda: not statuses(net, [0])[0].ready)
    wait_for("the link is down", lambda: statuses(net, [0])[0].peers_up == 0)
    assert counter(net, 0, 'rustorium_transport_link_up{peer="1"}') == 0
    answer = httpx2.get(f"{url}/readyz", trust_env=False)
    assert answer.status_code == 503
    assert "1 of the 2 validators that a quorum needs" in answer.text
    assert f"can't reach node-1 at {net.net.nodes[1].p2p}" in answer.text
    assert httpx2.get(f"{url}/healthz", trust_env=False).json()["reasons"][1].endswith("not node-1")
    assert statuses(net, [0])[0].unreachable == ("node-1",)
    assert httpx2.get(f"{url}/livez", trust_env=False).status_code == 200
    assert_no_panic(net)
