"""Twins (Bano and others, Twins: BFT Systems Made Robust, 2020): one validator runs twice under one key, and each of
the first views has its own partition of the five processes. All such scenarios, in one order.

The leader of each view is the protocol's (R1). So a scenario names the twinned validator and, for each view, one
partition into at most three islands. Exchanging the two halves of the twin gives the same scenario: the lesser of both
stays. *Shallow* scenarios have two views with all 41 partitions. *Deep* ones have three views, with the partitions in
which some island has a quorum of the committee and one partition in which no island has a quorum.

Invariants: a number names one scenario for good; a message belongs to its own view, if it has one.
"""

from dataclasses import dataclass, field
from functools import lru_cache
from itertools import product
from typing import TYPE_CHECKING

from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.sim.actors.base import said_in
from rustorium.sim.partitions import set_partitions

if TYPE_CHECKING:
    from rustorium.sim.world import World

NODES = 4
QUORUM = 3
ISLANDS_MAX = 3
HOLD_MS = 130.0
"""Time for which a view's partition holds, from the view's first message on. If no island has a quorum, the view would
never end otherwise."""

Islands = tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Scenario:
    """The twinned node, and the partition of each view from 1 on: of nodes 0 to 3 and the twin's other half, the
    fifth."""

    twin: int
    views: tuple[Islands, ...]

    def name(self) -> str:
        return f"twin {self.twin}, views " + " ".join("".join(map(str, islands)) for islands in self.views)


def exchanged(islands: Islands, twin: int) -> Islands:
    """Returns the same partition with the halves of the twin exchanged, islands numbered by their first node again."""
    swapped = list(islands)
    swapped[twin], swapped[NODES] = swapped[NODES], swapped[twin]
    numbers: dict[int, int] = {}
    return tuple(numbers.setdefault(island, len(numbers)) for island in swapped)


def has_quorum(islands: Islands, twin: int) -> bool:
    """Checks whether the processes of some island are a quorum of validators."""
    members: dict[int, set[int]] = {}
    for node, island in enumerate(islands):
        members.setdefault(island, set()).add(twin if node == NODES else node)
    return any(len(each) >= QUORUM for each in members.values())


@lru_cache(maxsize=1)
def scenarios() -> tuple[Scenario, ...]:
    """Returns all scenarios, the shallow ones first."""
    found: list[Scenario] = []
    everything = set_partitions(NODES + 1, ISLANDS_MAX)
    for twin in range(NODES):
        found += _schedules(twin, everything, 2)
    for twin in range(NODES):
        stuck = next(islands for islands in everything if not has_quorum(islands, twin))
        some = [islands for islands in everything if has_quorum(islands, twin)]
        found += _schedules(twin, (*some, stuck), 3)
    return tuple(found)


@lru_cache(maxsize=1)
def shallow() -> int:
    """Returns the number of shallow scenarios."""
    return sum(len(scenario.views) == 2 for scenario in scenarios())


def _schedules(twin: int, choices: tuple[Islands, ...], depth: int) -> list[Scenario]:
    mirrored = {islands: exchanged(islands, twin) for islands in choices}
    return [
        Scenario(twin, views)
        for views in product(choices, repeat=depth)
        if views <= tuple(mirrored[islands] for islands in views)
    ]


@dataclass
class Bars:
    """Keeps messages from processes on other islands."""

    world: "World"
    scenario: Scenario
    _begun: dict[int, int] = field(default_factory=dict)
    over: bool = False

    def __call__(self, source: int, target: int, frame: bytes) -> bool:
        view = self._view_of(source, frame)
        if self.over or not 1 <= view <= len(self.scenario.views):
            return False
        begun = self._begun.setdefault(view, self.world.now)
        islands = self.scenario.views[view - 1]
        return self.world.now < begun + HOLD_MS * NS_PER_MS and islands[source] != islands[target]

    def _view_of(self, source: int, frame: bytes) -> int:
        port = self.world.nodes[source].port
        view: int | None = said_in(frame)["view"]
        return view if view is not None else port.view if port is not None else 0

    def passed(self) -> bool:
        """Checks whether all honest nodes have left the views that have partitions."""
        return all(port.view > len(self.scenario.views) for port in self.world.ports())
