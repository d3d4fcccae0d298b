"""A devnet's validator under `recover auto`, as an operator runs it, and the content of its files."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from process_tools import DEADLINE_S, wait_for
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet
from rustorium.node.recovery.state import read_recovery


class SupervisedNode:
    """Runs validator `index` of a net whose own process of it has ended."""

    def __init__(self, net: Devnet, index: int, environment: dict[str, str] | None = None) -> None:
        self.home = Home(Path(net.net.nodes[index].home))
        self._environment = environment or {}
        self._process: subprocess.Popen[bytes] | None = None
        self.start()

    def start(self) -> None:
        clean = {key: value for key, value in os.environ.items() if not key.startswith("RUSTORIUM_")}
        command = [sys.executable, "-m", "rustorium.cli", "recover", "auto", "--home", str(self.home.path)]
        with open(self.home.path / "log" / "recover-stderr.log", "ab") as said:
            self._process = subprocess.Popen(command, stderr=said, env={**clean, **self._environment})

    def __enter__(self) -> "SupervisedNode":
        return self

    def __exit__(self, *_: object) -> None:
        if self._process is not None and self._process.poll() is None:
            self.stop()

    def stop(self) -> None:
        """Ends both cleanly with SIGTERM."""
        assert self._process is not None
        self._process.send_signal(signal.SIGTERM)
        assert self._process.wait(DEADLINE_S) == 0
        assert "Traceback" not in self.said()

    def ended(self) -> int | None:
        assert self._process is not None
        return self._process.poll()

    def said(self) -> str:
        return (self.home.path / "log" / "recover-stderr.log").read_text()

    def child(self) -> int | None:
        """Process id of the node; `None` if it doesn't run."""
        assert self._process is not None
        # Any thread of the supervisor may have started it.
        tasks = Path(f"/proc/{self._process.pid}/task").glob("*/children")
        found = [pid for task in tasks for pid in task.read_text().split()]
        return int(found[0]) if found else None

    def signal_child(self, number: signal.Signals) -> int:
        """Sends a signal to the node, not to the supervisor; returns the node's process id."""
        child: list[int | None] = [None]

        def there() -> bool:
            child[0] = self.child()
            return child[0] is not None

        wait_for("there is a node", there)
        assert child[0] is not None
        os.kill(child[0], number)
        return child[0]

    def acts(self) -> list[tuple[str, str]]:
        """Returns the acts and their reasons."""
        return [(str(one["act"]), str(one["code"])) for one in read_recovery(self.home).get("acts", [])]

    def wait_for_act(self, act: str, code: str, after: Sequence[tuple[str, str]]) -> None:
        wait_for(f"{act} because of {code}", lambda: (act, code) in self.acts()[len(after) :])

    def audited(self, event: str) -> list[dict[str, Any]]:
        return audited(self.home, event)


def audited(home: Home, event: str) -> list[dict[str, Any]]:
    """Returns the fields of such records of a node's audit log, and checks that their numbers have no gap."""
    lines = [json.loads(line) for line in (home.path / "audit" / "audit.jsonl").read_text().splitlines()]
    assert [line["seq"] for line in lines] == list(range(1, len(lines) + 1))
    return [line["fields"] for line in lines if line["event"] == event]


def recover_manually(home: Home, *options: str) -> Any:
    """Returns the output of `recover manual` as JSON."""
    command = [sys.executable, "-m", "rustorium.cli", "recover", "manual", "--home", str(home.path), "-o", "json"]
    return json.loads(subprocess.run([*command, *options], check=True, capture_output=True, timeout=DEADLINE_S).stdout)
