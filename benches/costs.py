"""Prices of what a node's threads do, for the simulator's virtual processors: `python/rustorium/sim/prices.py`.

Signatures are timed on certificates of two sizes, frames and events in runs of the simulator without prices, each call
by itself, in the processor time of this thread. What a call costs besides signatures is the median of its kind.

Invariants: every price is of this run; nothing passes or fails by time; `--write` changes one file.
"""

import argparse
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from main_job import machine

from rustorium import _native
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import Effect
from rustorium.sim.actors.base import body_of, certificate, signature_of
from rustorium.sim.clients import Clients
from rustorium.sim.engine import Engine
from rustorium.sim.frames import read_header
from rustorium.sim.modes import Mode
from rustorium.sim.net import NEWEST_VERSION, START_MS, Net, make_net
from rustorium.sim.port import CHECK, EXECUTE, SYNC
from rustorium.sim.scenario import Shape, build_world, draw_plan

PRICES = Path(__file__).parents[1] / "python/rustorium/sim/prices.py"
SMALL, LARGE = 4, 100
"""Committees whose certificates are timed."""
TIMES = 200
FRAMES = (
    "proposal", "vote", "certificate", "heartbeat", "report", "batch", "transactions", "request", "response", "work"
)  # fmt: skip
"""Kinds by their tags."""
RUN_MS = 8_000.0
KIB = 1024

Work = tuple[int, int, int, int]


def timed(call: Callable[[], Any]) -> tuple[int, Work, Any]:
    """Processor time of a call, ns; signatures that it made or checked; and what it returned."""
    before = _native.sim_signature_work()
    start = time.thread_time_ns()
    result = call()
    took = time.thread_time_ns() - start
    after = _native.sim_signature_work()
    return took, (after[0] - before[0], after[1] - before[1], after[2] - before[2], after[3] - before[3]), result


def node_of(net: Net, number: int = 0) -> _native.SimNode:
    seed, disk = net.validator_seed(number), _native.SimDisk()
    return _native.SimNode(net.native, disk, number, seed, 200_000, 0, START_MS + 1, newest=NEWEST_VERSION)


def nullification(net: Net, n: int, view: int, *, good: bool = True) -> bytes:
    """The frame of a certificate of a quorum."""
    quorum = n - (n - 1) // 3
    frames = [
        _native.sim_forge_vote(net.validator_seed(number), number, net.chain, 0, view, 1) for number in range(quorum)
    ]
    signatures = [(number, signature_of(frame) if good else bytes(64)) for number, frame in enumerate(frames)]
    return b"\2" + certificate(body_of(frames[0]), signatures)


def certificates(n: int) -> tuple[float, float]:
    """Medians of a certificate that is new and of one that is known, ns."""
    net = make_net(n, n, 3)
    node = node_of(net)
    new, known = list[int](), list[int]()
    for view in range(1, 41):
        frame = nullification(net, n, view)
        for times in (new, known):
            took, _, turned = timed(partial(node.frame, view, START_MS + view, 1, 0, frame))
            times.append(took)
            for stage, thread, _ in turned[2]:
                node.end(view, START_MS + view, stage, thread)
    return statistics.median(new), statistics.median(known)


def signing() -> tuple[float, float]:
    """Medians of a signature made and of one checked alone, ns: in a second vote of a kind, which is evidence."""
    net = make_net(SMALL, SMALL, 3)
    seed = net.validator_seed(1)
    made = [timed(partial(_native.sim_forge_vote, seed, 1, net.chain, 0, view, 1))[0] for view in range(TIMES)]
    expanded = statistics.median(timed(partial(_native.public_key, seed))[0] for _ in range(TIMES))
    node, single = node_of(net), list[float]()
    for view in range(1, 61):
        votes = [_native.sim_forge_vote(seed, 1, net.chain, 0, view, 0, bytes([block]) * 32) for block in (1, 2)]
        (first, _, _), (second, work, _) = (
            timed(partial(node.frame, view, START_MS + view, 1, 0, vote)) for vote in votes
        )
        single.append((second - first) / max(work[1], 1))
    return statistics.median(made) - expanded, statistics.median(single)


class TimedNode:
    """A node's stages, each call timed."""

    def __init__(
        self, native: _native.SimNode, disk: _native.SimDisk, seen: dict[str, list[tuple[float, Work, int]]]
    ) -> None:
        self._native, self._disk, self._seen = native, disk, seen

    def __getattr__(self, name: str) -> Any:
        return getattr(self._native, name)

    def _note(self, kind: str, size: int, call: Callable[[], Any]) -> Any:
        took, work, result = timed(call)
        self._seen[kind].append((took, work, size))
        return result

    def frame(self, now_us: int, wall_ms: int, source: int, class_: int, frame: bytes) -> Any:
        return self._note(
            FRAMES[frame[0]], len(frame), lambda: self._native.frame(now_us, wall_ms, source, class_, frame)
        )

    def tick(self, now_us: int, wall_ms: int) -> Any:
        return self._note("turn", 0, lambda: self._native.tick(now_us, wall_ms))

    def submit(self, now_us: int, wall_ms: int, effects: list[Effect]) -> Any:
        return self._note("effect", len(effects), lambda: self._native.submit(now_us, wall_ms, effects))

    def end(self, now_us: int, wall_ms: int, stage: int, thread: int) -> Any:
        kind = {SYNC: "own", EXECUTE: "block", CHECK: "admitted"}.get(stage, "other")
        result = self._note(kind, 0, lambda: self._native.end(now_us, wall_ms, stage, thread))
        if stage == EXECUTE and (tip := self._disk.tip()) is not None:
            took, work, _ = self._seen["block"].pop()
            self._seen["block"].append((took, work, read_header(tip[2])[0].transactions))
        return result


class TimedCore:
    """A node's core, each step timed."""

    def __init__(self, core: Replica, steps: list[int]) -> None:
        self._core, self._steps = core, steps

    def __getattr__(self, name: str) -> Any:
        return getattr(self._core, name)

    def on_input(self, now: int, event: Any) -> Any:
        took, _, effects = timed(lambda: self._core.on_input(now, event))
        self._steps.append(took)
        return effects


def watched_run(n: int, seed: int) -> tuple[dict[str, list[tuple[float, Work, int]]], list[int]]:
    """Calls of a run without faults by their kinds, and steps of the cores."""
    plan = draw_plan(seed, Mode.PARTITIONS, Shape(n, 10))
    world = build_world(seed, plan)
    world.partition(None)
    world.costs, world.step_ns = None, 0
    seen: dict[str, list[tuple[float, Work, int]]] = defaultdict(list)
    steps: list[int] = []
    world.start_all()
    for node in world.nodes:
        assert node.port is not None
        assert node.replica is not None
        node.port.native = TimedNode(node.port.native, node.disk, seen)  # type: ignore[assignment]
        node.replica = TimedCore(node.replica, steps)  # type: ignore[assignment]
    clients = Clients(world, 20.0)
    clients.begin()
    Engine.run(world, RUN_MS)
    return seen, steps


def prices(runs: int) -> dict[str, int]:
    """All prices, ns."""
    (small_new, small_known), (large_new, _) = certificates(SMALL), certificates(LARGE)
    quorums = [n - (n - 1) // 3 for n in (SMALL, LARGE)]
    grouped = (large_new - small_new) / (quorums[1] - quorums[0])
    group = small_new - small_known - quorums[0] * grouped
    made, single = signing()
    costs = {"sign": made, "single": single, "group": max(group, 0.0), "grouped": grouped}
    seen: dict[str, list[tuple[float, Work, int]]] = defaultdict(list)
    steps: list[int] = []
    for seed in range(runs):
        for kind, calls in (found := watched_run(4, seed))[0].items():
            seen[kind] += calls
        steps += found[1]

    def net(call: tuple[float, Work, int]) -> float:
        took, work, _ = call
        return took - sum(count * costs[name] for count, name in zip(work, costs, strict=True))

    median = {kind: statistics.median(map(net, calls)) for kind, calls in seen.items()}
    turn = idle_turn()
    result = dict(costs) | {"turn": turn}
    for kind in ("proposal", "vote", "heartbeat", "batch", "request", "response", "own", "admitted"):
        result[kind] = median[kind] - turn
    for kind, like in (("report", "heartbeat"), ("transactions", "batch"), ("work", "heartbeat")):
        result[kind] = median.get(kind, median[like]) - turn
    result["certificate"] = small_known - turn
    result["effect"] = statistics.median(
        (net(call) - turn) / call[2] for call in seen["effect"] if call[2] and not call[1][0]
    )
    empty = statistics.median(net(call) for call in seen["block"] if not call[2])
    result["block"] = empty - turn
    result["transaction"] = statistics.median((net(call) - empty) / call[2] for call in seen["block"] if call[2])
    result["kib"] = decoding()
    result["core"] = statistics.median(steps)
    return {name: max(round(price), 100) for name, price in result.items()}


def idle_turn() -> float:
    """Cost of a turn in which nothing happens, ns."""
    node = node_of(make_net(SMALL, SMALL, 3))
    return statistics.median(timed(partial(node.tick, us, START_MS + 1))[0] for us in range(1, TIMES))


def decoding() -> float:
    """Cost of a KiB of a frame, decoded and hashed, ns: the difference between large and small batches."""
    net = make_net(SMALL, SMALL, 3)
    value = "v" * 200
    operations = [{"type": "put", "namespace": net.accounts[0].address, "key": "key", "value": value}]
    raw = net.sign(0, 0, operations).raw
    sizes, medians = list[int](), list[float]()
    for count in (1, 201):
        frame = _native.sim_forge_batch(net.validator_seed(0), 0, net.chain, 0, 0, bytes(32), [raw] * count)
        took = [timed(partial(_native.sim_read_frame, frame))[0] for _ in range(TIMES)]
        sizes.append(len(frame))
        medians.append(statistics.median(took))
    return (medians[1] - medians[0]) * KIB / (sizes[1] - sizes[0])


def written(found: dict[str, int], command: str) -> str:
    """The module with these prices."""
    core = found.pop("core")
    rows = "".join(f'    "{name}": {price},\n' for name, price in found.items())
    return (
        '"""Prices of work in the simulator\'s virtual processors, nanoseconds, as a benchmark measured them.\n\n'
        f"Machine: {machine(PRICES)['cores']} cores of {machine(PRICES)['cpu']}.\n"
        f"Command: `{command}`, on {time.strftime('%Y-%m-%d', time.gmtime())}.\n"
        '"""\n\n'
        f"PRICES = {{\n{rows}}}\n"
        '"""Of the data plane\'s threads, by what they do: `Item` in crates/sim says what each name means."""\n'
        f"CORE_STEP_NS = {core}\n"
        '"""A step of the consensus core."""\n'
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=4, help="runs of the simulator")
    parser.add_argument("--write", action="store_true", help=f"write them to {PRICES.name}")
    options = parser.parse_args()
    found = prices(options.runs)
    for name, price in found.items():
        print(f"{name:14} {price:>9} ns")
    if options.write:
        PRICES.write_text(written(found, "just bench-costs --write"))


if __name__ == "__main__":
    main()
