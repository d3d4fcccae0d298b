"""The analysis names what is slow in a live net: a delayed link, and a disk with delayed syncs."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from disk_layer import environment, rule
from link_tools import Wires
from process_tools import Load, assert_no_panic, wait_for
from rustorium.access.files import create
from rustorium.cli import main
from rustorium.net.devnet import Devnet
from rustorium.observe.analysis.names import TRANSACTIONS
from rustorium.observe.figures import Metrics
from rustorium.observe.recording import Recorder
from rustorium.observe.scrape import Scraper, targets_of
from rustorium.observe.watching import Clock

pytestmark = pytest.mark.alone

FAR, DISK = (0, 3), 1
FAR_MS, SYNC_MS = 160.0, 60
FAR_LINK = "node-0 – node-3"
MORE = 200
"""Transactions that each node counts as final while it is recorded."""


def measured(net: Devnet) -> bool:
    """Returns true if the measured round trips include the delay: QUIC averages over several packets."""
    with Scraper(targets_of(net.net, []), 10.0) as scraper:
        found = [scrape.families["rustorium_transport_rtt_seconds"].samples for scrape in scraper.scrape()]
    return all(len(samples) == 3 for samples in found) and max(s.value for x in found for s in x) > 0.8 * FAR_MS / 1000


def record(net: Devnet, load: Load, path: Path) -> None:
    """Records until each node has counted this many more transactions."""
    targets, wall_ms = targets_of(net.net, []), Clock().wall_ms
    with Scraper(targets, 10.0) as scraper, create(path) as out:
        recorder = Recorder(out, targets, wall_ms(), 100)

        def counted() -> list[float | None]:
            scrapes = scraper.scrape()
            for scrape in scrapes:
                recorder.add(scrape)
            return [Metrics(scrape.families).value(TRANSACTIONS) for scrape in scrapes]

        # A node counts a transaction before it tells the client, so the nodes' counts decide when a recording ends.
        before = [count for count in counted() if count is not None]
        assert len(before) == len(targets), "each node answers at first"

        def enough() -> bool:
            grown = [now is not None and now >= then + MORE for now, then in zip(counted(), before, strict=True)]
            return all(grown) or bool(load.faults)

        wait_for(f"each node has counted {MORE} more", enough, 120.0)
        recorder.end(wall_ms())


def analyzed(capsys: pytest.CaptureFixture[str], *line: object) -> dict[str, Any]:
    capsys.readouterr()
    with pytest.raises(SystemExit) as ended:
        main(["analyze", "performance", *(str(part) for part in line), "-o", "json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    return dict(json.loads(out))


def test_the_slow_link_and_the_slow_disk_are_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Devnet.create(tmp_path / "net", accounts=2) as net, Wires(net) as wires:
        wires.delay(*FAR, FAR_MS / 1000)
        for index, node in enumerate(net.net.nodes):
            slow = [rule("slow", path="safety/", ms=SYNC_MS)] if index == DISK else []
            net.spawn(index, environment(Path(node.home), rules=slow))
        net.wait_ready()
        with Load(net, "analysed") as load:
            load.wait_for_more(50)
            wait_for("the long way is measured", lambda: measured(net))
            record(net, load, tmp_path / "recording")
            one_node_alone(net, tmp_path, capsys)
        found = analyzed(capsys, tmp_path / "recording", "--html", tmp_path / "page.html")
        causes = {(cause["code"], cause["subject"]) for cause in found["causes"]}
        assert {("link-slow", FAR_LINK), ("disk-slow", f"node-{DISK}")} <= causes, found["causes"]
        # The layer skips the syncs of all other nodes. Links are also as slow as the machine makes them.
        assert [one for code, one in causes if code == "disk-slow"] == [f"node-{DISK}"]
        assert next(one["subject"] for one in found["causes"] if one["code"] == "link-slow") == FAR_LINK
        assert (found["slowest_link"]["name"], found["slowest_disk"]["name"]) == (FAR_LINK, f"node-{DISK}")
        assert found["slowest_link"]["ms"] >= 0.8 * FAR_MS
        assert found["slowest_disk"]["ms"] >= SYNC_MS
        assert f"node-{DISK}" not in {subject for code, subject in causes if code == "leader-late"}, "the disk is why"
        assert found["transactions"] >= MORE
        assert all(row["mean_ms"] is not None and row["count"] > 0 for row in found["stages"]), found["stages"]
        assert FAR_LINK in (tmp_path / "page.html").read_text()
        assert_no_panic(net)


def one_node_alone(net: Devnet, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Analyzes one node by its home, with the steps of its core."""
    node = net.net.nodes[DISK]
    found = analyzed(capsys, "--home", node.home, "--for", "2s", "--flame", folder / "one.svg")
    assert len(found["nodes"]) == 1
    analyzed(capsys, "--net", net.path, "--for", "2s", "--flame", folder / "all.svg")
    one, every = ((folder / name).read_text() for name in ("one.svg", "all.svg"))
    for flame in (one, every):
        assert "replica.Replica.on_input" in flame
    assert {each.name for each in net.net.nodes} <= set(re.findall(r"<title>([^:]+):", every))
    assert f"<title>{node.name}:" not in one, "it is the only one"
