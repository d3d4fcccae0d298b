"""The one port where decisions (Python) meet bytes (Rust): effects go down, inputs come up.

Invariants: no effect returns a value. Effects of one `submit` are carried out in list order, and a crash between any
two is legal. What consensus needs is never dropped; inputs coalesce instead. Two implementations: the native shard and
`sim.port`.
"""

from collections.abc import Sequence
from typing import Protocol

from rustorium.consensus.vocabulary import Effect, Input


class ShardPort(Protocol):
    """One shard's data plane."""

    def submit(self, effects: Sequence[Effect]) -> None:
        """Carries out the effects of one step, in list order, without waiting for their results."""
        ...

    def drain(self, limit: int) -> list[Input]:
        """Takes up to `limit` waiting inputs, oldest first."""
        ...


class NativePort(Protocol):
    """The Python end of a data plane that runs on its own threads."""

    def turn(self, effects: list[Effect], deadline_ns: int | None, ticked: bool, limit: int) -> list[Input] | None:
        """Carries out the effects of the previous turn, in list order, waits for inputs or the deadline, and takes
        about `limit` waiting inputs, oldest first: none if the deadline came first. `None` once `stop` was called.
        `deadline_ns`: monotonic nanoseconds. `ticked`: `True` if a tick was among the steps of the previous turn."""
        ...

    def stop(self) -> None:
        """Ends the wait of `turn`, and all later ones. May be called from any thread."""
        ...

    def observe_step(self, cpu_ns: int, wall_ns: int) -> None:
        """Records the cost of one step."""
        ...
