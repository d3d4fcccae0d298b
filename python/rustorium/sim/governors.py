"""Operators who govern a chain of version 2 by their seats, and thieves of their former keys.

Invariants: an operator knows what a node shows, which may be old, and signs with any keys that its seat ever had. At
the end as many live seats as a quorum make a change, on a chain at rest.
"""

import json
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from rustorium import _native
from rustorium.consensus.pacemaker import NS_PER_MS
from rustorium.sim.custody_model import HOUR_MS, Custody
from rustorium.sim.errors import BreachError
from rustorium.sim.groups import SEAT_KIND, Group, system_sender
from rustorium.sim.net import NEWEST_VERSION, START_MS, seed_of
from rustorium.sim.people import People
from rustorium.sim.replay import Replay
from rustorium.sim.seats_model import Seats, base_of, change_hash

if TYPE_CHECKING:
    from rustorium.sim.clients import Clients
    from rustorium.sim.world import Node, World

OPERATORS, QUORUM = 3, 2
POOL = 6
"""Number of operators' keys from which seats are filled."""
GAP_MS = 70.0
PATIENCE_MS = 900.0
MADE_MS = 12_000.0
"""Time limit for live seats to make a change at the end."""
QUIET_MS = 2_000.0
"""Time for which all accounts are watched while they are paused."""
DELAYS_MS = (0, 0, 0, 400, 3_000)
"""Waits of new operators."""


@dataclass(frozen=True, slots=True)
class Governing:
    """What the seats of a run do."""

    pauses: bool
    """`True`: pauses and their ends; `False`: all other changes."""
    delay_ms: int = 0
    """The wait of new operators in the genesis."""
    speaking: tuple[int, ...] = ()
    """Numbers of nodes whose release speaks the next protocol version: too few for it to begin, with all traitors."""

    @property
    def parameters(self) -> tuple[tuple[str, Any], ...]:
        """The genesis parameters that differ from the default."""
        return (("operators_delay_ms", self.delay_ms),)


def draw_governing(rng: random.Random, nodes: int, *, pauses: bool) -> Governing:
    """Draws what seats do in a run of so many nodes."""
    if pauses:
        return Governing(pauses)
    faulty = (nodes - 1) // 3
    speaking = rng.sample(range(nodes), rng.randint(0, nodes - 2 * faulty - 1))
    return Governing(pauses, rng.choice(DELAYS_MS), tuple(sorted(speaking)))


@dataclass
class Operator:
    """Someone with a key that may be named as an operator's."""

    first: Group
    groups: list[Group]
    """All authorities that its seat had or may have had."""
    under_way: int = 0
    number: int | None = None
    """The number of its seat, as a node showed it last."""

    def ends(self, _height: int | None) -> None:
        """Notes the end of one of its transactions."""
        self.under_way -= 1


@dataclass
class View:
    """What a node shows of who governs."""

    epoch: int
    in_force: dict[str, Any]
    wanted: dict[str, Any]
    quorum: int
    seats: dict[str, dict[str, Any]]
    """Seats by their operators' keys."""
    proposals: list[dict[str, Any]]


@dataclass
class Governors:
    """All operators of a run."""

    clients: "Clients"
    people: People
    plan: Governing
    stopped: bool = False
    _made: int = 0
    _bases: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.world: World = self.clients.world
        net = self.world.net
        self._rng = self.world.rng
        self._genesis = json.loads(_native.genesis_describe(net.genesis))["parameters"]
        seeds = [net.accounts[number].seed for number in self.clients.operators]
        seeds += [seed_of("governor", number) for number in range(POOL - len(seeds))]
        firsts = [Group(1, (seed,)) for seed in seeds]
        self.operators = {group.keys[0].hex(): Operator(group, [group]) for group in firsts}
        self._by_signer = {group.signer: group for group in firsts}
        self.accounts = [account.address for account in net.accounts[: self.clients.operators.start]]

    def replay(self) -> Replay:
        """Begins a replay."""
        return Replay(Custody({}, {}), Seats(self._genesis), {})

    def begin(self) -> None:
        for number in self.plan.speaking:
            self.world.nodes[number].newest = NEWEST_VERSION + 1
        for operator in self.operators.values():
            self._soon(operator)

    def stop(self) -> None:
        self.stopped = True

    # ---- what operators see

    def _look(self, node: "Node") -> View | None:
        tip = node.disk.tip()
        if tip is None or node.port is None or node.port.epoch < 0:
            return None
        epoch, chain = node.port.epoch, self.world.net.native
        shown = json.loads(node.disk.governance(chain, epoch))
        in_force = json.loads(node.disk.parameters(chain, epoch))
        wanted = node.disk.wanted_parameters()
        seats = {seat["first_key"]: seat for seat in shown["seats"]}
        return View(
            epoch, in_force, in_force if wanted is None else json.loads(wanted), shown["quorum"], seats,
            shown["proposals"],
        )  # fmt: skip

    def _any_view(self) -> View | None:
        nodes = [node for node in self.world.nodes if node.index in self.world.honest and node.port is not None]
        return self._look(self._rng.choice(nodes)) if nodes else None

    # ---- what operators do

    def _soon(self, operator: Operator) -> None:
        self.world.after_ms(self._rng.uniform(0, 2 * GAP_MS), self._next, operator)

    def _next(self, operator: Operator) -> None:
        if self.stopped:
            return
        self._soon(operator)
        view = self._any_view()
        if view is None or operator.under_way >= 2:
            return
        seat = view.seats.get(operator.first.keys[0].hex())
        if seat is None and operator.number is None:
            return
        rng = self._rng
        nonce = 0 if seat is None else seat["nonce"]
        if seat is not None:
            operator.number = seat["number"]
        assert operator.number is not None
        now = None if seat is None else self._by_signer.get(bytes.fromhex(seat["signer"]))
        group = now if now is not None and rng.random() < 0.85 else rng.choice(operator.groups)
        self._submit(operator, group, nonce, [self._operation(operator, view)])

    def _submit(
        self, operator: Operator, group: Group, nonce: int, operations: list[dict[str, Any]], patience_ms: float = 0.0
    ) -> None:
        assert operator.number is not None
        operator.under_way += 1
        patience = patience_ms or PATIENCE_MS

        address = system_sender(SEAT_KIND, operator.number)
        self.people.submit(-1 - operator.number, address, group, nonce, operations, operator.ends, patience)
        self.world.after_ms(patience, self._rest, operator)

    def _rest(self, operator: Operator) -> None:
        operator.under_way = 0

    def _operation(self, operator: Operator, view: View) -> dict[str, Any]:
        rng, draw = self._rng, self._rng.random()
        if view.proposals and draw < 0.6:
            one = rng.choice(view.proposals)
            if draw < 0.08:
                return {"type": "withdraw", "number": one["number"]}
            said = one["hash"] if rng.random() < 0.95 else rng.choice(view.proposals)["hash"]
            return {"type": "approve", "number": one["number"], "change": said}
        if draw < 0.66:
            return self._rekeys(operator)
        until_ms = self._time_ms() + rng.choice([150, 2_000, 600_000, 600_000, 6 * 24 * HOUR_MS])
        return {"type": "propose", "change": self._change(view), "until_ms": until_ms}

    def _time_ms(self) -> int:
        newest = self.world.checkers.newest()
        return START_MS + self.world.now // NS_PER_MS if newest is None else newest.time_ms

    def _rekeys(self, operator: Operator) -> dict[str, Any]:
        rng = self._rng
        self._made += 1
        count = rng.choice([1, 2, 3])
        seeds = tuple(seed_of("seat", self._made, number) for number in range(count))
        group = Group(rng.randint(1, count), seeds)
        operator.groups.append(group)
        self._by_signer[group.signer] = group
        return {"type": "set_authority", "authority": group.said}

    def _change(self, view: View) -> dict[str, Any]:
        return self._pause() if self.plan.pauses else self._other(view)

    def _pause(self) -> dict[str, Any]:
        rng, draw = self._rng, self._rng.random()
        scope: dict[str, Any] = {} if draw < 0.5 else {"account": rng.choice(self.accounts)}
        if rng.random() < 0.25:
            return {"type": "resume", **scope}
        if rng.random() < 0.05:
            scope = {"account": system_sender(SEAT_KIND, 0)}
        ahead_ms = rng.choice([200, 500, 1_500, 3_000, -5])
        return {"type": "pause", **scope, "until_ms": self._time_ms() + ahead_ms}

    def _other(self, view: View) -> dict[str, Any]:
        rng, draw = self._rng, self._rng.random()
        self._bases.append(base_of(view.wanted))
        base = self._bases[-1] if rng.random() < 0.9 else rng.choice(self._bases)
        if draw < 0.35:
            self.world.counts["asked to set parameters"] += 1
            return {"type": "set_parameters", "base": base, "parameters": self._parameters(view.wanted)}
        if draw < 0.65:
            self.world.counts["asked to set operators"] += 1
            operators = rng.sample(list(self.operators), rng.randint(2, 5))
            least = len(operators) // 2 + 1
            quorum = rng.choice([least, max(least, len(operators) - 1), len(operators) // 2])
            return {"type": "set_operators", "base": base, "operators": operators, "quorum": quorum}
        if draw < 0.8:
            self.world.counts["asked to end an epoch"] += 1
            return {"type": "end_epoch", "epoch": view.epoch}
        account = rng.choice(self.accounts)
        if draw < 0.88:
            share = rng.choice([500_000, 1_000_000, 1_000_000, 0])
            return {"type": "set_sponsor", "account": account, "work_ppm": share, "history_ppm": 1_000_000}
        if draw < 0.93:
            return {"type": "assign_sponsor", "account": account, "sponsor": rng.choice([0, *range(256, 264)])}
        self.world.counts["asked to upgrade"] += 1
        return {"type": "upgrade", "version": rng.choice([2, 3, 3, 4]), "not_before_ms": self._time_ms()}

    def _parameters(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        rng = self._rng
        self._made += 1
        changed = {**wanted, "epoch_ms": 24 * HOUR_MS + self._made, "operators_delay_ms": rng.choice(DELAYS_MS)}
        changed.pop("not_leading", None)
        if self._made % 3 == 0:
            self.world.counts["asked to keep one from leading"] += 1
            member = self._made // 3 % self.world.n
            changed["not_leading"] = [self.world.net.validator(member)["node_key"]]
        if rng.random() < 0.1:
            changed["expiry_ahead_ms_max"] = 1
        if rng.random() < 0.1:
            changed["operator_quorum"] = wanted["operator_quorum"] + 1
        return changed

    # ---- the end

    def at_rest(self) -> bool:
        """Checks whether every honest node has the parameters and operators that are wanted."""
        for node in self.world.nodes:
            view = self._look(node) if node.index in self.world.honest else None
            if view is not None and view.wanted != view.in_force:
                return False
        return True

    def pass_time(self) -> None:
        for number in range(self.world.size):
            self.world.jump_clock(number, HOUR_MS, 20.0)

    def finish(self) -> str:
        """Has a quorum of the seats make a change, on a chain at rest. Returns the goal that was missed, or an empty
        string."""
        if not self.world.run(self.world.now / 1e6 + MADE_MS, self._same_epoch):
            return "nodes aren't in one epoch"
        return self._pause_everybody() if self.plan.pauses else self._change_a_parameter()

    def _pause_everybody(self) -> str:
        """Pauses all accounts, and lets the pause pass while nothing happens. Then an account acts, and nobody else."""
        world, clients = self.world, self.clients
        self._decide({"type": "pause", "until_ms": self._time_ms() + HOUR_MS - 30_000})
        done, before = clients.done, len(clients.waits_of(0))
        clients.put(0, "paused")
        world.run(world.now / 1e6 + QUIET_MS)
        if clients.done > done:
            return "a transaction was executed while all accounts were paused"
        world.counts["paused at the end"] += 1
        self.pass_time()
        acted = world.run(world.now / 1e6 + MADE_MS, lambda: len(clients.waits_of(0)) == before)
        return "" if acted else "what waited for the end of a pause isn't executed after it"

    def _change_a_parameter(self) -> str:
        """Lets the wait of new operators pass, and has a parameter changed."""
        world = self.world
        self.pass_time()
        if not world.run(world.now / 1e6 + MADE_MS, self.at_rest):
            return "what seats want isn't in force an hour later"
        if not world.run(world.now / 1e6 + MADE_MS, self._same_epoch):
            return "nodes aren't in one epoch"
        wanted = self._newest().wanted
        aim = {**wanted, "epoch_ms": 30 * HOUR_MS}
        world.counts["asked to change at the end"] += 2
        self._decide({"type": "set_parameters", "base": base_of(wanted), "parameters": aim})
        made = world.run(world.now / 1e6 + MADE_MS, lambda: self._has(aim))
        return "" if made else "a quorum of live seats can't change a parameter"

    def _decide(self, change: dict[str, Any]) -> None:
        """Has a quorum of the live seats propose and approve a change."""
        # The newest header may be older than the hours that passed since.
        view, until_ms = self._newest(), self._time_ms() + 24 * HOUR_MS
        proposer, *others = self._rng.sample(sorted(view.seats), view.quorum)
        # Its seat may have four open proposals.
        for one in view.proposals:
            self._acts_now(proposer, {"type": "withdraw", "number": one["number"]})
        self._acts_now(proposer, {"type": "propose", "change": change, "until_ms": until_ms})
        said = change_hash(change)
        numbers = [one["number"] for one in self._newest().proposals if one["hash"] == said]
        for other in others:
            for number in numbers:
                self._acts_now(other, {"type": "approve", "number": number, "change": said})

    def _newest(self) -> View:
        view = self._look(max((node for node in self.world.nodes if node.index in self.world.honest), key=_height))
        assert view is not None, "all nodes run at the end"
        return view

    def _same_epoch(self) -> bool:
        return len({port.epoch for port in self.world.ports()}) == 1

    def _has(self, aim: Mapping[str, Any]) -> bool:
        views = [self._look(node) for node in self.world.nodes if node.index in self.world.honest]
        return all(view is not None and view.in_force == aim for view in views)

    def _acts_now(self, key: str, operation: dict[str, Any]) -> None:
        """Has a seat act, with the keys and the nonce that the newest state names, and waits for it."""
        world, operator = self.world, self.operators[key]
        view = self._newest()
        seat, ends = view.seats[key], list[int | None]()
        address = system_sender(SEAT_KIND, seat["number"])
        group = self._by_signer[bytes.fromhex(seat["signer"])]
        account = -1 - int(seat["number"])
        self.people.submit(account, address, group, seat["nonce"], [operation], ends.append, MADE_MS)
        world.run(world.now / 1e6 + MADE_MS, lambda: bool(ends))
        operator.number = seat["number"]

    def judge(self) -> None:
        """Checks that a light client that began at the genesis follows to the newest epoch of every honest node."""
        world = self.world
        replay = world.shadow.newest(world).replay
        seats = replay.seats if replay is not None else None
        assert seats is not None, "the run has seats"
        world.counts.update(f"took {change}" for change, _ in seats.epochs if change != "none")
        world.counts.update(f"seats {act}" for _, _, act, _, _ in seats.told)
        world.counts.update(f"made {kind}" for kind in seats.kinds)
        for node in world.nodes:
            if node.index not in world.honest or node.port is None or node.port.epoch < 0:
                continue
            light = _native.Light.from_genesis(world.net.genesis)
            for epoch in range(node.port.epoch):
                change = node.disk.transition(epoch)
                assert change is not None, "a node is in no epoch whose beginning it lacks"
                light.follow(change, self._time_ms())
            known = json.loads(light.describe())
            in_force = json.loads(node.disk.parameters(world.net.native, node.port.epoch))
            if known["epoch"] != node.port.epoch or known["parameters"] != base_of(in_force):
                raise BreachError(f"a light client of node {node.index} has another term than the node: {known}")


def _height(node: "Node") -> int:
    tip = node.disk.tip()
    return tip[0] if tip is not None else 0
