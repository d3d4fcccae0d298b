"""R11 to R21: when the core acts: work, grace, owed claims, timers, silence, resends and heartbeats.

Invariants: virtual time only; each test names the rule that it tests.
"""

import pytest
from core_harness import CONFIG, GENESIS, Core, block, finalization, notarization, nullification, of, ready

from rustorium.consensus.vocabulary import (
    BlockSeen,
    ClaimReady,
    ClaimWanted,
    Effect,
    Heartbeat,
    LaneCostly,
    NullifiesSeen,
    PayloadStatus,
    PeerSilence,
    Propose,
    ResendVotes,
    SendWork,
    Tick,
    Vote,
    VoteKind,
    WorkSeen,
)

HOUR_MS = 3_600_000


def nullifies(effects: list[Effect]) -> list[int]:
    return [vote.view for vote in of(effects, Vote) if vote.kind is VoteKind.NULLIFY]


def final_one(me: int, payload: bool = True) -> Core:
    """Returns a core in view 2 whose block of view 1 is final."""
    one = block(1, payload=payload)
    core = Core(me)
    core.feed(ready(one), notarization(one), finalization(one))
    return core


def test_r11_an_idle_chain_makes_no_blocks_and_wakes_for_heartbeats_only() -> None:
    core = final_one(me=2, payload=False)
    before = core.steps
    effects = core.wait(10_000)
    assert set(map(type, effects)) == {Heartbeat}
    assert core.steps - before == 10_000 // CONFIG.heartbeat_ms


def test_r11_the_first_transaction_after_an_idle_hour_is_as_fast_as_any() -> None:
    core = final_one(me=2)
    core.feed(ClaimReady(1))
    core.wait(5)
    soon = of(core.feed(WorkSeen(True)), Propose)
    idle = final_one(me=2, payload=False)
    idle.wait(HOUR_MS)
    late = of(idle.feed(WorkSeen(True)), Propose)
    assert [p.view for p in soon] == [p.view for p in late] == [2]
    voter = final_one(me=0, payload=False)
    voter.wait(HOUR_MS)
    effects = voter.feed(ready(block(2, block(1, payload=False))))
    assert [vote.kind for vote in of(effects, Vote)] == [VoteKind.NOTARIZE]


def test_r11_f_plus_1_nullifies_are_work() -> None:
    core = Core(me=2)
    core.feed(NullifiesSeen(1))
    assert nullifies(core.wait(250)) == [1]


def test_r12_unfinal_content_is_work_for_the_leader_only_after_the_grace() -> None:
    one = block(1)
    core = Core(me=2)
    assert not of(core.feed(ready(one), notarization(one)), Propose)
    assert core.deadline_ms == CONFIG.grace_ms
    assert of(core.wait(CONFIG.grace_ms), Propose) == [Propose(2, 1, one.digest, 0)]


def test_r12_a_finalization_within_the_grace_spares_the_empty_block() -> None:
    one = block(1)
    core = Core(me=2)
    core.feed(ready(one), notarization(one))
    core.wait(CONFIG.grace_ms / 2)
    core.feed(finalization(one))
    assert not of(core.wait(300), Propose)


def test_r12_a_voters_timer_for_unfinal_content_starts_after_the_grace() -> None:
    one = block(1)
    core = Core(me=0)
    core.feed(ready(one), notarization(one))
    assert not nullifies(core.wait(CONFIG.grace_ms + 2 * CONFIG.delta_floor_ms - 1))
    assert nullifies(core.wait(1)) == [2]


def test_r12_an_unfinal_empty_block_is_no_work() -> None:
    one = block(1, payload=False)
    core = Core(me=2)
    core.feed(ready(one), notarization(one))
    assert not of(core.wait(2_000), Propose)


def test_r13_an_owed_claim_waits_for_a_block_that_carries_it() -> None:
    core = final_one(me=2)
    assert not of(core.feed(ClaimReady(1)), Propose)
    assert not of(core.wait(CONFIG.claim_delay_ms - 1), Propose)
    assert [p.claim_height for p in of(core.wait(1), Propose)] == [1]


def test_r13_a_claim_that_a_client_waits_for_is_made_at_once() -> None:
    core = final_one(me=2)
    assert not of(core.feed(ClaimWanted(1)), Propose)
    assert [p.claim_height for p in of(core.feed(ClaimReady(1)), Propose)] == [1]


def test_r13_without_agreement_no_claim_is_made_and_no_timer_runs() -> None:
    leader, voter = final_one(me=2), final_one(me=0)
    assert not of(leader.wait(2_000), Propose)
    assert not nullifies(voter.wait(2_000))


def test_r13_an_empty_height_is_never_owed() -> None:
    core = final_one(me=2, payload=False)
    core.feed(ClaimReady(1), ClaimWanted(1))
    assert not of(core.wait(2_000), Propose)


def test_r13_the_newest_payload_is_found_below_empty_blocks_seen_late() -> None:
    one, two = block(1), block(2, block(1), payload=False)
    core = Core(me=3)
    core.feed(finalization(two), ClaimReady(1))
    assert not of(core.wait(100), Propose)
    assert not of(core.feed(ready(two)), Propose)
    assert [p.claim_height for p in of(core.feed(ready(one)), Propose)] == [1]


def test_r14_a_proposal_claims_no_less_than_its_parent_and_no_more_than_its_ancestors() -> None:
    one = block(1)
    two = block(2, one, claim=1)
    core = Core(me=3)
    core.feed(ready(one), notarization(one), ready(two), WorkSeen(True))
    assert [p.claim_height for p in of(core.feed(notarization(two)), Propose)] == [1]
    eager = Core(me=1)
    eager.feed(ClaimReady(7))
    assert of(eager.feed(WorkSeen(True)), Propose) == [Propose(1, 0, GENESIS.digest, 0)]


def test_r15_ask_after_one_delta_give_up_after_two_and_tell_all() -> None:
    core = Core(me=2)
    core.feed(WorkSeen(True))
    assert not of(core.wait(99), SendWork)
    assert of(core.wait(1), SendWork) == [SendWork(1)]
    assert not nullifies(core.wait(99))
    effects = core.wait(1)
    assert nullifies(effects) == [1]
    assert of(effects, SendWork) == [SendWork(None)]


def test_r15_the_timer_starts_at_the_later_of_view_and_work() -> None:
    core = Core(me=2)
    core.wait(5_000)
    core.feed(WorkSeen(True))
    assert not nullifies(core.wait(199))
    assert nullifies(core.wait(1)) == [1]


def test_r15_a_proposal_gives_the_view_three_deltas_even_without_seen_work() -> None:
    core = Core(me=2)
    core.feed(BlockSeen(block(1), PayloadStatus.PENDING))
    assert not nullifies(core.wait(299))
    assert nullifies(core.wait(1)) == [1]


def test_r17_a_silent_leaders_view_is_given_up_at_once_but_only_with_work() -> None:
    core = Core(me=2)
    core.feed(PeerSilence(1, True))
    assert not nullifies(core.wait(3_000))
    assert nullifies(core.feed(WorkSeen(True))) == [1]


def test_r17_the_next_frame_ends_the_silence() -> None:
    core = Core(me=2)
    core.feed(PeerSilence(1, True), PeerSilence(1, False))
    assert not nullifies(core.feed(WorkSeen(True)))


def test_r18_a_given_up_view_is_resent_with_the_work_while_there_is_work() -> None:
    core = Core(me=2)
    core.feed(WorkSeen(True))
    core.wait(200)
    again = core.wait(400)
    assert len(of(again, ResendVotes)) == 2
    assert of(again, SendWork) == [SendWork(None)] * 2
    core.feed(WorkSeen(False))
    assert not of(core.wait(1_000), ResendVotes)


def test_r19_a_vote_stands_in_for_a_heartbeat() -> None:
    core = Core(me=0)
    core.wait(CONFIG.heartbeat_ms - 10)
    core.feed(ready(block(1)))
    assert not of(core.wait(20), Heartbeat)


def test_r20_a_costly_lane_is_distrusted_for_d_views() -> None:
    core = Core(me=1)
    core.feed(LaneCostly(3, 0), LaneCostly(77, 0))
    assert [p.distrusted_lanes for p in of(core.feed(WorkSeen(True)), Propose)] == [(3,)]
    core.feed(*(nullification(view) for view in range(1, 37)))
    assert core.feed(Tick()) == []
    late = Core(me=1)
    late.feed(LaneCostly(3, 0), *(nullification(view) for view in range(1, 33)))
    assert [p.distrusted_lanes for p in of(late.feed(WorkSeen(True)), Propose)] == [()]


@pytest.mark.parametrize("n", [4, 32, 33, 100])
def test_r20_a_costly_lane_is_distrusted_at_the_leaders_next_turn(n: int) -> None:
    core = Core(me=1, n=n)
    core.feed(LaneCostly(3, 1), *(nullification(view) for view in range(1, n + 1)))
    assert [(p.view, p.distrusted_lanes) for p in of(core.feed(WorkSeen(True)), Propose)] == [(n + 1, (3,))]
