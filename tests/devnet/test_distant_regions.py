"""A devnet over four continents: its validators measure the ways between them, and no client is faster than these."""

import json

import httpx2
import pytest

from process_tools import cli, wait_for
from rustorium.client import Client, Key
from rustorium.geo.floor import Committee, quorum
from rustorium.net.devnet import Devnet
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.net.finality import Waited, floors, waited_line
from rustorium.net.scrape import pages_of
from rustorium.observe.exposition import parse
from rustorium.testing import DevnetFactory

pytestmark = pytest.mark.nodes

FOUR = ("us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1")
ROUND_TRIPS = "rustorium_consensus_round_trip_seconds"
PUTS = 6


def measured_ms(net: Devnet, index: int) -> dict[int, float]:
    """The round trips to the other members, by place, as a node's core was told."""
    families = parse(httpx2.get(f"{net.net.nodes[index].metrics}/metrics", timeout=10).content)
    samples = families[ROUND_TRIPS].samples if ROUND_TRIPS in families else []
    return {int(dict(sample.labels)["peer"]): 1000 * sample.value for sample in samples}


def test_finality_follows_from_the_ways_that_validators_measure(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(regions=FOUR)
    delays = read_matrix(RTT_MATRIX).delays_us(FOUR)
    committee = Committee(delays, quorum(4), FOUR)
    known = floors(net.net.nodes)
    assert [floor.region for floor in known] == list(FOUR)
    assert [floor.alone_ms for floor in known] == [round(committee.alone_us(node) / 1000, 1) for node in range(4)]
    for index in range(4):
        wait_for(f"node {index} has measured all", lambda index=index: len(measured_ms(net, index)) == 3)
        for peer, ms in measured_ms(net, index).items():
            assert ms >= (delays[index][peer] + delays[peer][index]) / 1000 - 0.1, "nobody answers early"
    waited = Waited(4)
    waited.since_last(pages_of(net.net.nodes, 10))
    assert waited.since_last(pages_of(net.net.nodes, 10)) == [None] * 4
    key = Key.open(net.net.accounts[0].key_file)
    for node in net.net.nodes:
        with Client([node.http], genesis=net.net.genesis) as client:
            for number in range(PUTS):
                client.put(f"{node.name} {number}", "value", key=key, wait="final")
    found = waited.since_last(pages_of(net.net.nodes, 10))
    for node, ms in enumerate(found):
        least_us = min(committee.final_us(node, leader) for leader in range(4))
        assert ms is not None
        assert ms >= least_us / 1000 - 0.1, "faster than light"
    assert waited_line(known, found).startswith("final in us-east-1 ")
    rows = json.loads(cli("geo", "show", "--net", net.path, "-o", "json").stdout)
    for index, row in enumerate(rows):
        assert row["region_name"] == FOUR[index]
        assert set(row["round_trips_ms"]) == {node.name for node in net.net.nodes} - {row["name"]}
        assert row["floor_ms"] >= row["usual_floor_ms"] - 0.1
        assert row["final_ms"] >= row["floor_ms"] / 2, "a client's own node may lead more often than others"
    shown = cli("geo", "show", "--net", net.path).stdout
    assert "us-east-1" in shown
    assert "times the floor" in shown


def test_a_net_in_one_place_has_no_floors(devnet: Devnet) -> None:
    assert floors(devnet.net.nodes) == []
    cli("status", "check", "--net", devnet.path)
