"""The words of the model of terms and orders: entries of root's channels, changes and their answers.

Invariants: all values are tuples of integers, so that states compare and hash fast and the same in each run.
"""

from enum import IntEnum
from typing import NamedTuple


class Kind(IntEnum):
    """The kinds of entries."""

    ORDER = 0
    MAP = 1
    ANSWER = 2


class Map(NamedTuple):
    """Root's map, as one `Map` entry carries it (S37)."""

    version: int
    owners: tuple[int, ...]
    """The shard of each account."""
    generations: tuple[int, ...]
    """The generation of each shard's charter, by the newest answer; -1 for shards that aren't open."""
    epochs: tuple[int, ...]
    """For each shard the epoch of root's own record of its terms: what was in force (S15)."""


class Entry(NamedTuple):
    """A message of one shard to another. In this network each chunk has one entry."""

    kind: Kind
    number: int = -1
    """The number that root gave the change."""
    detail: tuple[int, ...] = ()
    """Further data of the kind: an order, or an outcome."""
    map: Map | tuple[()] = ()


class Change(IntEnum):
    """The contents of an order of root."""

    SPLIT = 0
    CLOSE = 1
    KEEP = 2
    KEYS = 3


class Outcome(IntEnum):
    """The answer of a shard to an order."""

    DONE = 0
    REFUSED = 1
    KEPT = 2


ROOT = 0
"""The shard that keeps the map."""
NOBODY = -1
"""No shard, or one that isn't known yet."""
