"""The estimator of clock offsets, on nets with clocks, links and leaders by seed, of which the true offsets are known.

Invariants: no clock is read; every seed is fixed.
"""

import random
from dataclasses import dataclass

import pytest

from rustorium.observe.nodelogs.clocks import BLOCKS_MAX, WINDOW, Clocks, Offset
from rustorium.observe.nodelogs.lines import Entry


def line(event: str, ts: int, height: int, **fields: object) -> Entry:
    found = {"ts": ts, "level": "info", "event": event, "height": height, "view": height + 3, "epoch": 0, **fields}
    return Entry(ts, "info", event, found, b"")


@dataclass
class World:
    """A net: true offsets, minimum delays of links, and the log lines of its nodes."""

    seeded: random.Random
    offsets: list[int]
    delays: list[list[int]]

    @classmethod
    def drawn(cls, seed: int, n: int, skew_ms: int = 5_000) -> "World":
        seeded = random.Random(seed)
        offsets = [seeded.randint(-skew_ms, skew_ms) for _ in range(n)]
        return cls(seeded, offsets, [[seeded.randint(1, 150) for _ in range(n)] for _ in range(n)])

    def block(self, height: int, at_ms: int, proposer: int) -> list[tuple[int, Entry]]:
        """Returns the lines of one block, in the order of the true time."""
        lines = [(at_ms, proposer, "proposed")]
        for node in range(len(self.offsets)):
            late = self.seeded.choice([0, 0, 1, 7, 40, 900])
            lines.append((at_ms + 1 + (self.delays[proposer][node] if node != proposer else 0) + late, node, "final"))
        lines.sort()
        return [(node, line(event, at + self.offsets[node], height)) for at, node, event in lines]

    def median_offset(self) -> int:
        return sorted(self.offsets)[(len(self.offsets) - 1) // 2]


@pytest.mark.parametrize("seed", range(40))
def test_estimates_are_within_their_bounds_of_the_truth(seed: int) -> None:
    n = 3 + seed % 7
    world, clocks = World.drawn(seed, n), Clocks(n)
    for height in range(1, 20 * n):
        for node, entry in world.block(height, height * 5_000, height % n):
            clocks.see(node, entry)
    clocks.solve()
    assert clocks.jumps == 0
    bounds = [offset.bound_ms for offset in clocks.offsets]
    assert all(bound is not None and bound <= 160 for bound in bounds), "half of a round trip and a bit"
    # The estimates count from the median node's clock. The true median may be another node's clock.
    zero = clocks.offsets.index(Offset(0, 0))
    assert sorted(offset.ms for offset in clocks.offsets)[(n - 1) // 2] == 0
    for i, offset in enumerate(clocks.offsets):
        true = world.offsets[i] - world.offsets[zero]
        assert abs(offset.ms - true) <= (offset.bound_ms or 0)


@pytest.mark.parametrize("seed", range(20))
def test_corrected_lines_never_show_an_effect_before_its_cause(seed: int) -> None:
    n = 4
    world, clocks = World.drawn(seed, n), Clocks(n)
    shown: dict[int, list[tuple[int, Entry]]] = {}
    for height in range(1, WINDOW):
        shown[height] = world.block(height, height * 5_000, world.seeded.randrange(n))
        for node, entry in shown[height]:
            clocks.see(node, entry)
    clocks.solve()
    for lines in shown.values():
        at = [entry.ts - clocks.offsets[node].ms for node, entry in lines]
        assert min(at) == at[0], "the proposal comes first"


def test_the_order_of_lines_does_not_matter() -> None:
    world = World.drawn(5, 4)
    lines = [one for height in range(1, 30) for one in world.block(height, height * 5_000, height % 4)]
    found = []
    for seed in range(5):
        clocks = Clocks(4)
        random.Random(seed).shuffle(lines)
        for node, entry in lines:
            clocks.see(node, entry)
        clocks.solve()
        found.append(clocks.offsets)
    assert all(one == found[0] for one in found)


def test_one_leader_bounds_one_side_only_and_its_clock_is_believed_where_it_can_be() -> None:
    clocks = Clocks(3)
    for height in range(1, 20):
        clocks.see(0, line("proposed", height * 5_000, height))
        clocks.see(1, line("final", height * 5_000 + 30, height))
        clocks.see(2, line("final", height * 5_000 - 700, height))
    clocks.solve()
    assert [offset.bound_ms for offset in clocks.offsets][1:] == [None, None]
    assert clocks.offsets[1].ms == clocks.offsets[0].ms, "nothing contradicts that both are right"
    assert clocks.offsets[2].ms - clocks.offsets[0].ms == -700, "it must be behind by so much at least"


def test_a_clock_that_is_set_is_followed() -> None:
    world, clocks = World.drawn(11, 4, skew_ms=50), Clocks(4)
    for height in range(1, 200):
        if height == 100:
            world.offsets[2] += 60_000
        for node, entry in world.block(height, height * 5_000, height % 4):
            clocks.see(node, entry)
    clocks.solve()
    assert clocks.jumps > 0
    for i in range(4):
        true = world.offsets[i] - world.offsets[0]
        assert abs(clocks.offsets[i].ms - clocks.offsets[0].ms - true) <= 320


def test_a_clock_that_drifts_is_followed() -> None:
    world, clocks = World.drawn(3, 4, skew_ms=0), Clocks(4)
    for height in range(1, 2_000):
        world.offsets[1] = height // 4  # a quarter of a millisecond in five seconds: 50 ppm
        for node, entry in world.block(height, height * 5_000, height % 4):
            clocks.see(node, entry)
    clocks.solve()
    true = world.offsets[1] - world.offsets[0]
    assert abs(clocks.offsets[1].ms - clocks.offsets[0].ms - true) <= 320
    assert clocks.jumps == 0


def test_memory_is_bounded_for_any_lines() -> None:
    clocks, seeded = Clocks(3), random.Random(1)
    for _ in range(20_000):
        event = seeded.choice(["proposed", "final"])
        clocks.see(seeded.randrange(3), line(event, seeded.randrange(10**12), seeded.randrange(10**9)))
    assert len(clocks._blocks) <= BLOCKS_MAX
    assert all(len(samples) <= WINDOW for samples in clocks._samples.values())


def test_lines_without_a_place_and_lies_are_passed_over() -> None:
    clocks = Clocks(2)
    clocks.see(0, line("proposed", 1_000, 1, view="1"))
    clocks.see(0, line("proposed", 1_000, 1, epoch=True))
    clocks.see(0, line("other", 1_000, 1))
    clocks.see(0, Entry(1, "info", "final", {}, b""))
    assert not clocks._blocks
    clocks.see(0, line("proposed", 1_000, 1))
    clocks.see(1, line("proposed", 9_000, 1))
    clocks.see(1, line("final", 1_020, 1))
    clocks.see(1, line("final", 5_000, 1))
    clocks.solve()
    assert (clocks.jumps, clocks._samples) == (0, {(0, 1): clocks._samples[0, 1]})
    assert list(clocks._samples[0, 1]) == [20], "the first word of each counts"
    assert Clocks(0).offsets == []
