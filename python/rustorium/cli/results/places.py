"""Results about where nodes stand.

Invariants: PURE; places are degrees north and east, times Unix ms.
"""

from rustorium.cli.results.base import Json, Result


class NodeCard(Result):
    """A card that a node signed about itself."""

    file: str
    node_key: str
    region: int
    """The region's byte."""
    url: str
    until_ms: int


class DirectoryNode(Result):
    """A node in the chain's directory."""

    node_key: str
    region: int
    region_name: str
    place: list[float] | None
    """Degrees north and east: the node's, or its region's."""
    url: str
    """Of its HTTP API, for clients."""
    until_ms: int
    """The record says nothing from then on."""


class ValidatorPlace(Result):
    """How far a validator is from the others, and how near to the floor what its clients wait."""

    name: str
    region_name: str
    round_trips_ms: Json
    """To the others that were measured, by their names."""
    usual_ms: Json
    """What is usual between the regions."""
    floor_ms: float | None
    """The least time to finality by the measured round trips; `None` if one is missing."""
    usual_floor_ms: float | None
    final_ms: float | None
    """What its clients wait on average."""
