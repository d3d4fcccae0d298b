"""R26, R27 on real processes: a validator whose home lost its signing record follows the chain and signs nothing
more."""

import json
import shutil
from pathlib import Path

import pytest

from process_tools import Load, assert_no_panic, assert_same_roots, level, start_home, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes
VICTIM = 3


def audited(net: Devnet, event: str) -> list[dict[str, object]]:
    lines = Path(net.net.nodes[VICTIM].home, "audit", "audit.jsonl").read_text().splitlines()
    return [line["fields"] for line in map(json.loads, lines) if line["event"] == event]


def test_a_home_that_lost_store_and_journal_follows_and_signs_nothing(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=4, accounts=2)
    node = net.net.nodes[VICTIM]
    with Load(net, "before") as load:
        load.wait_for_more(200)
    assert net.terminate(VICTIM) == 0
    for lost in ("db", "safety"):
        shutil.rmtree(Path(node.home, lost))
    with Load(net, "after") as load:
        net.restart(VICTIM)
        wait_for("it knows", lambda: statuses(net, [VICTIM])[0].retired != "")
        load.wait_for_more(200)
    wait_for("it still answers", lambda: statuses(net, [VICTIM])[0].ready)
    [status] = statuses(net, [VICTIM])
    assert "signs nothing more" in status.retired
    assert "new validator key" in status.retired
    assert call(Path(node.home, "run", "admin.sock"), "status")["key_retired_because"] == status.retired
    assert [fields["reason"] for fields in audited(net, "key retired")] == [status.retired]
    key = Key.open(net.net.accounts[0].key_file)
    with Client(node.http, genesis=Path(net.net.genesis), key=key) as client:
        client.put(b"by way of others", b"1")
    wait_for("all are level", lambda: level(net))
    assert_same_roots(net)
    assert all(one.evidence == () for one in statuses(net)), "it has contradicted nothing"
    # Once the loss was found, the next start knows it at once, even if only the mark is left.
    assert net.terminate(VICTIM) == 0
    shutil.rmtree(Path(node.home, "db"))
    for part in Path(node.home, "safety").iterdir():
        if part.name != "retired":
            part.unlink()
    net.restart(VICTIM)
    assert statuses(net, [VICTIM])[0].retired == status.retired
    assert len(audited(net, "key retired")) == 1
    wait_for("all are level", lambda: level(net))
    assert_no_panic(net)


def test_no_restart_of_an_intact_home_retires_the_key(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=4, accounts=2)
    with Load(net, "load") as load:
        for index in (0, 1, 2, 3, 3):
            load.wait_for_more(50)
            net.kill(index)
            net.restart(index)
        load.wait_for_more(50)
    for index in range(4):
        net.kill(index)
    for index in range(4):
        net.spawn(index)
    net.wait_ready()
    assert all(one.retired == "" and one.evidence == () for one in statuses(net))
    with Client.from_net(net.path, key=Key.open(net.net.accounts[0].key_file)) as client:
        client.put(b"all sign", b"1")
    assert_no_panic(net)


def test_a_store_without_its_journal_is_an_error_with_the_next_step(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=1, accounts=1)
    with Client.from_net(net.path, key=Key.open(net.net.accounts[0].key_file)) as client:
        client.put(b"one", b"1")
    assert net.terminate(0) == 0
    safety = Path(net.net.nodes[0].home, "safety")
    for part in safety.glob("segment-*"):
        part.unlink()
    ended = start_home(net.net.nodes[0].home)
    assert ended.returncode == 1
    last = ended.stderr.splitlines()[-1]
    assert last.endswith("[journal-retired]")
    assert "leave the home as it is" in last
    assert "gives it a new validator key" in last
