"""The one port where decisions (Python) meet bytes (Rust): effects go down, inputs come up.

Invariants: no effect returns a value; effects of one `submit` are carried out in list order and a crash between any two
is legal; what consensus needs is never dropped, inputs coalesce instead. Two implementations: the native shard,
`sim.port`.
"""

from collections.abc import Sequence
from typing import Protocol

from rustorium.consensus.vocabulary import Effect, Input


class ShardPort(Protocol):
    """One shard's data plane."""

    def submit(self, effects: Sequence[Effect]) -> None:
        """Carries out the effects of one step, in list order, without waiting for them."""
        ...

    def drain(self, limit: int) -> list[Input]:
        """Takes at most `limit` inputs that have come up, oldest first."""
        ...


class NativePort(Protocol):
    """The other side of a data plane that runs on its own threads."""

    def fileno(self) -> int:
        """A descriptor that is readable while inputs wait, or once the deadline of the last turn has come."""
        ...

    def turn(self, effects: list[Effect], deadline_ns: int | None, ticked: bool, limit: int) -> list[Input]:
        """Carries out the effects of the turn before, in list order, and takes about `limit` inputs that have come up,
        oldest first. `deadline_ns`: of the monotonic clock, used where nothing has come. `ticked`: whether a tick was
        among the steps of that turn."""
        ...

    def observe_step(self, cpu_ns: int, wall_ns: int) -> None:
        """What a step cost."""
        ...
