"""Audit lines in addition to orders and troubles: the configuration of a node, and refused peers and clients.

Invariants: however many are refused, at most one line is written a period, and the periods grow while refusals
continue. A disk or an interface that fails is logged and ends nothing.
"""

import hashlib
import json
import re
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol

import trio

from rustorium import _native
from rustorium.config import split_address
from rustorium.errors import RustoriumError
from rustorium.home.auditlog import log_of, read
from rustorium.home.paths import Home
from rustorium.logs import Logger

CONFIGURATION = "configuration"
SETTINGS_BYTES_MAX = 32 * 1024
"""Maximum size of a line; above it the values are left out."""
REFUSED = "peers refused"
DENIED = "clients refused"
REASONS = frozenset(
    {
        "unknown-key",
        "unknown-here",
        "wrong-chain",
        "wrong-version",
        "bad-hello",
        "frame-too-large",
        "handshake",
        "too-many",
        "followers-full",
    }
)
"""All reasons except `by-peer`, which peers also give when they stop."""
SERIES = b"rustorium_transport_refusals_total{"
DENIED_SERIES = b"rustorium_gateway_unauthorized_total{"
LABELS = re.compile(rb'(?:face="([a-z]+)",)?reason="([a-z-]+)"')
LOOK_S = 60.0
PERIOD_S_MAX = 3_600.0
ANSWER_BYTES_MAX = 8 * 1024 * 1024
ANSWER_S = 10.0


class AuditedNode(Protocol):
    """The part of a node that auditing needs."""

    def audit(self, event: str, fields_json: str) -> None: ...

    def addresses(self) -> dict[str, str]: ...


def configuration_change(home: Home, settings: Mapping[str, object]) -> dict[str, object] | None:
    """Returns the fields to record if the settings differ from the last recorded ones; otherwise `None`. Errors:
    HomeError."""
    before = _last_configuration(home)
    wanted = json.loads(json.dumps(settings))
    digest = hashlib.sha256(json.dumps(wanted, sort_keys=True).encode()).hexdigest()
    if before.get("sha256") == digest:
        return None
    known = before.get("settings")
    known = known if isinstance(known, dict) else {}
    changed = sorted(key for key in known.keys() | wanted.keys() if known.get(key) != wanted.get(key))
    fields = {"sha256": digest, "changed": changed, "settings": wanted}
    return fields if len(json.dumps(fields)) <= SETTINGS_BYTES_MAX else fields | {"settings": None}


def _last_configuration(home: Home) -> dict[str, Any]:
    found: object = None
    for line in read(log_of(home)) if log_of(home).exists() else ():
        if line["event"] == CONFIGURATION:
            found = line["fields"]
    return found if isinstance(found, dict) else {}


async def record_configuration(node: AuditedNode, home: Home, settings: Mapping[str, object], log: Logger) -> None:
    """Records a node's configuration, if it changed since it was recorded last."""

    def record() -> None:
        fields = configuration_change(home, settings)
        if fields is not None:
            node.audit(CONFIGURATION, json.dumps(fields))

    try:
        await trio.to_thread.run_sync(record)
    except _native.NativeError as error:
        log.error("audit failed", code=error.code, reason=error.args[0])
    except RustoriumError as error:
        log.error("audit failed", code=error.code, reason=error.message)


class Refusals:
    """The schedule and content of lines about refusals."""

    def __init__(self) -> None:
        self._told: dict[str, int] = {}
        self._period_s = LOOK_S
        self._due_s = 0.0
        self._quiet_s = 0.0

    def take(self, counts: Mapping[str, int], now_s: float) -> dict[str, object] | None:
        """Takes counts since the node's start. Returns what to write now: the growth of each since the last line."""
        grown = {reason: count - self._told.get(reason, 0) for reason, count in sorted(counts.items())}
        grown = {reason: count for reason, count in grown.items() if count > 0}
        if not grown:
            if now_s - self._quiet_s >= PERIOD_S_MAX:
                self._period_s = LOOK_S
            return None
        if now_s < self._due_s:
            return None
        self._told |= counts
        self._quiet_s, self._due_s = now_s, now_s + self._period_s
        self._period_s = min(PERIOD_S_MAX, 2 * self._period_s)
        return {"refused": grown, "total": sum(counts.values())}


async def own_metrics(node: AuditedNode) -> bytes:
    """Returns the text of the node's metrics endpoint. Errors: OSError, TooSlowError, BrokenResourceError,
    ValueError."""
    host, port = split_address(node.addresses()["metrics"])
    with trio.fail_after(ANSWER_S):
        async with await trio.open_tcp_stream(host, port) as stream:
            await stream.send_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
            answer = bytearray()
            async for chunk in stream:
                answer += chunk
                if len(answer) > ANSWER_BYTES_MAX:
                    raise ValueError(f"the metrics are longer than {ANSWER_BYTES_MAX} bytes")
    head, _, body = bytes(answer).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        raise ValueError(f"the metrics endpoint answers {head[:40]!r}")
    return body


async def record_refusals(
    node: AuditedNode, log: Logger, metrics: Callable[[AuditedNode], Awaitable[bytes]] = own_metrics
) -> None:
    """Reads the node's own metrics periodically, until cancelled."""
    peers, clients = Refusals(), Refusals()
    while True:
        await trio.sleep(LOOK_S)
        try:
            text = await metrics(node)
            for event, refusals, counts in (
                (REFUSED, peers, refusal_counts(text)),
                (DENIED, clients, denial_counts(text)),
            ):
                fields = refusals.take(counts, trio.current_time())
                if fields is not None:
                    await trio.to_thread.run_sync(node.audit, event, json.dumps(fields), abandon_on_cancel=True)
        except (OSError, ValueError, trio.TooSlowError, trio.BrokenResourceError) as error:
            log.warning("refusals not read", reason=str(error) or type(error).__name__)
        except _native.NativeError as error:
            log.error("audit failed", code=error.code, reason=error.args[0])


def denial_counts(text: bytes) -> dict[str, int]:
    """Counts clients without a valid token for their request, by interface and reason. Errors: ValueError."""
    return {name: count for name, count in _counts(text, DENIED_SERIES).items() if count}


def _counts(text: bytes, series: bytes) -> dict[str, int]:
    found = {}
    for line in text.splitlines():
        if line.startswith(series):
            labels, _, value = line[len(series) :].partition(b"} ")
            if (name := LABELS.fullmatch(labels)) is not None:
                found[" ".join(part.decode() for part in name.groups() if part)] = int(value)
    return found


def refusal_counts(text: bytes) -> dict[str, int]:
    """Counts refused peers in a node's metrics, by reason. Errors: ValueError."""
    return {reason: count for reason, count in _counts(text, SERIES).items() if reason in REASONS}
