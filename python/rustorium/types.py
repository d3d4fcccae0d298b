"""The values that the client and the node's interfaces return: frozen, parsed once.

Invariants: PURE; ids, roots and assets are lower-case hex, addresses are `rs1…`, amounts are integers of smallest
units, times are Unix milliseconds.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from rustorium.custody import AccountAuthority as AccountAuthority
from rustorium.custody import AccountSettings
from rustorium.custody import Authority as Authority
from rustorium.custody import PendingChange as PendingChange
from rustorium.custody import Recovery as Recovery
from rustorium.records import Listing, Record
from rustorium.reports import Evidence as Evidence
from rustorium.reports import Finding as Finding
from rustorium.reports import NodeStatus as NodeStatus

Wait = Literal["accepted", "final", "certified"]
"""Milestone that a submission waits for: in a pool, final and executed, or claimed by a final header (provable)."""

SUBMISSION_TRANSACTIONS_MAX = 1000
"""Maximum number of transactions in one submitted group."""
SUBMISSION_BYTES_MAX = 1024 * 1024
"""Maximum number of bytes in one submitted group."""
TRANSACTION_BYTES_MAX = 256 * 1024
"""Maximum number of bytes in one encoded transaction."""
KEY_BYTES_MAX = 512
"""Maximum number of bytes in a key inside a namespace."""
VALUE_BYTES_MAX = 64 * 1024
"""Maximum number of bytes in a value."""
PROOF_KEYS_MAX = 1024
"""Maximum number of subjects in one proof."""
OPERATIONS_MAX = 256
"""Maximum number of operations in one transaction."""


@dataclass(frozen=True, slots=True)
class At(Record):
    """The state that an answer describes."""

    height: int
    root: str
    """Result root of that height, hex; for a proven answer, the state root."""
    shard: int = 0
    proven: bool = False
    """`True` if this client verified a proof of the answer under a root that a quorum certified."""


@dataclass(frozen=True, slots=True)
class Signers(Record):
    """The validators whose signatures on a final header were checked by this client. Other validators may have signed
    it, too: a proof needs a quorum. As text: "3 of 4 validators: node-0, node-1, node-3"."""

    names: tuple[str, ...]
    """In the committee's order. The first 16 hex digits of the validator's key follow a name that two members have,
    and replace one that is empty or not plain text."""
    validators: int
    """Number of validators in the committee."""
    by_owners: bool = False
    """`True` if the owners of these validators signed instead, as `recover committee` has them do."""

    def __str__(self) -> str:
        """Names the signers."""
        owners = "the owners of " if self.by_owners else ""
        return f"{owners}{len(self.names)} of {self.validators} validators: {', '.join(self.names)}"


@dataclass(frozen=True, slots=True)
class Failure(Record):
    """The reason why a final transaction had no effect."""

    code: str
    operation: int
    """The number of the operation that failed, from 0."""


@dataclass(frozen=True, slots=True)
class Receipt(Record):
    """The chain's record of an executed transaction."""

    transaction: str
    sender: str
    nonce: int
    height: int
    index: int
    """Position among the block's receipts."""
    time_ms: int
    work: int
    failure: Failure | None = None
    shard: int = 0
    """The shard whose chain has the block."""

    @property
    def ok(self) -> bool:
        """`True` if all operations took effect."""
        return self.failure is None


@dataclass(frozen=True, slots=True)
class SignedTransaction(Record):
    """Canonical bytes of a transaction, ready to be sent any number of times to any node."""

    id: str
    raw: bytes = field(repr=False)
    sender: str
    nonce: int
    expires_at_ms: int


@dataclass(frozen=True, slots=True)
class Submitted(Record):
    """Milestone that a submission reached. `receipt` is present from "final" on, `proof` with "certified". Given a
    genesis, a failed receipt is always a proven one."""

    id: str
    reached: Wait
    receipt: Receipt | None = None
    proof: bytes | None = field(default=None, repr=False)
    """Canonical bytes of the receipt's proof, already checked if a genesis was given."""
    endpoint: str = ""
    """URL of the node on whose word this rests; empty if the proof was checked here."""


@dataclass(frozen=True, slots=True)
class Issued(Submitted):
    """Milestone that an issue reached, and what it issued."""

    asset: str = ""
    """The asset's id, 64 hex digits: it follows from the issuer and the symbol."""


@dataclass(frozen=True, slots=True)
class TransactionStatus(Record):
    """State of a transaction: final, pending (a client of the node that answers waits for it), or unknown.

    An unknown transaction may still wait in a pool until it expires."""

    id: str
    state: Literal["unknown", "pending", "final"]
    receipt: Receipt | None = None
    certified: bool = False
    """`True` if a final header claims a result root at or above its height."""
    transaction: dict[str, object] = field(default_factory=dict)
    """The transaction as the node shows it, or as it is proven; empty unless final."""
    proven: bool = False
    """The receipt and the transaction were checked here; otherwise all of it is on the node's word."""
    signed_by: Signers | None = field(default=None, compare=False)
    """The signers of the header that proves it; `None` unless `proven`."""


@dataclass(frozen=True, slots=True)
class Account(Record):
    """An account's record."""

    address: str
    nonce: int
    """The next nonce."""
    public_key: str | None
    """The account's key; `None` if it has several."""
    quota_left: int
    """Remaining quota, in work units. Under protocol version 2: units that the account drew and didn't use yet."""
    storage_bytes_left: int
    at: At
    authority_hash: str | None = None
    """Hash of the account's authority if it has several keys. The state doesn't have the keys: each transaction of the
    account shows them."""
    history_left: int | None = None
    """Bytes of history that the account drew and didn't use yet; `None` from nodes of earlier versions."""
    sponsor: int | None = None
    """Number of the sponsor that the account draws from, 0 for the common one; `None` from nodes of earlier
    versions."""
    custody: Literal["settled", "pending"] | None = None
    """Set if the account has a delay, a recovery account or a change that waits. While one waits, other keys may act
    than these: `Client.authority` tells."""
    grants_era: int = 0
    """Number of times that the account's grants became void. A grant of another era allows nothing."""


@dataclass(frozen=True, slots=True)
class Value(Record):
    """A key's value; `value` is `None` if the key is absent."""

    namespace: str
    key: bytes
    value: bytes | None
    at: At


@dataclass(frozen=True, slots=True)
class Balance(Record):
    """An account's balance of an asset."""

    account: str
    asset: str
    amount: int
    at: At


@dataclass(frozen=True, slots=True)
class Grant(Record):
    """What an account lets another one write in its namespace."""

    account: str
    """The account that gave it."""
    to: str
    """The account that may write."""
    rights: tuple[str, ...]
    """`put`, `delete`, or both."""
    prefixes: tuple[bytes, ...]
    """Prefixes of the keys; an empty one is the whole namespace."""
    until_ms: int | None
    """Header time from which it allows nothing, Unix ms; `None` if it has no end."""
    era: int
    """Era of the account's grants in which it was made. It allows nothing once the account has another
    (`Account.grants_era`)."""
    at: At
    valid: bool | None = None
    """Whether it allows something at this height; `None` if it was read without the account's era."""


@dataclass(frozen=True, slots=True)
class Block(Record):
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
    raw: bytes = field(default=b"", repr=False)
    """Canonical bytes of the block."""
    proof: bytes = field(default=b"", repr=False)
    """Canonical bytes of the block's `BlockProof`; empty if the node had none."""
    shard: int = 0
    signed_by: Signers | None = field(default=None, compare=False)
    """The signers of the block or its descendant; `None` unless the block was checked here."""


@dataclass(frozen=True, slots=True)
class ListedKey(Record):
    """A key of a namespace in a listing."""

    key: bytes
    value_bytes: int
    value_hash: str
    """BLAKE3 of the value (hex), as a `require_value` condition names it."""
    value: bytes | None = None
    """The value; `None` if the listing was requested without values."""


@dataclass(frozen=True, slots=True)
class KeyPage(Listing):
    """One page of a namespace's keys, in no meaningful order."""

    keys: tuple[ListedKey, ...]
    next_cursor: str | None
    """Cursor of the next page; `None` on the last page. A short or empty page may still have a next one."""
    at: At
    """The state that all pages of the listing describe."""

    def _rows(self) -> tuple[ListedKey, ...]:
        return self.keys


@dataclass(frozen=True, slots=True)
class Version(Record):
    """A key's value from a height on, until the next version."""

    height: int
    value: bytes | None
    """The value that the block left; `None` if the key was removed."""
    time_ms: int | None = None
    """Time of the block; `None` if the node no longer keeps it."""
    transaction: str | None = None
    """Id of the transaction that wrote it; `None` if the node no longer keeps it."""
    proven: bool = False
    """`True` if this client checked the receipt of the transaction, and that it left this value. That no later
    transaction of the same block wrote the key is on the node's word."""


@dataclass(frozen=True, slots=True)
class HistoryPage(Listing):
    """One page of a key's versions, newest first."""

    versions: tuple[Version, ...]
    next_before: int | None
    """The next page has the versions below this height; `None` on the last page."""
    kept_from: int
    """The oldest height that the node keeps. A version of this height or below may have been written earlier."""
    at: At
    """The node's newest height."""

    def _rows(self) -> tuple[Version, ...]:
        return self.versions


@dataclass(frozen=True, slots=True)
class BalancePage(Listing):
    """One page of an account's balances, in no meaningful order."""

    balances: tuple[Balance, ...]
    next_cursor: str | None
    """Cursor of the next page; `None` on the last page. A short or empty page may still have a next one."""
    at: At
    """The state that all pages of the listing describe."""

    def _rows(self) -> tuple[Balance, ...]:
        return self.balances


@dataclass(frozen=True, slots=True)
class GrantPage(Listing):
    """One page of the grants that an account gave, in no meaningful order."""

    grants: tuple[Grant, ...]
    next_cursor: str | None
    """Cursor of the next page; `None` on the last page. A short or empty page may still have a next one."""
    at: At
    """The state that all pages of the listing describe."""

    def _rows(self) -> tuple[Grant, ...]:
        return self.grants


@dataclass(frozen=True, slots=True)
class ReceiptPage(Record):
    """One page of an account's transactions, newest first."""

    transactions: tuple[str, ...]
    next_cursor: str | None


@dataclass(frozen=True, slots=True)
class ShardFacts(Record):
    """A shard of the net, as the genesis lists it."""

    shard: int
    from_account: str
    """The lowest account id that the shard has."""
    to_account: str | None
    """The account id above its highest; `None` if it has all from `from_account` on."""
    members: tuple[str, ...]
    """Names of its first committee's members."""


@dataclass(frozen=True, slots=True)
class Event(Record):
    """A final transaction on the event stream."""

    id: str
    """`shard.height.index`; the stream can be resumed after it."""
    receipt: Receipt


@dataclass(frozen=True, slots=True, init=False)
class Subject(Record):
    """An object in the state: an account's record; with `key`, a value of its namespace; with `asset`, a balance; with
    `authority`, its settings; with `grant`, what it lets that account write. Of the system's account (`account`
    of `Client.governance()`), with `governance`, the operators' seats, and with `proposal` one of their proposals."""

    account: str
    key: bytes | None = None
    asset: str | None = None
    authority: bool = False
    governance: bool = False
    proposal: int | None = None
    grant: str | None = None

    def __init__(
        self,
        account: str,
        key: bytes | str | None = None,
        asset: str | None = None,
        *,
        authority: bool = False,
        governance: bool = False,
        proposal: int | None = None,
        grant: str | None = None,
    ) -> None:
        """Takes a key as text, too, which is kept as UTF-8."""
        object.__setattr__(self, "account", account)
        object.__setattr__(self, "key", key.encode() if isinstance(key, str) else key)
        object.__setattr__(self, "asset", asset)
        object.__setattr__(self, "authority", authority)
        object.__setattr__(self, "governance", governance)
        object.__setattr__(self, "proposal", proposal)
        object.__setattr__(self, "grant", grant)


SubjectContent = Account | AccountSettings | Balance | Grant | Value | Mapping[str, Any] | None
"""Content of a subject: an account's record (`None` if there is no such account), a balance, a value, an account's
settings (`None` if it has neither a delay nor a recovery account), a grant (`None` if there is none), or the seats or a
proposal as the API's JSON (`None` if the state has none)."""
Held = SubjectContent
"""The former name of `SubjectContent`."""


@dataclass(frozen=True, slots=True)
class Claim(Record):
    """The final header that claims the root of a proof."""

    height: int
    digest: str
    time_ms: int
    epoch: int
    signed_by: Signers | None = field(default=None, compare=False)
    """The signers of the header or its descendant; `None` if it needs none, as the genesis."""


@dataclass(frozen=True, slots=True)
class ProvenState(Listing):
    """Content of some subjects after one height, verified by this client."""

    at: At
    claim: Claim
    items: dict[Subject, SubjectContent]
    proof: bytes = field(repr=False)
    """A proof file, which others can check from the genesis alone."""

    def _rows(self) -> Iterable[Record]:
        # What is shown as the API's JSON has no fields of its own.
        return [held for held in self.items.values() if isinstance(held, Record)]


@dataclass(frozen=True, slots=True)
class VerifiedProof(Record):
    """Exactly what a proof file proves."""

    kind: Literal["read", "receipt", "transaction", "block"]
    chain: str
    claim: Claim
    facts: dict[str, object]
    """All proven facts, for people."""
    receipt: Receipt | None = None
    state: ProvenState | None = None


Shown = VerifiedProof
"""The former name of `VerifiedProof`."""


@dataclass(frozen=True, slots=True)
class WriteProof(Record):
    """A receipt and the values written, with proofs that a quorum certified both; the genesis alone is enough to
    check."""

    receipt: Receipt
    proof: bytes = field(repr=False)
    """The receipt's proof file."""
    state: ProvenState | None
    """Content of the transaction's subjects, at a root at or above the receipt; `None` if the chain makes no state
    roots."""
