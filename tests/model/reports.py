"""Validators' reports of their heights, and the reports on which a quorum agrees.

Invariants: a report counts once this node has reached its height with the same result; the agreed height only rises.
"""

from collections.abc import Callable


class Reports:
    """Reports of one kind of root in one epoch's committee; `me` is None for a node outside it."""

    def __init__(self, me: int | None, n: int, root_of: Callable[[int], bytes | None]) -> None:
        self._me, self._root_of = me, root_of
        self._matched = [0] * n
        self._ahead: dict[int, tuple[int, bytes]] = {}
        self._newest = 0

    def reached(self, height: int) -> None:
        """Notes that this node has reached `height`."""
        self._newest = max(self._newest, height)
        if self._me is not None:
            self._matched[self._me] = self._newest
        for peer, (reported, root) in list(self._ahead.items()):
            if reported <= self._newest:
                del self._ahead[peer]
                self.heard(peer, reported, root)

    def heard(self, peer: int, height: int, root: bytes) -> bool:
        """Takes a peer's newest height and its root; returns true if it counts already."""
        if height > self._newest:
            self._ahead[peer] = (height, root)
        elif self._root_of(height) == root and height > self._matched[peer]:
            self._matched[peer] = height
            return True
        return False

    def agreed(self, quorum: int) -> int:
        """Returns this node's newest height on which a quorum, including this node, agrees."""
        return sorted(self._matched, reverse=True)[quorum - 1]
