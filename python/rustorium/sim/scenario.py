"""The plan of a run of the release stages: which faults a seed draws, and when they strike.

Invariants: a plan is a function of seed, mode and shape alone. At most f nodes are traitors. After the calm every
honest node runs, disks work and no frame is lost, so a failure to make progress then is the protocol's own fault.
"""

import random
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from typing import Any

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.errors import UsageError
from rustorium.sim.activating import Activation, Story, draw_activation, terms_of
from rustorium.sim.actors import ATTACKS, CHURNER, KINDS, MUTE, STRANGER, Actor, Twin, make_actor
from rustorium.sim.bad_hours import BadHour, draw_hour
from rustorium.sim.clocks import Jump, draw_jumps
from rustorium.sim.custodians import CUSTODIANS
from rustorium.sim.faults import DiskFault, schedule
from rustorium.sim.governors import OPERATORS, QUORUM, Governing, draw_governing
from rustorium.sim.links import CALM, LinkFaults
from rustorium.sim.modes import ACTIVATED, OF_SEATS, OF_VERSION_2, SEATED, SECOND, SHARED, Mode
from rustorium.sim.net import make_net
from rustorium.sim.partitions import set_partitions
from rustorium.sim.port import SLOW, Pace
from rustorium.sim.prices import CORE_STEP_NS, PRICES
from rustorium.sim.terms import EXTRA, BoundaryFault, Terms, draw_boundary_faults, draw_terms
from rustorium.sim.twins import NODES as TWINS_NODES
from rustorium.sim.twins import Scenario, scenarios
from rustorium.sim.usage import TIGHT
from rustorium.sim.world import World

ACCOUNTS = 7
"""The last account is the operator's."""
PARTED_AT_MS, PARTED_MS = 60.0, 700.0
PARTED_NODES_MAX = 8
"""Number of nodes up to which each partition has its turn; beyond it, one is drawn."""
CLOCKS_MS = 2_000.0
"""Time within which clocks jump."""
ATTACKS_MS = 3_000.0
HOUR_GAP_MS = 300.0
HOUR_TRAITORS = ("silent", "vote withholder", "nullifier")
"""Kinds that keep up their work however long an hour lasts."""
SECOND_SHARD = 1
"""The other shard than the root in a run with two."""
STORIES = {
    Mode.ACTIVATE_FEW: Story.FEW,
    Mode.ACTIVATE_AT_END: Story.AT_END,
    Mode.ACTIVATE_TWICE: Story.TWICE,
    Mode.ACTIVATE_COMMITTEE: Story.COMMITTEE,
    Mode.ACTIVATE_AWAY: Story.AWAY,
    Mode.ACTIVATE_POWER_CUT: Story.POWER_CUT,
    Mode.ACTIVATE_BACK: Story.BACK,
}
"""Modes with a special event at the switch."""
ACTIVATION_MS, ACTIVATION_GAP_MS = 2_000.0, 200.0
SEATS_MS, SEATS_GAP_MS = 2_500.0, 200.0
FIXED_KINDS = (Mode.TRAITORS, Mode.PARTITIONS, Mode.BAD_HOURS, Mode.ATTACKS)
"""Modes whose plans name exactly the traitors of the run."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The size of a run."""

    nodes: int = 4
    heights: int = 50
    """Minimum number of heights that the run makes."""


@dataclass(frozen=True, slots=True)
class Plan:
    """One run's faults; times in milliseconds of virtual time."""

    mode: Mode
    shape: Shape
    base_ms: float
    links: LinkFaults
    traitors: tuple[str, ...]
    """Kinds of traitors, as many as there can be."""
    slow_node: int | None
    skews_ms: tuple[int, ...]
    """Milliseconds by which each node's clock is ahead."""
    crashes: tuple[tuple[float, int, float], ...]
    """(when, node, downtime)"""
    cuts: tuple[tuple[float, int, int], ...]
    """(when, node, number of effects of its next step after which it dies)"""
    storms: tuple[tuple[float, int, float], ...]
    """(when, node, delay until all lose power): the node dies, is back at once, and then the power goes"""
    power_losses: tuple[tuple[float, tuple[int, ...], float], ...]
    """(when, which nodes, downtime)"""
    partitions: tuple[tuple[float, float, tuple[int, ...]], ...]
    disk_faults: tuple[tuple[float, int, DiskFault, bool, int], ...]
    """(when, node, what fails, `True` if because the disk is full, the number of the operation that fails, counted from
    then)"""
    wiped: tuple[tuple[float, int, float], ...]
    """(when, node, delay until it starts with an empty disk); only if there is no traitor"""
    calm_ms: float
    gap_ms: float
    """Mean time between an account's transactions."""
    parent_grace_ms: int
    root_period_ms: int
    root_idle_ms: int
    terms: Terms | None = None
    """The changes of committees; `None` if they don't change."""
    twins: Scenario | None = None
    """The scenario of `twins` to play."""
    ceiling_ms: int = 1_000
    """The ceiling of Δ."""
    hour: BadHour | None = None
    jumps: tuple[Jump, ...] = ()
    host_faults: tuple[tuple[float, int, int, float], ...] = ()
    """(when, node, place of the shard among those of its process, downtime)"""
    activation: Activation | None = None
    """The switch from version 1 to version 2; `None` if there is none."""
    within: Mode | None = None
    """The mode of a run of ACTIVATE or AUTHORITY, without what these add."""
    hours: tuple[float, ...] = ()
    """Times at which an hour passes on all clocks."""
    governing: Governing | None = None
    """What operators' seats do; `None` if nothing."""
    boundary_faults: tuple[BoundaryFault, ...] = ()
    """Faults at ends of epochs, besides those of `terms`."""
    placed: tuple[tuple[int, ...], ...] = ()
    """The members of each shard's committee, if they differ."""

    @property
    def kind(self) -> Mode:
        """The mode whose faults and goals the run has."""
        return self.within or self.mode

    @property
    def shards(self) -> tuple[int, ...]:
        """The shards of the run."""
        return (0, SECOND_SHARD) if self.kind is Mode.HOSTS or self.mode is Mode.SHARDS else (0,)

    @property
    def nodes(self) -> int:
        """The number of all nodes, in the first committee or not: strangers are the last ones."""
        validators = max(map(max, self.placed), default=self.shape.nodes - 1) + 1
        return validators + (EXTRA if self.terms is not None else 0) + self.traitors.count(STRANGER)


def kinds_of(number: int, faulty: int) -> tuple[str, ...]:
    """Returns the kinds of so many traitors: every combination has its number, and after the last one they begin
    again."""
    combinations = list(combinations_with_replacement(KINDS, faulty))
    return combinations[number % len(combinations)]


def attacks_of(number: int, faulty: int) -> tuple[str, ...]:
    """Returns the kinds of so many attackers, in the same way; a chain has at most one churner."""
    every = combinations_with_replacement(ATTACKS, faulty)
    combinations = [kinds for kinds in every if kinds.count(CHURNER) <= 1]
    return combinations[number % len(combinations)]


def quiet_plan(mode: Mode, shape: Shape) -> Plan:
    """Returns a plan without faults."""
    return Plan(mode, shape, 1.0, CALM, (), None, (0,) * shape.nodes, (), (), (), (), (), (), (), 0.0, 60.0, 0, 200, 20)


def draw_plan(seed: int, mode: Mode, shape: Shape) -> Plan:
    """Draws the plan of a run."""
    if mode is Mode.TWINS:
        return _twins_plan(seed, shape)
    if mode is Mode.PARTITIONS:
        return _partition_plan(seed, shape)
    if mode is Mode.BAD_HOURS:
        return _bad_hour_plan(seed, shape)
    if mode is Mode.ATTACKS:
        attackers = attacks_of(seed, (shape.nodes - 1) // 3)
        return replace(quiet_plan(mode, shape), traitors=attackers, calm_ms=ATTACKS_MS)
    if mode is Mode.CLOCKS:
        return _clocks_plan(seed, shape)
    if mode is Mode.ACTIVATE:
        return _activated_plan(seed, shape)
    if mode is Mode.AUTHORITY or mode in OF_SEATS:
        return _second_plan(seed, mode, shape)
    if mode is Mode.SHARDS:
        return _shards_plan(seed, shape)
    if mode in STORIES:
        return _story_plan(seed, mode, shape)
    plan = _faulty_plan(seed, mode, shape)
    return replace(plan, host_faults=_draw_host_faults(seed, plan)) if mode is Mode.HOSTS else plan


def _activated_plan(seed: int, shape: Shape) -> Plan:
    rng = random.Random(f"release activate {seed} {shape.nodes}")
    modes = [mode for mode in ACTIVATED if mode is not Mode.TWINS or shape.nodes == TWINS_NODES]
    within = modes[seed % len(modes)]
    plan = draw_plan(seed // len(modes), within, shape)
    activation = replace(draw_activation(rng, Story.PLAIN, seed, shape.nodes), at_ms=rng.uniform(1, 600))
    return replace(plan, mode=Mode.ACTIVATE, within=within, activation=activation)


def _second_plan(seed: int, mode: Mode, shape: Shape) -> Plan:
    rng = random.Random(f"release {mode.value} {seed} {shape.nodes}")
    modes = SEATED if mode in OF_SEATS else SECOND
    within = modes[seed % len(modes)]
    plan = draw_plan(seed // len(modes), within, shape)
    if mode is Mode.AUTHORITY:
        hours = tuple(rng.uniform(0, plan.calm_ms) for _ in range(rng.choice([0, 1, 1, 2])))
        return replace(plan, mode=mode, within=within, hours=hours)
    faults = draw_boundary_faults(rng) if mode is Mode.GOVERNANCE and within is Mode.LIVENESS else ()
    calm_ms = max(plan.calm_ms, SEATS_MS)
    governing = draw_governing(rng, shape.nodes, pauses=mode is Mode.PAUSE)
    plan = replace(plan, mode=mode, within=within, calm_ms=calm_ms, gap_ms=SEATS_GAP_MS)
    if mode is Mode.PAUSE:
        # After clocks are set back, header time stands, and with it a pause, until they have caught up with it.
        plan = replace(plan, jumps=tuple(jump for jump in plan.jumps if jump.ms > 0))
    return replace(plan, governing=governing, boundary_faults=faults)


def placed(layout: int, nodes: int) -> tuple[tuple[int, ...], ...]:
    """Returns two committees of so many nodes each: 0, the same one (empty); 1, they overlap by half; 2, they have no
    node in common."""
    if layout == 0:
        return ()
    first = nodes if layout > 1 else (nodes + 1) // 2
    return tuple(range(nodes)), tuple(range(first, first + nodes))


def _shards_plan(seed: int, shape: Shape) -> Plan:
    within, rest = SHARED[seed % len(SHARED)], seed // len(SHARED)
    # A bad hour is one of a committee.
    committees = () if within is Mode.BAD_HOURS else placed(rest % 3, shape.nodes)
    every = max(map(max, committees), default=shape.nodes - 1) + 1
    plan = draw_plan(rest // 3, within, replace(shape, nodes=every))
    return replace(plan, mode=Mode.SHARDS, within=within, shape=shape, placed=committees)


def _story_plan(seed: int, mode: Mode, shape: Shape) -> Plan:
    rng = random.Random(f"release {mode.value} {seed} {shape.nodes}")
    if shape.nodes < TWINS_NODES:
        raise UsageError(f"members of two releases need a quorum each way: use --nodes {TWINS_NODES} or more")
    activation = draw_activation(rng, STORIES[mode], seed, shape.nodes)
    links = CALM
    if rng.random() < 0.4:
        loss, reorder = rng.choice([0.0, 0.02, 0.1]), rng.choice([0.0, 0.2])
        links = LinkFaults(delay_ms_max=20.0, delay=0.1, loss=loss, duplicate=0.0, reorder=reorder)
    return replace(
        quiet_plan(mode, shape),
        links=links,
        calm_ms=ACTIVATION_MS,
        gap_ms=ACTIVATION_GAP_MS,
        parent_grace_ms=rng.choice([0, 3]),
        root_period_ms=rng.choice([60, 200, 1_000]),
        terms=terms_of(rng, activation, seed, shape.nodes),
        activation=activation,
    )


def _draw_host_faults(seed: int, plan: Plan) -> tuple[tuple[float, int, int, float], ...]:
    rng = random.Random(f"release host faults {seed} {plan.nodes}")
    return tuple(
        (rng.uniform(10, plan.calm_ms), rng.randrange(plan.nodes), rng.randrange(2), rng.uniform(5, 300))
        for _ in range(rng.randint(1, 4))
    )


def _twins_plan(seed: int, shape: Shape) -> Plan:
    every = scenarios()
    if shape.nodes != TWINS_NODES:
        raise UsageError(f"twins are played among {TWINS_NODES} nodes: use --nodes {TWINS_NODES}")
    scenario = every[seed % len(every)]
    quiet = quiet_plan(Mode.TWINS, shape)
    return replace(quiet, traitors=("twin",), twins=scenario, gap_ms=60.0)


def _partition_plan(seed: int, shape: Shape) -> Plan:
    rng = random.Random(f"release partition {seed} {shape.nodes}")
    if shape.nodes <= PARTED_NODES_MAX:
        every = set_partitions(shape.nodes)
        islands, again = every[seed % len(every)], seed >= len(every)
    else:
        # There are too many to count: 190 million for 14 nodes.
        islands, again = tuple(rng.randrange(3) for _ in range(shape.nodes)), seed % 2 == 1
    cut = (PARTED_AT_MS, PARTED_MS, islands)
    most = (shape.nodes - 1) // 3 if again else 0
    traitors = tuple(rng.choice(KINDS) for _ in range(most))
    quiet = quiet_plan(Mode.PARTITIONS, shape)
    return replace(quiet, traitors=traitors, partitions=(cut,), calm_ms=PARTED_AT_MS + PARTED_MS)


def _bad_hour_plan(seed: int, shape: Shape) -> Plan:
    rng = random.Random(f"release bad hour {seed} {shape.nodes}")
    if shape.nodes < 4:
        raise UsageError("bad hours have a member away: use --nodes 4 or more")
    most = (shape.nodes - 1) // 3
    traitors = tuple(rng.choice(HOUR_TRAITORS) for _ in range(most)) if rng.random() < 0.2 else ()
    hour, ceiling_ms = draw_hour(rng, shape.nodes, len(traitors))
    quiet = quiet_plan(Mode.BAD_HOURS, shape)
    grace_ms = rng.choice([0, 3])
    return replace(
        quiet, traitors=traitors, hour=hour, ceiling_ms=ceiling_ms, gap_ms=HOUR_GAP_MS, parent_grace_ms=grace_ms
    )


def _clocks_plan(seed: int, shape: Shape) -> Plan:
    rng = random.Random(f"release clocks {seed} {shape.nodes}")
    quiet = quiet_plan(Mode.CLOCKS, shape)
    jumps = draw_jumps(rng, shape.nodes, CLOCKS_MS)
    skew = rng.choice([0, 5, 40])
    skews = tuple(rng.randint(0, skew) for _ in range(shape.nodes))
    crashes = tuple(
        (rng.uniform(10, CLOCKS_MS), rng.randrange(shape.nodes), rng.uniform(5, 300)) for _ in range(rng.randint(0, 2))
    )
    return replace(quiet, jumps=jumps, skews_ms=skews, crashes=crashes, calm_ms=CLOCKS_MS)


def _faulty_plan(seed: int, mode: Mode, shape: Shape) -> Plan:
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
    most = 1 if mode is Mode.EPOCHS else (shape.nodes - 1) // 3
    traitor = rng.choice([None, "silent", "withholder"]) if shape.nodes >= 4 else None
    traitors = kinds_of(seed, most) if mode is Mode.TRAITORS else (traitor,) * most if traitor is not None else ()
    base_ms = rng.choice([1.0] * 11 + [60.0])
    return Plan(
        mode=mode,
        shape=shape,
        base_ms=base_ms,
        links=links,
        traitors=traitors,
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
        if not traitors and mode is not Mode.EPOCHS and nodes >= 4
        else (),
        calm_ms=calm_ms,
        gap_ms=rng.choice([60.0, 150.0, 300.0]),
        parent_grace_ms=rng.choice([0, 3]),
        root_period_ms=rng.choice([60, 200, 1000]),
        root_idle_ms=rng.choice([5, 20, 60]),
        terms=draw_terms(rng, shape.nodes, calm_ms, wipes=not traitors, wide=base_ms > 1)
        if mode is Mode.EPOCHS
        else None,
    )


def _draw_actors(rng: random.Random, plan: Plan, shard: int = 0) -> dict[int, Actor]:
    """Draws the traitors of a shard, by their numbers."""
    if plan.twins is not None:
        return {plan.twins.twin: make_actor("twin", rng, plan.calm_ms)}
    kinds = plan.traitors
    if kinds and plan.kind not in FIXED_KINDS:
        kinds = kinds[: rng.randint(1, len(kinds))]
    if plan.placed:
        return _draw_apart(rng, plan, shard, kinds)
    members, strangers = [kind for kind in kinds if kind != STRANGER], kinds.count(STRANGER)
    places = rng.sample(range(plan.nodes - strangers), len(members))
    if members and set(members) == {MUTE} and rng.random() < 0.5:
        places = [(places[0] + place) % plan.shape.nodes for place in range(len(members))]
    drawn = {place: make_actor(kind, rng, plan.calm_ms) for place, kind in zip(places, members, strict=True)}
    beside = range(plan.nodes - strangers, plan.nodes)
    return drawn | {place: make_actor(STRANGER, rng, plan.calm_ms) for place in beside}


def _draw_apart(rng: random.Random, plan: Plan, shard: int, kinds: tuple[str, ...]) -> dict[int, Actor]:
    """Draws the traitors of one of several committees: at most f of each. A node that is a member of two is a traitor
    of the same kind in both, or in none."""
    drawn, earlier = dict[int, str](), set[int]()
    for members in plan.placed[: shard + 1]:
        faulty = (len(members) - 1) // 3 - sum(number in drawn for number in members)
        # Nobody runs twice but members of the root's committee.
        fresh = [kind for kind in kinds if not earlier or kind != "twin"]
        free = [number for number in members if number not in earlier]
        more = rng.sample(free, min(len(free), len(fresh), faulty))
        drawn |= dict(zip(more, fresh, strict=False))
        earlier |= set(members)
    here = {number: kind for number, kind in drawn.items() if number in plan.placed[shard]}
    beside = range(plan.nodes - kinds.count(STRANGER), plan.nodes)
    made = here | dict.fromkeys(beside, STRANGER)
    return {number: make_actor(kind, rng, plan.calm_ms) for number, kind in made.items()}


AGES_MS = (1_000, 1_150, 1_000)
"""Minimum age of an epoch before a changed committee ends it, by seed, for chains of version 2."""


def version_of(seed: int) -> int:
    """Returns the protocol version of a seed's chain: a fourth of the seeds use version 1, like chains that already
    run."""
    return 1 if seed % 4 == 3 else 2


def build_world(seed: int, plan: Plan) -> World:
    """Builds the worlds of a plan with its faults scheduled. Returns the root shard's; nodes are not started yet."""
    rng = random.Random(faults_of(seed, plan))
    nodes = plan.nodes
    actors = _draw_actors(rng, plan)
    doubled = [number for number, actor in actors.items() if isinstance(actor, Twin)]
    config = ConsensusConfig(
        delta_floor_ms=20,
        delta_start_ms=min(40, plan.ceiling_ms),
        delta_ceiling_ms=plan.ceiling_ms,
        heartbeat_ms=200,
        parent_grace_ms=plan.parent_grace_ms,
        state_roots=True,
    )
    parameters: list[tuple[str, Any]] = [
        ("root_period_ms", plan.root_period_ms),
        ("root_period_idle_ms", plan.root_idle_ms),
    ]
    if plan.kind is Mode.QUOTA:
        parameters += TIGHT
    if plan.terms is not None and plan.terms.epoch_ms is not None:
        parameters.append(("epoch_ms", plan.terms.epoch_ms))
    owner = next((place for place, actor in actors.items() if actor.kind == CHURNER), None)
    version, operators = version_of(seed) if plan.mode not in OF_VERSION_2 else 2, 1
    custodians, quorum = CUSTODIANS if plan.mode is Mode.AUTHORITY else 0, 1
    accounts = ACCOUNTS + custodians
    if plan.governing is not None:
        operators, quorum, accounts = OPERATORS, QUORUM, ACCOUNTS + OPERATORS - 1
        parameters += plan.governing.parameters
    if plan.activation is not None:
        version, operators = 1, plan.activation.operators
    if version > 1 and owner is None:
        age_ms = AGES_MS[seed % len(AGES_MS)]
        parameters.append(("min_epoch_ms", min(age_ms, dict(parameters).get("epoch_ms", age_ms))))
    paces: dict[int, Pace] = {} if plan.slow_node is None else {plan.slow_node: SLOW}
    first: World | None = None
    for shard in plan.shards:
        world = World(
            seed,
            make_net(
                plan.shape.nodes,
                nodes,
                accounts,
                tuple(parameters),
                version,
                owner,
                shard,
                operators,
                quorum,
                custodians,
                # Other stories of version 2 follow all accounts, so there each shard has all.
                len(plan.shards) if plan.mode in (Mode.HOSTS, Mode.SHARDS) else 1,
                plan.placed,
            ),
            nodes,
            config,
            base_ms=plan.base_ms,
            faults=plan.links,
            # The same nodes are traitors in all shards.
            actors=actors if first is None else _draw_actors(random.Random(faults_of(seed, plan)), plan, shard),
            paces=paces,
            skews_ms=plan.skews_ms,
            twins=doubled,
            costs=PRICES,
            beside=first,
        )
        world.step_ns = CORE_STEP_NS
        first = first or world
    assert first is not None, "a process hosts the root"
    first.time.events_max *= len(plan.shards)
    schedule(first, rng, plan, doubled)
    first.boundary_faults = list(plan.boundary_faults)
    return first


def faults_of(seed: int, plan: Plan) -> str:
    """Returns the name of a run's draws of faults."""
    return f"release faults {seed} {plan.kind.value}"
