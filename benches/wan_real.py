"""Measures how near to the floor of its distances a committee of real processes makes transactions final
(`just bench-wan-real`).

A devnet whose links are delayed as between regions. Clients beside each node put one value after the other, in a
random order of regions, each from an account of its region. What a client waits counts, its request to the node
included. As in `wan.py`, the mean over all leaders of their means is compared with the floor.

With `--below` the delays are below QUIC: each datagram waits in a relay, so acknowledgements, windows and the detection
of losses feel the distance, too. It shows what the other way of delaying hides.

Invariants: a result is *void* if the machine had less than a fifth of its time to spare, or if three delayed frames
left later, in the median, than 3 % of the floor: then it tells of the machine.
"""

import argparse
import random
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from itertools import combinations
from pathlib import Path

import httpx2
from wan import NETS, by_leader_of, mean_by_leader

from rustorium import _native
from rustorium.client import Client, Key
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.net.distances import RTT_MATRIX, read_matrix
from rustorium.net.finality import floors
from rustorium.observe.exposition import parse
from rustorium.observe.figures import Metrics
from rustorium.regions import region_byte

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from link_tools import Wires

WARM, SAMPLES = 5, 60
"""Transactions of each region."""
IDLE_MIN = 0.2
HOPS, LATE_MAX = 3, 0.03
"""Frames one after the other until a transaction is final, and the largest part of the floor by which all are late."""
LATE = "rustorium_transport_shaper_late_seconds"


def idle_share(before: tuple[int, int], after: tuple[int, int]) -> float:
    """Returns the part of the machine's time that nobody used."""
    return (after[0] - before[0]) / max(1, after[1] - before[1])


def machine_ticks() -> tuple[int, int]:
    """Returns the machine's idle time and all time so far, ticks."""
    fields = [int(field) for field in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return fields[3] + fields[4], sum(fields)


def late_ms(net: Devnet) -> float:
    """Returns the median time by which delayed frames left too late, at the node where it is longest."""
    pages = (httpx2.get(f"{node.metrics}/metrics", timeout=10).content for node in net.net.nodes)
    return max(Metrics(parse(page)).quantile_ms(LATE, 0.5) or 0.0 for page in pages)


@contextmanager
def relayed(net: Devnet, regions: Sequence[str]) -> Iterator[None]:
    """Delays the datagrams of a net that isn't started yet, in place of its links' frames."""
    for node in net.net.nodes:
        config = Home(Path(node.home)).config
        text, changed = re.subn(r'(?m)^matrix = ".+"$', 'matrix = ""', config.read_text())
        assert changed == 1, "the links aren't delayed"
        config.write_text(text)
    matrix = read_matrix(RTT_MATRIX)
    with Wires(net) as wires:
        for one, other in combinations(range(len(regions)), 2):
            wires.delay(one, other, matrix.round_trip_us(regions[one], regions[other]) / 1e6)
        yield


def measure(name: str, samples: int, *, below: bool) -> str:
    """Returns a row of the table. `samples`: transactions of each region."""
    regions, rng = NETS[name], random.Random(name)
    with ExitStack() as stack:
        root = stack.enter_context(tempfile.TemporaryDirectory())
        net = Devnet.create(Path(root) / "net", nodes=len(regions), regions=regions, accounts=len(regions))
        known = floors(net.net.nodes)
        stack.enter_context(net)
        if below:
            stack.enter_context(relayed(net, regions))
        net.start()
        clients = [stack.enter_context(Client([node.http], genesis=net.net.genesis)) for node in net.net.nodes]
        # The accounts are in the order of their addresses, not of the nodes.
        by_region = {_native.parse_address(one.address)[0]: Key.open(one.key_file) for one in net.net.accounts}
        keys = [by_region[region_byte(node.region)] for node in net.net.nodes]
        heights: list[list[tuple[int, float]]] = [[] for _ in regions]

        def put(count: int) -> None:
            for number in range(count):
                for place in rng.sample(range(len(regions)), len(regions)):
                    begun_s = time.monotonic()
                    receipt = clients[place].put(f"{number}", "v" * 64, key=keys[place], wait="final").receipt
                    assert receipt is not None
                    heights[place].append((receipt.height, 1000 * (time.monotonic() - begun_s)))

        put(WARM)
        for one in heights:
            one.clear()
        before = machine_ticks()
        put(samples)
        idle, late = idle_share(before, machine_ticks()), 0.0 if below else late_ms(net)

        def proposer(height: int) -> int:
            return clients[0].block(height, proof=False).proposer

        waited = [mean_by_leader(by_leader_of(one, proposer)) for one in heights]
    floor = statistics.fmean(one.alone_ms for one in known)
    worst = max(ms / one.alone_ms for ms, one in zip(waited, known, strict=True))
    mean = statistics.fmean(waited)
    slow = idle < IDLE_MIN or HOPS * late > LATE_MAX * floor
    void = " (void: the machine is too slow)" if slow else ""
    times = f"{mean / floor:.2f} ({worst:.2f})"
    return f"| {name} | {floor:.0f} ms | {mean:.0f} ms | {times} | {late:.2f} ms | {idle:.0%}{void} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=["four", "europe4"], help="committees")
    parser.add_argument("--samples", type=int, default=SAMPLES, help="transactions of each region")
    parser.add_argument("--below", action="store_true", help="delay datagrams below QUIC instead of frames")
    options = parser.parse_args()
    print("| net | floor | measured | times the floor (worst region) | a frame late by | idle machine |")
    print("|---|--:|--:|--:|--:|--:|")
    for name in options.nets:
        print(measure(name, options.samples, below=options.below), flush=True)


if __name__ == "__main__":
    main()
