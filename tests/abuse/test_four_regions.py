"""A committee over four regions, one process each, on links with the delays between those regions."""

import json
import statistics
import time
from pathlib import Path

import pytest

from process_tools import assert_no_panic, assert_same_roots, counter, level, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.distances import RTT_MATRIX

pytestmark = pytest.mark.alone

REGIONS = ["us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"]
WRITES = 12


def round_trips_ms() -> list[list[float]]:
    """Round trips between the regions, in ms; the round trip of a region to itself stays 0."""
    table = json.loads(Path(RTT_MATRIX).read_text())["aws"]
    places = [table["regions"].index(region) for region in REGIONS]
    return [[0.0 if a == b else table["p50"][a][b] for b in places] for a in places]


def test_finality_over_four_regions_takes_a_few_round_trips(tmp_path: Path) -> None:
    trips = round_trips_ms()
    # A quorum of four is three: the second nearest of the other members counts, for the best and the worst placed
    # validator.
    quorum = sorted(sorted(row)[2] for row in trips)
    with Devnet.create(tmp_path / "net", regions=REGIONS) as net:
        net.start()
        key = Key.open(net.net.accounts[0].key_file)
        with Client(net.net.nodes[0].http, genesis=Path(net.net.genesis), key=key) as client:
            client.put(b"warm", b"0")
            nullified = counter(net, 0, "rustorium_consensus_nullified_views_total")
            taken_ms, first = [], client.status().executed
            for number in range(WRITES):
                began = time.monotonic()
                client.put(b"key", b"%d" % number)
                taken_ms.append(1000 * (time.monotonic() - began))
            blocks = client.status().executed - first
        median = statistics.median(taken_ms)
        quick, slow = quorum[0], quorum[-1]
        print(f"median {median:.0f} ms to final; a quorum's round trip {quick:.0f} to {slow:.0f} ms; {blocks} blocks")
        # The batch takes a round trip to the lane's quorum; then the proposal, the first vote and the second vote take
        # one way each. Less than one round trip to a quorum means that a link isn't delayed. More than six mean that a
        # view timed out.
        assert quick <= min(taken_ms)
        assert median <= 6 * slow
        # A busy machine may lose a view. A pace that doesn't fit these links loses most views.
        assert counter(net, 0, "rustorium_consensus_nullified_views_total") - nullified <= WRITES // 3
        assert blocks >= WRITES
        wait_for("all are level", lambda: level(net))
        assert_same_roots(net)
        assert_no_panic(net)
