"""What a node reports about itself: its condition, its findings, and evidence against validators.

Invariants: PURE; ids and keys are lower-case hex, times are Unix milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from rustorium.records import Record


@dataclass(frozen=True, slots=True)
class Evidence(Record):
    """Evidence that a validator signed what no honest validator signs."""

    validator: int
    name: str
    kind: str
    """`two-notarizes`, `two-finalizes`, `nullify-and-finalize` or `two-batches`."""
    first: str
    """The view or batch in which it was seen first, such as "view 7"."""
    count: int
    validator_key: str = ""
    """Empty if an earlier release recorded no key."""
    first_ms: int = 0
    """Time when it was first seen, by the node's clock, Unix ms; 0 if an earlier release recorded no time."""
    member: bool = True
    """`True` if the validator is in the current committee."""


@dataclass(frozen=True, slots=True)
class Finding(Record):
    """A problem that a node found with itself."""

    code: str
    severity: str
    """"degraded", or "not-ready"."""
    evidence: str
    advice: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class NodeStatus(Record):
    """A node's report about itself."""

    node: str
    chain: str
    height: int
    view: int
    epoch: int
    executed: int
    claimed: int
    peers_up: int
    pool_transactions: int
    durability: str
    ready: bool
    reason: str
    """The reason why the node isn't ready; empty if it is."""
    raw: dict[str, object] = field(default_factory=dict, repr=False)
    """The whole report."""
    unreachable: tuple[str, ...] = ()
    """Names of the validators that the node has no link to."""
    role: str = ""
    """"validator", or "follower" if the node is not in the epoch's committee."""
    retired: str = ""
    """The reason why the validator key signs nothing more; empty if it signs."""
    evidence: tuple[Evidence, ...] = ()
    filling: Mapping[str, object] | None = None
    """Progress of filling the empty store from a snapshot: height, percent, rows, parts, peers, banned, …"""
    findings: tuple[Finding, ...] = ()
    """The node's problems, each with what to do about it."""
    shard: int = 0
    """The shard whose height, view, epoch, committee and pool these are."""
    protocol: int = 0
    """Protocol version of the epoch; 0 if the node doesn't say."""
    older: tuple[str, ...] = ()
    """Names of the validators whose release can't run protocol version 2, as the node's links tell."""
    governance: Mapping[str, Any] | None = None
    """What waits for operators' seats, and what they paused; `None` if the node doesn't say."""
    shards: "tuple[NodeStatus, ...]" = ()
    """The node's reports about the other shards that it hosts."""

    @property
    def release(self) -> str:
        """The release that the node runs; empty if it doesn't say."""
        return str(self.raw.get("version") or "")

    @property
    def home_format(self) -> int | None:
        """The format of the node's home; `None` if it was not reported."""
        found = self.raw.get("home_format")
        return found if isinstance(found, int) else None

    @property
    def attention(self) -> str:
        """The problems that the operator must solve, apart from readiness; empty if there are none."""
        found = [self.retired] if self.retired else []
        if self.filling is not None and (banned := self.filling["banned"]):
            found.append(f"banned while filling: {', '.join(map(str, cast(list[object], banned)))}")
        if self.unreachable:
            found.append(f"can't reach {', '.join(self.unreachable)}")
        # The retired key and the missing peers are already listed.
        found += [one.code for one in self.findings if one.code not in ("key-retired", "peers-lost", "not-served")]
        found += [f"{one.name} signed {one.kind} in {one.first} ({one.count} in all)" for one in self.evidence]
        return "; ".join(found)
