"""Bad hours: many views in a row without a final block, members away during parts of them, deaths and restarts after.

Invariants: a bad hour is a function of the plan's random numbers. Frames are only ever dropped, and only those that
could certify or finalize a block. Traitors, absent and dead nodes are never more than f at once.
"""

import random
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from rustorium.sim.frames import FINALIZE, HEARTBEAT, NOTARIZE, PROPOSAL, VOTE, votes_in

if TYPE_CHECKING:
    from rustorium.sim.world import World

BEGINS_AT_MS = 400.0
LOOK_MS = 20.0
RECOVERED_MS = 10_000.0
"""Time limit for the first final block, once the network is whole."""
VIEW_MS = 40.0
"""Time that a lost view may take in addition to its timers."""
VIEWS_MAX = 1_000
LENGTHS = ((70, 1_000), (130, 250), (300, 100), (VIEWS_MAX, 50), (VIEWS_MAX, 100))
"""Maximum number of lost views, with the ceiling of Δ in milliseconds: long hours have short views, since seeds must be
fast."""
EVENTS_MAX = 8_000_000


class Lost(Enum):
    """The kind of frame that doesn't pass in a bad hour."""

    PROPOSALS = "proposals"
    NOTARIZES = "notarize votes"
    FINALIZES = "finalize votes"


class Way(Enum):
    """The way in which a member is away."""

    CUT = "cut off"
    DOWN = "down"


class Restart(Enum):
    """The fate of the processes when the network is whole again."""

    NONE = "none"
    ONE = "one restarts"
    ALL = "all restart"
    POWER = "all lose power"


@dataclass(frozen=True, slots=True)
class Absence:
    """A member that is away during a part of the hour."""

    node: int
    first: float
    """The part of the hour's views after which the member goes away."""
    last: float
    """The part after which it is back; 1: at the end of the hour."""
    way: Way


@dataclass(frozen=True, slots=True)
class BadHour:
    """A row of views without a final block."""

    views: int
    lost: Lost
    absences: tuple[Absence, ...] = ()
    dead: tuple[int, ...] = ()
    """Members that die when the network is whole, and come back only after the first final block."""
    restart: Restart = Restart.NONE
    forgotten: tuple[float, float] | None = None
    """The part of the hour's views whose certificates no disk holds after it; only if all processes restart."""

    @property
    def may_forget(self) -> bool:
        """`True` if the hour's views have only nullifications, and all processes restart after it."""
        return self.lost is Lost.PROPOSALS and self.restart in (Restart.ALL, Restart.POWER)


def draw_hour(rng: random.Random, nodes: int, traitors: int) -> tuple[BadHour, int]:
    """Draws an hour, and the ceiling of Δ in milliseconds."""
    most, ceiling_ms = rng.choice(LENGTHS)
    free = (nodes - 1) // 3 - traitors
    everybody = list(range(nodes))
    rng.shuffle(everybody)
    absences: list[Absence] = []
    for slot in range(free):
        # Each slot has its own nodes, so no node is away twice at once.
        absences += _absences(rng, everybody[slot::free])
    hour = BadHour(
        views=rng.choice([most, rng.randint(20, most)]),
        lost=rng.choice([Lost.PROPOSALS, Lost.PROPOSALS, Lost.NOTARIZES, Lost.FINALIZES]),
        absences=tuple(absences),
        dead=tuple(rng.sample(range(nodes), free if rng.random() < 0.7 else 0)),
        restart=rng.choice([Restart.NONE, Restart.NONE, Restart.ONE, Restart.ALL, Restart.POWER]),
    )
    first, last = sorted((rng.random(), rng.random()))
    return replace(hour, forgotten=(first, last) if hour.may_forget and rng.random() < 0.5 else None), ceiling_ms


def _absences(rng: random.Random, members: list[int]) -> list[Absence]:
    """Draws absences that don't overlap."""
    cuts = sorted(rng.random() for _ in range(2 * rng.choice([0, 1, 1, 2])))
    if cuts and rng.random() < 0.5:
        cuts[0], cuts[-1] = 0.0, 1.0
    pairs = zip(cuts[::2], cuts[1::2], strict=True)
    return [Absence(rng.choice(members), first, last, rng.choice(list(Way))) for first, last in pairs]


class Hour:
    """A bad hour in progress."""

    def __init__(self, world: "World", hour: BadHour) -> None:
        self._world, self._hour = world, hour
        self._cut: set[int] = set()
        self._ahead = list(hour.absences)
        self._away: list[Absence] = []
        self.first_view = max((port.view for port in world.ports()), default=0)
        self.is_over = False

    def begin(self) -> None:
        self._world.bars = self._bars
        self._look()

    def _bars(self, _source: int, _target: int, frame: bytes) -> bool:
        """Drops frames that would help to certify or finalize a block, also heartbeats with such a vote."""
        match self._hour.lost:
            case Lost.PROPOSALS:
                return frame[0] == PROPOSAL
            case Lost.NOTARIZES:
                return frame[0] in (VOTE, HEARTBEAT) and any(vote.kind == NOTARIZE for vote in votes_in(frame))
            case Lost.FINALIZES:
                return frame[0] in (VOTE, HEARTBEAT) and any(vote.kind == FINALIZE for vote in votes_in(frame))

    def _passed(self) -> float:
        """Returns the part of the hour's views that is over."""
        newest = max((port.view for port in self._world.ports()), default=self.first_view)
        return (newest - self.first_view) / self._hour.views

    def _look(self) -> None:
        passed = self._passed()
        for absence in [absence for absence in self._away if absence.last <= passed]:
            self._back(absence)
        for absence in [absence for absence in self._ahead if absence.first <= passed]:
            self._ahead.remove(absence)
            self._goes(absence)
        if passed < 1:
            self._world.after_ms(LOOK_MS, self._look)
        else:
            self._end()

    def _goes(self, absence: Absence) -> None:
        self._away.append(absence)
        self._world.counts[f"away: {absence.way.value}"] += 1
        if absence.way is Way.CUT:
            self._cut.add(absence.node)
            self._part()
        else:
            self._world.crash(absence.node)

    def _back(self, absence: Absence) -> None:
        self._away.remove(absence)
        if absence.way is Way.CUT:
            self._cut.discard(absence.node)
            self._part()
        else:
            self._world.start(absence.node)

    def _part(self) -> None:
        """Puts each node that is cut off on an island of its own."""
        islands = [node + 1 if node in self._cut else 0 for node in range(self._world.size)]
        self._world.partition(islands if self._cut else None)

    def _end(self) -> None:
        """Makes the network whole: members come back, others die, processes restart."""
        world, hour = self._world, self._hour
        self.is_over = True
        world.bars = lambda source, target, frame: False
        for absence in list(self._away):
            self._back(absence)
        world.counts["lost views"] += hour.views
        for node in hour.dead:
            world.crash(node)
            world.counts["death after a bad hour"] += 1
        alive = [node for node in range(world.size) if node not in hour.dead]
        match hour.restart:
            case Restart.NONE:
                return
            case Restart.ONE:
                alive = [world.rng.choice(alive)]
                world.crash(alive[0])
            case Restart.ALL:
                for node in alive:
                    world.crash(node)
            case Restart.POWER:
                world.lose_power(alive)
        world.counts[hour.restart.value] += 1
        if hour.forgotten is not None:
            self._forget(hour.forgotten)
        for node in alive:
            world.after_ms(world.rng.uniform(5, 50), world.start, node)

    def _forget(self, part: tuple[float, float]) -> None:
        """Removes the certificates of a part of the hour's views from all disks."""
        # A proposal of the first view may have passed before the hour began.
        first, last = (self.first_view + 2 + int(share * (self._hour.views - 2)) for share in part)
        for node in self._world.nodes:
            self._world.counts["forgotten certificates"] += node.disk.lose_certificates(first, last)


def play_hour(world: "World", plan_hour: BadHour, ceiling_ms: int) -> str:
    """Plays a bad hour, and then until the first final block. Returns the goal that it missed, or an empty string."""
    world.time.events_max = EVENTS_MAX
    world.run(BEGINS_AT_MS)
    hour = Hour(world, plan_hour)
    hour.begin()
    longest_ms = plan_hour.views * (4 * ceiling_ms + VIEW_MS) + RECOVERED_MS
    if not world.run(world.now / 1e6 + longest_ms, lambda: hour.is_over):
        return f"views stand still in a bad hour: {_views(world, hour)} of {plan_hour.views} passed"
    height, within = world.checkers.final_height, RECOVERED_MS + 2 * ceiling_ms * bool(world.actors)
    if not world.run(world.now / 1e6 + within, lambda: _all_above(world, height)):
        return f"no final block above {height} everywhere within {within:.0f} ms after {plan_hour.views} lost views"
    return ""


def _all_above(world: "World", height: int) -> bool:
    """Checks that every running honest node has executed a block above this height."""
    return min((port.height for port in world.ports()), default=0) > height


def _views(world: "World", hour: Hour) -> int:
    return max((port.view for port in world.ports()), default=hour.first_view) - hour.first_view
