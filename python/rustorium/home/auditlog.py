"""Reads and checks a node's audit log.

Invariants: `read` checks nothing, `check` checks every line; a line is bounded; nothing here writes the log.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rustorium.access.files import create, unwritable
from rustorium.access.keyfiles import public_part
from rustorium.errors import (
    AbsenceUnproven,
    Absent,
    HomeError,
    HomeMissing,
    NotFound,
    Pruned,
    UsageError,
    VerificationFailed,
)
from rustorium.home.paths import Home

if TYPE_CHECKING:
    from rustorium.client import Client, Key
    from rustorium.types import Submitted

FILE_NAME = "audit.jsonl"
LINE_BYTES_MAX = 64 * 1024
"""Maximum number of bytes in a line, as in the writer."""
ANCHORS_MAX = 10
"""Number of an account's newest anchors that are searched for the one that was read: others may follow meanwhile."""


@dataclass(frozen=True, slots=True)
class AuditLogCheck:
    """The result of a successful check: every line is unaltered. Times are Unix ms, 0 for an empty log."""

    lines: int
    head: str
    """`LINES:HASH` of the last line. Kept elsewhere, it proves later that no line at the end was removed."""
    first_ms: int
    last_ms: int


def log_of(home: Home) -> Path:
    """Returns the path of a home's audit log."""
    return home.path / "audit" / FILE_NAME


def signer_of(home: Home) -> bytes:
    """Returns the public key that signs a home's audit log. Errors: HomeError, KeyFileError."""
    _, public = public_part(home.node_key)
    if not public:
        raise HomeError(f"{home.node_key} doesn't show its public key: give it with --node-key", code="key-hidden")
    return bytes.fromhex(public)


def parse_anchor(text: str) -> tuple[int, bytes]:
    """Parses `SEQ:HASH`, as `check` returns it. Errors: UsageError."""
    found = re.fullmatch(r"([1-9][0-9]{0,18}):([0-9a-f]{64})", text)
    if found is None:
        raise UsageError(f"`{text}` is not the head of an audit log: give SEQ:HASH as `audit verify` prints it")
    return int(found[1]), bytes.fromhex(found[2])


def check(log: Path, node_key: bytes, anchor: tuple[int, bytes] | None = None) -> AuditLogCheck:
    """Checks hash, signature and order of every line, and that the anchored line exists. Errors: NativeError
    (audit-refused names the first altered line; not-found)."""
    from rustorium import _native

    lines, digest, first_ms, last_ms = _native.audit_verify(str(log), node_key, anchor)
    return AuditLogCheck(lines, f"{lines}:{digest.hex()}", first_ms, last_ms)


def anchor_name(node_key: bytes) -> bytes:
    """Returns the ledger key under which an operator's account stores the head of a node's log."""
    return b"rustorium/audit/" + node_key.hex().encode()


def put_anchor(client: "Client", key: "Key", node_key: bytes, head: str) -> "Submitted":
    """Writes a head into the ledger, under the account of `key`, and waits until it is final. Errors: ClientError."""
    parse_anchor(head)
    return client.put(anchor_name(node_key), head.encode(), key=key)


def get_anchor(client: "Client", account: str, node_key: bytes) -> str:
    """Returns the head that an account stored last, proven. Errors: ClientError, NotFound (Absent if that is
    proven), VerificationFailed."""
    found = client.read(account, anchor_name(node_key), at="proven")
    value = found.value
    if value is None and not found.at.proven:
        raise NotFound(
            f"by the genesis file alone {account} has no anchor: no node showed a block, so ask again once the chain "
            "has begun, or ask another node"
        )
    if value is None:
        raise Absent(f"{account} has not anchored an audit log of this node: run `audit anchor` with its key first")
    try:
        head = value.decode("ascii")
        parse_anchor(head)
    except (UnicodeDecodeError, UsageError):
        raise VerificationFailed(
            f"the value that {account} has in the ledger is not an anchor of this audit log: anchor it again"
        ) from None
    return head


def anchored_ms(client: "Client", account: str, node_key: bytes, head: str) -> int | None:
    """Returns the time of the newest block that is proven to have stored this head under an account, Unix ms; `None`
    if the nodes that were asked no longer prove one. Errors: ClientError."""
    try:
        page = client.history(account, anchor_name(node_key), limit=ANCHORS_MAX)
    except (NotFound, Pruned, AbsenceUnproven):
        return None
    stored = (one for one in page.versions if one.proven and one.value == head.encode())
    return next((one.time_ms for one in stored), None)


def export_to(log: Path, out: Path) -> None:
    """Copies all complete lines of the log to a new file. Errors: FileExists, HomeMissing, UsageError."""
    try:
        with log.open("rb") as source, create(out) as target:
            while (raw := source.readline(LINE_BYTES_MAX + 1)).endswith(b"\n"):
                target.write(raw)
    except FileNotFoundError:
        raise HomeMissing(f"there is no {log}: name the home of a node that has run") from None
    except OSError as error:
        raise unwritable(out, error) from None


def read(log: Path) -> Iterator[dict[str, Any]]:
    """Yields the lines unchecked, oldest first. Errors: HomeError if one is not even JSON."""
    try:
        with log.open("rb") as file:
            number = 0
            while raw := file.readline(LINE_BYTES_MAX + 1):
                number += 1
                if not raw.endswith(b"\n"):
                    return  # being written, or truncated: `check` tells which
                yield _line(log, number, raw)
    except FileNotFoundError:
        raise HomeMissing(f"there is no audit log {log}: name the home of a node that has run") from None


def _line(log: Path, number: int, raw: bytes) -> dict[str, Any]:
    try:
        line = json.loads(raw)
        return {name: line[name] for name in ("seq", "ts_ms", "event", "fields")}
    except (ValueError, KeyError, TypeError, RecursionError):
        raise HomeError(
            f"line {number} of {log} is not an audit line: run `audit verify`, and keep the file as evidence",
            code="audit-damaged",
        ) from None
