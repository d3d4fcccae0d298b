"""The scenarios of the specification, each played by four whole nodes in the simulator.

Invariants: virtual time and a fixed seed; the checkers watch every scenario.
"""

from collections.abc import Callable
from dataclasses import replace

import pytest

from model.actors import Equivocator, Outgoing, Silent, Withholder
from model.epochs import make_block
from model.held import NodeData, Pace
from model.run import settled
from model.scenario import CONFIG, submit
from model.vocabulary import BatchFrame, Block, Message, ProposalFrame
from model.world import World
from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.consensus.vocabulary import BlockSeen, Certificate, PayloadStatus, Recovered, VoteKind

N = 4
STEPS_PER_GOOD_VIEW_MAX = 6
BASE_MS = 1.0
USUAL_MS_MAX = 12.0
"""Maximum latency of a transaction with a healthy leader: batch, proposal and two votes, each a sync and a delay."""


def play(world: World, ms: float) -> None:
    world.run(world.now / NS_PER_MS + ms)


def settle(world: World, wanted: set[int], ms: float = 5_000) -> None:
    assert world.run(world.now / NS_PER_MS + ms, lambda: settled(world, frozenset(wanted)))


def heights(world: World) -> list[int]:
    return [port.ledger.height for port in world.ports()]


def latency_ms(world: World, node: int, transaction: int) -> float:
    """Returns the time from submission to the slowest honest node's execution."""
    start = world.now
    world.after_ms(0, submit, world, node, transaction)
    done = world.run(
        world.now / NS_PER_MS + 5_000,
        lambda: all(transaction in port.ledger.transactions for port in world.ports()),
        check_every=1,
    )
    assert done
    return (world.now - start) / NS_PER_MS


class HelpsOnce(Equivocator):
    """A traitor that leads view 1: it helps two peers to notarize one block, sends the third peer a twin of it, and is
    silent from then on."""

    def __init__(self) -> None:
        super().__init__()
        self.helping = True

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        return self.helping and isinstance(outgoing.message, ProposalFrame)

    def propose(self, port: NodeData, frame: ProposalFrame, parent: Block) -> None:
        twin = make_block(port.epoch, 1, parent, frame.block.facts.time_ms + 1, (), (0, frame.block.claimed_root))
        port.world.checkers.made(twin)
        for peer, mine in ((0, twin), (2, frame.block), (3, frame.block)):
            port.send(peer, ProposalFrame(mine, frame.certificates, frame.riders))

    def hear(self, port: NodeData, message: Message) -> None:
        """Votes only through its proposal."""


class Cut:
    """A world whose links lose the frames that `lost` selects, from any sender."""

    def __init__(self, world: World) -> None:
        self.lost: Callable[[int, int, Message], bool] = lambda source, target, message: False
        send = world.send

        def cut(source: int, target: int, message: Message, epoch: int) -> None:
            if not self.lost(source, target, message):
                send(source, target, message, epoch)

        world.send = cut  # type: ignore[method-assign]  # the one seam that every frame passes


@pytest.mark.parametrize("delay_ms", [0.0, 0.2, 0.4, 0.6, 0.8, 1.0, 1.5, 2.0, 3.0])
def test_traitor_helps_to_notarize_then_is_silent_before_a_power_cut(delay_ms: float) -> None:
    """Nodes 2 and 3 and the traitor notarize a block of view 1; node 0 is bound to the twin. All lose power at an
    instant around the finalize votes. Nodes that voted to finalize can't nullify, and nobody can notarize again:
    without the traitor the chain stays live only because the notarization was synced with the finalize votes."""
    traitor = HelpsOnce()
    world = World(7, N, CONFIG, actors={1: traitor})
    cut = Cut(world)
    cut.lost = lambda source, target, message: 0 in (source, target) and 1 not in (source, target)
    world.start_all()
    world.after_ms(1, submit, world, 2, 100)
    notarized = world.run(
        50, lambda: all((VoteKind.NOTARIZE, 1) in port.certificates for port in world.ports() if port.me), check_every=1
    )
    assert notarized
    play(world, delay_ms)
    traitor.helping = False
    world.lose_power()
    cut.lost = lambda source, target, message: False
    world.start_all()
    world.after_ms(20, submit, world, 2, 100)
    world.after_ms(20, submit, world, 0, 101)
    settle(world, {100, 101})


def test_power_loss_of_all_at_every_instant_of_a_view_leaves_the_chain_live() -> None:
    """A design that reserves views ahead would deadlock here: all nodes restart together, bound by what they signed."""
    for instant in range(40):
        world = World(instant, N, CONFIG, actors={2: Silent(int((1 + instant * 0.15) * NS_PER_MS))})
        world.start_all()
        world.after_ms(1, submit, world, 1, 100)
        play(world, 1 + instant * 0.15)
        world.lose_power()
        world.start_all()
        world.after_ms(20, submit, world, 1, 100)
        settle(world, {100})


def test_a_batch_sent_to_the_leader_alone_costs_no_view_once_the_lane_is_distrusted() -> None:
    world = World(3, N, CONFIG, actors={3: Withholder(votes=False)})
    world.inputs_seen = []
    world.start_all()
    for number in range(30):
        world.after_ms(5 + 10 * number, submit, world, 3, 1_000 + number)
        world.after_ms(6 + 10 * number, submit, world, number % 3, number)
    play(world, 400)
    settle(world, set(range(30)))
    assert world.counts["withheld batch"] > 0
    assert world.counts["lane distrusted"] > 0
    nullified = {e.view for _, _, e in world.inputs_seen if isinstance(e, Certificate) and e.kind is VoteKind.NULLIFY}
    assert len([view for view in nullified if view % N != 3]) <= 1, "the traitor's own views are its own loss"


def test_a_listed_batch_that_only_the_leader_has_is_fetched_from_it() -> None:
    world = World(4, N, CONFIG)
    cut = Cut(world)
    cut.lost = lambda source, target, message: (
        isinstance(message, BatchFrame) and not message.asked_for and source == 0 and target != 1
    )
    world.start_all()
    assert latency_ms(world, 0, 5) < 2 * CONFIG.delta_start_ms


def test_work_that_only_one_node_has_seen_reaches_the_leader_or_all() -> None:
    world = World(5, N, CONFIG)
    cut = Cut(world)
    cut.lost = lambda source, target, message: (
        isinstance(message, BatchFrame) and source == 0 and world.now < 20 * NS_PER_MS
    )
    world.start_all()
    assert latency_ms(world, 0, 5) < 2 * CONFIG.delta_start_ms


def test_work_is_sent_until_it_arrives_even_if_the_first_copies_are_lost() -> None:
    """Found by a seed: the node gave the view up alone, and announced its work only once."""
    world = World(6, N, CONFIG)
    cut = Cut(world)
    cut.lost = lambda source, target, message: isinstance(message, BatchFrame) and world.now < 400 * NS_PER_MS
    world.start_all()
    assert latency_ms(world, 0, 5) < 1_500


def test_a_proposal_that_one_node_alone_saw_does_not_keep_its_work_to_itself() -> None:
    """Found by a seed: a traitor proposes to one node, whose own transaction then never left it."""
    world = World(8, N, CONFIG, actors={1: Silent(0)})
    cut = Cut(world)
    world.actors[1] = OnlyTo(2)
    cut.lost = lambda source, target, message: isinstance(message, BatchFrame) and world.now < 30 * NS_PER_MS
    world.start_all()
    world.after_ms(1, submit, world, 1, 1_000)
    play(world, 10)
    world.after_ms(0, submit, world, 2, 5)
    settle(world, {5})


class OnlyTo:
    """A traitor that sends to one peer only."""

    def __init__(self, peer: int) -> None:
        self._peer = peer

    def lets_out(self, outgoing: Outgoing, /) -> bool:
        return outgoing.target == self._peer


def test_claims_that_voters_cannot_check_yet_wait_and_then_pass() -> None:
    """Node 3 executes slowly. A claim on a height that it hasn't executed is pending, and no view is lost over it."""
    world = World(9, N, CONFIG, paces={3: Pace(execute_ms=15.0)})
    world.inputs_seen = []
    world.start_all()
    for number in range(20):
        world.after_ms(5 + 6 * number, submit, world, number % N, number)
    play(world, 200)
    settle(world, set(range(20)))
    waited = [e for _, node, e in world.inputs_seen if isinstance(e, BlockSeen) and node == 3]
    assert any(e.status is PayloadStatus.PENDING for e in waited)
    assert not any(isinstance(e, Certificate) and e.kind is VoteKind.NULLIFY for _, _, e in world.inputs_seen)


def test_claims_that_a_quorum_cannot_check_do_not_stop_the_chain() -> None:
    """A leader that executes faster than all others claims too early. The others wait until their timers fire; then the
    next leader goes on."""
    slow = {node: Pace(execute_ms=60.0) for node in (0, 2, 3)}
    world = World(10, N, CONFIG, paces=slow)
    world.start_all()
    for number in range(12):
        world.after_ms(5 + 10 * number, submit, world, number % N, number)
    settle(world, set(range(12)), 10_000)


def test_a_silent_leader_costs_one_timeout_at_most_and_is_then_skipped() -> None:
    world = World(11, N, CONFIG, actors={1: Silent(0)})
    world.start_all()
    first = [latency_ms(world, 0, number) for number in range(8)]
    assert max(first) <= 2 * CONFIG.delta_start_ms + USUAL_MS_MAX
    play(world, 4 * CONFIG.heartbeat_ms)
    later = [latency_ms(world, 0, number) for number in range(100, 120)]
    assert max(later) <= USUAL_MS_MAX + 4 * BASE_MS, "its views are skipped without a timeout"


def test_an_idle_chain_makes_no_blocks_and_steps_for_heartbeats_alone() -> None:
    world = World(12, N, CONFIG)
    world.start_all()
    latency_ms(world, 0, 1)
    play(world, 1_000)
    before, steps = heights(world), [node.steps_by_view.total() for node in world.nodes]
    play(world, 100 * CONFIG.heartbeat_ms)
    assert heights(world) == before
    for node, earlier in zip(world.nodes, steps, strict=True):
        assert node.steps_by_view.total() - earlier <= 101


def test_the_first_transaction_after_an_idle_hour_is_as_fast_as_any() -> None:
    world = World(13, N, replace(CONFIG, heartbeat_ms=2_000))
    world.start_all()
    usual = max(latency_ms(world, number % N, number) for number in range(10))
    play(world, 3_600_000)
    assert latency_ms(world, 0, 100) <= usual + 1


@pytest.mark.parametrize("every_ms", [0.5, 3.0, 40.0])
def test_a_good_view_costs_at_most_six_steps_whatever_the_load(every_ms: float) -> None:
    world = World(14, N, CONFIG)
    world.start_all()
    count = 200
    for number in range(count):
        world.after_ms(5 + every_ms * number, submit, world, number % N, number)
    settle(world, set(range(count)), 30_000)
    views = max(port.view for port in world.ports())
    for node in world.nodes:
        busiest = max(node.steps_by_view[view] for view in range(2, views - 1))
        assert busiest <= STEPS_PER_GOOD_VIEW_MAX, (every_ms, node.index, busiest)


def test_a_node_that_was_away_catches_up_without_a_block_being_made_for_it() -> None:
    world = World(15, N, CONFIG)
    world.start_all()
    for number in range(10):
        world.after_ms(5 + 10 * number, submit, world, number % 3, number)
    world.after_ms(20, world.crash, 3)
    play(world, 500)
    reached = max(heights(world))
    world.start(3)
    settle(world, set(range(10)))
    assert max(heights(world)) == reached


def test_a_restarted_node_is_bound_by_its_journal() -> None:
    world = World(16, N, CONFIG)
    world.inputs_seen = []
    world.start_all()
    world.after_ms(1, submit, world, 0, 1)
    play(world, 5)
    world.crash(0)
    world.start(0)
    settle(world, {1})
    recovered = [e for _, node, e in world.inputs_seen if isinstance(e, Recovered) and node == 0]
    assert len(recovered) == 2
    assert recovered[1].votes
