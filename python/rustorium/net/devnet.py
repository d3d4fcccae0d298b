"""A net of validators on this machine, each in its own process with its own home.

Invariants: a validator is restarted only on request; every process that was started is ended; one devnet per folder;
children end when this process ends, even if it is killed.
"""

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, Self

from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import public_part
from rustorium.access.netfile import Net, NetAccount, NetNode, read_net
from rustorium.access.passphrases import read_passphrase, write_random_passphrase
from rustorium.access.private import make_folder, write_private
from rustorium.config import split_address
from rustorium.errors import DevnetError, RustoriumError, UsageError
from rustorium.home.endpoints import gateway_url
from rustorium.home.paths import Home
from rustorium.net.distances import matrix_for
from rustorium.net.generate import NEWEST_VERSION, Listen, NetPlan, generate
from rustorium.net.joining import Joiner, allow_follower, make_home, next_in_turn, peers_of
from rustorium.net.ports import PortLeases
from rustorium.net.probe import is_ready
from rustorium.regions import region_byte

if TYPE_CHECKING:
    from rustorium.client import Client

READY_S = 60.0
POLL_S = 0.03
END_S = 15.0
AGES: dict[str, Any] = {"min_epoch_ms": 1_000}
"""Chain parameters that let a devnet's committee change at once instead of after an hour."""


class Interrupted(Exception):
    """The start was interrupted."""


class Devnet:
    """The net in folder `root`. `create` or `resume` it, then `start` it; a context manager that stops it."""

    def __init__(self, root: Path, net: Net, leases: PortLeases, lock: IO[str]) -> None:
        self.root = root
        self.net = net
        self._leases, self._lock = leases, lock
        self._processes: list[subprocess.Popen[bytes] | None] = [None] * len(net.nodes)
        self._stop_read, self._stop_write = os.pipe()
        self._closed = False

    def __repr__(self) -> str:
        """The number of validators, and the file that names them."""
        return f"<Devnet of {len(self.net.nodes)} validators in {self.path}>"

    @classmethod
    def create(
        cls,
        root: Path,
        *,
        nodes: int = 4,
        regions: Sequence[str] = ("local",),
        accounts: int = 4,
        matrix: Path | None = None,
        durability: str = "vote",
        name: str = "devnet",
        parameters: dict[str, Any] | None = None,
        version: int = NEWEST_VERSION,
        pool_key: bytes | None = None,
        tls: bool = False,
        shards: int = 1,
        apart: bool = False,
        committees: tuple[tuple[int, ...], ...] = (),
        progress: Callable[[int, int], None] | None = None,
    ) -> Self:
        """Makes the files of a new net. `pool_key`: canonical bytes of the verifying key of its pool; `None` uses the
        devnet key, for tests. `tls`: gateways use TLS, with certificates of a new authority. `shards`: all nodes host
        all of them; with `apart` each has validators of its own, which host shard 0, too. `committees`: the validators
        of each shard instead, of which the first, the root, then has no account. Errors: UsageError, HomeError,
        DevnetError."""
        from rustorium import _native

        root = root.absolute()
        make_folder(root)
        lock = _lock(root)
        leases = PortLeases()
        try:
            links = matrix_for(regions, matrix)
            ports = leases.take(4 * nodes)
            listen = [Listen(*(f"127.0.0.1:{port}" for port in ports[4 * i : 4 * i + 4])) for i in range(nodes)]
            drawn = not (root / "passphrase").exists()  # an existing one may not be random
            passphrase = write_random_passphrase(root / "passphrase")
            pool_key = pool_key or _native.devnet_pool_key()[0]
            ca, certified = _certified(root) if tls else ("", None)
            plan = NetPlan(
                name,
                listen,
                regions,
                accounts,
                links,
                durability,
                pool_key=pool_key,
                random_passphrase=drawn,
                version=version,
                tls=certified,
                shards=shards,
                apart=apart,
                committees=committees,
                parameters=(AGES if version > 1 else {}) | (parameters or {}),
            )
            files = generate(root, plan, passphrase, progress)
        except BaseException:
            leases.close()
            lock.close()
            raise
        net = Net(
            chain=files.chain,
            genesis=str(files.genesis),
            name=files.name,
            asset=files.asset,
            nodes=[_net_node(i, n.name, n.region, n.home, n.listen) for i, n in enumerate(files.nodes)],
            accounts=[NetAccount(account.address, str(account.key_file)) for account in files.accounts],
            ca=ca,
        )
        devnet = cls(root, net, leases, lock)
        net.write(devnet.path)
        return devnet

    @classmethod
    def resume(cls, root: Path) -> Self:
        """Opens an existing net, on the ports of its configurations. Errors: UsageError, HomeError."""
        root = root.absolute()
        lock = _lock(root)
        leases = PortLeases()
        try:
            net = read_net(root)
            nodes = []
            for node in net.nodes:
                config = Home(Path(node.home)).load_config().config
                listen = Listen(config.p2p.listen, config.http.listen, config.client.listen, config.metrics.listen)
                nodes.append(_net_node(node.index, node.name, node.region, Path(node.home), listen))
                leases.hold([split_address(a)[1] for a in (listen.p2p, listen.http, listen.client, listen.metrics)])
        except BaseException:
            leases.close()
            lock.close()
            raise
        return cls(root, replace(net, nodes=nodes), leases, lock)

    @staticmethod
    def exists(root: Path) -> bool:
        """Returns whether a net was made there."""
        return (root / "devnet.json").exists()

    @property
    def path(self) -> Path:
        """Path of its `devnet.json`."""
        return self.root / "devnet.json"

    def client(self, account: int = 0) -> "Client":
        """Returns a client of all nodes for a `with` block. It checks answers against the genesis, and signs with the
        key of the account of this number.

        Errors: UsageError, KeyFileError."""
        from rustorium.client import Client, Key

        accounts = self.net.accounts
        if not 0 <= account < len(accounts):
            raise UsageError(f"there is no account {account}: the devnet has {len(accounts)}, counted from 0")
        return Client.from_net(self.path, key=Key.open(accounts[account].key_file))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self, *, timeout_s: float = READY_S, interrupted: threading.Event | None = None) -> None:
        """Starts all validators and waits until each is ready. Errors: DevnetError, Interrupted."""
        for index in range(len(self.net.nodes)):
            self.spawn(index)
        self.wait_ready(timeout_s=timeout_s, interrupted=interrupted)

    def spawn(self, index: int, environment: Mapping[str, str] | None = None) -> None:
        """Starts a validator that isn't running, without waiting for it. `environment`: additional variables for it."""
        if self.exit_code(index) is None and self._processes[index] is not None:
            raise DevnetError(f"{self.net.nodes[index].name} is running: stop it first")
        home = Path(self.net.nodes[index].home)
        command = [
            sys.executable,
            "-m",
            "rustorium.cli",
            "start",
            "--home",
            str(home),
            "--stop-fd",
            str(self._stop_read),
        ]
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("RUSTORIUM_")}
        with open(self._stderr(index), "ab") as stderr:
            process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=stderr,
                stderr=stderr,
                env={**inherited, **(environment or {})},
                pass_fds=(self._stop_read,),
                start_new_session=True,
            )
        self._processes[index] = process
        self.net.nodes[index] = replace(self.net.nodes[index], pid=process.pid)
        self.net.write(self.path)

    def wait_ready(
        self,
        *,
        timeout_s: float = READY_S,
        indexes: Sequence[int] | None = None,
        interrupted: threading.Event | None = None,
    ) -> None:
        """Waits until these validators (default: all) are ready. Errors: DevnetError if one ended or is late,
        Interrupted."""
        waiting = list(range(len(self.net.nodes)) if indexes is None else indexes)
        deadline = time.monotonic() + timeout_s
        while True:
            for index in waiting:
                if (code := self.exit_code(index)) is not None:
                    said, reason = self.last_words(index)
                    raise DevnetError(f"{self.net.nodes[index].name} ended with {code}: {said}", code=reason)
            waiting = [index for index in waiting if not self._is_ready(self.net.nodes[index])]
            if not waiting:
                return
            if time.monotonic() > deadline:
                names = ", ".join(self.net.nodes[index].name for index in waiting)
                raise DevnetError(
                    f"{names} did not become ready within {timeout_s:.0f} s: read log/node.jsonl in their homes under "
                    f"{self.root / 'nodes'}"
                )
            if interrupted is None:
                time.sleep(POLL_S)
            elif interrupted.wait(POLL_S):
                raise Interrupted

    def _is_ready(self, node: NetNode) -> bool:
        return is_ready(node.http, Home(Path(node.home)))

    def add_home(self, region: str | None = None, name: str | None = None) -> Joiner:
        """Makes the home of one more node. It follows once it is started, and can be admitted later. Errors: HomeError,
        UsageError."""
        index = len(self.net.nodes)
        labels = [node.region for node in self.net.nodes]
        region = region if region is not None else next_in_turn(labels)
        byte = region_byte(region, labels)
        name = name or f"node-{index}"
        listen = Listen(*(f"127.0.0.1:{port}" for port in self._leases.take(4)))
        home = self.root / "nodes" / name
        passphrase = read_passphrase(self.root / "passphrase")
        durability = Home(Path(self.net.nodes[0].home)).load_config().config.storage.durability
        owner = self.root / "owners" / f"{name}.key"
        genesis = Path(self.net.genesis)
        all_ = [{"node_key": public_part(Home(Path(n.home)).node_key)[1], "address": n.p2p} for n in self.net.nodes]
        peers = peers_of(read_genesis(genesis), {node.name: node.p2p for node in self.net.nodes}, all_)
        joiner = make_home(
            genesis, peers, home, name, byte, listen=listen, passphrase=passphrase, owner=owner, durability=durability
        )
        self.allow_follower(joiner.node_key)
        self.net.nodes.append(_net_node(index, name, region, home, listen))
        self._processes.append(None)
        self.net.write(self.path)
        return joiner

    def allow_follower(self, node_key: str) -> None:
        """Lets a node that is no member follow all nodes. Errors: RustoriumError."""
        allow_follower([Path(node.home) for node in self.net.nodes], node_key)

    def exit_code(self, index: int) -> int | None:
        """Returns a validator's exit code (negative: the signal); `None` while it runs or if it was never started."""
        process = self._processes[index]
        return None if process is None else process.poll()

    def kill(self, index: int) -> None:
        """Sends SIGKILL and waits until the process has ended."""
        self.signal(index, signal.SIGKILL)
        self._reap(index, END_S)

    def terminate(self, index: int) -> int | None:
        """Sends SIGTERM and waits; after a timeout sends SIGKILL. Returns the exit code."""
        self.signal(index, signal.SIGTERM)
        self._reap(index, END_S)
        return self.exit_code(index)

    def signal(self, index: int, number: int) -> None:
        """Sends a signal to one validator, if it runs."""
        process = self._processes[index]
        if process is not None:
            process.send_signal(number)

    def restart(self, index: int, *, timeout_s: float = READY_S) -> None:
        """Starts an ended validator again, and waits until it is ready. Errors: DevnetError."""
        self.spawn(index)
        self.wait_ready(timeout_s=timeout_s, indexes=[index])

    def stop(self) -> dict[str, int | None]:
        """Ends all validators, also those that other commands started on these homes. Returns exit codes by name;
        idempotent."""
        if self._closed:
            return {}
        self._closed = True
        for index in range(len(self.net.nodes)):
            if self.exit_code(index) is None:
                self.signal(index, signal.SIGTERM)
            else:
                _stop_by_socket(Path(self.net.nodes[index].home))
        deadline = time.monotonic() + END_S
        for index in range(len(self.net.nodes)):
            self._reap(index, max(0.1, deadline - time.monotonic()))
        os.close(self._stop_read)
        os.close(self._stop_write)
        self._leases.close()
        self._lock.close()
        return {node.name: self.exit_code(index) for index, node in enumerate(self.net.nodes)}

    def last_words(self, index: int) -> tuple[str, str | None]:
        """Returns the last line that a validator wrote to standard error, and the stable code in it."""
        try:
            lines = self._stderr(index).read_text(errors="replace").strip().splitlines()
        except OSError:
            lines = []
        said = lines[-1].removeprefix("error: ") if lines else "it said nothing"
        coded = re.fullmatch(r"(.*) \[([a-z0-9_-]+)\]", said)
        return (coded[1], coded[2]) if coded else (said, None)

    def _stderr(self, index: int) -> Path:
        return Path(self.net.nodes[index].home) / "log" / "stderr.log"

    def _reap(self, index: int, timeout_s: float) -> None:
        process = self._processes[index]
        if process is None:
            return
        try:
            process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _net_node(index: int, name: str, region: str, home: Path, listen: Listen) -> NetNode:
    return NetNode(
        name=name,
        index=index,
        region=region,
        http=gateway_url(Home(home).load_config().config),
        p2p=listen.p2p,
        metrics=f"http://{listen.metrics}",
        client=listen.client,
        pid=0,
        home=str(home),
    )


def _certified(root: Path) -> tuple[str, tuple[str, str]]:
    """Makes an authority and a certificate for this machine; returns the paths of the authority's certificate, and of
    certificate and key. The authority's key isn't kept."""
    from rustorium import _native

    folder = root / "tls"
    make_folder(folder)
    authority = _native.TlsAuthority("rustorium devnet")
    certificate, key = authority.issue(["localhost", "127.0.0.1", "::1"])
    for name, text in (("authority.pem", authority.certificate), ("gateway.pem", certificate), ("gateway.key", key)):
        write_private(folder / name, text)
    return str(folder / "authority.pem"), (str(folder / "gateway.pem"), str(folder / "gateway.key"))


def _lock(root: Path) -> IO[str]:
    """Locks the folder until the returned file is closed. Errors: DevnetError."""
    if not root.is_dir():
        raise DevnetError(f"there is no folder {root}: name the --state of a devnet")
    lock = open(root / "devnet.lock", "a")  # noqa: SIM115
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        lock.close()
        raise DevnetError(
            f"a devnet already runs in {root}: stop it, or choose another --state", code="home-locked"
        ) from None
    return lock


def _stop_by_socket(home: Path) -> None:
    from rustorium.node.admin.socket import call

    try:
        call(Home(home).admin_socket, "stop")
    except RustoriumError:
        return
