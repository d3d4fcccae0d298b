"""Copies of one transaction that is never executed, sent to every node over QUIC. Other clients' writes go on during
the flood and after it, without a restart, on a busy chain and on an idle one."""

import statistics
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx2
import pytest
from attackers import Copies
from watching import MARK, TIMES, VICTIM, Watch, attacked_net, raw

from process_tools import counter, wait_for
from rust_example import rust_example
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

pytestmark = MARK

COPIES = 4_200
"""Number of copies after which, before the fix, no node took another transaction until it was restarted."""
SLACK_MS = 10.0
WRITES = 3 if TIMES == 1 else 15
"""Number of writes whose median is compared on an idle chain."""


@pytest.fixture(scope="module")
def program() -> Path:
    return rust_example("copies")


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    with attacked_net(tmp_path_factory.mktemp("copies")) as net:
        yield net


def behind_a_gap(net: Devnet) -> bytes:
    """Returns a signed transaction with a gap of one nonce before it."""
    signer = Key.open(net.net.accounts[2].key_file)
    with Client(net.net.nodes[VICTIM].http) as client:
        nonce = client.account(signer.address, verify=False).nonce
    return raw(signer, net.net.chain, nonce + 1)


def flood(net: Devnet, program: Path, many: ExitStack) -> list[Copies]:
    """Sends the copies to all nodes, from another address than the honest client's."""
    signed = behind_a_gap(net)
    floods = [Copies(program, net, node, "127.0.3.1", signed, COPIES * min(TIMES, 7)) for node in net.net.nodes]
    for one in floods:
        many.callback(one.end)
    return floods


def waiting(net: Devnet) -> list[float]:
    nodes = range(len(net.net.nodes))
    return [counter(net, node, "rustorium_gateway_waiting_transactions") for node in nodes]


def assert_open_to_all(net: Devnet) -> None:
    for node in net.net.nodes:
        reasons = httpx2.get(f"{node.http}/healthz", trust_env=False).json()["reasons"]
        assert "the pool is full" not in reasons, reasons


def test_writes_of_others_go_on_during_a_flood_of_copies_and_after_it(net: Devnet, program: Path) -> None:
    with Watch(net, "copies over QUIC") as watch:
        with ExitStack() as many:
            flood(net, program, many)
            watch.beat()
            assert max(waiting(net)) <= 2, "a session waits once for one transaction, and the honest client once"
            assert_open_to_all(net)
        wait_for("who hangs up waits no more", lambda: max(waiting(net)) <= 1)
        watch.beat()


def write_ms(net: Devnet, number: int) -> float:
    with Client.from_net(net.path) as client:
        began = time.monotonic()
        client.put(b"idle", b"%d" % number, key=Key.open(net.net.accounts[3].key_file))
        return 1000 * (time.monotonic() - began)


def test_an_idle_chain_takes_a_write_during_a_flood_of_copies_and_after_it(net: Devnet, program: Path) -> None:
    def median_ms(first: int) -> float:
        """Median of writes, each on a chain that rests."""
        return statistics.median(write_ms(net, first + number) for number in range(WRITES))

    calm_ms = median_ms(0)
    with ExitStack() as many:
        flood(net, program, many)
        during_ms = median_ms(WRITES)
        assert_open_to_all(net)
    after_ms = median_ms(2 * WRITES)
    figures = f"{calm_ms:.1f} ms in calm, {during_ms:.1f} beside the copies, {after_ms:.1f} after them"
    print(f"median of {WRITES} writes: {figures}")
    wait_for("who hangs up waits no more", lambda: max(waiting(net)) == 0)
    assert_open_to_all(net)
    if TIMES > 1:
        assert during_ms <= 2 * calm_ms + SLACK_MS
        assert after_ms <= calm_ms + SLACK_MS
