"""Tracks which nodes remember the votes of a node whose disk is lost: if all others lost their memory since, no node
does.

Invariants: a message on its way counts as heard when it arrives. A crash erases memory alone; disks are tracked
elsewhere.
"""

VoteKey = tuple[int, int, int, int]
"""Epoch, node, view, kind."""


class Memories:
    """Arrivals of frames and crashes, in their order."""

    def __init__(self, nodes: int) -> None:
        self._nodes = range(nodes)
        self._now = 0
        self._heard: dict[int, int] = {}
        """The last time at which any node heard each speaker, and may have passed it on."""
        self._crashed: dict[int, int] = {}
        self._lost: dict[int, tuple[int, set[VoteKey]]] = {}
        """Nodes whose disk is lost: the last incarnation before that, and the votes that they had cast."""

    def heard(self, source: int, incarnation: int) -> None:
        """Records that a frame arrived. Frames sent after a disk was lost don't bring back earlier votes."""
        self._now += 1
        if incarnation <= self._lost.get(source, (incarnation, set()))[0]:
            self._heard[source] = self._now

    def crashed(self, node: int) -> None:
        """Records that a node's memory is lost."""
        self._now += 1
        self._crashed[node] = self._now

    def wiped(self, node: int, incarnation: int, said: set[VoteKey]) -> None:
        """Records that a node's disk is lost."""
        self._lost[node] = (incarnation, said)

    def has_forgotten(self, key: VoteKey) -> bool:
        """Checks whether a vote is forgotten: the node lost its disk after it, and all others lost their memory after
        they last heard from the node."""
        node = key[1]
        if key not in self._lost.get(node, (0, set[VoteKey]()))[1]:
            return False
        heard = self._heard.get(node, 0)
        return all(self._crashed.get(other, 0) > heard for other in self._nodes if other != node)
