"""R28 to R30: how an epoch ends and the next begins, for the core of one node.

Invariants: virtual time only; each test names the rule that it tests.
"""

import pytest
from core_harness import CONFIG, GENESIS, Core, block, finalization, notarization, nullification, of, ready

from rustorium.consensus.vocabulary import (
    BlockFacts,
    ClaimReady,
    ClaimWanted,
    Effect,
    EndDue,
    EnterView,
    FetchBlock,
    FetchCertificates,
    Heartbeat,
    Input,
    NullifiesSeen,
    OwnVote,
    Propose,
    Recovered,
    RootReady,
    Vote,
    VoteKind,
    WorkSeen,
)

ONE = block(1)
BOUNDARY = block(2, ONE, claim=1, ends=True)
CLOSING = block(3, BOUNDARY, payload=False, ends=True)
BIG = 7
"""The committee after the committee of four."""


def notarized(me: int | None, *blocks: BlockFacts) -> Core:
    core = Core(me)
    for facts in blocks:
        core.feed(ready(facts), notarization(facts))
    return core


def kinds(effects: list[Effect]) -> list[VoteKind]:
    return [vote.kind for vote in of(effects, Vote)]


def begin(core: Core, final: BlockFacts = BOUNDARY, payload_height: int = 2, me: int | None = 0) -> list[Effect]:
    return core.feed(Recovered(final, payload_height, epoch=1, me=me, n=BIG))


@pytest.mark.parametrize(
    ("closing", "accepted"),
    [
        (CLOSING, True),
        (block(3, BOUNDARY, payload=False, ends=False), False),
        (block(3, BOUNDARY, payload=True, ends=True), False),
        (block(3, BOUNDARY, payload=False, ends=True, claim=2), False),
        (block(3, BOUNDARY, payload=False, ends=True, claim=1, root=1), False),
    ],
    ids=["closing", "doesn't end", "lists something", "claims a result", "claims a root"],
)
def test_r28_a_closing_block_repeats_its_parents_fields(closing: BlockFacts, accepted: bool) -> None:
    core = notarized(0, ONE, BOUNDARY)
    assert kinds(core.feed(ready(closing))) == [VoteKind.NOTARIZE] * accepted


def test_r28_a_child_of_a_closing_block_is_a_closing_block() -> None:
    core = notarized(1, ONE, BOUNDARY, CLOSING)
    assert kinds(core.feed(ready(block(4, CLOSING, payload=False)))) == []
    again = notarized(1, ONE, BOUNDARY, CLOSING)
    assert kinds(again.feed(ready(block(4, CLOSING, payload=False, ends=True)))) == [VoteKind.NOTARIZE]


def test_r28_a_boundary_may_have_all_fields_of_a_block() -> None:
    core = notarized(0, ONE)
    assert kinds(core.feed(ready(BOUNDARY))) == [VoteKind.NOTARIZE]


def test_r11_an_end_that_is_due_is_work_for_leader_and_voter() -> None:
    leader = Core(me=1)
    assert not of(leader.feed(EndDue(False)) + leader.wait(1_000), Propose)
    assert [p.parent for p in of(leader.feed(EndDue(True)), Propose)] == [GENESIS.digest]
    voter = Core(me=0)
    voter.feed(EndDue(True))
    assert kinds(voter.wait(2 * CONFIG.delta_start_ms)) == [VoteKind.NULLIFY]


def test_r11_an_end_that_is_due_no_more_is_no_work() -> None:
    voter = Core(me=0)
    voter.feed(EndDue(True), EndDue(False))
    assert not kinds(voter.wait(2_000))


@pytest.mark.parametrize("reason", [EndDue(True), WorkSeen(True), ClaimReady(2), ClaimWanted(2)])
def test_r28_a_certified_boundary_is_work_after_the_grace_and_nothing_else_is(reason: Input) -> None:
    core = notarized(3, ONE, BOUNDARY)
    assert not of(core.feed(reason, ClaimReady(2)) + core.wait(CONFIG.grace_ms - 1), Propose)
    assert [(p.parent, p.claim_height) for p in of(core.wait(1), Propose)] == [(BOUNDARY.digest, 1)]


def test_r28_a_closing_block_claims_the_root_that_its_parent_claims() -> None:
    boundary = block(2, block(1), claim=1, root=1, ends=True)
    core = notarized(3, ONE, boundary)
    core.feed(ClaimReady(2), RootReady(2))
    assert [(p.claim_height, p.root_height) for p in of(core.wait(CONFIG.grace_ms), Propose)] == [(1, 1)]


def test_r28_a_closing_block_is_no_content_and_the_boundary_below_it_is() -> None:
    core = notarized(0, ONE, BOUNDARY)
    core.feed(finalization(BOUNDARY), ready(CLOSING), notarization(CLOSING))
    assert not of(core.wait(2_000), Propose)
    lost = notarized(0, ONE, BOUNDARY, CLOSING)
    assert of(lost.wait(CONFIG.grace_ms), Propose)


@pytest.mark.parametrize("reason", [EndDue(True), WorkSeen(True), ClaimReady(2)])
def test_r28_after_a_final_boundary_there_is_no_work_in_its_epoch(reason: Input) -> None:
    core = notarized(3, ONE, BOUNDARY)
    core.feed(finalization(BOUNDARY))
    effects = core.feed(reason, ClaimReady(2)) + core.wait(5_000)
    assert not of(effects, Propose)
    assert not kinds(effects)


def test_r28_f_plus_one_nullifies_are_answered_even_after_a_final_boundary() -> None:
    core = notarized(3, ONE, BOUNDARY)
    core.feed(finalization(BOUNDARY))
    assert [p.parent for p in of(core.feed(NullifiesSeen(3)), Propose)] == [BOUNDARY.digest]


def test_r29_an_epoch_begins_in_the_view_above_its_boundary_with_the_new_committee() -> None:
    core = notarized(0, ONE, BOUNDARY, CLOSING)
    effects = begin(core, me=3)
    assert of(effects, EnterView) == [EnterView(3, None, True, 1)]
    assert of(core.feed(WorkSeen(True)), Propose)[0].parent == BOUNDARY.digest
    other = notarized(0, ONE, BOUNDARY)
    assert of(begin(other, me=4), EnterView) == [EnterView(3, None, False, 1)]


def test_r29_the_first_block_of_an_epoch_is_no_closing_block() -> None:
    first = block(3, BOUNDARY, claim=2, n=BIG)
    core = notarized(0, ONE, BOUNDARY)
    begin(core)
    assert kinds(core.feed(ready(first))) == [VoteKind.NOTARIZE]
    again = notarized(0, ONE, BOUNDARY)
    begin(again)
    assert kinds(again.feed(ready(BOUNDARY), ready(first))) == [VoteKind.NOTARIZE], (
        "also when the boundary is told again"
    )


def test_r29_a_new_epoch_has_no_data_of_the_old_one() -> None:
    """Votes of the old epoch's closing views don't bind, its certificates move nothing, and its reasons call for no
    block."""
    core = notarized(0, ONE, BOUNDARY, CLOSING)
    core.feed(nullification(4), WorkSeen(True), EndDue(True))
    begin(core)
    assert not of(core.wait(1_000), Propose)
    assert kinds(core.feed(ready(block(3, BOUNDARY, n=BIG)))) == [VoteKind.NOTARIZE]


def test_r29_a_restart_in_an_epoch_is_bound_by_the_votes_of_that_epoch() -> None:
    core = Core(0)
    first = block(3, BOUNDARY, n=BIG)
    votes = (OwnVote(VoteKind.NOTARIZE, 3, first.digest), OwnVote(VoteKind.FINALIZE, 3, first.digest))
    core.feed(Recovered(BOUNDARY, 2, 1, 0, BIG, (first,), (notarization(first),), votes))
    assert not kinds(core.feed(ready(block(3, BOUNDARY, tag=b"twin", n=BIG))))


def test_r13_a_claim_that_the_boundary_owes_is_owed_by_the_next_epoch() -> None:
    core = notarized(0, ONE, BOUNDARY)
    begin(core, me=3)
    effects = core.feed(ClaimReady(2)) + core.wait(CONFIG.claim_delay_ms)
    assert [(p.parent, p.claim_height) for p in of(effects, Propose)] == [(BOUNDARY.digest, 2)]


def test_r13_the_walk_for_the_newest_payload_ends_at_the_boundary_without_its_header() -> None:
    """The core forgets the boundary's facts with the first finalization above it, and nobody sends them again."""
    core = Core(0)
    begin(core, payload_height=1, final=block(2, ONE, payload=False, ends=True), me=4)
    first = block(3, block(2, ONE, payload=False, ends=True), payload=False, n=BIG)
    core.feed(finalization(first), ready(first), ClaimReady(3))
    assert not of(core.wait(5 * CONFIG.heartbeat_ms), FetchBlock)


def test_r30_a_non_member_follows_and_sends_nothing() -> None:
    core = Core(None)
    effects = core.first + core.feed(WorkSeen(True), ready(ONE), notarization(ONE), NullifiesSeen(2), EndDue(True))
    effects += core.feed(nullification(2), ready(block(3, ONE)), finalization(ONE)) + core.wait(5_000)
    assert {type(effect) for effect in effects} == {EnterView}
    assert of(effects, EnterView)[-1] == EnterView(3, nullification(2), False, 0)


def test_r30_a_follower_asks_for_what_it_lacks() -> None:
    core = Core(None)
    core.feed(finalization(ONE))
    effects = core.wait(CONFIG.heartbeat_ms)
    assert of(effects, FetchBlock) == [FetchBlock(1, ONE.digest)]
    assert not of(effects, Heartbeat)
    assert not of(effects, FetchCertificates)


def test_r30_a_follower_that_is_admitted_votes_from_then_on() -> None:
    core = notarized(None, ONE, BOUNDARY)
    assert kinds(begin(core, me=5) + core.feed(ready(block(3, BOUNDARY, n=BIG)))) == [VoteKind.NOTARIZE]
    gone = notarized(0, ONE, BOUNDARY)
    begin(gone, me=None)
    assert gone.feed(ready(block(3, BOUNDARY, n=BIG))) == []
