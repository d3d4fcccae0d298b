"""Exhaustive exploration: each reachable state once, breadth first, so that the first trace found is a shortest one.

Invariants: the explorer knows nothing of shards. A model gives its start, its steps and its invariants. Liveness is
this: fair steps alone always come to an end, and in the last state nothing is open. So from each reachable state,
whatever happened before and in whatever order honest steps are made, everything that was begun ends.
"""

from array import array
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

S = TypeVar("S", bound=Hashable)
State = TypeVar("State", bound=Hashable, covariant=True)


class Taken(Protocol[State]):
    """A step that a model offers."""

    @property
    def label(self) -> str:
        """A sentence that names the actor and the act."""
        ...

    @property
    def world(self) -> State:
        """The state after the step."""
        ...

    @property
    def fair(self) -> bool:
        """`True` if honest nodes make the step sooner or later."""
        ...


class Model(Protocol[S]):
    """A model that can be explored."""

    def start(self) -> S:
        """Returns the first state."""
        ...

    def steps(self, world: S, /) -> Iterable[Taken[S]]:
        """Yields all possible next steps."""
        ...

    def broken(self, world: S, /) -> str | None:
        """Returns the invariant that a state breaks."""
        ...

    def unfinished(self, world: S, /) -> str | None:
        """Returns something that is still open in a state without a fair step; `None` if nothing is."""
        ...


@dataclass(frozen=True)
class Report:
    """The result of an exploration."""

    states: int
    steps: int
    depth: int
    """Number of steps to the farthest state."""
    ends: int
    """Number of states in which an honest network has nothing more to do."""
    fault: str | None = None
    trace: tuple[str, ...] = ()
    complete: bool = True
    """`True` if each reachable state was seen."""

    def __str__(self) -> str:
        """Returns the figures, and the fault with its trace if there is one."""
        figures = f"{self.states:,} states, {self.steps:,} steps, {self.depth} deep, {self.ends:,} ends"
        if self.fault is None:
            return figures if self.complete else f"{figures}, not complete"
        lines = [f"  {place}. {label}" for place, label in enumerate(self.trace, 1)]
        return "\n".join([f"{self.fault}, after {len(lines)} steps ({figures}):", *lines])


class _Search(Generic[S]):
    """The states seen so far, and how each was reached."""

    def __init__(self, model: Model[S]) -> None:
        self.model = model
        self.places: dict[S, int] = {}
        self.states: list[S] = []
        self.before = array("l")
        self.labels: list[str] = []
        self.depths = array("l")
        self.fair_from = array("l")
        self.fair_to = array("l")
        self.steps = 0
        self.ends = 0

    def place(self, world: S, before: int, label: str) -> int:
        """Returns the number of a state, a new one if it wasn't seen."""
        found = self.places.get(world)
        if found is None:
            found = len(self.states)
            self.places[world] = found
            self.states.append(world)
            self.before.append(before)
            self.labels.append(label)
            self.depths.append(self.depths[before] + 1 if before >= 0 else 0)
        return found

    def expand(self, place: int) -> bool:
        """Makes all steps from a state; returns whether a fair one leads away."""
        moves = False
        world = self.states[place]
        for step in self.model.steps(world):
            self.steps += 1
            after = self.place(step.world, place, step.label)
            if step.fair and after != place:
                moves = True
                self.fair_from.append(place)
                self.fair_to.append(after)
        return moves

    def trace(self, place: int) -> tuple[str, ...]:
        """Returns the labels from the start to a state."""
        labels = []
        while self.before[place] >= 0:
            labels.append(self.labels[place])
            place = self.before[place]
        return tuple(reversed(labels))

    def circle(self) -> int | None:
        """Returns the first state from which fair steps go on forever; `None` if there is none."""
        count = len(self.states)
        into: list[list[int]] = [[] for _ in range(count)]
        left = [0] * count
        for before, after in zip(self.fair_from, self.fair_to, strict=True):
            into[after].append(before)
            left[before] += 1
        ended = [place for place in range(count) if left[place] == 0]
        while ended:
            for before in into[ended.pop()]:
                left[before] -= 1
                if left[before] == 0:
                    ended.append(before)
        return next((place for place in range(count) if left[place]), None)

    def report(self, fault: str | None = None, place: int = 0, complete: bool = True) -> Report:
        """Returns what was found so far."""
        depth = max(self.depths)
        trace = self.trace(place) if fault is not None else ()
        return Report(len(self.states), self.steps, depth, self.ends, fault, trace, complete)


def explore(model: Model[S], states_max: int = 10_000_000) -> Report:
    """Visits each reachable state; stops at the first that breaks an invariant or leaves something open for ever.

    With more than `states_max` states the report says that it isn't complete.
    """
    search = _Search(model)
    search.place(model.start(), -1, "")
    place = 0
    while place < len(search.states):
        fault = model.broken(search.states[place])
        if fault is not None:
            return search.report(fault, place)
        if not search.expand(place):
            search.ends += 1
            fault = model.unfinished(search.states[place])
            if fault is not None:
                return search.report(fault, place)
        place += 1
        if len(search.states) > states_max:
            return search.report(complete=False)
    circle = search.circle()
    if circle is not None:
        return search.report("I8: fair steps go on forever", circle)
    return search.report()
