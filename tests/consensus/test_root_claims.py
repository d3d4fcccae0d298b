"""R5, R12, R13, R14 where the chain makes state roots: what may be claimed, what is owed, and when that is work.

Invariants: virtual time only; each test names the rule that it tests.
"""

from dataclasses import replace

import pytest
from core_harness import CONFIG, Core, block, finalization, notarization, of, ready

from rustorium.consensus.vocabulary import (
    BlockFacts,
    ClaimReady,
    ClaimWanted,
    Effect,
    Input,
    Propose,
    RootReady,
    Vote,
    VoteKind,
    WorkSeen,
)

ROOTS = replace(CONFIG, state_roots=True)
DELAY_MS = CONFIG.claim_delay_ms


def final(me: int, *blocks: BlockFacts) -> Core:
    """Returns a core whose blocks of view 1 and later are final in order; it is in the view after the last."""
    core = Core(me, config=ROOTS)
    for facts in blocks:
        core.feed(ready(facts), notarization(facts), finalization(facts))
    return core


def claims(effects: list[Effect]) -> list[tuple[int, int]]:
    return [(effect.claim_height, effect.root_height) for effect in of(effects, Propose)]


@pytest.mark.parametrize(
    ("root", "accepted"), [(0, False), (1, True), (2, True), (3, False)], ids=["back", "same", "on", "above the result"]
)
def test_r5_a_root_claim_never_goes_back_nor_above_the_claimed_result(root: int, accepted: bool) -> None:
    one, two = block(1), block(2, block(1), claim=1, root=1)
    three = block(3, two, claim=2)
    core = Core(me=2)
    for facts in (one, two, three):
        core.feed(ready(facts), notarization(facts))
    effects = core.feed(ready(block(4, three, claim=2, root=root)))
    assert [vote.kind for vote in of(effects, Vote)] == [VoteKind.NOTARIZE] * accepted


def test_r12_a_new_root_claim_is_content() -> None:
    one = block(1)
    two = block(2, one, payload=False, claim=1)
    three = block(3, two, payload=False, root=1)
    core = final(0, one, two)
    assert not of(core.feed(ready(three), notarization(three)), Propose)
    assert not of(core.wait(CONFIG.grace_ms - 1), Propose)
    assert of(core.wait(1), Propose)


@pytest.mark.parametrize(("claim", "root"), [(2, 1), (2, 2)])
def test_r12_a_claim_for_an_empty_height_is_no_content(claim: int, root: int) -> None:
    """Found on a network slower than the grace: each empty block claimed the one before, and so called for the next."""
    one = block(1)
    two = block(2, one, payload=False, claim=1, root=1)
    three = block(3, two, payload=False, claim=claim, root=root)
    core = final(0, one)
    core.feed(ready(two), notarization(two), finalization(two), ready(three), notarization(three))
    assert not of(core.wait(2_000), Propose)


def test_r12_a_claim_is_content_while_the_payload_that_it_may_be_for_is_unknown() -> None:
    one = block(1)
    two = block(2, one, payload=False)
    three = block(3, two, payload=False, claim=1)
    core = Core(0, config=ROOTS)
    core.feed(ready(two), ready(three), notarization(three))
    assert [proposal.parent_view for proposal in of(core.wait(CONFIG.grace_ms), Propose)] == [3]


def test_r12_a_claim_that_moves_on_towards_the_newest_payload_is_content() -> None:
    one = block(1)
    two = block(2, one)
    three = block(3, two, payload=False, claim=1)
    core = final(0, one, two)
    core.feed(ready(three), notarization(three))
    assert of(core.wait(CONFIG.grace_ms), Propose)


def test_r13_an_owed_root_is_work_once_result_and_root_can_be_claimed_together() -> None:
    core = final(2, block(1))
    assert claims(core.feed(ClaimReady(1)) + core.wait(500)) == []
    assert claims(core.feed(RootReady(1)) + core.wait(DELAY_MS - 1)) == []
    assert claims(core.wait(1)) == [(1, 1)]


def test_r13_a_root_that_is_ready_before_the_result_waits_for_it() -> None:
    core = final(2, block(1))
    assert claims(core.feed(RootReady(1)) + core.wait(500)) == []
    assert claims(core.feed(ClaimReady(1)) + core.wait(DELAY_MS - 1)) == []
    assert claims(core.wait(1)) == [(1, 1)]


def test_r13_the_delay_of_an_owed_root_begins_no_sooner_than_the_view() -> None:
    core = Core(3, config=ROOTS)
    one = block(1)
    two = block(2, one)
    core.feed(ready(one), notarization(one), ClaimReady(2), RootReady(2))
    core.wait(10)
    assert claims(core.feed(ready(two), notarization(two), finalization(two)) + core.wait(DELAY_MS - 1)) == []
    assert claims(core.wait(1)) == [(2, 2)]


def test_r13_a_result_that_a_client_waits_for_does_not_wait_for_the_root() -> None:
    core = final(2, block(1))
    assert claims(core.feed(ClaimWanted(1), ClaimReady(1))) == [(1, 0)]


def test_r13_the_root_is_still_owed_once_the_result_is_claimed() -> None:
    one = block(1)
    core = final(3, one, block(2, one, payload=False, claim=1))
    assert claims(core.feed(ClaimReady(2)) + core.wait(500)) == []
    assert claims(core.feed(RootReady(2)) + core.wait(DELAY_MS)) == [(2, 2)]


def test_r13_a_root_below_the_newest_payload_is_claimed_along_and_is_no_work() -> None:
    one = block(1)
    core = final(3, one, block(2, one))
    assert claims(core.feed(ClaimReady(2), RootReady(1)) + core.wait(500)) == []
    assert claims(core.feed(WorkSeen(True))) == [(2, 1)]


def test_r13_an_unfinal_block_that_claims_what_is_owed_is_waited_for() -> None:
    one = block(1)
    core = final(3, one)
    two = block(2, one, payload=False, claim=1, root=1)
    core.feed(ready(two), ClaimReady(1), RootReady(1), notarization(two))
    assert claims(core.wait(CONFIG.grace_ms - 1)) == []
    core.feed(finalization(two))
    assert claims(core.wait(2_000)) == []


@pytest.mark.parametrize("late", [ClaimReady(2), RootReady(2), ClaimWanted(2)])
def test_r13_an_empty_height_is_never_owed_a_root(late: Input) -> None:
    one = block(1)
    core = final(3, one, block(2, one, payload=False, claim=1, root=1))
    assert claims(core.feed(ClaimReady(1), RootReady(1), late) + core.wait(2_000)) == []


@pytest.mark.parametrize(("ready_claim", "ready_root"), [(1, 0), (0, 1)])
def test_r13_a_claim_that_is_not_ready_starts_no_timer(ready_claim: int, ready_root: int) -> None:
    voter = final(0, block(1))
    effects = voter.feed(ClaimReady(ready_claim), RootReady(ready_root)) + voter.wait(2_000)
    assert not [vote for vote in of(effects, Vote) if vote.kind is VoteKind.NULLIFY]


def test_r13_no_root_is_owed_while_the_newest_payload_is_looked_for() -> None:
    one, two = block(1), block(2, block(1), payload=False)
    core = Core(me=3, config=ROOTS)
    core.feed(finalization(two), ClaimReady(2), RootReady(2), ready(two))
    assert claims(core.wait(400)) == []
    assert claims(core.feed(ready(one)) + core.wait(DELAY_MS)) == [(2, 2)]


def test_r13_a_node_that_starts_late_owes_what_the_final_header_lacks() -> None:
    one = block(1)
    two = block(2, one, payload=False, claim=1)
    core = Core(3, config=ROOTS, final=two, payload_height=1)
    assert claims(core.feed(ClaimReady(2)) + core.wait(400)) == []
    assert claims(core.feed(RootReady(2)) + core.wait(DELAY_MS)) == [(2, 2)]


def test_r13_without_state_roots_a_result_is_owed_alone() -> None:
    one = block(1)
    core = Core(me=2)
    core.feed(ready(one), notarization(one), finalization(one), ClaimReady(1))
    assert claims(core.wait(DELAY_MS)) == [(1, 0)]


def test_r14_a_proposal_claims_no_root_below_its_parents_nor_above_its_own_result() -> None:
    one = block(1)
    two = block(2, one, claim=1, root=1)
    core = Core(me=3, config=ROOTS)
    core.feed(ready(one), notarization(one), ready(two), WorkSeen(True))
    assert claims(core.feed(notarization(two))) == [(1, 1)]
    eager = Core(me=3, config=ROOTS)
    eager.feed(ready(one), notarization(one), ready(two), RootReady(9), WorkSeen(True))
    assert claims(eager.feed(notarization(two))) == [(1, 1)]
    able = Core(me=3, config=ROOTS)
    able.feed(ready(one), notarization(one), ready(two), RootReady(9), ClaimReady(9), WorkSeen(True))
    assert claims(able.feed(notarization(two))) == [(2, 2)]
    genesis = Core(me=1, config=ROOTS)
    genesis.feed(RootReady(7), ClaimReady(7))
    assert claims(genesis.feed(WorkSeen(True))) == [(0, 0)]
