"""State roots in the simulator: where periods end, and how many blocks it takes until roots are certified.

Invariants: virtual time and fixed seeds; the checkers watch every run.
"""

from dataclasses import replace
from itertools import pairwise

import pytest

from model.held import Pace
from model.roots import Period, PeriodRule, closes
from model.run import settled
from model.scenario import CONFIG, submit
from model.vocabulary import Block
from model.world import World
from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    ClaimWanted,
    PayloadStatus,
    RootReady,
    VoteKind,
)

N = 4
ROOTS = replace(CONFIG, state_roots=True)
RULE = PeriodRule(longest_ms=200, shortest_ms=20)
WIDE = replace(ROOTS, delta_floor_ms=400, delta_start_ms=400, delta_ceiling_ms=4_000)
"""Timers that fit a network of 60 ms, in which no finalization comes within the grace of R12."""


def play(world: World, ms: float) -> None:
    world.run(world.now / NS_PER_MS + ms)


def settle(world: World, count: int) -> list[Block]:
    assert world.run(world.now / NS_PER_MS + 20_000, lambda: settled(world, frozenset(range(count))))
    return world.checkers.final_chain()


def nullified(world: World) -> bool:
    assert world.inputs_seen is not None
    return any(isinstance(e, Certificate) and e.kind is VoteKind.NULLIFY for _, _, e in world.inputs_seen)


@pytest.mark.parametrize(
    ("age_ms", "open_payload", "payload", "closed"),
    [
        (199, True, True, False),
        (200, True, True, True),
        (200, False, False, True),
        (19, True, False, False),
        (20, True, False, True),
        (20, True, True, False),
        (199, False, False, False),
    ],
)
def test_a_period_ends_by_age_or_by_an_empty_block(
    age_ms: int, open_payload: bool, payload: bool, closed: bool
) -> None:
    parent = BlockFacts(5, 5, b"p" * 32, 4, b"q" * 32, 1, 1_000, open_payload, 0)
    period = Period(1_000, open_payload, 4, b"q" * 32)
    assert closes(RULE, parent, period, 1_000 + age_ms, payload) is closed


@pytest.mark.parametrize("gap_ms", [90, 1_000])
def test_a_lone_transaction_costs_two_blocks_and_no_view(gap_ms: int) -> None:
    world = World(1, N, ROOTS)
    world.inputs_seen = []
    world.start_all()
    for number in range(12):
        world.after_ms(5 + gap_ms * number, submit, world, number % N, number)
    play(world, 12 * gap_ms)
    chain = settle(world, 12)
    assert [block.facts.has_payload for block in chain] == [True, False] * 12
    empty = [block.facts for block in chain if not block.facts.has_payload]
    assert all(facts.claimed_height == facts.rooted_height == facts.height - 1 for facts in empty)
    play(world, 10_000)
    assert len(world.checkers.final_chain()) == 24
    assert not nullified(world)


def test_a_client_that_waits_for_the_result_gets_it_before_the_root() -> None:
    world = World(2, N, ROOTS)
    world.start_all()
    for port in world.ports():
        port._put(ClaimWanted(1))
    world.after_ms(5, submit, world, 0, 0)
    one, two, three = (block.facts for block in settle(world, 1))
    assert (two.claimed_height, two.rooted_height) == (1, 0)
    assert two.time_ms - one.time_ms < RULE.shortest_ms
    assert (three.claimed_height, three.rooted_height) == (2, 2)
    play(world, 10_000)
    assert len(world.checkers.final_chain()) == 3


def test_under_load_blocks_claim_roots_and_one_block_follows_the_last() -> None:
    world = World(3, N, ROOTS, periods=PeriodRule(longest_ms=60, shortest_ms=20))
    world.start_all()
    count = 150
    for number in range(count):
        world.after_ms(5 + 5 * number, submit, world, number % N, number)
    play(world, 5 + 5 * count)
    chain = [block.facts for block in settle(world, count)]
    assert [facts.has_payload for facts in chain[:-1]] == [True] * (len(chain) - 1)
    claimed = {facts.rooted_height for facts in chain[:-1]}
    assert len(claimed) > 750 / 60 / 2, "each period's root is claimed by a block that was made anyway"
    assert chain[-1].rooted_height == chain[-1].height - 1
    play(world, 5_000)
    assert len(world.checkers.final_chain()) == len(chain)


def test_a_root_costs_each_node_one_step_per_period() -> None:
    world = World(4, N, ROOTS, periods=PeriodRule(longest_ms=60, shortest_ms=20))
    world.inputs_seen = []
    world.start_all()
    for number in range(150):
        world.after_ms(5 + 5 * number, submit, world, number % N, number)
    play(world, 800)
    settle(world, 150)
    for node in range(N):
        ready = [event.height for _, at, event in world.inputs_seen if at == node and isinstance(event, RootReady)]
        assert all(low < high for low, high in pairwise(ready))
        assert len(ready) <= 750 / 60 + 3


@pytest.mark.parametrize("config", [WIDE, replace(WIDE, state_roots=False)], ids=["with roots", "without"])
def test_an_idle_chain_whose_delay_is_above_the_grace_comes_to_rest(config: ConsensusConfig) -> None:
    """Before the fix, each empty block was followed by one that claimed it, as long as nothing else happened."""
    world = World(5, N, config, base_ms=60.0)
    world.start_all()
    world.after_ms(5, submit, world, 0, 0)
    settle(world, 1)
    play(world, 2_000)
    reached = len(world.checkers.final_chain())
    assert reached <= 5
    play(world, 60_000)
    assert len(world.checkers.final_chain()) == reached


def test_a_voter_that_has_not_rooted_yet_waits_and_no_view_is_lost() -> None:
    world = World(6, N, ROOTS, paces={3: Pace(root_ms=25.0)})
    world.inputs_seen = []
    world.start_all()
    for number in range(6):
        world.after_ms(5 + 300 * number, submit, world, number % 3, number)
    play(world, 1_900)
    settle(world, 6)
    seen = [event for _, node, event in world.inputs_seen if isinstance(event, BlockSeen) and node == 3]
    assert any(event.status is PayloadStatus.PENDING and event.block.rooted_height for event in seen)
    assert not nullified(world)


def test_roots_are_made_again_after_all_lost_power() -> None:
    world = World(7, N, ROOTS, paces={node: Pace(root_ms=40.0) for node in range(N)})
    world.start_all()
    for number in range(20):
        world.after_ms(5 + 10 * number, submit, world, number % N, number)
    play(world, 230)
    before = [port.roots.newest for port in world.ports()]
    world.lose_power()
    world.start_all()
    assert all(port.roots.newest <= newest for port, newest in zip(world.ports(), before, strict=True))
    for number in range(20):
        world.after_ms(20, submit, world, number % N, number)
    chain = settle(world, 20)
    newest = max(block.facts.height for block in chain if block.facts.has_payload)
    assert chain[-1].facts.rooted_height >= newest
