"""Boards and rules as files: well-formed, consistent, and about this release's metrics. tests/devnet/test_metrics.py
checks them with a live node, tests/outside/test_prometheus.py with Prometheus."""

import json
import re
from pathlib import Path

import pytest
from cli_runner import Cli

from rustorium.observe.boards import BOARDS, NODES, SHARDS, WIDTH, grafana, queries
from rustorium.observe.export import FILES, alert_rules, export, targets_json
from rustorium.observe.scrape import Target

ALERT = re.compile(r"- alert: (\w+)\n((?:        .*\n)+)")


def test_there_are_four_boards_and_each_picks_its_source_and_nodes() -> None:
    assert len({board.name for board in BOARDS}) == len({board.title for board in BOARDS}) == 4
    for board in BOARDS:
        made = json.loads(grafana(board))
        assert [variable["name"] for variable in made["templating"]["list"]] == ["datasource", "node", "shard"]
        for panel in made["panels"]:
            sources = [panel["datasource"], *(target["datasource"] for target in panel["targets"])]
            assert all(source == {"type": "prometheus", "uid": "${datasource}"} for source in sources)


@pytest.mark.parametrize("board", BOARDS, ids=lambda board: board.name)
def test_panels_fit_and_do_not_overlap(board: object) -> None:
    made = json.loads(grafana(board))  # type: ignore[arg-type]
    assert len({panel["id"] for panel in made["panels"]}) == len(
        {panel["title"] + panel["type"] for panel in made["panels"]}
    )
    taken = set()
    for panel in made["panels"]:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= WIDTH
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken
        taken |= cells
        assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"])


def test_every_query_is_of_the_picked_nodes() -> None:
    for where, query in queries():
        assert query.count("(") == query.count(")"), where
        selectors = re.findall(r"rustorium_\w+(\{[^}]*\})?", query)
        assert selectors, where
        assert set(selectors) <= {NODES, SHARDS}, (where, query)


def test_every_alert_has_a_severity_a_description_and_advice() -> None:
    alerts = ALERT.findall(alert_rules())
    assert len(alerts) == alert_rules().count("- alert:") > 15
    assert len({name for name, _ in alerts}) == len(alerts)
    for name, text in alerts:
        assert re.search(r"labels: \{severity: (critical|warning|info)\}\n", text), name
        assert re.search(r'summary: ".*\{\{ \$labels.instance \}\}', text), name
        assert re.search(r'action: ".+\."\n', text), name


def test_files_are_exported_and_none_is_overwritten(cli: Cli, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    ended = cli("dashboards", "export", folder, "--node", "http://10.0.0.1:26660", "-o", "jsonl")
    assert ended.code == 0, ended.err
    paths = [Path(json.loads(line)["file"]) for line in ended.out.splitlines()]
    assert len(paths) == len(FILES) + 4 + 1
    assert all(path.is_file() for path in paths)
    targets = json.loads((folder / "prometheus/targets.json").read_text())
    assert targets == [{"targets": ["10.0.0.1:26660"], "labels": {"instance": "10.0.0.1:26660"}}]
    assert cli("dashboards", "export", folder, "--node", "http://10.0.0.2:26660").code == 0, "other nodes, same files"
    assert "10.0.0.2" in (folder / "prometheus/targets.json").read_text()
    (folder / "prometheus/alerts.yml").write_text("mine\n")
    cli("dashboards", "export", folder).fails(2, "alerts.yml exists with other content")
    assert (folder / "prometheus/alerts.yml").read_text() == "mine\n"


def test_a_failed_export_is_an_error(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    cli("dashboards", "export", tmp_path / "file").fails(2, "can't be written")
    (tmp_path / "odd/prometheus/alerts.yml").mkdir(parents=True)
    cli("dashboards", "export", tmp_path / "odd").fails(2, "can't be written")
    cli("dashboards", "export", tmp_path / "out", "--node", "10.0.0.1:26660").fails(2, "is not the URL")
    cli("dashboards", "export", tmp_path / "out", "--net", tmp_path / "none").fails(2, "can't be read")
    assert not (tmp_path / "out").exists()


def test_nodes_keep_their_names_and_regions() -> None:
    targets = [Target("node-0", "http://127.0.0.1:9", "eu-west-1"), Target("node-1", "http://[::1]:9")]
    assert json.loads(targets_json(targets)) == [
        {"targets": ["127.0.0.1:9"], "labels": {"instance": "node-0", "region": "eu-west-1"}},
        {"targets": ["[::1]:9"], "labels": {"instance": "node-1"}},
    ]


def test_an_export_can_be_repeated(tmp_path: Path) -> None:
    assert export(tmp_path, [Target("a", "http://a:1")]) == export(tmp_path, [Target("a", "http://a:1")])
