"""Changes of committees in a run of the simulator: admissions, removals and new keys with their times, nodes that come
late, and faults at the boundaries.

Invariants: terms are a function of the plan's random numbers. No committee has more than one traitor, nor both a
traitor and a node without a valid key. No committee is smaller than the first one.
"""

import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients
    from rustorium.sim.world import World

EXTRA = 4
"""Number of nodes in addition to the first committee's."""


class Change(Enum):
    """A request of operators."""

    ADMIT = "admit"
    REMOVE = "remove"
    REPLACE_KEY = "replace key"
    END_EPOCH = "end epoch"


class Stage(Enum):
    """Progress of a node through an epoch's end, when a fault strikes it."""

    EXECUTED = "executed"
    """The boundary is executed and on the node's disk."""
    BEGUN = "begun"
    """The core is in the next epoch."""
    VOTED = "voted"
    """The node's first vote in the next epoch is about to leave."""


@dataclass(frozen=True, slots=True)
class BoundaryFault:
    """A fault that strikes the first node to reach a stage of an epoch's end."""

    epoch: int
    stage: Stage
    power: bool
    """`True`: all nodes lose power; `False`: one process dies."""
    down_ms: float


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in milliseconds of virtual time."""

    epoch_ms: int | None
    """Length of an epoch by the clock; `None`: only changes end an epoch."""
    changes: tuple[tuple[float, Change, int], ...]
    """(when, what, which node), in the order of the requests"""
    late: tuple[tuple[float, int], ...]
    """(time, node): the node doesn't exist until then"""
    rekeyed: tuple[tuple[float, int, float], ...]
    """(when, node, downtime): the node comes back with its next key and a new journal for it"""
    wiped: tuple[tuple[float, int], ...]
    """(when, node): its disk is lost; it comes back with its next key"""
    faults: tuple[BoundaryFault, ...]

    def schedule(self, world: "World", clients: "Clients") -> None:
        """Schedules all of this in a world."""
        world.boundary_faults = list(self.faults)
        for at, node in self.late:
            world.nodes[node].unborn = True
            world.after_ms(at, world.bear, node)
        for at, node in self.wiped:
            world.after_ms(at, world.wipe, node)
        for at, node, down in self.rekeyed:
            world.after_ms(at, world.rekey, node)
            world.after_ms(at + down, world.start, node)
        for at, change, node in self.changes:
            world.after_ms(at, _ask, world, clients, change, node)


def draw_terms(rng: random.Random, nodes: int, calm_ms: float, *, wipes: bool, wide: bool) -> Terms:
    """Draws committees among `nodes` and four more. In a `wide` network an epoch must last longer: an epoch that is
    over before a batch and a claim have gone round does nothing but end."""
    everybody, members = nodes + EXTRA, set(range(nodes))
    changes: list[tuple[float, Change, int]] = []
    rekeyed: list[tuple[float, int, float]] = []
    wiped: list[tuple[float, int]] = []
    # A node that changes its key counts as faulty until the epoch in which the new key is valid.
    stories = ["grow and shrink", "grow and shrink", "all others", "ends", "clock"]
    story = rng.choice([*stories, *["keys"] * 4] if wipes else stories)
    steps: list[tuple[Change, int]] = []
    match story:
        case "grow and shrink":
            steps = [(Change.ADMIT, node) for node in rng.sample(range(nodes, everybody), EXTRA - 1)]
            steps += [(Change.REMOVE, node) for node in rng.sample(range(everybody), nodes)]
        case "all others":
            for node in range(min(nodes, EXTRA)):
                steps += [(Change.ADMIT, node + nodes), (Change.REMOVE, node)]
        case "keys":
            steps = [(Change.REPLACE_KEY, rng.randrange(nodes))]
        case "ends":
            steps = [(Change.END_EPOCH, 0) for _ in range(rng.randint(1, 4))]
        case _:
            pass
    times = sorted(rng.uniform(0.05 * calm_ms, 0.9 * calm_ms) for _ in steps)
    for at, (change, node) in zip(times, steps, strict=True):
        if change is Change.REMOVE and (node not in members or len(members) <= nodes):
            continue
        if change is Change.ADMIT:
            members.add(node)
        elif change is Change.REMOVE:
            members.remove(node)
        elif change is Change.REPLACE_KEY:
            if rng.random() < 0.7:
                wiped.append((max(1.0, at - rng.uniform(0, 90)), node))
            rekeyed.append((at + rng.uniform(0, 200), node, rng.uniform(5, 100)))
        changes.append((at, change, node))
    by_clock = story == "clock" or rng.random() < 0.3
    late = [(rng.choice([rng.uniform(0, calm_ms), calm_ms]), node) for node in range(nodes, everybody)]
    return Terms(
        epoch_ms=rng.choice([1_000, 1_500]) * (4 if wide else 1) if by_clock else None,
        changes=tuple(changes),
        late=tuple(entry for entry in late if rng.random() < 0.5),
        rekeyed=tuple(rekeyed),
        wiped=tuple(wiped),
        faults=draw_boundary_faults(rng),
    )


def draw_boundary_faults(rng: random.Random) -> tuple[BoundaryFault, ...]:
    """Draws faults at the ends of the first epochs."""
    return tuple(
        BoundaryFault(epoch, rng.choice(list(Stage)), rng.random() < 0.4, rng.choice([1.0, 50.0, 400.0]))
        for epoch in range(6)
        for _ in range(rng.choice([0, 0, 1, 2]))
    )


def _ask(world: "World", clients: "Clients", change: Change, node: int) -> None:
    """Signs an operators' request. A request to end an epoch names the epoch that is current at that time."""
    net = world.net
    key, version = net.validator_key(node, 0).hex(), world.checkers.version
    operation: dict[str, Any]
    match change:
        case Change.ADMIT:
            operation = {
                "type": "add_validator",
                "address": "",
                **net.validator(node),
                **net.possession(node, 0, version),
            }
        case Change.REMOVE:
            operation = {"type": "remove_validator", "validator_key": key}
        case Change.REPLACE_KEY:
            new = net.validator_key(node, 1).hex()
            node_key = net.validator(node)["node_key"]
            operation = {
                "type": "replace_key",
                "validator_key": key,
                "new_validator_key": new,
                "new_node_key": node_key,
                **net.possession(node, 1, version),
            }
        case Change.END_EPOCH:
            operation = {"type": "end_epoch", "epoch": world.checkers.epoch}
    world.counts[f"asked to {change.value}"] += 1
    clients.govern(operation)
