"""`recover manual`: the same troubles and the same acts as `recover auto`, one by one, each on a person's order.

Invariants: SYNC; an examination changes nothing. An act is in the audit log before it is carried out. This module never
starts the node: the operator or the service manager does that.
"""

import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from rustorium.config import RecoverySection
from rustorium.errors import HomeError, NotReady
from rustorium.health.catalogue import FINDINGS, Act
from rustorium.health.plan import ROOT, Step, Trouble, manual_step, troubles_of_shards
from rustorium.home.lock import stopped
from rustorium.home.noting import note_by_operator
from rustorium.home.paths import Home
from rustorium.node.admin.socket import call
from rustorium.node.loop.launch import knows_peers
from rustorium.node.loop.watch import free_bytes
from rustorium.node.recovery.quarantine import free_space, move_aside, removable_files, restore_store
from rustorium.node.recovery.state import last_end, order_prune

STOP_S = 60.0
POLL_S = 0.05
RESTART = "start the node again, by `rustorium-node start`, `recover auto` or its service manager"


@dataclass(frozen=True, slots=True)
class Operator:
    """The operator's home, and the passphrase source for the node's key."""

    home: Home
    passphrase_file: Path | None
    environment: Mapping[str, str]

    def audit(self, fields: Mapping[str, object]) -> None:
        """Writes an audit line by the operator. Errors: NativeError, KeyFileError."""
        note_by_operator(self.home, "recover", fields, self.passphrase_file, self.environment)


def examine(home: Home, config: RecoverySection) -> tuple[bool, list[Step]]:
    """Returns whether the node runs, and a step for each trouble. Errors: NodeError."""
    try:
        status = call(home.admin_socket, "status")
    except NotReady:
        alone, prune = not knows_peers(home, home.load_config().config), _may_prune(home, config, running=False)
        return False, [manual_step(trouble, alone=alone, prune=prune) for trouble in _at_rest(home, config)]
    findings = [Trouble(str(f["code"]), str(f["evidence"])) for f in status.get("findings") or []]
    cut = any(trouble.code == "history-cut" for trouble in findings)
    alone, prune = not status["peers"], not cut and _may_prune(home, config, running=True)
    troubles = [trouble for trouble in findings if trouble.code in FINDINGS]
    troubles += troubles_of_shards(status.get("shards") or [])
    return True, [manual_step(trouble, alone=alone, prune=prune) for trouble in troubles]


def _may_prune(home: Home, config: RecoverySection, *, running: bool) -> bool:
    free = free_bytes(home.path)
    low = free is not None and free < config.disk_free_bytes_min
    return config.keep_when_low > 0 and low and not removable_files(home, running=running)


def _at_rest(home: Home, config: RecoverySection) -> list[Trouble]:
    """Returns the troubles that the files of a stopped node show."""
    end = last_end(home)
    found = [Trouble(*end)] if end is not None else []
    journal = any(home.safety.glob("segment-*"))
    store = any(home.db.glob("*.sst")) or any(home.db.glob("*.log"))
    if journal and not store:
        found.append(Trouble("store-missing", f"{home.db} holds no store, while there is a safety journal"))
    if store and not journal and not any(one.code.startswith("journal") for one in found):
        found.append(Trouble("journal-retired", f"{home.safety} holds no journal, while there is a store"))
    if (home.safety / "retired").exists():
        found.append(
            Trouble("key-retired", f"{home.safety / 'retired'} says that the validator key signs nothing more")
        )
    free = free_bytes(home.path)
    if free is not None and free < config.disk_free_bytes_min and all(one.code != "disk-full" for one in found):
        found.append(Trouble("disk-low", f"{free >> 20} MiB are free on the home's disk"))
    return found


def carry_out(operator: Operator, step: Step, *, running: bool) -> str:
    """Carries out a step; returns a sentence about what was done and what comes next. Errors: HomeError, NodeError,
    NativeError."""
    home = operator.home
    fields: dict[str, object] = {"act": step.act.value, "code": step.trouble.code, "evidence": step.trouble.evidence}
    if step.trouble.shard != ROOT:
        fields["shard"] = step.trouble.shard
    match step.act:
        case Act.RESTART:
            if running:
                stop(home)
            operator.audit(fields)
            return RESTART
        case Act.PRUNE:
            if running:
                stop(home)
            operator.audit(fields)
            order_prune(home)
            return RESTART
        case Act.REFILL:
            if running:
                stop(home)
            operator.audit(fields)
            aside = move_aside(home, step.trouble.code, step.trouble.evidence, step.trouble.shard)
            return f"the store is in {aside}; {RESTART}" if aside is not None else f"there was no store; {RESTART}"
        case Act.FREE:
            if running:
                call(home.admin_socket, "note_recovery", fields={"by": "operator", **fields})
            else:
                operator.audit(fields)
            gone = free_space(home, running=running)
            return f"removed {', '.join(str(path) for path in gone) or 'nothing: there was nothing to remove'}"
        case Act.WAIT | Act.ASK:
            return step.why


def undo(operator: Operator, name: str | None) -> dict[str, object]:
    """Puts a store back that was moved aside. Errors: HomeError, HomeMissing."""
    with stopped(operator.home):
        operator.audit({"act": "undo", "name": name or "the newest"})
    chosen, aside = restore_store(operator.home, name)
    return {"put_back": chosen.path.name, "code": chosen.code, "aside": str(aside) if aside is not None else None}


def stop(home: Home) -> None:
    """Stops a running node, and waits until its locks are free. Errors: NodeError, HomeError."""
    call(home.admin_socket, "stop")
    deadline = time.monotonic() + STOP_S
    while True:
        try:
            with stopped(home):
                return
        except HomeError:
            if time.monotonic() > deadline:
                raise
            time.sleep(POLL_S)
