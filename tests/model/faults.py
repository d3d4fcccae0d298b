"""Faults that occur at stages of an epoch's end instead of at a time.

Invariants: a fault occurs once, at the first node that reaches its stage. The plan contains it, so the same seed has it
again.
"""

from enum import Enum
from typing import NamedTuple


class Stage(Enum):
    """A node's progress with an epoch's boundary; the epoch is the one that ends."""

    NOTARIZED = "notarized"
    """The node has the boundary's notarization."""
    FINAL = "final"
    """The node knows that the boundary is final."""
    EXECUTED = "executed"
    """The node has executed and stored the boundary, and not begun the next epoch."""
    BEGUN = "begun"
    """The node has begun the next epoch."""
    VOTED = "voted"
    """A vote of the node in the next epoch has left."""


class BoundaryFault(NamedTuple):
    """The fault of the first node that reaches `stage` of `epoch`'s end; with `power`, all nodes lose power."""

    epoch: int
    stage: Stage
    power: bool
    down_ms: float
