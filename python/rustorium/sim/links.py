"""The network between nodes: delay, jitter, loss, duplicates, reordering and partitions, until it calms.

Invariants: a message is only ever delayed, copied or dropped, never altered. Its sender is always known (mutual
authentication). Every fault that really hit a message is counted.
"""

import random
from collections import Counter
from dataclasses import dataclass

from rustorium.consensus.pacemaker import NS_PER_MS, NS_PER_US
from rustorium.geo.floor import Delays


@dataclass(frozen=True, slots=True)
class LinkFaults:
    """Probabilities per message and times in milliseconds; all zero is a calm network."""

    delay_ms_max: float = 0.0
    delay: float = 0.0
    loss: float = 0.0
    duplicate: float = 0.0
    reorder: float = 0.0


CALM = LinkFaults()


class Links:
    def __init__(
        self,
        rng: random.Random,
        base_ms: float,
        faults: LinkFaults,
        counts: Counter[str],
        delays_us: Delays | None = None,
    ) -> None:
        """`delays_us`: the delay from each node to each, exact on a calm network, in place of `base_ms`."""
        self._rng, self._counts, self._delays_us = rng, counts, delays_us
        self._base_ns = int(base_ms * NS_PER_MS)
        self._faults = faults
        self._islands: list[int] | None = None
        self._last_arrival: dict[tuple[int, int, int], int] = {}
        self._loose: dict[tuple[int, int, int], int] = {}

    def calm(self) -> None:
        self._faults, self._islands = CALM, None

    def partition(self, islands: list[int] | None) -> None:
        """Parts the network: node i hears node j only if `islands[i] == islands[j]`. `None` joins all again."""
        self._islands = islands

    def arrivals(self, now: int, source: int, target: int, shard: int = 0) -> list[int]:
        """Returns the arrival times of a message sent now: none if it is lost, two if it is duplicated. No shard's
        messages wait behind another's."""
        rng, faults, counts = self._rng, self._faults, self._counts
        stream = (shard, source, target)
        if self._islands is not None and self._islands[source] != self._islands[target]:
            counts["partition"] += 1
            return []
        if self._delays_us is not None:
            now += self._delays_us[source][target] * NS_PER_US
            if faults is CALM:
                return [self._in_order(stream, now)]
        elif faults is CALM:
            return [self._in_order(stream, now + self._base_ns + rng.randrange(self._base_ns // 4 + 1))]
        if rng.random() < faults.loss:
            counts["loss"] += 1
            return []
        at = now + self._base_ns + rng.randrange(self._base_ns // 2 + 1)
        if rng.random() < faults.delay:
            counts["delay"] += 1
            at += int(rng.random() * faults.delay_ms_max * NS_PER_MS)
        if rng.random() < faults.reorder:
            loose = at + rng.randrange(8 * self._base_ns)
            self._loose[stream] = loose
            times = [loose]
        else:
            times = [self._in_order(stream, at)]
        if rng.random() < faults.duplicate:
            counts["duplicate"] += 1
            times.append(at + rng.randrange(8 * self._base_ns))
        return times

    def _in_order(self, stream: tuple[int, int, int], at: int) -> int:
        """Delays a message behind earlier ones: a stream delivers in order."""
        at = max(at, self._last_arrival.get(stream, 0))
        if at < self._loose.get(stream, 0):
            self._counts["reorder"] += 1  # this message overtakes an earlier one
        self._last_arrival[stream] = at
        return at
