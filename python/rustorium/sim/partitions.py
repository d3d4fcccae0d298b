"""Lists all ways to cut a network apart, in one order.

Invariants: every partition of a set appears once; the order never changes, so a number names a partition.
"""

from functools import lru_cache


@lru_cache(maxsize=8)
def set_partitions(size: int, islands_max: int | None = None) -> tuple[tuple[int, ...], ...]:
    """Returns the partitions of `size` nodes into at most `islands_max` islands: for each node the number of its
    island.

    Islands are numbered by their first node. The first partition is the whole."""
    grown: list[tuple[int, ...]] = [()]
    for _ in range(size):
        grown = [
            (*islands, island)
            for islands in grown
            for island in range(max(islands, default=-1) + 2)
            if islands_max is None or island < islands_max
        ]
    return tuple(grown)
