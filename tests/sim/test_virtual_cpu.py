"""Virtual processors: work takes its price on the thread that does it, waiting work is bounded, and bounds are
asserted.

Invariants: virtual time only; prices here are invented, so no machine's speed matters.
"""

from dataclasses import replace

import pytest

from rustorium import _native
from rustorium.sim import bounds
from rustorium.sim.bounds import BOUNDS, judge_bounds, judge_epochs
from rustorium.sim.clients import Clients
from rustorium.sim.errors import BreachError
from rustorium.sim.modes import Mode
from rustorium.sim.net import NEWEST_VERSION, START_MS, make_net
from rustorium.sim.prices import PRICES
from rustorium.sim.scenario import Shape, build_world, draw_plan
from rustorium.sim.world import World

NET = make_net(4, 4, 3)
FREE = dict.fromkeys(PRICES, 0)
LINK_FRAMES = 4_096
"""Number of frames of the consensus class that one peer may have waiting at a node; as many wait at their sender."""


def node(**prices: int) -> _native.SimNode:
    """A node that has just started, with these prices."""
    seed = NET.validator_seed(0)
    return _native.SimNode(
        NET.native,
        _native.SimDisk(),
        0,
        seed,
        200_000,
        0,
        START_MS + 1,
        newest=NEWEST_VERSION,
        costs=FREE | prices,
        verifiers=2,
    )


def vote(view: int) -> bytes:
    return _native.sim_forge_vote(NET.validator_seed(1), 1, NET.chain, 0, view, 1)


def transaction(nonce: int) -> bytes:
    operation = {"type": "delete", "namespace": NET.accounts[0].address, "key": "key"}
    return NET.sign(0, nonce, [operation]).raw


def test_a_frame_that_comes_while_the_shard_is_busy_waits_until_it_is_done() -> None:
    native = node(vote=700_000, turn=50_000)
    busy_us, _, _, deadline_us, _, _ = native.frame(1_000, START_MS + 1, 1, 0, vote(1))
    assert busy_us == 750
    assert deadline_us is not None
    second = native.frame(1_100, START_MS + 1, 1, 0, vote(2))
    assert (second[0], second[3]) == (0, 1_750), "it is dealt with when the thread is free"
    third = native.tick(1_750, START_MS + 1)
    assert third[0] == 750
    assert native.busy()["shard"] == 1_500_000


def test_a_turn_gives_peers_five_milliseconds_and_the_rest_waits_for_the_next() -> None:
    native = node(vote=1_000_000, turn=10_000)
    native.frame(0, START_MS + 1, 1, 0, vote(1))
    for number in range(2, 12):
        native.frame(500, START_MS + 1, 1, 0, vote(number))
    busy_us, _, _, deadline_us, _, _ = native.tick(1_010, START_MS + 1)
    assert (busy_us, deadline_us) == (5_010, 6_020), "R38"
    assert native.tick(6_020, START_MS + 1)[0] == 5_010
    assert native.tick(11_030, START_MS + 1)[0] == 10, "nothing is left"


def test_frames_beyond_the_queue_wait_on_their_link_and_then_at_their_sender() -> None:
    native = node(vote=1_000)
    native.frame(0, START_MS + 1, 1, 0, vote(1))
    for _ in range(2 * LINK_FRAMES + 5):
        native.frame(0, START_MS + 1, 1, 0, vote(2))
    assert (native.busy()["unread"], native.busy()["dropped"]) == (LINK_FRAMES, 5)
    native.frame(0, START_MS + 1, 2, 0, _native.sim_forge_vote(NET.validator_seed(2), 2, NET.chain, 0, 1, 1))
    assert native.busy()["dropped"] == 5, "another peer has room of its own"
    native.tick(1_000, START_MS + 1)
    assert native.busy()["unread"] == 0, "the next ones are read when those before them are dealt with"


def test_signatures_cost_the_thread_that_checks_them() -> None:
    native = node(single=300_000, sign=1)
    begun = native.client(0, START_MS + 1, transaction(0), "final", 1)[2]
    assert begun == [(1, 0, 300)]
    assert native.client(10, START_MS + 1, transaction(1), "final", 2)[2] == [(1, 1, 300)], "there is a second thread"
    assert native.client(20, START_MS + 1, transaction(2), "final", 3)[2] == [], "and no third one"
    assert native.busy()["verify"] == 600_000
    native.end(310, START_MS + 1, 1, 1)
    assert native.held()["pool"] == 0, "an account's transactions stay in order, whichever thread is done first"
    native.end(320, START_MS + 1, 1, 0)
    assert native.calls()["pooled"] == 2


def test_prices_must_be_those_of_this_build() -> None:
    with pytest.raises(ValueError, match='nothing is called "lunch"'):
        node(lunch=1)
    costs = {name: 1 for name in PRICES if name != "vote"}
    with pytest.raises(ValueError, match="vote has no price"):
        _native.SimNode(NET.native, _native.SimDisk(), 0, None, 1, 0, 1, newest=NEWEST_VERSION, costs=costs)


# ---- bounds


def calm_world() -> World:
    """A world during ordinary work."""
    plan = replace(draw_plan(0, Mode.PARTITIONS, Shape(4, 8)), partitions=())
    world = build_world(0, plan)
    world.start_all()
    Clients(world, 20.0).begin()
    world.run(600.0)
    return world


def test_a_broken_bound_is_reported_with_its_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    world = calm_world()
    judge_bounds(world, settled=False, under_way=1_000)
    held = world.ports()[0].native.held()
    assert {bound.name for bound in BOUNDS} == set(held)
    for bound in BOUNDS:
        if held[bound.name]:
            monkeypatch.setattr(bounds, "BOUNDS", (replace(bound, most=lambda _: 0),))
            with pytest.raises(BreachError, match="0 at most"):
                judge_bounds(world, settled=False, under_way=1_000)


def test_an_unrequested_epoch_is_reported() -> None:
    world = calm_world()
    judge_epochs(world, None)
    world.checkers.epoch = 1
    with pytest.raises(BreachError, match="1 epochs have ended"):
        judge_epochs(world, None)
    world.counts["asked to end epoch"] += 1
    judge_epochs(world, None)
