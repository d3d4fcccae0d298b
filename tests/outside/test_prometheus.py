"""The real Prometheus scrapes a devnet with the exported files: every metric of a panel or a rule is in it, every query
is understood, each rule fires when it should and otherwise not, and one fires for a real fault."""

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx2
import pytest
from alert_cases import CASES, promtool_test

from process_tools import assert_no_panic, statuses, wait_for
from rustorium.access.files import create
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.ports import PortLeases
from rustorium.observe.boards import queries
from rustorium.observe.export import alert_rules, export
from rustorium.observe.openmetrics import of_recording
from rustorium.observe.recording import Recording
from rustorium.observe.scrape import Scraper, targets_of
from rustorium.observe.watching import watch

pytestmark = pytest.mark.outside

METRIC = re.compile(r"\brustorium_[a-z0-9_]+")
DEADLINE_S = 240.0


def promtool(*arguments: object) -> str:
    ended = subprocess.run(["promtool", *(str(one) for one in arguments)], capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return ended.stdout + ended.stderr


def severities() -> dict[str, str]:
    pattern = r"- alert: (\w+)\n(?:        .*\n)*?        labels: \{severity: (\w+)\}"
    return dict(re.findall(pattern.replace("        ", " {8}"), alert_rules()))


class Prometheus:
    """A running Prometheus."""

    def __init__(self, url: str) -> None:
        self.url = url

    def get(self, path: str, **parameters: str) -> Any:
        answer = httpx2.get(f"{self.url}/api/v1/{path}", params=parameters, trust_env=False, timeout=30).json()
        assert answer["status"] == "success", answer
        return answer["data"]

    def names(self) -> set[str]:
        return set(self.get("label/__name__/values"))

    def firing(self) -> set[tuple[str, str]]:
        alerts = [one for one in self.get("alerts")["alerts"] if one["state"] == "firing"]
        return {(one["labels"]["alertname"], one["labels"]["instance"]) for one in alerts}

    def up(self) -> int:
        return sum(target["health"] == "up" for target in self.get("targets", state="active")["activeTargets"])


@contextmanager
def prometheus(folder: Path) -> Iterator[Prometheus]:
    """Prometheus with the exported files, but shorter intervals, so that alerts come soon."""
    config = (folder / "prometheus.yml").read_text()
    quick = re.sub(r"(scrape|evaluation)_interval: \S+", r"\1_interval: 500ms", config)
    (folder / "prometheus.yml").write_text(quick.replace("scrape_timeout: 4s", "scrape_timeout: 450ms"))
    rules = folder / "alerts.yml"
    rules.write_text(re.sub(r"        for: \S+", "        for: 1s", rules.read_text()))
    leases = PortLeases()
    [port] = leases.take(1)
    with open(folder / "prometheus.log", "wb") as log:
        process = subprocess.Popen(
            [
                "prometheus",
                "--config.file=prometheus.yml",
                f"--web.listen-address=127.0.0.1:{port}",
                f"--storage.tsdb.path={folder / 'tsdb'}",
            ],
            cwd=folder,
            stdout=log,
            stderr=log,
        )
        try:
            found = Prometheus(f"http://127.0.0.1:{port}")

            def ready() -> bool:
                assert process.poll() is None, (folder / "prometheus.log").read_text()
                try:
                    return httpx2.get(f"{found.url}/-/ready", trust_env=False).status_code == 200
                except httpx2.HTTPError:
                    return False

            wait_for("Prometheus runs", ready, DEADLINE_S)
            yield found
        finally:
            process.terminate()
            process.wait(30)
            leases.close()


def test_the_exported_files_are_good(tmp_path: Path) -> None:
    export(tmp_path, targets_of(None, ["http://127.0.0.1:26660"]))
    rules, config = tmp_path / "prometheus/alerts.yml", tmp_path / "prometheus/prometheus.yml"
    count = alert_rules().count("- alert:")
    assert f"{count} rules found" in promtool("check", "rules", rules)
    assert "SUCCESS" in promtool("check", "config", config)


def test_each_rule_fires_exactly_when_it_should(tmp_path: Path) -> None:
    known = severities()
    assert {case.alert for case in CASES} == set(known)
    assert len(known) == alert_rules().count("- alert:")
    rules, tests = tmp_path / "alerts.yml", tmp_path / "tests.yml"
    rules.write_text(alert_rules())
    tests.write_text(promtool_test(rules, known))
    assert "SUCCESS" in promtool("test", "rules", tests)


@pytest.mark.parametrize("alert", ["RustoriumDiskFull", "RustoriumNodeBehind"])
def test_a_changed_rule_is_found(tmp_path: Path, alert: str) -> None:
    """Tests the test of the rules: with another threshold it must fail."""
    text = alert_rules()
    start = text.index(f"- alert: {alert}\n")
    rules, tests = tmp_path / "alerts.yml", tmp_path / "tests.yml"
    rules.write_text(text[:start] + re.sub(r"([<>]) (\d+)", r"\1 1\2", text[start:], count=1))
    tests.write_text(promtool_test(rules, severities()))
    ended = subprocess.run(["promtool", "test", "rules", tests], capture_output=True, text=True, check=False)
    assert ended.returncode != 0
    assert alert in ended.stdout + ended.stderr


def test_prometheus_finds_all_and_an_alert_fires_for_a_real_fault(tmp_path: Path) -> None:
    named = {name for text in [query for _, query in queries()] + [alert_rules()] for name in METRIC.findall(text)}
    with Devnet.create(tmp_path / "net", nodes=4) as net:
        net.start()
        export(tmp_path / "out", targets_of(net.net, []))
        with prometheus(tmp_path / "out/prometheus") as found:
            wait_for("all nodes are scraped", lambda: found.up() == 4, DEADLINE_S)
            key = Key.open(net.net.accounts[0].key_file)
            with Client.from_net(net.path, key=key) as client:
                for number in range(5):
                    client.put(b"scraped %d" % number, b"value")
                client.get(key.address, b"scraped 4")
            wait_for(f"Prometheus has {len(named)} metrics", lambda: named <= found.names(), DEADLINE_S)
            for where, query in queries():
                asked = query.replace("$node", ".*").replace("$shard", ".*").replace("$__rate_interval", "1m")
                assert found.get("query", query=asked)["resultType"] == "vector", where
            wait_for("all is well", lambda: not found.firing() & all_of("RustoriumNodeDown", net), DEADLINE_S)
            net.kill(3)
            victim, others = net.net.nodes[3].name, {node.name for node in net.net.nodes[:3]}
            expected = {("RustoriumNodeDown", victim)} | {("RustoriumValidatorsMissing", name) for name in others}
            wait_for(f"{expected} fire", lambda: expected <= found.firing(), DEADLINE_S)
            assert ("RustoriumQuorumLost", net.net.nodes[0].name) not in found.firing()
            net.restart(3)
            wait_for("the node is level", lambda: all(status.ready for status in statuses(net)))
            wait_for("the alerts are over", lambda: not expected & found.firing(), DEADLINE_S)
        assert_no_panic(net)


def all_of(alert: str, net: Devnet) -> set[tuple[str, str]]:
    return {(alert, node.name) for node in net.net.nodes}


def test_a_recording_is_imported_into_prometheus(tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", nodes=1) as net:
        net.start()
        with Scraper(targets_of(net.net, []), 10) as scraper, create(tmp_path / "recording") as out:
            watch(scraper, out, for_s=1.0, every_s=0.25, advance=lambda *_: None, tell=print)
    text = tmp_path / "recording.om"
    text.write_text("".join(of_recording(Recording.open(tmp_path / "recording"))))
    promtool("tsdb", "create-blocks-from", "openmetrics", text, tmp_path / "blocks")
    [block] = [path for path in (tmp_path / "blocks").iterdir() if path.is_dir()]
    meta = json.loads((block / "meta.json").read_text())
    assert meta["stats"]["numSeries"] > 300
    assert meta["maxTime"] > meta["minTime"]
