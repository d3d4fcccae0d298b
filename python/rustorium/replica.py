"""One node's replica of a shard: composes consensus (and later sharding) behind two calls.

Invariants: PURE; `on_input` and `next_deadline` are the whole interface, for the trio driver and for the simulator
alike; each epoch is decided by a machine of its own, which knows nothing of the one before.
"""

from dataclasses import replace

from rustorium.consensus.machine import Machine
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.vocabulary import Effect, Input, Recovered


class Replica:
    """The first input must be `Recovered`. `me` of a committee of `n` is who the node is where `Recovered` doesn't
    say."""

    __slots__ = ("_config", "_machine", "_me", "_n")

    def __init__(self, config: ConsensusConfig, me: int | None = None, n: int = 0) -> None:
        self._config, self._me, self._n = config, me, n
        self._machine: Machine | None = None

    def on_input(self, now: int, event: Input) -> list[Effect]:
        """Takes one input at `now` (monotonic nanoseconds); returns the effects to carry out in list order."""
        if isinstance(event, Recovered):  # R29
            if event.n == 0:
                event = replace(event, me=self._me, n=self._n)
            self._machine = Machine(self._config, now, event)
        assert self._machine is not None, "Recovered comes first"
        return self._machine.on_input(now, event)

    def next_deadline(self) -> int | None:
        """The time (monotonic nanoseconds) at which to send a `Tick`; None before `Recovered`."""
        return None if self._machine is None else self._machine.next_deadline()
