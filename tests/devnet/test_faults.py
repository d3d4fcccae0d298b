"""Real processes are killed, stopped, started twice, and lose files; the others go on, and nothing is lost."""

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from process_tools import (
    Load,
    assert_no_panic,
    assert_none_missing,
    assert_one_sentence,
    assert_same_roots,
    counter,
    level,
    start_home,
    statuses,
    wait_for,
)
from rustorium.access.netfile import NetNode, read_net
from rustorium.client import Client, Key
from rustorium.config import split_address
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.alone

ROUNDS = int(os.environ.get("RUSTORIUM_FAULT_ROUNDS", "1"))
"""Number of times that all four are killed; 20 in `just torture`. tests/disk/test_kill_loop.py kills any of them at any
time."""
HEARTBEATS = 8
AWAKE = 3
"""Number of times that an idle chain is woken."""
FREE_PORTS = [part for name in ("p2p", "http", "client", "metrics") for part in (f"--{name}-listen", "127.0.0.1:0")]


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators; each test leaves them running and at the same height."""
    with Devnet.create(tmp_path_factory.mktemp("faults")) as net:
        net.start()
        yield net
        assert_no_panic(net)


@pytest.fixture
def key(net: Devnet) -> Key:
    return Key.open(net.net.accounts[2].key_file)


def log_events(node: NetNode) -> list[dict[str, object]]:
    lines = Path(node.home, "log", "node.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


def test_one_is_killed_under_load_and_catches_up(net: Devnet) -> None:
    with Load(net, "one") as load:
        load.wait_for_more(100)
        [before] = statuses(net, [3])
        net.kill(3)
        assert net.exit_code(3) == -signal.SIGKILL
        first = load.wait_for_more(100)
        load.wait_for_more(200)
        [ahead] = statuses(net, [0])
        assert ahead.executed > before.executed
        net.spawn(3)
        net.wait_ready(indexes=[3])
        behind = ahead.executed - before.executed
        took = wait_for("the restarted node is at the others' height", lambda: caught_up(net, ahead.executed))
        load.wait_for_more(100)
    print(f"100 more after {first:.2f} s; {behind} heights missed, caught up {took:.2f} s after ready")
    wait_for("all are level", lambda: level(net))
    assert assert_same_roots(net) >= ahead.executed
    assert_none_missing(net, load.told[::4])


def caught_up(net: Devnet, height: int) -> bool:
    [status] = statuses(net, [3])
    return status.executed >= height


def test_nothing_final_is_missing_after_all_were_killed(net: Devnet, key: Key) -> None:
    told: list[tuple[str, str, bytes, bytes]] = []
    seed = random.SystemRandom().randrange(2**32)
    print(f"seed {seed}")
    luck = random.Random(seed)
    for number in range(ROUNDS):
        with Load(net, f"all-{number}") as load:
            load.wait_for_more(luck.randrange(50, 400))
            for index in range(4):
                net.signal(index, signal.SIGKILL)
            for index in range(4):
                net.kill(index)
            load.stop()
        told += load.told
        net.start()
        assert_none_missing(net, load.told)
        with Client.from_net(net.path, key=key) as client:
            client.put(b"round", b"%d" % number)
            assert client.get(key.address, b"round", verify=False) == b"%d" % number
    wait_for("all are level", lambda: level(net))
    assert_none_missing(net, told[:: 1 + len(told) // 200])
    last = assert_same_roots(net)
    print(f"{ROUNDS} rounds, {len(told)} final transactions, height {last}, none missing")


def test_an_idle_chain_makes_no_block_and_wakes_at_once(net: Devnet, key: Key) -> None:
    def beats() -> float:
        return counter(net, 0, 'rustorium_transport_received_frames_total{peer="1",class="consensus"}')

    def picture() -> list[tuple[int, int, int]]:
        return [(status.executed, status.claimed, status.view) for status in statuses(net)]

    def hear(count: int) -> None:
        goal = beats() + count
        wait_for(f"{count} heartbeats", lambda: beats() >= goal)

    def calm() -> bool:
        found = picture()
        hear(2)
        return level(net) and picture() == found

    wait_for("the chain is idle", calm)
    before, heard = picture(), beats()
    steps = counter(net, 0, "rustorium_python_steps_total")
    hear(HEARTBEATS)
    assert picture() == before
    quiet = counter(net, 0, "rustorium_python_steps_total") - steps
    # However late the machine checked: one step for each heartbeat received until then, and one for each sent.
    heard = beats() - heard
    print(f"{quiet:.0f} Python steps in {heard:.0f} heartbeats")
    assert quiet <= 2 * heard + 2
    lost = []
    with Client.from_net(net.path, key=key) as client:
        for number in range(AWAKE):
            wait_for("the chain is idle", calm)
            [height, *_] = picture()[0]
            nullified = counter(net, 0, "rustorium_consensus_nullified_views_total")
            done = client.put(b"awake", b"%d" % number)
            assert done.receipt is not None
            assert done.receipt.height == height + 1
            lost.append(counter(net, 0, "rustorium_consensus_nullified_views_total") - nullified)
    assert min(lost) == 0, f"{lost} views were waited out: a busy machine may lose one, a sleeping chain loses each"


def test_a_signal_ends_a_node_cleanly(net: Devnet) -> None:
    node = net.net.nodes[3]
    assert net.terminate(3) == 0
    for address in (node.http.removeprefix("http://"), node.metrics.removeprefix("http://")):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as free:
            free.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            free.bind(split_address(address))
            free.listen()
    for address in (node.p2p, node.client):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as free:
            free.bind(split_address(address))
    stopped = [event for event in log_events(node) if event["event"] == "node stopped"]
    assert stopped[-1]["reason"] == "SIGTERM"
    net.restart(3)
    wait_for("all are level", lambda: level(net))


def test_a_second_process_on_a_home_is_refused(net: Devnet) -> None:
    ended = start_home(net.net.nodes[2].home, *FREE_PORTS)
    assert_one_sentence(ended, 1, f"the node of {net.net.nodes[2].home} runs", "[home-locked]")
    wait_for("all are level", lambda: level(net))


def test_a_missing_journal_retires_the_key(net: Devnet, key: Key, tmp_path: Path) -> None:
    home = Path(net.net.nodes[3].home)
    with Client.from_net(net.path, key=key) as client:
        client.put(b"journal", b"1")
    assert net.terminate(3) == 0
    for taken in ("folder", "content"):
        shutil.move(home / "safety", tmp_path / "safety")
        if taken == "content":
            (home / "safety").mkdir(mode=0o700)
        assert_one_sentence(start_home(home), 1, "safety journal", "signs nothing more", "validator's key")
        shutil.rmtree(home / "safety", ignore_errors=True)
        shutil.move(tmp_path / "safety", home / "safety")
    net.restart(3)
    wait_for("all are level", lambda: level(net))


def test_a_lost_database_is_fetched_again_or_refused(net: Devnet, key: Key, tmp_path: Path) -> None:
    home = Path(net.net.nodes[3].home)
    with Client.from_net(net.path, key=key) as client:
        client.put(b"database", b"1")
    wait_for("all are level", lambda: level(net))
    assert net.terminate(3) == 0
    shutil.move(home / "db", tmp_path / "db")
    net.restart(3)
    took = wait_for("all are level", lambda: level(net))
    print(f"{statuses(net, [3])[0].executed} heights fetched again in {took:.2f} s")
    assert_same_roots(net)


def test_the_command_resumes_the_chain_of_its_folder(net: Devnet, key: Key) -> None:
    """Must be the last test, because it ends the net of the others."""
    with Client.from_net(net.path, key=key) as client:
        client.put(b"kept", b"1")
    wait_for("all are level", lambda: level(net))
    height = statuses(net, [0])[0].executed
    assert set(net.stop().values()) == {0}
    read, write = os.pipe()
    command = [sys.executable, "-m", "rustorium.cli", "devnet", "--state", str(net.root), "--ready-fd", str(write)]
    process = subprocess.Popen(command, pass_fds=(write,), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    os.close(write)
    try:
        with open(read) as ready:
            resumed = read_net(Path(ready.read().strip()))
        assert (resumed.chain, resumed.endpoints) == (net.net.chain, net.net.endpoints)
        with Client(resumed.endpoints, genesis=Path(resumed.genesis), key=key) as client:
            assert client.get(key.address, b"kept", verify=False) == b"1"
            assert client.status().executed >= height
            client.put(b"kept", b"2")
    finally:
        process.send_signal(signal.SIGTERM)
        _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    assert err.endswith("All validators ended\n")
