"""Pauses between attempts of one call."""

import random
from collections.abc import Iterator

PAUSE_S_MIN, PAUSE_S_MAX = 0.002, 0.25
"""Longest pause before the second attempt and before late ones; each pause is a random part of it."""


def pauses() -> Iterator[float]:
    """Yields random pauses, so that processes that were refused together don't collide again."""
    longest = PAUSE_S_MIN
    while True:
        yield random.uniform(0.0, longest)
        longest = min(2 * longest, PAUSE_S_MAX)
