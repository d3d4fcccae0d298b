"""Runs seeds: `run_seed` plays one to its end and reports, `run_many` a range of them.

Invariants: a report of the same seed, mode and code is equal to the last bit; a breach or a stall is reported, never
raised.
"""

from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from model.scenario import EPOCH_FAULT_KINDS, FAULT_KINDS, Mode, Plan, build_world, draw_plan
from model.terms import bear, submit
from model.world import World

SETTLE_MS = 30_000.0
RESUBMIT_MS = 100.0
REST_MS = 5_000.0
"""In this time after all is settled what traitors still have under way comes to its end."""
IDLE_MS = 2_000.0
"""After that an idle chain makes nothing in this time."""


@dataclass(frozen=True, slots=True)
class Report:
    """The result of one run."""

    seed: int
    mode: Mode
    ok: bool
    failure: str
    faults: tuple[tuple[str, int], ...]
    """Faults that really occurred, with how often, and what else was counted."""
    final_height: int
    transactions: int
    virtual_ms: float
    events: int
    log_hash: str
    """Covers every input of every core and its time."""

    def row(self) -> dict[str, Any]:
        """Its fields, and how to repeat it, for JSON."""
        facts = {"mode": self.mode.value, "faults": dict(self.faults)}
        return asdict(self) | facts | {"repeat": self.repeat()}

    def line(self) -> str:
        faults = ", ".join(f"{kind} {count}" for kind, count in self.faults) or "no faults"
        verdict = "ok" if self.ok else f"FAILED: {self.failure}"
        return f"seed {self.seed} {self.mode.value}: {verdict}; height {self.final_height}; {faults}"

    def repeat(self) -> str:
        """The one line that repeats this run."""
        return f"PYTHONPATH=tests python -m model --seed {self.seed} --mode {self.mode.value}"


def run_seed(seed: int, mode: Mode = Mode.LIVENESS, plan: Plan | None = None) -> Report:
    """Plays one seed: with no `plan`, the one that the seed draws."""
    plan = plan if plan is not None else draw_plan(seed, mode)
    world = build_world(seed, plan)
    failure, wanted = "", frozenset[int]()
    try:
        world.start_all()
        world.run(plan.calm_ms)
        if plan.mode is not Mode.SAFETY:
            wanted = _calm(world, plan)
            if not world.run(world.now / 1e6 + SETTLE_MS, lambda: settled(world, wanted)):
                failure = f"not live: {_stall(world, wanted)}"
            else:
                failure = _restless(world)
    except AssertionError as breach:  # a BreachError, or the core's or the model's own
        failure = str(breach) or f"assertion after {world.time.events} events"
    faults = tuple(sorted((kind, count) for kind, count in world.counts.items() if count))
    return Report(
        seed,
        plan.mode,
        not failure,
        failure,
        faults,
        world.checkers.final_height,
        len(plan.transactions),
        world.now / 1e6,
        world.time.events,
        world.hash(),
    )


def run_many(first_seed: int, count: int, mode: Mode) -> Iterator[Report]:
    """Plays `count` seeds from `first_seed` on, one report after the other."""
    for seed in range(first_seed, first_seed + count):
        yield run_seed(seed, mode)


def missing_kinds(reports: list[Report]) -> list[str]:
    """Fault kinds that none of these runs really had."""
    seen: Counter[str] = Counter()
    for report in reports:
        seen.update(dict(report.faults))
    kinds = EPOCH_FAULT_KINDS if any(report.mode is Mode.EPOCHS for report in reports) else FAULT_KINDS
    return [kind for kind in kinds if not seen[kind]]


def _calm(world: World, plan: Plan) -> frozenset[int]:
    """The network calms and every node runs; clients of honest nodes send what they have no receipt for again."""
    world.links.calm()
    for each in world.nodes:
        each.crash_after_effects = None
        world.after_ms(0, bear, world, each.index)
    world.boundary_faults = []
    world.after_ms(0, world.start_all)
    clients = [node for _, node in plan.transactions]
    if plan.terms is not None:
        clients += [node for _, node, _ in plan.terms.changes]
    wanted = {number: node for number, node in enumerate(clients) if node in world.honest}
    for delay in (RESUBMIT_MS, 5 * RESUBMIT_MS):
        for number, node in wanted.items():
            world.after_ms(delay, submit, world, node, number)
    return frozenset(wanted)


def settled(world: World, wanted: frozenset[int]) -> bool:
    """Every honest node has all transactions, the same tip, no claim of a result or of a state root is owed, and the
    committee is the one that operators want."""
    ports = world.ports()
    if len(ports) < len(world.honest):
        return False
    tips = {port.ledger.tip.facts.digest for port in ports}
    if len(tips) != 1 or ports[0].ledger.height < world.checkers.final_height:
        return False
    if any(not wanted <= port.ledger.transactions for port in ports):
        return False
    epoch, record = ports[0].ledger.epoch, ports[0].ledger.records[-1]
    if any(port.epoch != epoch for port in ports) or record.target != epoch.committee or record.ended >= epoch.number:
        return False
    tip, payload_height = ports[0].ledger.tip.facts, ports[0].ledger.payload_height
    certified = tip.rooted_height if world.config.state_roots else tip.claimed_height
    return certified >= payload_height


def _restless(world: World) -> str:
    """Returns what an idle chain still makes, or what the clock demands and doesn't get; empty if all is well."""
    first = _epoch(world)
    world.run(world.now / 1e6 + REST_MS)
    before = _reached(world)
    world.run(world.now / 1e6 + IDLE_MS)
    after = _reached(world)
    # an empty block may have lost its finalization before: the next boundary takes it along
    if after != before and not (world.epoch_ms is not None and after[0] == before[0] + 1):
        return f"an idle chain went from (height, view) {before} to {after}"
    if world.epoch_ms is not None and _epoch(world) - first < (REST_MS + IDLE_MS) // (2 * world.epoch_ms):
        return f"the clock ended {_epoch(world) - first} epochs in {REST_MS + IDLE_MS} ms"
    return ""


def _epoch(world: World) -> int:
    """Returns the epoch of the next height. It advances with the boundary's execution, before a node begins the
    epoch."""
    return max(port.ledger.epoch.number for port in world.ports())


def _reached(world: World) -> tuple[int, int]:
    """An epoch that the clock ends costs one block and no more."""
    if world.epoch_ms is not None:
        return world.checkers.final_height - _epoch(world), 0
    return world.checkers.final_height, max(port.view for port in world.ports())


def _stall(world: World, wanted: frozenset[int]) -> str:
    parts = []
    for port in world.ports():
        tip = port.ledger.tip.facts
        missing = len(wanted - port.ledger.transactions)
        claims = f"claims {tip.claimed_height} and {tip.rooted_height} of {port.ledger.payload_height}"
        where = f"node {port.node} epoch {port.epoch.number} view {port.view} height {tip.height}"
        parts.append(f"{where} {claims} lacks {missing}")
    return "; ".join(parts)
