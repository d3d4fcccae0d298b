"""A follower on a real devnet: it catches up, serves what can be proved, and never counts for the quorum."""

import os
import select
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from follower_tools import Follower
from process_tools import GROUP, Load, assert_no_panic, counter, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.net.devnet import Devnet
from rustorium.types import Submitted

pytestmark = pytest.mark.nodes
EPOCH_MS = 8_000


@contextmanager
def following(folder: Path, **parameters: int) -> Iterator[tuple[Devnet, Follower]]:
    with Devnet.create(folder / "net", nodes=4, accounts=2, parameters=parameters) as net:
        net.start()
        follower = Follower(net, folder / "watcher")
        try:
            yield net, follower
            assert follower.stop() == 0
        finally:
            follower.kill()
        assert_no_panic(net)
        log = (follower.home / "log" / "node.jsonl").read_text()
        assert "panicked" not in log
        assert "Traceback" not in log


def assert_serves(net: Devnet, follower: Follower, load: Load) -> None:
    """Checks that the follower returns, with proofs, everything that clients were told is final."""
    wait_for("the follower is level", lambda: follower.status().executed >= max(s.executed for s in statuses(net)))
    with Client(follower.url, genesis=Path(net.net.genesis), timeout_s=20.0) as client:
        for _, address, name, value in (load.told[-1], load.told[-GROUP]):
            # The newest state is proved a moment after it is executed.
            wait_for("what was written last is proved", lambda: client.get(address, name) == value)  # noqa: B023
        for _, address, name, value in load.told[:: max(1, len(load.told) // 5)]:
            assert client.get(address, name) == value
            assert client.get(address, b"absent-" + name) is None


def test_it_catches_up_serves_proofs_and_forwards(tmp_path: Path) -> None:
    with following(tmp_path) as (net, follower):
        with Load(net, "before") as load:
            load.wait_for_more(300)
        follower.start()
        assert_serves(net, follower, load)
        assert follower.status().role == "follower"
        assert {status.role for status in statuses(net)} == {"validator"}
        key = Key.open(net.net.accounts[0].key_file)
        with Client(follower.url, genesis=Path(net.net.genesis), key=key, timeout_s=20.0) as client:
            start = f"{client.status().executed}.{2**32 - 1}"
            written = client.write_with_proof([put(key.address, b"through", b"a follower")])
            assert client.verify_proof(written.proof).receipt == written.receipt
            results = client.send_many([[put(key.address, b"n%d" % n, b"1")] for n in range(50)])
            assert all(isinstance(result, Submitted) for result in results)
            stream = client.subscribe_transactions(f"sender:{key.address}", after=start)
            seen = [next(stream).receipt.transaction for _ in range(51)]
            stream.close()
            told = [result.id for result in results if isinstance(result, Submitted)]
            assert seen == [written.receipt.transaction, *told]
        with Client.from_net(net.path) as client:
            assert client.get(key.address, b"through") == b"a follower"


def test_blocks_are_pushed_to_it(tmp_path: Path) -> None:
    with following(tmp_path) as (net, follower):
        follower.start()
        with Load(net, "pushed") as load:
            wait_for("blocks are pushed", lambda: follower.counter("rustorium_consensus_pushes_used_total") > 20)
            load.wait_for_more(100)
        assert_serves(net, follower, load)


def test_it_goes_on_after_kill_9_and_across_an_epochs_end(tmp_path: Path) -> None:
    with following(tmp_path, epoch_ms=EPOCH_MS) as (net, follower):
        follower.start()
        with Load(net, "first") as load:
            load.wait_for_more(100)
            follower.kill()
            load.wait_for_more(100)
            began = max(status.epoch for status in statuses(net))
            # The follower returns in an epoch that began without it.
            wait_for("an epoch ends", lambda: min(status.epoch for status in statuses(net)) > began)
        follower.start()
        assert_serves(net, follower, load)
        here = follower.status().epoch
        assert here > began
        wait_for("it goes into the next one with the others", lambda: follower.status().epoch > here)
        with Load(net, "second") as more:
            more.wait_for_more(100)
        assert_serves(net, follower, more)
        key = Key.open(net.net.accounts[1].key_file)
        with Client(follower.url, genesis=Path(net.net.genesis), key=key, timeout_s=20.0) as client:
            client.put(b"later", b"epoch")
            assert client.get(key.address, b"later") == b"epoch"


def test_a_node_whose_gateway_asks_for_tokens_serves_no_follower_that_it_does_not_name(tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", nodes=4, accounts=2) as net:
        for node in net.net.nodes:
            with open(Path(node.home) / "config.toml", "a", encoding="utf-8") as file:
                file.write('\n[gateway]\nread = "token"\n')
        net.start()
        follower = Follower(net, tmp_path / "watcher", named=False)
        ready = follower.spawn()
        try:

            def is_refused() -> bool:
                return counter(net, 0, 'rustorium_transport_refusals_total{reason="unknown-key"}') > 0

            def is_ready() -> bool:
                return bool(select.select([ready], [], [], 0)[0])

            wait_for("it is turned away, or let in", lambda: is_refused() or is_ready())
            assert (is_refused(), is_ready()) == (True, False)
            assert counter(net, 0, "rustorium_transport_followers") == 0
            net.allow_follower(follower.node_key)
            follower.wait_ready(os.dup(ready))
            assert follower.stop() == 0
        finally:
            os.close(ready)
            follower.kill()
        assert_no_panic(net)
