"""Scenarios of the model of shards, from one channel to several changes at once: each is explored whole.

Run as a program (`just model-shards`) this prints for each scenario its states, steps, depth and CPU seconds.
"""

import sys
import time
from dataclasses import dataclass
from typing import Any

from networks import SPLIT, THREE, UNBORN, cross, issue, net, opens, pay

from rustorium.sharding import disturbances, nodes
from rustorium.sharding.disturbances import garbage, keep, leak, lie, pause, pause_account, stop, stop_again, upgrade
from rustorium.sharding.explore import Model, explore
from rustorium.sharding.happenings import close, epoch, halt, recall, remember, replace_keys, split
from rustorium.sharding.ledgers import Act, Credit, Limits
from rustorium.sharding.restores import copy, restore


@dataclass(frozen=True)
class Scenario:
    """A model that must hold in all its states."""

    name: str
    model: Model[Any]
    long: bool = False
    """Too large for each run of the tests."""


def _net(name: str, *arguments: Any, long: bool = False, **options: Any) -> Scenario:
    return Scenario(name, net(*arguments, **options)(), long)


def _cross(name: str, *arguments: Any, long: bool = False, **options: Any) -> Scenario:
    return Scenario(name, cross(*arguments, **options)(), long)


FORGED = Credit(9, 0, Act.PAY, 1, 1)
"""A credit that no transaction of a scenario makes."""
TRANSFERS = (
    _cross(
        "payments both ways, an epoch, an old head, a halt",
        (0, 1),
        [pay(1, 0, 0), pay(0, 0, 1), pay(1, 1, 0)],
        [disturbances.epoch(1), keep(1, 0), disturbances.halt(0)],
        balance=2,
    ),
    _cross(
        "refused payments, and an old head",
        (0, 1, 1),
        [pay(0, 0, 1), pay(0, 1, 2), pay(1, 0, 0)],
        [keep(1, 0)],
        balance=2,
        missing=frozenset({2}),
    ),
    _cross(
        "new balance leaves", (0, 1, 1), [pay(0, 0, 1), pay(0, 1, 2, 1), pay(1, 0, 2)], balance=3, empty=frozenset({2})
    ),
    _cross(
        "an account is opened twice from another shard, and paid",
        (0, 1, 1),
        [opens(0, 0, 2), opens(0, 1, 2), pay(0, 2, 2)],
        missing=frozenset({2}),
    ),
    _cross(
        "issues above the greatest balance",
        (0, 1),
        [issue(0, 0, 1), issue(0, 1, 1), pay(1, 0, 0)],
        limits=Limits(balance_max=2),
    ),
    _cross(
        "a return finds no room",
        (0, 1),
        [issue(1, 0, 0), pay(0, 0, 1), issue(1, 1, 0)],
        [pause_account(1)],
        limits=Limits(balance_max=2),
    ),
    _cross(
        "three shards, three payments round, an epoch and an old head",
        (0, 1, 2),
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [disturbances.epoch(0), keep(0, 1)],
    ),
    _cross("a head is shown to another shard", (0, 1, 2), [pay(0, 0, 1, 2), pay(1, 0, 0)], [keep(0, 1, 2)], balance=2),
    _cross(
        "channels that are full both ways",
        (0, 1),
        [pay(0, 0, 1), pay(1, 0, 0), pay(0, 1, 1), pay(1, 1, 0)],
        [pause_account(1)],
        limits=Limits(open_max=1),
        balance=2,
    ),
    _cross(
        "a flood the other way",
        (0, 1),
        [pay(0, 0, 1), pay(1, 0, 0), pay(1, 1, 0), pay(1, 2, 0)],
        [pause_account(1), keep(1, 0)],
        balance=3,
    ),
    _cross(
        "more answers in a block than a chunk takes",
        (0, 1, 1),
        [pay(0, 0, 1, 1), pay(0, 1, 1), pay(1, 0, 0)],
        balance=3,
        limits=Limits(chunk_max=1),
        empty=frozenset({1}),
        missing=frozenset({2}),
    ),
    _cross("pauses", (0, 1), [pay(0, 0, 1), pay(1, 0, 0)], [pause(1), pause_account(1), pause(0)]),
    _cross(
        "two epochs, and old keys leak",
        (0, 1),
        [pay(0, 0, 1)],
        [
            disturbances.epoch(0),
            disturbances.epoch(0),
            disturbances.epoch(1),
            leak(0, 0),
            keep(0, 1),
            lie(0, 0, 1, FORGED),
        ],
    ),
    _cross("two versions", (0, 1), [pay(0, 0, 1), pay(1, 0, 0)], [upgrade(0), upgrade(1)]),
    _cross("a wrong chunk under a true head", (0, 1), [pay(0, 0, 1)], [garbage(0, 1, FORGED), keep(0, 1)]),
    _cross(
        "both shards are restored",
        (0, 1),
        [pay(0, 0, 1)],
        [disturbances.copy(0), disturbances.copy(1), disturbances.restore(0, 1), disturbances.copy(0, 1)],
    ),
    _cross(
        "one shard is restored",
        (0, 1),
        [pay(0, 0, 1), pay(1, 0, 0)],
        [disturbances.copy(0), disturbances.restore(0), disturbances.epoch(0)],
    ),
    _cross(
        "owners recover a shard while a head of it is kept",
        (0, 1),
        [pay(0, 0, 1), pay(1, 0, 0)],
        [
            disturbances.copy(0),
            disturbances.epoch(0),
            keep(0, 1),
            stop(0),
            stop_again(0),
            disturbances.recover(0),
        ],
    ),
    _cross(
        "three payments round, an epoch, two old heads and a halt",
        (0, 1, 2),
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [disturbances.epoch(0), keep(0, 1), keep(1, 2), disturbances.halt(2)],
        long=True,
    ),
    _cross(
        "six payments both ways, some of them refused, in small chunks",
        (0, 1, 0, 1),
        [pay(0, 0, 1), pay(0, 1, 3), pay(0, 2, 1), pay(1, 0, 0), pay(1, 1, 2), pay(1, 2, 0)],
        [keep(0, 1), disturbances.epoch(1)],
        balance=3,
        missing=frozenset({2, 3}),
        limits=Limits(open_max=3, chunk_max=1),
        long=True,
    ),
    _cross(
        "owners recover one of three shards",
        (0, 1, 2),
        [pay(0, 0, 1), pay(1, 0, 2), pay(2, 0, 0)],
        [disturbances.copy(0), disturbances.epoch(0), keep(0, 1), stop(0), stop_again(0), disturbances.recover(0)],
        long=True,
    ),
)
ORDERS = (
    _net(
        "a split on an idle chain, a recall, an epoch and a halt", SPLIT, [split(1, 2, 2), recall(1), epoch(1), halt(1)]
    ),
    _net("root cuts its accounts off", [(0, 3), UNBORN], [split(0, 1, 1), epoch(0)]),
    _net("a split, an old head and a halt", SPLIT, [split(1, 2, 2), remember(1, 0), halt(1)]),
    _net("an end on an idle chain, a recall, an epoch and a halt", THREE, [close(2, 1), recall(2), epoch(2), halt(1)]),
    _net("a split and an end: there and back", SPLIT, [split(1, 2, 2), close(2, 1)]),
    _net("there and back, backups and restores", SPLIT, [split(1, 2, 2), copy(1), restore(1)], disturbed=True),
    _net("a key is replaced while a shard splits", SPLIT, [split(1, 2, 2), replace_keys()]),
    _net("a key is replaced while a shard ends", THREE, [close(2, 1), replace_keys()]),
    _net(
        "two splits far apart, at once",
        [(2, 3), (0, 2), (3, 5), UNBORN, UNBORN],
        [split(1, 1, 3), split(2, 4, 4)],
        long=True,
    ),
    _net(
        "there and back, a recall, an old head and a halt",
        SPLIT,
        [split(1, 2, 2), close(2, 1), recall(1), remember(1, 0), halt(1)],
        long=True,
    ),
)
SCENARIOS = (
    *TRANSFERS,
    *ORDERS,
    Scenario("stamps of a busy chain", nodes.Stamping(4)),
    Scenario("slots of deliveries", nodes.Slots()),
    Scenario("the disk at a birth", nodes.Births()),
    Scenario("the disk at an absorption", nodes.Absorbing()),
    Scenario("reports of load", nodes.Reporting()),
)
"""All scenarios: those of transfers, those of terms and orders, those of single nodes."""


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
