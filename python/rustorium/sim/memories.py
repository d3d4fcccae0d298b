"""Who still remembers what a node said whose disk is gone: where all others lost their memory since, nobody does.

Invariants: what is on its way counts as heard when it comes; a crash takes memory alone, of disks others speak.
"""

VoteKey = tuple[int, int, int, int]
"""Epoch, node, view, kind."""


class Memories:
    """Hearings and crashes, in their order."""

    def __init__(self, nodes: int) -> None:
        self._nodes = range(nodes)
        self._now = 0
        self._heard: dict[int, int] = {}
        """By speaker: when anybody heard it last, who may have passed it on."""
        self._crashed: dict[int, int] = {}
        self._lost: dict[int, tuple[int, set[VoteKey]]] = {}
        """Of nodes whose disk is gone: the last start before that, and what they had said."""

    def heard(self, source: int, incarnation: int) -> None:
        """A frame came. What was said after a disk was lost brings nothing back of what was said before."""
        self._now += 1
        if incarnation <= self._lost.get(source, (incarnation, set()))[0]:
            self._heard[source] = self._now

    def crashed(self, node: int) -> None:
        """A node's memory is gone."""
        self._now += 1
        self._crashed[node] = self._now

    def wiped(self, node: int, incarnation: int, said: set[VoteKey]) -> None:
        """A node's disk is gone."""
        self._lost[node] = (incarnation, said)

    def has_forgotten(self, key: VoteKey) -> bool:
        """Whether the node lost its disk after this vote, and every other one its memory after anybody heard of it."""
        node = key[1]
        if key not in self._lost.get(node, (0, set[VoteKey]()))[1]:
            return False
        heard = self._heard.get(node, 0)
        return all(self._crashed.get(other, 0) > heard for other in self._nodes if other != node)
