"""Partitions between real processes: no half goes on, a quorum does, and all nodes agree again after it heals.

Invariants: the chain counts as stopped only when every link is down and a hundred more datagrams were dropped, never by
the clock.
"""

from collections.abc import Iterator

import pytest

from link_tools import Wires
from process_tools import Load, assert_no_panic, assert_none_missing, assert_same_roots, level, statuses, wait_for
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

QUORUM = 3
DROPPED_MORE = 100
PARTITIONS = [(0, 0, 1, 1), (0, 0, 0, 1), (0, 1, 2, 3)]


@pytest.fixture(scope="module")
def wired(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Devnet, Wires]]:
    """Four validators and the relays between them; each test leaves the links up and the nodes at the same height."""
    with Devnet.create(tmp_path_factory.mktemp("partitions")) as net, Wires(net) as wires:
        net.start()
        wait_for("all are linked", lambda: peers_up(net) == [3] * 4)
        yield net, wires
        assert_no_panic(net)


def peers_up(net: Devnet) -> list[int]:
    return [status.peers_up for status in statuses(net)]


def executed(net: Devnet) -> list[int]:
    return [status.executed for status in statuses(net)]


@pytest.mark.parametrize("islands", PARTITIONS, ids=lambda islands: "".join(map(str, islands)))
def test_a_partition_holds_and_heals(wired: tuple[Devnet, Wires], islands: tuple[int, ...]) -> None:
    net, wires = wired
    sizes = [islands.count(island) for island in islands]
    told = load(net, f"{islands} before", 25)
    wires.cut(islands)
    wait_for("nodes miss those of other islands", lambda: peers_up(net) == [size - 1 for size in sizes])
    before, dropped = executed(net), wires.dropped
    with Load(net, f"{islands} cut", accounts=[0]) as under_way:
        if max(sizes) >= QUORUM:
            under_way.wait_for_more(25)
        wait_for("more datagrams are dropped", lambda: wires.dropped >= dropped + DROPPED_MORE)
        for size, was, now in zip(sizes, before, executed(net), strict=True):
            assert (now > was) == (size >= QUORUM), (islands, before, now)
        wires.cut(None)
        wait_for("all are linked", lambda: peers_up(net) == [3] * 4)
    told += under_way.told + load(net, f"{islands} healed", 25)
    wait_for("all are level", lambda: level(net))
    assert assert_same_roots(net) > max(before)
    assert_none_missing(net, told[::3])


def load(net: Devnet, tag: str, count: int) -> list[tuple[str, str, bytes, bytes]]:
    """Submits at least this many transactions; returns those that are final."""
    with Load(net, tag, accounts=[0]) as under_way:
        under_way.wait_for_more(count)
    return under_way.told
