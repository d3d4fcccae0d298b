"""The number of times that batches cross the network (R44): once to each node that lacks them, in a wide network and
beside stopped members.

Invariants: virtual time and fixed seeds; every byte of a batch on any link counts, requested or not.
`RUSTORIUM_DIGESTS=long` adds committees of 31.
"""

import os
from collections import Counter
from collections.abc import Callable

import pytest

from rustorium.consensus.pacemaker import NS_PER_MS, ConsensusConfig
from rustorium.sim.links import CALM, Links
from rustorium.sim.net import EXPIRES_MS, make_net
from rustorium.sim.shadow import SignedByClient
from rustorium.sim.world import World

ONE_WAY_MS = ((1, 40, 75, 110), (40, 1, 45, 90), (75, 45, 1, 60), (110, 90, 60, 1))
"""Delays between four regions, to which nodes belong in turn."""
BATCH, RESPONSE, ONE_BATCH, BATCHES = 5, 8, 2, 8
"""Tags of messages and of answers."""
START_MS = 3_000.0
"""Start of counting: before that, links come up and the core learns its times."""
LONG = os.environ.get("RUSTORIUM_DIGESTS") == "long"
HEALTHY = [(4, 20.0, 150.0), (7, 15.0, 200.0), *([(31, 7.0, 500.0)] if LONG else [])]
STOPPED = [(4, 20.0, 150.0), (7, 15.0, 200.0), (16, 12.0, 400.0), *([(31, 9.0, 500.0)] if LONG else [])]
"""Nodes, virtual seconds, and the gap between an account's transactions, ms."""


class WideLinks(Links):
    """A calm network over four regions."""

    def arrivals(self, now: int, source: int, target: int, shard: int = 0) -> list[int]:
        regions = len(ONE_WAY_MS)
        delay_ns = int(ONE_WAY_MS[source % regions][target % regions] * NS_PER_MS)
        return [self._in_order((shard, source, target), now + delay_ns + self._rng.randrange(delay_ns // 10 + 1))]


class Meter:
    """Batch bytes on the links."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.sent = 0
        self.asked = 0
        self.made: Counter[bytes] = Counter()
        """Sizes of batches by the bytes that their authors sent."""
        world.bars = self._look

    def _look(self, source: int, target: int, frame: bytes) -> bool:
        if self._world.now < START_MS * NS_PER_MS or self._world.nodes[target].port is None:
            return False
        if frame[0] == BATCH:
            self.sent += len(frame)
            self.made[frame] = len(frame)
        elif frame[0] == RESPONSE and frame[9] in (ONE_BATCH, BATCHES):
            self.sent += len(frame)
            self.asked += len(frame)
        return False

    def times(self, receivers: int) -> float:
        """Returns the ratio of the bytes sent to the bytes that the receivers need."""
        return self.sent / (receivers * sum(self.made.values()))


def run(n: int, dead: int, seconds: float, gap_ms: float) -> Meter:
    config = ConsensusConfig(state_roots=True)
    accounts = 2 * n + 1
    net = make_net(n, n, accounts)
    world = World(7, net, n, config, base_ms=1.0)
    world.links = WideLinks(world.rng, 1.0, CALM, world.counts)
    meter = Meter(world)
    living = range(n - dead)
    for index in living:
        world.start(index)

    def submit(account: int, nonce: int) -> None:
        world.after_ms(gap_ms * (0.5 + world.rng.random()), submit, account, nonce + 1)
        operations = [{"type": "put", "namespace": net.accounts[account].address, "key": "k", "value": "v" * 200}]
        signed = net.sign(account, nonce, operations)
        world.shadow.signed(SignedByClient(signed.id, account, nonce, EXPIRES_MS, operations))
        port = world.nodes[account % len(living)].port
        assert port is not None
        port.client(signed.raw, "final", account * 1_000_000 + nonce)

    for account in range(accounts - 1):
        world.after_ms(world.rng.uniform(0, gap_ms), submit, account, 0)
    world.run(1000 * seconds)
    heights = [port.height for port in world.ports()]
    assert min(heights) > 5, "the run must get somewhere"
    assert meter.made, "the run must have batches"
    return meter


@pytest.mark.parametrize(("n", "seconds", "gap_ms"), HEALTHY)
def test_a_healthy_wide_net_repeats_few_batches(
    n: int, seconds: float, gap_ms: float, figure: Callable[[str], None]
) -> None:
    times = run(n, 0, seconds, gap_ms).times(n - 1)
    figure(f"batch bytes on a wide net of {n}: {100 * (times - 1):.2f} % repeated")
    assert times < 1.02


@pytest.mark.parametrize(("n", "seconds", "gap_ms"), STOPPED)
def test_stopped_members_cause_no_repeated_batches(
    n: int, seconds: float, gap_ms: float, figure: Callable[[str], None]
) -> None:
    dead = (n - 1) // 3
    times = run(n, dead, seconds, gap_ms).times(n - 1 - dead)
    figure(f"batch bytes on a wide net of {n} with {dead} dead: {times:.3f} times the payload")
    assert times <= 1.3
