"""A leader with long links is passed over after a bad moment, and gets its turns back (R16, R17b).

Invariants: nobody lies, and for a while the leader's proposals are the only lost messages. Later its proposals come
after their views, since the other members are close to each other and give these views up at once.
"""

import pytest

from rustorium.sim.clients import Clients
from rustorium.sim.frames import PROPOSAL
from rustorium.sim.modes import Mode
from rustorium.sim.scenario import Shape, build_world, draw_plan
from rustorium.sim.world import World

NODES = 4
FAR = NODES - 1
WARM_MS, DEAF_MS, WAIT_MS, AGAIN_MS = 1_000, 3_000, 2_000, 1_000


def listed(world: World) -> set[int]:
    """Returns the leaders that some member passes over."""
    return {leader for node in world.nodes if node.port is not None for leader in node.port.passed_over}


@pytest.mark.parametrize(("far_ms", "seed"), [(10, 2), (19, 1), (30, 1), (30, 16)])
def test_a_far_leader_that_was_passed_over_leads_again_and_from_then_on(far_ms: int, seed: int) -> None:
    """An added delay of 30 ms each way is more than the leader's turn allows without its own doubling (2Δ = 40 ms), and
    less than with it. With 19 ms its proposals come just before or just after that limit."""
    plan = draw_plan(0, Mode.BAD_HOURS, Shape(NODES, 100))
    world = build_world(seed, plan)
    arrivals = world.links.arrivals

    def longer(now: int, source: int, target: int, shard: int = 0) -> list[int]:
        far = far_ms * 1_000_000 if FAR in (source, target) else 0
        return [at + far for at in arrivals(now, source, target, shard)]

    world.links.arrivals = longer  # type: ignore[method-assign]
    world.time.events_max = 10_000_000
    clients = Clients(world, 5.0)
    world.start_all()
    clients.begin()
    world.run(WARM_MS)
    world.bars = lambda source, _target, frame: source == FAR and frame[0] == PROPOSAL
    world.run(WARM_MS + DEAF_MS)
    assert listed(world) == {FAR}
    world.bars = lambda source, target, frame: False
    assert world.run(WARM_MS + DEAF_MS + WAIT_MS, lambda: not listed(world)), world.checkers.final_height
    back_ms = world.now // 1_000_000
    assert not world.run(back_ms + AGAIN_MS, lambda: bool(listed(world))), "passed over again"
