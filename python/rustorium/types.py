"""What the client and the node's interfaces hand out: frozen values, parsed once.

Invariants: PURE; ids, roots and assets are lower-case hex, addresses are `rs1…`, amounts are integers of smallest
units, times are Unix milliseconds.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, cast

Wait = Literal["accepted", "final", "certified"]
"""How far a submission waits: in a pool, final and executed, or claimed by a final header (provable)."""

SUBMISSION_TRANSACTIONS_MAX = 1000
"""Transactions in one submitted group."""
SUBMISSION_BYTES_MAX = 1024 * 1024
"""Bytes of one submitted group."""
TRANSACTION_BYTES_MAX = 256 * 1024
"""Bytes of one encoded transaction."""
KEY_BYTES_MAX = 512
"""Bytes of a key inside a namespace."""
VALUE_BYTES_MAX = 64 * 1024
"""Bytes of a value."""
PROOF_KEYS_MAX = 1024
"""Things that one proof can be about."""
OPERATIONS_MAX = 256
"""Operations in one transaction."""


@dataclass(frozen=True, slots=True)
class At:
    """The state that an answer speaks of."""

    height: int
    root: str
    """Result root of that height, hex; where the answer is proven, the state root."""
    shard: int = 0
    proven: bool = False
    """Whether the answer was proven, here, under a root that a quorum certified."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a final transaction had no effect."""

    code: str
    operation: int
    """The operation that failed, from 0."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """What the chain says of an executed transaction."""

    transaction: str
    sender: str
    nonce: int
    height: int
    index: int
    """Position among the block's receipts."""
    time_ms: int
    work: int
    failure: Failure | None = None

    @property
    def ok(self) -> bool:
        """Whether all its operations took effect."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class SignedTransaction:
    """Canonical bytes, ready to be sent any number of times to any node."""

    id: str
    raw: bytes
    sender: str
    nonce: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Submitted:
    """How far a submission got. `receipt` is there from "final" on, `proof` with "certified"."""

    id: str
    reached: Wait
    receipt: Receipt | None = None
    proof: bytes | None = None
    """Canonical bytes of the receipt's proof, already checked where a genesis was given."""


@dataclass(frozen=True, slots=True)
class TransactionStatus:
    """Where a transaction is: unknown (never seen, or dropped), pending in a pool, or final."""

    id: str
    state: Literal["unknown", "pending", "final"]
    receipt: Receipt | None = None
    certified: bool = False
    """A final header claims a result root at or above its height."""
    transaction: dict[str, object] = field(default_factory=dict)
    """The transaction as the node shows it; empty unless final."""


@dataclass(frozen=True, slots=True)
class Account:
    """An account's record."""

    address: str
    nonce: int
    """The next nonce."""
    public_key: str
    quota_left: int
    """Work units."""
    storage_bytes_left: int
    at: At


@dataclass(frozen=True, slots=True)
class Value:
    """A key's value, or its absence (`value` is None)."""

    namespace: str
    key: bytes
    value: bytes | None
    at: At


@dataclass(frozen=True, slots=True)
class Balance:
    """What an account holds of an asset."""

    account: str
    asset: str
    amount: int
    at: At


@dataclass(frozen=True, slots=True)
class Block:
    """A final block."""

    height: int
    digest: str
    view: int
    parent: str
    proposer: int
    time_ms: int
    transactions: int
    claimed_height: int
    root: str
    """Result root after it."""
    raw: bytes = b""
    """Canonical bytes of the block."""
    proof: bytes = b""
    """Canonical bytes of its `BlockProof`; empty where the node had none to give."""


@dataclass(frozen=True, slots=True)
class ListedKey:
    """A key of a namespace, as a listing shows it."""

    key: bytes
    value_bytes: int
    value_hash: str
    """BLAKE3 of the value (hex), as a `require_value` condition names it."""
    value: bytes | None = None
    """The value; None where the listing was asked without values."""


@dataclass(frozen=True, slots=True)
class KeyPage:
    """One page of a namespace's keys, in no order that means anything."""

    keys: tuple[ListedKey, ...]
    next_cursor: str | None
    """Names the next page; None on the last. A page may be short, or empty, and have a next one all the same."""
    at: At
    """Where all pages of the listing hold."""


@dataclass(frozen=True, slots=True)
class ReceiptPage:
    """One page of an account's transactions, newest first."""

    transactions: tuple[str, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class Event:
    """A final transaction on the event stream."""

    id: str
    """`height.index`; resumes the stream behind this one."""
    receipt: Receipt


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a validator was seen to sign that no honest one signs."""

    validator: int
    name: str
    kind: str
    """`two_notarizes`, `two_finalizes`, `nullify_and_finalize` or `two_batches`."""
    first: str
    """Where it was seen first, such as "view 7"."""
    count: int
    validator_key: str = ""
    """Empty where an earlier release recorded none."""
    first_ms: int = 0
    """When it was seen first, by the node's clock, Unix ms; 0 where an earlier release recorded none."""
    member: bool = True
    """Whether it is in the committee that goes on."""


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that a node found wrong with itself."""

    code: str
    severity: str
    """"degraded", or "not-ready"."""
    evidence: str
    advice: str
    since_ms: int


@dataclass(frozen=True, slots=True)
class NodeStatus:
    """What a node says of itself."""

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
    """Why it isn't ready; empty where it is."""
    raw: dict[str, object] = field(default_factory=dict)
    """Everything that it said."""
    unreachable: tuple[str, ...] = ()
    """Names of the validators that it has no link to."""
    role: str = ""
    """"validator", or "follower" where it is not in the epoch's committee."""
    retired: str = ""
    """Why its validator key signs nothing more; empty where it does."""
    evidence: tuple[Evidence, ...] = ()
    filling: Mapping[str, object] | None = None
    """How far the filling of its empty store from a snapshot is: height, percent, rows, parts, peers, banned, …"""
    findings: tuple[Finding, ...] = ()
    """What is wrong with it, with what to do about each."""

    @property
    def release(self) -> str:
        """Which release it runs; empty where it doesn't say."""
        return str(self.raw.get("version") or "")

    @property
    def home_format(self) -> int | None:
        """The format of its home, where that was looked at."""
        found = self.raw.get("home_format")
        return found if isinstance(found, int) else None

    @property
    def attention(self) -> str:
        """What its operator must look after, besides that it isn't ready; empty where there is nothing."""
        found = [self.retired] if self.retired else []
        if self.filling is not None and (banned := self.filling["banned"]):
            found.append(f"banned while filling: {', '.join(map(str, cast(list[object], banned)))}")
        if self.unreachable:
            found.append(f"can't reach {', '.join(self.unreachable)}")
        # Of a retired key and of peers that aren't there it is said already.
        found += [one.code for one in self.findings if one.code not in ("key-retired", "peers-lost")]
        found += [f"{one.name} signed {one.kind} in {one.first} ({one.count} in all)" for one in self.evidence]
        return "; ".join(found)


@dataclass(frozen=True, slots=True)
class Subject:
    """Something in the state: an account's record, with `key` a value of its namespace, with `asset` a balance."""

    account: str
    key: bytes | None = None
    asset: str | None = None


Held = Account | Balance | Value | None
"""What a subject holds: an account's record (None where there is no such account), a balance, or a value."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The final header that claims a root, on which a proof hangs."""

    height: int
    digest: str
    time_ms: int
    epoch: int


@dataclass(frozen=True, slots=True)
class ProvenState:
    """What some subjects held after one height, checked here."""

    at: At
    claim: Claim
    items: dict[Subject, Held]
    proof: bytes
    """A proof file, which others can check from the genesis alone."""


@dataclass(frozen=True, slots=True)
class Shown:
    """What a proof file shows, and nothing else."""

    kind: Literal["read", "receipt", "transaction", "block"]
    chain: str
    claim: Claim
    facts: dict[str, object]
    """All of it, for people."""
    receipt: Receipt | None = None
    state: ProvenState | None = None


@dataclass(frozen=True, slots=True)
class WriteProof:
    """A receipt, and what was written, with what shows, from the genesis alone, that a quorum certified them."""

    receipt: Receipt
    proof: bytes
    """The receipt's proof file."""
    state: ProvenState | None
    """What the transaction's subjects held at a root at or above the receipt; None where the chain makes no state
    roots."""
