"""Sealed key files: their content, and the seed that each opens to.

Invariants: SYNC; a file of a newer release is refused by name; the extension reports every other fault.
"""

import json
from collections.abc import Mapping
from pathlib import Path

from rustorium import __version__
from rustorium.access.passphrases import find_passphrase, tried
from rustorium.access.private import read_text
from rustorium.errors import HomeError, KeyFileError, KeyFileMissing

KEY_FILE = 1
"""Version of key files."""
BYTES_MAX = 1 << 20


def account_kind(region: int) -> str:
    """Returns the kind of an account's key file. It names the home region, without which a key has no address."""
    return f"account:{region}"


def open_key_file(path: Path, kind: str, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Returns the secret seed in a key file. Errors: KeyFileError (missing, wrong passphrase, corrupt)."""
    from rustorium import _native

    passphrase = passphrase_of(path, passphrase_file, environment)
    try:
        with tried(path, passphrase_file, environment):
            return _native.open_key(str(path), kind, passphrase)
    except _native.NativeError as error:
        raise KeyFileError(str(error.args[0]), code=error.code) from None


def passphrase_of(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """Returns the passphrase of a key file, which must exist and be of a known version. Errors: KeyFileError,
    HomeError."""
    if not path.is_file():
        raise KeyFileMissing(
            f"there is no key file {path}: name an existing one, or make one with `rustorium keys new {path}`",
        )
    check_key_file(path)
    return find_passphrase(path, passphrase_file, environment)


def public_part(path: Path) -> tuple[str, str]:
    """Returns (kind, public key in hex) of a sealed key file without opening it. The key is empty if the file hides
    it."""
    try:
        content = json.loads(read_text(path))
        return str(content["kind"]), str(content.get("public") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyFileError(f"{path} is not a Rustorium key file: name another", code="key-invalid") from None


def check_key_file(path: Path) -> None:
    """Refuses a key file of a newer release. Other faults are reported by the code that opens it. Errors: HomeError."""
    version = key_version(path)
    if version is not None and version > KEY_FILE:
        raise newer(path, version, KEY_FILE)


def newer(path: Path, found: int, known: int, release: str | None = None) -> HomeError:
    """Returns the error that refuses a file of a newer release."""
    which = f"release {release}, which wrote it," if release else "the release that wrote it"
    return HomeError(
        f"{path} has format {found}, and this release ({__version__}) knows formats up to {known}: install {which} or "
        "a newer one, or restore a backup from before; nothing was changed",
        code="home-newer",
    )


def key_version(path: Path) -> int | None:
    """Returns the version that a key file names; `None` if no version can be read."""
    try:
        with path.open("rb") as file:
            version = json.loads(file.read(BYTES_MAX))["version"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    return version if type(version) is int and version > 0 else None
