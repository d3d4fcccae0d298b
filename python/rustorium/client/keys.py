"""Account keys: made, sealed into files, opened.

Invariants: the seed never shows in a repr; a file's kind names the account's region, without which it has no address.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rustorium import _native
from rustorium.access.keyfiles import account_kind, open_key_file, public_part
from rustorium.access.private import make_folder
from rustorium.errors import KeyFileError, KeyFileMissing


class Key:
    """An account's Ed25519 key with its home region."""

    __slots__ = ("address", "public_key", "region", "seed")

    def __init__(self, seed: bytes, region: int = 0) -> None:
        if len(seed) != 32 or not 0 <= region <= 255:
            raise KeyFileError("a key has 32 bytes, and its region is 0 to 255: check where it comes from")
        public = _native.public_key(seed)
        self.seed, self.region = seed, region
        self.public_key = public.hex()
        self.address = _native.account_id(region, public)

    def __repr__(self) -> str:
        return f"Key({self.address})"

    @classmethod
    def generate(cls, region: int = 0) -> Self:
        """A new key from the system's randomness."""
        return cls(_native.generate_seed(), region)

    @classmethod
    def open(cls, path: str | Path, passphrase_file: str | Path | None = None) -> Self:
        """Opens a key file; finds the passphrase like the commands do. Errors: KeyFileError, NativeError."""
        file = Path(path)
        if not file.is_file():
            raise KeyFileMissing(f"there is no key file {file}: name an existing one")
        kind, _ = public_part(file)
        region = _region(file, kind)
        found = Path(passphrase_file) if passphrase_file is not None else None
        return cls(open_key_file(file, kind, found, os.environ), region)

    def save(self, path: str | Path, passphrase: bytes) -> None:
        """Seals it into a new file (0600). Errors: NativeError, also where the file exists."""
        file = Path(path).absolute()
        make_folder(file.parent)
        _native.seal_key(str(file), self.seed, account_kind(self.region), passphrase)


def describe(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> dict[str, object]:
    """A key file's kind, public key and, of an account, address. Errors: KeyFileError."""
    if not path.is_file():
        raise KeyFileMissing(f"there is no key file {path}: name an existing one")
    kind, public = public_part(path)
    if kind == "storage":
        return {"kind": kind, "public_key": ""}
    if not public:
        public = _native.public_key(open_key_file(path, kind, passphrase_file, environment)).hex()
    row: dict[str, object] = {"kind": kind.partition(":")[0], "public_key": public}
    if kind.startswith("account:"):
        region = _region(path, kind)
        row |= {"region": region, "address": _native.account_id(region, bytes.fromhex(public))}
    return row


def _region(path: Path, kind: str) -> int:
    name, _, region = kind.partition(":")
    if name != "account" or not region.isdigit() or int(region) > 255:
        raise KeyFileError(
            f"the key in {path} is no account's ({name}): name the key file of an account", code="key-wrong-kind"
        )
    return int(region)
