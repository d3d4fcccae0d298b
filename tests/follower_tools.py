"""A follower beside a devnet, which commands make and run as an operator would."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from process_tools import DEADLINE_S, STATUS_S, counter_at
from rustorium.net.devnet import Devnet
from rustorium.net.probe import ask
from rustorium.types import NodeStatus


class Follower:
    """A follower's home and process, made and started by commands. Its peers are two of the validators, or those in
    `known` (node key and address). If `named` is true, all of them allow its key."""

    def __init__(self, net: Devnet, home: Path, known: Mapping[str, str] | None = None, named: bool = True) -> None:
        self.home = home
        self._passphrase = net.root / "passphrase"
        self._process: subprocess.Popen[str] | None = None
        self.url, self._metrics = "", ""
        known = known or {node.name: node.p2p for node in net.net.nodes[:2]}
        peers = [part for name, address in known.items() for part in ("--peer", f"{name}={address}")]
        made = self._command("init", "--role", "follower", "--name", home.name, "--genesis", net.net.genesis, *peers)
        ended = subprocess.run([*made, "-o", "json"], capture_output=True, text=True, check=False)
        assert ended.returncode == 0, ended.stderr
        made_of = json.loads(ended.stdout)
        assert set(made_of) == {"name", "role", "home", "genesis", "node_key"}
        self.node_key = str(made_of["node_key"])
        if named:
            net.allow_follower(self.node_key)
        assert not (home / "validator.key").exists()

    def _command(self, *arguments: str) -> list[str]:
        shared = ("--home", str(self.home), "--passphrase-file", str(self._passphrase))
        return [sys.executable, "-m", "rustorium.cli", *arguments, *shared]

    def spawn(self) -> int:
        """Starts the follower; returns the descriptor on which it reports that it is ready."""
        read, write = os.pipe()
        free = [part for name in ("p2p", "http", "client", "metrics") for part in (f"--{name}-listen", "127.0.0.1:0")]
        command = self._command("start", "--ready-fd", str(write), *free)
        self._process = subprocess.Popen(command, pass_fds=(write,), stderr=subprocess.PIPE, text=True)
        os.close(write)
        return read

    def start(self) -> None:
        """Starts it, and waits until it is ready."""
        self.wait_ready(self.spawn())

    def wait_ready(self, read: int) -> None:
        """Waits until it is ready, after `spawn`."""
        assert self._process is not None
        with open(read) as ready:
            line = ready.readline()
        assert line, self._process.communicate(timeout=DEADLINE_S)
        addresses = json.loads(line)
        self.url, self._metrics = f"http://{addresses['http']}", f"http://{addresses['metrics']}"

    def counter(self, name: str) -> float:
        """Returns the sum of a metric over its labels, as `process_tools.counter` does."""
        return counter_at(self._metrics, name)

    def kill(self) -> None:
        """Sends SIGKILL if it runs."""
        if self._process is not None and self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def stop(self) -> int:
        """Sends SIGTERM; returns the exit code."""
        assert self._process is not None
        self._process.terminate()
        _, said = self._process.communicate(timeout=DEADLINE_S)
        assert "Traceback" not in said
        return self._process.returncode

    def status(self) -> NodeStatus:
        [status] = ask([self.url], STATUS_S)
        return status
