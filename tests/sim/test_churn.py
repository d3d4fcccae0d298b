"""The cost of an owner that replaces its validator's keys as often as possible, on the release stages (R45).

Invariants: virtual time alone. Nobody has the new keys, so from then on the validator is one of the faulty ones; the
owner's cost is measured against a validator that is merely stopped. `RUSTORIUM_CHURN_MS` makes the runs longer.
"""

import json
import os
from typing import Any

from rustorium import _native
from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.sim.clients import Clients
from rustorium.sim.net import EXPIRES_MS, REGION, Net, make_net, seed_of
from rustorium.sim.world import World

NODES, ACCOUNTS = 4, 6
CHURNER = 3
AGE_MS = 8_000
RUN_MS = float(os.environ.get("RUSTORIUM_CHURN_MS", "16000"))
CONFIG = ConsensusConfig(
    delta_floor_ms=20, delta_start_ms=40, delta_ceiling_ms=1_000, heartbeat_ms=200, parent_grace_ms=3, state_roots=True
)


class Churner:
    """The owner of a validator, which signs the next replacement once the last one is final, whatever its result."""

    TAG = 1 << 30

    def __init__(self, world: World, net: Net) -> None:
        self._world, self._net = world, net
        self._seed, self.sent = seed_of("owner", CHURNER), 0

    def begin(self) -> None:
        self._world.after_ms(500, self._next)

    def _key(self, epoch: int) -> bytes:
        """Returns the seed of the key for an epoch. Except for the first key, no node has it."""
        return seed_of("churn", epoch) if epoch else self._net.validator_seed(CHURNER)

    def _next(self) -> None:
        epoch, node = self._world.checkers.epoch, seed_of("node", CHURNER)
        old, new = _native.public_key(self._key(epoch)), _native.public_key(self._key(epoch + 1))
        # The world must know the node of each key that a committee may contain.
        self._world._number_of_key[new] = CHURNER
        operation: dict[str, Any] = {
            "type": "replace_key",
            "validator_key": old.hex(),
            "new_validator_key": new.hex(),
            "new_node_key": _native.public_key(node).hex(),
        }
        if self._net.version > 1:
            owner = _native.public_key(self._seed).hex()
            proof = _native.prove_possession(self._key(epoch + 1), node, self._net.chain, owner)
            operation["possession"] = json.loads(proof)
        changes = json.dumps([operation])
        made = _native.build_transaction(self._seed, self._net.chain, REGION, self.sent, EXPIRES_MS, None, changes)
        self.sent += 1
        port = self._world.nodes[0].port
        assert port is not None
        port.client(made[1], "final", self.TAG)

    def answered(self) -> None:
        self._world.after_ms(1, self._next)


def play(version: int, churns: bool, run_ms: float = RUN_MS) -> tuple[int, int]:
    """Returns the transactions that clients were told are final, and the epochs, in a run in which validator 3 is
    stopped."""
    ages = (("min_epoch_ms", AGE_MS),) if version > 1 else ()
    net = make_net(NODES, NODES, ACCOUNTS, ages, version)
    world = World(1, net, NODES, CONFIG)
    clients = Clients(world, 150.0)
    churner = Churner(world, net)
    answered = world.on_answer

    def heard(node: int, tag: int, how: str, height: int | None) -> None:
        if tag == Churner.TAG:
            churner.answered()
        else:
            answered(node, tag, how, height)

    world.on_answer = heard
    for node in range(NODES):
        if churns or node != CHURNER:
            world.start(node)
    owner = _native.public_key(seed_of("owner", CHURNER)).hex()
    clients.govern({"type": "create_account", "region": REGION, "public_key": owner, "storage_bytes": 1 << 20})
    clients.begin()
    if churns:
        churner.begin()
    world.run(run_ms)
    assert churner.sent > 2 or not churns
    return clients.done, world.checkers.epoch


def test_a_churner_slows_the_others_by_less_than_a_twentieth() -> None:
    dead, none = play(2, churns=False)
    churned, epochs = play(2, churns=True)
    assert none == 0
    assert 1 <= epochs <= RUN_MS // AGE_MS, f"{epochs} epochs"
    assert churned >= 0.95 * dead, f"{churned} transactions beside a churner, {dead} beside a dead validator"


def test_under_version_1_each_replacement_ends_an_epoch() -> None:
    _, epochs = play(1, churns=True, run_ms=AGE_MS)
    assert epochs > 10, f"{epochs} epochs"
