"""Token buckets by key: the rate at which each caller may call.

Invariants: the clock is an argument. The number of keys is bounded: a new key replaces the least recently used one,
whose bucket is full again by then, unless a flood comes from thousands of places at once.
"""

from collections import OrderedDict
from collections.abc import Hashable


class Buckets:
    """Buckets that allow `burst` at once, and `rate_per_s` from then on, for each key."""

    def __init__(self, rate_per_s: float, burst: float, keys_max: int = 1024) -> None:
        self._rate_per_s, self._burst, self._keys_max = rate_per_s, burst, keys_max
        self._levels: OrderedDict[Hashable, tuple[float, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, key: Hashable, now_s: float, cost: float = 1.0) -> float:
        """Takes `cost` if available and returns 0; otherwise takes nothing and returns the seconds to wait."""
        level, at_s = self._levels.pop(key, (self._burst, now_s))
        level = min(self._burst, level + max(0.0, now_s - at_s) * self._rate_per_s)
        granted = level >= cost
        self._levels[key] = (level - cost if granted else level, now_s)
        if len(self._levels) > self._keys_max:
            self._levels.popitem(last=False)
        return 0.0 if granted else (cost - level) / self._rate_per_s
