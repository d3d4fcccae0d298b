"""Measures how the capacity of a net grows with shards (`just bench-scale`): nodes under equal CPU quotas, one to three
shards of four validators each, which have no validator in common and no transaction that concerns two of them.

Each node has a share of a core by a cgroup, so that all nodes together take less than this machine has. The root shard
has no accounts, and four more validators of its own without a quota, which do next to nothing; each node follows it. In
each *turn* clients keep one, two or three of the shards busy: always so many transactions wait for their results, and
the next one is sent when one is final. What the shards execute is what they carry.

Processes beside each other share caches, memory and halves of a core, whether they belong to one net or not. So the
same turns are made with one, two and three *separate* nets of one shard each: what these lose beside each other is the
machine's, and only what shards lose more is the shards'.

RocksDB's background threads don't share the quota: they compact in bursts that are longer than a turn, and writers of a
store wait for them. What they use is told beside the rest.

The model is calibrated by one shard with one quota q alone: N shards carry N q / s transactions a second, where s is
the quota that one takes of each member. It says what two and three shards do, and what shards with other quotas do.

A machine differs from minute to minute by as much as neighbours could make out. So a busy process of the lowest share
keeps each core awake and counts how fast the core is, and all figures are at the mean speed. (Without these processes,
a shard alone would wait for cores to wake up, and three wouldn't.) Besides, all turns of a *pass* are on the same nets,
one right after the other, first in order and then backwards, and each ratio is of one pass. All turns write new values
to the same keys, so that the state doesn't grow, and begin once all nodes have nothing left to do. Where not all shards
are loaded, others are in each turn: a shard that was busy just before is slower.

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
from itertools import count
from pathlib import Path
from typing import Any

import httpx2
from cpu_shares import Speed, awake, quotas, threads
from machine import RESULTS, machine
from scaling_law import fit, interval

from rustorium.access.netfile import NetAccount
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet
from rustorium.net.load import run_load
from rustorium.observe.exposition import parse

MEMBERS = 4
ACCOUNTS_EACH = 64
SHARDS = 3
QUOTA, OTHER_QUOTA = 0.12, 0.10
"""Shares of a core of each node: with all numbers of shards, and another one."""
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
BACKGROUND = "rocksdb"
"""How the names of RocksDB's threads begin."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True, order=True)
class Load:
    """What is loaded in a turn."""

    separate: bool
    """`True`: nets of one shard each, `False`: shards of one net."""
    shards: int
    quota: float


CALIBRATING = Load(False, 1, QUOTA)
TURNS = (
    *(Load(separate, shards, QUOTA) for shards in range(1, SHARDS + 1) for separate in (False, True)),
    *(Load(False, shards, OTHER_QUOTA) for shards in range(1, SHARDS + 1)),
    Load(False, 1, 0.16),
)


@dataclass(frozen=True, slots=True)
class Turn:
    """What loaded shards carried."""

    load: Load
    executed: list[float]
    """Transactions a second of each loaded shard."""
    cores: float
    """Cores that each of their members used, on average, without RocksDB's threads."""
    background: float
    """Cores that RocksDB's threads used at each of them, on average."""
    speed: float
    """How fast the machine's cores were."""

    @property
    def capacity(self) -> float:
        """Returns the transactions a second of all loaded shards."""
        return sum(self.executed)

    @property
    def cost_us(self) -> float:
        """Returns the CPU of each member for a transaction of its shard, without RocksDB's threads, microseconds."""
        return 1e6 * self.cores * self.load.shards / self.capacity

    @property
    def background_us(self) -> float:
        """Returns the CPU of RocksDB's threads at each member for a transaction of its shard, microseconds."""
        return 1e6 * self.background * self.load.shards / self.capacity


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
    background_s: float
    """CPU of RocksDB's threads at each member, on average."""


def look(shards: Sequence[Shard]) -> Look:
    """Returns what was done so far."""
    done = [shard.executed() for shard in shards]
    ticks = [ticks_of(pid) for shard in shards for pid in shard.pids]
    own, background = (statistics.fmean(part) / TICKS_PER_S for part in zip(*ticks, strict=True))
    return Look(time.monotonic(), done, own, background)


def ticks_of(pid: int) -> tuple[int, int]:
    """Returns the CPU of a process's threads without RocksDB's, and of RocksDB's, in ticks."""
    ticks = [0, 0]
    for thread, name in threads(pid):
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            fields = (thread / "stat").read_text().rpartition(")")[2].split()
            ticks[name.startswith(BACKGROUND)] += sum(map(int, fields[11:13]))
    return ticks[0], ticks[1]


def rest(shards: Sequence[Shard]) -> None:
    """Waits until the members of shards have nothing left to do."""
    pids = [pid for shard in shards for pid in shard.pids]
    first = at_s = time.monotonic()
    before = sum(sum(ticks_of(pid)) for pid in pids)
    while True:
        time.sleep(1.0)
        now_s, now = time.monotonic(), sum(sum(ticks_of(pid)) for pid in pids)
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


def turn(load: Load, shards: Sequence[Shard], rate: float, speed: Speed, window: int = WINDOW) -> Turn:
    """Keeps shards busy, and measures what they carry after a while. `rate`: transactions a second that are due in
    each, more than it carries."""
    with loaded(shards, rate, WARM_UP_S + MEASURE_S + 1, window):
        time.sleep(WARM_UP_S)
        first, counts = look(shards), speed.look()
        time.sleep(MEASURE_S)
        last, loops = look(shards), speed.since(counts)
    took_s = last.at_s - first.at_s
    rates = [(after - then) / took_s for then, after in zip(first.executed, last.executed, strict=True)]
    own, background = last.cpu_s - first.cpu_s, last.background_s - first.background_s
    return Turn(load, rates, own / took_s, background / took_s, loops)


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


def measure(number: int, folder: Path | None, speed: Speed, say: Callable[[str], None]) -> list[Pass]:
    """Makes nets, and measures all turns on them, in order and backwards."""
    with nets(folder) as (together, separate):
        everybody = [*together, *separate]
        with quotas([pid for shard in everybody for pid in shard.pids], BACKGROUND) as shares:
            largest = max(load.quota for load in TURNS)
            # All keys that any turn writes.
            with loaded(everybody, OFFERED_PER_CORE * largest, WARM_UP_S + MEASURE_S + 1, BEST_WINDOW):
                pass

            firsts = count(number)

            def made(load: Load) -> Turn:
                shares.set(1.0)
                rest(everybody)
                shares.set(load.quota)
                of = separate if load.separate else together
                first = next(firsts)
                chosen = [of[(first + place) % SHARDS] for place in range(load.shards)]
                found = turn(load, chosen, OFFERED_PER_CORE * load.quota, speed)
                what = "separate nets" if load.separate else "shards"
                said = f"{found.capacity:,.0f} tx/s, {found.cost_us:.1f} + {found.background_us:.1f} µs each"
                where = f"nets {number + 1}, {load.shards} {what}, {load.quota:.1%} of a core"
                say(f"{where}: {said}, speed {found.speed:.4f}")
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


def alone(folder: Path | None, speed: Speed) -> float:
    """Returns what one shard in one process does with all that this machine has, transactions a second."""
    cores = float(len(os.sched_getaffinity(0)))
    with (
        tempfile.TemporaryDirectory(dir=folder) as root,
        Devnet.create(Path(root) / "net", nodes=1, accounts=ACCOUNTS_EACH, committees=((0,), (0,))) as net,
    ):
        net.start()
        return turn(Load(False, 1, cores), shards_of(net, {1: [0]}), BEST_RATE, speed, BEST_WINDOW).capacity


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
    """Returns the quota that a transaction takes of each member, by the turns that calibrate the model, seconds."""
    return QUOTA / mean(turn.capacity for one in of for turn in one if turn.load == CALIBRATING)


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


def at_mean_speed(of: Sequence[Pass]) -> list[list[Turn]]:
    """Returns what the turns would have been if the machine had always been as fast as it was on average."""
    speed = mean(turn.speed for one in of for turn in one)
    return [
        [replace(turn, executed=[done * speed / turn.speed for done in turn.executed]) for turn in one] for one in of
    ]


def report(measured: Sequence[Pass], best: float) -> dict[str, Any]:
    """Returns all figures, at the machine's mean speed."""
    of = at_mean_speed(measured)
    service, again, speeds = service_s(of), list(drawn(of)), [turn.speed for one in of for turn in one]
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
                "background_us": round(mean(turn.background_us for turn in turns), 1),
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
        "speeds": [round(speed / mean(speeds), 3) for speed in (min(speeds), max(speeds))],
        "extrapolated": {shards: round(shards * QUOTA / service) for shards in (8, 16, 64)},
    }


def table(found: dict[str, Any]) -> str:
    """Returns the figures as Markdown."""
    lines = [
        "| what | nodes | share of a core | carried, tx/s | lowest to highest | each | CPU, µs | RocksDB's threads, µs "
        "| the model |",
        "|---|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in found["rows"]:
        low, high = row["capacity_range"]
        said = f"{row['model']:,} ({row['model_off']:+.1%})" if row["predicted"] else "–"
        what = ("separate net" if row["separate"] else "shard") + ("s" if row["shards"] > 1 else "")
        lines.append(
            f"| {row['shards']} {what} | {row['nodes']} | {row['quota']:.1%} | {row['capacity']:,} | {low:,} to "
            f"{high:,} | {row['per_shard']:,} | {row['cost_us']:.1f} | {row['background_us']:.1f} | {said} |"
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
    with awake() as speed:
        of = [one for number in range(options.nets) for one in measure(number, options.folder, speed, say)]
        best = alone(options.folder, speed)
    found = report(of, best)
    result = {"machine": facts, "found": found, "passes": [[asdict(turn) for turn in one] for one in of]}
    path = RESULTS / f"scale-{facts['date'][:10]}.json"
    path.write_text(json.dumps(result, indent=1) + "\n")
    print(table(found))
    print(json.dumps({key: value for key, value in found.items() if key != "rows"}))
    say(f"written to {path}")


if __name__ == "__main__":
    main()
