"""The explorer finds the nearest fault, what is left open, and fair steps without an end."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from rustorium.sharding.explore import explore
from rustorium.sharding.nodes import Move


@dataclass(frozen=True)
class Graph:
    """States are numbers; an arrow is fair or not."""

    arrows: dict[int, tuple[tuple[int, bool], ...]]
    wrong: frozenset[int] = field(default_factory=frozenset)
    done: frozenset[int] = field(default_factory=frozenset)

    def start(self) -> int:
        return 0

    def steps(self, world: int) -> Iterator[Move[int]]:
        for after, fair in self.arrows.get(world, ()):
            yield Move(f"to {after}", after, fair)

    def broken(self, world: int) -> str | None:
        return f"{world} is wrong" if world in self.wrong else None

    def unfinished(self, world: int) -> str | None:
        return None if world in self.done else f"{world} is open"


def test_trace_to_a_fault_is_a_shortest_one() -> None:
    arrows = {0: ((1, True), (2, True)), 1: ((3, True),), 3: ((4, True),), 2: ((4, True),)}
    report = explore(Graph(arrows, wrong=frozenset({4})))
    assert (report.fault, report.trace) == ("4 is wrong", ("to 2", "to 4"))
    assert "2. to 4" in str(report)


def test_end_of_fair_steps_must_leave_nothing_open() -> None:
    report = explore(Graph({0: ((1, True),), 1: ((2, False),)}, done=frozenset({2})))
    assert (report.fault, report.trace) == ("1 is open", ("to 1",))


def test_fair_steps_must_end() -> None:
    arrows = {0: ((1, True),), 1: ((2, True), (3, True)), 2: ((1, True),)}
    report = explore(Graph(arrows, done=frozenset({3})))
    assert report.fault == "I8: fair steps go on forever"
    unfair = explore(Graph({**arrows, 2: ((1, False), (3, True))}, done=frozenset({3})))
    assert (unfair.fault, unfair.states, unfair.ends) == (None, 4, 1)


def test_limit_of_states_is_reported() -> None:
    arrows: dict[int, tuple[tuple[int, bool], ...]] = {state: ((state + 1, True),) for state in range(100)}
    report = explore(Graph(arrows, done=frozenset({100})), states_max=10)
    assert not report.complete
    assert "not complete" in str(report)
