"""Finds the passphrase of a key file, and makes new ones.

Invariants: SYNC; a file that others may read is refused; a passphrase is never logged and appears in no error.
"""

import os
import secrets
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from rustorium.access.private import write_private
from rustorium.errors import KeyFileError

PASSPHRASE_VARIABLE = "RUSTORIUM_PASSPHRASE_FILE"
CREDENTIAL_NAME = "rustorium-passphrase"
PASSPHRASE_NEAR_KEY = "passphrase"
BEGUN = ".new"
"""Suffix of the new passphrase's file, while key files are being sealed with it."""
PASSPHRASE_BYTES_MAX = 4096


def find_passphrase(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Finds a passphrase in the given file, RUSTORIUM_PASSPHRASE_FILE, a systemd credential, a file `passphrase` beside
    the key or in the two folders above; otherwise prompts on a terminal. Errors: KeyFileError."""
    known = known_passphrase(key, passphrase_file, environment)
    return known if known is not None else _prompt(f"Passphrase of {key}: ", key)


def known_passphrase(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """Finds a passphrase without a prompt; `None` if no file has it. Errors: KeyFileError."""
    file = passphrase_file_of(key, passphrase_file, environment)
    return None if file is None else _kept_or_begun(file, key)


def passphrase_file_of(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """Returns the file that has a key's passphrase; `None` if there is no such file."""
    if passphrase_file is not None:
        return passphrase_file
    if named := environment.get(PASSPHRASE_VARIABLE):
        return Path(named)
    if credentials := environment.get("CREDENTIALS_DIRECTORY"):
        credential = Path(credentials) / CREDENTIAL_NAME
        if credential.is_file():
            return credential
    for folder in list(key.absolute().parents)[:3]:
        near = folder / PASSPHRASE_NEAR_KEY
        if near.is_file() or _opens(begun_file(near), key):
            return near
    return None


@contextmanager
def tried(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> Iterator[None]:
    """Says of a passphrase that doesn't open the key where it was read."""
    from rustorium import _native

    try:
        yield
    except _native.NativeError as error:
        if error.code == "wrong-passphrase":
            file = passphrase_file_of(key, passphrase_file, environment)
            origin = "as it was typed" if file is None else f"as {file} has it: name another by --passphrase-file"
            error.args = (f"{error.args[0]}, {origin}",)
        raise


def begun_file(passphrase_file: Path) -> Path:
    """Returns the file of the new passphrase, while the one in `passphrase_file` is being replaced."""
    return passphrase_file.with_name(passphrase_file.name + BEGUN)


def _kept_or_begun(file: Path, key: Path) -> bytes:
    """Reads the passphrase from the file itself, or from its successor if that one opens the key. While a passphrase is
    being replaced, each key file opens with one of the two."""
    begun = begun_file(file)
    return read_passphrase(begun if _opens(begun, key) else file)


def _opens(passphrase_file: Path, key: Path) -> bool:
    """Checks that the passphrase file exists and opens this key. Errors: KeyFileError."""
    from rustorium import _native

    if not passphrase_file.is_file() or not key.is_file():
        return False
    try:
        return _native.key_opens(str(key), read_passphrase(passphrase_file))
    except _native.NativeError:
        # The code that opens the key file reports what is wrong with it.
        return False


def read_passphrase(path: Path) -> bytes:
    """Returns a passphrase file's content without its line end. Errors: KeyFileError, also if others may read the
    file."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()[: PASSPHRASE_BYTES_MAX + 2]
    except OSError as error:
        raise KeyFileError(
            f"the passphrase file {path} can't be read ({error.strerror}): name another with --passphrase-file",
            code="passphrase-missing",
        ) from None
    # Windows has no modes: there a file has the access rights of its folder.
    if sys.platform != "win32" and mode & 0o077 and "CREDENTIALS_DIRECTORY" not in os.environ:
        raise KeyFileError(
            f"others may read the passphrase file {path}: run `chmod 600 {path}`", code="passphrase-exposed"
        )
    passphrase = content.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or len(passphrase) > PASSPHRASE_BYTES_MAX:
        raise KeyFileError(f"the passphrase file {path} is empty or over {PASSPHRASE_BYTES_MAX} bytes: correct it")
    return passphrase


def new_passphrase(passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Returns the passphrase to seal a new key with, from a named file or a prompt that asks twice. Errors:
    KeyFileError."""
    named = passphrase_file or (Path(environment[PASSPHRASE_VARIABLE]) if PASSPHRASE_VARIABLE in environment else None)
    if named is not None:
        return read_passphrase(named)
    first = _prompt("New passphrase: ", None)
    if _prompt("Again: ", None) != first:
        raise KeyFileError("the two passphrases differ: try again", code="passphrase-differs")
    if len(first) < 8:
        raise KeyFileError("the passphrase is shorter than 8 bytes: choose a longer one", code="passphrase-short")
    return first


def write_random_passphrase(path: Path) -> bytes:
    """Makes a passphrase file (0600) with 128 random bits, or keeps an existing one. Returns the passphrase."""
    return read_passphrase(path) if path.exists() else new_random_passphrase(path)


def new_random_passphrase(path: Path) -> bytes:
    """Makes a passphrase file (0600) with 128 random bits. Errors: HomeError, also if the file exists."""
    passphrase = secrets.token_hex(16)
    write_private(path, passphrase + "\n")
    return passphrase.encode()


def _prompt(text: str, key: Path | None) -> bytes:
    import getpass

    if not sys.stdin.isatty():
        what = f"{key} is sealed" if key is not None else "a new key needs a passphrase"
        raise KeyFileError(
            f"{what} and there is no terminal to ask on: name a file with --passphrase-file or {PASSPHRASE_VARIABLE}",
            code="passphrase-missing",
        )
    return getpass.getpass(text).encode()
