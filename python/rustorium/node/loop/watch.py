"""The node's self-monitoring, once a period: turns its threads' measurements into findings and publishes them.

Invariants: the watch decides and heals nothing; `rustorium.health` and `recover auto` do. A finding is published before
it is written to the audit log, and a disk that hangs delays only the writing.
"""

import contextlib
import json
import os
import re
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

import trio

from rustorium import _native
from rustorium.config import Config
from rustorium.health import certificate
from rustorium.health.catalogue import Finding, retired_because
from rustorium.health.detect import Detector, PeerVitals, Vitals
from rustorium.home import growth
from rustorium.home.paths import Home
from rustorium.logs import Logger

NS_PER_S = 1_000_000_000
NOTES_MAX = 64
"""Maximum number of findings that wait for the audit log; those beyond it are in the log alone."""
RECORDED_EACH = 8
"""Number of beginnings of each kind that are audited; after those only the 16th, 32nd and further powers of two."""
BLOCK_AHEAD_US = 60_000_000
"""Time for which a block that waited for the clock is reported: its leader's next turn may be that far away."""
CHAINS = re.compile("is on chain ([0-9a-f]{64}), this node on ([0-9a-f]{64})", re.ASCII)
"""The part of a link's error (`Refusal::WrongChain`) that has both chains. If the peer refused, it is the peer's
sentence, and the first chain is this node's."""
GROWTH_S = 60.0
"""Interval between two notes of the home's bytes and the disk's free space, which `doctor` reads."""
PASSING = frozenset({"catching-up", "peers-suspected"})
"""Findings that come and go by themselves, and are only logged."""


class WatchedNode(Protocol):
    """The part of a shard's data plane, and of the node's audit log, that the watch needs."""

    def status(self) -> str: ...

    def vitals(self) -> str: ...

    def tell_health(self, findings_json: str, suspicion_json: str) -> None: ...

    def audit(self, event: str, fields_json: str) -> None: ...


class Watch:
    """Watches one hosted shard until cancelled, and with the root shard the process."""

    def __init__(
        self,
        node: WatchedNode,
        config: Config,
        home: Path,
        log: Logger,
        *,
        keep_few: int | None = None,
        of_process: bool = True,
        others: Callable[[], str] = str,
        core_ms: Callable[[], int] = int,
        told: Callable[[list[str]], None] = lambda _codes: None,
        node_key: str = "",
    ) -> None:
        """`of_process`: also watches what the node's shards share. `others`: describes the trouble of other shards;
        empty if there is none. `core_ms`: how long the core has been at its present turn. `told` takes the codes of the
        findings after each look. `node_key`: this node's public key on its links."""
        self._node, self._home, self._log, self._keep_few = node, home, log, keep_few
        self._of_process, self._others, self._core_ms, self._told = of_process, others, core_ms, told
        self._config_role, self._node_key = config.node.role, node_key
        self._key_replaced = Home(home).retired.is_dir()
        self._period_s = config.recovery.watch_ms / 1000
        self._detector = Detector(config.recovery, config.consensus.heartbeat_ms)
        self._known: dict[str, Finding] = {}
        self._begun: Counter[str] = Counter()
        self._send, self._notes = trio.open_memory_channel[dict[str, Any]](NOTES_MAX)

    async def run(self) -> None:
        """Runs until cancelled."""
        async with trio.open_nursery() as nursery:
            nursery.start_soon(self._write_notes)
            if self._of_process:
                nursery.start_soon(self._note_growth)
            due = trio.current_time() + self._period_s
            while True:
                await trio.sleep_until(due)
                now = trio.current_time()
                try:
                    self.look(int((now - due) * NS_PER_S))
                except Exception:
                    # A watcher must not end what it watches.
                    self._log.exception("watch failed")
                due = now + self._period_s

    async def _note_growth(self) -> None:
        """Notes each minute how much the home takes, and how much is free. A disk that hangs holds up this alone."""
        while True:
            with contextlib.suppress(OSError):  # a full disk has its own finding
                await trio.to_thread.run_sync(self._grow, abandon_on_cancel=True)
            await trio.sleep(GROWTH_S)

    def _grow(self) -> None:
        free = free_bytes(self._home)
        if free is not None:
            sample = growth.Sample(wall_ms(), free, growth.home_bytes(self._home))
            growth.write(self._home, growth.add(growth.read(self._home), sample))

    def look(self, lag_ns: int) -> None:
        """Takes one look; `lag_ns` is its delay after the requested time."""
        vitals = self._read()
        if vitals is None:
            return
        findings = self._detector.observe(vitals, lag_ns)
        shown = [{**asdict(one), "severity": one.kind.severity.value, "advice": one.kind.advice} for one in findings]
        self._node.tell_health(json.dumps(shown), json.dumps(self._detector.suspicion(vitals.now_ns)))
        self._told([one.code for one in findings])
        self._note_changes({one.code: one for one in findings})

    def _read(self) -> Vitals | None:
        read = json.loads(self._node.vitals())
        if read is None:
            return None
        status = json.loads(self._node.status())
        peers = [
            PeerVitals(p["name"], p["up"], [at_us * 1000 for at_us in p["heard_us"]], p["passed_over"])
            for p in read["peers"]
        ]
        now_ms = wall_ms()
        return Vitals(
            now_ns=read["now_us"] * 1000,
            wall_ms=now_ms,
            busy_ms={"core": self._core_ms(), **{stage["name"]: stage["busy_ms"] for stage in read["stages"]}},
            syncs=read["syncs"],
            sync_us=read["sync_us"],
            journal_bytes=read["journal_bytes"],
            journal_oldest_ns=read["journal_oldest_us"] * 1000,
            free_bytes=free_bytes(self._home) if self._of_process else None,
            keep_few=self._keep_few,
            damaged=read["damaged"] or "",
            diverged=read["diverged"],
            unserved=read["unserved"],
            retired=retired_because(status.get("key_retired_because")),
            cut_off=read["cut_off"],
            other_chain=other_chain(read, status["chain"]),
            many_liars=read["many_liars"],
            synced=read["synced"],
            executed=status["at"]["height"],
            waiting=read["pool_able"],
            no_member=self._no_member(status),
            chain_ahead_ms=chain_ahead_ms(read, now_ms),
            block_ahead=block_ahead(read),
            left_out=left_out(read),
            lane_junk=lane_junk(read),
            signer_away=(read["signer"] or {}).get("away", ""),
            signer_refused=(read["signer"] or {}).get("refused", ""),
            quorum_lost=quorum_lost(status),
            not_served=not_served(status, self._node_key),
            shard_trouble=self._others(),
            certificate_ends=certificate_ends(read["tls"], now_ms),
            tls_trouble=(read["tls"] or {}).get("trouble") or "",
            peers=peers,
        )

    def _no_member(self, status: dict[str, Any]) -> str:
        """Returns why a node that is configured as a validator has no vote; empty if it has one. Shards other than the
        root may have committees without it."""
        if not self._of_process or self._config_role != "validator" or status["role"] == "validator":
            return ""
        key = "the validator key of this home"
        if self._key_replaced:
            key += ", which replaced another one,"
        return f"{key} is not in the committee of epoch {status['epoch']}: it signs nothing"

    def _note_changes(self, found: dict[str, Finding]) -> None:
        for code in found.keys() - self._known.keys():
            self._log.warning("trouble", code=code, reason=found[code].evidence)
            self._begun[code] += 1
            count = self._begun[code]
            if code not in PASSING and (count <= RECORDED_EACH or count & (count - 1) == 0):
                self._write(code=code, state="begun", evidence=found[code].evidence, count=count)
        for code in self._known.keys() - found.keys():
            self._log.info("trouble over", code=code)
            if code not in PASSING and self._begun[code] <= RECORDED_EACH:
                self._write(code=code, state="over", evidence=self._known[code].evidence)
        self._known = found

    def _write(self, **fields: object) -> None:
        try:
            self._send.send_nowait(fields)
        except trio.WouldBlock:
            self._log.error("audit failed", code="audit-full", reason="too much waits to be written")

    async def _write_notes(self) -> None:
        async for fields in self._notes:
            try:
                await trio.to_thread.run_sync(self._node.audit, "trouble", json.dumps(fields), abandon_on_cancel=True)
            except _native.NativeError as error:
                self._log.error("audit failed", code=error.code, reason=error.args[0])


def wall_ms() -> int:
    """Returns the time of this machine's clock, Unix ms."""
    return time.time_ns() // 1_000_000


def chain_ahead_ms(read: dict[str, Any], wall_ms: int) -> int:
    """Returns how far the chain's time is ahead of the clock; 0 if a voter would accept a block of that time."""
    ahead_ms: int = read["chain_ms"] - wall_ms
    return ahead_ms if ahead_ms > read["clock_ahead_ms_max"] else 0


def block_ahead(read: dict[str, Any]) -> str:
    """Describes the block that waited for the clock alone within the last minute; empty if no block did."""
    block = read["block_ahead"]
    if block is None or read["now_us"] - block["at_us"] > BLOCK_AHEAD_US:
        return ""
    return f"a block of {block['proposer']} is {block['ahead_ms'] / 1000:.1f} s ahead of this node's clock, and waits"


def left_out(read: dict[str, Any]) -> str:
    """Lists the homes that are passed over, with what they left out."""
    said = [f"{one['home']} listed {one['missed']} of the last {one['of']} late or never" for one in read["left_out"]]
    return ", ".join(said)


def other_chain(read: dict[str, Any], chain: str) -> str:
    """Lists the validators whose nodes say that they are of another chain than this node's, with their addresses."""
    said = []
    for peer in read["peers"]:
        found = CHAINS.search(peer.get("down_because", ""))
        if found is not None:
            theirs = found[2] if found[1] == chain else found[1]
            said.append(f"{peer['name']} at {peer.get('address', 'an unknown address')} is of chain {theirs}")
    return f"{', '.join(said)}; this node is of chain {chain}" if said else ""


def lane_junk(read: dict[str, Any]) -> str:
    """Lists the validators of whose listed bytes more than a hundredth was skipped, for nobody's account."""
    said = [
        f"{one['skipped_bytes']} of {one['listed_bytes']} bytes that {one['validator']} listed were skipped"
        for one in read["lane_junk"]
    ]
    return ", ".join(said)


def certificate_ends(tls: dict[str, Any] | None, wall_ms: int) -> str:
    """Returns what is wrong with the validity of the gateway's certificate; empty if nothing is, or there is no
    certificate."""
    return certificate.trouble(tls["begins_ms"], tls["ends_ms"], wall_ms) if tls is not None else ""


def free_bytes(home: Path) -> int | None:
    """Returns the free space for this user on the home's disk; `None` if it is unknown."""
    try:
        found = os.statvfs(home)
    except OSError:
        return None
    return found.f_bavail * found.f_frsize


def quorum_lost(status: dict[str, Any]) -> str:
    """Returns why too few validators are connected with a voter; empty if enough are."""
    if status["role"] != "validator":
        return ""
    n, up = status["peers"] + 1, status["peers_up"] + 1
    wanted = n - (n - 1) // 3
    if up >= wanted:
        return ""
    return f"{up} of the {wanted} validators that a quorum needs are connected, not {', '.join(status['unreachable'])}"


def not_served(status: dict[str, Any], node_key: str) -> str:
    """Returns why a node without a vote learns nothing; empty if a validator is connected."""
    if status["role"] == "validator" or status["peers_up"]:
        return ""
    return f"no validator is connected with this node, whose key is {node_key}: not {', '.join(status['unreachable'])}"
