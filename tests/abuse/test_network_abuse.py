"""Attacks by outsiders on the ports of real nodes. Nodes answer them little or not at all, bound and count what they
may hold, and the chain goes on.

`RUSTORIUM_ABUSE_TIMES` makes the floods that much larger (`just torture`). Only this long form fails if the median
latency more than doubles, so no test of `just test` depends on the clock.
"""

import os
import secrets
import select
import socket
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from multiprocessing import get_context
from pathlib import Path

import httpx2
import pytest
from attackers import (
    MIB,
    Flood,
    Pulse,
    answer_of,
    connect,
    problem_of,
    submit_flood,
    unread_bytes,
)
from watching import BEATS, MARK, TIMES, VICTIM, Watch, attacked_net, body_of, raw

from follower_tools import Follower
from process_tools import DEADLINE_S, Load, assert_no_panic, counter, level, wait_for
from rust_example import rust_example
from rustorium.client import Client, Key
from rustorium.config import load as load_config
from rustorium.config import render
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet

pytestmark = MARK

UNREAD_BYTES_MAX = 128 * 1024
"""Bytes that the system may hold for one client that reads nothing, apart from the node's own memory."""


@pytest.fixture(scope="module")
def program() -> Path:
    return rust_example("flood")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators, which all attacks of this file use one after the other."""
    with attacked_net(tmp_path_factory.mktemp("abuse")) as net:
        yield net


def test_garbage_datagrams_are_hardly_answered(net: Devnet, program: Path) -> None:
    node = net.net.nodes[VICTIM]
    with Watch(net, "garbage") as watch:
        floods = [Flood(program, net, node, "garbage", port, 40_000 * TIMES) for port in ("peer", "client")]
        watch.beat()
        for flood in floods:
            said = flood.end()
            assert said["sent_bytes"] > 0
            assert said["received_bytes"] < said["sent_bytes"]


def test_unfinished_handshakes_get_small_answers_and_must_prove_their_address(net: Devnet, program: Path) -> None:
    node = net.net.nodes[VICTIM]
    names = ("rustorium_transport_address_proofs_total", "rustorium_gateway_address_proofs_total")
    before = [counter(net, VICTIM, name) for name in names]
    with Watch(net, "silent handshakes") as watch:
        floods = [Flood(program, net, node, "silent", port, 600) for port in ("peer", "client")]
        watch.beat()
        ended = [flood.end() for flood in floods]
    # The system drops what doesn't fit into a socket's buffer. Every handshake that was answered was asked to prove its
    # address first.
    for name, earlier, said in zip(names, before, ended, strict=True):
        assert said["answered"] > 0, "the packets were none"
        assert said["worst_permille"] <= 3_000, "amplified"
        assert counter(net, VICTIM, name) >= earlier + said["answered"], name


def test_handshakes_of_one_address_have_a_rate(net: Devnet, program: Path) -> None:
    node = net.net.nodes[VICTIM]
    refusals = 'rustorium_transport_refusals_total{reason="too-many"}'
    before = counter(net, VICTIM, refusals)
    with Watch(net, "handshakes") as watch:
        said = Flood(program, net, node, "handshakes", "peer", 600 * TIMES).end()
        assert said["done"] > 0
        assert said["refused"] > 0
        watch.beat()
    assert counter(net, VICTIM, refusals) >= before + said["refused"]
    wait_for("its peers are linked", lambda: counter(net, VICTIM, "rustorium_transport_link_up") == 3)


def test_connections_and_streams_are_limited_on_both_ports(net: Devnet, program: Path) -> None:
    node = net.net.nodes[VICTIM]
    refused = 'rustorium_gateway_refused_connections_total{face="quic"}'
    before = counter(net, VICTIM, refused)
    with Watch(net, "held connections") as watch:
        client = Flood(program, net, node, "fill", "client", 44)
        peer = Flood(program, net, node, "hold", "peer", 40)
        said = client.line()
        # However slow the machine is, the node refuses connections of one address before it serves the 257th.
        assert said["refused"] == 44
        assert counter(net, VICTIM, 'rustorium_gateway_connections{face="quic"}') <= 256
        assert said["streams_of_one"] <= 1
        assert peer.line()["streams_of_one"] <= 3
        watch.beat()
        client.end()
        peer.end()
    assert counter(net, VICTIM, refused) >= before + said["refused"]
    wait_for("all are gone", lambda: counter(net, VICTIM, 'rustorium_gateway_connections{face="quic"}') == 0)


def test_flooding_followers_neither_slow_the_chain_nor_keep_a_newcomer_out(tmp_path: Path, program: Path) -> None:
    with Devnet.create(tmp_path / "open") as net:
        for node in net.net.nodes:
            path = Home(Path(node.home)).config
            config = load_config(path.read_text()).config
            path.write_text(render(replace(config, p2p=replace(config.p2p, followers="any"))))
        net.start()
        node = net.net.nodes[VICTIM]
        with Watch(net, "strangers that follow") as watch:
            flood = Flood(program, net, node, "follow", "peer", 16)
            assert flood.line()["linked"] >= 1
            watch.beat()
        # The chain is idle while the newcomer catches up; with a busy chain the test would be a race.
        newcomer = Follower(net, tmp_path / "newcomer", {node.name: node.p2p})
        try:
            newcomer.start()
            with Pulse(net) as pulse:
                wait_for("the chain goes on", lambda: pulse.beats() >= BEATS)
            assert newcomer.stop() == 0
        finally:
            newcomer.kill()
        said = flood.end()
        assert said["linked"] >= 16
        assert said["answers"] > 0
        wait_for("all are level", lambda: level(net))
        assert_no_panic(net)


def test_endless_request_heads_leave_room_for_other_addresses(net: Devnet) -> None:
    node = net.net.nodes[VICTIM]
    refused = 'rustorium_gateway_refused_connections_total{face="http"}'
    before = counter(net, VICTIM, refused)
    with ExitStack() as many, Watch(net, "slow heads") as watch:
        connections = [many.enter_context(connect(node, "127.0.0.66")) for _ in range(1_024)]
        for connection in connections:
            connection.sendall(b"GET /v1/status HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")
        for _ in range(8):
            status, body = answer_of(many.enter_context(connect(node, "127.0.0.66")))
            assert (status, problem_of(body)["code"]) == (503, "busy")
        watch.beat()
    assert counter(net, VICTIM, refused) == before + 8


def test_missing_bodies_share_one_budget(net: Devnet) -> None:
    node = net.net.nodes[VICTIM]
    fields = ("Host: localhost", "Content-Type: application/json", "Content-Length: 2000000", "", "{")
    head = "\r\n".join(("POST /v1/transactions HTTP/1.1", *fields)).encode()
    # Each body reserves its announced length: 33 of them fill the budget of all bodies.
    room = 64 * MIB // 2_000_000
    with ExitStack() as many, Watch(net, "slow bodies") as watch:
        connections = [many.enter_context(connect(node, "127.0.0.67")) for _ in range(48)]
        for connection in connections:
            connection.sendall(head)
        answers: Counter[tuple[int, str]] = Counter()
        # Transactions without room are refused at once. The other requests are answered much later.
        while answers[503, "busy"] < 48 - room:
            for connection in select.select(connections, [], [], DEADLINE_S)[0]:
                status, body = answer_of(connection)
                answers[status, problem_of(body)["code"]] += 1
                connections.remove(connection)
        assert answers.keys() <= {(503, "busy"), (408, "body-too-slow")}
        watch.beat()


def test_unread_event_streams_are_bounded(net: Devnet) -> None:
    node = net.net.nodes[VICTIM]
    request = b"GET /v1/events?last_event_id=0.0 HTTP/1.1\r\nHost: localhost\r\n\r\n"
    upgrade = (
        b"GET /v1/events/ws?last_event_id=0.0 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\n"
        b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    codes: Counter[str] = Counter()
    # The load also runs before the attack, so that the chain is compared with and without the streams.
    with ExitStack() as many, Load(net, "streams") as load, Watch(net, "event streams") as watch:
        for number in range(520):
            connection = many.enter_context(connect(node, f"127.0.1.{1 + number % 8}", receive_bytes=4096))
            connection.sendall(request if number % 2 else upgrade)
            if not connection.recv(12, socket.MSG_PEEK).startswith((b"HTTP/1.1 200", b"HTTP/1.1 101")):
                _, body = answer_of(connection)
                codes[problem_of(body)["code"]] += 1
        assert codes["too-many-streams"] >= 520 - 512
        assert counter(net, VICTIM, "rustorium_gateway_event_streams") <= 512
        load.wait_for_more(500)
        unread = unread_bytes(node)
        print(f"{len(unread)} connections, {max(unread)} bytes unread in one, {sum(unread) / MIB:.1f} MiB in all")
        assert max(unread) <= UNREAD_BYTES_MAX
        watch.beat()


def test_floods_of_transactions_are_refused_with_their_reasons(net: Devnet) -> None:
    node, chain = net.net.nodes[VICTIM], net.net.chain
    known = Key.open(net.net.accounts[2].key_file)
    unknown = [Key.generate() for _ in range(64)]
    # The flooding processes may take more than a minute to start where others take the processor.
    hour = 3_600
    kinds = {
        "unknown-account": body_of([raw(unknown[n % 64], chain, n, expires_s=hour) for n in range(500)]),
        "bad-signature": body_of([raw(known, chain, n, good=False, expires_s=hour) for n in range(500)]),
        "nonce-too-far": body_of([raw(known, chain, 1_000_000 + n, expires_s=hour) for n in range(500)]),
        "malformed-transaction": body_of([secrets.token_bytes(200) for _ in range(500)]),
    }

    # Real attackers have their own machines. As threads they would take the interpreter from the pulse, which measures
    # latency, and as processes of normal priority they would take the processor from the nodes.
    spawned = ProcessPoolExecutor(4, get_context("spawn"), os.nice, (19,))
    with spawned as pool, Watch(net, "transaction floods") as watch:
        running = {kind: pool.submit(submit_flood, node.http, body, 6 * TIMES) for kind, body in kinds.items()}
        watch.beat()
        for kind, future in running.items():
            codes = future.result()
            print(kind, dict(codes))
            assert codes[kind] > 0
            assert codes.keys() <= {kind, "busy", "sender-full", "pool-full"}
            assert codes.total() == 3_000 * TIMES
    with Client(node.http) as client:
        wait_for("it is ready", lambda: client.status().ready)


def test_copies_of_a_transaction_that_is_never_executed_do_not_fill_a_node(net: Devnet) -> None:
    """One account sends one transaction behind a gap of nonces. Before the fix its copies filled a node until its next
    start."""
    node, chain = net.net.nodes[VICTIM], net.net.chain
    signer = Key.open(net.net.accounts[2].key_file)
    with Client(node.http) as client:
        nonce = client.account(signer.address, verify=False).nonce
    body = body_of([raw(signer, chain, nonce + 1)] * 1_000)
    head = (
        "POST /v1/transactions?wait=final&timeout_ms=60000 HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/octet-stream\r\nContent-Length: {len(body)}\r\n\r\n"
    )

    def waiting() -> float:
        return counter(net, VICTIM, "rustorium_gateway_waiting_transactions")

    def taken() -> float:
        return counter(net, VICTIM, "rustorium_gateway_submitted_transactions")

    with Watch(net, "copies of one transaction") as watch:
        before = taken()
        with ExitStack() as many:
            for number in range(6 * TIMES):
                connection = many.enter_context(connect(node, f"127.0.1.{1 + number % 8}"))
                connection.sendall(head.encode() + body)
            # Each accepted group adds a thousand copies; a full node accepts no more.
            wait_for("copies came", lambda: taken() >= before + 4_000)
            watch.beat()
            assert waiting() <= 7 * TIMES + 1, "a request waits once for one transaction"
            assert httpx2.get(f"{node.http}/healthz", trust_env=False).json()["reasons"] == []
        wait_for("who hangs up waits no more", lambda: waiting() <= 1)
        watch.beat()
