"""Committees that change; whole nodes play each case in the simulator (R28 to R32).

Invariants: virtual time and fixed seeds; the checkers watch every run.
"""

from collections.abc import Callable
from dataclasses import replace
from itertools import pairwise

import pytest

from model.actors import Equivocator, Hoarder, Outgoing, Silent
from model.epochs import Change, Epoch, Record
from model.faults import BoundaryFault, Stage
from model.held import NodeData
from model.peers import Peers
from model.run import settled
from model.scenario import CONFIG
from model.terms import bear, submit
from model.vocabulary import (
    BatchFrame,
    Block,
    BlockFrame,
    CertificateFrame,
    EpochEnd,
    EpochEndFrame,
    Member,
    Message,
    ProposalFrame,
    VoteFrame,
    first_committee,
    genesis,
)
from model.world import World
from rustorium.consensus import chain as chain_module
from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.vocabulary import BlockFacts, Certificate, EnterView, OwnVote, Vote, VoteKind
from rustorium.sim.errors import BreachError

N = 4
ADD, REMOVE = 1_000, 2_000
"""Transaction numbers of the changes; the node that is admitted or removed is added."""


def make_world(seed: int, nodes: int = N, **others: object) -> World:
    world = World(seed, N, CONFIG, nodes=nodes, **others)  # type: ignore[arg-type]
    for node in range(nodes):
        world.changes[ADD + node] = Change(add=Member(node, 0))
        world.changes[REMOVE + node] = Change(remove=node)
    return world


def play(world: World, ms: float) -> None:
    world.run(world.now / NS_PER_MS + ms)


def settle(world: World, wanted: set[int], ms: float = 20_000) -> None:
    assert world.run(world.now / NS_PER_MS + ms, lambda: settled(world, frozenset(wanted)))


def committee(world: World) -> list[int]:
    return [member.node for member in world.ports()[0].epoch.committee]


def load(world: World, first: int, count: int, every_ms: float, nodes: int) -> set[int]:
    for number in range(count):
        world.after_ms(5 + every_ms * number, submit, world, number % nodes, first + number)
    return {first + number for number in range(count) if number % nodes in world.honest}


def lose(world: World, lost: Callable[[int, int, Message], bool]) -> None:
    """Makes the links lose the frames that `lost` selects, from any sender."""
    pass_on = world.pass_on

    def cut(source: int, target: int, message: Message, epoch: int) -> None:
        if not lost(source, target, message):
            pass_on(source, target, message, epoch)

    world.pass_on = cut  # type: ignore[method-assign]  # the one seam that every frame passes


def finalizes_end(world: World, source: int, message: Message) -> bool:
    """Returns true if this vote helps to finalize a block that ends an epoch."""
    port = world.nodes[source].port
    if not isinstance(message, VoteFrame) or message.vote.kind is not VoteKind.FINALIZE or port is None:
        return False
    block = port.blocks.get(message.vote.digest or b"")
    return block is not None and block.facts.ends_epoch


# ---- the rules of the record


def test_an_end_is_due_by_the_committee_by_the_asking_and_by_the_clock() -> None:
    first = first_committee(N)
    epoch = Epoch(3, first, replace(genesis(first), facts=replace(genesis(first).facts, time_ms=1_000)))
    more = (*first, Member(4, 0))
    assert not epoch.ending(Record(first, 2), 1_499, 500).ends_epoch
    assert epoch.ending(Record(first, 2), 1_500, 500) == (True, first)
    assert epoch.ending(Record(first, 3), 1_000, None) == (True, first)
    assert epoch.ending(Record(more, -1), 1_000, None) == (True, more)


def test_changes_keep_a_committee_sorted_and_large_enough() -> None:
    record = Record(first_committee(N), -1)
    assert Change(remove=0).applied(record, 0) == record, "three are too few"
    grown = Change(add=Member(7, 0)).applied(record, 0)
    assert Change(add=Member(7, 0)).applied(grown, 0) == grown
    assert Change(remove=0).applied(grown, 0).target[0] == Member(1, 0)
    assert Change(add=Member(1, 5), remove=1).applied(record, 0).target[1] == Member(1, 5)
    assert Change(end_epoch=True).applied(record, 6).ended == 6


# ---- growing and shrinking


@pytest.mark.parametrize("traitor", [None, 1, 5], ids=["no traitor", "a founder", "a newcomer"])
def test_four_become_seven_and_four_again_under_load(traitor: int | None) -> None:
    world = make_world(1, 7, actors={} if traitor is None else {traitor: Equivocator()})
    world.boundary_faults = [
        BoundaryFault(epoch, stage, power=epoch % 2 == 1, down_ms=30.0) for epoch in range(6) for stage in Stage
    ]
    world.start_all()
    wanted = load(world, 0, 200, 10.0, 7)
    for place, node in enumerate((4, 5, 6)):
        world.after_ms(100 + 150 * place, submit, world, 0, ADD + node)
        world.after_ms(1_000 + 150 * place, submit, world, 2, REMOVE + (0, 1, 3)[place])
    play(world, 2_200)
    again = {ADD + 4, ADD + 5, ADD + 6, REMOVE + 0, REMOVE + 1, REMOVE + 3}
    for number in sorted(wanted | again):
        world.after_ms(10, submit, world, 2, number)
    settle(world, wanted | again)
    assert committee(world) == [2, 4, 5, 6]
    sizes = {len(block.next_set) for block in world.checkers.final_chain() if block.next_set is not None}
    assert {5, 4} <= sizes
    assert max(sizes) >= 6


def test_a_newcomer_with_an_empty_disk_catches_up_over_many_epochs_and_votes() -> None:
    world = make_world(2, 5, epoch_ms=100)
    world.nodes[4].unborn = True
    world.start_all()
    wanted = load(world, 0, 60, 20.0, 4)
    play(world, 1_300)
    submit(world, 0, ADD + 4)
    play(world, 200)
    assert world.ports()[0].epoch.number >= 8
    bear(world, 4)
    play(world, 1_000)
    newcomer = world.nodes[4].port
    assert newcomer is not None
    assert newcomer.me == 4
    world.crash(0)  # the others need its vote for a quorum
    submit(world, 1, 900)
    assert world.run(world.now / NS_PER_MS + 3_000, lambda: all(900 in p.ledger.transactions for p in world.ports()))
    world.start(0)
    settle(world, wanted | {900})


def test_a_removed_node_goes_on_to_follow() -> None:
    world = make_world(3, 5)
    world.start_all()
    for number in (ADD + 4, REMOVE + 0):
        world.after_ms(5, submit, world, 1, number)
    settle(world, {ADD + 4, REMOVE + 0})
    world.inputs_seen = []
    wanted = load(world, 0, 10, 20.0, 5)
    settle(world, wanted)
    removed = world.nodes[0].port
    assert removed is not None
    assert removed.me is None
    assert wanted <= removed.ledger.transactions, "its own clients' too, which it handed on"


def replaced(seed: int) -> World:
    """Replaces all four members by four others, which receive only answers."""
    world = make_world(seed, 8)
    answers = (EpochEndFrame, BlockFrame, BatchFrame)
    lose(world, lambda source, target, message: source < 4 <= target and not isinstance(message, answers))
    world.start_all()
    for number in sorted(REPLACED):
        world.after_ms(5, submit, world, 0, number)
    return world


REPLACED = {ADD + node for node in range(4, 8)} | {REMOVE + node for node in range(4)}


def test_all_members_are_replaced_at_once_and_their_last_messages_are_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """The old members are silent in the new epoch, the new ones in the old epoch, so a silent member must ask."""
    world = replaced(4)
    settle(world, REPLACED)
    assert committee(world) == [4, 5, 6, 7]

    def follow_in_silence(peers: Peers) -> None:
        peers._advance()
        peers._reassess()

    monkeypatch.setattr(Peers, "_follow", follow_in_silence)
    world = replaced(4)
    assert not world.run(60_000, lambda: settled(world, frozenset(REPLACED)))
    assert {port.epoch.number for port in world.ports() if port.node >= 4} == {0}


def test_a_wiped_node_follows_until_its_new_key_is_admitted() -> None:
    world = make_world(5)
    world.changes[1] = Change(add=Member(3, 1), remove=3)
    world.start_all()
    wanted = load(world, 10, 20, 10.0, 3)
    play(world, 60)
    world.wipe(3, 1)
    world.start(3)
    play(world, 60)
    wiped = world.nodes[3].port
    assert wiped is not None
    assert wiped.me is None
    world.after_ms(0, submit, world, 0, 1)
    settle(world, wanted | {1})
    again = world.nodes[3].port
    assert again is not None
    assert again.me == 3


# ---- what it costs


def test_an_epoch_that_the_clock_ends_costs_an_idle_chain_one_block_and_no_view() -> None:
    world = make_world(6, epoch_ms=1_000)
    world.inputs_seen = []
    world.start_all()
    play(world, 10_500)
    chain = world.checkers.final_chain()
    assert [block.facts.ends_epoch for block in chain] == [True] * 10
    assert all(b.facts.view == a.facts.view + 1 for a, b in pairwise(chain)), "no closing block, and no view lost"
    assert not any(isinstance(e, Certificate) and e.kind is VoteKind.NULLIFY for _, _, e in world.inputs_seen)


def test_an_idle_chain_takes_the_block_of_the_change_and_the_boundary() -> None:
    world = make_world(7, 5)
    world.start_all()
    world.after_ms(5, submit, world, 0, ADD + 4)
    settle(world, {ADD + 4})
    play(world, 10_000)
    facts = [(block.facts.has_payload, block.facts.ends_epoch) for block in world.checkers.final_chain()]
    assert facts == [(True, False), (False, True)]


def test_the_chain_pauses_at_a_boundary_for_less_than_a_timeout() -> None:
    world = make_world(8, 5)
    world.start_all()
    wanted = load(world, 0, 200, 3.0, 4)
    world.after_ms(300, submit, world, 0, ADD + 4)
    settle(world, wanted | {ADD + 4})
    times = [block.facts.time_ms for block in world.checkers.final_chain()]
    assert world.ports()[0].epoch.number == 1
    assert max(later - earlier for earlier, later in pairwise(times)) < CONFIG.delta_start_ms


# ---- faults at the boundary


@pytest.mark.parametrize("stage", list(Stage), ids=lambda stage: stage.value)
@pytest.mark.parametrize("power", [False, True], ids=["one dies", "all lose power"])
def test_the_first_node_at_each_stage_dies(stage: Stage, power: bool) -> None:
    """With a traitor that shows only one peer the final boundary, that peer dies for a second."""
    for traitor in range(N):
        world = make_world(9 + traitor, 5, actors={traitor: Hoarder()})
        world.boundary_faults = [BoundaryFault(0, stage, power, 1_000.0)]
        world.start_all()
        for at, number in ((5, 1), (5, ADD + 4), (60, 2), (300, 3)):
            world.after_ms(at, submit, world, (traitor + 1) % N, number)
        play(world, 1_500)
        assert world.counts["crash at a boundary"] == 1
        world.after_ms(0, submit, world, (traitor + 2) % N, ADD + 4)
        settle(world, {ADD + 4})


def test_all_lose_power_at_every_instant_around_a_boundary() -> None:
    for instant in range(60):
        world = make_world(instant, 5, actors={2: Silent(int((1 + instant * 0.5) * NS_PER_MS))})
        world.start_all()
        world.after_ms(1, submit, world, 1, ADD + 4)
        play(world, 1 + instant * 0.5)
        world.lose_power()
        world.start_all()
        world.after_ms(20, submit, world, 1, ADD + 4)
        settle(world, {ADD + 4})
        assert world.ports()[0].epoch.number == 1


def test_closing_blocks_make_a_boundary_final_that_lost_its_finalize_votes() -> None:
    world = make_world(10, 5)
    until = 150 * NS_PER_MS
    lose(world, lambda source, _, message: world.now < until and finalizes_end(world, source, message))
    world.start_all()
    wanted = load(world, 0, 30, 10.0, 4) | {ADD + 4}
    world.after_ms(20, submit, world, 0, ADD + 4)
    settle(world, wanted)
    end = world.ports()[0].ends[0]
    assert len(end.closing) >= 1
    assert not any(block.payload for block in end.closing)


class Talker(Equivocator):
    """A traitor that leads closing views with a block that lists something, and helps to finalize it."""

    def __init__(self) -> None:
        super().__init__()
        self.talked: list[Block] = []

    def propose(self, port: NodeData, frame: ProposalFrame, parent: Block) -> None:
        block = frame.block
        if port.epoch.closes_on(parent):
            block = self._talkative(port, block, parent)
            self.talked += [block] * block.facts.has_payload
            port.world.checkers.made(block)
        for peer in range(port.world.size):
            if peer != port.node:
                port.send(peer, ProposalFrame(block, frame.certificates, frame.riders))

    def hear(self, port: NodeData, message: Message) -> None:
        """Votes as an honest node does."""


def talk(seed: int) -> tuple[World, Talker]:
    """Runs until the traitor has led a closing view; until then the finalize votes for the epoch's end are lost."""
    talker = Talker()
    world = make_world(seed, 5, actors={3: talker})
    lose(world, lambda source, _, message: not talker.talked and finalizes_end(world, source, message))
    world.start_all()
    load(world, 0, 100, 5.0, 4)
    world.after_ms(20, submit, world, 0, ADD + 4)
    play(world, 500)
    assert talker.talked
    return world, talker


def certified(world: World, block: Block) -> bool:
    return world.is_genuine(0, Certificate(VoteKind.NOTARIZE, block.facts.view, block.facts.digest))


def test_a_closing_block_that_lists_something_gets_no_vote(monkeypatch: pytest.MonkeyPatch) -> None:
    world, talker = talk(11)
    assert not any(certified(world, block) for block in talker.talked)
    settle(world, {ADD + 4})
    follows = chain_module._follows

    def as_if_nothing_ended(block: BlockFacts, parent: BlockFacts) -> bool:
        return follows(block, replace(parent, ends_epoch=False))

    monkeypatch.setattr(chain_module, "_follows", as_if_nothing_ended)
    with pytest.raises(BreachError, match="says something that its boundary doesn't"):  # only R28 stands against it
        talk(11)


# ---- epochs told apart


def test_effects_in_front_of_the_epochs_own_view_are_dropped() -> None:
    world = make_world(12, 5)
    world.start_all()
    world.after_ms(5, submit, world, 0, ADD + 4)
    settle(world, {ADD + 4})
    port = world.ports()[0]
    fresh = world._open_port(world.nodes[0])
    stale = Vote(VoteKind.NULLIFY, port.view, None)
    fresh.submit([stale, EnterView(port.view, None, False, 0), stale])
    assert world.counts["effect of an older epoch"] == 3
    assert not fresh._own_votes
    fresh.submit([EnterView(port.view, None, False, 1), stale])
    assert fresh._own_votes == [OwnVote(VoteKind.NULLIFY, port.view, None)]


class FormerCommittee:
    """A traitor that holds the keys of a former committee and signs anything with them."""

    def lets_out(self, _outgoing: Outgoing, /) -> bool:
        return True


def test_a_committee_that_was_replaced_cannot_fork_the_chain_with_its_keys() -> None:
    """After epoch 0, three of its four keys sign another closing block, another child of the boundary, and another
    boundary. Nodes that have gone on accept none of them, whatever epoch the frame names."""
    world = make_world(13, 8)
    world.start_all()
    numbers = {ADD + node for node in range(4, 8)} | {REMOVE + node for node in (1, 2, 3)}
    for number in sorted(numbers):
        world.after_ms(5, submit, world, 0, number)
    settle(world, numbers)
    assert committee(world) == [0, 4, 5, 6, 7]
    end, view = world.ports()[0].ends[0], max(port.view for port in world.ports())
    for node in (1, 2, 3):
        world.actors[node] = FormerCommittee()
    world.honest -= {1, 2, 3}
    false = replace(end.boundary, facts=replace(end.boundary.facts, view=view + 1, digest=b"f" * 32))
    lies = [Certificate(kind, view + 1, false.facts.digest) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)]
    for lie in lies:
        world._genuine.add((0, lie))  # three of four have really signed it
    for target in (0, 4, 5, 6, 7):
        for epoch in (0, 1, 2):
            world.send(1, target, CertificateFrame(tuple(lies)), epoch)
            world.send(2, target, EpochEndFrame(EpochEnd(false, (), lies[1])), epoch)
            for node in (1, 2, 3):
                vote = OwnVote(VoteKind.FINALIZE, view + 1, false.facts.digest)
                world.send(node, target, VoteFrame(vote, lies[1], world.ports()[0].riders()), epoch)
    wanted = {1, 2, 3}
    for number in wanted:
        world.after_ms(10, submit, world, 0, number)
    settle(world, wanted)
    assert all(false.facts.digest not in port.ledger.heights for port in world.ports())
    assert all(lie not in port.certificates.values() for lie in lies for port in world.ports())
