"""Measures how the capacity of a net grows with shards (`just bench-scale`): nodes under equal CPU quotas, one to three
shards of four validators each, which have no validator in common and no transaction that concerns two of them.

Each node has a share of a core by a cgroup, so that all nodes together take less than this machine has. The root shard
has no accounts, and four more validators of its own without a quota, which do next to nothing; each node follows it. In
each *turn* clients keep one, two or three of the shards busy: always so many transactions wait for their results, and
the next one is sent when one is final. What the shards execute is what they carry.

Processes beside each other share caches, memory and halves of a core, whether they belong to one net or not. So the
same turns are made with one, two and three *separate* nets of one shard each: what these lose beside each other is the
machine's, and only what shards lose more is the shards'.

The model is calibrated by one shard with one quota q alone: N shards carry N q / s transactions a second, where s is
the CPU that one takes of each member. It says what two and three shards do, and what shards with other quotas do.

A machine differs from minute to minute by as much as neighbours could make out. So all turns of a *pass* are on the
same nets, one right after the other, first in order and then backwards, and each ratio is of one pass. All turns write
new values to the same keys, so that the state doesn't grow, and begin once all nodes have nothing left to do. A busy
process of the lowest share keeps each core awake: without these, a shard alone waits for cores to wake up, and three
don't.

Invariants: executed transactions are those of the shard's own count; each interval is of whole passes, not of samples
within one; nothing passes or fails by time.
"""

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import httpx2
from cpu_shares import awake, quotas
from machine import RESULTS, machine

from rustorium.access.netfile import NetAccount
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from rustorium.observe.exposition import parse

MEMBERS = 4
ACCOUNTS_EACH = 64
SHARDS = 3
QUOTA, LOW_QUOTA = 0.12, 0.09
"""Shares of a core of each node: with all numbers of shards, and the lowest other one."""
OFFERED_PER_CORE = 15_000
"""Transactions a second that are due in each shard, for each core of a member: more than it carries."""
VALUE_BYTES = 64
WINDOW = 256
"""Transactions that wait at each member at once."""
WARM_UP_S, MEASURE_S, START_S, REST_S, IDLE_S = 3.0, 24.0, 120.0, 60.0, 20.0
REST_CORES = 0.05
"""Cores that a node uses at most where it has nothing left to do."""
BEST_RATE, BEST_WINDOW = 20_000, 8_192
RESAMPLES = 1_000
EXECUTED = "rustorium_execution_transactions"
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """What is loaded in a turn."""

    separate: bool
    """`True`: nets of one shard each, `False`: shards of one net."""
    shards: int
    quota: float


TURNS = (
    *(Load(separate, shards, QUOTA) for shards in range(1, SHARDS + 1) for separate in (False, True)),
    *(Load(False, shards, quota) for shards, quota in ((1, 0.105), (2, 0.16), (3, LOW_QUOTA))),
    Load(True, 1, LOW_QUOTA),
)
CALIBRATING = Load(False, 1, QUOTA)


@dataclass(frozen=True, slots=True)
class Turn:
    """What loaded shards carried."""

    load: Load
    executed: list[float]
    """Transactions a second of each loaded shard."""
    cores: float
    """Cores that each of their members used, on average, without RocksDB's threads: these compact in bursts."""

    @property
    def capacity(self) -> float:
        """Returns the transactions a second of all loaded shards."""
        return sum(self.executed)

    @property
    def cost_us(self) -> float:
        """Returns the CPU of each member for a transaction of its shard, microseconds."""
        return 1e6 * self.cores * self.load.shards / self.capacity


Pass = Sequence[Turn]
"""Turns on the same nets, one right after the other."""


@dataclass(frozen=True, slots=True)
class Shard:
    """A shard that can be loaded."""

    net: Devnet
    number: int
    pids: list[int]
    """The processes of its members."""
    metrics: str
    """The address of a member's metrics."""
    accounts: list[NetAccount]

    def executed(self) -> float:
        """Returns the number of transactions that were executed so far."""
        series = parse(httpx2.get(f"{self.metrics}/metrics", timeout=10).raise_for_status().content)[EXECUTED].samples
        label = ("shard", str(self.number))
        return next(sample.value for sample in series if label in sample.labels or len(series) == 1)


def shards_of(net: Devnet, hosts: Mapping[int, Sequence[int]]) -> list[Shard]:
    """Returns the shards of a net, of each of which these nodes are the members."""
    accounts: dict[int, list[NetAccount]] = {}
    with Client(net.net.endpoints, genesis=Path(net.net.genesis)) as client:
        for account in net.net.accounts:
            accounts.setdefault(client.shard_of(Key.open(account.key_file).address), []).append(account)
    nodes = net.net.nodes
    return [
        Shard(net, number, [nodes[of].pid for of in members], nodes[members[0]].metrics, accounts[number])
        for number, members in hosts.items()
    ]


@dataclass(frozen=True, slots=True)
class Look:
    """What the members of shards had done at a time."""

    at_s: float
    executed: list[float]
    """Transactions of each shard."""
    cpu_s: float
    """CPU of each member, on average, without RocksDB's threads."""


def look(shards: Sequence[Shard]) -> Look:
    """Returns what was done so far."""
    done = [shard.executed() for shard in shards]
    ticks = [own_ticks(pid) for shard in shards for pid in shard.pids]
    return Look(time.monotonic(), done, statistics.fmean(ticks) / TICKS_PER_S)


def own_ticks(pid: int) -> int:
    """Returns the CPU of a process without RocksDB's threads, in ticks."""
    ticks = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            name, _, fields = (thread / "stat").read_text().partition("(")[2].rpartition(")")
            ticks += 0 if name.startswith("rocksdb") else sum(map(int, fields.split()[11:13]))
    return ticks


def all_ticks(pids: Sequence[int]) -> int:
    """Returns the CPU of processes with RocksDB's threads, in ticks."""
    stats = (Path(f"/proc/{pid}/stat").read_text() for pid in pids)
    return sum(sum(map(int, stat.rpartition(")")[2].split()[11:13])) for stat in stats)


def rest(shards: Sequence[Shard]) -> None:
    """Waits until the members of shards have nothing left to do."""
    pids = [pid for shard in shards for pid in shard.pids]
    first = at_s = time.monotonic()
    before = all_ticks(pids)
    while True:
        time.sleep(1.0)
        now_s, now = time.monotonic(), all_ticks(pids)
        if (now - before) / TICKS_PER_S < REST_CORES * len(pids) * (now_s - at_s):
            return
        if now_s - first > REST_S:
            raise SystemExit("a net does not come to rest: is the machine busy with something else?")
        at_s, before = now_s, now


@contextmanager
def loaded(shards: Sequence[Shard], rate: float, seconds: float, window: int) -> Iterator[None]:
    """Sends so many transactions a second to each shard, for so long. Yields when all have executed one, and then waits
    for the end."""
    before = look(shards)
    with ThreadPoolExecutor(max_workers=len(shards)) as pool:
        # One run for each shard: the names of keys depend on what else is in a run.
        senders = [
            pool.submit(
                run_load,
                replace(shard.net.net, accounts=shard.accounts),
                rate_per_s=round(rate),
                seconds=round(seconds),
                window=window,
                value_bytes=VALUE_BYTES,
                salt=1,
                value_salt=time.time_ns(),
            )
            for shard in shards
        ]
        # All is signed before anything is sent.
        while any(now == then for now, then in zip(look(shards).executed, before.executed, strict=True)):
            if time.monotonic() - before.at_s > START_S:
                raise SystemExit("a shard executes nothing: is the machine busy with something else?")
            time.sleep(0.1)
        yield
        for sender in senders:
            sender.result()


def turn(load: Load, shards: Sequence[Shard], rate: float, window: int = WINDOW) -> Turn:
    """Keeps shards busy, and measures what they carry after a while. `rate`: transactions a second that are due in
    each, more than it carries."""
    with loaded(shards, rate, WARM_UP_S + MEASURE_S + 1, window):
        time.sleep(WARM_UP_S)
        first = look(shards)
        time.sleep(MEASURE_S)
        last = look(shards)
    took_s = last.at_s - first.at_s
    rates = [(after - then) / took_s for then, after in zip(first.executed, last.executed, strict=True)]
    return Turn(load, rates, (last.cpu_s - first.cpu_s) / took_s)


@contextmanager
def nets(folder: Path | None) -> Iterator[tuple[list[Shard], list[Shard]]]:
    """Makes a net of several shards, and as many separate nets of one shard."""
    members = [range(MEMBERS * place, MEMBERS * (place + 1)) for place in range(SHARDS)]
    root = range(MEMBERS * SHARDS, MEMBERS * (SHARDS + 1))
    committees = tuple(tuple(one) for one in (root, *members))
    with tempfile.TemporaryDirectory(dir=folder) as place, ExitStack() as stack:

        def made(name: str, nodes: int, accounts: int, **settings: Any) -> Devnet:
            net = Devnet.create(Path(place) / name, nodes=nodes, accounts=accounts, **settings)
            stack.enter_context(net).start()
            return net

        one = made("shards", len(root) + MEMBERS * SHARDS, ACCOUNTS_EACH * SHARDS, committees=committees)
        separate = [made(f"separate-{number}", MEMBERS, ACCOUNTS_EACH) for number in range(SHARDS)]
        together = shards_of(one, dict(enumerate(members, 1)))
        yield together, [shards_of(net, {0: range(MEMBERS)})[0] for net in separate]


def measure(number: int, folder: Path | None, say: Callable[[str], None]) -> list[Pass]:
    """Makes nets, and measures all turns on them, in order and backwards. Which shards are loaded where not all are
    depends on the number of the nets."""
    with nets(folder) as (together, separate):
        everybody = [*together, *separate]
        with quotas([pid for shard in everybody for pid in shard.pids]) as shares:
            largest = max(load.quota for load in TURNS)
            # All keys that any turn writes.
            with loaded(everybody, OFFERED_PER_CORE * largest, WARM_UP_S + MEASURE_S + 1, BEST_WINDOW):
                pass

            def made(load: Load) -> Turn:
                shares.set(1.0)
                rest(everybody)
                shares.set(load.quota)
                of = separate if load.separate else together
                found = turn(
                    load, [of[(number + place) % SHARDS] for place in range(load.shards)], OFFERED_PER_CORE * load.quota
                )
                what = "separate nets" if load.separate else "shards"
                said = f"{found.capacity:,.0f} tx/s, {found.cost_us:.1f} µs each"
                say(f"nets {number + 1}, {load.shards} {what}, {load.quota:.1%} of a core: {said}")
                return found

            return [[made(load) for load in turns] for turns in (TURNS, TURNS[::-1])]


def idle(folder: Path | None) -> dict[str, float]:
    """Returns the cores that a member of a shard uses, and one of a separate net, while nothing is sent."""
    with nets(folder) as kinds:
        time.sleep(WARM_UP_S)
        first = [look(shards) for shards in kinds]
        time.sleep(IDLE_S)
        last = [look(shards) for shards in kinds]
    used = [(after.cpu_s - then.cpu_s) / (after.at_s - then.at_s) for then, after in zip(first, last, strict=True)]
    return {"shards": round(used[0], 4), "separate": round(used[1], 4)}


def alone(folder: Path | None) -> float:
    """Returns what one shard in one process does with all that this machine has, transactions a second."""
    cores = float(len(os.sched_getaffinity(0)))
    with (
        tempfile.TemporaryDirectory(dir=folder) as root,
        Devnet.create(Path(root) / "net", nodes=1, accounts=ACCOUNTS_EACH, committees=((0,), (0,))) as net,
    ):
        net.start()
        return turn(Load(False, 1, cores), shards_of(net, {1: [0]}), BEST_RATE, BEST_WINDOW).capacity


@dataclass(frozen=True, slots=True)
class Fit:
    """The universal scalability law (N. Gunther): N shards do rate·N / (1 + contention·(N − 1) +
    coherency·N(N − 1))."""

    rate: float
    contention: float
    coherency: float


def fit(points: Sequence[tuple[int, float]]) -> Fit:
    """Fits the law by least squares: N·rate/C − 1 is linear in N − 1 and in N(N − 1). The rate is one shard's mean."""
    rate = statistics.fmean(capacity for shards, capacity in points if shards == 1)
    rows = [(n - 1.0, n * (n - 1.0), n * rate / capacity - 1.0) for n, capacity in points if n > 1]
    return Fit(rate, *least_squares(rows))


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Returns the middle 95 % of values."""
    ordered = sorted(values)
    return ordered[round(0.025 * (len(ordered) - 1))], ordered[round(0.975 * (len(ordered) - 1))]


def least_squares(rows: Sequence[tuple[float, float, float]]) -> tuple[float, float]:
    """Returns a and b of the best z = a·x + b·y."""
    xx, xy, yy = (sum(row[i] * row[j] for row in rows) for i, j in ((0, 0), (0, 1), (1, 1)))
    xz, yz = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
    det = xx * yy - xy * xy
    if abs(det) < 1e-9 * max(1.0, xx * yy):
        return (xz / xx if xx else 0.0), 0.0
    return (xz * yy - yz * xy) / det, (yz * xx - xz * xy) / det


def of_load(of: Iterable[Pass], separate: bool, shards: int, quota: float = QUOTA) -> list[Turn]:
    """Returns the turns of such a load."""
    load = Load(separate, shards, quota)
    return [turn for one in of for turn in one if turn.load == load]


def mean(values: Iterable[float]) -> float:
    """Returns the mean."""
    return statistics.fmean(values)


def drawn(of: Sequence[Pass]) -> Iterator[list[Pass]]:
    """Yields as many drawn passes, again and again."""
    rng = random.Random(1)
    for _ in range(RESAMPLES):
        yield rng.choices(of, k=len(of))


def growth(of: Sequence[Pass], separate: bool) -> list[tuple[int, float]]:
    """Returns numbers of shards, and what they carry as multiples of what one does in the same pass."""
    found = []
    for one in of:
        single = mean(turn.capacity for turn in of_load([one], separate, 1))
        for shards in range(1, SHARDS + 1):
            found += [(shards, turn.capacity / single) for turn in of_load([one], separate, shards)]
    return found


def cost(of: Iterable[Pass], separate: bool, shards: int) -> float:
    """Returns what a transaction costs a member, microseconds."""
    return mean(turn.cost_us for turn in of_load(of, separate, shards))


def beside(of: Sequence[Pass], shards: int) -> float:
    """Returns what a transaction costs a member while so many shards of a net are loaded, as a part of what it costs
    while as many separate nets are: the mean of the passes."""
    return mean(cost([one], False, shards) / cost([one], True, shards) for one in of)


def service_s(of: Sequence[Pass]) -> float:
    """Returns the CPU that a transaction takes of each member, by the turns that calibrate the model, seconds."""
    capacity = mean(turn.capacity for one in of for turn in one if turn.load == CALIBRATING)
    return CALIBRATING.shards * CALIBRATING.quota / capacity


def between(values: Iterable[float], digits: int = 3) -> list[float]:
    """Returns an interval in rounded figures."""
    return [round(value, digits) for value in interval(list(values))]


def ratios(
    of: Sequence[Pass],
    again: Sequence[Sequence[Pass]],
    numbers: Iterable[int],
    ratio: Callable[[Sequence[Pass], int], float],
) -> dict[int, dict[str, Any]]:
    """Returns a ratio for each number of shards, and its interval over drawn passes."""
    return {n: {"ratio": round(ratio(of, n), 3), "interval": between(ratio(one, n) for one in again)} for n in numbers}


def report(of: Sequence[Pass], best: float) -> dict[str, Any]:
    """Returns all figures."""
    service, again = service_s(of), list(drawn(of))
    law, laws = fit(growth(of, separate=False)), [fit(growth(one, separate=False)) for one in again]
    of_machine = fit(growth(of, separate=True))
    rows = []
    for load in sorted(TURNS):
        turns = of_load(of, load.separate, load.shards, load.quota)
        capacity, said = [turn.capacity for turn in turns], load.shards * load.quota / service
        rows.append(
            {
                "separate": load.separate,
                "shards": load.shards,
                "nodes": MEMBERS * load.shards,
                "quota": load.quota,
                "capacity": round(mean(capacity)),
                "capacity_range": [round(min(capacity)), round(max(capacity))],
                "per_shard": round(mean(capacity) / load.shards),
                "cost_us": round(mean(turn.cost_us for turn in turns), 1),
                "predicted": not load.separate and load != CALIBRATING,
                "model": round(said),
                "model_off": round(said / mean(capacity) - 1, 3),
            }
        )
    return {
        "rows": rows,
        "cost_beside_separate_nets": ratios(of, again, range(1, SHARDS + 1), beside),
        "cost_of_neighbours": ratios(of, again, range(2, SHARDS + 1), lambda one, n: beside(one, n) / beside(one, 1)),
        "contention": round(law.contention, 3),
        "contention_interval": between(one.contention for one in laws),
        "coherency": round(law.coherency, 3),
        "coherency_interval": between(one.coherency for one in laws),
        "separate_contention": round(of_machine.contention, 3),
        "separate_coherency": round(of_machine.coherency, 3),
        "service_us": round(1e6 * service, 1),
        "one_process": round(best),
        "extrapolated": {shards: round(shards * QUOTA / service) for shards in (8, 16, 64)},
    }


def table(found: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    lines = [
        "| what | nodes | share of a core | carried, tx/s | lowest to highest | each | CPU, µs | the model |",
        "|---|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        low, high = row["capacity_range"]
        said = f"{row['model']:,} ({row['model_off']:+.1%})" if row["predicted"] else "–"
        what = ("separate net" if row["separate"] else "shard") + ("s" if row["shards"] > 1 else "")
        lines.append(
            f"| {row['shards']} {what} | {row['nodes']} | {row['quota']:.1%} | {row['capacity']:,} | {low:,} to "
            f"{high:,} | {row['per_shard']:,} | {row['cost_us']:.1f} | {said} |"
        )
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", type=int, default=2, help="sets of nets, with two passes each")
    parser.add_argument("--idle", action="store_true", help="measure only what idle nodes use")
    parser.add_argument("--folder", type=Path, help="where the nets are made")
    options = parser.parse_args()

    def say(line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    if options.idle:
        print(json.dumps(idle(options.folder)))
        return
    facts = machine((options.folder or Path(tempfile.gettempdir())).absolute())
    with awake():
        of = [one for number in range(options.nets) for one in measure(number, options.folder, say)]
        best = alone(options.folder)
    found = report(of, best)
    result = {"machine": facts, "found": found, "passes": [[asdict(turn) for turn in one] for one in of]}
    path = RESULTS / f"scale-{facts['date'][:10]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(found))
    print(json.dumps({key: value for key, value in found.items() if key != "rows"}))
    say(f"written to {path}")


if __name__ == "__main__":
    main()
