"""Stores that are intact but unusable, on real processes: one whose state differs from the chain's, and one that comes
back from `quarantine/`."""

import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from test_recover import QUICK, VICTIM, assert_holds, findings, victim, votes_again
from test_state_sync import eager, events, snapshots

from process_tools import Load, assert_same_roots, level, start_home, statuses, wait_for
from rust_example import rust_example
from rustorium.client import Client
from rustorium.consensus.vocabulary import Diverged, EnterView, Propose, Vote
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.loop.inputlog import replay
from rustorium.node.recovery.quarantine import quarantined
from supervised import SupervisedNode, audited, recover_manually

pytestmark = pytest.mark.alone


@pytest.fixture(scope="module")
def wrong_state() -> Path:
    return rust_example("wrong_state")


@pytest.fixture
def net(tmp_path: Path) -> Iterator[Devnet]:
    with eager(tmp_path / "net", 4, recovery=QUICK) as net:
        yield net


def stop_under_load(net: Devnet) -> Load:
    """Stops the victim while others write; returns the transactions that were final then."""
    with Load(net, "before") as load:
        load.wait_for_more(100)
        net.terminate(VICTIM)
        load.wait_for_more(50)
    return load


def test_a_node_with_a_wrong_state_signs_nothing_and_is_filled_again(
    net: Devnet, wrong_state: Path, figure: Callable[[str], None]
) -> None:
    home = Home(Path(net.net.nodes[VICTIM].home))
    before = stop_under_load(net)
    changed_at = int(subprocess.check_output([wrong_state, home.path, net.root / "passphrase", net.net.chain]))
    net.spawn(VICTIM)
    with Load(net, "found") as load:
        took_s = wait_for("it finds out", lambda: "diverged" in findings(net))
        load.wait_for_more(50)
        assert victim(net).ready is False
    net.terminate(VICTIM)
    assert_signed_nothing_more(home)
    [begun] = [one for one in audited(home, "trouble") if one["state"] == "begun" and one["code"] == "diverged"]
    assert begun["evidence"].startswith("a quorum has another result than this node from height ")
    found_at = int(begun["evidence"].split()[-2])
    assert found_at >= changed_at
    figure(
        f"a state that is another from height {changed_at} on was found at {found_at}, {took_s:.1f} s after the start"
    )
    wait_for("there is a snapshot", lambda: min(snapshots(net, 0), default=0) > 1)
    with SupervisedNode(net, VICTIM) as node:
        node.wait_for_act("refill", "diverged", [])
        wait_for("it is level again", lambda: level(net))
        [synced] = events(net, VICTIM, "state_synced")
        votes_again(net)
        assert_holds(net, (before.told + load.told)[::7])
        assert_same_roots(net, int(str(synced["height"])) + 1)
        [aside] = quarantined(home)
        assert (aside.code, aside.kept) == ("diverged", True), "evidence, also of a node that has long been well"
        [done] = node.audited("recover")
        assert (done["act"], done["code"]) == ("refill", "diverged")


def assert_signed_nothing_more(home: Home) -> None:
    """Checks by the core's inputs and effects that the node passed views and voted in none of them."""
    steps = list(replay(home.input_log))
    told = max(number for number, step in enumerate(steps) if isinstance(step.event, Diverged))
    effects = [effect for step in steps[told:] for effect in step.effects]
    assert any(isinstance(effect, EnterView) for effect in effects)
    assert not any(isinstance(effect, Vote | Propose) for effect in effects)


def test_a_repaired_store_is_put_back_and_the_node_continues_from_it(net: Devnet) -> None:
    home = Home(Path(net.net.nodes[VICTIM].home))
    before = stop_under_load(net)
    last = before.told[-1]
    # The next process that opens the store writes the data in memory to a table file.
    net.restart(VICTIM)
    net.terminate(VICTIM)
    lost = max(home.db.glob("*.sst"))
    mended = net.root / lost.name
    lost.rename(mended)
    assert start_home(home.path).returncode == 1
    assert [one["act"] for one in recover_manually(home, "--dry-run")] == ["refill"]
    recover_manually(home, "--yes")
    wait_for("there is a snapshot", lambda: min(snapshots(net, 0), default=0) > 1)
    net.restart(VICTIM)
    wait_for("it is level again", lambda: level(net))
    assert len(events(net, VICTIM, "state_synced")) == 1
    net.terminate(VICTIM)
    with Load(net, "meanwhile") as load:
        load.wait_for_more(50)
    [aside] = quarantined(home)
    mended.rename(aside.path / "db" / lost.name)
    undone = recover_manually(home, "--undo", "--yes")
    assert (undone["put_back"], undone["code"]) == (aside.path.name, "store-corrupt")
    net.restart(VICTIM)
    wait_for("it is level again", lambda: level(net))
    assert len(events(net, VICTIM, "state_synced")) == 1, "from the store, not from a snapshot"
    # The filled store knew no block below the snapshot.
    assert_same_roots(net)
    with Client(net.net.nodes[VICTIM].http) as client:
        assert client.get_transaction(last[0]).state == "final"
    assert_holds(net, load.told[::5])
    assert [one.code for one in quarantined(home)] == ["undone"]
    votes_again(net)
    assert [one["act"] for one in audited(home, "recover")] == ["refill", "undo"]
    assert [status.retired for status in statuses(net)] == [""] * 4
