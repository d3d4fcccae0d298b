"""An attacker with a committee member's keys, and its cost for the other members.

Invariants: the member's own node is stopped, so that figures with and without an attack are of the same honest nodes.
"""

import json
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from attackers import MIB, Pulse, memory_bytes

from process_tools import DEADLINE_S, assert_no_panic, assert_same_roots, counter, level, statuses, wait_for
from rustorium.access.keyfiles import open_key_file
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet

CUT_OFF = "rustorium_consensus_cut_off_validators"
BYZANTINE = "rustorium_consensus_byzantine_validators"
JOURNAL = "rustorium_storage_journal_held_bytes"
GROWTH_BYTES_MAX = 192 * MIB
"""Maximum bytes that one attack may add to an honest node's memory."""
JOURNAL_BYTES_MAX = 16 * MIB
"""Maximum bytes that an honest node's journal may hold from its oldest needed record on."""


class Liar:
    """A run of the program `liar` with the keys of one validator, which lasts until `end` or the end of the `with`
    block."""

    def __init__(self, program: Path, net: Devnet, index: int, kinds: list[str], mbit_per_s: int) -> None:
        home, passphrase = Home(Path(net.net.nodes[index].home)), net.root / "passphrase"
        attack = {
            "kinds": kinds,
            "genesis": net.net.genesis,
            "node_seed": open_key_file(home.node_key, "node", passphrase, os.environ).hex(),
            "validator_seed": open_key_file(home.validator_key, "validator", passphrase, os.environ).hex(),
            "listen": net.net.nodes[index].p2p,
            "addresses": [node.p2p for node in net.net.nodes],
            "mbit_per_s": mbit_per_s,
        }
        # A real attacker has its own machine, so only the nodes' work on its frames counts.
        command = ["nice", "-n", "19", str(program), json.dumps(attack)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process.poll() is None:
            self._process.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        self._process.wait(DEADLINE_S)

    def line(self) -> dict[str, Any]:
        """Reads its next line."""
        assert self._process.stdout is not None
        said: dict[str, Any] = json.loads(self._process.stdout.readline())
        return said

    def end(self) -> dict[str, Any]:
        """Ends the attack; returns the number of frames sent."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        said = self.line()
        assert self._process.wait(DEADLINE_S) == 0
        return said


class Victims:
    """The honest nodes of a net, which several attacks meet one after the other."""

    def __init__(self, net: Devnet, liar: int) -> None:
        self.net = net
        self.honest = [node.index for node in net.net.nodes if node.index != liar]
        self._memory = self._memory_bytes()

    def _memory_bytes(self) -> list[int]:
        return [memory_bytes(self.net.net.nodes[index].pid) for index in self.honest]

    def all_say(self, metric: str) -> list[float]:
        """Returns a metric of each node."""
        return [counter(self.net, index, metric) for index in self.honest]

    def all_find(self, code: str) -> bool:
        """Returns true if each node has this finding."""
        found = statuses(self.net, self.honest)
        return all(code in {one.code for one in status.findings} for status in found)

    def begin(self) -> None:
        """Stores the nodes' memory, for `grown_bytes` to compare with."""
        self._memory = self._memory_bytes()

    def cpu_s(self) -> float:
        """Returns the processor time that all nodes have used."""
        return sum(self.all_say("rustorium_process_cpu_seconds"))

    def grown_bytes(self) -> int:
        """Returns the largest growth of a node's memory since `begin`."""
        now = self._memory_bytes()
        return max(after - before for before, after in zip(self._memory, now, strict=True))

    def assert_bounded(self) -> None:
        """Asserts that memory is bounded, and waits until journals are, which are trimmed as heights advance."""
        assert self.grown_bytes() <= GROWTH_BYTES_MAX
        pulsing = Pulse(self.net)
        with pulsing:
            wait_for("journals are small", lambda: max(self.all_say(JOURNAL)) <= JOURNAL_BYTES_MAX)

    def assert_whole(self) -> None:
        """Asserts that the nodes are at the same height with the same chain."""
        wait_for("all are level", lambda: level(self.net, self.honest))
        last = statuses(self.net, self.honest)[0].executed
        assert_same_roots(self.net, max(0, last - 50), self.honest)
        assert_no_panic(self.net)
