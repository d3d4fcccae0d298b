"""Writes everything that Prometheus and Grafana need for a net into a folder.

Invariants: an existing file is overwritten only if it is the `targets.json` of an earlier export for other nodes.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from rustorium.errors import UsageError
from rustorium.observe.boards import BOARDS, grafana
from rustorium.observe.scrape import Target

DATA = Path(__file__).with_name("data")
FILES = {
    "alerts.yml": "prometheus/alerts.yml",
    "prometheus.yml": "prometheus/prometheus.yml",
    "grafana-datasource.yml": "grafana/provisioning/datasources/rustorium.yml",
    "grafana-dashboards.yml": "grafana/provisioning/dashboards/rustorium.yml",
}


def alert_rules() -> str:
    """Returns the text of the alert rules."""
    return (DATA / "alerts.yml").read_text()


def targets_json(targets: Sequence[Target]) -> str:
    """Returns the file for Prometheus' `file_sd_configs`: each node under its own name."""
    groups = [{"targets": [target.url.partition("://")[2]], "labels": _labels(target)} for target in targets]
    return json.dumps(groups, indent=1, ensure_ascii=False) + "\n"


def _labels(target: Target) -> dict[str, str]:
    labels = {"instance": target.name}
    return labels | {"region": target.region} if target.region else labels


def export(folder: Path, targets: Sequence[Target]) -> list[Path]:
    """Writes the files; returns their paths. Errors: UsageError if a differing file exists, or a file can't be
    written."""
    content = {place: (DATA / name).read_text() for name, place in FILES.items()}
    content |= {f"grafana/dashboards/{board.name}.json": grafana(board) for board in BOARDS}
    content["prometheus/targets.json"] = targets_json(targets)
    try:
        for place, text in content.items():
            path = folder / place
            if place != "prometheus/targets.json" and path.exists() and path.read_text(errors="replace") != text:
                raise UsageError(
                    f"{path} exists with other content and is never overwritten: move it away, or name another folder"
                )
        for place, text in content.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(text)
    except OSError as error:
        raise UsageError(f"{folder} can't be written ({error.strerror}): name another folder") from None
    return [folder / place for place in content]
