"""Schedules a plan's faults in a world: crashes, power cuts, partitions, lost and failing disks.

Invariants: what a fault does follows from the plan and the world's random numbers alone.
"""

import random
from enum import Enum
from typing import TYPE_CHECKING

from rustorium.sim.clocks import schedule_jumps

if TYPE_CHECKING:
    from rustorium.sim.scenario import Plan
    from rustorium.sim.world import World


class DiskFault(Enum):
    """The operation of a disk that fails."""

    WRITE = "write"
    SYNC = "sync"
    JOURNAL = "journal"


def schedule(world: "World", rng: random.Random, plan: "Plan", doubled: list[int]) -> None:
    """Schedules a plan's faults in the first shard's world."""
    nodes = plan.nodes
    schedule_jumps(world, plan.jumps)
    world.counts["slow node"] += plan.slow_node is not None
    for at, node, down in plan.crashes:
        world.after_ms(at, _crash, world, node, down)
    for at, node, effects in plan.cuts:
        world.after_ms(at, _cut_next_step, world, node, effects)
    for at, node, until in plan.storms:
        world.after_ms(at, _crash, world, node, 0.1)
        world.after_ms(at + until, _lose_power, world, tuple(range(nodes)), 1.0)
    for at, which, down in plan.power_losses:
        world.after_ms(at, _lose_power, world, which, down)
    if doubled and plan.twins is None:
        _move_twins(world, rng, plan.calm_ms)
    for at, last, islands in plan.partitions:
        world.after_ms(at, world.partition, islands)
        world.after_ms(at + last, world.partition, None)
    for at, node, down in plan.wiped:
        world.after_ms(at, world.wipe, node)
        world.after_ms(at + down, world.start, node)
    for at, node, what, full, nth in plan.disk_faults:
        world.after_ms(at, _fail_disk, world, node, what, full, nth)
    for at, node, place, down in plan.host_faults:
        world.after_ms(at, _fault, world.worlds[place], node, down)


def _move_twins(world: "World", rng: random.Random, calm_ms: float) -> None:
    """Schedules a moving partition with the two halves of each twin on different sides."""
    at = rng.uniform(0, 30)
    while at < calm_ms:
        islands = tuple(rng.randrange(2) for _ in range(world.size))
        world.after_ms(at, world.partition, islands if rng.random() < 0.8 else None)
        at += rng.uniform(20, 160)


def _crash(world: "World", node: int, down_ms: float) -> None:
    if world.nodes[node].port is not None:
        world.counts["crash"] += 1
        world.crash(node)
        world.after_ms(down_ms, world.start, node)


def _fault(world: "World", node: int, down_ms: float) -> None:
    if world.nodes[node].port is not None:
        world.fault(node, down_ms)


def _cut_next_step(world: "World", node: int, effects: int) -> None:
    if world.nodes[node].port is not None:
        world.nodes[node].crash_after_effects = effects


def _lose_power(world: "World", nodes: tuple[int, ...], down_ms: float) -> None:
    world.lose_power(nodes)
    for index in nodes:
        world.after_ms(down_ms + world.rng.uniform(0, 30), world.start, index)


def _fail_disk(world: "World", index: int, what: DiskFault, full: bool, nth: int) -> None:
    node = world.nodes[index]
    node.failing = True
    match what:
        case DiskFault.WRITE:
            node.disk.fail_write(nth, full)
        case DiskFault.SYNC:
            node.disk.fail_sync(nth, full)
        case DiskFault.JOURNAL:
            node.disk.fail_journal(full)
