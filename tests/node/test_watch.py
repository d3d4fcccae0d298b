"""The watch publishes findings before it audits them, and continues if either fails."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import structlog
import trio
import trio.testing

from rustorium.config import Config, NodeSection, RecoverySection
from rustorium.health.catalogue import FINDINGS
from rustorium.logs import Logger
from rustorium.node.loop.watch import (
    Watch,
    block_ahead,
    chain_ahead_ms,
    lane_junk,
    left_out,
    not_served,
    other_chain,
    quorum_lost,
)

STATUS: dict[str, Any] = {
    "chain": "ab" * 32, "role": "validator", "peers": 3, "peers_up": 3, "unreachable": [], "at": {"height": 9},
}  # fmt: skip
VITALS: dict[str, Any] = {
    "now_us": 0,
    "stages": [{"name": "journal", "busy_ms": 0}],
    "syncs": 0,
    "sync_us": 0,
    "journal_bytes": 0,
    "journal_oldest_us": 0,
    "damaged": None,
    "diverged": None,
    "unserved": None,
    "synced": True,
    "pool_able": 0,
    "chain_ms": 0,
    "clock_ahead_ms_max": 2_000,
    "block_ahead": None,
    "left_out": [],
    "lane_junk": [],
    "signer": None,
    "cut_off": [],
    "many_liars": False,
    "tls": None,
    "peers": [{"name": "node-1", "up": True, "heard_us": [5], "passed_over": False}],
}
ROOT = Path(__file__).parents[2]
CONFIG = Config(recovery=RecoverySection(disk_free_bytes_min=0))


class FakeNode:
    def __init__(self) -> None:
        self.read: dict[str, Any] | None = dict(VITALS)
        self.shown: list[list[dict[str, Any]]] = []
        self.suspicion: dict[str, float] = {}
        self.audited: list[dict[str, Any]] = []
        self.said = dict(STATUS)

    def status(self) -> str:
        return json.dumps(self.said)

    def vitals(self) -> str:
        if self.read is not None and self.read.get("broken"):
            raise ValueError("a fault of the watch itself")
        return json.dumps(self.read)

    def tell_health(self, findings_json: str, suspicion_json: str) -> None:
        self.shown.append(json.loads(findings_json))
        self.suspicion = json.loads(suspicion_json)

    def audit(self, event: str, fields_json: str) -> None:
        assert event == "trouble"
        self.audited.append(json.loads(fields_json))


def logger() -> Logger:
    return structlog.wrap_logger(structlog.PrintLogger(), wrapper_class=structlog.make_filtering_bound_logger(50))


def codes(node: FakeNode) -> list[str]:
    return [one["code"] for one in node.shown[-1]]


def test_a_finding_is_shown_with_advice_until_it_ends(tmp_path: Path) -> None:
    node = FakeNode()
    watch = Watch(node, CONFIG, tmp_path, logger())
    watch.look(0)
    assert node.shown == [[]]
    assert node.suspicion == {"node-1": pytest.approx(0, abs=0.5)}
    assert node.read is not None
    node.read |= {"damaged": "a row is damaged", "now_us": 100_000}
    watch.look(0)
    [found] = node.shown[-1]
    assert (found["code"], found["severity"], found["evidence"]) == ("store-corrupt", "not-ready", "a row is damaged")
    assert "recover" in found["advice"]
    node.read |= {"damaged": None, "now_us": 200_000}
    watch.look(0)
    assert node.shown[-1] == []
    node.read = None
    watch.look(0)
    assert len(node.shown) == 3, "a closed node has nothing to show"


def test_a_core_that_hangs_is_shown(tmp_path: Path) -> None:
    node, busy_ms = FakeNode(), [0]
    watch = Watch(node, CONFIG, tmp_path, logger(), core_ms=lambda: busy_ms[0])
    watch.look(0)
    assert codes(node) == []
    busy_ms[0] = CONFIG.recovery.wedged_ms
    watch.look(0)
    [found] = node.shown[-1]
    assert (found["code"], found["evidence"]) == ("wedged", "busy with one piece of work: core for 30 s")


def test_a_fault_of_the_gateways_certificate_is_shown(tmp_path: Path) -> None:
    node = FakeNode()
    watch = Watch(node, CONFIG, tmp_path, logger())
    assert node.read is not None
    year_ms = 365 * 24 * 3_600_000
    node.read |= {"tls": {"begins_ms": 0, "ends_ms": time.time_ns() // 1_000_000 + year_ms, "trouble": None}}
    watch.look(0)
    assert codes(node) == []
    node.read |= {"tls": {"begins_ms": 0, "ends_ms": 1, "trouble": "the key isn't there"}}
    for second in range(100, 120):
        node.read |= {"now_us": second * 1_000_000}
        watch.look(0)
    found = {one["code"]: one["evidence"] for one in node.shown[-1]}
    assert "expired" in found["certificate-ends"]
    assert found["tls-files-unusable"] == "the key isn't there"


def looked(watch: Watch, node: FakeNode, seconds: int) -> list[str]:
    """Looks once a second for so long; returns the codes that the last look showed."""
    assert node.read is not None
    for _ in range(seconds):
        node.read |= {"peers": [], "now_us": node.read["now_us"] + 1_000_000}
        watch.look(0)
    return codes(node)


def test_transactions_that_nothing_holds_back_and_nobody_executes_are_shown(tmp_path: Path) -> None:
    node = FakeNode()
    watch = Watch(node, CONFIG, tmp_path, logger())
    assert node.read is not None
    node.said |= {"pool_transactions": 7}
    assert looked(watch, node, 20) == [], "they lack a nonce or quota"
    node.read |= {"pool_able": 7}
    assert looked(watch, node, 12) == ["chain-stands"]
    [found] = node.shown[-1]
    assert (found["severity"], "height 9" in found["evidence"]) == ("not-ready", True)
    assert "status check" in found["advice"]
    node.said |= {"at": {"height": 10}}
    assert looked(watch, node, 1) == []


def test_a_validator_whose_key_is_in_no_committee_is_shown(tmp_path: Path) -> None:
    node = FakeNode()
    node.said |= {"role": "follower", "peers": 4, "epoch": 3}
    assert looked(Watch(node, CONFIG, tmp_path, logger()), node, 1) == ["not-in-committee"], "at once"
    [found] = node.shown[-1]
    assert (found["severity"], "of this home is not in the committee of epoch 3" in found["evidence"]) == (
        "degraded",
        True,
    )
    (tmp_path / "retired").mkdir()  # as `node replace-key` leaves it
    looked(Watch(node, CONFIG, tmp_path, logger()), node, 1)
    assert "of this home, which replaced another one, is not in the committee" in node.shown[-1][0]["evidence"]
    (tmp_path / "retired").rmdir()
    # A follower has no validator key, and another shard's committee may be without this validator.
    follower = Config(node=NodeSection(role="follower"), recovery=CONFIG.recovery)
    assert looked(Watch(node, follower, tmp_path, logger()), node, 12) == []
    assert looked(Watch(node, CONFIG, tmp_path, logger(), of_process=False), node, 12) == []
    # A retired key has its own finding.
    node.said |= {"key_retired_because": "another node signed with it"}
    assert looked(Watch(node, CONFIG, tmp_path, logger()), node, 12) == ["key-retired"]


@pytest.mark.usefixtures("no_threads")
def test_the_watch_survives_its_own_faults_and_audits_starts_and_ends(tmp_path: Path) -> None:
    async def main() -> None:
        node = FakeNode()
        watch = Watch(node, CONFIG, tmp_path, logger())
        assert node.read is not None
        async with trio.open_nursery() as nursery:
            nursery.start_soon(watch.run)
            node.read |= {"broken": True}
            await trio.sleep(2.5)
            assert node.shown == []
            node.read |= {"broken": False, "diverged": 7}
            await trio.sleep(1)
            assert codes(node) == ["diverged"]
            node.read |= {"diverged": None}
            await trio.sleep(1)
            assert codes(node) == []
            while len(node.audited) < 2:  # noqa: ASYNC110
                await trio.sleep(0.1)
            nursery.cancel_scope.cancel()
        assert [(one["code"], one["state"]) for one in node.audited] == [("diverged", "begun"), ("diverged", "over")]

    trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def test_a_chain_is_ahead_of_the_clock_by_more_than_a_voter_accepts() -> None:
    ahead = [chain_ahead_ms(VITALS | {"chain_ms": 10_000 + by_ms}, 10_000) for by_ms in (-1, 0, 2_000, 2_001)]
    assert ahead == [0, 0, 0, 2_001]


def test_a_block_that_waited_for_the_clock_is_reported_for_a_minute() -> None:
    block = {"proposer": "node-2", "ahead_ms": 3_600_000, "at_us": 1_000_000}
    read = VITALS | {"block_ahead": block}
    assert "node-2 is 3600.0 s ahead" in block_ahead(read | {"now_us": 61_000_000})
    assert block_ahead(read | {"now_us": 61_000_001}) == block_ahead(VITALS) == ""


def test_homes_that_drop_transactions_are_named_with_the_number() -> None:
    read = VITALS | {"left_out": [{"home": "node-3", "missed": 8, "of": 16}, {"home": "node-1", "missed": 9, "of": 9}]}
    said = "node-3 listed 8 of the last 16 late or never, node-1 listed 9 of the last 9 late or never"
    assert (left_out(read), left_out(VITALS)) == (said, "")


def test_lanes_of_which_too_much_was_skipped_are_named_with_the_bytes() -> None:
    read = VITALS | {"lane_junk": [{"validator": "node-3", "skipped_bytes": 70_000, "listed_bytes": 80_000}]}
    assert lane_junk(read) == "70000 of 80000 bytes that node-3 listed were skipped"
    assert lane_junk(VITALS) == ""


def test_a_follower_without_a_link_is_told_the_key_that_a_validator_must_name() -> None:
    alone = {"role": "follower", "peers": 2, "peers_up": 0, "unreachable": ["node-0", "node-1"]}
    said = "no validator is connected with this node, whose key is ab12: not node-0, node-1"
    assert not_served(alone, "ab12") == said
    assert not_served(alone | {"peers_up": 1}, "ab12") == not_served(alone | {"role": "validator"}, "ab12") == ""
    assert "`rustorium-node followers add KEY`" in FINDINGS["not-served"].advice


def test_a_peer_of_another_chain_is_named_with_its_address_and_chain(tmp_path: Path) -> None:
    own, other = STATUS["chain"], "cd" * 32
    sentence = "the other end is on chain {theirs}, this node on {ours}"
    assert sentence in (ROOT / "crates/transport/src/refusal.rs").read_text(), "the watch reads it"
    node = FakeNode()
    watch = Watch(node, CONFIG, tmp_path, logger())
    refused_here, refused_there = sentence.format(theirs=other, ours=own), sentence.format(theirs=own, ours=other)
    for said in (
        refused_here,
        f'the other end closed the connection because it is on another chain ("{refused_there}")',
    ):
        peer = VITALS["peers"][0] | {"up": False, "address": "10.0.0.2:26656", "down_because": said}
        node.read = VITALS | {"peers": [peer]}
        watch.look(0)
        [found] = node.shown[-1]
        evidence = f"node-1 at 10.0.0.2:26656 is of chain {other}; this node is of chain {own}"
        assert (found["code"], found["evidence"]) == ("peer-other-chain", evidence)
    assert other_chain(VITALS | {"peers": [peer | {"down_because": "no answer; it is dialed again"}]}, own) == ""


@pytest.mark.parametrize(
    ("role", "peers", "up", "lost"),
    [
        ("validator", 3, 2, ""),
        ("validator", 3, 1, "2 of the 3 validators that a quorum needs"),
        ("validator", 0, 0, ""),
        ("follower", 4, 0, ""),
    ],
)
def test_a_quorum_counts_the_node_itself_where_it_votes(role: str, peers: int, up: int, lost: str) -> None:
    status = {"role": role, "peers": peers, "peers_up": up, "unreachable": ["node-2"]}
    assert quorum_lost(status).startswith(lost)
    assert bool(quorum_lost(status)) == bool(lost)
