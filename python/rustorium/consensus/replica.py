"""One node's replica of a shard: composes consensus (and later sharding) behind two calls.

Invariants: PURE. `on_input` and `next_deadline` are the whole interface, for the trio driver and for the simulator
alike. A separate machine decides each epoch and knows nothing of the one before.
"""

from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.vocabulary import Effect, Input, Recovered


class Replica:
    """One node's replica. Its first input must be `Recovered`, which names the node and comes again with each epoch."""

    __slots__ = ("_config", "_machine")

    def __init__(self, config: ConsensusConfig) -> None:
        self._config = config
        self._machine: Machine | None = None

    def on_input(self, now: int, event: Input) -> list[Effect]:
        """Takes one input at `now` (monotonic nanoseconds); returns the effects to carry out in list order."""
        if type(event) is Recovered:  # R29
            self._machine = Machine(self._config, now, event)
        assert self._machine is not None, "Recovered comes first"
        return self._machine.on_input(now, event)

    @property
    def backoff(self) -> int | None:
        """K of R16; `None` before `Recovered`."""
        return None if self._machine is None else self._machine.backoff

    def next_deadline(self) -> int | None:
        """Returns the time (monotonic nanoseconds) at which to send a `Tick`; `None` before `Recovered`."""
        return None if self._machine is None else self._machine.next_deadline()
