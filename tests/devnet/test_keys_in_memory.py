"""A running node's secret keys are only in locked pages that no dump contains.

Invariants: the nodes are those of the release, except that this test's user may read their memory.
"""

import hashlib
import os
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rustorium.access.keyfiles import open_key_file
from rustorium.client import Client, Key
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

CHUNK = 4 << 20
LONGEST = 64
"""Length of the longest secret that the test searches for, in bytes."""


def secrets(net: Devnet, index: int) -> dict[str, bytes]:
    """Returns a node's keys in all forms that can sign: the seed, as text, and the half of RFC 8032's hash that makes
    nonces."""
    home = Home(Path(net.net.nodes[index].home))
    found = {}
    for kind, path in [("validator", home.validator_key), ("node", home.node_key)]:
        seed = open_key_file(path, kind, net.root / "passphrase", os.environ)
        found |= {kind: seed, f"{kind} in hex": seed.hex().encode()}
        found[f"{kind} expanded"] = hashlib.sha512(seed).digest()[32:]
    return found


def regions(pid: int) -> Iterator[tuple[int, int, set[str]]]:
    """Returns the start, end and flags of each writable part of a process's memory."""
    span, writable = (0, 0), False
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        if begins := re.match(r"([0-9a-f]+)-([0-9a-f]+) (\S+)", line):
            span = (int(begins[1], 16), int(begins[2], 16))
            writable = begins[3].startswith("rw")
        elif line.startswith("VmFlags:") and writable:
            yield *span, set(line.split()[1:])


def places(pid: int, wanted: dict[str, bytes]) -> list[tuple[str, set[str]]]:
    """Returns the secrets in a process's memory, and the flags of their pages."""
    found = []
    with open(f"/proc/{pid}/mem", "rb", buffering=0) as memory:
        for start, end, flags in regions(pid):
            at = start
            while at < end:
                memory.seek(at)
                try:
                    chunk = memory.read(min(CHUNK + LONGEST, end - at))
                except OSError:
                    break  # unmapped since, or a device's memory
                found += [(name, flags) for name, secret in wanted.items() if secret in chunk]
                at += CHUNK
    return found


def test_secret_keys_of_a_running_node_are_only_in_locked_pages(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("from rustorium import _native\n_native.forbid_core_dumps = bool\n")
    with Devnet.create(tmp_path / "net", nodes=2, accounts=1) as net:
        for index in range(2):
            net.spawn(index, {"PYTHONPATH": str(tmp_path)})
        net.wait_ready()
        with Client.from_net(net.path, key=Key.open(net.net.accounts[0].key_file)) as client:
            for number in range(20):
                client.put(b"k", b"%d" % number)
        for index, node in enumerate(net.net.nodes):
            assert node.pid is not None
            found = places(node.pid, secrets(net, index))
            open_ones = sorted({name for name, flags in found if not {"lo", "dd"} <= flags})
            assert open_ones == [], "these are found outside of locked pages"
            assert {name for name, _ in found} >= {"validator expanded", "node expanded"}
