"""`recover auto`: runs a home's node as a child, and heals what `rustorium.health.plan` says can be healed without a
person.

Invariants: a step is in `run/recovery.json` and (if the disk allows it) in the audit log before it is carried out.
There is one supervisor a home; the child ends with it. Safety journal, keys and the committee are never touched: only
operators' transactions change membership.
"""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import trio

from rustorium import _native
from rustorium.config import Config
from rustorium.errors import NodeError, RustoriumError
from rustorium.health.catalogue import FINDINGS, Act, Finding
from rustorium.health.liveness import LocalHealth
from rustorium.health.plan import (
    ROOT,
    SENTENCES,
    SPACE_PAUSE_MS,
    PastAct,
    Planner,
    Step,
    Trouble,
    is_well,
    troubles_of_shards,
)
from rustorium.home.keys import open_signing_key
from rustorium.home.paths import Home
from rustorium.logs import Logger
from rustorium.node.admin.socket import call
from rustorium.node.loop.launch import knows_peers
from rustorium.node.loop.notify import VARIABLES, Notifier
from rustorium.node.loop.supervisor import END_SIGNALS
from rustorium.node.loop.watch import free_bytes, wall_ms
from rustorium.node.recovery.quarantine import free_space, move_aside, remove
from rustorium.node.recovery.state import RecoveryState, one_supervisor, order_prune, say

GRACE_S = 15.0
GRACE_WEDGED_S = 3.0
"""Time after which a node that hangs is killed, once it was told to end."""
SILENT_TIMES = 10
"""Multiple of the time limit for a node whose socket is gone."""
SAID_BYTES_MAX = 4096
_CODED = re.compile(r"error: (.*) \[([a-z0-9_-]+)\]")


@dataclass(frozen=True, slots=True)
class SupervisorOptions:
    """The parameters of the supervisor."""

    home: Home
    config: Config
    passphrase_file: Path | None
    environment: Mapping[str, str]


class Recovery:
    """Supervises one home."""

    def __init__(self, orders: SupervisorOptions, log: Logger) -> None:
        self._orders, self._home, self._log = orders, orders.home, log
        self._config = orders.config.recovery
        # Before the first act: without the key no act could be signed later.
        self._key = open_signing_key(self._home.node_key, "node", orders.passphrase_file, orders.environment)
        self._journal = RecoveryState(self._home)
        alone = not knows_peers(self._home, orders.config)
        self._planner = Planner(self._config, self._journal.history(), alone=alone)
        self._stopping = trio.Event()
        self._notifier = Notifier(orders.environment, os.getpid())
        self._up = False
        self._child: trio.Process | None = None
        self._said = ""
        self._well_since_ms: int | None = None
        self._fault: RustoriumError | None = None

    async def run(self) -> None:
        """Runs until a signal, or the node's own clean end. Errors: NodeError if a person is needed, HomeError."""
        with one_supervisor(self._home):
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._signals)
                nursery.start_soon(self._notifier.run, lambda: self._up, self._at)
                try:
                    await self._supervise()
                except RustoriumError as error:
                    # Raised outside the nursery, which would wrap it.
                    self._fault = error
                nursery.cancel_scope.cancel()
        if self._fault is not None:
            raise self._fault

    def _at(self) -> str:
        """Returns the status for the service manager."""
        reason = self._journal.state.get("reason")
        return f"{self._journal.state.get('state', 'starting')}{f': {reason}' if reason else ''}"

    async def _supervise(self) -> None:
        while not self._stopping.is_set():
            step = await self._live()
            if step is None:
                break
            await self._carry_out(step)
        self._journal.tell("stopped")

    # ---- a life of the node ------------------------------------------------------------------------------------------

    async def _live(self) -> Step | None:
        """Starts the node; returns the step to take once it has ended. `None`: it ended as it was told to."""
        self._said, self._well_since_ms = "", None
        self._heard = trio.Event()
        read, write = os.pipe()
        self._journal.tell("starting")
        try:
            self._child = await trio.lowlevel.open_process(
                self._command(read), stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, pass_fds=(read,),
                env={key: value for key, value in self._orders.environment.items() if key not in VARIABLES},
                start_new_session=True,
            )  # fmt: skip
            os.close(read)
            wanted: list[Step] = []
            async with trio.open_nursery() as nursery:
                nursery.start_soon(self._forward, self._child)
                nursery.start_soon(self._look_after, wanted)
                if self._stopping.is_set():
                    # The signal came before there was a child.
                    nursery.start_soon(self._end_child)
                await self._child.wait()
                # The last line may still be on its way.
                with trio.move_on_after(1):
                    await self._heard.wait()
                nursery.cancel_scope.cancel()
        finally:
            os.close(write)
        if wanted:
            return wanted[0]
        code = self._child.returncode
        if code == 0 or self._stopping.is_set():
            return None
        return self._planner.ended(self._ending(code), wall_ms(), room=self._has_room())

    def _command(self, stop_fd: int) -> list[str]:
        command = [sys.executable, "-m", "rustorium.cli", "start", "--home", str(self._home.path)]
        if self._orders.passphrase_file is not None:
            command += ["--passphrase-file", str(self._orders.passphrase_file)]
        return [*command, "--stop-fd", str(stop_fd)]

    def _ending(self, code: int | None) -> Trouble:
        found = [_CODED.fullmatch(line) for line in self._said.splitlines()]
        last = next((match for match in reversed(found) if match), None)
        if last is not None:
            return Trouble(last[2], last[1])
        if code is not None and code < 0:
            return Trouble("died", f"the node was ended by {signal.Signals(-code).name}")
        return Trouble("died", f"the node ended with exit code {code} and no reason")

    async def _forward(self, child: trio.Process) -> None:
        """Forwards the node's standard error, and keeps its last lines."""
        assert child.stderr is not None
        async for chunk in child.stderr:
            text = bytes(chunk).decode(errors="replace")
            sys.stderr.write(text)
            sys.stderr.flush()
            self._said = (self._said + text)[-SAID_BYTES_MAX:]
        self._heard.set()

    # ---- while it runs -----------------------------------------------------------------------------------------------

    async def _look_after(self, wanted: list[Step]) -> None:
        """Looks at the node once a period; if the node must end, adds the step to `wanted`."""
        period_s, local = self._config.watch_ms / 1000, LocalHealth(self._config.watch_ms * 500_000)
        answered, heard = trio.current_time(), False
        due = trio.current_time() + period_s
        while True:
            await trio.sleep_until(due)
            now = trio.current_time()
            local.woke(int((now - due) * 1e9))
            status, listens = await trio.to_thread.run_sync(self._ask_status, abandon_on_cancel=True)
            step = None
            if listens and not heard:
                answered, heard = now, True
            if status is not None:
                answered, heard, self._up = trio.current_time(), True, True
                step = self._judge(status)
                await self._settle()
            else:
                # A node that doesn't listen is between filling its store and going on, or is shutting down.
                limit_ms = self._config.wedged_ms * local.stretch * (1 if listens else SILENT_TIMES)
                silent_s = trio.current_time() - answered
                if silent_s * 1000 >= limit_ms:
                    step = self._unanswering(silent_s)
            if step is not None and await self._begin(step, wanted):
                return
            due = trio.current_time() + period_s

    def _ask_status(self) -> tuple[dict[str, Any] | None, bool]:
        """Returns the node's status, and `True` if some process listens."""
        try:
            return dict(call(self._home.admin_socket, "status", timeout_s=self._config.wedged_ms / 1000)), True
        except RustoriumError as error:
            return None, error.code == "node-hangs"

    def _judge(self, status: Mapping[str, Any]) -> Step | None:
        now_ms = wall_ms()
        # A node that fills its store reports nothing else.
        shown = status.get("findings") or []
        findings = [Finding(f["code"], f["evidence"], f["since_ms"]) for f in shown if f["code"] in FINDINGS]
        others = status.get("shards") or []
        well = status["ready"] and is_well(findings) and all(one["ready"] for one in others)
        if not well:
            self._well_since_ms = None
        elif self._well_since_ms is None:
            self._well_since_ms = now_ms
            self._log.info("node well")
        state = "running" if well else "not ready"
        known = self._journal.state
        if (known.get("state"), known.get("findings")) != (state, shown):
            self._journal.tell(state, findings=shown, reason=status.get("not_ready_because") or "")
        # A fault of the process, or of the root shard, comes first: its act may heal the others, too.
        return self._planner.running(findings, now_ms) or self._planner.shards(troubles_of_shards(others), now_ms)

    def _unanswering(self, silent_s: float) -> Step | None:
        evidence = f"the admin socket has not answered for {silent_s:.0f} s: the thread that decides hangs"
        return self._planner.running([Finding("wedged", evidence, wall_ms())], wall_ms())

    async def _begin(self, step: Step, wanted: list[Step]) -> bool:
        """Returns `True` if the node is being ended for this step."""
        if step.act is Act.FREE:
            await self._carry_out(step, running=True)
            return False
        if step.not_before_ms > wall_ms():
            await trio.sleep((step.not_before_ms - wall_ms()) / 1000)
        wanted.append(step)
        self._log.warning("node is ended", code=step.trouble.code, reason=step.trouble.evidence, act=step.act.value)
        await self._end_child(GRACE_WEDGED_S if step.trouble.code == "wedged" else GRACE_S)
        return True

    async def _end_child(self, grace_s: float = GRACE_S) -> None:
        child = self._child
        if child is None or child.returncode is not None:
            return
        child.terminate()
        with trio.move_on_after(grace_s):
            await child.wait()
        if child.returncode is None:
            child.kill()

    async def _settle(self) -> None:
        """Removes stores that were moved aside, once the node has been well for a while."""
        if self._well_since_ms is None or wall_ms() < self._well_since_ms + self._config.settle_ms:
            return
        gone = await trio.to_thread.run_sync(remove, self._home)
        if gone:
            fields = {"act": "remove", "removed": [path.name for path in gone], "why": "the node is healthy again"}
            await trio.to_thread.run_sync(self._note_running, fields, abandon_on_cancel=True)

    # ---- acts --------------------------------------------------------------------------------------------------------

    async def _carry_out(self, step: Step, *, running: bool = False) -> None:
        """Carries out a step. Errors: NodeError if a person is needed."""
        fields = {"act": step.act.value, "code": step.trouble.code, "evidence": step.trouble.evidence, "why": step.why}
        if step.trouble.shard != ROOT:
            fields["shard"] = str(step.trouble.shard)
        self._log.warning("recover", **fields)
        say(f"{step.trouble.code}: {step.trouble.evidence}; {step.why}")
        if step.act is Act.ASK:
            # The node's last message says what to do; this adds why it isn't done here.
            said = step.trouble.evidence if step.why == SENTENCES[Act.ASK] else f"{step.trouble.evidence}; {step.why}"
            self._journal.tell("asks", reason=said, code=step.trouble.code)
            self._audit(fields, running=running)
            raise NodeError(said, code=step.trouble.code)
        if not running:
            await self._wait_for(step)
            if self._stopping.is_set():
                return
        self._journal.did(step, wall_ms())
        self._planner.did(PastAct(wall_ms(), step.act, step.trouble.code))
        self._journal.tell("recovering", code=step.trouble.code, reason=step.why)
        await trio.to_thread.run_sync(lambda: self._audit(fields, running=running), abandon_on_cancel=True)
        if step.act is Act.REFILL:
            await self._refill(step)
        elif step.act is Act.FREE:
            await self._free(step, running)
        elif step.act is Act.PRUNE:
            await trio.to_thread.run_sync(self._order_prune)

    async def _refill(self, step: Step) -> None:
        trouble = step.trouble
        aside = await trio.to_thread.run_sync(move_aside, self._home, trouble.code, trouble.evidence, trouble.shard)
        if aside is not None:
            say(f"the store is in {aside}; {step.undo}")

    def _order_prune(self) -> None:
        try:
            order_prune(self._home)
        except RustoriumError as error:
            # The disk has no room for another file: the node waits for space.
            self._log.error("prune failed", code=error.code, reason=error.message)

    async def _free(self, step: Step, running: bool) -> None:
        gone = await trio.to_thread.run_sync(lambda: free_space(self._home, running=running))
        say(f"removed {', '.join(str(path) for path in gone) or 'nothing, for there was nothing to remove'}")
        if not running and not self._has_room():
            after = self._planner.ended(step.trouble, wall_ms(), room=False)
            if after.act is Act.PRUNE:
                await self._carry_out(after)
                return
        while not running and not self._has_room() and not self._stopping.is_set():
            least = self._config.disk_free_bytes_min >> 20
            self._journal.tell(
                "waiting for space", code="disk-full", reason=f"{FINDINGS['disk-low'].advice}: {least} MiB"
            )
            await self._pause(SPACE_PAUSE_MS / 1000)

    async def _wait_for(self, step: Step) -> None:
        while (left_ms := step.not_before_ms - wall_ms()) > 0 and not self._stopping.is_set():
            if left_ms > SPACE_PAUSE_MS:
                reason = f"{step.trouble.evidence}; {step.why}"
                self._journal.tell("waiting", code=step.trouble.code, reason=reason, next_ms=step.not_before_ms)
            await self._pause(min(left_ms, SPACE_PAUSE_MS) / 1000)

    async def _pause(self, seconds: float) -> None:
        with trio.move_on_after(seconds):
            await self._stopping.wait()

    def _has_room(self) -> bool:
        free = free_bytes(self._home.path)
        return free is None or free >= self._config.disk_free_bytes_min

    def _audit(self, fields: dict[str, Any], *, running: bool) -> None:
        try:
            if running:
                self._note_running(fields)
            else:
                _native.audit_record_by(str(self._home.path / "audit"), self._key, "recover", json.dumps(fields))
        except _native.NativeError as error:
            # A full disk: it must not prevent its own healing.
            self._log.error("audit failed", code=error.code, reason=error.args[0])

    def _note_running(self, fields: dict[str, Any]) -> None:
        try:
            call(self._home.admin_socket, "note_recovery", fields=fields)
        except RustoriumError as error:
            self._log.error("audit failed", code=error.code, reason=error.message)

    async def _signals(self) -> None:
        with trio.open_signal_receiver(*END_SIGNALS) as signals:
            async for number in signals:
                self._log.info("told to stop", reason=signal.Signals(number).name)
                self._notifier.stopping()
                self._stopping.set()
                await self._end_child()
