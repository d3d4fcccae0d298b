"""Real processes: a committee grows from four to seven and shrinks to another four while clients write."""

import threading
import time
from pathlib import Path

import pytest

from follower_tools import Follower
from process_tools import wait_for
from rustorium._native import account_id
from rustorium.access.genesis import read_genesis
from rustorium.client import Client, Key
from rustorium.errors import RustoriumError, TransactionFailed
from rustorium.net.devnet import Devnet
from rustorium.net.joining import admit, find, remove, wait_for_committee
from rustorium.testing import DevnetFactory

PAUSE_S_MAX = 30.0
"""Maximum seconds between two writes of a client: many view timeouts of a busy machine, and less than a stopped chain
takes."""


def client_of(net: Devnet) -> Client:
    return Client(net.net.endpoints, genesis=read_genesis(Path(net.net.genesis)), timeout_s=60.0)


class Writer:
    """A client that writes values one after the other, each final before the next, and records the longest wait."""

    def __init__(self, net: Devnet) -> None:
        self.longest_s, self.written, self.fault = 0.0, 0, ""
        self._net, self._stop = net, threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Writer":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        key = Key.open(Path(self._net.net.accounts[1].key_file))
        with client_of(self._net) as client:
            while not self._stop.is_set():
                begun = time.monotonic()
                try:
                    client.put(b"count", str(self.written).encode(), key=key, wait="final")
                except RustoriumError as error:
                    self.fault = f"{type(error).__name__}: {error}"
                    return
                self.written += 1
                self.longest_s = max(self.longest_s, time.monotonic() - begun)


@pytest.mark.alone
def test_a_committee_grows_to_seven_and_shrinks_to_four_others_under_load(
    devnet_factory: DevnetFactory, tmp_path: Path
) -> None:
    net = devnet_factory()
    operator = Key.open(Path(net.net.accounts[0].key_file))
    with client_of(net) as client, Writer(net) as writer:
        for wanted in (5, 6, 7):
            joiner = net.add_home()
            net.spawn(wanted - 1)
            net.wait_ready(indexes=[wanted - 1], timeout_s=60)
            admit(client, joiner, operator)
            assert wait_for_committee(client, joiner.validator_key, True, 60) == wanted - 4
        assert len(client.validators()["validators"]) == 7
        # The owner of a joined validator can replace its keys, because the account that signs the replacement exists.
        assert client.account(account_id(joiner.region, bytes.fromhex(joiner.owner_key))).nonce == 0
        for number, name in enumerate(("node-0", "node-1", "node-2")):
            one = find(client.validators()["validators"], name)
            remove(client, one, operator)
            assert wait_for_committee(client, one["validator_key"], False, 60) == 4 + number
        names = [one["name"] for one in client.validators()["validators"]]
        assert names == ["node-3", "node-4", "node-5", "node-6"]
        before = writer.written
        deadline = time.monotonic() + 60
        while writer.written < before + 10 and not writer.fault and time.monotonic() < deadline:
            client.put(b"other", b"x", key=operator, wait="final")
    print(f"{writer.written} writes, the longest took {writer.longest_s:.2f} s")
    assert writer.fault == ""
    assert writer.written >= before + 10
    assert writer.longest_s < PAUSE_S_MAX
    none_of_the_genesis_is_left(net, operator, tmp_path / "watcher")


def none_of_the_genesis_is_left(net: Devnet, operator: Key, watcher: Path) -> None:
    """A new validator knows three validators that the genesis doesn't name, and joins through them."""
    with client_of(net) as client:
        one = find(client.validators()["validators"], "node-3")
        remove(client, one, operator)
        wait_for_committee(client, one["validator_key"], False, 60)
        committee = client.validators()["validators"]
    assert [one["name"] for one in committee] == ["node-4", "node-5", "node-6"]
    for index in range(4):
        net.kill(index)
    joiner = net.add_home()
    net.spawn(7)
    net.wait_ready(indexes=[7], timeout_s=60)
    urls = [node.http for node in net.net.nodes[4:7]]
    with Client(urls, genesis=read_genesis(Path(net.net.genesis)), timeout_s=60.0) as client:
        admit(client, joiner, operator)
        wait_for_committee(client, joiner.validator_key, True, 60)
    follower = Follower(net, watcher, {committee[0]["node_key"]: committee[0]["address"]})
    try:
        follower.start()
        # It may report ready at the end of an earlier epoch, since nobody tells it that the epoch is over.
        wait_for("it is in the newest epoch", lambda: follower.status().epoch == 8)
        assert follower.stop() == 0
    finally:
        follower.kill()


def test_only_operators_change_the_committee(devnet: Devnet) -> None:
    stranger = Key.open(Path(devnet.net.accounts[2].key_file))
    with client_of(devnet) as client:
        one = client.validators()["validators"][0]
        with pytest.raises(TransactionFailed) as failed:
            remove(client, one, stranger)
        assert failed.value.failure == "not-an-operator"
        assert len(client.validators()["validators"]) == 4
