"""`status check` shows what an operator must look after."""

import json
from pathlib import Path
from typing import Any

import pytest
from cli_runner import Cli

from rustorium.home import Home
from rustorium.node.recoverystate import RecoveryState, one_supervisor

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


FINDING = {
    "code": "disk-stalled",
    "severity": "not-ready",
    "evidence": "a write or sync has not come back: journal for 31 s",
    "advice": "look at the disk",
    "since_ms": 1,
}


def test_what_is_wrong_stands_below_with_what_to_do(cli: Cli, answering: dict[str, Any], tmp_path: Path) -> None:
    answering |= {"ready": False, "not_ready_because": "disk-stalled: …", "findings": [FINDING]}
    ended = cli("status", "check", "--home", tmp_path)
    assert ended.code == 5
    _, row, empty, head, found = ended.out.splitlines()
    assert row.endswith("disk-stalled")
    assert (empty, head.split()) == ("", ["node", "code", "severity", "evidence", "do"])
    assert found.split()[:3] == ["node-0", "disk-stalled", "not-ready"]
    assert found.endswith("journal for 31 s  look at the disk")
    [raw] = json.loads(cli("status", "check", "--home", tmp_path, "-o", "json").out)
    assert raw["findings"] == [FINDING]


def test_while_the_node_is_down_its_supervisor_says_why(cli: Cli, tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert cli("status", "check", "--home", tmp_path).code == 5
    with one_supervisor(home):
        RecoveryState(home).tell("waiting for space", code="disk-full", reason="free space on the disk")
        ended = cli("status", "check", "--home", tmp_path)
        assert ended.code == 5
        assert "`recover auto` waiting for space: doesn't answer (free space on the disk)" in ended.out
    ended = cli("status", "check", "--home", tmp_path)
    assert (ended.code, ended.out) == (5, ""), "who says so is gone"
    RecoveryState(home).tell("asks", code="journal-retired", reason="the key is retired")
    assert "`recover auto` asks: doesn't answer (the key is retired)" in cli("status", "check", "--home", tmp_path).out
    RecoveryState(home).tell("stopped")
    assert cli("status", "check", "--home", tmp_path).out == ""
