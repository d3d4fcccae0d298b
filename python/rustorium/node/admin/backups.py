"""Backups of a home: made while its node runs or not, listed, checked, thinned out and restored.

Invariants: SYNC; one process at a time makes or removes backups of a home. A copy of the store is removed however the
backup ends. Every creation, removal and restore is in the audit log. A restored home is put in place last.
"""

import fcntl
import json
import os
import shutil
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.access.passphrases import find_passphrase, known_passphrase
from rustorium.access.private import make_folder, read_text, write_private
from rustorium.errors import HomeError, KeyFileMissing, NodeError, NotReady, UsageError, VerificationFailed
from rustorium.home.format import look, refuse_newer
from rustorium.home.keys import open_signing_key, open_storage_key
from rustorium.home.noting import note_by_operator
from rustorium.home.paths import Home
from rustorium.node.admin import backup_memory as backupmemory
from rustorium.node.admin.remote import NO_NODE
from rustorium.node.admin.socket import call

KEY_NAME = "backup.key"
POLL_S = 0.05
LOCK_S = 1.0
"""Maximum wait for another process' lock."""
Advance = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Place:
    """The place of backups, and how to reach it."""

    destination: str
    endpoint: str | None = None
    region: str | None = None
    allow_http: bool = False


@dataclass(frozen=True, slots=True)
class Opener:
    """The passphrase source for key files."""

    passphrase_file: Path | None
    environment: Mapping[str, str]

    def of_home(self, home: Home) -> "Opener":
        """Returns the same with the passphrase file that the home's configuration names, unless one was already
        named."""
        named = home.load_config().config.keys.passphrase_file
        if self.passphrase_file is not None or not named:
            return self
        return replace(self, passphrase_file=home.path / named)

    def backups(self, place: Place, key: Path, *, make: bool = False) -> _native.Backups:
        """Opens the backups of a place. Errors: KeyFileMissing, KeyFileError, NativeError."""
        passphrase = find_passphrase(existing(key), self.passphrase_file, self.environment)
        before = key.with_name(key.name + ".old")
        older = None
        if before.is_file():
            older = (str(before), find_passphrase(before, self.passphrase_file, self.environment))
        return _native.Backups(
            place.destination,
            str(key),
            passphrase,
            older=older,
            endpoint=place.endpoint,
            region=place.region,
            allow_http=place.allow_http,
            make=make,
        )


def key_of(home: Home | None, named: Path | None) -> Path:
    """Returns the backup key's file. Errors: UsageError."""
    if named is not None:
        return named.expanduser().absolute()
    if home is None:
        raise UsageError("name the key that the backups were made with by --key, or its home by --home")
    return home.path / KEY_NAME


def existing(key: Path) -> Path:
    """Returns a backup key's file. Errors: KeyFileMissing."""
    if not key.is_file():
        raise KeyFileMissing(
            f"there is no backup key {key}, without which no backup opens: name the one that they were made with by "
            f"--key; without --key it is {KEY_NAME} of the home, which the first backup makes"
        )
    return key


def make_key(key: Path, home: Home, opener: Opener) -> bool:
    """Makes a missing key, sealed with the passphrase of the home's keys. Returns `True` if it was made."""
    if key.exists():
        return False
    _native.new_backup_key(str(key), find_passphrase(home.node_key, opener.passphrase_file, opener.environment))
    return True


def run(backups: _native.Backups, work: Callable[[], str], advance: Advance) -> Any:
    """Does the work in a thread and reports progress; an interrupt stops it. Returns the decoded result."""
    done: list[str] = []
    failed: list[BaseException] = []

    def main() -> None:
        try:
            done.append(work())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=main, name="backup")
    thread.start()
    try:
        while thread.is_alive():
            progress = json.loads(backups.progress())
            if progress["total"]:
                advance(progress["done"], progress["total"])
            thread.join(POLL_S)
    except BaseException:
        backups.stop()
        raise
    finally:
        thread.join()
    if failed:
        raise failed[0]
    return json.loads(done[0])


def create(
    home: Home, place: Place, key: Path, opener: Opener, advance: Advance, keep: int | None = None
) -> dict[str, object]:
    """Makes a backup; with `keep`, then removes all but the newest so many. The result's `missed` is this home's newest
    backup at the destination, if neither that one nor a newer one exists there any more.

    Errors: HomeError, KeyFileError, NodeError, NativeError."""
    with only_one(home):
        backups = opener.backups(place, key, make=True)
        before = _missed(home, place, backups)
        node_key = open_signing_key(home.node_key, "node", opener.passphrase_file, opener.environment).public
        chain = _native.genesis_hash(home.genesis_bytes())
        config = home.load_config().config
        copies = {shard: home.copy_of(shard) for shard in home.shards() if shard == 0 or home.db_of(shard).is_dir()}
        for copied in copies.values():
            _remove(copied)
        try:
            stores = _copy_stores(home, copies, chain, opener)
            # After the copy: if the key is replaced meanwhile, this opens what either key sealed.
            storage = open_storage_key(home.storage_key, opener.passphrase_file, opener.environment)
            validator = config.node.role == "validator"
            made: dict[str, object] = run(
                backups,
                lambda: backups.create(home.path, stores, config.node.name, node_key, validator, chain, storage),
                advance,
            )
        finally:
            for copied in copies.values():
                _remove(copied)
        _audit(home, opener, "backup", {"act": "create", "destination": place.destination, **made})
        backupmemory.remember(home.backups, place.destination, made)
        if before is not None:
            made["missed"] = asdict(before)
            _audit(home, opener, "backup", {"act": "missed", "destination": place.destination, **asdict(before)})
        if keep is not None:
            made |= _retain(home, backups, place, opener, advance, keep)
        return made


def retain(home: Home, place: Place, key: Path, opener: Opener, advance: Advance, keep: int) -> dict[str, object]:
    """Removes all but the newest backups, and objects that no backup needs. Errors: as `create`."""
    with only_one(home):
        return _retain(home, opener.backups(place, key), place, opener, advance, keep)


def _retain(
    home: Home, backups: _native.Backups, place: Place, opener: Opener, advance: Advance, keep: int
) -> dict[str, object]:
    gone: dict[str, object] = run(backups, lambda: backups.retain(keep), advance)
    if gone["removed"]:
        _audit(home, opener, "backup", {"act": "remove", "destination": place.destination, **gone})
    return gone


def _missed(home: Home, place: Place, backups: _native.Backups) -> backupmemory.Newest | None:
    """Returns the newest backup that this home made there, if it is gone. Errors: HomeError, NativeError."""
    newest = backupmemory.load(home.backups).get(place.destination)
    if newest is None:
        return None
    try:
        rows = json.loads(backups.list())
    except _native.NativeError as error:
        if error.code != "not-found":
            raise
        rows = []
    return newest if backupmemory.missed(rows, newest) else None


def listed(
    home: Home | None, place: Place, key: Path, opener: Opener, at_least: int | None = None
) -> tuple[list[dict[str, Any]], VerificationFailed | None]:
    """Returns all backups, and the error for a destination that is older than the home or the operator knows.

    Errors: HomeError, KeyFileError, NativeError, VerificationFailed if the destination is empty but should not be."""
    newest = backupmemory.load(home.backups).get(place.destination) if home is not None else None
    try:
        rows: list[dict[str, Any]] = json.loads(opener.backups(place, key).list())
    except _native.NativeError as error:
        if error.code == "not-found" and newest is not None:
            raise backupmemory.rolled_back(place.destination, newest) from None
        raise
    try:
        backupmemory.check(place.destination, rows, newest, at_least)
    except VerificationFailed as error:
        return rows, error
    return rows, None


def verify(
    home: Home | None, place: Place, key: Path, opener: Opener, advance: Advance, at_least: int | None = None
) -> tuple[dict[str, Any], VerificationFailed | None]:
    """Reads everything there; returns the result, and the error for it if something is wrong.

    Errors: KeyFileError, HomeError, NativeError, VerificationFailed if the destination is empty but should not be."""
    _, older = listed(home, place, key, opener, at_least)
    backups = opener.backups(place, key)
    found: dict[str, Any] = run(backups, backups.verify, advance)
    return found, damage(place, found) if found["damaged"] else older


def damage(place: Place, found: Mapping[str, Any]) -> VerificationFailed:
    """Returns the error for damage that `verify` found."""
    first = found["damaged"][0]
    more = len(found["damaged"]) - 1
    others = f" and {more} other object{'s' if more > 1 else ''}" if more else ""
    return VerificationFailed(
        f"{first['object']} in {place.destination} is damaged ({first['what']}){others}: don't rely on the backups "
        "that need it, and make another one",
        code="backup-damaged",
    )


def restore(
    home: Home,
    place: Place,
    key: Path,
    opener: Opener,
    advance: Advance,
    height: int | None = None,
    backup: str | None = None,
    at_least: int | None = None,
    keys_passphrase_file: Path | None = None,
) -> dict[str, object]:
    """Restores a home that doesn't exist yet, from a destination with a backup that reaches `at_least`.
    `keys_passphrase_file`: passphrase of the keys in the backup, if it differs from the backup key's.

    The home gets the backup key, so that its next backup can go to the same place.

    Errors: KeyFileError, NativeError, VerificationFailed; after an error there is still no home."""
    if at_least is not None:
        _, older = listed(None, place, key, opener, at_least)
        if older is not None:
            raise older
    backups, of_key = opener.backups(place, key), opener
    if keys_passphrase_file is not None:
        opener = replace(opener, passphrase_file=keys_passphrase_file)
    fetched: list[_native.Restoring] = []

    def fetch() -> str:
        fetched.append(backups.fetch(home.path, height, backup))
        return "null"

    run(backups, fetch, advance)
    [restoring] = fetched
    staged = Home(restoring.folder())
    # The rest of a newer release's home may be as unknown here as its format.
    refuse_newer(staged.path)
    storage = open_storage_key(staged.storage_key, opener.passphrase_file, opener.environment)
    chain = _native.genesis_hash(staged.genesis_bytes())
    restored: dict[str, object] = run(backups, lambda: restoring.prove(chain, storage), advance)
    _keep_key(key, of_key, staged, opener)
    _audit(staged, opener, "restored", {"destination": place.destination, **restored})
    restoring.settle()
    return {"home": str(home.path), "home_format": look(home.path).format, **restored}


def _keep_key(key: Path, of_key: Opener, home: Home, of_home: Opener) -> None:
    """Copies the backup key into a home, sealed with the passphrase of the home's keys where that is known."""
    kept = home.path / KEY_NAME
    write_private(kept, read_text(key))
    old = known_passphrase(key, of_key.passphrase_file, of_key.environment)
    new = known_passphrase(home.node_key, of_home.passphrase_file, of_home.environment)
    if old is not None and new is not None and old != new:
        _native.reseal_key(str(kept), old, new)


@contextmanager
def only_one(home: Home) -> Iterator[None]:
    """Keeps others from making and removing backups of the home. Errors: HomeError, HomeMissing."""
    home.load_config()
    make_folder(home.path / "run")
    path = home.path / "run" / "backup.lock"
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        if not _locked(handle):
            raise HomeError(
                f"another process makes or removes backups of {home.path}: wait for its end, then run this again",
                code="backup-running",
            )
        yield
    finally:
        os.close(handle)


def _locked(handle: int) -> bool:
    """Takes the lock for this process; returns `False` if that fails. The node holds it briefly when it destroys a
    replaced storage key."""
    deadline = time.monotonic() + LOCK_S
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        else:
            return True


def _copy_stores(home: Home, copies: Mapping[int, Path], chain: str, opener: Opener) -> dict[int, Path]:
    """Copies the shards' stores, through the node if it runs. Returns the copies, without those of shards that the node
    doesn't host any more. Errors: NodeError, NativeError, KeyFileError."""
    made: dict[int, Path] = {}
    storage: _native.StorageKey | None = None
    for shard, to in copies.items():
        try:
            by_node = _node_does(home, "copy_store", shard=shard)
        except NodeError as error:
            if shard and error.code == "not-hosted":
                continue
            raise
        if by_node:
            _await_copy(home, shard)
        else:
            if storage is None:
                storage = open_storage_key(home.storage_key, opener.passphrase_file, opener.environment)
            _native.copy_store(str(home.db_of(shard)), str(to), chain, storage)
        made[shard] = to
    return made


def _await_copy(home: Home, shard: int) -> None:
    while (status := call(home.admin_socket, "copying", shard=shard))["running"]:
        time.sleep(POLL_S)
    if status["failed"] is not None:
        raise NodeError(f"the node can't copy its store: {status['failed']}", code="copy-failed")


def _audit(home: Home, opener: Opener, event: str, fields: Mapping[str, object]) -> None:
    """Writes to the node's audit log, through the node if it runs. Errors: NativeError, KeyFileError, NodeError."""
    if not _node_does(home, "note_backup", fields={"by": "operator", **fields}):
        note_by_operator(home, event, fields, opener.passphrase_file, opener.environment)


def _node_does(home: Home, command: str, **arguments: Any) -> bool:
    """Asks the home's node to do this; returns `False` if no node runs. Errors: NodeError."""
    try:
        call(home.admin_socket, command, **arguments)
    except NotReady as error:
        if error.code != NO_NODE:
            raise
        return False
    return True


def _remove(folder: Path) -> None:
    try:
        if folder.exists():
            shutil.rmtree(folder)
    except OSError as error:
        raise HomeError(f"{folder} can't be removed ({error.strerror}): remove it, then run this again") from None
