"""CometBFT v1.0.1 beside ours: four validators with the kvstore on loopback, 512-byte transactions, open loop.

Invariants: built from the Go module proxy into a cache folder, never into this repository; latency runs from the
intended send time to the event of the committed block at the node that got the transaction; each process is ended.
"""

import argparse
import base64
import http.client
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from machine import RESULTS, machine

MODULE = "github.com/cometbft/cometbft/cmd/cometbft@v1.0.1"
VALIDATORS = 4
BYTES = 512
READY_S = 60.0
DRAIN_S = 10.0
TUNED = {"timeout_commit": '"1ms"', "peer_gossip_sleep_duration": '"5ms"', "peer_query_maj23_sleep_duration": '"5ms"'}


def build(cache: Path) -> Path:
    """The program, built once."""
    program = cache / "bin" / "cometbft"
    if not program.exists():
        if shutil.which("go") is None:
            sys.exit("go is not installed: `just bench-peers` builds CometBFT with it (go.dev/dl)")
        say(f"building {MODULE} in {cache}")
        subprocess.run(["go", "install", MODULE], env=os.environ | {"GOBIN": str(program.parent)}, check=True)
    return program


def free_ports(count: int) -> list[int]:
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def edit(path: Path, settings: dict[str, str]) -> None:
    """Replaces `name = …` lines, which must be there."""
    text = path.read_text()
    for name, value in settings.items():
        text, count = re.subn(rf"^{name} = .*$", lambda _, line=f"{name} = {value}": line, text, flags=re.MULTILINE)  # type: ignore[misc]
        if count == 0:
            sys.exit(f"{path} has no {name}: it is not of the version that this script knows")
    path.write_text(text)


class Events(threading.Thread):
    """A WebSocket subscription to new blocks; keeps when each transaction was seen committed."""

    def __init__(self, port: int) -> None:
        super().__init__(daemon=True)
        self.seen: dict[bytes, float] = {}
        self._socket = socket.create_connection(("127.0.0.1", port))
        key = base64.b64encode(os.urandom(16)).decode()
        self._socket.sendall(
            f"GET /websocket HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        self._stream = self._socket.makefile("rb")
        while self._stream.readline().strip():
            pass
        call = {"jsonrpc": "2.0", "id": 1, "method": "subscribe", "params": {"query": "tm.event='NewBlock'"}}
        self._send(1, json.dumps(call).encode())

    def _send(self, kind: int, data: bytes) -> None:
        # A client's frames are masked; a mask of zeros leaves the bytes as they are. All that is sent is short.
        length = bytes([0x80 | len(data)]) if len(data) < 126 else b"\xfe" + len(data).to_bytes(2, "big")
        self._socket.sendall(bytes([0x80 | kind]) + length + bytes(4) + data)

    def _frame(self) -> tuple[int, bool, bytes]:
        head = self._stream.read(2)
        if len(head) < 2:
            return 8, True, b""
        length = head[1] & 0x7F
        if length > 125:
            length = int.from_bytes(self._stream.read(2 if length == 126 else 8), "big")
        return head[0] & 15, bool(head[0] & 0x80), self._stream.read(length)

    def run(self) -> None:
        text = b""
        while True:
            kind, last, data = self._frame()
            if kind == 8:
                return
            if kind == 9:
                self._send(10, data)
                continue
            text += data
            if not last:
                continue
            now, event, text = time.monotonic(), json.loads(text), b""
            value = event.get("result", {}).get("data", {}).get("value", {})
            for transaction in value.get("block", {}).get("data", {}).get("txs") or []:
                self.seen.setdefault(base64.b64decode(transaction), now)

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)


def rpc(connection: http.client.HTTPConnection, method: str, **parameters: str) -> dict[str, Any]:
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": method, "params": parameters})
    connection.request("POST", "/", body, {"Content-Type": "application/json"})
    answer: dict[str, Any] = json.loads(connection.getresponse().read())
    return answer


class Sender(threading.Thread):
    """One connection; sends its transactions at their intended times, late ones at once."""

    def __init__(self, port: int, plan: list[tuple[float, bytes]]) -> None:
        super().__init__(daemon=True)
        self.plan, self.refused = plan, 0
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)

    def run(self) -> None:
        for at, transaction in self.plan:
            time.sleep(max(0.0, at - time.monotonic()))
            answer = rpc(self._connection, "broadcast_tx_sync", tx=base64.b64encode(transaction).decode())
            self.refused += answer.get("result", {}).get("code", 1) != 0


class Peers:
    """The four validators."""

    def __init__(self, program: Path, folder: Path, *, tuned: bool) -> None:
        self.ports = free_ports(2 * VALIDATORS)
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        homes = [folder / f"node{i}" for i in range(VALIDATORS)]
        command = [str(program), "testnet", "--v", str(VALIDATORS), "--o", str(folder), "--home", str(folder / "home")]
        subprocess.run(command, check=True, **quiet)  # type: ignore[call-overload]
        show = [[str(program), "show-node-id", "--home", str(home)] for home in homes]
        ids = [subprocess.run(one, check=True, capture_output=True, text=True).stdout.strip() for one in show]
        peers = ",".join(f"{ids[i]}@127.0.0.1:{self.ports[i]}" for i in range(VALIDATORS))
        self._processes = []
        for i, home in enumerate(homes):
            settings = {"addr_book_strict": "false", "allow_duplicate_ip": "true", "pprof_laddr": '""'}
            edit(home / "config" / "config.toml", settings | (TUNED if tuned else {}))
            command = [str(program), "start", "--home", str(home), "--proxy_app", "kvstore", "--log_level", "error"]
            command += ["--p2p.laddr", f"tcp://127.0.0.1:{self.ports[i]}", "--p2p.persistent_peers", peers]
            command += ["--rpc.laddr", f"tcp://127.0.0.1:{self.rpc_port(i)}"]
            with open(folder / f"node{i}.log", "wb") as log:
                self._processes.append(subprocess.Popen(command, stdout=log, stderr=log))

    def rpc_port(self, index: int) -> int:
        return self.ports[VALIDATORS + index]

    def wait_ready(self) -> None:
        """Until each has committed two blocks."""
        deadline = time.monotonic() + READY_S
        for i in range(VALIDATORS):
            while self._height(i) < 2:
                if time.monotonic() > deadline or self._processes[i].poll() is not None:
                    raise RuntimeError(f"validator {i} did not start")
                time.sleep(0.2)

    def _height(self, index: int) -> int:
        try:
            answer = rpc(http.client.HTTPConnection("127.0.0.1", self.rpc_port(index), timeout=5), "status")
        except OSError:
            return 0
        return int(answer["result"]["sync_info"]["latest_block_height"])

    def stop(self) -> None:
        for process in self._processes:
            process.send_signal(signal.SIGTERM)
        for process in self._processes:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def measure(peers: Peers, rate: int, seconds: int, connections: int) -> dict[str, float]:
    """One run: the transactions of a sender go to one node, and are awaited there."""
    events = [Events(peers.rpc_port(i)) for i in range(VALIDATORS)]
    run, start = os.urandom(4).hex(), time.monotonic() + 0.5
    lanes = VALIDATORS * connections
    plans: list[list[tuple[float, bytes]]] = [[] for _ in range(lanes)]
    for i in range(rate * seconds):
        plans[i % lanes].append((start + i / rate, f"{run}-{i}=".encode().ljust(BYTES, b"x")))
    senders = [Sender(peers.rpc_port(i % VALIDATORS), plan) for i, plan in enumerate(plans)]
    for thread in [*events, *senders]:
        thread.start()
    for sender in senders:
        sender.join()
    deadline = time.monotonic() + DRAIN_S
    while time.monotonic() < deadline and not all(
        transaction in events[i % VALIDATORS].seen for i, plan in enumerate(plans) for _, transaction in plan[-1:]
    ):
        time.sleep(0.05)
    times = [
        (at, events[i % VALIDATORS].seen.get(transaction)) for i, plan in enumerate(plans) for at, transaction in plan
    ]
    for one in events:
        one.close()
    latencies = sorted((seen - at) * 1_000 for at, seen in times if seen is not None)
    if not latencies:
        raise RuntimeError("no transaction was committed")
    last = max(seen for _, seen in times if seen is not None)
    refused = sum(sender.refused for sender in senders)
    found: dict[str, float] = {"offered_per_s": rate, "achieved_per_s": len(latencies) / max(seconds, last - start)}
    for percent in (50, 95, 99):
        found[f"p{percent}_ms"] = latencies[-(-len(latencies) * percent // 100) - 1]
    return found | {"rejected": refused, "lost": len(times) - len(latencies) - refused}


def say(what: str) -> None:
    print(f"  {what}", file=sys.stderr, flush=True)


def main() -> None:
    cache = Path(os.environ.get("RUSTORIUM_BUILD_CACHE", Path.home() / ".cache" / "rustorium-build"))
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rate", type=int, default=100, help="transactions per second to offer")
    parser.add_argument("--seconds", type=int, default=10)
    parser.add_argument("--runs", type=int, default=3, help="the one with the median p50 is shown")
    parser.add_argument("--connections", type=int, default=1, help="to each validator")
    parser.add_argument("--cache", type=Path, default=cache / "peers", help="where CometBFT is built")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where the JSON goes")
    options = parser.parse_args()
    program = build(options.cache)
    points: list[dict[str, Any]] = []
    names = ("offered_per_s", "achieved_per_s", "p50_ms", "p95_ms", "p99_ms", "rejected", "lost")
    print("| CometBFT 1.0.1 | offered tx/s | achieved tx/s | p50 ms | p95 ms | p99 ms | rejected | lost |")
    print("|---|" + "--:|" * len(names))
    for title, tuned in (("as it comes", False), ("tuned", True)):
        with tempfile.TemporaryDirectory(prefix="cometbft-") as folder:
            peers = Peers(program, Path(folder), tuned=tuned)
            try:
                peers.wait_ready()
                measure(peers, options.rate, 1, options.connections)
                runs = []
                for number in range(1, options.runs + 1):
                    say(f"{title}: {options.rate} tx/s for {options.seconds} s, run {number} of {options.runs}")
                    runs.append(measure(peers, options.rate, options.seconds, options.connections))
            finally:
                peers.stop()
        median = sorted(runs, key=lambda run: run["p50_ms"])[len(runs) // 2]
        cells = [f"{median[name]:,.1f}" if name.endswith("_ms") else f"{median[name]:,.0f}" for name in names]
        print(f"| {title} | {' | '.join(cells)} |", flush=True)
        points.append({"name": f"CometBFT 1.0.1, {title}", "rate": options.rate} | median)
    facts = machine(options.cache)
    path = options.results / f"peers-{facts['date'][:10]}.json"
    path.write_text(json.dumps({"machine": facts, "seconds": options.seconds, "points": points}, indent=1) + "\n")
    say(f"all runs: {path}")


if __name__ == "__main__":
    main()
