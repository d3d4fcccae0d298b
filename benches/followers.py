"""Measures how soon a follower in another region has executed what is final, in virtual time (`just bench-followers`).

The release's stages over links with the usual round trips between regions, and with what work costs, as in
`benches/wan.py`. The *earliest* moment at which a follower could know of a block is when the first member has executed
it plus the way from there, over all members. Each net is run as it is, and with a peer protocol that has no pushes
(R54), where the follower asks for each block and its batches. `--write` puts the table into docs/geography.md.

Invariants: the same command gives the same table; a block that the follower doesn't execute ends the run.
"""

import argparse
import random
import statistics
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from page import put
from wan import NETS, PAGE, WARM_MS, Kind, Senders, make_world, send

from rustorium.consensus.pacemaker import NS_PER_MS

READERS = {"four": "ap-southeast-2", "europe4": "us-east-1", "namerica4": "sa-east-1", "world10": "ap-south-1"}
"""The region of the follower of each net."""
WITHOUT_PUSHES = 5
"""The last version of the peer protocol that has none."""
SAMPLES = 50
"""Transactions of each region."""


@dataclass(frozen=True, slots=True)
class Lag:
    """How late a follower was."""

    hop_ms: float
    """Mean time from a block's execution at the member that could tell the follower first until the follower could
    know."""
    beyond_ms: list[float]
    """Time after that until the follower had executed it, for each block."""

    @property
    def median_ms(self) -> float:
        """Returns the median time beyond the earliest."""
        return statistics.median(self.beyond_ms)

    @property
    def p99_ms(self) -> float:
        """Returns the 99th percentile of it."""
        return statistics.quantiles(self.beyond_ms, n=100)[98]


def measure(
    regions: list[str],
    reader: str,
    kind: Kind,
    seed: int,
    *,
    pushes: bool = True,
    bars: Callable[[int, int, bytes], bool] | None = None,
) -> Lag:
    """Runs a committee and a follower in the region of `reader`, whose number is the committee's size. `pushes`:
    `False` for a peer protocol without them. `bars`: returns `True` for a frame from one node to another that is lost.
    """
    n = len(regions)
    world, delays = make_world(regions, [reader], seed)
    if not pushes:
        world.link_version = WITHOUT_PUSHES
    executed: defaultdict[int, dict[int, int]] = defaultdict(dict)

    def note(node: int, height: int) -> None:
        executed[height].setdefault(node, world.now)

    world.on_executed = note
    if bars is not None:
        world.bars = bars
    world.start_all()
    world.run(WARM_MS)
    send(world, Senders(world, regions, seed), random.Random(f"followers {seed}"), kind, SAMPLES)
    world.run(world.now / NS_PER_MS + WARM_MS)
    hops, beyond = [], []
    # The first blocks are those in which the follower finds who tells it first.
    for height in sorted(executed)[len(executed) // 4 :]:
        at = executed[height]
        earliest, first = min((at[member] + delays[member][n] * 1000, at[member]) for member in range(n))
        hops.append((earliest - first) / NS_PER_MS)
        beyond.append((at[n] - earliest) / NS_PER_MS)
    return Lag(statistics.fmean(hops), beyond)


def table(found: dict[str, dict[tuple[Kind, bool], Lag]]) -> str:
    """Returns the figures as Markdown."""
    kinds = " | ".join(f"{kind.value}: asks | is pushed to" for kind in (Kind.ROW, Kind.LOAD))
    lines = [f"| net | follower in | one way | {kinds} |", f"|---|---|{'--:|' * 5}"]
    for name, by in found.items():
        cells = [f"{one.median_ms:.1f} ms ({one.p99_ms:.1f})" for one in by.values()]
        hop = statistics.fmean(one.hop_ms for one in by.values())
        lines.append(f"| {name} | {READERS[name]} | {hop:.0f} ms | {' | '.join(cells)} |")
    said = "Median time (99th percentile) after the earliest possible; `just bench-followers`"
    return "\n".join([*lines, "", f"{said}, {time.strftime('%Y-%m-%d', time.gmtime())}."])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nets", nargs="+", choices=list(NETS), default=list(NETS), help="committees")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--write", action="store_true", help=f"write the table to {PAGE}")
    options = parser.parse_args()
    found: dict[str, dict[tuple[Kind, bool], Lag]] = {}
    for name in options.nets:
        found[name] = {
            (kind, pushes): measure(NETS[name], READERS[name], kind, options.seed, pushes=pushes)
            for kind in (Kind.ROW, Kind.LOAD)
            for pushes in (False, True)
        }
        print(name, {(kind.value, pushes): one.median_ms for (kind, pushes), one in found[name].items()}, flush=True)
    text = table(found)
    print(text)
    if options.write:
        put(PAGE, "bench-followers", text)


if __name__ == "__main__":
    main()
