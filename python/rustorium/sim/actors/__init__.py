"""Traitors on the release stages: nodes that run the same code, and whose wire lies.

Invariants: a traitor can sign only with its own key. It counts a fault only if it really kept something back, or sent
something that an honest node would not.
"""

import random
from collections.abc import Callable

from rustorium.sim.actors.attacks import (
    CertificateFlooder,
    Churner,
    GapSender,
    Historian,
    Hoarder,
    InventiveProposer,
    ProposalFlooder,
    Stranger,
)
from rustorium.sim.actors.base import Actor, Incoming, Outgoing
from rustorium.sim.actors.equivocation import ClockLiar, DoubleVoter, Equivocator, ReportLiar, Twin
from rustorium.sim.actors.floods import Replayer, Spammer
from rustorium.sim.actors.forgery import GarbageCertifier, Impersonator
from rustorium.sim.actors.sync_liar import SyncLiar
from rustorium.sim.actors.withholding import HomeCensor, Mute, Nullifier, Silent, Withholder

MAKERS: dict[str, Callable[[random.Random, float], Actor]] = {
    "silent": lambda rng, calm_ms: Silent(rng.choice([0.0, rng.uniform(0, calm_ms)])),
    "withholder": lambda _rng, _calm_ms: Withholder(),
    "vote withholder": lambda _rng, _calm_ms: Withholder(batches=False),
    "batch withholder": lambda _rng, _calm_ms: Withholder(votes=False),
    "nullifier": lambda _rng, _calm_ms: Nullifier(),
    "equivocator": lambda _rng, _calm_ms: Equivocator(),
    "double voter": lambda _rng, _calm_ms: DoubleVoter(),
    "clock liar": lambda _rng, _calm_ms: ClockLiar(),
    "report liar": lambda _rng, _calm_ms: ReportLiar(),
    "replayer": lambda _rng, _calm_ms: Replayer(),
    "spammer": lambda _rng, _calm_ms: Spammer(),
    "impersonator": lambda _rng, _calm_ms: Impersonator(),
    "garbage certifier": lambda _rng, _calm_ms: GarbageCertifier(),
    "sync liar": lambda _rng, _calm_ms: SyncLiar(),
    "twin": lambda _rng, _calm_ms: Twin(),
}
KINDS = tuple(MAKERS)
"""Kinds that `traitors` and `partitions` draw: those that break nothing."""
MAKERS |= {
    "mute leader": lambda _rng, _calm_ms: Mute(),
    "certificate flooder": lambda _rng, _calm_ms: CertificateFlooder(),
    "proposal flooder": lambda _rng, _calm_ms: ProposalFlooder(),
    "inventive proposer": lambda _rng, _calm_ms: InventiveProposer(),
    "hoarder": lambda _rng, _calm_ms: Hoarder(),
    "gap sender": lambda _rng, _calm_ms: GapSender(),
    "home censor": lambda _rng, _calm_ms: HomeCensor(),
    "historian": lambda _rng, _calm_ms: Historian(),
    "churner": lambda _rng, _calm_ms: Churner(),
    "stranger": lambda _rng, _calm_ms: Stranger(),
}
MUTE, CHURNER, STRANGER = "mute leader", "churner", "stranger"
"""Kinds that a plan places by name: a stranger is outside the committee."""
ATTACKS = tuple(kind for kind in MAKERS if kind not in KINDS)
"""Kinds that `attacks` draws: those that waste others' time and memory."""


def make_actor(kind: str, rng: random.Random, calm_ms: float) -> Actor:
    """Returns a traitor of a kind, in a run that calms at `calm_ms`."""
    actor = MAKERS[kind](rng, calm_ms)
    actor.kind = kind
    return actor


__all__ = ["KINDS", "Actor", "Incoming", "Outgoing", "Silent", "Spammer", "Twin", "Withholder", "make_actor"]
