"""Clocks that jump: forwards and backwards, at one node, at f + 1 and at all, while monotonic time continues.

Invariants: jumps are a function of the plan's random numbers; a node's clock keeps its offset across restarts.
"""

import math
import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rustorium.sim.world import World

SMALLEST_MS, LARGEST_MS = 100, 3_600_000
RECOVERED_MS = 30_000.0
"""Time limit for the first final block after the last jump."""
EVENTS_MAX = 4_000_000
WAKE_MS = 1_000.0
"""The longest time between two looks of a node at its clock."""


@dataclass(frozen=True, slots=True)
class Jump:
    """A jump of some clocks by `ms`; negative: backwards."""

    at_ms: float
    nodes: tuple[int, ...]
    ms: int


def draw_jumps(rng: random.Random, nodes: int, calm_ms: float) -> tuple[Jump, ...]:
    """Draws one to three jumps. Half of them are undone later, as by an operator who corrects the clock."""
    jumps: list[Jump] = []
    for _ in range(rng.randint(1, 3)):
        count = rng.choice([1, (nodes - 1) // 3 + 1, nodes])
        which = tuple(sorted(rng.sample(range(nodes), count)))
        size = round(math.exp(rng.uniform(math.log(SMALLEST_MS), math.log(LARGEST_MS))))
        first, second = sorted(rng.uniform(50, calm_ms) for _ in range(2))
        jump = Jump(first, which, rng.choice([-size, size]))
        jumps.append(jump)
        if rng.random() < 0.5:
            jumps.append(Jump(second, which, -jump.ms))
    return tuple(sorted(jumps, key=lambda jump: jump.at_ms))


def schedule_jumps(world: "World", jumps: tuple[Jump, ...]) -> None:
    """Schedules jumps in a world."""
    for jump in jumps:
        world.after_ms(jump.at_ms, _jump, world, jump)


def _jump(world: "World", jump: Jump) -> None:
    world.counts["clock forwards" if jump.ms > 0 else "clock backwards"] += 1
    for number in jump.nodes:
        world.jump_clock(number, jump.ms, WAKE_MS)


def play_on(world: "World") -> str:
    """Plays on after the last jump, until a block is final. Returns the goal that it missed, or an empty string."""
    world.time.events_max = EVENTS_MAX
    height = world.checkers.final_height
    if world.run(world.now / 1e6 + RECOVERED_MS, lambda: world.checkers.final_height > height):
        return ""
    return f"no final block above {height} within {RECOVERED_MS:.0f} ms after clocks jumped"
