"""A chain whose start only an archive node keeps, until its disk is low and its operator lets it prune. Requests for
older heights are refused by name, and new nodes are filled all the same."""

import time
from collections.abc import Callable
from pathlib import Path

import pytest
from test_state_sync import VICTIM, eager, events, wipe

from process_tools import Load, level, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.errors import ProofPruned, Pruned
from rustorium.net.devnet import Devnet
from rustorium.node.recovery.quarantine import quarantined
from rustorium.node.recovery.state import read_recovery
from rustorium.types import Subject
from supervised import SupervisedNode

pytestmark = pytest.mark.nodes
KEEP = 1000
OTHERS = [0, 1, 2]
ARCHIVE = 2
KEEPS_ALL = {"RUSTORIUM_STORAGE__KEEP": "archive"}
LOW = {
    "RUSTORIUM_RECOVERY__KEEP_WHEN_LOW": str(KEEP),
    "RUSTORIUM_RECOVERY__DISK_FREE_BYTES_MIN": str(1 << 60),
    "RUSTORIUM_RECOVERY__LASTS_MS": "1000",
    "RUSTORIUM_RECOVERY__WATCH_MS": "200",
}
"""More than is free on any disk."""


def test_pruned_heights_are_refused_by_name_and_not_needed_by_new_nodes(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    with eager(tmp_path, 4, storage=f"keep = {KEEP}\nproofs_kept = 5") as net:
        net.terminate(ARCHIVE)
        net.spawn(ARCHIVE, KEEPS_ALL)
        net.wait_ready(indexes=[ARCHIVE])
        client = Client(net.net.nodes[0].http, genesis=Path(net.net.genesis), timeout_s=20.0)
        with client, Load(net, "early") as load:
            load.wait_for_more(100)
            net.kill(VICTIM)
            goal = KEEP + 300
            wait_for("more heights than are kept", lambda: min(s.height for s in statuses(net, OTHERS)) > goal, 200.0)
            load.stop()
            pruned(net, client, load)
        figure(f"an archive on a low disk had forgotten {cut_on_a_low_disk(net):.0f} s after its supervisor's start")
        away_for_too_long(net)
        wiped_and_filled(net)


def pruned(net: Devnet, client: Client, load: Load) -> None:
    """Nodes forget while they commit: one more write, until the first block is gone."""
    key = Key.open(net.net.accounts[0].key_file)

    def gone() -> bool:
        client.put(b"more", b"x", key=key)
        return is_pruned(client)

    wait_for("block 1 is pruned", gone)
    _, address, name, value = load.told[0]
    with pytest.raises(Pruned):
        client.read(address, name, at=1)
    with pytest.raises((ProofPruned, Pruned)):
        client.prove([Subject(address)], at=1)
    # The newest state is complete and proven: values outlive the blocks that wrote them.
    assert client.get(address, name) == value


def cut_on_a_low_disk(net: Devnet) -> float:
    """Unneeded files are removed first; then the archive starts once with fewer heights and prunes the rest. Returns
    the seconds."""
    with Client(net.net.nodes[ARCHIVE].http) as client:
        assert client.block(1, proof=False).height == 1
        net.terminate(ARCHIVE)
        began = time.monotonic()
        with SupervisedNode(net, ARCHIVE, KEEPS_ALL | LOW) as node:
            node.wait_for_act("prune", "disk-low", [])
            wait_for("it says so", lambda: "history-cut" in found(net))
            wait_for("it takes part", lambda: all(status.ready for status in statuses(net, OTHERS)))
            with Load(net, "cut") as load:
                wait_for("block 1 is pruned", lambda: is_pruned(client))
            took_s = time.monotonic() - began
            assert node.acts() == [("free", "disk-low"), ("prune", "disk-low")]
            audited = {one["act"]: one for one in node.audited("recover")}
            assert audited.keys() == {"free", "prune"}
            assert "nothing brings them back" in audited["prune"]["why"]
            assert [one["undo"] for one in read_recovery(node.home)["acts"]] == ["", ""]
        net.spawn(ARCHIVE, KEEPS_ALL)
        net.wait_ready(indexes=[ARCHIVE])
        assert "history-cut" not in found(net), "for that start only"
        assert is_pruned(client)
        _, address, name, value = load.told[0]
        assert client.get(address, name, verify=False) == value
    return took_s


def found(net: Devnet) -> set[str]:
    [status] = statuses(net, [ARCHIVE])
    return {one.code for one in status.findings}


def is_pruned(client: Client) -> bool:
    try:
        client.block(1, proof=False)
    except Pruned as refused:
        return (refused.oldest or 0) > 1
    return False


def away_for_too_long(net: Devnet) -> None:
    """The store is intact, but no node has the next blocks: `recover auto` detects this and fills the store."""
    with SupervisedNode(net, VICTIM) as node:
        node.wait_for_act("refill", "behind-pruned", [])
        wait_for("all are level", lambda: level(net))
        assert len(events(net, VICTIM, "state_synced")) == 1
        [aside] = quarantined(node.home)
        assert aside.evidence.startswith("no connected validator holds height ")


def wiped_and_filled(net: Devnet) -> None:
    net.kill(VICTIM)
    wipe(net, VICTIM)
    net.restart(VICTIM)
    assert len(events(net, VICTIM, "state_synced")) == 2
    with Load(net, "late") as load:
        load.wait_for_more(50)
    wait_for("all are level", lambda: level(net))
