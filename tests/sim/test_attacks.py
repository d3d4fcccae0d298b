"""The cost of attackers with a member's key for the other members, in virtual time with prices for work.

Invariants: fixed seeds; runs with and without an attack differ only in the attacker. `RUSTORIUM_ATTACK_MINUTES` makes
runs of journals longer, and `RUSTORIUM_ATTACK_NODES` makes committees larger.
"""

import os
import random
import statistics
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from itertools import combinations_with_replacement

import pytest

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.sim.actors import ATTACKS, CHURNER, Actor, make_actor
from rustorium.sim.actors.attacks import (
    CERTIFICATE,
    CONSENSUS,
    HISTORY,
    SYNC,
    CertificateFlooder,
    Clocked,
    Historian,
    InventiveProposer,
    ProposalFlooder,
)
from rustorium.sim.actors.base import others
from rustorium.sim.actors.withholding import Mute
from rustorium.sim.frames import FINALIZE, NOTARIZE, NULLIFY
from rustorium.sim.modes import Mode
from rustorium.sim.net import EXPIRES_MS, make_net
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.run import run_seed
from rustorium.sim.scenario import Shape, draw_plan
from rustorium.sim.shadow import SignedByClient
from rustorium.sim.world import World

NODES = [int(n) for n in os.environ.get("RUSTORIUM_ATTACK_NODES", "4").split()]
MINUTES = float(os.environ.get("RUSTORIUM_ATTACK_MINUTES", "0.25"))
BYTES_PER_S = 100_000_000 // 8
BEAT_MS = 2.0
if max(NODES) > 7:
    pytestmark = pytest.mark.timeout(0)
WARM_MS = 2_000.0
FLOOD_MS = 3_000.0 if NODES == [4] else 6_000.0
LOOK_MS = 2.0
EVENTS_MAX = 1 << 40
JOURNAL_BYTES_MAX = 16 << 20


class PacedAttacker(Clocked):
    """An attacker that sends as much as a link of 100 Mbit/s carries, from the end of the warm-up on."""

    budget = EVENTS_MAX
    begins_ms, every_ms = WARM_MS, BEAT_MS

    def act(self, world: World, node: int, /) -> None:
        room, peers = BYTES_PER_S * BEAT_MS / 1000, len(others(world, node))
        while room > 0 and (frame := self.worst(world, node)) is not None:
            self.did(world, "flood")
            self.tell_all(world, node, self.stream, frame)
            room -= len(frame) * peers

    stream = CONSENSUS

    def worst(self, world: World, node: int) -> bytes | None:
        raise NotImplementedError


class Certificates(PacedAttacker, CertificateFlooder):
    """Sends false certificates of relevant views."""

    def worst(self, world: World, node: int) -> bytes | None:
        view, kind = self.hand.view + world.rng.randint(0, 40), world.rng.choice([NULLIFY, FINALIZE])
        return CERTIFICATE + self.false_certificate(world, node, view, kind)


class Proposals(PacedAttacker, ProposalFlooder):
    """Sends proposals with 32 false nullifications."""

    def worst(self, world: World, node: int) -> bytes | None:
        return None if self.proposal is None else self.loaded(world, node, self.hand.view + world.rng.randint(1, 20))


class Inventions(PacedAttacker, InventiveProposer):
    """Sends proposals for future views with invented batches."""

    def worst(self, world: World, node: int) -> bytes | None:
        return None if self.proposal is None else self.invented(world, node, world.rng.randint(1, 59))


class Votes(PacedAttacker):
    """Sends validly signed votes for blocks that nobody has seen, in relevant views."""

    def worst(self, world: World, node: int) -> bytes | None:
        view = self.hand.view + world.rng.randint(1, 60)
        return self.hand.vote(world, node, view, NOTARIZE, world.rng.randbytes(32))


class Questions(PacedAttacker, Historian):
    """Sends requests for history, 2,000 a second to each member: as many as fit beside their answers."""

    stream = SYNC

    def act(self, world: World, node: int, /) -> None:
        for _ in range(int(2_000 * BEAT_MS / 1000)):
            self.did(world, "flood")
            self.tell_all(world, node, SYNC, b"\7" + world.rng.randbytes(8) + HISTORY)


FLOODS: dict[str, Callable[[], Actor]] = {
    "certificates": Certificates,
    "proposals": Proposals,
    "inventions": Inventions,
    "questions": Questions,
    "votes": Votes,
}


@dataclass
class Observations:
    """Observations of clients and a watcher after the warm-up."""

    latencies_ms: list[float] = field(default_factory=list)
    pause_ms: float = 0.0
    heights: int = 0
    journal_bytes: int = 0

    @property
    def p50_ms(self) -> float:
        return statistics.median(self.latencies_ms)


class Run:
    """A committee under load, with or without attackers."""

    def __init__(self, n: int, actors: dict[int, Actor], gap_ms: float, warm_ms: float = WARM_MS) -> None:
        self.net = make_net(n, n, 2 * n + 1)
        self.world = World(5, self.net, n, ConsensusConfig(state_roots=True), base_ms=5.0, actors=actors, costs=PRICES)
        self.world.step_ns, self.world.time.events_max = CORE_STEP_NS, EVENTS_MAX
        self.world.on_answer = self._answered
        self.seen, self._gap_ms, self._warm_ms = Observations(), gap_ms, warm_ms
        self._asked: dict[int, int] = {}
        self._last, self._height = 0, 0
        self._rng = random.Random(n)
        self._honest = sorted(self.world.honest)
        self.world.start_all()
        for account in range(2 * n):
            self.world.after_ms(self._rng.uniform(0, gap_ms), self._submit, account, 0)
        self.world.after_ms(warm_ms, self._look)

    def _submit(self, account: int, nonce: int) -> None:
        world = self.world
        world.after_ms(self._gap_ms * (0.5 + self._rng.random()), self._submit, account, nonce + 1)
        operations = [{"type": "put", "namespace": self.net.accounts[account].address, "key": "k", "value": "v" * 200}]
        signed = self.net.sign(account, nonce, operations)
        world.shadow.signed(SignedByClient(signed.id, account, nonce, EXPIRES_MS, operations))
        tag = account * 1_000_000 + nonce
        self._asked[tag] = world.now
        port = world.nodes[self._honest[account % len(self._honest)]].port
        assert port is not None
        port.client(signed.raw, "final", tag)

    def _answered(self, _node: int, tag: int, how: str, _height: int | None) -> None:
        asked = self._asked.pop(tag)
        if asked >= self._warm_ms * NS_PER_MS:
            assert how == "final"
            self.seen.latencies_ms.append((self.world.now - asked) / NS_PER_MS)

    def _look(self) -> None:
        """Measures the time without a final block while transactions wait."""
        world, seen = self.world, self.seen
        if world.checkers.final_height > self._height:
            seen.heights += world.checkers.final_height - self._height if self._height else 0
            self._height, self._last = world.checkers.final_height, world.now
        elif self._asked:
            seen.pause_ms = max(seen.pause_ms, (world.now - self._last) / NS_PER_MS)
        else:
            self._last = world.now
        world.after_ms(LOOK_MS, self._look)

    def play(self, ms: float) -> Observations:
        self.world.run(self._warm_ms + ms)
        return self.seen


@cache
def calm_run(n: int, ms: float) -> Observations:
    """Returns the observations without attackers, which the tests of all kinds compare with."""
    return Run(n, {}, 100.0).play(ms)


@pytest.mark.parametrize("kind", FLOODS)
@pytest.mark.parametrize("n", NODES)
def test_a_member_that_floods_slows_the_others_by_half_at_most(
    n: int, kind: str, figure: Callable[[str], None]
) -> None:
    calm = calm_run(n, FLOOD_MS)
    attacked = Run(n, {n - 1: FLOODS[kind]()}, 100.0).play(FLOOD_MS)
    times = attacked.p50_ms / calm.p50_ms
    figure(
        f"flood of {kind} at n = {n}: p50 {calm.p50_ms:.1f} ms calm, {attacked.p50_ms:.1f} ms attacked, {times:.2f} "
        f"times; longest pause {attacked.pause_ms:.0f} ms (calm {calm.pause_ms:.0f} ms)"
    )
    assert times <= 1.5
    assert attacked.pause_ms <= 500


@pytest.mark.parametrize("adjacent", [True, False], ids=["adjacent", "apart"])
@pytest.mark.parametrize("n", NODES)
def test_mute_leaders_leave_half_of_the_blocks(n: int, adjacent: bool, figure: Callable[[str], None]) -> None:
    faulty = (n - 1) // 3
    places = range(faulty) if adjacent else range(0, 3 * faulty, 3)
    ms = 250.0 * n
    calm = calm_run(n, ms)
    # Before they are on the list, each of them loses two turns of at most two and four times the smallest timeout of
    # 100 ms.
    mute = Run(n, {place: Mute() for place in places}, 100.0, WARM_MS + 600.0 * faulty).play(ms)
    left, rate = mute.heights / calm.heights, 1_000 * calm.heights / ms
    figure(
        f"blocks with {faulty} mute of {n}, {'adjacent' if adjacent else 'apart'}: {left:.2f} of {rate:.0f} a second"
    )
    assert mute.heights >= calm.heights / 2


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=ATTACKS)
def test_each_attack_alone_is_played_and_the_chain_comes_to_rest_within_its_bounds(number: int) -> None:
    report = run_seed(number, Mode.ATTACKS, Shape(4, 20))
    assert report.ok, report.line()
    assert [kind for _, kind, _ in report.traitors] == [ATTACKS[number]]
    assert all(acts for _, _, acts in report.traitors), "it did something"


def test_attacks_come_in_all_pairs_where_two_members_may_be_faulty() -> None:
    seen = {draw_plan(seed, Mode.ATTACKS, Shape(7, 20)).traitors for seed in range(100)}
    pairs = set(combinations_with_replacement(ATTACKS, 2)) - {(CHURNER, CHURNER)}
    assert seen == pairs


@pytest.mark.parametrize("kind", [kind for kind in ATTACKS if kind not in ("stranger", "churner", "home censor")])
def test_journals_stay_small_however_long_an_attack_lasts(kind: str, figure: Callable[[str], None]) -> None:
    actor = make_actor(kind, random.Random(1), 0.0)
    if isinstance(actor, Clocked):
        actor.left, actor.every_ms = EVENTS_MAX, max(actor.every_ms, 10.0 * MINUTES)
    run = Run(4, {3: actor}, 1_000.0 if MINUTES < 10 else 10_000.0)
    most = 0
    for second in range(10, int(60 * MINUTES) + 1, 10):
        run.world.run(1_000.0 * second)
        most = max(most, *(port.native.held()["journal_bytes"] for port in run.world.ports()))
    figure(f"journals after {MINUTES:g} minutes with a {kind}: {most / 1024:.0f} KiB at most")
    assert 0 < most <= JOURNAL_BYTES_MAX
