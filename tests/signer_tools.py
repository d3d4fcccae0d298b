"""Signer processes for the validators of a devnet, which tests make, start, kill and end."""

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from process_tools import wait_for
from rustorium.access.private import write_private
from rustorium.config import render
from rustorium.home.paths import Home
from rustorium.home.signing import create_record
from rustorium.net.devnet import Devnet
from rustorium.signersection import SignerSection


class Signers:
    """A signer for each validator of a devnet that doesn't run yet; the validator's key moves out of its home. `keys`:
    signing keys in place of the key files, such as URIs of keys in a token. `environment`: additional variables of a
    signer whose records are in this folder."""

    def __init__(
        self,
        net: Devnet,
        keys: Sequence[str] | None = None,
        environment: Callable[[Path], Mapping[str, str]] = lambda _: {},
    ) -> None:
        self.net = net
        self._environment = environment
        # A short path, because a socket's path may have 107 bytes.
        self._folder = tempfile.TemporaryDirectory(prefix="rs-")
        self.root = Path(self._folder.name)
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * len(net.net.nodes)
        self.keys = [self._take(index) if keys is None else keys[index] for index in range(len(net.net.nodes))]

    def _take(self, index: int) -> str:
        home = Home(Path(self.net.net.nodes[index].home))
        moved = self.root / f"validator-{index}.key"
        moved.write_bytes(home.validator_key.read_bytes())
        moved.chmod(0o600)
        home.validator_key.unlink()
        return str(moved)

    @property
    def passphrase(self) -> Path:
        """Path of the passphrase of all key files."""
        return self.net.root / "passphrase"

    def socket(self, index: int) -> Path:
        """Path of a validator's signer socket."""
        return self.root / f"{index}.sock"

    def state(self, index: int) -> Path:
        """Folder of the signer's records."""
        return self.root / f"state-{index}"

    def configure(self, index: int, public_key: str) -> None:
        """Configures the validator's node to ask its signer."""
        home = Home(Path(self.net.net.nodes[index].home))
        config = home.load_config().config
        named = SignerSection(f"unix:{self.socket(index)}", public_key)
        home.config.unlink()
        write_private(home.config, render(replace(config, signer=named)))

    def init(self, index: int) -> None:
        """Makes the validator's record and configures its node."""
        made = create_record(self.state(index), self.keys[index], False, self.passphrase, {})
        self.configure(index, str(made["public_key"]))

    def spawn(self, index: int) -> None:
        """Starts a validator's signer, without waiting for it."""
        words = ["signer", "run", "--socket", str(self.socket(index)), "--state", str(self.state(index))]
        words += ["--genesis", self.net.net.genesis, "--validator", self.keys[index]]
        words += ["--passphrase-file", str(self.passphrase)]
        with self.log(index).open("wb") as log:
            self._processes[index] = subprocess.Popen(
                [sys.executable, "-m", "rustorium.cli", *words],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env={**os.environ, **self._environment(self.state(index))},
            )

    def wait(self, index: int) -> None:
        """Waits until the signer listens."""
        process = self._processes[index]
        assert process is not None
        said = self.log(index)
        wait_for("the signer listens", lambda: "listens at" in said.read_text() or process.poll() is not None)
        assert process.poll() is None, said.read_text()

    def start(self, index: int) -> None:
        """Starts a validator's signer, and waits until it listens."""
        self.spawn(index)
        self.wait(index)

    def log(self, index: int) -> Path:
        """Path of the signer's output."""
        return self.root / f"{index}.log"

    def kill(self, index: int) -> None:
        """Sends SIGKILL."""
        process = self._processes[index]
        assert process is not None
        process.kill()
        process.wait()

    def __enter__(self) -> Self:
        for index in range(len(self._processes)):
            self.init(index)
        for index in range(len(self._processes)):
            # Started one after the other: SoftHSM rewrites its token's file at each login, and a process that starts
            # meanwhile reads a part of it.
            self.start(index)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for process in self._processes:
            if process is not None:
                process.terminate()
        for process in self._processes:
            if process is not None:
                process.wait()
        self._folder.cleanup()
