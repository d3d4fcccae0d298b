"""A committee over four regions, each in its own process, on links that are delayed as those regions' are."""

import json
import statistics
import time
from pathlib import Path

import pytest

from process_tools import assert_no_panic, assert_same_roots, counter, level, wait_for
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.generate import RTT_MATRIX

pytestmark = pytest.mark.alone

REGIONS = ["us-east-1", "eu-west-1", "sa-east-1", "ap-northeast-1"]
WRITES = 12


def round_trips_ms() -> list[list[float]]:
    """Between the regions, each to itself left at 0."""
    table = json.loads(Path(RTT_MATRIX).read_text())["aws"]
    places = [table["regions"].index(region) for region in REGIONS]
    return [[0.0 if a == b else table["p50"][a][b] for b in places] for a in places]


def test_finality_over_four_regions_is_some_round_trips(tmp_path: Path) -> None:
    trips = round_trips_ms()
    # A quorum of four is three: the second nearest of the others, for the best and the worst placed validator.
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
        # The batch goes to the lane's quorum, then proposal, first vote and second vote go one way each: less than one
        # round trip to a quorum would be a link that isn't delayed, more than six is a view that was waited out.
        assert quick <= min(taken_ms)
        assert median <= 6 * slow
        # A machine that does other work may lose a view, and a pace that doesn't fit these links loses most.
        assert counter(net, 0, "rustorium_consensus_nullified_views_total") - nullified <= WRITES // 3
        assert blocks >= WRITES
        wait_for("all are level", lambda: level(net))
        assert_same_roots(net)
        assert_no_panic(net)
