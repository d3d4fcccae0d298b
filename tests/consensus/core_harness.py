"""A core under test: feeds inputs at set times and makes the blocks and certificates of a committee of four.

Invariants: no data plane runs; time moves only when a test advances it.
"""

from typing import TypeVar

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    Effect,
    Input,
    OwnVote,
    PayloadStatus,
    Recovered,
    Tick,
    VoteKind,
)

T = TypeVar("T")
N = 4
CONFIG = ConsensusConfig(delta_floor_ms=100, delta_start_ms=100, delta_ceiling_ms=800, parent_grace_ms=0)
GENESIS = BlockFacts(0, 0, b"g" * 32, 0, b"g" * 32, 0, 0, False, 0)


def block(
    view: int,
    parent: BlockFacts = GENESIS,
    *,
    payload: bool = True,
    claim: int | None = None,
    root: int | None = None,
    ends: bool = False,
    n: int = N,
    tag: bytes = b"",
) -> BlockFacts:
    digest = (b"block" + view.to_bytes(4, "big") + tag).ljust(32, b"-")
    claimed = parent.claimed_height if claim is None else claim
    rooted = parent.rooted_height if root is None else root
    height, time_ms = parent.height + 1, parent.time_ms + 10
    return BlockFacts(
        view, height, digest, parent.view, parent.digest, view % n, time_ms, payload, claimed, rooted, ends
    )


def ready(facts: BlockFacts) -> BlockSeen:
    return BlockSeen(facts, PayloadStatus.READY)


def notarization(facts: BlockFacts) -> Certificate:
    return Certificate(VoteKind.NOTARIZE, facts.view, facts.digest)


def finalization(facts: BlockFacts) -> Certificate:
    return Certificate(VoteKind.FINALIZE, facts.view, facts.digest)


def nullification(view: int) -> Certificate:
    return Certificate(VoteKind.NULLIFY, view, None)


class Core:
    """A replica in a committee of four, recovered at genesis in epoch 0 unless stated otherwise."""

    def __init__(
        self,
        me: int | None = 0,
        *,
        config: ConsensusConfig = CONFIG,
        final: BlockFacts = GENESIS,
        payload_height: int = 0,
        blocks: tuple[BlockFacts, ...] = (),
        certificates: tuple[Certificate, ...] = (),
        votes: tuple[OwnVote, ...] = (),
        n: int = N,
    ) -> None:
        self.now = 0
        self.steps = 0
        self.replica = Replica(config)
        self.first = self.feed(Recovered(final, payload_height, 0, me, n, blocks, certificates, votes))

    def feed(self, *inputs: Input) -> list[Effect]:
        effects: list[Effect] = []
        for event in inputs:
            self.steps += 1
            effects += self.replica.on_input(self.now, event)
        return effects

    def wait(self, ms: float) -> list[Effect]:
        """Lets time pass, and ticks at each deadline on the way."""
        end = self.now + int(ms * NS_PER_MS)
        effects: list[Effect] = []
        while (deadline := self.replica.next_deadline()) is not None and deadline <= end:
            assert deadline > self.now or self.steps < 10_000, "deadlines must move on"
            self.now = max(self.now, deadline)
            effects += self.feed(Tick())
        self.now = end
        return effects

    @property
    def deadline_ms(self) -> float:
        deadline = self.replica.next_deadline()
        assert deadline is not None
        return (deadline - self.now) / NS_PER_MS


def of(effects: list[Effect], kind: type[T]) -> list[T]:
    return [effect for effect in effects if isinstance(effect, kind)]
