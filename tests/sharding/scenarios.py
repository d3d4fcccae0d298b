"""Scenarios of the model of shards, from one channel to several changes at once: each is explored whole.

Run as a program (`just model-shards`) this prints for each scenario its states, steps, depth and CPU seconds.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

from networks import SPLIT, THREE, TWO, UNBORN, act, pay

from rustorium.sharding import nodes
from rustorium.sharding.explore import Model, explore
from rustorium.sharding.happenings import close, epoch, grow_old, halt, recall, remember, replace_keys, split, upgrade
from rustorium.sharding.invariants import Checked
from rustorium.sharding.network import Network
from rustorium.sharding.restores import copy, make_void, recover, restore
from rustorium.sharding.vocabulary import Op


@dataclass(frozen=True)
class Scenario:
    """A model that must hold in all its states."""

    name: str
    model: Model[Any]
    long: bool = False
    """Too large for each run of the tests."""


def _net(name: str, *arguments: Any, long: bool = False, **options: Any) -> Scenario:
    return Scenario(name, Checked(Network(*arguments, **options)), long)


SCENARIOS = (
    _net(
        "one channel: payments both ways, an epoch, an old head, a halt",
        TWO,
        [pay(1, 0, 0), pay(0, 0, 1), pay(1, 1, 0)],
        [epoch(1), remember(1, 0), halt(0)],
        balance=2,
    ),
    _net(
        "three shards, three payments round, two epochs",
        THREE,
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [epoch(0), epoch(1)],
    ),
    _net(
        "three shards, three payments round, an epoch, an old head and a halt",
        THREE,
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [epoch(1), remember(1, 2), halt(2)],
    ),
    _net("a split on an idle chain, and a recall", SPLIT, (), [split(1, 2, 2), recall(1), epoch(1), halt(1)]),
    _net("root cuts its accounts off", [(0, 3), UNBORN], [pay(2, 0, 0)], [split(0, 1, 1), epoch(0)]),
    _net("a split, and payments to and from what moved", SPLIT, [pay(0, 0, 2), pay(2, 0, 0)], [split(1, 2, 2)]),
    _net(
        "map lag: a third shard pays an account that moves",
        [(0, 1), (1, 3), (3, 4), UNBORN],
        [pay(3, 0, 2)],
        [split(1, 2, 3)],
    ),
    _net(
        "an end on an idle chain, a recall, an epoch and a halt", THREE, (), [close(2, 1), recall(2), epoch(2), halt(1)]
    ),
    _net(
        "an end, and payments to and from the shard that ends",
        THREE,
        [pay(0, 0, 2), pay(2, 0, 0)],
        [close(2, 1), recall(2)],
    ),
    _net("an end, and payments between it and its heir", THREE, [pay(1, 0, 2), pay(2, 0, 1)], [close(2, 1), epoch(1)]),
    _net("a split and an end: there and back", SPLIT, [pay(0, 0, 2)], [split(1, 2, 2), close(2, 1)]),
    _net("class B over three shards, with a halt", THREE, [pay(1, 0, 0, 2)], [halt(2), epoch(0)], balance=2),
    _net("class B and a payment that meet", THREE, [pay(1, 0, 0, 2), pay(2, 0, 0)], balance=2),
    _net("class B while its participant ends", THREE, [pay(1, 0, 0, 2)], [close(2, 1)], balance=2),
    _net("two versions", TWO, [pay(1, 0, 0), pay(0, 0, 1)], [upgrade(0), upgrade(1)]),
    _net(
        "a split long ago: what moved accounts sent before may come back",
        SPLIT,
        [pay(2, 0, 0), act(2, 1, (Op.PUT, 0))],
        [split(1, 2, 2), grow_old(1)],
    ),
    _net(
        "owners recover a shard while a head of it is kept",
        TWO,
        [pay(1, 0, 0), pay(0, 0, 1)],
        [copy(1), remember(1, 0), make_void(1), recover(1)],
        disturbed=True,
    ),
    _net(
        "class B, and its coordinator is restored",
        THREE,
        [pay(1, 0, 0, 2)],
        [copy(1), restore(1)],
        balance=2,
        disturbed=True,
    ),
    _net("a key is replaced while a shard splits", SPLIT, (), [split(1, 2, 2), replace_keys()]),
    _net(
        "a split of a busy chain, a failed payment of an account that moves",
        SPLIT,
        [pay(2, 0, 0), pay(1, 0, 2, 0)],
        [split(1, 2, 2)],
        balance=3,
        long=True,
    ),
    _net(
        "class B while a split waits for it",
        [(0, 1), (1, 3), (3, 4), UNBORN],
        [pay(1, 0, 0, 3)],
        [split(1, 2, 3), recall(1)],
        balance=2,
        long=True,
    ),
    _net(
        "a split, three payments, an old head and a halt",
        SPLIT,
        [pay(0, 0, 2), pay(2, 0, 0), pay(1, 0, 2)],
        [split(1, 2, 2), remember(1, 0), halt(1)],
        long=True,
    ),
    _net(
        "a split, two payments, an epoch, an old head and a halt",
        SPLIT,
        [pay(0, 0, 2), pay(2, 0, 0)],
        [split(1, 2, 2), epoch(1), remember(1, 0), halt(1)],
        long=True,
    ),
    _net(
        "two splits far apart, at once",
        [(2, 3), (0, 2), (3, 5), UNBORN, UNBORN],
        (),
        [split(1, 1, 3), split(2, 4, 4)],
        long=True,
    ),
    _net("two class B transactions that meet", THREE, [pay(1, 0, 0, 2), pay(2, 0, 0, 1)], balance=2, long=True),
    _net(
        "class B with locks that meet",
        THREE,
        [act(1, 0, (Op.PUT, 0), (Op.CREDIT, 2)), act(2, 0, (Op.PUT, 0), (Op.CREDIT, 1))],
        long=True,
    ),
    _net(
        "three payments round, an end, a recall and an epoch",
        THREE,
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [close(2, 1), recall(2), epoch(1)],
        long=True,
    ),
    _net(
        "three payments round, an end and an old head",
        THREE,
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [close(2, 1), remember(1, 2)],
        long=True,
    ),
    _net(
        "a split, three payments and an epoch",
        SPLIT,
        [pay(0, 0, 2), pay(2, 0, 0), pay(1, 0, 2)],
        [split(1, 2, 2), epoch(0)],
        long=True,
    ),
    _net(
        "there and back, two payments",
        SPLIT,
        [pay(0, 0, 2), pay(2, 0, 0)],
        [split(1, 2, 2), close(2, 1)],
        long=True,
    ),
    Scenario("stamps of a busy chain", nodes.Stamping(4)),
    Scenario("slots of deliveries", nodes.Slots()),
    Scenario("the disk at a birth", nodes.Births()),
    Scenario("the disk at an absorption", nodes.Absorbing()),
    Scenario("reports of load", nodes.Reporting()),
)
"""All scenarios, small ones first."""


def main(arguments: list[str]) -> int:
    """Explores the scenarios whose name has one of the words, or all."""
    faults = 0
    for scenario in SCENARIOS:
        if arguments and not any(word in scenario.name for word in arguments):
            continue
        before = time.process_time()
        report = explore(scenario.model, 5_000_000)
        print(f"{time.process_time() - before:7.1f} s  {scenario.name}: {report}", flush=True)
        faults += report.fault is not None
    return int(faults > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
