"""Replaces the passphrase of the key files in a folder, or of one file.

Invariants: SYNC; key files are replaced atomically, and each opens with the old or the new passphrase; the new one is
on disk before the first key file is sealed with it, and replaces the old one after the last; an interrupted call can be
repeated.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from rustorium import _native
from rustorium.access.passphrases import (
    CREDENTIAL_NAME,
    PASSPHRASE_NEAR_KEY,
    PASSPHRASE_VARIABLE,
    begun_file,
    find_passphrase,
    read_passphrase,
)
from rustorium.errors import HomeError, KeyFileError, KeyFileMissing, UsageError
from rustorium.home.format import replace_file, sync_paths

KEY_FILE_BYTES_MAX = 64 * 1024
PASSPHRASE_ORDERED = "passphrase replacement ordered"
"""The event in a home's audit log."""
DEPTH = 3
"""A passphrase file opens the keys beside it and those up to two folders below."""
Advance = Callable[[int, int], None]
Order = Callable[[int], None]
"""Records that this number of key files gets another passphrase, before the first one does."""


@dataclass(frozen=True, slots=True)
class Opener:
    """The sources of passphrases."""

    old: Path | None
    """File with the passphrase that opens the keys; `None`: it is found as the commands find it."""
    new: Path | None
    """File with the new passphrase; `None`: a random one is generated."""
    environment: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class PassphraseChange:
    """The result of a change."""

    files: tuple[Path, ...]
    """Key files that now open with the new passphrase."""
    kept_in: Path
    """The file with the new passphrase."""


def _unrecorded(_files: int) -> None:
    """Records nothing: only a home has a log."""


def rotate_folder(folder: Path, opener: Opener, advance: Advance, order: Order = _unrecorded) -> PassphraseChange:
    """Seals all key files of a folder, such as a home, with another passphrase. Errors: KeyFileMissing, KeyFileError,
    HomeError, UsageError, NativeError, those of `order`; after an error all files open with the old one, or the call
    can be repeated."""
    folder = folder.absolute()
    with _only_one(folder):
        files = key_files(folder)
        if not files:
            raise KeyFileMissing(f"there is no key file in {folder}: name a home, or a folder with key files")
        named, kept = _named(opener), folder / PASSPHRASE_NEAR_KEY
        places = (place / PASSPHRASE_NEAR_KEY for place in (folder, *list(folder.parents)[:2]))
        found = named or next((near for near in places if near.is_file()), None)
        if found is not None and found.absolute().is_relative_to(folder):
            kept = found
        elif named is not None or (found is None and not begun_file(kept).is_file()):
            return _rotate_named(files, opener, advance, order)
        return _rotate_kept(files, found, kept, opener, advance, order)


def _named(opener: Opener) -> Path | None:
    """Returns a passphrase file that an option, the environment or systemd names; `None` if there is none."""
    if opener.old is not None:
        return opener.old
    if named := opener.environment.get(PASSPHRASE_VARIABLE):
        return Path(named)
    credential = Path(opener.environment.get("CREDENTIALS_DIRECTORY", "/nowhere")) / CREDENTIAL_NAME
    return credential if credential.is_file() else None


def rotate_file(file: Path, opener: Opener, order: Order = _unrecorded) -> PassphraseChange:
    """Seals one key file with the passphrase in `opener.new`. Errors: as `rotate_folder`."""
    if not file.is_file():
        raise KeyFileMissing(f"there is no key file {file}: name an existing one")
    return _rotate_named([file], opener, lambda done, total: None, order)


def key_files(folder: Path) -> list[Path]:
    """Returns the key files that a folder's passphrase file opens, whatever their names."""
    found, folders = list[Path](), [(folder, 1)]
    while folders:
        place, depth = folders.pop()
        for entry in sorted(place.iterdir()):
            if entry.is_symlink():
                continue
            if entry.is_dir() and depth < DEPTH and not _has_passphrase(entry):
                folders.append((entry, depth + 1))
            elif entry.is_file() and _is_key_file(entry):
                found.append(entry)
    return sorted(found)


def _has_passphrase(folder: Path) -> bool:
    near = folder / PASSPHRASE_NEAR_KEY
    return near.is_file() or begun_file(near).is_file()


def _is_key_file(path: Path) -> bool:
    if path.name.startswith(".") or path.stat().st_size > KEY_FILE_BYTES_MAX:
        return False
    with path.open("rb") as file:
        if file.read(1) != b"{":
            return False
        file.seek(0)
        try:
            content = json.loads(file.read(KEY_FILE_BYTES_MAX))
        except (ValueError, RecursionError):
            return False
    return isinstance(content, dict) and {"kind", "kdf", "sealed"} <= content.keys()


def _rotate_kept(
    files: list[Path], found: Path | None, kept: Path, opener: Opener, advance: Advance, order: Order
) -> PassphraseChange:
    """Replaces a passphrase that is kept beside the keys; `kept` has the old one, or doesn't exist yet."""
    begun = begun_file(kept)
    if begun.is_file():
        if opener.new is not None and read_passphrase(opener.new) != read_passphrase(begun):
            raise UsageError(
                f"another change of passphrase was begun, and {begun} has the new passphrase: run this without "
                "--new-passphrase-file to finish it, and then run your command again"
            )
    else:
        drawn = read_passphrase(opener.new) if opener.new is not None else secrets.token_hex(16).encode()
        replace_file(begun, drawn + b"\n")
    new = read_passphrase(begun)
    old = read_passphrase(found) if found is not None else new
    # A generated passphrase has 128 random bits; stretching adds no security.
    is_drawn = opener.new is None and re.fullmatch(rb"[0-9a-f]{32}", new) is not None
    _reseal(files, old, new, advance, order, drawn=is_drawn)
    _put(begun, kept)
    return PassphraseChange(tuple(files), kept)


def _rotate_named(files: list[Path], opener: Opener, advance: Advance, order: Order) -> PassphraseChange:
    """Replaces a passphrase that the operator keeps elsewhere."""
    if opener.new is None:
        raise UsageError(
            "name the file with the new passphrase by --new-passphrase-file: it is not kept beside the keys"
        )
    new = read_passphrase(opener.new)
    left = [file for file in files if not _native.key_opens(str(file), new)]
    if left:
        _reseal(files, find_passphrase(left[0], opener.old, opener.environment), new, advance, order)
    return PassphraseChange(tuple(files), opener.new)


def _reseal(files: list[Path], old: bytes, new: bytes, advance: Advance, order: Order, *, drawn: bool = False) -> None:
    # All files are checked before the first one changes, because a file that neither passphrase opens would leave the
    # others under two passphrases.
    for file in files:
        if not (_native.key_opens(str(file), old) or _native.key_opens(str(file), new)):
            raise KeyFileError(
                f"{file} has another passphrase: change it by itself with --key {file}, or move it away; nothing "
                "was changed",
                code="wrong-passphrase",
            )
    order(len(files))
    for number, file in enumerate(files):
        advance(number, len(files))
        _native.reseal_key(str(file), old, new, drawn)
    advance(len(files), len(files))


def _put(begun: Path, kept: Path) -> None:
    """Replaces the file of the old passphrase by that of the new one, and overwrites the old content. Errors:
    HomeError."""
    try:
        with kept.open("r+b") if kept.exists() else nullcontext() as replaced:
            begun.rename(kept)
            sync_paths(kept.parent)
            if replaced is not None and os.fstat(replaced.fileno()).st_nlink == 0:
                os.pwrite(replaced.fileno(), bytes(os.fstat(replaced.fileno()).st_size), 0)
                os.fsync(replaced.fileno())
    except OSError as error:
        raise HomeError(
            f"{begun} can't take the place of {kept} ({error.strerror}): fix that, then run this again"
        ) from None


@contextmanager
def _only_one(folder: Path) -> Iterator[None]:
    """Locks the folder against other passphrase changes. Errors: HomeError, KeyFileMissing."""
    if not folder.is_dir():
        raise KeyFileMissing(f"there is no folder {folder}: name a home, or a folder with key files")
    handle = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise HomeError(
                f"another process changes the passphrase of {folder}: wait for its end", code="rotation-running"
            ) from None
        yield
    finally:
        os.close(handle)
