"""The faults of a run and their times, drawn by its seed.

Invariants: a plan is a function of seed and mode alone; at most f nodes are traitors. After the calm begins, every
honest node runs and no message is lost, so a failure then is the protocol's own fault.
"""

import random
from dataclasses import dataclass, replace
from enum import Enum

from model.actors import Actor, Equivocator, Ghost, Hoarder, Silent, Withholder
from model.held import Pace
from model.roots import PeriodRule
from model.terms import Terms, draw_terms, submit
from model.vocabulary import NS_PER_MS
from model.world import World
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.sim.links import CALM, LinkFaults

CONFIG = ConsensusConfig(delta_floor_ms=20, delta_start_ms=40, delta_ceiling_ms=1_000, heartbeat_ms=200)
FAULT_KINDS = (
    "delay",
    "loss",
    "reorder",
    "duplicate",
    "partition",
    "crash",
    "crash within a step",
    "power loss",
    "silent traitor",
    "withheld batch",
    "withheld vote",
    "equivocating proposal",
    "forking proposal",
    "double vote",
    "false state root",
)
EPOCH_FAULT_KINDS = (
    *FAULT_KINDS,
    "closing block",
    "crash at a boundary",
    "effect of an older epoch",
    "false epoch end",
    "hoarded epoch end",
    "late node",
    "new key",
    "vote of an older epoch",
    "wiped node",
)
"""Kinds of faults in runs whose committees change. "closing block as boundary" is too rare to be required."""
SLOW = Pace(sync_ms=6.0, execute_ms=25.0, root_ms=60.0)


class Mode(Enum):
    SAFETY = "safety"
    """Faults last to the end; only the invariants must hold."""
    LIVENESS = "liveness"
    """Faults stop; then all transactions of honest nodes' clients must become final."""
    EPOCHS = "epochs"
    """Like LIVENESS, while committees grow, shrink and change their keys; every change that is due must happen."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's faults; times in milliseconds of virtual time."""

    mode: Mode
    n: int
    base_ms: float
    """Delay of the calm network, sometimes more than the initial Δ."""
    links: LinkFaults
    traitor: str | None
    slow_node: int | None
    crashes: tuple[tuple[float, int, float], ...]
    """(when, node, how long it is down)"""
    cuts: tuple[tuple[float, int, int], ...]
    """(when, node, number of effects of its next step after which it dies)"""
    storms: tuple[tuple[float, int, float], ...]
    """(when, node, time until all lose power): the node dies and restarts at once; later all lose power"""
    power_losses: tuple[tuple[float, float], ...]
    """(when, how long all are down)"""
    partitions: tuple[tuple[float, float, tuple[int, ...]], ...]
    transactions: tuple[tuple[float, int], ...]
    """(when, at which node)"""
    calm_ms: float
    parent_grace_ms: int
    """0 if views overlap, as in a network so wide that the grace is too short."""
    state_roots: bool
    periods: PeriodRule
    drawn: bool
    """`True` if the order of leaders is drawn."""
    terms: Terms | None = None
    """Changes of the committees; `None` if they don't change."""


def draw_plan(seed: int, mode: Mode) -> Plan:
    rng = random.Random(f"plan {seed} {mode.value}")
    n, nodes, calm_ms = 7 if rng.random() < 0.08 else 4, 0, 1_500.0
    traitor = rng.choice([None, "silent", "withholder", "equivocator"])
    if mode is Mode.EPOCHS:
        n, nodes, calm_ms = 4, 8, 3_000.0
        traitor = rng.choice([None, "silent", "withholder", "equivocator", "equivocator", "hoarder", "ghost"])
    nodes = nodes or n

    def some(chance: float, most: int) -> range:
        return range(rng.randint(1, most) if rng.random() < chance else 0)

    links = CALM
    if rng.random() < 0.8:
        links = LinkFaults(
            delay_ms_max=rng.choice([5.0, 20.0, 100.0]),
            delay=rng.choice([0.0, 0.1, 0.3]),
            loss=rng.choice([0.0, 0.02, 0.1, 0.25]),
            duplicate=rng.choice([0.0, 0.1]),
            reorder=rng.choice([0.0, 0.2]),
        )
    base_ms = rng.choice([1.0] * 11 + [60.0])
    return Plan(
        mode=mode,
        n=n,
        base_ms=base_ms,
        links=links,
        traitor=traitor,
        slow_node=rng.randrange(nodes) if rng.random() < 0.2 else None,
        crashes=tuple((rng.uniform(50, calm_ms), rng.randrange(nodes), rng.uniform(5, 300)) for _ in some(0.5, 4)),
        cuts=tuple((rng.uniform(50, calm_ms), rng.randrange(nodes), rng.randrange(4)) for _ in some(0.4, 4)),
        storms=tuple((rng.uniform(20, calm_ms), rng.randrange(nodes), rng.uniform(1, 8)) for _ in some(0.3, 3)),
        power_losses=tuple((rng.uniform(50, calm_ms + 20), rng.uniform(1, 50)) for _ in some(0.5, 3)),
        partitions=tuple(
            (rng.uniform(50, calm_ms - 100), rng.uniform(30, 500), tuple(rng.randrange(2) for _ in range(nodes)))
            for _ in some(0.4, 2)
        ),
        transactions=tuple((rng.uniform(5, calm_ms), rng.randrange(nodes)) for _ in range(rng.randint(8, 20))),
        calm_ms=calm_ms,
        parent_grace_ms=rng.choice([0, 3]),
        state_roots=rng.random() < 0.5,
        periods=PeriodRule(longest_ms=rng.choice([60, 200, 600]), shortest_ms=rng.choice([5, 20, 60])),
        drawn=random.Random(f"leaders {seed} {mode.value}").random() < 0.5,
        terms=draw_terms(rng, calm_ms, wipes=traitor is None, wide=base_ms > 1) if mode is Mode.EPOCHS else None,
    )


def make_actor(kind: str, rng: random.Random, calm_ms: float) -> Actor:
    match kind:
        case "silent":
            return Silent(int(rng.choice([0.0, rng.uniform(0, calm_ms)]) * NS_PER_MS))
        case "withholder":
            return Withholder(votes=rng.random() < 0.7)
        case "hoarder":
            return Hoarder()
        case "ghost":
            return Ghost()
        case _:
            return Equivocator()


def build_world(seed: int, plan: Plan) -> World:
    """Returns the world of a plan with its faults scheduled; nodes are not started yet."""
    rng = random.Random(f"faults {seed} {plan.mode.value}")
    actors: dict[int, Actor] = {}
    if plan.traitor is not None and plan.terms is not None:
        actors[rng.randrange(plan.terms.nodes)] = make_actor(plan.traitor, rng, plan.calm_ms)
    elif plan.traitor is not None:
        for traitor in rng.sample(range(plan.n), rng.randint(1, (plan.n - 1) // 3)):
            actors[traitor] = make_actor(plan.traitor, rng, plan.calm_ms)
    paces = {} if plan.slow_node is None else {plan.slow_node: SLOW}
    config = replace(CONFIG, parent_grace_ms=plan.parent_grace_ms, state_roots=plan.state_roots)
    terms = plan.terms
    if terms is not None:
        paces |= {node: replace(paces.get(node, Pace()), clock_ms=ms) for node, ms in enumerate(terms.clocks_ms)}
    world = World(
        seed,
        plan.n,
        config,
        base_ms=plan.base_ms,
        faults=plan.links,
        actors=actors,
        paces=paces,
        periods=plan.periods,
        nodes=None if terms is None else terms.nodes,
        epoch_ms=None if terms is None else terms.epoch_ms,
        drawn=plan.drawn,
    )
    for at, node, down in plan.crashes:
        world.after_ms(at, _crash, world, node, down)
    for at, node, effects in plan.cuts:
        world.after_ms(at, _cut_next_step, world, node, effects)
    for at, node, until in plan.storms:
        world.after_ms(at, _crash, world, node, 0.1)
        world.after_ms(at + until, _lose_power, world, 1.0)
    for at, down in plan.power_losses:
        world.after_ms(at, _lose_power, world, down)
    for at, last, islands in plan.partitions:
        world.after_ms(at, world.links.partition, list(islands))
        world.after_ms(at + last, world.links.partition, None)
    for number, (at, node) in enumerate(plan.transactions):
        world.after_ms(at, submit, world, node, number)
    if terms is not None:
        terms.schedule(world, len(plan.transactions))
    return world


def _crash(world: World, node: int, down_ms: float) -> None:
    if world.nodes[node].port is not None:
        world.counts["crash"] += 1
        world.crash(node)
        world.after_ms(down_ms, world.start, node)


def _cut_next_step(world: World, node: int, effects: int) -> None:
    if world.nodes[node].port is not None:
        world.nodes[node].crash_after_effects = effects


def _lose_power(world: World, down_ms: float) -> None:
    world.lose_power()
    for index in range(world.size):
        world.after_ms(down_ms + world.rng.uniform(0, 30), world.start, index)
