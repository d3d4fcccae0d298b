"""Activations of protocol version 2 in a run of the simulator: operators put values and end the epoch, while nodes run
0.2.0 or this release, are away, or lose power.

Invariants: an activation is a function of the plan's random numbers. Operators try again until version 2 is active, as
`upgrade activate` does. A node of 0.2.0 never reads what its release can't decode.
"""

import json
import random
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.terms import BoundaryFault, Change, Stage, Terms

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients
    from rustorium.sim.world import World

KEY = b"rustorium/activate/2"
VERSION = 2
LOOK_MS = 10.0
AGE_MS = 1_000
OTHER_AGE_MS = 1_001
"""Minimum ages of an epoch in the values that operators put."""
AT_END_MS = 1_000
"""Length of an epoch whose end comes together with the values."""
STAND_MS = 3_000.0
"""Time for which a chain that stands is watched."""
GOES_ON_MS = 10_000.0
"""Time limit for the first final block once enough members run this release."""
STANDS_WITHIN = 20
"""Number of such times within which a chain must stand."""
EPOCHS_CUT = 3
"""Number of epochs at whose ends a drawn power cut may come."""


class Story(Enum):
    """The special event of a run's activation."""

    PLAIN = "plain"
    FEW = "few"
    """Fewer than n − f members run this release at the boundary."""
    AT_END = "at end"
    """The values are put as the clock ends the epoch."""
    TWICE = "twice"
    """Two operators, either of whom is a quorum of version 1, put values."""
    COMMITTEE = "committee"
    """The committee changes in the same epoch."""
    AWAY = "away"
    """Nodes are away during the switch."""
    POWER_CUT = "power cut"
    """All nodes lose power at a step of the switch."""
    BACK = "back"
    """Nodes go back to 0.2.0 and come again to this release."""


class Rivals(Enum):
    """The values of two operators."""

    DIFFER = "differ"
    """Two values with a quorum each: neither counts."""
    SAME = "same"
    AGAIN = "again"
    """A second value, for the first epoch of version 2."""


class Step(Enum):
    """A step of operators after which all nodes lose power."""

    PUT = "put"
    PROVEN = "proven"
    ASKED = "asked"


@dataclass(frozen=True, slots=True)
class Activation:
    """A run's activation. Times in milliseconds of virtual time."""

    at_ms: float
    """The time at which operators first put their values."""
    story: Story = Story.PLAIN
    hasty: int = 0
    """Number of attempts that end the epoch before the values are in a claimed state."""
    old: tuple[int, ...] = ()
    """Nodes that run 0.2.0 at the beginning."""
    releases: tuple[tuple[float, int, bool], ...] = ()
    """(when, which node, `True` if it goes back to 0.2.0)"""
    away: tuple[tuple[float, int, float], ...] = ()
    """(when, which node, delay from the first block of version 2 until it is back)"""
    cuts: tuple[Step, ...] = ()
    faults: tuple[BoundaryFault, ...] = ()
    before_end_ms: tuple[float, ...] = ()
    """For each attempt, the time from the values to the end of the epoch by the clock."""
    rivals: Rivals | None = None

    @property
    def operators(self) -> int:
        return 1 if self.rivals is None else 2


def draw_activation(rng: random.Random, story: Story, seed: int, nodes: int) -> Activation:
    """Draws the activation of a story; its kinds come in turn with the seed's number."""
    at_ms, hasty, most = rng.uniform(80, 400), rng.choice([0, 0, 1]), (nodes - 1) // 3
    everybody = rng.sample(range(nodes), nodes)
    match story:
        case Story.FEW:
            old = everybody[: rng.randint(most + 1, nodes - most - 1)]
            return Activation(at_ms, story, old=tuple(old))
        case Story.TWICE:
            return Activation(at_ms, story, rivals=list(Rivals)[seed % len(Rivals)])
        case Story.AWAY:
            away = tuple(
                (max(1.0, at_ms - rng.uniform(-60, 100)), node, rng.choice([0.0, 300.0, 1_500.0]))
                for node in everybody[:most]
            )
            old = everybody[:most] if rng.random() < 0.5 else []
            return Activation(at_ms, story, hasty, tuple(old), away=away)
        case Story.POWER_CUT:
            steps: list[Step | Stage] = [*Step, *Stage]
            drawn = [steps[seed % len(steps)], *rng.sample(steps, rng.randrange(2))]
            faults = tuple(
                BoundaryFault(epoch, stage, True, rng.choice([1.0, 50.0]))
                for stage in drawn
                if isinstance(stage, Stage)
                for epoch in range(EPOCHS_CUT)
            )
            cuts = tuple(step for step in drawn if isinstance(step, Step))
            return Activation(at_ms, story, hasty, cuts=cuts, faults=faults)
        case Story.BACK:
            return Activation(at_ms, story, hasty, *_releases(rng, everybody, most, at_ms))
        case Story.AT_END:
            offsets = tuple(rng.uniform(-60, 250) for _ in range(rng.randint(1, 3)))
            return Activation(AT_END_MS - offsets[0], story, hasty, before_end_ms=offsets)
        case _:
            return Activation(at_ms, story, hasty)


def _releases(
    rng: random.Random, everybody: list[int], most: int, at_ms: float
) -> tuple[tuple[int, ...], tuple[tuple[float, int, bool], ...]]:
    """Draws a net of 0.2.0 that is upgraded node by node, or one of this release of which f nodes go back."""
    rolled = rng.random() < 0.5
    releases = [(at_ms * (number + 1) / len(everybody), node, False) for number, node in enumerate(everybody)]
    for node in everybody[:most]:
        back_ms = rng.uniform(0.2, 1.3) * at_ms
        releases += [(back_ms, node, True), (back_ms + rng.choice([30.0, 600.0, 2_000.0]), node, False)]
    return tuple(everybody if rolled else ()), tuple(releases if rolled else releases[len(everybody) :])


def terms_of(rng: random.Random, activation: Activation, seed: int, nodes: int) -> Terms | None:
    """Returns the changes of committees that belong to a story; `None` if there are none."""
    if activation.story is Story.AT_END:
        return Terms(AT_END_MS, (), (), (), (), ())
    if activation.story is not Story.COMMITTEE:
        return None
    changes = [(Change.ADMIT, nodes), (Change.REMOVE, rng.randrange(nodes)), (Change.ADMIT, nodes + 1)]
    asked = changes[: 1 + seed % len(changes)]
    times = sorted(max(1.0, activation.at_ms + rng.uniform(-120, 80)) for _ in asked)
    return Terms(None, tuple((at, *change) for at, change in zip(times, asked, strict=True)), (), (), (), ())


@dataclass(slots=True)
class Attempt:
    """The values of one epoch."""

    number: int
    epoch: int
    tags: list[int]
    """The transactions that put the values."""
    height: int | None = None
    """A height at which all of them are final; `None` before that."""
    ended: bool = False
    """`True` once operators asked for the epoch's end."""


class Operators:
    """The operators of a run's chain, until version 2 is active."""

    def __init__(self, world: "World", clients: "Clients", plan: Activation, epoch_ms: int | None) -> None:
        self._world, self._clients, self._plan, self._epoch_ms = world, clients, plan, epoch_ms
        self._attempts = 0
        self._cuts = list(plan.cuts)
        self.active = False
        """`True` once a block of version 2 is final."""

    def begin(self) -> None:
        """Schedules the activation. The caller starts the nodes."""
        world, plan = self._world, self._plan
        for index in plan.old:
            for each in world.worlds:
                each.nodes[index].old = True
        world.boundary_faults = [*world.boundary_faults, *plan.faults]
        for at, node, old in plan.releases:
            world.after_ms(at, _change_release, world, node, old)
        for at, node, _ in plan.away:
            world.after_ms(at, self._goes, node)
        world.after_ms(plan.at_ms, self._put)

    def _put(self) -> None:
        """Puts the values for the current epoch."""
        world, plan = self._world, self._plan
        newest = world.checkers.newest()
        if newest is None:
            world.after_ms(LOOK_MS, self._put)
            return
        if newest.version >= VERSION:
            self._begun(newest.epoch)
            return
        epoch = newest.epoch + newest.ends_epoch
        committee = newest.next_set if newest.ends_epoch else newest.committee
        self._attempts += 1
        putting = range(1 if plan.rivals is Rivals.AGAIN else plan.operators)
        differ = plan.rivals is Rivals.DIFFER and self._attempts == 1
        tags = [
            self._put_value(which, epoch, committee, OTHER_AGE_MS if differ and which > 0 else AGE_MS)
            for which in putting
        ]
        self._lose_power(Step.PUT)
        self._look(Attempt(self._attempts, epoch, tags))

    def _put_value(self, which: int, epoch: int, committee: bytes, age_ms: int) -> int:
        net = self._world.net
        # With version 2 more than half of the operators decide.
        quorum = net.operators if net.operators > 1 else None
        value: dict[str, Any] = json.loads(_native.activation_plan(net.genesis, epoch, committee.hex(), quorum, "{}"))
        if net.owner is None:
            value["parameters"]["min_epoch_ms"] = age_ms
        seed = net.accounts[len(net.accounts) - net.operators + which].seed
        self._world.counts["activation put"] += 1
        return self._clients.put_as_operator(which, KEY, _native.sign_activation(seed, json.dumps(value)))

    def _look(self, attempt: Attempt) -> None:
        """Looks how far an attempt is, and takes the next step."""
        world, checkers = self._world, self._world.checkers
        version = checkers.versions.get(attempt.epoch + 1)
        if version == VERSION:
            if self._plan.rivals is Rivals.DIFFER and attempt.number == 1:
                raise BreachError(f"epoch {attempt.epoch + 1} is of version 2, though two values had a quorum")
            self._begun(attempt.epoch + 1)
            return
        if version is not None:
            world.counts["activation void"] += 1
            world.after_ms(self._pause_ms(), self._put)
            return
        if attempt.height is None and not any(map(self._clients.waits_for, attempt.tags)):
            attempt.height = checkers.final_height
        if attempt.height is not None and not attempt.ended and self._is_time(attempt, attempt.height):
            attempt.ended = True
            self._lose_power(Step.PROVEN)
            self._end(attempt.epoch)
            self._lose_power(Step.ASKED)
        world.after_ms(LOOK_MS, self._look, attempt)

    def _is_time(self, attempt: Attempt, height: int) -> bool:
        """Checks whether operators ask for the epoch's end: patient ones once the newest block claims the state with
        their values."""
        newest = self._world.checkers.newest()
        rooted = newest.rooted if newest is not None else None
        return attempt.number <= self._plan.hasty or (rooted is not None and rooted[0] >= height)

    def _end(self, epoch: int) -> None:
        self._world.counts["asked to end epoch"] += 1
        self._clients.govern({"type": "end_epoch", "epoch": epoch})

    def _pause_ms(self) -> float:
        """Returns the time until the next attempt, in an epoch that has just begun."""
        offsets = self._plan.before_end_ms
        if self._epoch_ms is not None and self._attempts < len(offsets):
            return max(0.0, self._epoch_ms - offsets[self._attempts])
        return self._world.rng.uniform(0, 100)

    def _begun(self, epoch: int) -> None:
        """The first block of version 2 is final: what waited for it comes."""
        world, plan = self._world, self._plan
        self.active = True
        world.counts["activated"] += 1
        for _, node, delay in plan.away:
            world.after_ms(delay, world.bear, node)
        if plan.rivals is Rivals.AGAIN:
            # A second activation changes nothing: version 2 looks at no such value.
            self._put_value(1, epoch, self._world.net.genesis[:32], OTHER_AGE_MS)
            self._end(epoch)

    def _goes(self, index: int) -> None:
        """Stops a node that is not back before the switch."""
        if not self.active:
            self._world.counts["away: down"] += 1
            self._world.crash(index)
            self._world.nodes[index].unborn = True

    def _lose_power(self, step: Step) -> None:
        """Cuts all nodes' power if the plan says so at this step."""
        if step not in self._cuts:
            return
        self._cuts.remove(step)
        world = self._world
        world.lose_power()
        for index in range(world.size):
            world.after_ms(world.rng.uniform(1, 40), world.start, index)


def _change_release(world: "World", index: int, old: bool) -> None:
    world.change_release(index, old=old)


def play_few(world: "World", operators: Operators, old: tuple[int, ...]) -> str:
    """Plays a switch for which too few members run this release. Returns the goal that it missed, or an empty
    string."""
    checkers, quorum = world.checkers, world.net.n - (world.net.n - 1) // 3
    height = -1
    for _ in range(STANDS_WITHIN):
        height = checkers.final_height
        world.run(world.now / 1e6 + STAND_MS)
        if operators.active:
            return f"version 2 is active, though {world.net.n - len(old)} members run this release"
        if checkers.final_height == height:
            break
    newest = checkers.newest()
    if newest is None or not newest.ends_epoch or checkers.final_height != height:
        return f"the chain doesn't stand at the boundary to version 2, but goes on at height {checkers.final_height}"
    world.counts["stood"] += 1
    for number, index in enumerate(old, start=1):
        world.change_release(index)
        if world.net.n - len(old) + number < quorum:
            world.run(world.now / 1e6 + STAND_MS)
            if checkers.final_height != height:
                return f"the chain goes on with {world.net.n - len(old) + number} members of this release"
            continue
        goes_on = world.run(world.now / 1e6 + GOES_ON_MS, lambda: checkers.version == VERSION)
        return "" if goes_on else f"no block of version 2 within {GOES_ON_MS:.0f} ms after the release was installed"
    return "too few members got this release"
