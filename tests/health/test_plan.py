"""Recovery plans keep the limits for any sequence of a node's ends."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium.config import RecoverySection
from rustorium.health.catalogue import ENDINGS, FINDINGS, Act, Finding
from rustorium.health.plan import (
    DAY_MS,
    HOUR_MS,
    PAUSE_MS,
    PastAct,
    Planner,
    Step,
    Trouble,
    is_well,
    manual_step,
    troubles_of_shards,
)

CONFIG = RecoverySection()
CUTTING = RecoverySection(keep_when_low=1000)
PROFILE = settings(max_examples=100, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
CODES = [*ENDINGS, "config-invalid", "genesis-missing", "never-heard-of"]
NOW = 10 * DAY_MS


def carry_out(planner: Planner, step: Step, now_ms: int) -> int:
    """Carries out a step as the supervisor does, not before its time; returns that time."""
    at_ms = max(now_ms, step.not_before_ms)
    planner.did(PastAct(at_ms, step.act, step.trouble.code))
    return at_ms


events = st.lists(
    st.tuples(st.sampled_from(CODES), st.integers(0, 3 * HOUR_MS), st.booleans(), st.booleans()), max_size=80
)


@PROFILE
@given(events, st.integers(1, 6), st.integers(0, 3))
def test_no_sequence_of_endings_breaks_the_limits(
    endings: list[tuple[str, int, bool, bool]], restarts: int, refills: int
) -> None:
    config = RecoverySection(
        restarts_per_hour_max=restarts, refills_per_day_max=refills, keep_when_low=1000 * (restarts % 2)
    )
    planner, now_ms, done = Planner(config), NOW, list[PastAct]()
    for code, lived_ms, room, again in endings:
        now_ms += lived_ms
        if again:
            # A new supervisor reads the records of the first one.
            planner = Planner(config, done)
        step = planner.ended(Trouble(code, "because"), now_ms, room=room)
        assert step.not_before_ms >= now_ms
        assert step.why
        if step.act in (Act.ASK, Act.WAIT):
            continue
        now_ms = carry_out(planner, step, now_ms)
        done.append(PastAct(now_ms, step.act, code))
        starts = (Act.RESTART, Act.PRUNE)
        for acts, span_ms, most in ((starts, HOUR_MS, restarts), ((Act.REFILL,), DAY_MS, refills)):
            within = [one for one in done if one.act in acts and now_ms - span_ms < one.at_ms <= now_ms]
            assert len(within) <= most, (acts, within)
        assert config.keep_when_low or step.act is not Act.PRUNE, "history is its operator's"


@pytest.mark.parametrize("code", [*sorted(code for code, act in ENDINGS.items() if act is Act.ASK), "config-invalid"])
def test_a_decision_for_a_person_is_requested(code: str) -> None:
    assert Planner(CONFIG).ended(Trouble(code, "why"), NOW).act is Act.ASK
    assert manual_step(Trouble(code, "why"), alone=False).act is Act.ASK


def test_restarts_wait_longer_and_longer() -> None:
    planner, now_ms, pauses = Planner(CONFIG), NOW, []
    for _ in range(CONFIG.restarts_per_hour_max + 1):
        step = planner.ended(Trouble("died", "by SIGKILL"), now_ms)
        assert step.act is Act.RESTART
        pauses.append(step.not_before_ms - now_ms)
        now_ms = carry_out(planner, step, now_ms)
    assert pauses[:3] == [PAUSE_MS, 2 * PAUSE_MS, 4 * PAUSE_MS]
    assert pauses[-1] > HOUR_MS - 10 * 60_000, "the hour's limit"


def test_a_failing_store_is_restarted_first_and_refilled_when_that_did_not_help() -> None:
    planner = Planner(CONFIG)
    first = planner.ended(Trouble("store-failed", "an error"), NOW)
    assert (first.act, first.undo) == (Act.RESTART, "")
    carry_out(planner, first, NOW)
    second = planner.ended(Trouble("store-failed", "an error"), NOW + 60_000)
    assert second.act is Act.REFILL
    assert "--undo" in second.undo
    assert planner.ended(Trouble("state-tree-failed", "another"), NOW + 60_000).act is Act.RESTART


def test_a_damaged_store_is_refilled_at_most_so_often_and_never_without_peers() -> None:
    planner, now_ms = Planner(CONFIG), NOW
    for _ in range(CONFIG.refills_per_day_max):
        step = planner.ended(Trouble("store-corrupt", "a row"), now_ms)
        assert (step.act, step.not_before_ms - now_ms) == (Act.REFILL, PAUSE_MS)
        now_ms = carry_out(planner, step, now_ms) + 1
    assert planner.ended(Trouble("store-corrupt", "a row"), now_ms).not_before_ms >= NOW + DAY_MS
    corrupt = [Finding("store-corrupt", "a row", now_ms)]
    assert planner.running(corrupt, now_ms) is None, "it serves what it can meanwhile"
    assert Planner(CONFIG, alone=True).ended(Trouble("store-corrupt", "a row"), NOW).act is Act.ASK
    assert Planner(CONFIG, alone=True).running(corrupt, NOW) is None
    assert manual_step(Trouble("diverged", "why"), alone=True).act is Act.ASK


def test_a_full_disk_is_freed_only_where_it_is_full() -> None:
    planner = Planner(CONFIG)
    assert planner.ended(Trouble("disk-full", "no space"), NOW, room=False).act is Act.FREE
    assert planner.ended(Trouble("disk-full", "no space"), NOW, room=True).act is Act.RESTART


def test_history_is_pruned_if_allowed_and_nothing_else_made_room() -> None:
    low, cut = Finding("disk-low", "1 MiB", NOW), Finding("history-cut", "1000", NOW)
    planner, now_ms = Planner(CUTTING), NOW

    def running(*findings: Finding) -> Step | None:
        return planner.running(findings, now_ms)

    first = running(low)
    assert first is not None
    assert first.act is Act.FREE, "what nobody needs goes first"
    freed_ms = carry_out(planner, first, now_ms)
    now_ms = freed_ms + CUTTING.lasts_ms - 1
    assert running(low) is None, "the node has yet to see whether that was enough"
    now_ms += 1
    assert running() is None, "it was"
    step = running(low)
    assert step is not None
    assert (step.act, step.undo, step.not_before_ms - now_ms) == (Act.PRUNE, "", PAUSE_MS)
    assert "nothing brings them back" in step.why
    assert Planner(CONFIG, [PastAct(freed_ms, Act.FREE, "disk-low")]).running([low], now_ms) is None
    now_ms = carry_out(planner, step, now_ms) + 60_000
    assert running(low) is None, "once an hour"
    now_ms += HOUR_MS
    again = running(low, cut)
    assert again is not None
    assert again.act is Act.FREE
    now_ms = carry_out(planner, again, now_ms) + CUTTING.lasts_ms
    assert running(low, cut) is None, "it keeps no more than that already"
    assert running(low) is not None


def test_a_full_disk_without_unneeded_files_has_its_history_pruned_once() -> None:
    full, planner = Trouble("disk-full", "no space"), Planner(CUTTING)
    acts = []
    for minute in range(3):
        step = planner.ended(full, NOW + 60_000 * minute, room=False)
        carry_out(planner, step, NOW + 60_000 * minute)
        acts.append(step.act)
    assert acts == [Act.FREE, Act.PRUNE, Act.FREE]
    assert planner.ended(full, NOW + 200_000, room=True).act is Act.RESTART
    assert manual_step(full, alone=False).act is Act.FREE
    assert manual_step(full, alone=False, prune=True).act is Act.PRUNE
    assert manual_step(Trouble("store-corrupt", "a row"), alone=False, prune=True).act is Act.REFILL


def test_the_worst_fault_of_a_running_node_is_repaired_and_a_wait_is_left_alone() -> None:
    planner = Planner(CONFIG)

    def act(*codes: str, since_ms: int = NOW) -> Act | None:
        step = planner.running([Finding(code, "why", since_ms) for code in codes], NOW)
        return step.act if step is not None else None

    assert act() is None
    assert act("peers-lost", "disk-slow", "key-retired", "disk-stalled", "catching-up", "peers-suspected") is None
    assert act("leaders-mute") is None
    assert act("chain-ahead-of-clock", "block-ahead-of-clock", "home-leaves-out", "lane-junk") is None
    assert act("signer-unreachable", "signer-refuses", "shard-trouble") is None
    assert act("wedged", "peers-lost") is Act.RESTART
    assert act("wedged", "store-corrupt", "disk-low") is Act.REFILL
    assert act("behind-pruned") is act("diverged") is Act.REFILL
    assert act("disk-stalled", since_ms=NOW - 10 * CONFIG.wedged_ms) is Act.RESTART
    assert act("disk-low") is Act.FREE
    planner.did(PastAct(NOW - 60_000, Act.FREE, "disk-low"))
    assert act("disk-low") is None, "what could go went the first time"


@PROFILE
@given(st.lists(st.sampled_from(sorted(FINDINGS)), max_size=5), st.integers(0, 40))
def test_a_running_node_is_never_ended_beyond_the_limits(codes: list[str], before: int) -> None:
    planner = Planner(CONFIG, [PastAct(NOW - 1_000 * n, Act.RESTART, "died") for n in range(before, 0, -1)])
    step = planner.running([Finding(code, "why", NOW) for code in codes], NOW)
    if step is not None and step.act is Act.RESTART:
        assert before < CONFIG.restarts_per_hour_max
    assert step is None or step.act in (Act.REFILL, Act.RESTART, Act.FREE)
    assert is_well([Finding(code, "why", NOW) for code in codes]) == all(
        FINDINGS[code].severity == "degraded" for code in codes
    )


def shard(number: int, *codes: str, ended: str | None = None) -> dict[str, object]:
    """Returns a shard as a node's status shows it."""
    findings = [{"code": code, "evidence": "so", "since_ms": NOW} for code in codes]
    if ended is not None:
        return {"shard": number, "ready": False, "ended": {"code": ended, "sentence": "so"}}
    return {"shard": number, "ready": not codes, "findings": findings}


@pytest.mark.parametrize(
    ("shards", "act"),
    [
        ([shard(3)], None),
        ([shard(3, ended="store-corrupt")], (Act.REFILL, 3)),
        ([shard(3, ended="core-fault")], None),
        ([shard(3, ended="journal-corrupt")], None),
        ([shard(3, "diverged")], (Act.REFILL, 3)),
        ([shard(3, "wedged"), shard(5, ended="store-corrupt")], (Act.REFILL, 5)),
        ([shard(3, "wedged", "leaders-mute")], (Act.RESTART, 3)),
        ([shard(3, "disk-slow", "a-code-of-a-later-release")], None),
    ],
)
def test_a_shard_gets_from_outside_what_the_node_can_not_do_itself(
    shards: list[dict[str, object]], act: tuple[Act, int] | None
) -> None:
    step = Planner(CONFIG).shards(troubles_of_shards(shards), NOW)
    assert (None if step is None else (step.act, step.trouble.shard)) == act
    if step is not None and step.act is Act.REFILL:
        assert step.why.startswith(f"shard {step.trouble.shard}: the store is moved")


def test_refills_of_all_shards_have_one_limit() -> None:
    planner, now = Planner(CONFIG), NOW
    for number in range(CONFIG.refills_per_day_max):
        step = planner.shards(troubles_of_shards([shard(number + 1, ended="store-corrupt")]), now)
        assert step is not None
        now = carry_out(planner, step, now)
    assert planner.shards(troubles_of_shards([shard(9, ended="store-corrupt")]), now) is None
    assert Planner(CONFIG, alone=True).shards(troubles_of_shards([shard(9, "diverged")]), now) is None
