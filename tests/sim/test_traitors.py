"""Traitors on the release stages: each kind does its attack, and neither one nor two break anything.

Invariants: virtual time and fixed seeds; a failing seed prints the line that repeats it; a traitor that never acted
fails the test.
"""

from dataclasses import replace

import pytest

from rustorium import _native
from rustorium.sim.actors import KINDS, Spammer
from rustorium.sim.actors.base import DATA, only_transaction
from rustorium.sim.clients import Clients
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenVote
from rustorium.sim.modes import Mode
from rustorium.sim.partitions import set_partitions
from rustorium.sim.probes import CORE_ENTRIES_MAX, entries, holds_block, judge_memory, votes_held
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import Shape, build_world, draw_plan, kinds_of
from rustorium.sim.world import World

ALONE = Shape(nodes=4, heights=20)
PAIRS = Shape(nodes=7, heights=8)
PAIR_SEEDS = range(8, 120, 8)
"""Fourteen of the 120 pairs, which include every kind; `just sim-long` plays all."""
REGRESSIONS = [
    (3671, Mode.TWINS, Shape(4, 5)),
    (1219, Mode.TWINS, Shape(4, 5)),
    (1711, Mode.TWINS, Shape(4, 5)),
    (110, Mode.TRAITORS, Shape(7, 10)),
    (1234, Mode.PARTITIONS, Shape(7, 10)),
    (20341, Mode.SAFETY, Shape(4, 50)),
]
"""Runs that found a fault. Partitions: a node requested a batch only from the two nodes whose blocks it had seen, in
turns, and one of them withheld it. Twins: a batch that no block could list kept its transactions out of all other lanes
for good. Traitors: two of a kind answered each other without end. Safety: all lost power, and one also its disk, so
that only a frame in flight still had a certain vote; it outlived both ends of its link, and the simulator delivered it
to the next start."""


def check(reports: list[Report]) -> None:
    failed = [report for report in reports if not report.ok]
    for report in failed:
        print(report.line())
        print(f"  repeat with: {report.repeat()}")
    assert not failed


def test_each_kind_of_traitor_acts_and_breaks_nothing() -> None:
    reports = [run_seed(seed, Mode.TRAITORS, ALONE) for seed in range(len(KINDS))]
    check(reports)
    assert [kind for report in reports for _, kind, _ in report.traitors] == list(KINDS)
    assert {kind: acts for report in reports for _, kind, acts in report.traitors if not acts} == {}


def test_pairs_of_traitors_among_seven() -> None:
    assert {kinds_of(number, 2) for number in range(120)} >= {(one, one) for one in KINDS}
    assert {kind for seed in PAIR_SEEDS for kind in kinds_of(seed, 2)} == set(KINDS)
    check([run_seed(seed, Mode.TRAITORS, PAIRS) for seed in PAIR_SEEDS])


def test_seeds_of_earlier_faults() -> None:
    check([run_seed(*run) for run in REGRESSIONS])


def test_a_run_with_traitors_is_the_same_again() -> None:
    for seed in (5, 9, 11, 12, 13):
        one, other = (run_seed(seed, Mode.TRAITORS, Shape(4, 8)) for _ in range(2))
        assert one == other


# ---- more traitors than the protocol bears: what the checkers are for


def test_two_silent_traitors_of_four_stop_the_chain_and_that_is_reported() -> None:
    plan = replace(draw_plan(0, Mode.PARTITIONS, Shape(4, 12)), mode=Mode.TRAITORS, traitors=("silent", "silent"))
    report = run_seed(0, plan=replace(plan, partitions=(), calm_ms=50.0))
    assert report.failure.startswith("not live: "), report.line()


def test_two_twins_of_four_make_two_chains_and_that_is_reported() -> None:
    """Each half of a partition has a quorum of keys, so real nodes make a real fork."""
    plan = replace(draw_plan(0, Mode.PARTITIONS, Shape(4, 12)), mode=Mode.TRAITORS, traitors=("twin", "twin"))
    world = build_world(0, replace(plan, partitions=()))
    world.time._queue.clear()  # the twins' partitions don't move
    world.partition([int(number == max(world.honest)) for number in range(4)])
    world.start_all()
    Clients(world, 20.0).begin()
    with pytest.raises(BreachError, match="two final blocks"):
        world.run(3_000)
    assert all(actor.acts["batches of twins"] + actor.acts["votes of twins"] for actor in world.actors.values())


# ---- partitions


def test_every_partition_of_a_set_once() -> None:
    assert [len(set_partitions(size)) for size in range(1, 8)] == [1, 2, 5, 15, 52, 203, 877]
    assert len({tuple(sorted(map(tuple, islands_of(each)))) for each in set_partitions(7)}) == 877
    assert len(set_partitions(5, 3)) == 41


def islands_of(partition: tuple[int, ...]) -> list[list[int]]:
    return [[node for node, at in enumerate(partition) if at == island] for island in set(partition)]


def test_all_partitions_of_four_and_some_of_seven() -> None:
    reports = [run_seed(seed, Mode.PARTITIONS, Shape(4, 12)) for seed in range(15)]
    reports += [run_seed(seed, Mode.PARTITIONS, Shape(7, 6)) for seed in range(40, 877, 93)]
    check(reports)
    parted = [report for report in reports if dict(report.faults).get("partition")]
    assert len(parted) == len(reports) - 1, "all but the whole keep somebody from somebody"


# ---- what floods leave behind


def flooded() -> tuple[World, Spammer]:
    """Three honest nodes and one that floods them, on links without faults."""
    plan = draw_plan(KINDS.index("spammer"), Mode.TRAITORS, ALONE)
    calm = replace(
        plan, links=replace(plan.links, loss=0, delay=0, reorder=0, duplicate=0), slow_node=None, base_ms=1.0
    )
    world = build_world(
        1, replace(calm, crashes=(), cuts=(), storms=(), power_losses=(), disk_faults=(), partitions=())
    )
    spammer = next(iter(world.actors.values()))
    assert isinstance(spammer, Spammer)
    world.start_all()
    Clients(world, 20.0).begin()
    world.run(1_500)
    return world, spammer


def test_floods_of_future_views_leave_no_data_beyond_the_window(monkeypatch: pytest.MonkeyPatch) -> None:
    world, spammer = flooded()
    acts = spammer.acts
    assert min(acts["vote for a view to come"], acts["proposal for a view to come"], acts["batch too many"]) > 200
    judge_memory(world)
    port, (number,) = world.ports()[0], world.actors
    held = votes_held(port, number)
    assert 0 < len(held) < acts["vote for a view to come"]
    # R41: a block of another than the leader of this view or the next one is dropped.
    stored = world.nodes[port.number].disk.block(1)
    assert stored is not None
    assert holds_block(port, number, stored[0]), "the probe sees what is held"
    # The views may be any number ahead: the chain's progress decides which ones the traitor drew near the end.
    ahead = [block for view, block in spammer.proposed if port.view + 2 < view <= port.view + 1_000]
    assert ahead
    assert not any(holds_block(port, number, block) for block in ahead)
    assert entries(world.nodes[port.number].replica) < CORE_ENTRIES_MAX / 4

    far = SeenVote(0, port.view + 65, 0, b"", number, b"")
    monkeypatch.setattr("rustorium.sim.probes.votes_held", lambda _port, _peer: [far])
    with pytest.raises(BreachError, match="holds votes of view"):
        judge_memory(world)
    twice = [far._replace(view=port.view), far._replace(view=port.view)]
    monkeypatch.setattr("rustorium.sim.probes.votes_held", lambda _port, _peer: twice)
    with pytest.raises(BreachError, match="two votes of a kind"):
        judge_memory(world)


def journaled_beside(rivals: int) -> int:
    """Returns the journal records of half a minute at a node that receives this many batches for each of two places of
    a traitor's lane."""
    world, _ = flooded()
    port, (number,) = world.ports()[0], world.actors
    seed, chain = world.seed_of(number), world.net.chain
    before = port.native.calls()["journaled"]
    for nonce in range(rivals):
        transaction = world.net.sign(1, 10_000 + nonce, []).raw
        for seq in (40, 63):
            frame = _native.sim_forge_batch(seed, number, chain, 0, seq, b"p" * 32, [transaction])
            assert only_transaction(frame) == transaction
            port.frame(number, DATA, frame)
    world.run(world.now / 1e6 + 30)
    assert rivals < 2 or number in world.nodes[port.number].offenders()
    return port.native.calls()["journaled"] - before


def test_dropped_batches_are_not_journaled() -> None:
    """A traitor signs any number of batches at one place of its lane. Each is evidence, and one is kept."""
    assert journaled_beside(30) <= journaled_beside(0) + 2


def test_an_unlistable_batch_keeps_no_transaction_from_the_chain() -> None:
    """A traitor signs a batch behind a gap that contains a client's transaction, and nothing more."""
    plan = draw_plan(0, Mode.PARTITIONS, Shape(4, 12))
    world = build_world(0, replace(plan, mode=Mode.TRAITORS, traitors=("silent",), partitions=()))
    (number,) = world.actors
    world.start_all()
    world.run(100)
    ends: dict[int, int | None] = {}
    world.on_answer = lambda node, tag, how, height: ends.update({tag: height})
    signed = [world.net.sign(account, 0, []) for account in range(len(world.net.accounts))]
    for seq, previous in ((2, b"p" * 32), (5, b"q" * 32)):
        raw = [transaction.raw for transaction in signed[seq % 2 :: 2]]
        frame = _native.sim_forge_batch(world.seed_of(number), number, world.net.chain, 0, seq, previous, raw)
        for honest in world.honest:
            world.pass_on(number, honest, DATA, frame)
    world.run(150)
    for tag, transaction in enumerate(signed):
        for port in world.ports():
            port.client(transaction.raw, "final", tag)
    assert world.run(6_000, lambda: len(ends) == len(signed) and None not in ends.values()), ends
