"""One node's replica of a shard: composes consensus (and later sharding) behind two calls.

Invariants: PURE; `on_input` and `next_deadline` are the whole interface, for the trio driver and for the simulator
alike.
"""

from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.vocabulary import Effect, Input


class Replica:
    """Node `me` of a committee of `n`. The first input must be `Recovered`."""

    __slots__ = ("_machine",)

    def __init__(self, config: ConsensusConfig, me: int, n: int) -> None:
        self._machine = Machine(config, me, n)

    def on_input(self, now: int, event: Input) -> list[Effect]:
        """Takes one input at `now` (monotonic nanoseconds); returns the effects to carry out in list order."""
        return self._machine.on_input(now, event)

    def next_deadline(self) -> int | None:
        """The time (monotonic nanoseconds) at which to send a `Tick`; None before `Recovered`."""
        return self._machine.next_deadline()
