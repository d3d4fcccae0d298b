"""Tools of the fault tests: waiting for conditions, a load that remembers its results, and checks of nodes.

Invariants: no test sleeps for a fixed time; a deadline only ends a test that would never end.
"""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx2

from json_results import check
from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.errors import ClientError
from rustorium.net.devnet import Devnet
from rustorium.net.probe import ask
from rustorium.types import NodeStatus, Subject, Submitted, Value

DEADLINE_S = 120.0
POLL_S = 0.02
GROUP = 25
REQUEST_S = 2.0
STATUS_S = 15.0
"""A node that answers later than this counts as down. On a busy machine an answer takes time."""


def wait_for(what: str, condition: Callable[[], bool], deadline_s: float = DEADLINE_S) -> float:
    """Waits until the condition holds; returns the seconds."""
    start = time.monotonic()
    while not condition():
        assert time.monotonic() - start < deadline_s, f"never happened: {what}"
        time.sleep(POLL_S)
    return time.monotonic() - start


def statuses(net: Devnet, indexes: Sequence[int] | None = None) -> list[NodeStatus]:
    nodes = net.net.nodes if indexes is None else [net.net.nodes[index] for index in indexes]
    return ask([node.http for node in nodes], STATUS_S)


def level(net: Devnet, indexes: Sequence[int] | None = None) -> bool:
    """Returns true if these nodes (default: all) are ready and at one height."""
    found = statuses(net, indexes)
    return all(status.ready for status in found) and len({status.executed for status in found}) == 1


def values_after(node: Client, wrote: Submitted, namespace: str, *keys: str) -> list[bytes | None]:
    """Returns proven values, read of one node that may be behind: none is older than the write."""
    assert wrote.receipt is not None
    height, shard = wrote.receipt.height, wrote.receipt.shard
    wait_for(f"height {height} of shard {shard}", lambda: node.in_shard(shard).status().executed >= height)
    subjects = [Subject(namespace, key=key.encode()) for key in keys]
    items = node.prove(subjects, from_height=height).items
    found = [items[subject] for subject in subjects]
    return [item.value for item in found if isinstance(item, Value)]


def assert_same_roots(net: Devnet, first: int = 0, indexes: Sequence[int] | None = None) -> int:
    """Checks that these nodes (default: all) have the same block and root at every height that all have; returns the
    last of these heights."""
    last = min(status.executed for status in statuses(net, indexes))
    seen: list[list[tuple[str, str]]] = []
    for node in net.net.nodes if indexes is None else [net.net.nodes[index] for index in indexes]:
        with Client(node.http) as client:
            blocks = [client.block(height, proof=False) for height in range(first, last + 1)]
        seen.append([(block.digest, block.root) for block in blocks])
    assert all(one == seen[0] for one in seen)
    return last


def counter(net: Devnet, index: int, name: str) -> float:
    """Returns the sum of a metric of a node over the labels that start like `name`."""
    return counter_at(net.net.nodes[index].metrics, name)


def counter_at(metrics: str, name: str) -> float:
    """Returns the same from the URL of a node's metrics."""
    text = httpx2.get(f"{metrics}/metrics", trust_env=False, timeout=STATUS_S).text
    return sum(float(line.rpartition(" ")[2]) for line in text.splitlines() if line.startswith(name))


def start_home(home: str | Path, *more: str, timeout_s: float = DEADLINE_S) -> subprocess.CompletedProcess[str]:
    """Runs `start --home` until it ends by itself."""
    command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(home), *more]
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)


def run_command(*words: str, timeout_s: float = 120.0) -> subprocess.CompletedProcess[str]:
    """Runs `rustorium-node` with these arguments to its end."""
    command = [sys.executable, "-m", "rustorium.cli", *words]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=timeout_s, check=False)
    check(words, ended.stdout, ended.stderr)
    return ended


def cli(*arguments: object, code: int = 0, timeout_s: float = 60.0) -> subprocess.CompletedProcess[str]:
    """Runs `rustorium-node` with these arguments to its end, which must have this exit code and no traceback."""
    ended = run_command(*map(str, arguments), timeout_s=timeout_s)
    assert ended.returncode == code, ended.stdout + ended.stderr
    assert "Traceback" not in ended.stderr
    return ended


def assert_one_sentence(ended: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """Checks that a command ended with this code and, after its notes, one sentence with these parts."""
    assert ended.returncode == code, ended
    assert "Traceback" not in ended.stderr
    assert "panicked" not in ended.stderr
    errors = [line for line in ended.stderr.splitlines() if line.startswith("error: ")]
    assert ended.stderr.splitlines()[-1:] == errors, ended.stderr
    for part in parts:
        assert part in errors[0], errors[0]


def assert_no_panic(net: Devnet) -> None:
    """Checks that no node's output has a panic or an unexpected exception."""
    for node in net.net.nodes:
        for path in Path(node.home, "log").iterdir():
            if path.is_file():
                text = path.read_text(errors="replace")
                assert "panicked" not in text, path
                assert "Traceback" not in text, path


class Load:
    """Puts from threads, one per account, until `stop`. `told` has the puts that these clients were told are final: id,
    key and value."""

    def __init__(self, net: Devnet, tag: str, accounts: Sequence[int] = (0, 1)) -> None:
        self.told: list[tuple[str, str, bytes, bytes]] = []
        self.faults: list[BaseException] = []
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        keys = [Key.open(net.net.accounts[index].key_file) for index in accounts]
        self._threads = [threading.Thread(target=self._run, args=(net.path, key, tag)) for key in keys]

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        """Ends the load, and raises the error of a thread."""
        self._stopping.set()
        for thread in self._threads:
            thread.join(DEADLINE_S)
        if self.faults:
            raise self.faults[0]

    def wait_for_more(self, count: int) -> float:
        """Waits until this many more puts are final; returns the seconds."""
        goal = len(self.told) + count
        return wait_for(f"{count} more final transactions", lambda: len(self.told) >= goal or bool(self.faults))

    def _run(self, path: Path, key: Key, tag: str) -> None:
        try:
            with Client.from_net(path, key=key, timeout_s=REQUEST_S) as client:
                number = 0
                while not self._stopping.is_set():
                    names = [b"%s-%d" % (tag.encode(), number + i) for i in range(GROUP)]
                    number += GROUP
                    self._send(client, key, names)
        except BaseException as error:
            self.faults.append(error)

    def _send(self, client: Client, key: Key, names: list[bytes]) -> None:
        try:
            results = client.send_many([[put(key.address, name, b"v-" + name)] for name in names])
        except ClientError:
            return  # no node answers; the test caused that
        done = [
            (result.id, key.address, name, b"v-" + name)
            for name, result in zip(names, results, strict=True)
            if isinstance(result, Submitted) and result.receipt is not None and result.receipt.ok
        ]
        with self._lock:
            self.told += done


def assert_none_missing(net: Devnet, told: Sequence[tuple[str, str, bytes, bytes]]) -> None:
    """Checks that every transaction is final and every key has its value; all nodes are asked in turn."""
    clients = [Client(node.http) for node in net.net.nodes]
    try:
        for number, (identity, namespace, name, value) in enumerate(told):
            client = clients[number % len(clients)]
            assert client.get_transaction(identity).state == "final", identity
            assert client.get(namespace, name, verify=False) == value, name
    finally:
        for client in clients:
            client.close()
