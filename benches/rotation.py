"""Measures the latency of writes while storage keys are replaced: before, while one node does it, and while all do.

Invariants: one client writes one value after the other; nothing passes or fails by time.
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.admin.socket import call

VALIDATORS = 4
TOGETHER = 100
"""Puts of one transaction, while the stores are filled."""
BETWEEN_S = 0.02


def writes(client: Client, until: Callable[[], bool]) -> list[float]:
    """Milliseconds until each write was final."""
    took = []
    while not until():
        began = time.monotonic()
        client.put(b"w%d" % (len(took) % 50), b"%d" % len(took))
        took.append(1000 * (time.monotonic() - began))
        time.sleep(BETWEEN_S)
    return took


def calm(client: Client, seconds: float) -> list[float]:
    end = time.monotonic() + seconds
    return writes(client, lambda: time.monotonic() > end)


def replaced(client: Client, homes: list[Home]) -> tuple[list[float], dict[str, object]]:
    """While these nodes replace their storage keys; and how the first of them ended."""
    for home in homes:
        call(home.admin_socket, "replace_storage_key")

    def over() -> bool:
        return not any(call(home.admin_socket, "rotation")["running"] for home in homes)

    took = writes(client, over)
    return took, dict(call(homes[0].admin_socket, "rotation"))


def show(what: str, took: list[float]) -> None:
    quantiles = statistics.quantiles(took, n=20)
    print(
        f"{what}: {len(took)} writes, median {statistics.median(took):.1f} ms, p95 {quantiles[18]:.1f} ms", flush=True
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--values", type=int, default=100_000, help="values of 400 bytes in the store")
    parser.add_argument("--seconds", type=float, default=12)
    options = parser.parse_args()
    with (
        tempfile.TemporaryDirectory() as scratch,
        Devnet.create(Path(scratch) / "net", nodes=VALIDATORS, accounts=1) as net,
    ):
        for index in range(VALIDATORS):
            net.spawn(index)
        net.wait_ready()
        key = Key.open(net.net.accounts[0].key_file)
        homes = [Home(Path(node.home)) for node in net.net.nodes]
        with Client.from_net(net.path, key=key) as client:
            for first in range(0, options.values, 10 * TOGETHER):
                names = range(first, min(first + 10 * TOGETHER, options.values))
                each = [[put(key.address, b"%d" % n, b"x" * 400) for n in names[at::10]] for at in range(10)]
                client.send_many([one for one in each if one])
            show("before", calm(client, options.seconds))
            for nodes in (homes[:1], homes):
                began = time.monotonic()
                took, status = replaced(client, nodes)
                seconds = time.monotonic() - began
                show(f"while {len(nodes)} of {VALIDATORS} replace it", took)
                print(f"  {status['rows']} rows and {status['files']} files in {seconds:.1f} s: {status}", flush=True)
            show("after", calm(client, options.seconds))


if __name__ == "__main__":
    main()
