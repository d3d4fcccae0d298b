"""Tests of the checkers of the release stages: they detect each breach.

Invariants: each case breaks one thing; the checkers' own reader and the extension read the same.
"""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import pytest

from rustorium import _native
from rustorium.sim import checkers as checkers_module
from rustorium.sim.checkers import Checkers
from rustorium.sim.clients import Clients
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader, proposed_in, read_header, votes_in
from rustorium.sim.memories import Memories
from rustorium.sim.modes import Mode
from rustorium.sim.ondisk import BATCH, CERTIFICATE, PROPOSAL, VOTE, OnDisk, batch_digest, block_digest
from rustorium.sim.port import CONSENSUS
from rustorium.sim.run import run_seed
from rustorium.sim.scenario import Shape, build_world, draw_plan
from rustorium.sim.world import World

SHORT = Shape(heights=10)
HEADER = SeenHeader(0, 1, 1, b"genesis", 0, 1, 10, 1, False, b"", (0, b"zero"), None)


def calm_world(seed: int = 1) -> tuple[World, Clients]:
    """Four honest nodes on links without faults."""
    plan = draw_plan(seed, Mode.LIVENESS, SHORT)
    world = build_world(seed, replace(plan, traitors=(), slow_node=None, base_ms=1.0))
    world.time._queue.clear()  # no fault occurs
    world.links.calm()
    return world, Clients(world, 20.0)


def play(world: World, clients: Clients, ms: float) -> None:
    world.start_all()
    clients.begin()
    world.run(ms)


def test_the_checkers_reader_agrees_with_the_extension() -> None:
    world, clients = calm_world()
    seen: dict[str, int] = {}
    send = world.send

    def look(source: int, targets: Any, stream: int, frame: bytes) -> None:
        said = _native.sim_read_frame(frame)
        if stream == CONSENSUS and said["message"] == "vote":
            (vote,) = votes_in(frame)
            block = None if vote.kind == 1 else vote.block
            wanted = (said["epoch"], said["view"], said["kind"], said["block"], said["signer"])
            assert (vote.epoch, vote.view, vote.kind, block, vote.signer) == wanted
        elif said["message"] == "proposal":
            found = proposed_in(frame)
            assert found is not None
            header, raw, signature = found
            assert (header.epoch, header.view, header.proposer) == (said["epoch"], said["view"], said["signer"])
            assert block_digest(raw) == said["block"]
            assert len(signature) == 64
        elif said["message"] == "batch":
            assert batch_digest(frame[1:]) == said["batch"]
        elif said["message"] == "heartbeat":
            seen["heartbeat votes"] = seen.get("heartbeat votes", 0) + len(list(votes_in(frame)))
        seen[said["message"]] = seen.get(said["message"], 0) + 1
        send(source, targets, stream, frame)

    world.send = look  # type: ignore[method-assign]
    play(world, clients, 900)
    assert {"vote", "proposal", "heartbeat", "heartbeat votes", "batch", "report"} <= set(seen)
    stored = world.nodes[0].disk.block(3)
    assert stored is not None
    header, end = read_header(stored[1])
    assert (header.height, end) == (3, len(stored[1]))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (VOTE, "left before it was on disk"),
        (PROPOSAL, "left before its block was on disk"),
        (BATCH, "left before a batch of its payload was on disk"),
        (CERTIFICATE, "left before its notarization was on disk"),
    ],
)
def test_a_vote_that_leaves_before_what_it_rests_on_is_on_disk(
    monkeypatch: pytest.MonkeyPatch, kind: int, said: str
) -> None:
    synced = OnDisk.synced

    def lose(disk: OnDisk, records: Iterable[tuple[int, bytes]]) -> None:
        synced(disk, [record for record in records if record[0] != kind])

    monkeypatch.setattr(OnDisk, "synced", lose)
    assert said in run_seed(0, shape=SHORT).failure


def test_a_journal_that_loses_what_was_synced_is_noticed_by_the_node_itself() -> None:
    world, clients = calm_world()
    play(world, clients, 400)
    world.wipe(2)
    world.after_ms(30, world.start, 2)
    world.run(2_000)
    retired = world.nodes[2].disk.retired()
    assert retired is not None
    with pytest.raises(BreachError, match="retired its key"):
        world.checkers.blamed(2, [], retired, world.honest)
    assert world.checkers.final_height > 10, "the other three go on"


def test_a_second_vote_with_an_honest_key() -> None:
    world, clients = calm_world()
    play(world, clients, 400)
    view = max(port.view for port in world.ports()) + 40  # which no node reaches here
    for block in (b"a" * 32, b"b" * 32):
        frame = _native.sim_forge_vote(world.net.validator_seed(3), 3, world.net.chain, 0, view, 2, block)
        for target in (0, 1):
            world.pass_on(3, target, CONSENSUS, frame)
        notarized = _native.sim_forge_vote(world.net.validator_seed(3), 3, world.net.chain, 0, view, 0, block)
        world.checkers.synced(3, [(VOTE, frame[1:]), (CERTIFICATE, notarized[1:])])
        if block[:1] == b"a":
            world.checkers.frame_left(3, frame)
        else:
            with pytest.raises(BreachError, match="cast two finalize votes"):
                world.checkers.frame_left(3, frame)
    nullify = _native.sim_forge_vote(world.net.validator_seed(3), 3, world.net.chain, 0, view, 1)
    world.checkers.synced(3, [(VOTE, nullify[1:])])
    with pytest.raises(BreachError, match="both nullify and finalize"):
        world.checkers.frame_left(3, nullify)
    world.run(world.now / 1e6 + 20)
    assert 3 in world.nodes[0].offenders()
    with pytest.raises(BreachError, match="evidence against node 3"):
        world.checkers.blamed(0, world.nodes[0].offenders(), None, world.honest)


def test_a_node_that_stops_by_itself() -> None:
    world, clients = calm_world()
    play(world, clients, 300)
    world.nodes[1].disk.fail_write(1, full=True)
    with pytest.raises(BreachError, match="stopped by itself with disk-full"):
        world.run(1_000)


CHAINS = [
    ("two final blocks", replace(HEADER), b"other", b"r1", "two final blocks"),
    ("two results", replace(HEADER), b"one", b"r2", "two result roots"),
    ("a fork", replace(HEADER, height=2, view=2, time_ms=11, parent=b"no"), b"two", b"", "doesn't extend"),
    ("an older view", replace(HEADER, height=2, time_ms=11, parent=b"one"), b"two", b"", "isn't above its parent's"),
    ("an epoch", replace(HEADER, height=2, view=2, time_ms=11, parent=b"one", epoch=1), b"two", b"", "is of epoch 1"),
    (
        "a claim",
        replace(HEADER, height=2, view=2, time_ms=11, parent=b"one", claimed=(1, b"no")),
        b"two",
        b"",
        "claims another result",
    ),
    (
        "a root",
        replace(HEADER, height=2, view=2, time_ms=11, parent=b"one", rooted=(1, b"root")),
        b"two",
        b"",
        "a state root and no result",
    ),
]


@pytest.mark.parametrize(("header", "digest", "root", "said"), [c[1:] for c in CHAINS], ids=[c[0] for c in CHAINS])
def test_final_blocks_that_contradict(header: SeenHeader, digest: bytes, root: bytes, said: str) -> None:
    checkers = Checkers(4)
    checkers.executed(0, b"one", HEADER, b"r1")
    with pytest.raises(BreachError, match=said):
        checkers.executed(1, digest, header, root)


def test_claims_that_go_back_and_state_roots_that_differ() -> None:
    checkers = Checkers(4)
    one = replace(HEADER, claimed=(0, b"zero"))
    two = replace(HEADER, height=2, view=2, time_ms=11, parent=b"one", claimed=(1, b"r1"), rooted=(1, b"root"))
    back = replace(two, height=3, view=3, time_ms=12, parent=b"two", claimed=(0, b"zero"), rooted=None)
    other = replace(two, height=3, view=3, time_ms=12, parent=b"two", rooted=(1, b"another"))
    for digest, header, root in ((b"one", one, b"r1"), (b"two", two, b"r2")):
        checkers.executed(0, digest, header, root)
    with pytest.raises(BreachError, match="goes back"):
        checkers.executed(0, b"three", back, b"")
    with pytest.raises(BreachError, match="two certified state roots"):
        checkers.executed(0, b"three", other, b"")


def test_created_money_or_storage_is_noticed() -> None:
    world, clients = calm_world()
    play(world, clients, 300)
    leaves = world.nodes[0].disk.leaves()
    world.checkers.conserved(0, leaves)
    balance = next(at for at, leaf in enumerate(leaves) if leaf[1][0] == checkers_module.BALANCE)
    key, name, value = leaves[balance]
    more = (int.from_bytes(value, "little") + 1).to_bytes(16, "little")
    with pytest.raises(BreachError, match="supply"):
        world.checkers.conserved(1, [*leaves[:balance], (key, name, more), *leaves[balance + 1 :]])
    with pytest.raises(BreachError, match="storage"):
        world.checkers.conserved(1, [*leaves, (key, bytes([2]), b"value")])


def test_a_receipt_that_is_not_there() -> None:
    world, clients = calm_world()
    play(world, clients, 300)
    assert clients.done
    told = next(iter(world.checkers._told))
    world.checkers._told[told] = 10_000
    world.checkers.kept(0, 9_999, world.nodes[0].disk)
    with pytest.raises(BreachError, match="lacks transaction"):
        world.checkers.kept(0, 10_000, world.nodes[0].disk)


def test_a_vote_is_forgotten_after_its_disk_and_all_its_hearers_are_gone() -> None:
    memories, vote = Memories(3), (0, 1, 2, 0)
    memories.heard(1, 4)
    for node in (0, 2):
        memories.crashed(node)
    assert not memories.has_forgotten(vote), "its own disk has it"
    memories.wiped(1, 5, {vote})
    assert memories.has_forgotten(vote)
    memories.heard(1, 7)
    assert memories.has_forgotten(vote), "a later start knows nothing of it"
    memories.heard(1, 5)
    assert not memories.has_forgotten(vote), "it was on its way still"
    memories.crashed(0)
    assert not memories.has_forgotten(vote), "one is left who may have been told"
    memories.crashed(2)
    assert memories.has_forgotten(vote)
    assert not memories.has_forgotten((0, 1, 3, 0)), "what it voted since"
