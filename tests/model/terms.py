"""Changes of committees in a run: admissions, removals and new keys with their times, nodes that come late, and faults
at the boundaries.

Invariants: terms are a function of the plan's random numbers. No committee has more than one traitor, a traitor and a
wiped node, or fewer than four members.
"""

import random
from dataclasses import dataclass

from model.epochs import Change
from model.faults import BoundaryFault, Stage
from model.vocabulary import Member
from model.world import World


@dataclass(frozen=True, slots=True)
class Terms:
    """Times in milliseconds of virtual time."""

    nodes: int
    epoch_ms: int | None
    """Length of an epoch by the clock; `None`: only changes end one."""
    clocks_ms: tuple[int, ...]
    """Time by which each node's clock is ahead."""
    changes: tuple[tuple[float, int, Change], ...]
    """(when, at which node, what)"""
    late: tuple[tuple[float, int], ...]
    """(when, node): until then the node doesn't exist"""
    wiped: tuple[tuple[float, int, float], ...]
    """(when, node, time until it starts again with an empty disk and its next key)"""
    faults: tuple[BoundaryFault, ...]

    def schedule(self, world: World, first_number: int) -> None:
        """Puts all of it into a world; `first_number` is the first free transaction number."""
        world.boundary_faults = list(self.faults)
        for at, node in self.late:
            world.nodes[node].unborn = True
            world.after_ms(at, bear, world, node)
        for at, node, down in self.wiped:
            world.after_ms(at, _wipe, world, node)
            world.after_ms(at + down, world.start, node)
        for number, (at, node, change) in enumerate(self.changes, first_number):
            world.changes[number] = change
            world.after_ms(at, _give_key, world, change)
            world.after_ms(at, submit, world, node, number)


def draw_terms(rng: random.Random, calm_ms: float, *, wipes: bool, wide: bool) -> Terms:
    """Draws committees of at least four of eight nodes; the first four nodes are the first committee. In a `wide`
    network an epoch must be longer than a batch and a claim need to go round, otherwise it does nothing but end."""
    nodes, last = 8, calm_ms - 200
    changes: list[tuple[float, int, Change]] = []

    def at(low: float, high: float, change: Change) -> None:
        changes.append((rng.uniform(low, high), rng.randrange(4), change))

    story = rng.choice(["grow and shrink", "grow and shrink", "all others", "keys", "ends", "clock"])
    wiped: list[tuple[float, int, float]] = []
    match story:
        case "grow and shrink":
            for node in rng.sample(range(4, nodes), 3):
                at(100, 1_200, Change(add=Member(node, 0)))
            for node in rng.sample(range(nodes), 5):
                at(1_200, last, Change(remove=node))
        case "all others":
            when = rng.uniform(200, last)
            for node in range(4):
                at(when, when + 20, Change(add=Member(node + 4, 0)))
                at(when + 30, when + rng.choice([40, 400]), Change(remove=node))
        case "keys":
            for node in rng.sample(range(4), 2):
                at(100, last, Change(add=Member(node, 1), remove=node))
            if wipes:
                node, when = changes[0][2].remove or 0, changes[0][0]
                wiped.append((when - rng.uniform(0, 90), node, rng.uniform(5, 300)))
        case "ends":
            for _ in range(rng.randint(1, 4)):
                at(100, last, Change(end_epoch=True))
        case _:
            pass
    by_clock = story == "clock" or rng.random() < 0.3
    skew = rng.choice([0, 0, 5, 40])
    late = [(rng.choice([rng.uniform(0, last), calm_ms]), node) for node in range(4, nodes) if rng.random() < 0.5]
    return Terms(
        nodes=nodes,
        epoch_ms=rng.choice([150, 400, 900]) * (10 if wide else 1) if by_clock else None,
        clocks_ms=tuple(rng.randint(-skew, skew) if skew else 0 for _ in range(nodes)),
        changes=tuple(changes),
        late=tuple(late),
        wiped=tuple(wiped),
        faults=tuple(
            BoundaryFault(epoch, rng.choice(list(Stage)), rng.random() < 0.4, rng.choice([1.0, 50.0, 400.0]))
            for epoch in range(6)
            for _ in range(rng.choice([0, 0, 1, 2]))
        ),
    )


def submit(world: World, node: int, transaction: int) -> None:
    """A client hands a transaction to a node, if that runs."""
    port = world.nodes[node].port
    if port is not None:
        port.submit_transaction(transaction)


def bear(world: World, node: int) -> None:
    """Creates a node that has only the genesis block."""
    if world.nodes[node].unborn:
        world.nodes[node].unborn = False
        world.counts["late node"] += 1
        world.start(node)


def _wipe(world: World, node: int) -> None:
    world.wipe(node, 1)


def _give_key(world: World, change: Change) -> None:
    """Gives a node that will change its key both keys until the epoch with the new key."""
    if change.add is not None and change.add.key and change.add.node not in world.actors:
        world.nodes[change.add.node].keys.add(change.add.key)
        world.counts["new key"] += 1
