"""R16, R17: what leaders cost that show life and don't propose.

Invariants: virtual time and fixed seeds; the mute members never vote either, so that the others are just a quorum.
"""

from collections.abc import Callable

import pytest
from virtual_links import Links

SIZES = [4, 7, 16, 31]
FULL_EVERY = 32


def faults(n: int) -> int:
    return (n - 1) // 3


def adjacent(n: int) -> list[int]:
    return list(range(faults(n)))


def spread(n: int) -> list[int]:
    return [number * n // faults(n) for number in range(faults(n))]


def views_per_second(links: Links, after_cycles: int, cycles: int) -> float:
    links.run(1e9, lambda: links.views() > after_cycles * links.n)
    first, start = links.views(), links.now
    links.run(1e9, lambda: links.views() >= first + cycles * links.n)
    return (links.views() - first) * 1e9 / (links.now - start)


@pytest.mark.parametrize("where", [adjacent, spread])
@pytest.mark.parametrize("n", SIZES)
def test_f_mute_leaders_cost_at_most_half_the_views(n: int, where: Callable[[int], list[int]]) -> None:
    calm = views_per_second(Links(n), 1, 4)
    assert views_per_second(Links(n, where(n)), 4, FULL_EVERY) >= calm / 2
