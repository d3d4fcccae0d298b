"""Plays seeds on the release stages and reports them: one line says how a run went and repeats it.

Invariants: a report of the same seed, mode, shape and code is equal to the last bit; a breach or a stall is reported,
never raised.
"""

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from rustorium.errors import UsageError
from rustorium.sim import clocks
from rustorium.sim.activating import Operators, Story, play_few
from rustorium.sim.bad_hours import play_hour
from rustorium.sim.bounds import judge_bounds, judge_epochs
from rustorium.sim.clients import Clients
from rustorium.sim.later import Later, later_of
from rustorium.sim.modes import EPOCH_FAULT_KINDS, FAULT_KINDS, Mode
from rustorium.sim.port import ReleasePort
from rustorium.sim.probes import judge_memory
from rustorium.sim.scenario import Plan, Shape, build_world, draw_plan
from rustorium.sim.terms import Terms
from rustorium.sim.twins import Bars, Scenario
from rustorium.sim.usage import judge_usage
from rustorium.sim.world import World

SETTLE_MS = 40_000.0
SAFETY_MS = 12_000.0
"""Time limit of a safety run: it ends when it has its heights, but no progress is promised."""
REST_MS = 1_500.0
IDLE_MS = 1_000.0
CALM_GAP_MS = 20.0
ASKED_MS = 60.0
TWINS_MS = 800.0


@dataclass(frozen=True, slots=True)
class Report:
    """Result of one run."""

    seed: int
    mode: Mode
    shape: Shape
    failure: str
    height: int
    """The final height, in the shard with the lowest."""
    epoch: int
    """The newest epoch of the root shard."""
    transactions: int
    """Number of transactions that clients were told are final."""
    virtual_ms: float
    events: int
    traitors: tuple[tuple[int, str, int], ...]
    """Number, kind, and count of its acts; the faults count idle ones too."""
    faults: tuple[tuple[str, int], ...]
    """Faults that really happened, with their counts, and other counts."""
    calls: tuple[tuple[str, int], ...]
    """Calls into the release extension, by name."""
    log_hash: str

    @property
    def ok(self) -> bool:
        return not self.failure

    def name(self) -> str:
        """Returns the name that identifies the run."""
        return f"seed {self.seed} {self.mode.value} nodes {self.shape.nodes} heights {self.shape.heights}"

    def repeat(self) -> str:
        """Returns the command that repeats the run."""
        return f"rustorium-node sim replay '{self.name()}'"

    def row(self) -> dict[str, Any]:
        """Returns the report's fields, and the command that repeats the run, for JSON."""
        facts = {"ok": self.ok, "mode": self.mode.value, "faults": dict(self.faults), "calls": dict(self.calls)}
        return asdict(self) | facts | {"repeat": self.repeat()}

    def line(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in self.faults) or "none"
        calls = ", ".join(f"{name} {count}" for name, count in self.calls)
        traitors = "".join(
            f"traitor {number}: {kind}, {f'acted {acts} times' if acts else 'never acted'}; "
            for number, kind, acts in self.traitors
        )
        verdict = "ok" if self.ok else f"FAILED: {self.failure}"
        return (
            f"{self.name()}: {verdict}; hash {self.log_hash}; height {self.height}, epoch {self.epoch}, "
            f"{self.transactions} transactions, {self.virtual_ms:.0f} ms; {traitors}faults: {faults}; calls: {calls}"
        )


_LINE = re.compile(r"seed (\d+) ([\w-]+) nodes (\d+) heights (\d+)(?:.*; hash ([0-9a-f]{32}))?", re.DOTALL)


def read_line(line: str) -> tuple[int, Mode, Shape, str | None]:
    """Parses seed, mode, shape and hash of a printed line, or of its beginning. Errors: UsageError."""
    found = _LINE.search(line)
    modes = [mode.value for mode in Mode]
    if found is None or found[2] not in modes:
        raise UsageError(
            f"a run's line begins with 'seed NUMBER MODE nodes NUMBER heights NUMBER' and has one of the modes "
            f"{', '.join(modes)}: copy it from the run"
        )
    return int(found[1]), Mode(found[2]), Shape(int(found[3]), int(found[4])), found[5]


def run_seed(
    seed: int,
    mode: Mode = Mode.LIVENESS,
    shape: Shape = Shape(),  # noqa: B008  # frozen
    *,
    sink: Callable[[str], None] | None = None,
    plan: Plan | None = None,
) -> Report:
    """Plays one seed; `sink` takes the event log, line by line."""
    plan = plan if plan is not None else draw_plan(seed, mode, shape)
    world = build_world(seed, plan)
    world.time.sink = sink
    clients = [Clients(each, plan.gap_ms) for each in world.worlds]
    operators, later = _operators(plan, clients), later_of(plan, clients)
    failure = ""
    try:
        failure = _play(world, plan, clients, operators, later)
        settled = not failure and plan.kind is not Mode.SAFETY
        for story in later:
            story.judge()
        for of_shard in clients:
            _judge(of_shard.world)
            if plan.kind is Mode.QUOTA:
                _judge_usage(of_shard)
            under_way, abandoned = 0 if settled else of_shard.handed_in, sum(story.abandoned for story in later)
            judge_bounds(of_shard.world, settled=settled, under_way=under_way, abandoned=abandoned)
            judge_epochs(of_shard.world, plan.terms)
    except AssertionError as breach:  # a BreachError, or one of the core's own assertions
        failure = str(breach) or f"assertion after {world.time.events} events"
    return Report(
        seed,
        plan.mode,
        plan.shape,
        failure,
        _lowest(world),
        world.checkers.epoch,
        sum(of_shard.done for of_shard in clients),
        world.now / 1e6,
        world.time.events,
        _traitors(world),
        tuple(sorted((kind, count) for kind, count in world.counts.items() if count)),
        tuple(sorted(_calls(world).items())),
        world.hash(),
    )


def missing_kinds(reports: list[Report]) -> list[str]:
    """Returns the kinds of faults that none of these runs really had."""
    seen = {kind for report in reports for kind, _ in report.faults}
    kinds = EPOCH_FAULT_KINDS if any(report.mode is Mode.EPOCHS for report in reports) else FAULT_KINDS
    return [kind for kind in kinds if kind not in seen]


def _lowest(world: World) -> int:
    """Returns the lowest final height of the processes' shards."""
    return min(each.checkers.final_height for each in world.worlds)


def _calls(world: World) -> Counter[str]:
    """Returns the number of calls into the release stages, over all shards."""
    total: Counter[str] = Counter()
    for each in world.worlds:
        total.update(each.calls())
    return total


def _operators(plan: Plan, clients: list[Clients]) -> list[Operators]:
    """Returns the operators of each shard if the chain goes to version 2."""
    if plan.activation is None:
        return []
    epoch_ms = plan.terms.epoch_ms if plan.terms is not None else None
    return [Operators(of_shard.world, of_shard, plan.activation, epoch_ms) for of_shard in clients]


def _begin(world: World, plan: Plan, clients: list[Clients], operators: list[Operators], later: list[Later]) -> None:
    """Starts all nodes, operators and clients."""
    if plan.terms is not None:
        plan.terms.schedule(world, clients[0])
    for people in operators:
        people.begin()
    for story in later:
        story.begin()
    world.start_all()
    for each in world.worlds:
        first = each.hosts[0]
        each.checkers.conserved(first, each.nodes[first].disk.leaves())
    if plan.twins is not None:
        _play_twins(world, plan.twins, clients[0])
        return
    for of_shard in clients:
        of_shard.lifetimes = bool(plan.jumps)
        of_shard.begin()


def _play(world: World, plan: Plan, clients: list[Clients], operators: list[Operators], later: list[Later]) -> str:
    """Plays a run to its end. Returns the goal that it missed, or an empty string."""
    heights = plan.shape.heights
    _begin(world, plan, clients, operators, later)
    if plan.kind is Mode.SAFETY:
        world.run(SAFETY_MS, lambda: _lowest(world) >= heights)
        return ""
    if plan.hour is not None:
        if failure := play_hour(world, plan.hour, plan.ceiling_ms):
            return f"{failure}: {_stall(clients)}"
    elif plan.activation is not None and plan.activation.story is Story.FEW:
        if failure := play_few(world, operators[0], plan.activation.old):
            return f"{failure}: {_stall(clients)}"
    elif plan.twins is None:
        world.run(plan.calm_ms)
    calm(world)
    if plan.jumps and (failure := clocks.play_on(world)):
        return f"{failure}: {_stall(clients)}"
    if not _settles(world, heights, clients, operators, later):
        active = "" if all(each.active for each in operators) else "version 2 isn't active; "
        return f"not live: {active}{_stall(clients)}"
    if failure := _finish(world, clients, later):
        return f"{failure}: {_stall(clients)}"
    if plan.twins is not None:
        return ""
    return _restless(world) if plan.terms is None or plan.terms.epoch_ms is None else _clockless(world, plan.terms)


def _finish(world: World, clients: list[Clients], later: list[Later]) -> str:
    """Plays the ends of stories of version 2, and lets the chain come to rest. Returns the goal that was missed, or an
    empty string."""
    for story in later:
        if failure := story.finish():
            return failure
    until = world.now / 1e6 + SETTLE_MS
    at_rest = not later or world.run(until, lambda: _at_rest(clients, later))
    return "" if at_rest else "not at rest after the keys in effect acted"


def _settles(
    world: World, heights: int, clients: list[Clients], operators: list[Operators], later: list[Later]
) -> bool:
    """Returns whether the shards make their heights after the calm, go on by version 2 if operators put that, and then
    settle."""
    for of_shard in clients:
        of_shard.gap_ms = min(of_shard.gap_ms, CALM_GAP_MS)
    until = world.now / 1e6 + SETTLE_MS
    live = world.run(until, lambda: _lowest(world) >= heights and all(each.active for each in operators))
    for of_shard in clients:
        of_shard.stopped = True
    for story in later:
        story.stop()
    return live and world.run(until, lambda: _at_rest(clients, later))


def _at_rest(clients: list[Clients], later: list[Later]) -> bool:
    return not any(map(Later.waiting, later)) and all(settled(of_shard.world, of_shard) for of_shard in clients)


def _play_twins(world: World, scenario: Scenario, clients: Clients) -> None:
    """Lets nodes first ask what they signed, then plays the scenario's views, each with its partition."""
    world.run(ASKED_MS)
    bars = Bars(world, scenario)
    world.bars = bars
    clients.begin()
    world.run(TWINS_MS, bars.passed)
    bars.over = True


def _traitors(world: World) -> tuple[tuple[int, str, int], ...]:
    """Returns the traitors' acts, and counts the traitors that did nothing."""
    actors = [(number, actor) for each in world.worlds for number, actor in sorted(each.actors.items())]
    acted = tuple((number, actor.kind, actor.acts.total()) for number, actor in actors)
    world.counts["idle traitor"] += sum(not acts for _, _, acts in acted)
    return acted


def calm(world: World) -> None:
    """Calms the network, repairs disks, and starts every node with this release."""
    world.links.calm()
    world.boundary_faults = []
    for each in world.worlds:
        for node in each.nodes:
            node.crash_after_effects = None
            node.disk.mend()
            each.after_ms(0, each.change_release, node.index)
            each.after_ms(0, each.bear, node.index)
    world.after_ms(0, world.start_all)


def settled(world: World, clients: Clients) -> bool:
    """Checks whether every client has its answers, every honest node has the same tip, and no claim of a result or a
    root is owed."""
    if clients.waiting():
        return False
    ports = world.ports()
    if len(ports) < len(world.honest) or {port.height for port in ports} != {world.checkers.final_height}:
        return False
    return not world.checkers.owed() and all(_as_wanted(world, port) for port in ports)


def _as_wanted(world: World, port: ReleasePort) -> bool:
    """Checks whether a node is in the newest epoch, and that epoch has the wanted committee. An owner's request alone
    ends no epoch before its minimum age (R45), which is longer than any run."""
    node = world.nodes[port.number]
    wanted = node.disk.wanted()
    if port.epoch != world.checkers.epoch or wanted is None:
        return False
    if world.net.owner is not None and world.checkers.version > 1:
        return True
    keys, end_asked = wanted
    return keys == node.disk.committee(world.net.native, port.epoch) and (end_asked is None or end_asked < port.epoch)


def _restless(world: World) -> str:
    """Returns what an idle chain still makes; empty if it comes to rest."""
    world.run(world.now / 1e6 + REST_MS)
    before = [_place(each) for each in world.worlds]
    world.run(world.now / 1e6 + IDLE_MS)
    after = [_place(each) for each in world.worlds]
    return "" if after == before else f"an idle chain went from (height, view) {before} to {after}"


def _place(world: World) -> tuple[int, int]:
    """Returns a shard's final height and its newest view."""
    return world.checkers.final_height, max(port.view for port in world.ports())


def _clockless(world: World, terms: Terms) -> str:
    """Returns an error if the clock ends no epoch any more; empty if it does."""
    assert terms.epoch_ms is not None
    first = world.checkers.epoch
    world.run(world.now / 1e6 + 2 * terms.epoch_ms + IDLE_MS)
    return "" if world.checkers.epoch > first else f"the clock ended no epoch after {first}"


def _judge(world: World) -> None:
    """Runs the checks that are made once, at the end."""
    judge_memory(world)
    headers = {block.header.height: block.header for block in world.checkers.final_chain()}
    for node in world.nodes:
        if node.index not in world.honest:
            continue
        tip = node.disk.tip()
        if tip is not None:
            leaves = node.disk.leaves()
            world.checkers.conserved(node.index, leaves)
            world.shadow.judge(node.index, node.disk, leaves, headers)
            world.checkers.kept(node.index, tip[0], node.disk)
        retired = None if node.wiped else node.disk.retired()
        # A node whose disk is lost may contradict what too few nodes heard to tell it (R26). Its votes are judged when
        # they leave.
        known = world.honest - {other.index for other in world.nodes if other.wiped}
        offenders = [world.number_at(place) for place in node.offenders()]
        world.checkers.blamed(node.index, offenders, retired, known)


def _judge_usage(clients: Clients) -> None:
    """Checks what each honest node executed against the quotas."""
    world = clients.world
    headers = {block.header.height: block.header for block in world.checkers.final_chain()}
    for node in world.nodes:
        if node.index in world.honest and node.disk.tip() is not None:
            judge_usage(node.index, world.shadow.uses(node.disk, headers), clients.operators)


def _stall(clients: list[Clients]) -> str:
    parts = []
    for of_shard in clients:
        where = f"shard {of_shard.world.shard}: " if len(clients) > 1 else ""
        parts.append(f"{where}{of_shard.waiting()} transactions wait")
        for port in of_shard.world.ports():
            parts.append(f"node {port.number} epoch {port.epoch} view {port.view} height {port.height}")
    return "; ".join(parts)
