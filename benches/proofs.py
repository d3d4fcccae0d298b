"""Measures the cost of proofs for clients: sizes, checks, and latencies through HTTP, on a devnet of this machine.

Invariants: times are medians; the client's checks are measured by themselves (processor time), the rest by the wall
clock over one keep-alive connection; nothing passes or fails by time.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import httpx2

from rustorium import _native
from rustorium.access.genesis import read_genesis
from rustorium.client import Client, Key
from rustorium.client.light import now_ms
from rustorium.client.operations import put
from rustorium.errors import Busy
from rustorium.net.devnet import Devnet
from rustorium.types import PROOF_KEYS_MAX

KEYS = 1_000
"""Keys of the large proof."""
PAYLOAD_BYTES = 200
"""Bytes of a key's value."""
OPERATIONS = 250


def median_ms(rounds: int, work: Callable[[], object], clock: Callable[[], float] = time.perf_counter) -> float:
    """The median time of a piece of work, ms."""
    times = []
    for _ in range(rounds):
        start = clock()
        work()
        times.append(1000 * (clock() - start))
    return statistics.median(times)


class Bench:
    """One devnet with keys to ask for, and one connection to a node."""

    def __init__(self, net: Devnet, keys: int, rounds: int) -> None:
        self.rounds, self.genesis = rounds, read_genesis(Path(net.net.genesis))
        self.key = Key.open(net.net.accounts[0].key_file)
        self.client = Client.from_net(net.path, key=self.key, timeout_s=60)
        self.names = [b"bench/%06d" % number for number in range(keys)]
        self.node = httpx2.Client(base_url=net.net.nodes[0].http, trust_env=False, timeout=60)

    def fill(self) -> None:
        """Writes all keys, and waits until a root holds them."""
        for start in range(0, len(self.names), OPERATIONS):
            names = self.names[start : start + OPERATIONS]
            self.client.send([put(self.key.address, name, b"v" * PAYLOAD_BYTES) for name in names])
        self.client.get(self.key.address, self.names[-1])

    def ask(self, names: list[bytes]) -> dict[str, Any]:
        """One question for one proof, straight at a node."""
        items = [{"account": self.key.address, "key_hex": name.hex()} for name in names]
        answer = self.node.post("/v1/proofs", json={"items": items})
        answer.raise_for_status()
        found: dict[str, Any] = answer.json()
        return found

    def checked_ms(self, proof: bytes) -> float:
        """Processor time to check a proof from the genesis on; the certificate is checked each time."""
        times = []
        for _ in range(self.rounds):
            light = _native.Light.from_genesis(self.genesis)
            start = time.thread_time()
            light.check(proof, now_ms())
            times.append(1000 * (time.thread_time() - start))
        return statistics.median(times)

    def sizes(self) -> list[tuple[str, str]]:
        """Bytes and checks of proofs of one key and of many."""
        rows = []
        for count in (1, 10, 100, KEYS):
            proof = bytes.fromhex(self.ask(self.names[:count])["proof_hex"])
            state = len(proof) - count * (PAYLOAD_BYTES + 64) - self.certificate(proof)
            check = self.checked_ms(_native.wrap_proof("read", proof))
            light = _native.Light.from_genesis(self.genesis)
            wrapped = _native.wrap_proof("read", proof)
            light.check(wrapped, now_ms())
            known = median_ms(self.rounds, partial(light.check, wrapped, now_ms()), time.thread_time)
            rows.append(
                (
                    f"proof of {count:,} {'key' if count == 1 else 'keys'}",
                    f"{state:,} bytes besides values and certificate ({self.certificate(proof):,}); checked in "
                    f"{check:.2f} ms CPU, {known:.2f} with a known header ({check / count:.3f} ms a key)",
                )
            )
        return rows

    def certificate(self, proof: bytes) -> int:
        """Bytes of the header and its certificate in a proof: those of a block's proof at the same height."""
        facts = json.loads(_native.Light.from_genesis(self.genesis).check(_native.wrap_proof("read", proof), now_ms()))
        answer = self.node.get(f"/v1/blocks/{facts['claimed_by']['height']}", params={"proof": 1}).json()
        return (len(answer["block_hex"]) + len(answer["proof_hex"])) // 2

    def latencies(self) -> list[tuple[str, str]]:
        """Wall time of reads and writes through HTTP."""
        path = f"/v1/accounts/{self.key.address}/keys"
        hit = median_ms(self.rounds, lambda: self.node.get(f"{path}/{self.names[0].decode()}"))
        names = iter(self.names)
        miss = median_ms(min(self.rounds, KEYS), lambda: self.node.get(f"{path}/{next(names).decode()}x"))
        self.ask(self.names[:1])
        again = median_ms(self.rounds, lambda: self.ask(self.names[:1]))
        fresh = iter(self.names[1:])
        made = median_ms(self.rounds, lambda: self.ask([next(fresh)]))
        some = self.names[-KEYS:]
        many, many_again = median_ms(1, lambda: self.ask(some)), median_ms(5, lambda: self.ask(some))
        verified = median_ms(self.rounds, lambda: self.client.get(self.key.address, self.names[0]))
        plain = median_ms(self.rounds, lambda: self.client.get(self.key.address, self.names[0], verify=False))
        number = iter(range(10_000))
        write = median_ms(self.rounds, lambda: self.client.put(b"one", b"%d" % next(number)))
        proven = median_ms(
            max(3, self.rounds // 10),
            lambda: self.client.write_with_proof([put(self.key.address, b"two", b"%d" % next(number))]),
        )
        return [
            ("read, value in the cache", f"{hit:.2f} ms"),
            ("read, key that isn't there", f"{miss:.2f} ms"),
            ("proof of one key, made before", f"{again:.2f} ms"),
            ("proof of one key, made for it", f"{made:.2f} ms"),
            (f"proof of {KEYS:,} keys, made for it", f"{many:.1f} ms; again {many_again:.1f}"),
            ("Client.get, verified", f"{verified:.2f} ms; {plain:.2f} with verify=False"),
            ("Client.put, final", f"{write:.2f} ms"),
            ("Client.write_with_proof", f"{proven:.1f} ms"),
        ]

    def close(self) -> None:
        """Closes the connections."""
        self.node.close()
        self.client.close()


def main() -> None:
    """Runs it and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--keys", type=int, default=10_000, help="keys in the state (default: 10,000)")
    parser.add_argument("--rounds", type=int, default=50, help="measurements of each figure (default: 50)")
    arguments = parser.parse_args()
    assert KEYS <= PROOF_KEYS_MAX
    with tempfile.TemporaryDirectory(prefix="rustorium-bench-") as folder:
        net = Devnet.create(Path(folder) / "net")
        net.start()
        try:
            with closing(Bench(net, max(arguments.keys, KEYS + arguments.rounds), arguments.rounds)) as bench:
                try:
                    bench.fill()
                    rows = bench.sizes() + bench.latencies()
                except Busy as error:
                    parser.exit(1, f"the devnet is busy: {error}\n")
        finally:
            net.stop()
    width = max(len(name) for name, _ in rows)
    print(f"{arguments.keys:,} keys of {PAYLOAD_BYTES} bytes, four validators on this machine, medians")
    for name, figure in rows:
        print(f"{name:<{width}}  {figure}")


if __name__ == "__main__":
    main()
