"""Results of commands that run nodes and nets, and keep them alive.

Invariants: PURE; times are Unix ms, sizes bytes, paths as they can be opened on this machine.
"""

from typing import Any, Literal

from rustorium.cli.results.base import ABSENT, Absent, Json, OpenResult, Result


class HomeMade(Result):
    """A home that was made, with what `genesis new` needs of a validator."""

    name: str
    role: Literal["validator", "follower"]
    home: str
    genesis: str
    node_key: str
    validator_key: str | Absent = ABSENT
    owner_key: str | Absent = ABSENT
    owner_key_file: str | Absent = ABSENT
    region: int | Absent = ABSENT
    address: str | Absent = ABSENT
    possession: Json | Absent = ABSENT


class UpgradeStep(Result):
    """A step of an upgrade."""

    step: str
    change: str
    state: Literal["done", "to do"]


class Activated(Result):
    """An activation of protocol version 2 by operators, as far as the command got."""

    epoch: int
    """The epoch that the operators' values name."""
    put: list[str]
    """Accounts whose value is proven."""
    needed: int
    """Operators that must put the same value."""
    active: bool
    """Whether the epoch after it is of version 2."""


class DevnetFacts(Result):
    """A devnet that runs; the same as its devnet.json, with the file's path, the faucet's URL, and what clients beside
    each validator wait at least until a transaction is final, if its links are delayed."""

    chain: str
    genesis: str
    name: str
    asset: str
    nodes: list[Json]
    accounts: list[Json]
    ca: str
    format: int
    file: str
    faucet: str | None
    finality: list[Json]


class GeneratedHome(Result):
    """A home that `testnet gen` made."""

    name: str
    host: str
    region: str
    home: str
    passphrase_file: str


class SignerRecord(Result):
    """A key's record of a signer process."""

    public_key: str
    state: str
    adopts: bool


class SignerKey(Result):
    """A key that a signer process holds."""

    role: Literal["validator", "account"]
    public_key: str
    source: str


class SignedRecord(OpenResult):
    """The newest signatures of a signer with a key, by shard."""

    public_key: str
    mode: str


class Snapshot(Result):
    """A snapshot that a node offers to its peers."""

    height: int
    time_ms: int


class Member(OpenResult):
    """A validator of the committee."""

    index: int
    name: str
    validator_key: str
    region: int
    region_name: str
    address: str | None


class ValidatorAdded(Result):
    """A validator that was added, and the epoch from which on it votes; `None` while `proposal` waits for other
    operators' seats."""

    name: str
    region: str
    home: str
    pid: int | None
    epoch: int | None
    validator_key: str
    owner_key_file: str
    proposal: int | None


class ValidatorApplied(Result):
    """The operation that admits a validator, for the operators. `address`, `public_key` and `region` are those of its
    owner's account."""

    file: str
    name: str
    validator_key: str
    node_key: str
    address: str
    public_key: str
    region: int


class ValidatorRemoved(Result):
    """A validator that was removed, and the epoch from which on it no longer votes; `None` while `proposal` waits for
    other operators' seats."""

    name: str
    validator_key: str
    epoch: int | None
    proposal: int | None


class EpochEnd(Result):
    """An operator's approval of an epoch's end. `proposal`: the one that waits for other operators' seats."""

    epoch: int
    approved: str
    proposal: int | None


class KeyReplaced(Result):
    """A validator's key that was replaced."""

    home: str
    old_validator_key: str
    validator_key: str
    old_files: str


class OwnerSet(Result):
    """A validator's owner that was set, or a file by which operators set one."""

    number: int
    """The validator's number."""
    validator_key: str
    owner_key: str
    """The owner's key before."""
    new_owner_key: str
    file: str | None
    """The file for `govern propose change`; without one the change is final."""


class FollowerRow(Result):
    """A node key that may follow, and the file that names it."""

    node_key: str
    named_in: str


class RecoveryStep(Result):
    """A problem of a home, and what would be done about it."""

    trouble: str
    evidence: str
    act: str
    what: str
    undo: str | None


class StoreAside(Result):
    """A store that was moved aside."""

    name: str
    code: str
    evidence: str


class StorePutBack(Result):
    """A store that was put back, and where the one that was there is now."""

    put_back: str
    code: str
    aside: str | None


class RestartPlan(Result):
    """A plan by which owners bring a committee back."""

    file: str
    epoch: int
    height: int
    base: str


class MemberReplaced(Result):
    """A member's key in such a plan."""

    home: str
    old_validator_key: str
    validator_key: str


class RestartMember(Result):
    """A member in such a plan, and whether its owner has signed."""

    place: int
    name: str
    validator_key: str
    new_validator_key: str
    signed: bool


class RestartSigned(Result):
    """An owner's signature under such a plan."""

    place: int
    end: str
    signatures: int


class RestartApplied(Result):
    """A home to which such a plan was applied."""

    home: str
    epoch: int
    height: int
    new_validator_key: str | None
    """`None` if the plan replaces no key of this home, or the new key waits for other shards' plans."""
    waits_for: list[int]
    """The shards whose plans the home's new key waits for."""


class Setting(Result):
    """A key of the configuration, with its value and where that comes from (`--origin`)."""

    key: str
    value: Any
    origin: str | Absent = ABSENT


class Caller(OpenResult):
    """The identity that the admin plane assigns to the caller."""

    by: str
    role: Literal["read", "operate", "admin"]


class Stopping(Result):
    """A node that was told to stop."""

    stopping: bool


class TokenRow(Result):
    """A token, without its secret."""

    name: str
    id: str
    role: str | None
    gateway: str | None
    created_ms: int
    expires_ms: int | None
    expired: bool


class NewToken(TokenRow):
    """A token that was made: in `token`, or in a file."""

    token: str | Absent = ABSENT
    file: str | Absent = ABSENT


class RowsRotated(Result):
    """Rows that were encrypted again under a new key; `home` or `node` says where."""

    rows: int
    home: str | Absent = ABSENT
    node: str | Absent = ABSENT


class MasterRotated(Result):
    """A storage key that is being replaced; `next` says what is left to do."""

    home: str
    rows: int
    state: str
    next: str


class BackupKeyRotated(Result):
    """A backup key that was replaced, or the one before that was discarded."""

    key: str
    key_before: str | Absent = ABSENT
    discarded: str | Absent = ABSENT


class PassphraseRotated(Result):
    """Key files that have another passphrase now, and where the old files are."""

    kept_in: str
    key_files: list[str]


class Rotation(OpenResult):
    """Progress of a rotation."""

    running: bool
    rows: int
    failed: str | None


class AuditLine(OpenResult):
    """A line of the audit log."""

    seq: int
    ts_ms: int
    event: str
    fields: Json


class AuditChecked(Result):
    """An audit log of which every line is as it was written. `anchored_ms`: proven time of the block that has the
    anchor; `null` if it is not from the ledger, or nobody proves the time."""

    lines: int
    head: str
    first_ms: int
    last_ms: int
    anchor: str | Absent = ABSENT
    anchored_ms: int | Absent | None = ABSENT


class AuditExported(AuditChecked, kw_only=True):
    """A checked copy of an audit log."""

    node_key: str


class AuditAnchored(Result):
    """The head of an audit log that was written to the ledger."""

    head: str
    account: str
    transaction: str


class Newest(Result):
    """A backup that an earlier look knew."""

    id: str
    height: int


class ShardHeights(Result):
    """The heights to which another shard than 0 can be restored."""

    shard: int
    height: int
    from_height: int


class RestoredShard(Result):
    """Another shard than 0 of a restored home."""

    shard: int
    height: int
    certified_by: int
    state: Any


class BackupMade(OpenResult):
    """A backup that was made. `missed`: an earlier one that is gone from the destination."""

    id: str
    height: int
    from_height: int
    bytes: int
    new_bytes: int
    new_pieces: int
    missed: Newest | Absent = ABSENT
    shards: list[ShardHeights] | Absent = ABSENT


class BackupRow(Result):
    """A backup at a destination."""

    id: str
    made_ms: int
    height: int
    from_height: int
    node: str
    chain: str
    program: str
    bytes: int
    state: str
    shards: list[ShardHeights] | Absent = ABSENT


class Damage(Result):
    """An object that is damaged or missing."""

    object: str
    what: str
    backups: list[str]
    files: list[str]


class BackupsVerified(Result):
    """All backups at a destination after every object was read."""

    backups: int
    pieces: int
    bytes: int
    unneeded: int
    damaged: list[Damage]


class Restored(Result):
    """A home that was restored."""

    home: str
    home_format: int
    id: str
    height: int
    certified_by: int
    state: Any
    key_retired: bool
    shards: list[RestoredShard] | Absent = ABSENT


class BackupsPruned(OpenResult):
    """Backups that were removed."""

    removed: Any


class BundleMade(Result):
    """A file for support."""

    file: str
    bytes: int
    parts: int
