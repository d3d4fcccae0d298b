"""Findings in virtual time: each fault is found once it lasts, and the finding ends with it."""

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium.config import RecoverySection
from rustorium.health.catalogue import ENDINGS, FINDINGS, Act, Severity
from rustorium.health.detect import Detector, PeerVitals, Vitals
from rustorium.health.liveness import Accrual, LocalHealth

MS = 1_000_000
CONFIG = RecoverySection()
PROFILE = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
WELL = Vitals(now_ns=0, wall_ms=1_000_000, busy_ms={"shard": 0, "journal": 0})


class Clock:
    """A detector, and one observation per period."""

    def __init__(self, config: RecoverySection = CONFIG) -> None:
        self.detector, self.now_ms, self.config = Detector(config, 500), 0, config

    def look(self, lag_ms: int = 0, **vitals: Any) -> list[str]:
        self.now_ms += self.config.watch_ms + lag_ms
        reading = replace(WELL, now_ns=self.now_ms * MS, wall_ms=WELL.wall_ms + self.now_ms, **vitals)
        self.found = self.detector.observe(reading, lag_ms * MS)
        return [one.code for one in self.found]

    def looks(self, seconds: int, **vitals: Any) -> list[str]:
        codes: list[str] = []
        for _ in range(seconds * 1000 // self.config.watch_ms):
            codes = self.look(**vitals)
        return codes


def test_a_journal_that_holds_too_much_is_found() -> None:
    clock = Clock()
    assert clock.looks(60, journal_bytes=64 << 20) == []
    assert clock.looks(60, journal_bytes=(64 << 20) + 1) == ["journal-large"]
    assert clock.look(journal_bytes=1 << 20) == []


def test_an_old_record_of_the_journal_counts_only_while_heights_move() -> None:
    clock = Clock()
    codes = [clock.look(journal_oldest_ns=MS, executed=height) for height in range(1, 700)]
    assert codes[580] == []
    assert codes[-1] == ["journal-large"]
    assert "11 minutes" in clock.found[0].evidence
    assert clock.looks(120, journal_oldest_ns=MS, executed=700) == [], "without a final block all may be needed"


@pytest.mark.parametrize(
    ("vitals", "code"),
    [
        ({"busy_ms": {"shard": 30_000}}, "wedged"),
        ({"busy_ms": {"journal": 30_000}}, "disk-stalled"),
        ({"busy_ms": {"keep": 30_000, "shard": 31_000}}, "disk-stalled"),
        ({"damaged": "a row is damaged"}, "store-corrupt"),
        ({"keep_few": 1000}, "history-cut"),
        ({"diverged": 7}, "diverged"),
        ({"free_bytes": 1 << 20}, "disk-low"),
        ({"retired": "the key is retired"}, "key-retired"),
        ({"no_member": "the validator key is in no committee"}, "not-in-committee"),
        ({"left_out": "node-3 listed 8 of the last 16 late or never"}, "home-leaves-out"),
        ({"lane_junk": "2097152 of 4194304 bytes that node-3 listed were skipped"}, "lane-junk"),
        ({"shard_trouble": "shard 7 ended with core-fault"}, "shard-trouble"),
        ({"block_ahead": "a block of node-2 is 3600.0 s ahead"}, "block-ahead-of-clock"),
        ({"other_chain": "node-1 at 10.0.0.2:26656 is of another chain"}, "peer-other-chain"),
        ({"cut_off": ["carol sent votes with false signatures"]}, "peer-cut-off"),
        ({"many_liars": True}, "many-liars"),
        ({"signer_refused": "it contradicts what this key signed"}, "signer-refuses"),
    ],
)
def test_some_troubles_are_found_at_once_and_are_over_when_they_are(vitals: Mapping[str, Any], code: str) -> None:
    clock = Clock()
    assert clock.look() == []
    assert clock.look(**vitals) == [code]
    began = clock.found[0].since_ms
    assert clock.look(**vitals) == [code]
    assert clock.found[0].since_ms == began
    assert clock.look() == []
    assert clock.look(**vitals) == [code]
    assert clock.found[0].since_ms > began


@pytest.mark.parametrize(
    ("vitals", "code"),
    [
        ({"unserved": 9}, "behind-pruned"),
        ({"quorum_lost": "1 of the 3 are connected"}, "peers-lost"),
        ({"not_served": "no validator is connected"}, "not-served"),
        ({"synced": False}, "catching-up"),
        ({"waiting": 1}, "chain-stands"),
    ],
)
def test_others_must_last(vitals: Mapping[str, Any], code: str) -> None:
    clock = Clock()
    assert clock.looks(10, **vitals) == []
    assert clock.look(**vitals) == [code]
    assert clock.look() == []
    assert clock.looks(10, **vitals) == [], "it must last anew"


def test_a_node_that_is_behind_may_not_be_in_the_committee_yet() -> None:
    clock, absent = Clock(), {"no_member": "the validator key is in no committee"}
    assert clock.looks(10, **absent, synced=False) == []
    assert clock.look(**absent) == ["not-in-committee"]


def test_a_chain_that_executes_what_waits_does_not_stand() -> None:
    clock = Clock()
    assert clock.looks(60, executed=9) == [], "nothing waits on an idle chain"
    for height in range(10, 20):
        assert clock.looks(9, executed=height, waiting=4_000) == []
    assert clock.looks(11, executed=19, waiting=4_000) == ["chain-stands"]
    assert clock.look(executed=20, waiting=4_000) == [], "one block is enough"
    assert clock.looks(11, executed=20, waiting=3) == ["chain-stands"]
    assert clock.found[0].evidence == "3 transactions wait, and no block has become final after height 20"
    assert clock.look(executed=20) == [], "what waited has expired or gone"


def test_a_cause_that_has_its_own_finding_is_not_also_a_chain_that_stands() -> None:
    clock, waits = Clock(), {"executed": 9, "waiting": 1}
    assert clock.looks(60, **waits, quorum_lost="1 of the 3 are connected") == ["peers-lost"]
    assert clock.found[0].evidence == "1 of the 3 are connected; 1 transaction waits"
    assert clock.looks(60, **waits, synced=False) == ["catching-up"]
    assert clock.looks(60, **waits, busy_ms={"execute": 30_000}) == ["wedged"]
    assert clock.looks(10, **waits) == [], "its time begins when it is the only one"
    assert clock.look(**waits) == ["chain-stands"]


def test_a_signer_that_is_started_again_at_once_is_no_trouble() -> None:
    clock = Clock()
    assert clock.look(signer_away="nobody listens") == []
    assert clock.look() == []
    assert clock.looks(1, signer_away="nobody listens") == []
    assert clock.look(signer_away="nobody listens") == ["signer-unreachable"]


def test_a_busy_machine_is_given_more_time() -> None:
    clock = Clock()
    for _ in range(8):
        clock.look(lag_ms=800)
    assert clock.detector.stretch == 9
    assert clock.look(lag_ms=800, busy_ms={"execute": 200_000}) == []
    assert clock.look(lag_ms=800, busy_ms={"execute": 30_000 * 9}) == ["wedged"]
    for _ in range(8):
        clock.look()
    assert clock.detector.stretch == 1


def test_a_slow_disk_is_judged_by_enough_syncs() -> None:
    clock = Clock()
    assert clock.look(syncs=4, sync_us=4_000_000) == [], "four syncs say nothing"
    assert clock.look(syncs=8, sync_us=8_000_000) == ["disk-slow"]
    assert clock.look(syncs=10, sync_us=8_000_200) == ["disk-slow"], "not judged anew yet"
    assert clock.look(syncs=20, sync_us=8_001_200) == []


def test_an_idle_slow_disk_is_not_reported() -> None:
    clock = Clock()
    assert clock.look(syncs=8, sync_us=8_000_000) == ["disk-slow"]
    assert clock.looks(9, syncs=10, sync_us=8_400_000) == ["disk-slow"]
    assert clock.look(syncs=10, sync_us=8_400_000) == [], "an idle chain makes no syncs to judge it by"
    assert clock.look(syncs=16, sync_us=11_000_000) == ["disk-slow"], "and those that come are judged"


def test_a_hanging_disk_is_not_also_reported_as_slow() -> None:
    clock = Clock()
    assert clock.look(syncs=5, sync_us=1_000, busy_ms={"journal": 30_000}) == ["disk-stalled"]
    assert clock.look(syncs=9, sync_us=30_001_000) == []
    assert clock.look(syncs=17, sync_us=30_002_000) == []
    assert clock.look(syncs=25, sync_us=38_002_000) == ["disk-slow"]


def test_a_chain_ahead_of_the_clock_is_reported_after_five_seconds_with_the_difference() -> None:
    clock = Clock()
    assert clock.looks(5, chain_ahead_ms=3_600_000) == []
    assert clock.look(chain_ahead_ms=3_599_000) == ["chain-ahead-of-clock"]
    assert clock.found[0].evidence == "the newest certified block is 3599.0 s ahead of this node's clock"
    assert clock.look() == []


def beats(clock: Clock, name: str = "node-1", up: bool = True) -> PeerVitals:
    """A peer that is heard every half second."""
    at_ms = clock.now_ms
    return PeerVitals(name, up, [(at_ms + 250) * MS, (at_ms + 750) * MS])


def test_leaders_that_are_passed_over_are_named_once_that_lasts() -> None:
    clock = Clock()
    mute = [replace(beats(clock), passed_over=True), PeerVitals("node-2", up=False, passed_over=True)]
    assert clock.look(peers=mute) == []
    for _ in range(CONFIG.lasts_ms // CONFIG.watch_ms + 1):
        mute = [replace(beats(clock), passed_over=True), PeerVitals("node-2", up=False, passed_over=True)]
        codes = clock.look(peers=mute)
    assert codes == ["leaders-mute"]
    assert "node-1" in clock.found[0].evidence
    assert "node-2" not in clock.found[0].evidence
    assert clock.look(peers=[beats(clock)]) == []


def test_a_silent_peer_is_suspected_until_it_is_heard_again() -> None:
    clock = Clock()
    for _ in range(100):
        assert clock.look(peers=[beats(clock), beats(clock, "node-2")]) == []
    codes = [clock.look(peers=[PeerVitals("node-1", True), beats(clock, "node-2")]) for _ in range(4)]
    assert codes[-1] == ["peers-suspected"]
    assert re.fullmatch(r"node-1 not heard for \d+ ms", clock.found[0].evidence)
    assert clock.detector.suspicion(clock.now_ms * MS)["node-2"] < 1
    assert clock.look(peers=[beats(clock), beats(clock, "node-2")]) == []
    # A peer whose link is down isn't suspected, because it is known to be away.
    assert all(clock.look(peers=[PeerVitals("node-1", False)]) == [] for _ in range(9))
    # A peer that left the committee is forgotten.
    assert clock.look(peers=[]) == []
    assert clock.detector.suspicion(clock.now_ms * MS) == {}


@PROFILE
@given(st.lists(st.integers(0, 30_000), max_size=40))
def test_a_watch_that_was_paused_suspects_no_peer(lags_ms: list[int]) -> None:
    clock = Clock()
    for _ in range(20):
        clock.look(peers=[beats(clock)])
    for lag_ms in lags_ms:
        # Nothing was read while the watch was away; the peer spoke all the time.
        before = clock.now_ms
        heard = [PeerVitals("node-1", True, [(before + at) * MS for at in range(0, lag_ms + 1000, 500)])]
        assert "peers-suspected" not in clock.look(lag_ms=lag_ms, peers=heard)


@PROFILE
@given(st.integers(0, 30_000))
def test_a_node_that_was_paused_suspects_no_peer(lag_ms: int) -> None:
    """The reading after the stop contains what was heard before it, and nothing in between."""
    clock = Clock()
    for _ in range(20):
        clock.look(peers=[beats(clock)])
    assert "peers-suspected" not in clock.look(lag_ms=lag_ms, peers=[beats(clock)])
    # A peer that died meanwhile is suspected soon.
    codes = [clock.look(peers=[PeerVitals("node-1", True)]) for _ in range(10)]
    assert codes[-1] == ["peers-suspected"]


@PROFILE
@given(st.lists(st.integers(400, 700), min_size=2, max_size=300), st.integers(0, 10_000), st.integers(1, 9))
def test_phi_grows_with_silence_and_shrinks_with_the_watchs_own_delay(
    gaps_ms: list[int], more_ms: int, stretch: int
) -> None:
    one, at_ms = Accrual(500 * MS), 0
    assert one.phi(10**12, 1) == 0.0, "nobody was promised yet"
    for gap in gaps_ms:
        at_ms += gap
        one.heard(at_ms * MS)
    assert one.phi((at_ms + 500) * MS, 1) < 1
    now = (at_ms + more_ms) * MS
    assert one.phi(now, stretch) <= one.phi(now + 100 * MS, stretch)
    if more_ms > 700:
        assert one.phi(now, stretch + 1) <= one.phi(now, stretch)
    assert one.phi((at_ms + 8_000) * MS, 1) > 8
    one.lagged(8_000 * MS)
    assert one.phi((at_ms + 8_000) * MS, 1) < 1


@PROFILE
@given(st.lists(st.booleans(), max_size=100))
def test_the_local_health_is_bounded_and_forgets(late: list[bool]) -> None:
    health = LocalHealth(10)
    for one in late:
        health.woke(11 if one else 10)
        assert 1 <= health.stretch <= 9
    for _ in range(8):
        health.woke(0)
    assert health.stretch == 1


def test_no_repair_in_the_catalogue_could_sign_twice() -> None:
    for code, act in {**{code: kind.act for code, kind in FINDINGS.items()}, **ENDINGS}.items():
        if "journal-retired" in code or "journal-corrupt" in code or "key" in code.split("-") or "rekey" in code:
            assert act is Act.ASK, code
    assert all(kind.severity in Severity and kind.advice for kind in FINDINGS.values())
