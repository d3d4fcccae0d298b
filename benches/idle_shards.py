"""Measures what an idle hosted shard costs a node, with its core in Python: four validators with so many shards each.

`PYTHONPATH=tests .venv/bin/python benches/idle_shards.py SHARDS SECONDS`
"""

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx2

from process_tools import wait_for
from rustorium.net.devnet import Devnet

PROGRAM = Path(__file__).parents[1] / "tests" / "hosted_shards.py"
SETTLE_S = 15.0
TICKS_PER_S = os.sysconf("SC_CLK_TCK")


def usage(pid: int) -> tuple[float, float]:
    """Returns CPU seconds and MiB of memory of its own of a process."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    status = Path(f"/proc/{pid}/status").read_text()
    [kib] = [int(line.split()[1]) for line in status.splitlines() if line.startswith("RssAnon:")]
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_S, kib / 1024


def runs_all(net: Devnet, index: int, shards: int) -> bool:
    """Returns whether a node shows that its shards run and are in a view."""
    try:
        text = httpx2.get(f"{net.net.nodes[index].metrics}/metrics", timeout=5).text
    except httpx2.TransportError:
        return False
    lines = text.splitlines()
    views = [line for line in lines if line.startswith("rustorium_consensus_view{") and not line.endswith(" 0")]
    return len(views) == shards


def main() -> None:
    shards, seconds = int(sys.argv[1]), float(sys.argv[2])
    with tempfile.TemporaryDirectory() as folder, Devnet.create(Path(folder)) as net:
        numbers = [str(number) for number in range(shards)]
        homes = [node.home for node in net.net.nodes]
        nodes = [subprocess.Popen([sys.executable, str(PROGRAM), home, *numbers]) for home in homes]
        try:
            for index in range(len(nodes)):
                wait_for(f"the shards of node {index}", lambda index=index: runs_all(net, index, shards))
            time.sleep(SETTLE_S)
            before, began = [usage(node.pid)[0] for node in nodes], time.monotonic()
            time.sleep(seconds)
            after, elapsed = [usage(node.pid) for node in nodes], time.monotonic() - began
        finally:
            for node in nodes:
                node.terminate()
            for node in nodes:
                node.wait()
    percent = 100 * sum(cpu - first for (cpu, _), first in zip(after, before, strict=True)) / elapsed / len(nodes)
    mib = sum(one for _, one in after) / len(nodes)
    print(f"{shards} shards: {percent:.3f} % of a core and {mib:.1f} MiB for each node")


if __name__ == "__main__":
    main()
