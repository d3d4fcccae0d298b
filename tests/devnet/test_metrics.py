"""The metrics of a live net: each metric in a board or a rule exists, and its value is right."""

import json
import re
import subprocess
import sys

import pytest

from process_tools import assert_no_panic, statuses, wait_for
from rustorium.access.netfile import read_net
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.observe.boards import OF_SHARD, queries
from rustorium.observe.export import alert_rules
from rustorium.observe.exposition import Family
from rustorium.observe.figures import Metrics, figures
from rustorium.observe.scrape import Scraper, targets_of

pytestmark = pytest.mark.nodes

METRIC = re.compile(r"\brustorium_[a-z0-9_]+")


def named() -> set[str]:
    """Returns all metrics in boards and rules."""
    texts = [query for _, query in queries()] + [alert_rules()]
    return {name for text in texts for name in METRIC.findall(text)}


def scraped(net: Devnet) -> list[dict[str, Family]]:
    with Scraper(targets_of(net.net, []), 10.0) as scraper:
        scrapes = scraper.scrape()
    assert [scrape.error for scrape in scrapes] == [""] * len(scrapes)
    return [scrape.families for scrape in scrapes]


def run(*line: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "rustorium.cli", *(str(part) for part in line)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_every_metric_of_boards_and_rules_exists_and_is_right(devnet: Devnet) -> None:
    before = [figures(families) for families in scraped(devnet)]
    key = Key.open(devnet.net.accounts[0].key_file)
    with Client.from_net(devnet.path, key=key) as client:
        done = [client.put(b"measured %d" % number, b"value") for number in range(5)]
        assert client.get(key.address, b"measured 4") == b"value"

        def led() -> bool:
            client.put(b"more", b"value")
            proposing = "rustorium_consensus_propose_seconds"
            return all(Metrics(families).histogram(proposing)[-1][1] > 0 for families in scraped(devnet))

        wait_for("each of them has led a view, however many a busy machine loses", led)
    height = max(one.receipt.height for one in done if one.receipt is not None)
    wait_for("all nodes have it", lambda: all(status.executed >= height for status in statuses(devnet)))
    missing = "rustorium_consensus_missing_validators"
    wait_for("all hear all", lambda: all(Metrics(one).value(missing) == 0 for one in scraped(devnet)))
    answers = scraped(devnet)
    for families in answers:
        series = {sample.name for family in families.values() for sample in family.samples}
        assert named() - series == set()
        for name, family in families.items():
            assert name.startswith("rustorium_"), name
            assert family.help, f"{name} says nothing of itself"
            shards = {dict(sample.labels).get("shard") for sample in family.samples}
            assert shards <= ({"0"} if OF_SHARD.match(name) else {None}), f"{name} is of shards {shards}"
            if family.kind == "histogram":
                assert name.endswith(("_seconds", "_views", "_transactions")), f"{name}: what are its observations?"
        metrics = Metrics(families)
        assert metrics.value("rustorium_consensus_validators") == 4
        assert metrics.value("rustorium_consensus_missing_validators") == 0
        assert metrics.value("rustorium_consensus_byzantine_validators") == 0
        assert metrics.value("rustorium_node_ready") == 1
        for stage in ("propose", "payload", "notarize", "finalize", "view"):
            buckets = metrics.histogram(f"rustorium_consensus_{stage}_seconds")
            assert buckets[-1][1] > 0, f"nobody measured {stage}"
        assert metrics.histogram("rustorium_storage_journal_sync_seconds")[-1][1] > 0
        assert 0 < (metrics.value("rustorium_process_resident_memory_bytes") or 0) < 4 * 2**30
        assert (metrics.value("rustorium_process_cpu_seconds") or 0) > 0
    for old, families in zip(before, answers, strict=True):
        new = figures(families)
        assert (new["transactions"] or 0) >= (old["transactions"] or 0) + 5
    finality = [Metrics(families).histogram("rustorium_gateway_finality_seconds")[-1][1] for families in answers]
    assert sum(finality) >= 5, "the client waited for each"
    rows = json.loads(run("metrics", "collect", "--net", devnet.path, "-o", "json").stdout)
    assert [row["node"] for row in rows] == [node.name for node in read_net(devnet.path).nodes]
    assert all(row["height"] >= height and row["ready"] == 1 for row in rows)
    assert_no_panic(devnet)
