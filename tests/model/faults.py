"""Faults that strike by what a run comes to, not by the clock: at the stages of an epoch's end.

Invariants: a fault strikes once, at the first node that comes to its stage; it is a plan's, so the same seed has it
again.
"""

from enum import Enum
from typing import NamedTuple


class Stage(Enum):
    """Where a node is with an epoch's boundary; the epoch is the one that ends."""

    NOTARIZED = "notarized"
    """It has the boundary's notarization."""
    FINAL = "final"
    """It knows that the boundary is final."""
    EXECUTED = "executed"
    """It has executed and stored the boundary, and not begun the next epoch."""
    BEGUN = "begun"
    """It has begun the next epoch."""
    VOTED = "voted"
    """A vote of it in the next epoch has left."""


class BoundaryFault(NamedTuple):
    """What happens to the first node that comes to `stage` of `epoch`'s end; to all where `power` is lost."""

    epoch: int
    stage: Stage
    power: bool
    down_ms: float
