"""Networks beyond what can be explored whole: Hypothesis draws shards' plans and events, and what happens next."""

import os
from dataclasses import replace
from random import Random

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from rustorium.sharding.happenings import close, epoch, grow_old, halt, recall, remember, replace_keys, split, upgrade
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Happening, Network, World
from rustorium.sharding.restores import copy, drop, restore
from rustorium.sharding.vocabulary import Group, Op, Transaction

RANGES = [(0, 1), (1, 3), (3, 5), (0, 0), (0, 0)]
"""Three shards with five accounts; two more shards may be born."""
ACCOUNTS = range(5)
EVENTS = (
    split(1, 2, 3),
    split(2, 4, 4),
    close(2, 1),
    close(3, 2),
    close(3, 1),
    close(4, 2),
    recall(1),
    recall(2),
    recall(3),
    epoch(0),
    epoch(1),
    epoch(2),
    epoch(3),
    halt(0),
    halt(1),
    halt(2),
    halt(3),
    remember(0, 1),
    remember(1, 0),
    remember(1, 3),
    remember(2, 1),
    replace_keys(),
    upgrade(0),
    upgrade(2),
    grow_old(1),
)
RESTORES = (
    *(copy(shard) for shard in range(4)),
    copy(0, 1, 2),
    *(restore(shard) for shard in range(4)),
    restore(0, 1),
    restore(1, 2),
    restore(1, 3),
    restore(0, 1, 2),
    drop(2),
    drop(3),
)
"""Backups and what owners make of them. Nobody keeps a head beside them: that takes a recovery in steps (S53)."""
NOT_WANTED = tuple(replace(event, wanted=False) for event in EVENTS)
"""In a drawn network an order may rightly never be possible."""
KEEPS_NO_HEAD = tuple(event for event in NOT_WANTED if "keeps the head" not in event.label)
DRAWN_EVENTS = st.lists(st.sampled_from(NOT_WANTED), max_size=7, unique=True) | st.lists(
    st.sampled_from(KEEPS_NO_HEAD + RESTORES), max_size=9, unique=True
)
OPS = st.sampled_from([Op.CREDIT, Op.CREDIT, Op.CREDIT, Op.PUT, Op.ISSUE])
GROUPS = st.lists(st.builds(Group, OPS, st.sampled_from(ACCOUNTS)), min_size=1, max_size=3, unique=True)
SENDERS = st.lists(st.tuples(st.sampled_from(ACCOUNTS), GROUPS), max_size=6)
LONG = os.environ.get("RUSTORIUM_SHARDS_MODEL") == "long"


def numbered(drawn: list[tuple[int, list[Group]]]) -> list[Transaction]:
    """Gives the transactions of each sender their nonces."""
    before: dict[int, int] = {}
    plan = []
    for sender, groups in drawn:
        plan.append(Transaction(sender, before.get(sender, 0), tuple(groups)))
        before[sender] = before.get(sender, 0) + 1
    return plan


class Shards(RuleBasedStateMachine):
    """One network. Whatever has happened, fair steps in any order end all that was begun."""

    model: Checked
    world: World

    @initialize(drawn=SENDERS, events=DRAWN_EVENTS, balance=st.integers(1, 3))
    def begin(self, drawn: list[tuple[int, list[Group]]], events: list[Happening], balance: int) -> None:
        disturbed = any(event in RESTORES for event in events)
        self.model = Checked(Network(RANGES, numbered(drawn), events, balance=balance, disturbed=disturbed))
        self.world = self.model.start()
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


TestShards = Shards.TestCase
TestShards.settings = settings(
    max_examples=2_000 if LONG else 300,
    stateful_step_count=80,
    deadline=None,
    derandomize=not LONG,
    phases=(Phase.explicit, Phase.reuse, Phase.generate),  # the explorer is better at short traces
    report_multiple_bugs=False,
    suppress_health_check=list(HealthCheck),
)
