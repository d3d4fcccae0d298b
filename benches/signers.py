"""Measures the cost of signer processes for writes: four validators without and with them, in turns (A B B A).

Invariants: one client writes one value after the other; nothing passes or fails by time. `--sync-ms` makes each sync of
nodes and signers take that much longer, as on a slower disk, by the preloaded layer of `tests/disk`.
"""

import argparse
import statistics
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from disk_layer import environment, rule
from process_tools import counter
from signer_tools import Signers

VALIDATORS = 4
WARM = 20
BETWEEN_S = 0.02
"""A pause between writes, so that each one finds a chain at rest."""


def slower(folder: Path, sync_ms: int) -> dict[str, str]:
    """The environment of a process whose syncs below the folder take longer."""
    return environment(folder, rules=[rule("slow", ms=sync_ms)], real_syncs=True) if sync_ms else {}


def writes(client: Client, count: int) -> list[float]:
    """Milliseconds until each write was final."""
    took = []
    for number in range(count):
        began = time.monotonic()
        client.put(b"w%d" % (number % 50), b"%d" % number, wait="final")
        took.append(1000 * (time.monotonic() - began))
        time.sleep(BETWEEN_S)
    return took


def mean_ms(net: Devnet, name: str) -> float:
    """The mean of a histogram of all nodes."""
    total, count = (sum(counter(net, at, f"{name}_{part}") for at in range(VALIDATORS)) for part in ("sum", "count"))
    return 1000 * total / count if count else 0.0


def measured(count: int, sync_ms: int, with_signers: bool) -> list[float]:
    """The times of a new net's writes."""
    with ExitStack() as stack:
        scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        net = stack.enter_context(Devnet.create(scratch / "net", nodes=VALIDATORS, accounts=1))
        if with_signers:
            stack.enter_context(Signers(net, environment=lambda folder: slower(folder, sync_ms)))
        for index in range(VALIDATORS):
            net.spawn(index, slower(Path(net.net.nodes[index].home), sync_ms))
        net.wait_ready()
        key = Key.open(net.net.accounts[0].key_file)
        with Client.from_net(net.path, key=key) as client:
            writes(client, WARM)
            took = writes(client, count)
        journal = mean_ms(net, "rustorium_storage_journal_sync_seconds")
        print(f"a sync of the journal: {journal:.2f} ms", end="; ")
        if with_signers:
            print(
                f"a question to the signer, its sync included: {mean_ms(net, 'rustorium_signer_seconds'):.2f} ms",
                end="; ",
            )
        return took


def show(what: str, took: list[float]) -> None:
    quantiles = statistics.quantiles(took, n=20)
    mean = statistics.fmean(took)
    print(
        f"{what}: {len(took)} writes, median {statistics.median(took):.2f} ms, mean {mean:.2f} ms, "
        f"p95 {quantiles[18]:.2f} ms",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--writes", type=int, default=200, help="writes of each turn")
    parser.add_argument("--sync-ms", type=int, default=0, help="what each sync takes longer")
    parser.add_argument("--rounds", type=int, default=1, help="how often the four turns are done")
    options = parser.parse_args()
    took: dict[bool, list[float]] = {False: [], True: []}
    for with_signers in (False, True, True, False) * options.rounds:
        found = measured(options.writes, options.sync_ms, with_signers)
        show("with signers" if with_signers else "without", found)
        took[with_signers] += found
    show("all without", took[False])
    show("all with signers", took[True])
    added = statistics.median(took[True]) - statistics.median(took[False])
    print(f"added to the median: {added:.2f} ms", flush=True)


if __name__ == "__main__":
    main()
