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


class NativePort(ShardPort, Protocol):
    """A port whose other side runs on its own threads."""

    def fileno(self) -> int:
        """A descriptor that is readable while inputs wait (an eventfd)."""
        ...
