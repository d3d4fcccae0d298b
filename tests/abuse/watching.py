"""Observes the chain and one of its nodes during an attack, and makes transactions to attack with.

Invariants: memory and counts are always asserted, times only in the long form.
"""

import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attackers import MIB, Pulse, memory_bytes, open_sockets_max

from process_tools import assert_no_panic, assert_same_roots, level, statuses, wait_for
from rustorium import _native
from rustorium.client import Key
from rustorium.net.devnet import Devnet

TIMES = int(os.environ.get("RUSTORIUM_ABUSE_TIMES", "1"))
MARK = pytest.mark.alone if TIMES > 1 else pytest.mark.nodes
"""Only the long form asserts times, and so needs the machine for itself."""
BEATS = 8 * TIMES
"""Number of final transactions that the test waits for before an attack and during it."""
VICTIM = 0
GROWTH_BYTES_MAX = 192 * MIB
"""Bytes that one attack may add to a node's memory: connections and streams up to their limits, and the load beside
them."""

SLOWER_TIMES_MAX, SLACK_MS = 2.0, 10.0
"""Allowed ratio of the time to finality during an attack to the time without one, and the allowance for a busy
machine's median."""


@contextmanager
def attacked_net(root: Path) -> Iterator[Devnet]:
    """Four validators, which the attacks of a file use one after the other; at the end they must agree on the state."""
    open_sockets_max()
    with Devnet.create(root) as net:
        net.start()
        with Pulse(net) as pulse:
            wait_for("the net is warm", lambda: pulse.beats() >= BEATS)
        yield net
        wait_for("all are level", lambda: level(net))
        assert_same_roots(net, max(0, statuses(net)[0].executed - 50))
        assert_no_panic(net)


class Watch:
    """Measures an attack's effect on the chain and the victim, prints it, and checks the bounds."""

    def __init__(
        self,
        net: Devnet,
        name: str,
        growth_bytes_max: int = GROWTH_BYTES_MAX,
        slower_times_max: float = SLOWER_TIMES_MAX,
    ) -> None:
        self._net, self._name = net, name
        self._growth_bytes_max, self._slower_times_max = growth_bytes_max, slower_times_max
        self._pulse = Pulse(net)

    def __enter__(self) -> "Watch":
        self._pulse.__enter__()
        try:
            self.beat()
        except BaseException:
            self._pulse.__exit__()
            raise
        self._first = self._pulse.beats()
        self._calm = self._pulse.figures()
        self._before = self._memory()
        return self

    def beat(self) -> None:
        """Waits for the next transactions to be final."""
        self._pulse.wait(BEATS)

    def __exit__(self, *error: object) -> None:
        during, grown = self._pulse.beats() - self._first, self._memory() - self._before
        self._pulse.__exit__()
        attacked = self._pulse.figures(self._first) if during else None
        print(f"{self._name}: calm {self._calm}, attacked {attacked}, memory {grown / MIB:+.1f} MiB")
        if error[0] is None:
            assert grown <= self._growth_bytes_max
            assert attacked is not None
            assert during >= BEATS
            slowest_ms = self._slower_times_max * self._calm.p50_ms + SLACK_MS
            assert TIMES == 1 or attacked.p50_ms <= slowest_ms, f"{attacked}, and {self._calm} before"

    def _memory(self) -> int:
        return memory_bytes(self._net.net.nodes[VICTIM].pid)


def raw(signer: Key, chain: str, nonce: int, *, good: bool = True, expires_s: int = 60) -> bytes:
    """Returns a signed transaction's bytes; with another signature if it should be invalid."""
    expiry_ms = time.time_ns() // 1_000_000 + expires_s * 1_000
    _, signed = _native.build_transaction(signer.seed, chain, signer.region, nonce, expiry_ms, None, "[]")
    return signed if good else signed[:-64] + secrets.token_bytes(64)


def body_of(transactions: list[bytes]) -> bytes:
    parts = [len(transactions).to_bytes(4, "little")]
    return b"".join(parts + [part for one in transactions for part in (len(one).to_bytes(4, "little"), one)])
