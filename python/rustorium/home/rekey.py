"""Replaces the key of a stopped home's validator: asks each shard for the change, then replaces key and journals
together.

Invariants: SYNC; nothing in the home changes before a quorum's certificate of each shard that the validator is a member
of, checked here, proves that the shard made the change; the home has no `validator.key` while its journals change, so a
key never meets another key's journal, even after a crash; the old key's files are kept in `retired/KEY` and never read
again.
"""

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from rustorium.access.keyfiles import open_key_file, public_part
from rustorium.access.passphrases import find_passphrase
from rustorium.access.private import make_folder
from rustorium.client import operations
from rustorium.errors import (
    HomeError,
    KeyFileMissing,
    NotFound,
    NotReady,
    RustoriumError,
    TransactionFailed,
    UsageError,
    VerificationFailed,
)
from rustorium.home.format import sync_paths
from rustorium.home.keys import open_storage_key
from rustorium.home.owning import owner_named, send
from rustorium.home.paths import Home

if TYPE_CHECKING:
    from rustorium.api import Operation
    from rustorium.client import Client, Key

PROOF_S = 20.0
"""Maximum time to wait for a quorum's certificate."""
POLL_S = 0.2
PAGES_MAX = 8
"""Maximum number of pages of the owner's transactions that are searched for the replacement."""


@dataclass(frozen=True, slots=True)
class KeyReplacement:
    """The result of a replacement: public keys in hex, and the folder with the old key's files."""

    old_key: str
    new_key: str
    kept: Path


@dataclass(frozen=True, slots=True)
class Opener:
    """Opens key files; passphrases are found as the commands find them."""

    passphrase_file: Path | None
    environment: Mapping[str, str]
    owner_passphrase_file: Path | None = None
    """For the owner's key; `None`: the home's."""

    @property
    def of_owner(self) -> Self:
        """Returns the opener of the owner's key."""
        return replace(self, passphrase_file=self.owner_passphrase_file or self.passphrase_file)

    def seed(self, path: Path, kind: str) -> bytes:
        """Returns the secret seed. Errors: KeyFileError."""
        return open_key_file(path, kind, self.passphrase_file, self.environment)

    def public(self, path: Path, kind: str) -> str:
        """Returns the public key in hex. Errors: KeyFileError, NativeError."""
        from rustorium import _native

        return _native.public_key(self.seed(path, kind)).hex()


def found_passphrase(home: Home, named: Path | None) -> Path | None:
    """Returns the named passphrase file, or the one of the home's configuration. Errors: HomeError, ConfigError."""
    if named is None and (configured := home.load_config().config.keys.passphrase_file):
        return home.path / configured
    return named


def owner_file(home: Home, named: Path | None) -> Path:
    """Returns the named key file of the owner, the one beside the home, or the devnet's."""
    beside = home.path.with_name(f"{home.path.name}.owner.key")
    in_devnet = home.path.parent.parent / "owners" / f"{home.path.name}.key"
    return (named or (in_devnet if in_devnet.is_file() and not beside.is_file() else beside)).expanduser()


def replace_key(home: Home, client: "Client", owner: Path, opener: Opener) -> KeyReplacement:
    """Makes a new key, asks the chain for the replacement, and installs it; continues an interrupted call. The home
    must be `stopped`. Errors: HomeError, KeyFileError, UsageError, NotFound, Refused, TransactionFailed,
    VerificationFailed."""
    from rustorium import _native

    if not home.key_change_begun:
        old, new = prepare(home, opener)
        node_seed = opener.seed(home.node_key, "node")
        for part in _of_members(client, home, (old, new)):
            _ask(part, home, (old, new), owner, opener)
        # Written before the change, which may be interrupted: a second line is better than a missing one.
        fields = json.dumps({"by": "operator", "old": old, "new": new})
        _native.audit_record(str(home.path / "audit"), node_seed, "key replaced", fields)
    return install(home)


def _of_members(client: "Client", home: Home, keys: tuple[str, str]) -> "list[Client]":
    """Returns the client of each shard whose next committee has the validator. Errors: NotFound if none has it."""
    from rustorium import _native

    shards = range(1, len(_native.Shards(home.genesis_bytes())))
    members, absent = [], None
    for part in (client, *(client.in_shard(shard) for shard in shards)):
        try:
            _named(part, keys)
        except NotFound as error:
            absent = absent or error
        else:
            members.append(part)
    if absent is not None and not members:
        raise absent
    return members


def prepare(home: Home, opener: Opener) -> tuple[str, str]:
    """Makes the new key and its empty journals beside the old ones, unless an earlier call did; returns the old and the
    new public key. Errors: KeyFileMissing, KeyFileError, HomeError, NativeError."""
    from rustorium import _native

    if not home.validator_key.is_file() and home.signer_key():
        raise HomeError(
            f"a signer process has the validator key of {home.path}: stop that too, bring its key file back as "
            f"{home.validator_key} and take the section [signer] out of {home.config}, run this again, and give the "
            "new file to the signer by `signer init`; a key in a token is replaced by removing the validator and "
            "admitting it anew (`committee remove`, `committee add`)",
            code="key-in-signer",
        )
    if not home.validator_key.is_file():
        raise KeyFileMissing(f"there is no key file {home.validator_key}: put the old one back, even if it is retired")
    passphrase = find_passphrase(home.validator_key, opener.passphrase_file, opener.environment)

    def public(path: Path) -> str:
        return _native.public_key(_native.open_key(str(path), "validator", passphrase)).hex()

    make_folder(home.rekey)
    new_file = home.rekey / "validator.key"
    if not new_file.exists():
        _native.seal_key(str(new_file), _native.generate_seed(), "validator", passphrase)
        sync_paths(home.rekey, home.path)
    for shard in home.shards():
        _make_journal(home, shard, opener)
    return public(home.validator_key), public(new_file)


def _make_journal(home: Home, shard: int, opener: Opener) -> None:
    """Makes an empty journal of a shard on disk. One of an earlier call may be incomplete, and nobody signed with it,
    so it is made again."""
    from rustorium import _native

    folder = home.rekey / _journal_name(shard)
    key = open_storage_key(home.storage_key, opener.passphrase_file, opener.environment)
    try:
        if folder.exists():
            shutil.rmtree(folder)
        # Opening a missing journal makes it.
        _native.read_journal(str(folder), _native.genesis_hash(home.genesis_bytes()), key)
        sync_paths(*folder.iterdir(), folder, home.rekey)
    except OSError as error:
        raise HomeError(f"{folder} can't be made ({error.strerror}): fix that, then run this again") from None


def _journal_name(shard: int) -> str:
    """Returns the name of a shard's journal beside the key that it is of."""
    return "safety" if shard == 0 else f"safety-{shard}"


def replacement(home: Home, keys: tuple[str, str], owner_key: str, opener: Opener, version: int) -> "Operation":
    """Returns the operation that replaces `keys` (old, new), with a proof of possession if the `version` of the chain's
    epoch requires one. Errors: HomeError, KeyFileError, NativeError."""
    from rustorium import _native

    genesis, node_seed = home.genesis_bytes(), opener.seed(home.node_key, "node")
    possession = None
    if version > 1:
        # The new key file has the old one's passphrase.
        passphrase = find_passphrase(home.validator_key, opener.passphrase_file, opener.environment)
        seed = _native.open_key(str(home.rekey / "validator.key"), "validator", passphrase)
        possession = operations.possession_of(seed, node_seed, _native.genesis_hash(genesis), owner_key)
    return operations.replace_key(*keys, _native.public_key(node_seed).hex(), possession)


def _ask(client: "Client", home: Home, keys: tuple[str, str], owner: Path, opener: Opener) -> None:
    """Asks the chain to replace `keys` (old, new), unless it has; the change is certified when this returns."""
    one = _named(client, keys)
    signer = owner_of(owner, one, opener)
    version = int(client.parameters()["version"])
    # From version 2 on, an owner is a sender of its own and needs no account.
    acting = owner_named(client.governance(), str(one["validator_key"])) if version > 1 else None
    address = signer.address if acting is None else str(acting["sender"])
    if one["validator_key"] == keys[0]:
        change = replacement(home, keys, signer.public_key, opener, version)
        try:
            if acting is None:
                client.send([change], key=signer, wait="final")
            else:
                send(client, acting, change, signer)
        except TransactionFailed:
            # The transaction of an earlier call may have been executed first.
            if _named(client, keys)["validator_key"] != keys[1]:
                raise
    deadline = time.monotonic() + PROOF_S
    while (found := _proven(client, address, keys)) is not True:
        if time.monotonic() > deadline:
            raise found
        time.sleep(POLL_S)


def _proven(client: "Client", owner: str, keys: tuple[str, str]) -> Literal[True] | RustoriumError:
    """Returns `True` if a proof shows that the owner replaced the key, otherwise the reason why it isn't proven yet.
    Errors: ClientError if a node proves something else."""
    why: RustoriumError = VerificationFailed(
        f"the nodes say that the chain names {keys[1]}, but none proves a transaction of its owner: "
        "ask others with --node, or have the operators explain it"
    )
    cursor: str | None = None
    for _ in range(PAGES_MAX):
        page = client.account_transactions(owner, before=cursor)
        for identity in page.transactions:
            try:
                shown = client.verify_proof(client.prove_transaction(identity))
            except NotReady as error:
                why = error
                continue
            if (
                shown.receipt is not None
                and shown.receipt.ok
                and _replaces(shown.facts.get("transaction"), owner, keys)
            ):
                return True
        cursor = page.next_cursor
        if cursor is None:
            break
    return why


def _replaces(transaction: object, owner: str, keys: tuple[str, str]) -> bool:
    if not isinstance(transaction, dict):
        return False
    wanted = {"type": "replace_key", "validator_key": keys[0], "new_validator_key": keys[1]}
    return transaction["sender"] == owner and any(
        wanted == {name: one.get(name) for name in wanted} for one in transaction["operations"]
    )


def _named(client: "Client", keys: tuple[str, str]) -> Mapping[str, Any]:
    """Returns the validator with one of these keys in the next committee. Errors: NotFound."""
    following = client.validators()["next"]
    for one in following:
        if one["validator_key"] in keys:
            return dict(one)
    names = ", ".join(str(one["name"]) for one in following)
    raise NotFound(
        f"the next committee, {names}, has no validator with this home's key {keys[0]}: it was removed or has another "
        "key, so have the operators add it with `node add`",
        code="no-such-validator",
    )


def owner_of(path: Path, validator: Mapping[str, Any], opener: Opener) -> "Key":
    """Opens the owner's account; its region is the validator's unless the key file names one. Errors: UsageError."""
    key = opened_owner(path, int(validator["region"]), opener.of_owner)
    if key.public_key != validator["owner_key"]:
        raise UsageError(
            f"{path} isn't the key of the owner of {validator['name']}, {validator['owner_key']}: "
            "name its file with --owner-key"
        )
    return key


def opened_owner(path: Path, region: int, opener: Opener) -> "Key":
    """Opens an owner's key file, or an account's that owns a validator. Errors: KeyFileError."""
    from rustorium.client import Key

    if path.is_file() and public_part(path)[0] == "owner":
        return Key(opener.seed(path, "owner"), region)
    return Key.open(path, opener.passphrase_file)


def install(home: Home) -> KeyReplacement:
    """Moves the old key and journals away and installs the new ones. Each step is on disk before the next, and skipped
    if an earlier call did it."""
    aside = home.rekey / "old"
    make_folder(aside)
    sync_paths(home.rekey)
    if not home.key_change_begun:
        _move(home.validator_key, aside / "validator.key")
    for shard in home.shards():
        made, journal = home.rekey / _journal_name(shard), home.safety_of(shard)
        if made.exists():
            # The old journal of shard 0 may have the mark that its key is retired.
            if journal.exists():
                _move(journal, aside / _journal_name(shard))
            _move(made, journal)
    if (home.rekey / "validator.key").exists():
        _move(home.rekey / "validator.key", home.validator_key)
    old, new = public_part(aside / "validator.key")[1], public_part(home.validator_key)[1]
    if _names(home.party, old):
        # A genesis is made of this file, and would have the old key.
        _move(home.party, aside / home.party.name)
    make_folder(home.retired)
    sync_paths(home.path)
    kept = home.retired / old
    _move(aside, kept)
    home.rekey.rmdir()
    sync_paths(home.path)
    return KeyReplacement(old, new, kept)


def _names(file: Path, key: str) -> bool:
    """Returns whether a file can be read and has the key's digits."""
    try:
        return key in file.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _move(source: Path, target: Path) -> None:
    try:
        source.rename(target)
        sync_paths(source.parent, target.parent)
    except OSError as error:
        raise HomeError(
            f"{source} can't become {target} ({error.strerror}): fix that, then run this again; "
            "the node doesn't start before"
        ) from None
