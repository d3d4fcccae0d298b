"""What happens in a run of the release stages: which faults a seed draws, and when they strike.

Invariants: a plan is a function of seed, mode and shape alone; at most f nodes are traitors; after the calm every
honest node runs, disks work and no frame is lost, so what doesn't happen then is the protocol's own fault.
"""

import random
from dataclasses import dataclass
from enum import Enum

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.sim.links import CALM, LinkFaults
from rustorium.sim.release.actors import Actor, Silent, Withholder
from rustorium.sim.release.net import make_net
from rustorium.sim.release.port import SLOW, Pace
from rustorium.sim.release.terms import EXTRA, Terms, draw_terms
from rustorium.sim.release.world import World

ACCOUNTS = 7
"""The last one is the operator's."""
FAULT_KINDS = (
    "delay",
    "loss",
    "reorder",
    "duplicate",
    "partition",
    "crash",
    "crash within a step",
    "power loss",
    "forgotten records",
    "forgotten store writes",
    "full disk",
    "failing disk",
    "slow node",
    "wiped node",
    "silent traitor",
    "withheld batch",
    "withheld vote",
)
EPOCH_FAULT_KINDS = (
    *FAULT_KINDS,
    "asked to admit",
    "asked to remove",
    "asked to replace key",
    "asked to end epoch",
    "crash at a boundary",
    "late node",
    "new key",
)
"""Those of runs whose committees change."""


class Mode(Enum):
    SAFETY = "safety"
    """Faults to the end; only the invariants are asked for."""
    LIVENESS = "liveness"
    """Faults stop, then all that clients sent must become final, and the chain come to rest."""
    EPOCHS = "epochs"
    """As LIVENESS, while committees grow, shrink and change their keys: and what is due of that must come about."""


@dataclass(frozen=True, slots=True)
class Shape:
    """How large a run is."""

    nodes: int = 4
    heights: int = 50
    """So many are made, at least."""


class DiskFault(Enum):
    """What fails."""

    WRITE = "write"
    SYNC = "sync"
    JOURNAL = "journal"


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's faults; times in milliseconds of virtual time."""

    mode: Mode
    shape: Shape
    base_ms: float
    links: LinkFaults
    traitor: str | None
    slow_node: int | None
    skews_ms: tuple[int, ...]
    """How far each node's clock is ahead."""
    crashes: tuple[tuple[float, int, float], ...]
    """(when, node, how long it is down)"""
    cuts: tuple[tuple[float, int, int], ...]
    """(when, node, after how many effects of its next step it dies)"""
    storms: tuple[tuple[float, int, float], ...]
    """(when, node, after how long all lose power): the node dies, is back at once, and then the power goes"""
    power_losses: tuple[tuple[float, tuple[int, ...], float], ...]
    """(when, which nodes, how long they are down)"""
    partitions: tuple[tuple[float, float, tuple[int, ...]], ...]
    disk_faults: tuple[tuple[float, int, DiskFault, bool, int], ...]
    """(when, node, what fails, whether because the disk is full, the how manieth from then on)"""
    wiped: tuple[tuple[float, int, float], ...]
    """(when, node, after how long it starts with an empty disk), where there is no traitor"""
    calm_ms: float
    gap_ms: float
    """Between an account's transactions."""
    parent_grace_ms: int
    root_period_ms: int
    root_idle_ms: int
    terms: Terms | None = None
    """How the committees change, where they do."""

    @property
    def nodes(self) -> int:
        """All of them, in the first committee or not."""
        return self.shape.nodes + (EXTRA if self.terms is not None else 0)


def draw_plan(seed: int, mode: Mode, shape: Shape) -> Plan:
    rng = random.Random(f"release {seed} {mode.value} {shape.nodes} {shape.heights}")
    nodes = shape.nodes + (EXTRA if mode is Mode.EPOCHS else 0)
    calm_ms = (48.0 if mode is Mode.EPOCHS else 24.0) * shape.heights

    def some(chance: float, most: int) -> range:
        return range(rng.randint(1, most) if rng.random() < chance else 0)

    def when() -> float:
        return rng.uniform(10, calm_ms)

    links = CALM
    if rng.random() < 0.8:
        links = LinkFaults(
            delay_ms_max=rng.choice([5.0, 20.0, 100.0]),
            delay=rng.choice([0.0, 0.1, 0.3]),
            loss=rng.choice([0.0, 0.02, 0.1, 0.25]),
            duplicate=rng.choice([0.0, 0.1]),
            reorder=rng.choice([0.0, 0.2]),
        )
    skew = rng.choice([0, 0, 5, 40])
    everybody = tuple(range(nodes))
    traitor = rng.choice([None, "silent", "withholder"]) if shape.nodes >= 4 else None
    base_ms = rng.choice([1.0] * 11 + [60.0])
    return Plan(
        mode=mode,
        shape=shape,
        base_ms=base_ms,
        links=links,
        traitor=traitor,
        slow_node=rng.randrange(nodes) if rng.random() < 0.2 else None,
        skews_ms=tuple(rng.randint(0, skew) for _ in range(nodes)),
        crashes=tuple((when(), rng.randrange(nodes), rng.uniform(5, 300)) for _ in some(0.5, 4)),
        cuts=tuple((when(), rng.randrange(nodes), rng.randrange(4)) for _ in some(0.4, 4)),
        storms=tuple((when(), rng.randrange(nodes), rng.uniform(1, 8)) for _ in some(0.3, 2)),
        power_losses=tuple(
            (when(), everybody if rng.random() < 0.6 else (rng.randrange(nodes),), rng.uniform(1, 50))
            for _ in some(0.5, 3)
        ),
        partitions=tuple(
            (when(), rng.uniform(30, 500), tuple(rng.randrange(2) for _ in range(nodes))) for _ in some(0.4, 2)
        ),
        disk_faults=tuple(
            (when(), rng.randrange(nodes), rng.choice(list(DiskFault)), rng.random() < 0.5, rng.randint(1, 6))
            for _ in some(0.3, 3)
        ),
        wiped=tuple((when(), rng.randrange(nodes), rng.uniform(5, 300)) for _ in some(0.3, 1))
        if traitor is None and mode is not Mode.EPOCHS and nodes >= 4
        else (),
        calm_ms=calm_ms,
        gap_ms=rng.choice([60.0, 150.0, 300.0]),
        parent_grace_ms=rng.choice([0, 3]),
        root_period_ms=rng.choice([60, 200, 1000]),
        root_idle_ms=rng.choice([5, 20, 60]),
        terms=draw_terms(rng, shape.nodes, calm_ms, wipes=traitor is None, wide=base_ms > 1)
        if mode is Mode.EPOCHS
        else None,
    )


def make_actor(kind: str, rng: random.Random, calm_ms: float) -> Actor:
    match kind:
        case "silent":
            return Silent(int(rng.choice([0.0, rng.uniform(0, calm_ms)]) * NS_PER_MS))
        case _:
            return Withholder()


def build_world(seed: int, plan: Plan) -> World:
    """The world of a plan with its faults scheduled; nodes are not started yet."""
    rng = random.Random(f"release faults {seed} {plan.mode.value}")
    nodes = plan.nodes
    actors: dict[int, Actor] = {}
    if plan.traitor is not None:
        most = 1 if plan.terms is not None else (nodes - 1) // 3
        for traitor in rng.sample(range(nodes), rng.randint(1, most)):
            actors[traitor] = make_actor(plan.traitor, rng, plan.calm_ms)
    config = ConsensusConfig(
        delta_floor_ms=20,
        delta_start_ms=40,
        delta_ceiling_ms=1_000,
        heartbeat_ms=200,
        parent_grace_ms=plan.parent_grace_ms,
        state_roots=True,
    )
    parameters = [("root_period_ms", plan.root_period_ms), ("root_period_idle_ms", plan.root_idle_ms)]
    if plan.terms is not None and plan.terms.epoch_ms is not None:
        parameters.append(("epoch_ms", plan.terms.epoch_ms))
    net = make_net(plan.shape.nodes, nodes, ACCOUNTS, tuple(parameters))
    paces = {node: Pace(clock_ms=skew) for node, skew in enumerate(plan.skews_ms)}
    if plan.slow_node is not None:
        paces[plan.slow_node] = SLOW
    world = World(seed, net, nodes, config, base_ms=plan.base_ms, faults=plan.links, actors=actors, paces=paces)
    world.counts["slow node"] += plan.slow_node is not None
    for at, node, down in plan.crashes:
        world.after_ms(at, _crash, world, node, down)
    for at, node, effects in plan.cuts:
        world.after_ms(at, _cut_next_step, world, node, effects)
    for at, node, until in plan.storms:
        world.after_ms(at, _crash, world, node, 0.1)
        world.after_ms(at + until, _lose_power, world, tuple(range(nodes)), 1.0)
    for at, which, down in plan.power_losses:
        world.after_ms(at, _lose_power, world, which, down)
    for at, last, islands in plan.partitions:
        world.after_ms(at, world.links.partition, list(islands))
        world.after_ms(at + last, world.links.partition, None)
    for at, node, down in plan.wiped:
        world.after_ms(at, world.wipe, node)
        world.after_ms(at + down, world.start, node)
    for at, node, what, full, nth in plan.disk_faults:
        world.after_ms(at, _fail_disk, world, node, what, full, nth)
    return world


def _crash(world: World, node: int, down_ms: float) -> None:
    if world.nodes[node].port is not None:
        world.counts["crash"] += 1
        world.crash(node)
        world.after_ms(down_ms, world.start, node)


def _cut_next_step(world: World, node: int, effects: int) -> None:
    if world.nodes[node].port is not None:
        world.nodes[node].crash_after_effects = effects


def _lose_power(world: World, nodes: tuple[int, ...], down_ms: float) -> None:
    world.lose_power(nodes)
    for index in nodes:
        world.after_ms(down_ms + world.rng.uniform(0, 30), world.start, index)


def _fail_disk(world: World, index: int, what: DiskFault, full: bool, nth: int) -> None:
    node = world.nodes[index]
    node.failing = True
    match what:
        case DiskFault.WRITE:
            node.disk.fail_write(nth, full)
        case DiskFault.SYNC:
            node.disk.fail_sync(nth, full)
        case DiskFault.JOURNAL:
            node.disk.fail_journal(full)
