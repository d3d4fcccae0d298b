"""Results of commands that use the ledger.

Invariants: PURE; amounts are decimal strings, times Unix ms, ids hex digits.
"""

from typing import Any, Literal

from rustorium.cli.results.base import ABSENT, Absent, Failure, Json, OpenResult, Result


class Sent(OpenResult):
    """A submitted transaction, and its receipt if it is final."""

    id: str
    reached: Literal["accepted", "final", "certified"]
    sender: str | Absent = ABSENT
    nonce: int | Absent = ABSENT
    height: int | Absent = ABSENT
    index: int | Absent = ABSENT
    time_ms: int | Absent = ABSENT
    work: int | Absent = ABSENT
    outcome: Literal["ok", "failed"] | Absent = ABSENT
    failure: Failure | Absent = ABSENT
    proven: bool | Absent = ABSENT
    """True if the outcome was checked here, false if it is on a node's word."""
    proof: str | Absent = ABSENT


class AccountMade(Sent, kw_only=True):
    """The account that was made, and the transaction that made it."""

    address: str
    storage_bytes: int


class KeysSet(Result):
    """The keys in the file, those that were set, and the transactions that set them."""

    keys: int
    set: int
    transactions: int


class Issued(Sent, kw_only=True):
    """The asset that was issued, and the transaction that issued it."""

    asset: str


class AuthorityFacts(Result):
    """A file of an authority, and the account that it opens."""

    address: str
    authority_hash: str
    threshold: int
    keys: list[str]
    region: int
    file: str


class RecoveryRow(Result):
    """The account that may replace another one's keys."""

    account: str
    delay_ms: int
    final: bool


class KeysRow(Result):
    """Keys, and how many of them must sign."""

    threshold: int
    keys: list[str]


class PendingRow(Result):
    """A change of an account's keys that waits."""

    by: Literal["keys", "recovery"]
    authority: KeysRow
    delay_ms: int
    recovery: RecoveryRow | None
    void_grants: bool
    due_ms: int
    change: str


class AccountAuthority(Result):
    """The authority of an account and how it can change, as the state proves it. Of several keys of an account without
    such settings that is the hash alone."""

    address: str
    threshold: int | None
    keys: list[str] | None
    authority_hash: str | None
    delay_ms: int
    recovery: RecoveryRow | None
    pending: PendingRow | None
    frozen_until_ms: int | None
    height: int
    proven: bool


class SigningState(Result):
    """A file with a transaction to be signed, and the public keys that have signed it."""

    id: str
    file: str
    sender: str
    nonce: int
    expires_at_ms: int
    threshold: int
    signed_by: list[str]
    open_keys: list[str]
    """Keys that haven't signed."""
    missing: int
    """Number of signatures that it still needs."""


class Registered(Sent, kw_only=True):
    """The verifier that was registered, and the transaction that registered it."""

    verifier: str


class Signers(Result):
    """The validators whose signatures were checked. `by_owners` is true if their owners signed instead."""

    names: list[str]
    validators: int
    by_owners: bool


class TransactionState(OpenResult):
    """A transaction's state, and its receipt if it is final."""

    id: str
    state: Literal["pending", "final"]
    certified: bool
    proven: bool
    sender: str | Absent = ABSENT
    nonce: int | Absent = ABSENT
    height: int | Absent = ABSENT
    index: int | Absent = ABSENT
    time_ms: int | Absent = ABSENT
    work: int | Absent = ABSENT
    outcome: Literal["ok", "failed"] | Absent = ABSENT
    failure: Failure | Absent = ABSENT
    signed_by: Signers | Absent = ABSENT


class Block(OpenResult):
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
    verified: bool
    signed_by: Signers | None


class AccountRow(Result):
    """An account's record."""

    address: str
    nonce: int
    public_key: str | None
    authority_hash: str | None
    quota_left: int
    history_left: int | None
    sponsor: int | None
    storage_bytes_left: int
    height: int
    root: str
    proven: bool
    time_ms: int | None
    """Time of the certified header that the proof rests on; `None` on a node's word."""
    signed_by: Signers | None


class BalanceRow(Result):
    """A balance of one asset."""

    account: str
    asset: str
    amount: str
    height: int
    root: str
    proven: bool
    time_ms: int | None
    """Time of the certified header that the proof rests on; `None` on a node's word."""
    signed_by: Signers | None


class ValueRow(Result):
    """A key and its value, both in this encoding."""

    key: str
    value: str
    encoding: Literal["utf8", "hex", "base64"]
    height: int
    root: str
    proven: bool
    time_ms: int | None
    """Time of the certified header that the proof rests on; `None` on a node's word."""
    signed_by: Signers | None


class ListedKey(Result):
    """A key of a listing, in this encoding."""

    key: str
    value_bytes: int
    value_hash: str
    encoding: Literal["utf8", "hex", "base64"]


class Holding(Result):
    """A balance of one asset."""

    asset: str
    amount: str
    height: int
    proven: bool


class GrantRow(Result):
    """What another account may write in an account's namespace. `prefixes` are in `encoding`; an empty one is the whole
    namespace. `until` is null if it has no end. `valid`: it still allows something."""

    to: str
    rights: list[str]
    prefixes: list[str]
    encoding: str
    until: str | None
    era: int
    valid: bool
    height: int
    proven: bool


class VersionRow(Result):
    """A version of a key. `value` is null if the block removed the key. `transaction` and `time_ms` are null if the
    node no longer keeps the block."""

    height: int
    time_ms: int | None
    value: str | None
    encoding: Literal["utf8", "hex", "base64"]
    transaction: str | None
    proven: bool


class ClaimedBy(Result):
    """The final header that vouches for a proof."""

    height: int
    digest: str
    time_ms: int


class ProofFacts(Result):
    """The content of a verified proof file: `items` for state, `receipt` for a transaction, `header` for a block."""

    kind: Literal["read", "receipt", "transaction", "block"]
    chain: str
    shard: int
    epoch: int
    claimed_by: ClaimedBy
    signed_by: Signers | None
    height: int | Absent = ABSENT
    state_root: str | Absent = ABSENT
    items: list[Json] | Absent = ABSENT
    receipt: Json | Absent = ABSENT
    transaction: Json | Absent = ABSENT
    header: Json | Absent = ABSENT


class Signer(Result):
    """A validator that signed both headers of a fork."""

    index: int
    name: str
    validator_key: str


class ForkFacts(Result):
    """Verified evidence of a fork: two final headers of one height."""

    epoch: int
    signed_both: list[Signer]
    headers: list[Json]


class Checkpoint(Result):
    """A checkpoint that was written."""

    file: str
    chain: str
    epoch: int
    height: int


class NewKey(Result):
    """An account key that was made."""

    address: str
    public_key: str
    region: int
    key_file: str


class KeyFacts(Result):
    """The public part of a key file. `address` and `region` for an account's key."""

    kind: str
    public_key: str
    region: int | Absent = ABSENT
    address: str | Absent = ABSENT


class WalletFacts(Result):
    """A wallet of shielded value."""

    address: str
    chain: str
    pool: int
    pays: bool


class ViewingKey(Result):
    """A wallet's viewing key."""

    viewing_key: str


class ShieldedHolding(Result):
    """A shielded balance of one asset; `asset` is null if the wallet doesn't know the asset's id."""

    asset: str | None
    amount: int
    notes: int
    asset_tag: str


class WalletEvent(Result):
    """A shielded payment that concerns the wallet."""

    event: str
    transfer: int
    amount: int
    to: str | None
    memo: str | None
    asset_tag: str


class ProofVerified(Result):
    """A Groth16 proof that holds."""

    proof: Literal["verified"]
    curve: str
    inputs: int


class CeremonyBegun(Result):
    """A ceremony's file that was begun."""

    file: str
    phase: int
    circuit: str | None


class Contributed(Result):
    """A contribution to a ceremony, with the hash by which its contributor finds it again."""

    file: str
    name: str
    hash: str


class ContributionRow(Result):
    """A contribution in a ceremony's file."""

    phase: int
    number: int
    name: str
    origin: str
    hash: str


class CeremonyKeys(Result):
    """The keys that a ceremony ended with, by their BLAKE3 hashes."""

    folder: str
    proving_key: str
    verifying_key: str


class SeatRow(Result):
    """A seat of an operator. One key acts for it, or an authority of several, which has a hash."""

    number: int
    first_key: str
    public_key: str | None
    authority_hash: str | None
    generation: int
    nonce: int
    room: int


class ProposalRow(Result):
    """An open proposal, in words, with the seats that approved it and those that didn't."""

    number: int
    change: str
    seat: int
    approvals: list[int]
    missing: int
    not_approved: list[int]
    until: str
    made: bool
    effect: str
    hash: str


class ProposalFacts(ProposalRow, kw_only=True):
    """An open proposal, with what it changes of what is wanted now."""

    changes: list[str]


class PlannedChange(Result):
    """A change that was not proposed, and the number that its proposal would have."""

    number: int
    changes: list[str]
    effect: str


class GenesisFacts(Result):
    """A genesis. `genesis` is all of it."""

    chain: str
    name: str
    version: int
    time_ms: int
    validators: int
    tolerated_failures: int
    operators: int
    operator_quorum: int | None
    accounts: int
    shards: int
    file: str
    genesis: dict[str, Any] | Absent = ABSENT


class ShardRow(Result):
    """A shard: its accounts by the genesis, and how far it is by a node."""

    shard: int
    from_account: str
    to_account: str | None
    members: int
    height: int | None
    epoch: int | None
    state: str


class ShardDetail(Result):
    """A shard, with the names of its first committee's members."""

    shard: int
    from_account: str
    to_account: str | None
    members: list[str]
    height: int | None
    epoch: int | None
    state: str
