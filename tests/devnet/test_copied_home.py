"""R26 on real processes: a copy of a home that runs beside its original ends before it signs anything."""

import json
import shutil
from pathlib import Path

import pytest

from process_tools import assert_no_panic, assert_one_sentence, level, start_home, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes

FREE_PORTS = [part for name in ("p2p", "http", "client", "metrics") for part in (f"--{name}-listen", "127.0.0.1:0")]


def dialer_of_all(net: Devnet) -> int:
    """Returns the validator with the lowest node key. It dials every other one, so a copy of it reaches them all."""
    validators = json.loads(Path(net.net.genesis).read_text())["validators"]
    return min(range(len(validators)), key=lambda index: validators[index]["node_key"])


def may_signs(home: str | Path) -> int:
    """Returns how often a process of this home was allowed to sign."""
    return (Path(home) / "log" / "node.jsonl").read_text().count('"may_sign"')


@pytest.mark.parametrize("chain", ["stood still", "went on"])
def test_a_copy_beside_its_original_ends(devnet_factory: DevnetFactory, tmp_path: Path, chain: str) -> None:
    net = devnet_factory(nodes=4, accounts=1)
    victim, copy = dialer_of_all(net), tmp_path / "copy"
    others = [index for index in range(4) if index != victim]
    key = Key.open(net.net.accounts[0].key_file)
    genesis = Path(net.net.genesis)
    with Client([net.net.nodes[index].http for index in others], genesis=genesis, key=key) as client:
        client.put(b"before", b"1")
        wait_for("all are level", lambda: level(net))
        assert net.terminate(victim) == 0
        original, signs = Path(net.net.nodes[victim].home), may_signs(net.net.nodes[victim].home)
        shutil.copytree(original, copy, ignore=shutil.ignore_patterns("*.sock"))
        net.restart(victim)
        # Before that the original has signed as little as the copy, and either may end.
        wait_for("the original may sign", lambda: may_signs(original) > signs)
        if chain == "went on":
            for number in range(5):
                client.put(b"meanwhile", b"%d" % number)
        ended = start_home(copy, *FREE_PORTS, "--passphrase-file", str(net.root / "passphrase"))
        assert_one_sentence(ended, 1, "another process runs with this node's keys", "[key-in-use]")
        assert may_signs(copy) == signs, "the original's, when it was copied"
        client.put(b"after", b"1")
        wait_for("all are level", lambda: level(net))
        assert [(one.evidence, one.retired) for one in statuses(net)] == [((), "")] * 4
        # Three of four are a quorum. With another node down, the chain goes on only if the original signs.
        assert net.terminate(others[0]) == 0
    with Client([net.net.nodes[index].http for index in others[1:]], genesis=genesis, key=key) as client:
        client.put(b"needed", b"1")
    assert_no_panic(net)
