"""Disks that are full, are slow or hang: their validator stops with a named reason or recovers, and the others
continue."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from disk_layer import environment, rule
from process_tools import Load, assert_no_panic, assert_none_missing, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

VICTIM = 3
LONG = os.environ.get("RUSTORIUM_DISKS") == "long"
FULL = ["db/", "safety/", "audit/", "log/", ""] if LONG else ["db/"]
"""Places without room; the last one means everywhere in the home."""


@pytest.fixture(scope="module")
def net(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Devnet]:
    """Four validators, of which the victim is stopped; each test leaves them so."""
    with Devnet.create(tmp_path_factory.mktemp("disks") / "net", accounts=2) as net:
        for index in range(VICTIM):
            net.spawn(index)
        net.wait_ready(indexes=range(VICTIM))
        yield net
        assert_no_panic(net)


@contextmanager
def on_disk(net: Devnet, *rules: str) -> Iterator[None]:
    """Runs the victim on a disk with these faults, from the moment when it takes part."""
    home = Path(net.net.nodes[VICTIM].home)
    net.spawn(VICTIM, environment(home, rules=rules))
    net.wait_ready(indexes=[VICTIM])
    yield
    net.kill(VICTIM)


def comes_back(net: Devnet, load: Load) -> None:
    """Restarts the victim on a good disk, and checks that it reaches the others' height, with the same chain and
    without evidence against it."""
    net.restart(VICTIM)
    wait_for("all are level", lambda: level(net))
    assert [(one.evidence, one.retired) for one in statuses(net)] == [((), "")] * 4
    assert_same_roots(net)
    assert_none_missing(net, load.told[:: 1 + len(load.told) // 100])
    assert net.terminate(VICTIM) == 0


@pytest.mark.parametrize("place", FULL)
def test_a_full_disk(net: Devnet, tmp_path: Path, place: str) -> None:
    full = tmp_path / "full"
    with on_disk(net, rule("enospc", path=place, when=full)), Load(net, f"full-{place}") as load:
        load.wait_for_more(50)
        full.touch()
        load.wait_for_more(200)
        if place not in ("audit/", "log/"):
            wait_for("it has stopped", lambda: net.exit_code(VICTIM) is not None)
            said, reason = net.last_words(VICTIM)
            assert (net.exit_code(VICTIM), reason) == (1, "disk-full"), said
            assert "free space" in said
        load.wait_for_more(50)
    comes_back(net, load)


def test_a_slow_disk_holds_up_nobody_else(net: Devnet) -> None:
    with on_disk(net, rule("slow", ms=400)), Load(net, "slow") as load:
        load.wait_for_more(300)
        assert net.exit_code(VICTIM) is None
        wait_for("it follows", lambda: statuses(net, [VICTIM])[0].executed > 0)
        behind = statuses(net, [0])[0].executed
        wait_for("it gets there", lambda: statuses(net, [VICTIM])[0].executed >= behind)
    comes_back(net, load)


def test_a_sync_that_stands_still_stops_only_its_node(net: Devnet, tmp_path: Path) -> None:
    still = tmp_path / "still"
    with on_disk(net, rule("stall", path="safety/", when=still)), Load(net, "still") as load:
        load.wait_for_more(50)
        still.touch()
        load.wait_for_more(300)
        assert net.exit_code(VICTIM) is None
        still.unlink()
        behind = statuses(net, [0])[0].executed
        wait_for("it gets there", lambda: statuses(net, [VICTIM])[0].executed >= behind)
        load.wait_for_more(50)
    comes_back(net, load)


@pytest.mark.parametrize("fault", ["eio", "eio-sync"] if LONG else ["eio-sync"])
def test_a_disk_that_fails_stops_its_node(net: Devnet, tmp_path: Path, fault: str) -> None:
    broken = tmp_path / "broken"
    with on_disk(net, rule(fault, path="safety/", when=broken)), Load(net, "broken") as load:
        load.wait_for_more(50)
        broken.touch()
        wait_for("it has stopped", lambda: net.exit_code(VICTIM) is not None)
        said, reason = net.last_words(VICTIM)
        assert (net.exit_code(VICTIM), reason) == (1, "journal-failed"), said
        assert "check the disk" in said
        load.wait_for_more(50)
    comes_back(net, load)
