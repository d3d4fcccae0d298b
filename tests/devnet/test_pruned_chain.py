"""A chain whose start nobody keeps: what is older is refused by name, and who joins is filled all the same."""

from pathlib import Path

import pytest
from test_state_sync import VICTIM, eager, events, wipe

from process_tools import Load, level, statuses, wait_for
from rustorium.client import Client, Key
from rustorium.devnet import Devnet
from rustorium.errors import ProofPruned, Pruned
from rustorium.node.quarantine import quarantined
from rustorium.types import Subject
from supervised import Supervised

pytestmark = pytest.mark.nodes
KEEP = 1000


def test_what_is_older_than_a_node_keeps_is_refused_and_not_needed_by_who_joins(tmp_path: Path) -> None:
    with eager(tmp_path, 4, storage=f"keep = {KEEP}\nproofs_kept = 5") as net:
        client = Client(net.net.nodes[0].http, genesis=Path(net.net.genesis), timeout_s=20.0)
        with client, Load(net, "early") as load:
            load.wait_for_more(100)
            net.kill(VICTIM)
            others = [0, 1, 2]
            goal = KEEP + 300
            wait_for("more heights than are kept", lambda: min(s.height for s in statuses(net, others)) > goal, 200.0)
            load.stop()
            pruned(net, client, load)
        away_for_too_long(net)
        wiped_and_filled(net)


def pruned(net: Devnet, client: Client, load: Load) -> None:
    """Nodes forget while they commit: one more write, until the first block is gone."""
    key = Key.open(net.net.accounts[0].key_file)

    def gone() -> bool:
        client.put(b"more", b"x", key=key)
        try:
            client.block(1, proof=False)
        except Pruned as refused:
            return (refused.oldest or 0) > 1
        return False

    wait_for("block 1 is pruned", gone)
    _, address, name, value = load.told[0]
    with pytest.raises(Pruned):
        client.read(address, name, at=1)
    with pytest.raises((ProofPruned, Pruned)):
        client.prove([Subject(address)], at=1)
    # The newest state is whole, and proven: values outlive the blocks that wrote them.
    assert client.get(address, name) == value


def away_for_too_long(net: Devnet) -> None:
    """Its store is whole, and nobody holds what comes next: `recover auto` finds that out, and has it filled."""
    with Supervised(net, VICTIM) as node:
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
