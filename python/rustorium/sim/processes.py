"""A node's process in a simulated world: what its hosted shards share.

Invariants: hosts begin and die with their process; a host that ends by itself takes neither the process nor its links
with it.
"""


class Process:
    """A process across its restarts."""

    def __init__(self) -> None:
        self.running = False
        self.incarnation = 0
        """Number of beginnings and ends so far."""
        self.linked: set[int] = set()
        """Numbers of the nodes with which the process is linked."""

    def begin(self) -> None:
        self.running = True
        self.incarnation += 1

    def end(self) -> None:
        self.running = False
        self.incarnation += 1
        self.linked.clear()
