"""Tools of the abuse tests: the flood program, sockets that misbehave, and measurements of a node's cost.

Invariants: an attacker knows addresses and public keys and nothing else. Measurements are printed. Assertions are about
limits, counts and bounds of bytes; only the long form also asserts times.
"""

import json
import os
import resource
import shlex
import socket
import statistics
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from process_tools import DEADLINE_S, wait_for
from rustorium.access.netfile import NetNode
from rustorium.client import Client, Key
from rustorium.config import split_address
from rustorium.net.devnet import Devnet

MIB = 1024 * 1024


class Flood:
    """A run of the flood program against one port of a node."""

    def __init__(self, program: Path, net: Devnet, node: NetNode, mode: str, port: str, count: int) -> None:
        genesis = json.loads(Path(net.net.genesis).read_text())
        key = genesis["validators"][node.index]["node_key"]
        address = node.p2p if port == "peer" else node.client
        command = [str(program), mode, port, address, key, str(count)]
        environment = os.environ | {"FLOOD_CHAIN": net.net.chain}
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment)

    def line(self) -> dict[str, int]:
        """Returns the program's next line."""
        assert self._process.stdout is not None
        said: dict[str, int] = json.loads(self._process.stdout.readline())
        print(shlex.join(self._process.args[1:4]), said)  # type: ignore[index,misc]
        return said

    def end(self) -> dict[str, int]:
        """Ends the attack if it waits for that; returns its last output."""
        assert self._process.stdin is not None
        self._process.stdin.close()
        said = self.line()
        assert self._process.stdout is not None
        self._process.stdout.close()
        assert self._process.wait(DEADLINE_S) == 0
        return said


class Copies:
    """A run of the program `copies`: one transaction sent to a node's QUIC port again and again, until `end`."""

    def __init__(self, program: Path, net: Devnet, node: NetNode, source: str, signed: bytes, count: int) -> None:
        key = json.loads(Path(net.net.genesis).read_text())["validators"][node.index]["node_key"]
        # A real attacker has its own machine. Here it has a low priority, so that it leaves the processor to the nodes.
        command = ["nice", "-n", "19", str(program), node.client, key, source, str(count)]
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        self._process.stdin.write(signed.hex() + "\n")
        self._process.stdin.flush()
        self._said()

    def _said(self) -> int:
        assert self._process.stdout is not None
        sent: int = json.loads(self._process.stdout.readline())["sent"]
        return sent

    def end(self) -> int:
        """Closes the connection; returns the number of copies sent."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        sent = self._said()
        self._process.stdout.close()
        assert self._process.wait(DEADLINE_S) == 0
        return sent


def memory_bytes(pid: int) -> int:
    """Returns the bytes of a process in memory."""
    [line] = [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS")]
    return int(line.split()[1]) * 1024


def unread_bytes(node: NetNode) -> list[int]:
    """Returns, for each connection to a node's HTTP API, the bytes that the system holds and its client hasn't read."""
    port = f":{split_address(node.http.removeprefix('http://'))[1]:04X}"
    rows = [line.split() for line in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return [int(row[4].partition(":")[0], 16) for row in rows if row[1].endswith(port) and row[3] == "01"]


def open_sockets_max() -> None:
    """Raises the limit of open files as far as the machine allows."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))


def connect(node: NetNode, source: str = "127.0.0.1", receive_bytes: int | None = None) -> socket.socket:
    """Opens a connection to a node's HTTP API, from any address of this machine."""
    connection = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    if receive_bytes is not None:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    connection.settimeout(DEADLINE_S)
    connection.bind((source, 0))
    connection.connect(split_address(node.http.removeprefix("http://")))
    return connection


def answer_of(connection: socket.socket) -> tuple[int, bytes]:
    """Returns the status and the body of an answer, whose end is the connection's end or a length."""
    received = b""
    while b"\r\n\r\n" not in received and (more := connection.recv(65536)):
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    lines = head.decode().lower().split("\r\n")
    length = next(int(line.split(":")[1]) for line in lines if line.startswith("content-length"))
    while len(body) < length and (more := connection.recv(65536)):
        body += more
    return int(lines[0].split()[1]), body


@dataclass(frozen=True, slots=True)
class Figures:
    """Times until transactions were final, ms."""

    count: int
    p50_ms: float
    p99_ms: float
    longest_ms: float

    def __str__(self) -> str:
        return f"p50 {self.p50_ms:.1f} p99 {self.p99_ms:.1f} longest {self.longest_ms:.0f} ms ({self.count})"


class Pulse:
    """Sends transactions from a thread, one after the other, and waits for each: it measures latencies and finds lost
    transactions. The accounts take turns."""

    def __init__(self, net: Devnet, accounts: Sequence[int] = (3,)) -> None:
        self._keys = [Key.open(net.net.accounts[account].key_file) for account in accounts]
        self._path = net.path
        self._stopping = threading.Event()
        self._seconds: list[float] = []
        self._faults: list[BaseException] = []
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> "Pulse":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stopping.set()
        self._thread.join(DEADLINE_S)
        if self._faults:
            raise self._faults[0]

    def _run(self) -> None:
        try:
            with Client.from_net(self._path, timeout_s=DEADLINE_S) as client:
                number = 0
                while not self._stopping.is_set():
                    number += 1
                    began = time.monotonic()
                    client.put(b"pulse", b"%d" % number, key=self._keys[number % len(self._keys)])
                    self._seconds.append(time.monotonic() - began)
        except BaseException as error:
            self._faults.append(error)

    def beats(self) -> int:
        """Number of final transactions."""
        if self._faults:
            raise self._faults[0]
        return len(self._seconds)

    def wait(self, count: int) -> None:
        """Waits until this many more transactions are final."""
        goal = self.beats() + count
        wait_for(f"{count} more final transactions", lambda: self.beats() >= goal)

    def figures(self, first: int = 0, end: int | None = None) -> Figures:
        """Returns the times of the transactions from `first` up to `end`."""
        taken_ms = sorted(1000 * seconds for seconds in self._seconds[first:end])
        p99_ms = taken_ms[min(len(taken_ms) - 1, len(taken_ms) * 99 // 100)]
        return Figures(len(taken_ms), statistics.median(taken_ms), p99_ms, taken_ms[-1])


def problem_of(body: bytes) -> dict[str, Any]:
    """Returns the body of a problem."""
    problem: dict[str, Any] = json.loads(body)
    assert {"code", "title", "detail", "status"} <= problem.keys()
    return problem


def submit_flood(http: str, body: bytes, times: int) -> Counter[str]:
    """Submits the same 500 transactions again and again; returns the number of refusals by code."""
    codes: Counter[str] = Counter()
    with httpx2.Client(trust_env=False, timeout=DEADLINE_S) as client:
        for _ in range(times):
            headers = {"Content-Type": "application/octet-stream"}
            answer = client.post(f"{http}/v1/transactions?wait=accepted", content=body, headers=headers)
            assert 400 <= answer.status_code < 500 or answer.status_code == 503, answer.text
            results = answer.json().get("results", [])
            codes.update(result["code"] for result in results)
            codes["busy"] += 0 if results else 500
    return codes
