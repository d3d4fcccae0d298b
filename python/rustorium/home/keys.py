"""Opens the keys with which a home's node signs and encrypts.

Invariants: SYNC; the bytes of an opened key never enter Python.
"""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from rustorium.access.keyfiles import check_key_file, passphrase_of
from rustorium.access.passphrases import find_passphrase, tried
from rustorium.errors import KeyFileMissing

if TYPE_CHECKING:
    from rustorium._native import SigningKey, StorageKey


def open_signing_key(
    path: Path, kind: str, passphrase_file: Path | None, environment: Mapping[str, str]
) -> "SigningKey":
    """Opens a node's or validator's key. Errors: as `open_key_file`."""
    from rustorium import _native

    passphrase = passphrase_of(path, passphrase_file, environment)
    with tried(path, passphrase_file, environment):
        return _native.SigningKey.open(str(path), kind, passphrase)


def open_storage_key(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> "StorageKey":
    """Opens the key that encrypts a node's data on disk. Errors: as `open_key_file`."""
    from rustorium import _native

    if not path.is_file():
        raise KeyFileMissing(
            f"there is no key file {path}, without which nothing that this home stored opens: restore it from a backup"
        )
    check_key_file(path)
    passphrase = find_passphrase(path, passphrase_file, environment)
    with tried(path, passphrase_file, environment):
        return _native.StorageKey.open(str(path), passphrase)


def is_node_key(text: str) -> bool:
    """Returns whether text is a node key, not a validator's name."""
    return re.fullmatch("[0-9a-fA-F]{64}", text) is not None
