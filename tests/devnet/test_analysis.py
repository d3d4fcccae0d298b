"""What is slow in a live net is found by name: a link that is delayed and a disk whose syncs are."""

import json
import re
from pathlib import Path

import pytest

from disk_layer import environment, rule
from link_tools import Wires
from process_tools import Load, assert_no_panic, wait_for
from rustorium.cli import main
from rustorium.devnet import Devnet
from rustorium.observe.scrape import Scraper, targets_of

pytestmark = pytest.mark.alone

FAR, DISK = (0, 3), 1
FAR_MS, SYNC_MS = 160.0, 60
FAR_LINK = "node-0 – node-3"


def measured(net: Devnet) -> bool:
    """Whether the long way is in the round trips: QUIC smooths over some packets."""
    with Scraper(targets_of(net.net, []), 10.0) as scraper:
        found = [scrape.families["rustorium_transport_rtt_seconds"].samples for scrape in scraper.scrape()]
    return all(len(samples) == 3 for samples in found) and max(s.value for x in found for s in x) > 0.8 * FAR_MS / 1000


def test_the_slow_link_and_the_slow_disk_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with Devnet.create(tmp_path / "net", accounts=2) as net, Wires(net) as wires:
        wires.delay(*FAR, FAR_MS / 1000)
        for index, node in enumerate(net.net.nodes):
            slow = [rule("slow", path="safety/", ms=SYNC_MS)] if index == DISK else []
            net.spawn(index, environment(Path(node.home), rules=slow))
        net.wait_ready()
        with Load(net, "analysed") as load:
            load.wait_for_more(100)
            wait_for("all links are measured", lambda: measured(net))
            files = ["--html", tmp_path / "page.html", "--flame", tmp_path / "flame.svg"]
            with pytest.raises(SystemExit) as ended:
                main(["analyze", "performance", "--net", str(net.path), "--for", "5s", *map(str, files), "-o", "json"])
            load.wait_for_more(1)
        assert ended.value.code == 0
        found = json.loads(capsys.readouterr().out)
        causes = {(cause["code"], cause["subject"]) for cause in found["causes"]}
        assert {("link-slow", FAR_LINK), ("disk-slow", f"node-{DISK}")} <= causes, found["causes"]
        # All others' syncs are skipped; links are also as slow as the machine makes them.
        assert [one for code, one in causes if code == "disk-slow"] == [f"node-{DISK}"]
        assert next(one["subject"] for one in found["causes"] if one["code"] == "link-slow") == FAR_LINK
        assert (found["slowest_link"]["name"], found["slowest_disk"]["name"]) == (FAR_LINK, f"node-{DISK}")
        assert found["slowest_link"]["ms"] >= 0.8 * FAR_MS
        assert found["slowest_disk"]["ms"] >= SYNC_MS
        assert found["transactions"] > 0
        assert all(row["mean_ms"] is not None and row["count"] > 0 for row in found["stages"]), found["stages"]
        assert FAR_LINK in (tmp_path / "page.html").read_text()
        flame = (tmp_path / "flame.svg").read_text()
        assert {f"node-{index}" for index in range(4)} <= set(re.findall(r"<title>([^:]+):", flame))
        assert "replica.Replica.on_input" in flame
        assert_no_panic(net)
