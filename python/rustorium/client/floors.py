"""How far this client knows each shard's chain: a proven read is never of a lower height.

Invariants: PURE; a height of one shard says nothing about another; the number of shards is bounded.
"""

from collections import OrderedDict
from typing import NamedTuple

from rustorium.types import Receipt

WRITTEN_MAX = 64
"""Shards of which own writes are remembered. A receipt names its shard on the node's word, so that it may be any."""


class OwnWrite(NamedTuple):
    """The newest of this client's own writes in a shard."""

    height: int = 0
    """0: there is none."""
    time_ms: int = 0


class Floors:
    """The heights of each shard that were shown to this client, and those that it wrote."""

    def __init__(self) -> None:
        self._shown: dict[int, int] = {}
        self._wrote: OrderedDict[int, OwnWrite] = OrderedDict()

    def least(self, shard: int) -> int:
        """Returns the lowest height that a read may be of."""
        return max(self.shown(shard), self.own(shard).height)

    def shown(self, shard: int) -> int:
        """Returns the highest proven height."""
        return self._shown.get(shard, 0)

    def own(self, shard: int) -> OwnWrite:
        """Returns the newest own write."""
        return self._wrote.get(shard, OwnWrite())

    def show(self, shard: int, height: int) -> None:
        """Takes a height that was proven."""
        self._shown[shard] = max(self.shown(shard), height)

    def write(self, receipt: Receipt, now_ms: int) -> None:
        """Takes a receipt of an own write."""
        if receipt.height > self.own(receipt.shard).height:
            # A node may name any time: one that is still to come would hold for long.
            self._wrote[receipt.shard] = OwnWrite(receipt.height, min(receipt.time_ms, now_ms))
        if receipt.shard in self._wrote:
            self._wrote.move_to_end(receipt.shard)
        while len(self._wrote) > WRITTEN_MAX:
            self._wrote.popitem(last=False)

    def forget_write(self, shard: int) -> None:
        """Forgets the newest own write."""
        self._wrote.pop(shard, None)
