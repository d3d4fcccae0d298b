"""`status check` shows what an operator must look after."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

ANSWER: dict[str, Any] = {
    "chain": "ab" * 32,
    "node": "node-0",
    "validator": 0,
    "version": "0.1.0",
    "height": 9,
    "view": 12,
    "epoch": 0,
    "claimed": {"height": 8, "root": "00" * 32},
    "peers_up": 3,
    "peers": 3,
    "unreachable": [],
    "pool_transactions": 0,
    "pool_bytes": 0,
    "role": "validator",
    "durability": "vote",
    "ready": True,
    "evidence": [],
    "at": {"height": 9, "root": "00" * 32, "shard": 0},
}
EVIDENCE = {"validator": 2, "name": "node-2", "kind": "two_notarizes", "first": "view 7", "count": 3}


@pytest.fixture
def answering(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the node behind the admin socket says."""
    answer = dict(ANSWER)
    monkeypatch.setattr("rustorium.node.admin.call", lambda *_, **__: answer)
    return answer


def test_a_node_that_is_well_needs_no_attention(cli: Cli, answering: dict[str, Any], tmp_path: Path) -> None:
    assert answering["ready"]
    ended = cli("status", "check", "--home", tmp_path)
    head, row = ended.out.splitlines()
    assert (ended.code, head.split()[-1], row.split()[-1]) == (0, "attention", "vote")


def test_unreachable_peers_and_evidence_are_named(cli: Cli, answering: dict[str, Any], tmp_path: Path) -> None:
    answering |= {"peers_up": 1, "unreachable": ["node-1", "node-3"], "evidence": [EVIDENCE]}
    ended = cli("status", "check", "--home", tmp_path)
    assert ended.code == 0, "a quorum is there"
    assert "can't reach node-1, node-3; node-2 signed two_notarizes in view 7 (3 in all)" in ended.out
    raw = json.loads(cli("status", "check", "--home", tmp_path, "-o", "json").out)
    assert (raw[0]["unreachable"], raw[0]["evidence"]) == (["node-1", "node-3"], [EVIDENCE])


def test_a_retired_key_is_said_and_not_ok(cli: Cli, answering: dict[str, Any], tmp_path: Path) -> None:
    answering["key_retired_because"] = "the validator key is retired and signs nothing more"
    ended = cli("status", "check", "--home", tmp_path)
    assert ended.code == 5
    assert "retired and signs nothing more" in ended.out
