"""The node's task tree: starts everything, waits for a signal or a fault, and ends everything in order.

Invariants: the data plane is closed on every path out. A fault that concerns all hosted shards, or the only one, ends
the process with its reason in the log.
"""

import json
import os
import signal
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

import trio

from rustorium import __version__, _native
from rustorium.access.passphrases import known_passphrase
from rustorium.errors import HomeError, KeyFileError, NodeError
from rustorium.home.endpoints import in_the_clear
from rustorium.home.followers import AllowedFollowers
from rustorium.home.format import record
from rustorium.home.lock import running
from rustorium.home.tokens import for_gateway
from rustorium.logs import Logger, configure
from rustorium.node.admin.keyring import Keyring
from rustorium.node.admin.socket import AdminServer, Callers
from rustorium.node.bridge import listen_tcp, tell, wait_for_end
from rustorium.node.loop.auditing import record_configuration, record_refusals
from rustorium.node.loop.driver import collect_when_idle, configure_interpreter
from rustorium.node.loop.hosts import HostedShards, Process
from rustorium.node.loop.launch import Launch
from rustorium.node.loop.notify import Notifier
from rustorium.node.loop.startup import Opening, start

READY_POLL_S = 0.05
END_SIGNALS = (signal.SIGINT, signal.SIGTERM)


@dataclass(frozen=True, slots=True)
class Descriptors:
    """Descriptors that a parent process handed over."""

    ready: int | None = None
    """Gets one line with the node's addresses (JSON) once the node is ready; then it is closed."""
    stop: int | None = None
    """The read end of a pipe: when its other end closes, the node stops."""
    say: Callable[[str], None] | None = None
    """Gets a sentence for people when the node is ready."""


def run(launch: Launch, descriptors: Descriptors) -> None:
    """Runs the node until it is told to stop. Errors: HomeError if another process uses the home, NodeError,
    NativeError."""
    with running(launch.home):
        _run_alone(launch, descriptors)


def _run_alone(launch: Launch, descriptors: Descriptors) -> None:
    ended = launch.home.ended
    try:
        for order in (ended, launch.home.prune):
            with suppress(OSError):
                order.unlink()
        _run(launch, descriptors)
    except (NodeError, _native.NativeError) as error:
        # `recover manual` reads this. The write may fail, since a full disk may be why the node ended.
        with suppress(OSError):
            ended.write_text(
                json.dumps({"code": error.code, "evidence": error.args[0], "at_ms": time.time_ns() // 10**6})
            )
        raise


def _run(launch: Launch, descriptors: Descriptors) -> None:
    config, home = launch.config, launch.home
    log_path = home.path / config.log.file if config.log.file else None
    if log_path is not None:
        log_path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    log = configure(log_path, config.log, config.node.name)
    for sentence in in_the_clear(config):
        log.warning("faces in the clear", reason=sentence)
    keyring = Keyring(home.tokens)
    listener = listen_tcp(config.admin.listen) if config.admin.listen else None
    allowed = AllowedFollowers(home.followers, config.p2p.followers_named)
    supervisor = Supervisor(launch, log, descriptors, Callers(keyring, listener, allowed=allowed))
    try:
        trio.run(supervisor.run)
    finally:
        supervisor.close()
        if listener is not None:
            listener.close()
    if supervisor.refusal is not None:
        raise supervisor.refusal
    if isinstance(supervisor.fault, _native.NativeError):
        raise NodeError(supervisor.fault.args[0], code=supervisor.fault.code) from supervisor.fault
    if supervisor.fault is not None:
        raise NodeError(
            f"the node stopped because of a fault ({supervisor.fault}): read {log_path or 'the log above'}, keep its "
            f"{home.input_log} for the report, and start it again",
            code="core-fault",
        ) from supervisor.fault


class Supervisor:
    """Starts one node, and runs its tasks."""

    def __init__(self, launch: Launch, log: Logger, descriptors: Descriptors, callers: Callers) -> None:
        self._launch, self._log, self._descriptors = launch, log, descriptors
        self._callers = callers
        self._admin = AdminServer(launch.home.admin_socket, Opening(), self.stop, None, callers)
        self._stopping = trio.Event()
        self._notifier = Notifier(os.environ, os.getpid())
        self._reason = "told to"
        self._running: _native.Node | None = None
        self._shards: HostedShards | None = None
        self.fault: Exception | None = None
        self.refusal: _native.NativeError | None = None
        """The reason why the node did not start."""

    async def run(self) -> None:
        """Runs until a signal, an order over the admin socket, the parent's end or a fault."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._signals)
            nursery.start_soon(self._notifier.run, self._up, self._at, self._decides)
            if self._descriptors.stop is not None:
                nursery.start_soon(self._parent_end, self._descriptors.stop)
            try:
                await self._serve()
            finally:
                # While signals are still heard: another one must not keep the reason out of the log.
                if self._running is not None:
                    self._note(self._running, "node stopped", reason=self._reason)
                elif self.refusal is None:
                    self._log.info("node stopped", reason=self._reason)
            nursery.cancel_scope.cancel()

    async def _serve(self) -> None:
        """Opens the node and runs it. One admin socket answers from here to the end."""
        async with trio.open_nursery() as nursery:
            await nursery.start(self._admin.run)
            await self._open()
            if self._running is not None:
                await self._live(self._running)
            nursery.cancel_scope.cancel()

    async def _open(self) -> None:
        try:
            self._running = await start(self._launch, for_gateway(self._callers.keyring.tokens), self._stopping)
        except _native.NativeError as error:
            self.refusal = error

    def close(self) -> None:
        """Ends the data plane, if it runs."""
        if self._running is not None:
            self._running.close()

    async def _live(self, node: _native.Node) -> None:
        self._shards = shards = self._hosted(node)
        self._callers.keyring.tell(node.set_tokens)
        if self._callers.allowed is not None:
            self._callers.allowed.tell(node.set_followers)
        # Before the shards run, so that a caller told that the node is ready can call it.
        self._admin.plane.serves(node, shards.root.profiler, partial(self._replace_key, node))
        configure_interpreter()
        async with trio.open_nursery() as nursery:
            nursery.start_soon(shards.run, self._failed)
            nursery.start_soon(collect_when_idle, shards)
            nursery.start_soon(self._report_ready, node)
            nursery.start_soon(record_refusals, node, self._log)
            self._note(node, "node started", addresses=self._addresses(node), keys=dict(self._launch.public_keys))
            self._record_release(node)
            await record_configuration(node, self._launch.home, self._launch.settings, self._log)
            await self._stopping.wait()
            nursery.cancel_scope.cancel()

    def _replace_key(self, node: _native.Node) -> None:
        """Starts the replacement of the storage key. Errors: KeyFileError, NativeError."""
        path = self._launch.home.storage_key
        passphrase = known_passphrase(path, self._launch.passphrase_file, os.environ)
        if passphrase is None:
            raise KeyFileError(
                f"the passphrase of {path} was typed when the node was started and is not stored: stop the node, "
                "run this again, and start the node, which completes the replacement",
                code="passphrase-missing",
            )
        node.replace_storage_key(passphrase)

    def _hosted(self, node: _native.Node) -> HostedShards:
        def note(event: str, fields: Mapping[str, object]) -> None:
            self._note(node, event, **fields)

        return HostedShards(node, Process(self._launch, self._log, note, node.audit, len(node.shards()) > 1))

    def _failed(self, fault: Exception) -> None:
        """Ends the process because of a fault of a shard. The first fault is the reason."""
        if self.fault is not None:
            return
        self.fault = fault
        native = isinstance(fault, _native.NativeError)
        self.stop("a failure of the data plane" if native else "a fault of the core")

    def _record_release(self, node: _native.Node) -> None:
        """Records the release that last wrote to the home, if it changed."""
        try:
            if record(self._launch.home.path, self._launch.chain):
                self._note(node, "release changed", release=__version__)
        except HomeError as error:
            # The next start writes it.
            self._log.error("format not written", code=error.code, reason=error.message)

    def stop(self, reason: str) -> None:
        """Ends `run`."""
        if not self._stopping.is_set():
            self._reason = reason
            self._notifier.stopping()
            self._stopping.set()

    def _up(self) -> bool:
        """Checks that the node is open, and that its root shard has a state."""
        return self._shards is not None and self._shards.root.runs

    def _at(self) -> str:
        """Returns the status for the service manager."""
        if self._running is None:
            return "opening its stores"
        status = json.loads(self._running.status())
        height = status["at"]["height"]
        return f"height {height}" if status["ready"] else f"height {height}, not ready: {status['not_ready_because']}"

    def _decides(self) -> bool:
        """Checks that no core hangs, as far as is known."""
        return self._shards is None or self._shards.busy_ms < self._launch.config.recovery.wedged_ms

    def _addresses(self, node: _native.Node) -> dict[str, str]:
        return {**node.addresses(), **self._callers.addresses}

    def _note(self, node: _native.Node, event: str, **fields: object) -> None:
        """Writes an event to the log and the audit log."""
        self._log.info(event, **fields)
        try:
            node.audit(event, json.dumps(fields, default=str))
        except _native.NativeError as error:
            # A full disk, perhaps: it must not hide the reason for the node's stop.
            self._log.error("audit failed", code=error.code, reason=error.args[0])

    async def _signals(self) -> None:
        with trio.open_signal_receiver(*END_SIGNALS) as signals:
            async for number in signals:
                self.stop(signal.Signals(number).name)

    async def _parent_end(self, descriptor: int) -> None:
        await wait_for_end(descriptor)
        self.stop("the process that started it ended")

    async def _report_ready(self, node: _native.Node) -> None:
        while not (status := json.loads(node.status())).get("ready", False):  # noqa: ASYNC110
            await trio.sleep(READY_POLL_S)
        self._log.info("node ready")
        if self._descriptors.say is not None:
            height, up, peers = status["at"]["height"], status["peers_up"], status["peers"]
            self._descriptors.say(f"Ready at height {height:,}: {up} of {peers} peers are connected.")
        if self._descriptors.ready is not None:
            tell(self._descriptors.ready, json.dumps(self._addresses(node)))
