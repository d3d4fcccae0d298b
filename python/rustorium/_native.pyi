"""The Rust extension: ids, signing, proofs, and the node's data plane. What takes time releases the GIL."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self, final

from rustorium.consensus.vocabulary import Effect, Input

__all__ = [
    "Backups",
    "Light",
    "NativeError",
    "Node",
    "Restoring",
    "RollupProver",
    "ShieldedProver",
    "ShieldedWallet",
    "SigningKey",
    "SimChain",
    "SimDisk",
    "SimNode",
    "Starting",
    "StorageKey",
    "account_id",
    "asset_id",
    "audit_record",
    "audit_verify",
    "block_digest",
    "boundary_of",
    "build_transaction",
    "ceremony_begin",
    "ceremony_circuits",
    "ceremony_contribute",
    "ceremony_finish",
    "ceremony_second",
    "ceremony_verify",
    "copy_store",
    "describe_change",
    "describe_transaction",
    "devnet_pool_key",
    "forbid_core_dumps",
    "format_address",
    "generate_seed",
    "genesis_describe",
    "genesis_encode",
    "genesis_hash",
    "genesis_state",
    "home_lane",
    "load_run",
    "new_backup_key",
    "open_key",
    "openapi",
    "parse_address",
    "payload_root",
    "pool_account",
    "pool_row",
    "pool_transfers",
    "prove_possession",
    "public_key",
    "read_journal",
    "restart_apply",
    "restart_base",
    "restart_plan",
    "restart_sign",
    "rollup_apply",
    "rollup_batch_hash",
    "rollup_root",
    "seal_key",
    "seal_secret",
    "signed_header",
    "sim_forge_batch",
    "sim_forge_proposal",
    "sim_forge_vote",
    "sim_read_frame",
    "sim_signature_work",
    "tracing_init",
    "transaction_input",
    "value_hash",
    "verifier_id",
    "verify_block",
    "verify_receipt_proof",
    "version",
    "versions",
    "wrap_proof",
    "zk_describe",
    "zk_inputs",
    "zk_key",
    "zk_proof",
    "zk_verify",
    "zk_verify_all",
]

class NativeError(Exception):
    """`args[0]` is one sentence; `code` is stable: port-in-use, home-locked, wrong-passphrase, key-missing, …"""

    code: str

def version() -> str: ...
def openapi() -> str:
    """The OpenAPI document of the HTTP face, JSON."""

def generate_seed() -> bytes: ...
def public_key(seed: bytes) -> bytes: ...
def account_id(region: int, public_key: bytes) -> str: ...
def parse_address(text: str) -> bytes: ...
def format_address(raw: bytes) -> str: ...
def asset_id(issuer: str, symbol: str) -> str: ...
def audit_record(folder: str, node_seed: bytes, event: str, fields_json: str) -> None:
    """Appends to the audit log of a node that doesn't run. Errors: NativeError."""

def audit_verify(path: str, node_key: bytes, anchor: tuple[int, bytes] | None = None) -> tuple[int, bytes, int, int]:
    """Lines, hash of the last, first and last time in Unix ms of an audit log of which every line is as it was written.
    `anchor`: a line's number and hash that it must have. Errors: NativeError (audit-refused, not-found)."""

def seal_key(path: str, seed: bytes, kind: str, passphrase: bytes, random_passphrase: bool = False) -> None:
    """Seals a signing key's seed into a new file. `random_passphrase`: it was drawn and has 128 bits at least, so that
    guesses needn't be made dear. Errors: NativeError."""

def versions() -> dict[str, int]:
    """Which versions this build reads and writes: `store`, `safety journal`, `store keys`, `backup`, `peer protocol`
    (the newest), `protocol`."""

def seal_secret(path: str, secret: bytes, kind: str, passphrase: bytes) -> None: ...
def open_key(path: str, kind: str, passphrase: bytes) -> bytes: ...
def value_hash(value: bytes) -> bytes: ...
def build_transaction(
    seed: bytes,
    chain: str,
    region: int,
    nonce: int,
    expires_at_ms: int,
    work_limit: int | None,
    operations_json: str,
    location: tuple[float, float] | None = None,
) -> tuple[str, bytes]: ...
def prove_possession(validator_seed: bytes, node_seed: bytes, chain: str, owner_key: str) -> str: ...
def describe_transaction(raw: bytes) -> str: ...
def home_lane(account: str, epoch: int, n: int) -> int: ...
def genesis_encode(genesis_json: str) -> bytes: ...
def genesis_describe(raw: bytes) -> str: ...
def genesis_hash(raw: bytes) -> str: ...
def verify_receipt_proof(genesis: bytes, proof: bytes) -> str: ...
def verify_block(genesis: bytes, block: bytes, proof: bytes) -> str: ...
def block_digest(block: bytes) -> str: ...
def payload_root(block: bytes, parent: bytes) -> str: ...
def wrap_proof(kind: str, part: bytes, proof: bytes | None = None) -> bytes: ...
def describe_change(change: bytes) -> tuple[int, int, str]: ...
def boundary_of(change: bytes) -> bytes: ...
def signed_header(proof: bytes) -> bytes: ...
def genesis_state(genesis: bytes, items_json: str) -> str: ...
def zk_key(key: bytes, json: bool) -> bytes: ...
def zk_describe(key: bytes) -> tuple[str, int]: ...
def zk_proof(json: bytes) -> bytes: ...
def zk_inputs(json: bytes, proof_bytes: int) -> list[bytes]: ...
def zk_verify(key: bytes, proof: bytes, inputs: Sequence[bytes]) -> None:
    """All in canonical bytes. Errors: NativeError that says why it is refused."""

def zk_verify_all(claims: Sequence[tuple[bytes, bytes, Sequence[bytes]]]) -> list[tuple[str, str] | None]:
    """Many (key, proof, inputs) in canonical bytes as one equation; of each what is wrong with it: code, sentence."""

def ceremony_circuits() -> list[str]: ...
def ceremony_begin(circuit: str, power: int | None, ptau: bytes | None) -> bytes: ...
def ceremony_second(circuit: str, powers: bytes, progress: Callable[[int, int], None]) -> bytes: ...
def ceremony_contribute(
    file: bytes, name: str, typed: bytes, beacon: tuple[bytes, int] | None, progress: Callable[[int, int], None]
) -> tuple[bytes, str]:
    """The file with one contribution more, and its hash. Errors: NativeError ceremony-refused, -not-possible."""

def ceremony_verify(
    file: bytes, progress: Callable[[int, int], None]
) -> tuple[int, str | None, list[tuple[int, str, str, str]], bytes | None]:
    """Phase, circuit, contributions as (phase, name, origin, hash), verifying key. Errors: ceremony-refused."""

def ceremony_finish(
    file: bytes, progress: Callable[[int, int], None]
) -> tuple[bytes, bytes, list[tuple[int, str, str, str]]]:
    """The proving key's file and the verifying key's canonical bytes."""

def rollup_root(balances: Sequence[int]) -> bytes: ...
def rollup_apply(balances: Sequence[int], transfers: Sequence[tuple[int, int, int]]) -> list[int]: ...
def rollup_batch_hash(transfers: Sequence[tuple[int, int, int]]) -> bytes: ...

@final
class RollupProver:
    """Proves batches of a rollup's transfers (256 accounts, at most 12 transfers each)."""

    @staticmethod
    def insecure() -> RollupProver: ...
    @staticmethod
    def open(key: bytes) -> RollupProver: ...
    def verifying_key(self) -> bytes: ...
    def prove(
        self, balances: Sequence[int], transfers: Sequence[tuple[int, int, int]]
    ) -> tuple[bytes, list[bytes]]: ...

def verifier_id(owner: str, key: bytes, named: Sequence[tuple[int, bool]]) -> str: ...
def transaction_input(id: str) -> bytes: ...
def pool_account(number: int) -> str: ...
def pool_row(row: str) -> bytes:
    """The key, in that account's namespace, of the pool's `head` or verifying `key`. Errors: ValueError."""

def pool_transfers(head: bytes) -> int:
    """How many transfers a pool's head counts. Errors: ValueError."""

def devnet_pool_key() -> tuple[bytes, str]:
    """The key's canonical bytes, and the warning that goes with it."""

@final
class ShieldedProver:
    """Proves transfers under one proving key."""

    @staticmethod
    def insecure_devnet() -> ShieldedProver:
        """A devnet's: FOR TESTS ONLY. It takes about a second."""

    @staticmethod
    def insecure_of_seed(seed: bytes) -> ShieldedProver:
        """Under keys of any 32 bytes: FOR TESTS ONLY. It takes about a second."""

    @staticmethod
    def open(file: bytes, verifying_key: bytes) -> ShieldedProver:
        """Under a ceremony's `proving.key`. Errors: NativeError, also where it is for another verifying key."""

    def verifying_key(self) -> bytes: ...
    def file(self) -> bytes:
        """The proving key, as `open` takes it: a ceremony's or a seed's, not a devnet's."""

@final
class ShieldedWallet:
    """A wallet in one pool of one chain, in memory. Errors: NativeError, ValueError for what can't be parsed."""

    @staticmethod
    def from_seed(seed: bytes, account: int, chain: str, pool: int) -> ShieldedWallet: ...
    @staticmethod
    def from_viewing_key(text: str, chain: str, pool: int) -> ShieldedWallet: ...
    def address(self) -> str: ...
    def spends(self) -> bool: ...
    def viewing_key(self, full: bool) -> str: ...
    def transfers(self, ahead: bool) -> int: ...
    def scan(self, records: bytes) -> str:
        """Takes in records ahead of what is settled; what happened as JSON."""

    def settle(self, head: bytes) -> None:
        """Keeps what was taken in where it comes to a proven head; else all of it goes."""

    def start(self, head: bytes) -> None:
        """Starts at a proven head instead of the pool's first transfer."""

    def forget(self) -> None: ...
    def notes(self) -> list[tuple[int, str, int, bytes]]:
        """Position, asset tag, value, memo."""

    def asset_tag(self, asset: str) -> str: ...
    def prove(
        self,
        prover: ShieldedProver,
        kind: str,
        sender: str,
        asset: str,
        amount: int,
        to: str | None = None,
        memo: bytes | None = None,
    ) -> str:
        """Proves a `shield`, `transfer`, `unshield` or `merge`; the operation as JSON."""

    def save(self, more: bytes) -> bytes: ...
    def load(self, sealed: bytes) -> bytes: ...

def load_run(config_json: str) -> str: ...
def tracing_init(path: str | None, level: str, node: str) -> None: ...

@final
class Light:
    """A light client's state: the committees that it trusts, and what it checked. Errors: NativeError."""

    @staticmethod
    def from_genesis(genesis: bytes, trust_period_ms: int | None = None) -> Light: ...
    @staticmethod
    def from_checkpoint(checkpoint: bytes, trust_period_ms: int | None = None) -> Light: ...
    def checkpoint(self) -> bytes: ...
    def describe(self) -> str: ...
    @staticmethod
    def from_bytes(state: bytes, trust_period_ms: int | None = None) -> Light: ...
    def to_bytes(self) -> bytes: ...
    def check_trust(self, now_ms: int) -> None: ...
    def end_of(self, epoch: int) -> tuple[int, str] | None: ...
    def check_conflict(self, first: bytes, second: bytes) -> str: ...
    def signed_end(self, proof: bytes) -> bytes | None: ...
    def missing(self, proof: bytes) -> tuple[int, int] | None: ...
    def knows(self, epoch: int) -> bool: ...
    def follow(self, change: bytes, now_ms: int) -> int: ...
    def check(self, proof: bytes, now_ms: int, anew: bool = False) -> str: ...
    def check_block(self, block: bytes, proof: bytes, now_ms: int) -> tuple[str, str]: ...

@final
class StorageKey:
    """The key of what a node keeps on disk, in locked memory."""

    @staticmethod
    def create(path: str, passphrase: bytes, random_passphrase: bool = False) -> None: ...
    @staticmethod
    def open(path: str, passphrase: bytes) -> StorageKey: ...

@final
class SigningKey:
    """The opened key of a node or a validator, in locked memory."""

    @staticmethod
    def open(path: str, kind: str, passphrase: bytes) -> SigningKey: ...
    @property
    def public(self) -> bytes: ...

def forbid_core_dumps() -> None: ...
def new_backup_key(path: str, passphrase: bytes) -> None: ...
def restart_base(store: str, genesis: bytes, key: StorageKey) -> str:
    """JSON of the newest final block in the store of a node that doesn't run, and of the committee above it. Errors:
    NativeError."""

def restart_plan(store: str, genesis: bytes, key: StorageKey, transactions: list[bytes], time_ms: int) -> str:
    """JSON of the plan that these changes of the committee make there (R33). Errors: NativeError."""

def restart_sign(seed: bytes, chain: str, epoch: int, view: int, end: str) -> bytes: ...
def restart_apply(
    store: str,
    genesis: bytes,
    key: StorageKey,
    transactions: list[bytes],
    time_ms: int,
    signatures: list[tuple[int, bytes]],
    base: str,
    again: bool,
) -> str:
    """Puts a plan that a quorum of owners signed, each for a place, into the store; JSON of it. `again`: takes a first
    block above `base` back that an earlier call left. Errors: NativeError."""

def copy_store(store: str, to: str, chain: str, key: StorageKey) -> None:
    """Copies the store of a node that doesn't run to a new folder on the same disk. Errors: NativeError."""

@final
class Backups:
    """The backups at a folder or `s3://BUCKET/PREFIX`. Each call works until its end; `progress` and `stop` are for
    other threads. What calls give is JSON. Errors: NativeError."""

    def __new__(
        cls,
        destination: str,
        key_file: str,
        passphrase: bytes,
        *,
        endpoint: str | None = None,
        region: str | None = None,
        allow_http: bool = False,
        make: bool = False,
    ) -> Self: ...
    def create(
        self,
        home: Path,
        store: Path,
        node: str,
        node_key: bytes,
        validator: bool,
        chain: str,
        key: StorageKey,
    ) -> str: ...
    def list(self) -> str: ...
    def verify(self) -> str: ...
    def retain(self, keep: int) -> str: ...
    def fetch(self, home: Path, height: int | None = None, backup: str | None = None) -> Restoring: ...
    def progress(self) -> str: ...
    def stop(self) -> None: ...

@final
class Restoring:
    """A home that was fetched and isn't in place yet. Errors: NativeError."""

    def folder(self) -> Path: ...
    def prove(self, chain: str, key: StorageKey) -> str: ...
    def settle(self) -> None: ...

def read_journal(folder: str, chain: str, key: StorageKey) -> list[tuple[int, int, bytes]]:
    """The records (position, kind, payload) of the journal of a node that doesn't run. Errors: NativeError."""

@final
class Starting:
    """The start of a node, which may fill an empty store and so take hours: `run` it on one thread, ask and stop it on
    others. Errors: NativeError, of `run` with code `stopped` where it was stopped before the store was filled."""

    def __new__(
        cls, config_json: str, storage_key: StorageKey, node_key: SigningKey, validator_key: SigningKey | None = None
    ) -> Self: ...
    def run(self) -> Node: ...
    def stop(self) -> None: ...
    def status(self) -> str: ...
    def set_tokens(self, tokens_json: str) -> None: ...
    def audit(self, event: str, fields_json: str) -> None: ...

@final
class Node:
    """A node's data plane: store, journal, links, gateway, and the threads that run them."""

    def fileno(self) -> int: ...
    def drain(self, limit: int) -> list[Input]: ...
    def submit(self, effects: Sequence[Effect]) -> None: ...
    def status(self) -> str: ...
    def addresses(self) -> dict[str, str]: ...
    def vitals(self) -> str: ...
    def tell_health(self, findings_json: str, suspicion_json: str) -> None: ...
    def observe_step(self, input_kind: str, cpu_ns: int, wall_ns: int) -> None: ...
    def audit(self, event: str, fields_json: str) -> None: ...
    def set_tokens(self, tokens_json: str) -> None: ...
    def set_followers(self, keys: Sequence[str]) -> None: ...
    def rotate_keys(self) -> None: ...
    def copy_store(self) -> None: ...
    def copying(self) -> str: ...
    def snapshots(self) -> str: ...
    def create_snapshot(self) -> str: ...
    def rotation(self) -> str: ...
    def close(self) -> None: ...

_Turned = tuple[
    int,
    list[tuple[list[int], int, bytes]],
    list[tuple[int, int, int | None]],
    int | None,
    bool,
    list[tuple[int, str, int | None]],
]
"""For how many µs the shard's thread is busy, frames that leave (to, class, bytes), stages that begin (which, on which
thread, for how many µs), deadline in µs, whether inputs wait, answers (tag, how, height) to clients."""

@final
class SimChain:
    """What the nodes of one simulated chain share; node keys by the nodes' numbers."""

    def __new__(cls, genesis: bytes, node_keys: Sequence[bytes]) -> Self: ...

@final
class SimDisk:
    """What a simulated node keeps across its processes: journal, store, and the mark of a retired key."""

    def __new__(cls) -> Self: ...
    def lose_power(self, records_kept: int, writes_kept: int) -> tuple[int, int]: ...
    def unsynced(self) -> tuple[int, int]: ...
    def fail_write(self, nth: int, full: bool) -> None: ...
    def fail_sync(self, nth: int, full: bool) -> None: ...
    def fail_journal(self, full: bool) -> None: ...
    def mend(self) -> None: ...
    def retired(self) -> str | None: ...
    def new_journal(self) -> None: ...
    def lose_certificates(self, first: int, last: int) -> int: ...
    def committee(self, chain: SimChain, epoch: int) -> list[bytes] | None: ...
    def wanted(self) -> tuple[list[bytes], int | None] | None: ...
    def synced_records(self, after: int) -> tuple[int, list[tuple[int, bytes]]]: ...
    def tip(self) -> tuple[int, bytes, bytes, bytes] | None: ...
    def block(self, height: int) -> tuple[bytes, bytes, bytes] | None: ...
    def transaction(self, id: str) -> tuple[int, int] | None: ...
    def leaves(self) -> list[tuple[bytes, bytes, bytes]]: ...

@final
class SimNode:
    """A node's release stages without threads, for one process. Every call takes both clocks: monotonic µs, Unix ms."""

    def __new__(
        cls,
        chain: SimChain,
        disk: SimDisk,
        number: int,
        validator_seed: bytes | None,
        heartbeat_us: int,
        now_us: int,
        wall_ms: int,
        *,
        shared: bool = False,
        verifiers: int = 1,
        costs: Mapping[str, int] | None = None,
    ) -> Self: ...
    def started(self, now_us: int, wall_ms: int) -> _Turned: ...
    def frame(self, now_us: int, wall_ms: int, source: int, class_: int, frame: bytes) -> _Turned: ...
    def link(self, now_us: int, wall_ms: int, peer: int, up: bool) -> _Turned: ...
    def submit(self, now_us: int, wall_ms: int, effects: Sequence[Effect]) -> _Turned: ...
    def client(self, now_us: int, wall_ms: int, transaction: bytes, until: str, tag: int) -> _Turned: ...
    def tick(self, now_us: int, wall_ms: int) -> _Turned: ...
    def end(self, now_us: int, wall_ms: int, stage: int, thread: int) -> _Turned: ...
    def drain(self, limit: int) -> list[Input]: ...
    def offenders(self) -> list[int]: ...
    def busy(self) -> dict[str, int]: ...
    def held(self) -> dict[str, int]: ...
    def calls(self) -> dict[str, int]: ...

def sim_forge_vote(
    seed: bytes, signer: int, chain: str, epoch: int, view: int, kind: int, block: bytes | None = None
) -> bytes: ...
def sim_forge_proposal(
    seed: bytes,
    frame: bytes,
    *,
    later_ms: int = 0,
    empty_on: bytes | None = None,
    result_root: bytes | None = None,
    state_root: bytes | None = None,
    ends_epoch: bool | None = None,
) -> bytes: ...
def sim_forge_batch(
    seed: bytes, author: int, chain: str, epoch: int, seq: int, previous: bytes, transactions: Sequence[bytes]
) -> bytes: ...
def sim_read_frame(frame: bytes) -> dict[str, Any]: ...
def sim_signature_work() -> tuple[int, int, int, int]: ...
