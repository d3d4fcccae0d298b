"""Networks beyond what can be explored whole: Hypothesis draws plans and events, and what happens next."""

import os
from collections.abc import Iterable
from dataclasses import replace
from random import Random
from typing import Any

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule
from networks import cross, net

from rustorium.sharding import disturbances, restores
from rustorium.sharding.explore import Model
from rustorium.sharding.happenings import close, epoch, halt, recall, remember, replace_keys, split
from rustorium.sharding.ledgers import Act, Limits, Operation, Transaction

LONG = os.environ.get("RUSTORIUM_SHARDS_MODEL") == "long"


class Drawn(RuleBasedStateMachine):
    """One network. Whatever has happened, fair steps in any order end all that was begun."""

    model: Model[Any]
    world: Any

    def begin_with(self, model: Model[Any]) -> None:
        """Starts a network."""
        self.model = model
        self.world = model.start()
        self.trace: list[str] = []

    @precondition(lambda self: hasattr(self, "model"))
    @rule(choice=st.integers(0, 1000))
    def step(self, choice: int) -> None:
        """Makes one of the possible steps, of events as of honest shards."""
        self._move(choice, fair=False)

    def _move(self, choice: int, fair: bool) -> bool:
        steps = [step for step in self.model.steps(self.world) if step.world != self.world and (step.fair or not fair)]
        if steps:
            step = steps[choice % len(steps)]
            self.world = step.world
            self.trace.append(step.label)
            fault = self.model.broken(self.world)
            assert fault is None, "\n".join([fault or "", *self.trace])
        return bool(steps)

    def teardown(self) -> None:
        """Goes on with fair steps alone, and looks for what is left open."""
        if not hasattr(self, "model"):
            return
        random = Random(len(self.trace))
        for _ in range(2_000):
            if not self._move(random.randrange(1000), fair=True):
                break
        else:
            raise AssertionError("\n".join(["fair steps go on forever", *self.trace]))
        fault = self.model.unfinished(self.world)
        assert fault is None, "\n".join([fault or "", *self.trace])


# ---- transfers -------------------------------------------------------------------------------------------------------

PLACES = (0, 1, 2, 0, 1, 2, 0, 1)
"""The shard of each account. The last four are there only if a credit opens them, or have no balance leaf."""
SHARDS = range(3)
CALM: tuple[Any, ...] = (
    *(disturbances.epoch(shard) for shard in SHARDS),
    *(disturbances.halt(shard) for shard in SHARDS),
    *(disturbances.pause(shard) for shard in SHARDS),
    disturbances.leak(0, 0),
    disturbances.pause_account(1),
    disturbances.upgrade(0),
    disturbances.upgrade(1),
)
KEEPS: tuple[Any, ...] = (
    *CALM,
    disturbances.copy(0),
    *(disturbances.keep(a, b) for a in SHARDS for b in SHARDS if a != b),
    disturbances.keep(0, 1, 2),
)
RESTORED: tuple[Any, ...] = (
    *CALM,
    *(disturbances.copy(shard) for shard in SHARDS),
    disturbances.copy(0, 1, 2),
    *(disturbances.restore(shard) for shard in SHARDS),
    disturbances.restore(0, 1),
    disturbances.restore(0, 1, 2),
)
"""Backups and what owners make of them. Nobody keeps a head beside them: that takes a recovery in steps (T26)."""
RECOVERY: tuple[Any, ...] = (disturbances.stop(0), disturbances.stop_again(0), disturbances.recover(0))
OPERATIONS = st.builds(
    Operation, st.sampled_from([Act.PAY, Act.PAY, Act.PAY, Act.ISSUE, Act.OPEN]), st.sampled_from(range(len(PLACES)))
)
SENDERS = st.lists(st.tuples(st.integers(0, 2), st.lists(OPERATIONS, min_size=1, max_size=3)), max_size=8)


def numbered(drawn: Iterable[tuple[int, list[Operation]]]) -> list[Transaction]:
    """Gives the transactions of each sender their nonces."""
    before: dict[int, int] = {}
    plan = []
    for sender, operations in drawn:
        plan.append(Transaction(sender, before.get(sender, 0), tuple(operations)))
        before[sender] = before.get(sender, 0) + 1
    return plan


class Transfers(Drawn):
    """Three shards that pay each other."""

    @initialize(
        drawn=SENDERS,
        events=st.lists(st.sampled_from(KEEPS), max_size=7, unique=True)
        | st.lists(st.sampled_from(KEEPS), max_size=5, unique=True).map(lambda events: [*events, *RECOVERY])
        | st.lists(st.sampled_from(RESTORED), max_size=7, unique=True),
        open_max=st.integers(1, 4),
        chunk_max=st.integers(1, 3),
        balance_max=st.integers(3, 9),
    )
    def begin(
        self,
        drawn: list[tuple[int, list[Operation]]],
        events: list[Any],
        open_max: int,
        chunk_max: int,
        balance_max: int,
    ) -> None:
        limits = Limits(open_max, chunk_max, balance_max)
        options: dict[str, Any] = {"missing": frozenset({3, 4}), "empty": frozenset({5, 6, 7}), "storage": 9}
        self.begin_with(cross(PLACES, numbered(drawn), events, balance=3, limits=limits, **options)())


# ---- terms and orders ------------------------------------------------------------------------------------------------

RANGES = [(0, 1), (1, 3), (3, 5), (0, 0), (0, 0)]
"""Three shards with five accounts; two more shards may be born."""
EVENTS = (
    split(1, 2, 3),
    split(2, 4, 4),
    close(2, 1),
    close(3, 2),
    close(3, 1),
    close(4, 2),
    *(recall(shard) for shard in range(1, 4)),
    *(epoch(shard) for shard in range(4)),
    *(halt(shard) for shard in range(4)),
    remember(0, 1),
    remember(1, 0),
    remember(2, 0),
    replace_keys(),
)
RESTORES = (
    *(restores.copy(shard) for shard in range(4)),
    restores.copy(0, 1, 2),
    *(restores.restore(shard) for shard in range(4)),
    restores.restore(0, 1),
    restores.restore(1, 2),
    restores.restore(1, 3),
    restores.restore(0, 1, 2),
    restores.drop(2),
    restores.drop(3),
)
"""Here nobody keeps a head either."""
NOT_WANTED = tuple(replace(event, wanted=False) for event in EVENTS)
"""In a drawn network an order may rightly never be possible."""
KEEPS_NO_HEAD = tuple(event for event in NOT_WANTED if "keeps the head" not in event.label)


class Orders(Drawn):
    """Up to five shards that split and end."""

    @initialize(
        events=st.lists(st.sampled_from(NOT_WANTED), max_size=9, unique=True)
        | st.lists(st.sampled_from(KEEPS_NO_HEAD + RESTORES), max_size=9, unique=True)
    )
    def begin(self, events: list[Any]) -> None:
        self.begin_with(net(RANGES, events, disturbed=any(event in RESTORES for event in events))())


SETTINGS = settings(
    max_examples=2_000 if LONG else 200,
    stateful_step_count=80,
    deadline=None,
    derandomize=not LONG,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # the explorer is better at short traces
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
TestTransfers = Transfers.TestCase
TestTransfers.settings = SETTINGS
TestOrders = Orders.TestCase
TestOrders.settings = SETTINGS
