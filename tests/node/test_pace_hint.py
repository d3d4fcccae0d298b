"""The hint of the network's pace in a home: only a valid hint is read back.

Invariants: no clock is read here; a damaged hint counts as none.
"""

import json
import os
from pathlib import Path

import pytest

from rustorium.node.loop import pacehint

NOW_MS = 1_800_000_000_000


def test_a_hint_is_read_back_for_an_hour(tmp_path: Path) -> None:
    path = tmp_path / "pace.json"
    pacehint.write(path, 3, NOW_MS)
    pacehint.write(path, 4, NOW_MS)
    assert pacehint.read(path, NOW_MS) == 4
    assert pacehint.read(path, NOW_MS + pacehint.KEPT_MS) == 4
    assert pacehint.read(path, NOW_MS + pacehint.KEPT_MS + 1) is None
    assert pacehint.read(path, NOW_MS - 1) is None, "a hint of the future"
    assert os.listdir(tmp_path) == ["pace.json"]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "null",
        "[" * 100_000,
        json.dumps({"backoff": 3}),
        json.dumps({"backoff": 3, "at_ms": NOW_MS, "more": 1}),
        json.dumps({"backoff": "3", "at_ms": NOW_MS}),
        json.dumps({"backoff": True, "at_ms": NOW_MS}),
        json.dumps({"backoff": 3.0, "at_ms": NOW_MS}),
        json.dumps({"backoff": -1, "at_ms": NOW_MS}),
        json.dumps({"backoff": 65, "at_ms": NOW_MS}),
        json.dumps({"backoff": 10**400, "at_ms": NOW_MS}),
        json.dumps({"backoff": 3, "at_ms": NOW_MS}).ljust(1_000),
        "\xff",
    ],
)
def test_a_changed_hint_counts_as_none(tmp_path: Path, text: str) -> None:
    path = tmp_path / "pace.json"
    path.write_bytes(text.encode("latin-1"))
    assert pacehint.read(path, NOW_MS) is None


def test_a_home_without_a_hint_is_valid(tmp_path: Path) -> None:
    assert pacehint.read(tmp_path / "pace.json", NOW_MS) is None
    assert pacehint.read(tmp_path, NOW_MS) is None
