"""Account keys: they are made, sealed into files, opened, or used in a signer process.

Invariants: a repr never contains the seed; a file's kind names the account's region, which its address needs.
"""

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Self

from rustorium import _native, arguments
from rustorium.access.keyfiles import account_kind, open_key_file, public_part
from rustorium.access.private import make_folder
from rustorium.custody import Authority
from rustorium.errors import KeyFileError, KeyFileMissing, UsageError

WORK_MAX = 2**64 - 1
"""Stands for a work limit that suffices whatever the transaction reads."""


class Key:
    """An account's Ed25519 key with its home region."""

    __slots__ = ("_seed", "_socket", "address", "public_key", "region")

    def __init__(self, seed: bytes, region: int = 0) -> None:
        seed, region = arguments.content(seed, "seed"), arguments.whole(region, "region")
        if len(seed) != 32 or not 0 <= region <= 255:
            raise KeyFileError("a key has 32 bytes, and its region is 0 to 255: check where it comes from")
        public = _native.public_key(seed)
        self._seed: bytes | None = seed
        self._socket, self.region = "", region
        self.public_key = public.hex()
        self.address = _native.account_id(region, public)

    def __repr__(self) -> str:
        return f"Key({self.address})"

    @property
    def seed(self) -> bytes:
        """The secret seed. Errors: KeyFileError if a signer process has it."""
        if self._seed is None:
            raise KeyFileError(
                "the key is in a signer process, which signs transactions alone: name a key file here",
                code="key-remote",
            )
        return self._seed

    @property
    def is_remote(self) -> bool:
        """`True` if a signer process has the secret."""
        return self._seed is None

    @classmethod
    def remote(cls, url: str) -> Self:
        """Returns a signer process's key, given as `unix:SOCKET?key=PUBLIC_KEY&region=0`. Errors: KeyFileError."""
        arguments.text(url, "url")
        parts = re.fullmatch(
            r"unix:(?P<socket>[^?]+)\?key=(?P<key>[0-9a-fA-F]{64})(&region=(?P<region>[0-9]{1,3}))?", url
        )
        region = int(parts["region"] or 0) if parts is not None else 256
        if parts is None or region > 255:
            raise KeyFileError(
                f"{url} names no key of a signer: write unix:/path/to/signer.sock?key=PUBLIC_KEY&region=0",
                code="key-invalid",
            )
        key = cls.__new__(cls)
        key._seed, key._socket, key.region = None, parts["socket"], region
        key.public_key = parts["key"].lower()
        key.address = _native.account_id(region, bytes.fromhex(key.public_key))
        return key

    def build_transaction(
        self,
        chain: str,
        nonce: int,
        expires_at_ms: int,
        operations_json: str,
        *,
        largest: bool = False,
        version: int | None = None,
        second: bool = False,
    ) -> tuple[str, bytes]:
        """Signs a transaction; returns its id and bytes.

        `largest`: it declares work for values of the largest size, instead of 4 KiB, that it may read. `version`: the
        protocol version whose prices it declares; those of all versions if it is unknown. `second`: it has the form of
        protocol version 2, unless version 2 has no such operation.

        Errors: ValueError if a part is invalid, NativeError of a signer process."""
        parts = (chain, self.region, nonce, expires_at_ms, WORK_MAX if largest else None)
        if self._seed is None:
            key = bytes.fromhex(self.public_key)
            return _native.signer_transaction(self._socket, key, *parts, operations_json, version, second)
        return _native.build_transaction(self._seed, *parts, operations_json, None, version, second)

    def signature_of(self, unsigned: "_native.UnsignedTransaction") -> bytes:
        """Signs the body of a transaction of protocol version 2. Errors: ValueError if its authority doesn't name the
        key, NativeError of a signer process."""
        if self._seed is None:
            return _native.signer_signature(self._socket, bytes.fromhex(self.public_key), unsigned)
        return unsigned.sign(self._seed)

    @classmethod
    def generate(cls, region: int = 0) -> Self:
        """Makes a new key from the system's randomness."""
        return cls(_native.generate_seed(), region)

    @classmethod
    def open(cls, path: str | Path, passphrase_file: str | Path | None = None) -> Self:
        """Opens a key file, or a signer's key by its URL (`remote`). The passphrase is found as the commands find it.
        Errors: KeyFileError."""
        file = arguments.path(path, "path")
        if str(path).startswith("unix:"):
            return cls.remote(str(path))
        if not file.is_file():
            raise KeyFileMissing(f"there is no key file {file}: name an existing one")
        kind, _ = public_part(file)
        region = _region(file, kind)
        found = arguments.path(passphrase_file, "passphrase_file") if passphrase_file is not None else None
        return cls(open_key_file(file, kind, found, os.environ), region)

    def save(self, path: str | Path, passphrase: bytes) -> None:
        """Seals the key into a new file (0600). Errors: KeyFileError, also if the file exists."""
        file = arguments.path(path, "path").absolute()
        passphrase = arguments.content(passphrase, "passphrase")
        make_folder(file.parent)
        try:
            _native.seal_key(str(file), self.seed, account_kind(self.region), passphrase)
        except _native.NativeError as error:
            raise KeyFileError(str(error), code=error.code) from None


def describe(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> dict[str, object]:
    """Returns a key file's kind and public key, and an account's address. Errors: KeyFileError."""
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


def account_of(authority: Authority, region: int = 0) -> str:
    """Returns the address of the account that an authority opens in a home region. Errors: UsageError if it is none."""
    try:
        address, _ = _native.authority_names(region, authority.threshold, list(authority.keys))
    except (ValueError, TypeError, OverflowError) as error:
        raise UsageError(f"{authority} is no authority: {error}") from None
    return address
