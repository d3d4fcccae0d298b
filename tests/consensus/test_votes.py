"""R1 to R10, R22 to R25, R27: which votes the core casts, and for what.

Invariants: each test names the rule that it tests.
"""

from dataclasses import replace

import pytest
from core_harness import CONFIG, GENESIS, Core, block, finalization, notarization, nullification, of, ready

from rustorium.consensus.safety import VoteGuard
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    Diverged,
    Effect,
    EnterView,
    FetchBlock,
    FetchCertificates,
    Heartbeat,
    KeyRetired,
    OwnVote,
    PayloadStatus,
    Propose,
    ResendVotes,
    SendCertificate,
    Vote,
    VoteKind,
    VoteRefused,
    WorkSeen,
)


def votes(effects: list[Effect], kind: VoteKind) -> list[Vote]:
    return [effect for effect in effects if isinstance(effect, Vote) and effect.kind is kind]


def test_r2_any_certificate_of_this_view_or_a_later_one_moves_on_and_is_sent_on_once() -> None:
    core = Core()
    effects = core.feed(nullification(7), nullification(7))
    assert of(effects, EnterView) == [EnterView(8, nullification(7), leads=True)]
    assert of(effects, SendCertificate) == [SendCertificate(nullification(7))]
    late = core.feed(nullification(3))
    assert not of(late, EnterView)
    assert not of(late, SendCertificate)


def test_r3_leader_extends_the_newest_notarized_block_over_nullified_views() -> None:
    one = block(1)
    core = Core(me=3)
    core.feed(ready(one), notarization(one), WorkSeen(True))
    effects = core.feed(nullification(2))
    assert of(effects, Propose) == [Propose(3, 1, one.digest, 0)]


def test_r3_leader_waits_for_the_nullification_of_a_view_between() -> None:
    one = block(1)
    core = Core(me=0)
    core.feed(ready(one), notarization(one), WorkSeen(True))
    effects = core.feed(nullification(3))
    assert not of(effects, Propose)
    assert [(f.first_view, f.last_view) for f in of(effects, FetchCertificates)] == [(2, 2)]
    assert of(core.feed(nullification(2)), Propose) == [Propose(4, 1, one.digest, 0)]


def test_r3_leader_fetches_a_parent_that_it_has_not_seen() -> None:
    one = block(1)
    core = Core(me=2)
    effects = core.feed(WorkSeen(True), notarization(one))
    assert of(effects, FetchBlock) == [FetchBlock(1, one.digest)]
    assert not of(effects, Propose)
    assert of(core.feed(ready(one)), Propose) == [Propose(2, 1, one.digest, 0)]


def test_r4_a_leader_lets_the_block_before_become_final_for_a_moment() -> None:
    one = block(1)
    config = replace(CONFIG, parent_grace_ms=3)
    final, alone, stalled = (Core(me=2, config=config) for _ in range(3))
    for core in (final, alone):
        assert not of(core.feed(ready(one), notarization(one), WorkSeen(True)), Propose)
    assert of(final.feed(finalization(one)), Propose) == [Propose(2, 1, one.digest, 0)]
    assert not of(alone.wait(2), Propose)
    assert of(alone.wait(1), Propose) == [Propose(2, 1, one.digest, 0)]
    stalled.feed(ready(one), notarization(one))
    stalled.wait(3)
    assert of(stalled.feed(WorkSeen(True)), Propose), "the grace is over before there is work"


def test_r4_one_proposal_per_view_and_its_block_is_the_notarize_vote() -> None:
    core = Core(me=1)
    assert of(core.feed(WorkSeen(True)), Propose) == [Propose(1, 0, GENESIS.digest, 0)]
    assert not of(core.feed(WorkSeen(False), WorkSeen(True)), Propose)
    assert not of(core.feed(ready(block(1))), Vote)
    assert not of(core.feed(ready(block(1, tag=b"twin"))), Vote)


@pytest.mark.parametrize(
    "bad",
    [
        BlockFacts(1, 1, b"x" * 32, 0, GENESIS.digest, 2, 10, True, 0),
        BlockFacts(1, 1, b"x" * 32, 0, b"other".ljust(32), 1, 10, True, 0),
        BlockFacts(1, 1, b"x" * 32, 1, GENESIS.digest, 1, 10, True, 0),
        BlockFacts(1, 2, b"x" * 32, 0, GENESIS.digest, 1, 10, True, 0),
        BlockFacts(1, 1, b"x" * 32, 0, GENESIS.digest, 1, 0, True, 0),
        BlockFacts(1, 1, b"x" * 32, 0, GENESIS.digest, 1, 10, True, 1),
    ],
    ids=["not the leader", "parent not certified", "parent not below", "height", "time", "claims its own height"],
)
def test_r5_a_proposal_that_breaks_a_rule_gets_no_vote(bad: BlockFacts) -> None:
    assert not votes(Core().feed(ready(bad)), VoteKind.NOTARIZE)


def test_r5_a_claim_never_goes_back() -> None:
    one = block(1)
    two = block(2, one, claim=1)
    core = Core()
    core.feed(ready(one), notarization(one), ready(two), notarization(two))
    assert not votes(core.feed(ready(block(3, two, claim=0))), VoteKind.NOTARIZE)


def test_r5_without_the_nullifications_between_there_is_no_vote() -> None:
    three = block(3)
    core = Core()
    effects = core.feed(nullification(2), ready(three))
    assert not votes(effects, VoteKind.NOTARIZE)
    assert of(effects, FetchCertificates) == [FetchCertificates(1, 1, 3)]
    assert votes(core.feed(nullification(1)), VoteKind.NOTARIZE) == [Vote(VoteKind.NOTARIZE, 3, three.digest)]


def test_r5_without_the_parents_notarization_there_is_no_vote() -> None:
    one = block(1)
    two = block(2, one)
    core = Core()
    effects = core.feed(nullification(1), ready(one), ready(two))
    assert not votes(effects, VoteKind.NOTARIZE)
    assert of(effects, FetchCertificates) == [FetchCertificates(1, 1, 2)]
    assert votes(core.feed(notarization(one)), VoteKind.NOTARIZE)


def test_r5_a_parent_below_the_final_block_is_never_voted_for() -> None:
    one = block(1)
    core = Core()
    core.feed(ready(one), notarization(one), finalization(one))
    assert not votes(core.feed(ready(block(2))), VoteKind.NOTARIZE)


def test_r5_an_unknown_parent_is_fetched() -> None:
    one = block(1)
    core = Core()
    effects = core.feed(notarization(one), ready(block(2, one)))
    assert of(effects, FetchBlock) == [FetchBlock(1, one.digest)]
    assert votes(core.feed(ready(one)), VoteKind.NOTARIZE)


def test_r6_a_pending_block_gets_its_vote_when_it_is_ready_and_only_one_block_does() -> None:
    one, twin = block(1), block(1, tag=b"twin")
    core = Core()
    assert not of(core.feed(BlockSeen(one, PayloadStatus.PENDING)), Vote)
    assert not of(core.feed(ready(twin)), Vote)
    assert of(core.feed(ready(one)), Vote) == [Vote(VoteKind.NOTARIZE, 1, one.digest)]
    assert not of(core.feed(ready(twin), ready(one)), Vote)


def test_r6_an_invalid_first_proposal_leaves_room_for_a_valid_one() -> None:
    one, twin = block(1), block(1, tag=b"twin")
    effects = Core().feed(BlockSeen(one, PayloadStatus.INVALID), ready(twin))
    assert of(effects, Vote) == [Vote(VoteKind.NOTARIZE, 1, twin.digest)]


def test_r6_a_first_proposal_that_turns_out_to_be_invalid_gives_way_to_the_valid_one_seen_after_it() -> None:
    one, twin, third = block(1), block(1, tag=b"twin"), block(1, tag=b"third")
    core = Core()
    assert not of(core.feed(BlockSeen(one, PayloadStatus.PENDING), ready(twin), ready(third)), Vote)
    assert of(core.feed(BlockSeen(one, PayloadStatus.INVALID)), Vote) == [Vote(VoteKind.NOTARIZE, 1, twin.digest)]


def test_r6_no_notarize_outside_the_current_view() -> None:
    core = Core(me=2)
    core.feed(nullification(1))
    assert not of(core.feed(ready(block(1))), Vote)
    early = block(4)
    assert not of(core.feed(ready(early)), Vote)
    assert votes(core.feed(nullification(2), nullification(3)), VoteKind.NOTARIZE)


def test_r7_nullify_and_notarize_may_share_a_view() -> None:
    core = Core(me=2)
    core.feed(WorkSeen(True))
    assert votes(core.wait(250), VoteKind.NULLIFY) == [Vote(VoteKind.NULLIFY, 1, None)]
    assert votes(core.feed(ready(block(1))), VoteKind.NOTARIZE)


def test_r8_finalize_carries_the_notarization_and_comes_before_the_next_view() -> None:
    one = block(1)
    core = Core()
    effects = core.feed(ready(one), notarization(one))
    assert effects[-2:] == [
        Vote(VoteKind.FINALIZE, 1, one.digest, notarization(one)),
        EnterView(2, notarization(one)),
    ]


def test_r8_no_finalize_after_nullify_but_the_notarization_is_sent_on() -> None:
    one = block(1)
    core = Core(me=2)
    core.feed(WorkSeen(True))
    core.wait(250)
    effects = core.feed(ready(one), notarization(one))
    assert not votes(effects, VoteKind.FINALIZE)
    assert of(effects, SendCertificate) == [SendCertificate(notarization(one))]


def test_r7_no_nullify_after_finalize() -> None:
    guard = VoteGuard()
    guard.cast(VoteKind.FINALIZE, 3, b"d" * 32)
    assert not guard.may_nullify(3)
    guard.cast(VoteKind.NULLIFY, 4, None)
    assert not guard.may_finalize(4)
    with pytest.raises(AssertionError):
        guard.cast(VoteKind.NULLIFY, 3, None)
    with pytest.raises(AssertionError):
        guard.cast(VoteKind.FINALIZE, 4, b"d" * 32)


def test_r8_a_late_notarization_still_gets_a_finalize_vote() -> None:
    one = block(1)
    core = Core()
    core.feed(nullification(1))
    effects = core.feed(notarization(one))
    assert of(effects, Vote) == [Vote(VoteKind.FINALIZE, 1, one.digest, notarization(one))]
    assert not of(effects, EnterView)


def test_r9_final_even_when_neither_block_nor_ancestors_are_known() -> None:
    far = block(9)
    effects = Core().feed(finalization(far))
    assert of(effects, EnterView) == [EnterView(10, finalization(far))]
    assert not of(effects, FetchBlock), "the data plane gets them; the core asks once it needs the header"


def test_r9_an_older_finalization_changes_nothing() -> None:
    core = Core()
    core.feed(finalization(block(9)))
    assert core.feed(finalization(block(4)), notarization(block(8)), nullification(5)) == []


def test_r10_proposals_far_ahead_are_not_kept() -> None:
    core = Core()
    far = CONFIG.future_views_max + 4
    core.feed(ready(block(far)))
    effects = core.feed(*(nullification(view) for view in range(1, far)))
    assert not votes(effects, VoteKind.NOTARIZE)


def test_r22_a_restart_resends_and_stays_bound_by_what_it_has_voted() -> None:
    one, two = block(1), block(2, block(1))
    cast = (
        OwnVote(VoteKind.NOTARIZE, 1, one.digest),
        OwnVote(VoteKind.FINALIZE, 1, one.digest),
        OwnVote(VoteKind.NULLIFY, 2, None),
    )
    core = Core(blocks=(one,), certificates=(notarization(one),), votes=cast)
    assert core.first == [EnterView(2, notarization(one)), ResendVotes(2), Heartbeat(2)]
    effects = core.feed(ready(two), notarization(two))
    assert votes(effects, VoteKind.NOTARIZE)
    assert not votes(effects, VoteKind.FINALIZE)


def test_r22_a_restart_casts_the_finalize_that_the_crash_prevented() -> None:
    one = block(1)
    core = Core(blocks=(one,), certificates=(notarization(one),))
    assert of(core.first, Vote) == [Vote(VoteKind.FINALIZE, 1, one.digest, notarization(one))]


def test_r22_a_leader_that_had_proposed_does_not_propose_again() -> None:
    one = block(1)
    core = Core(me=1, blocks=(one,), votes=(OwnVote(VoteKind.NOTARIZE, 1, one.digest),))
    assert not of(core.feed(WorkSeen(True)), Propose)


def test_r23_a_refused_vote_and_those_that_it_excludes_are_never_cast() -> None:
    one = block(1)
    core = Core(me=2)
    core.feed(VoteRefused(VoteKind.NULLIFY, 1), VoteRefused(VoteKind.NOTARIZE, 1), WorkSeen(True))
    effects = [*core.wait(500), *core.feed(ready(one), notarization(one))]
    assert not of(effects, Vote)
    assert of(effects, ResendVotes)
    assert of(effects, EnterView)


@pytest.mark.parametrize("why", [Diverged(1), KeyRetired()])
def test_r24_r27_a_diverged_or_retired_node_follows_but_votes_no_more(why: Diverged | KeyRetired) -> None:
    one = block(1)
    core = Core(me=1)
    core.feed(why, WorkSeen(True))
    effects = [*core.wait(2_000), *core.feed(ready(one), notarization(one), finalization(one))]
    assert not of(effects, Vote)
    assert not of(effects, Propose)
    assert of(effects, EnterView)
    assert of(effects, Heartbeat)


def test_r25_a_request_is_repeated_only_with_a_resend_or_heartbeat() -> None:
    two = block(2, block(1))
    core = Core()
    effects = core.feed(nullification(1), ready(two), ready(two), Certificate(VoteKind.NULLIFY, 1, None))
    assert len(of(effects, FetchCertificates)) == 1
    assert of(core.wait(900), FetchCertificates)
