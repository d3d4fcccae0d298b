"""A node's home folder on disk: where its files are, how one is made, and how keys and passphrases are found.

Invariants: a home is never overwritten; folders are 0700 and key and passphrase files 0600; a secret is never logged.
"""

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from rustorium.config import Config, HomeSection, Loaded, load, render
from rustorium.errors import HomeError, HomeMissing, KeyFileError, KeyFileMissing
from rustorium.home import format as homeformat

if TYPE_CHECKING:
    from rustorium._native import SigningKey, StorageKey

PASSPHRASE_VARIABLE = "RUSTORIUM_PASSPHRASE_FILE"
CREDENTIAL_NAME = "rustorium-passphrase"
PASSPHRASE_NEAR_KEY = "passphrase"
BEGUN = ".new"
"""Behind a passphrase file's name: the one that takes its place, while key files are sealed with it."""
PASSPHRASE_BYTES_MAX = 4096
SEEDS_MAX = 16
"""Nodes outside the genesis that a node dials; the transport takes no more."""


@dataclass(frozen=True, slots=True)
class Home:
    """Paths below one home. Nothing need exist."""

    path: Path

    @property
    def config(self) -> Path:
        return self.path / "config.toml"

    @property
    def genesis(self) -> Path:
        return self.path / "genesis.json"

    @property
    def node_key(self) -> Path:
        return self.path / "node.key"

    @property
    def validator_key(self) -> Path:
        return self.path / "validator.key"

    @property
    def storage_key(self) -> Path:
        return self.path / "storage.key"

    @property
    def storage_key_before(self) -> Path:
        """The storage key before, while what it sealed is sealed anew."""
        return self.path / "storage.key.old"

    @property
    def db(self) -> Path:
        """The store, which peers can fill anew."""
        return self.path / "db"

    @property
    def quarantine(self) -> Path:
        """Stores that were moved aside."""
        return self.path / "quarantine"

    @property
    def recovery(self) -> Path:
        """What `recover auto` did and is at."""
        return self.path / "run" / "recovery.json"

    @property
    def ended(self) -> Path:
        """What the node ended with, where that was a failure."""
        return self.path / "run" / "ended.json"

    @property
    def lock(self) -> Path:
        """Locked by the process that has the home."""
        return self.path / "run" / "node.lock"

    @property
    def prune(self) -> Path:
        """Where it is there, the next start keeps `recovery.keep_when_low` heights."""
        return self.path / "run" / "prune"

    @property
    def pace(self) -> Path:
        """How slow the network was within the last hour."""
        return self.path / "run" / "pace.json"

    @property
    def safety(self) -> Path:
        """The safety journal's folder, which is of the validator key."""
        return self.path / "safety"

    @property
    def rekey(self) -> Path:
        """What will replace validator key and journal, while they are being replaced."""
        return self.path / "rekey"

    @property
    def key_change_begun(self) -> bool:
        """Whether the old validator key has been moved away for good."""
        return (self.rekey / "old" / "validator.key").exists()

    @property
    def restart(self) -> Path:
        """Says that the validator's owner has signed its epoch's end (R33), of which the store doesn't know yet."""
        return self.path / "restart.json"

    @property
    def admin_socket(self) -> Path:
        return self.path / "run" / "admin.sock"

    @property
    def tokens(self) -> Path:
        """Hashes of the tokens that its node takes."""
        return self.path / "tokens.json"

    @property
    def followers(self) -> Path:
        """Node keys that may follow besides those of `config.toml`."""
        return self.path / "followers.json"

    @property
    def backups(self) -> Path:
        """The newest backup that was made at each destination."""
        return self.path / "backups.json"

    @property
    def input_log(self) -> Path:
        return self.path / "log" / "inputs"

    def load_config(
        self, environment: Mapping[str, str] | None = None, flags: Mapping[str, object] | None = None
    ) -> Loaded:
        """Reads `config.toml`. Errors: HomeMissing, HomeError where a newer release wrote the home, ConfigError."""
        # What a newer release writes there may well be unknown here, and no reason to name the nearest known key.
        homeformat.refuse_newer(self.path)
        return load(_read_text(self.config), environment, flags, source=str(self.config))

    def genesis_bytes(self) -> bytes:
        """The genesis' canonical bytes. Errors: HomeMissing, HomeError."""
        return read_genesis(self.genesis)

    def create(self, config: Config, genesis_json: str | None) -> None:
        """Makes folders, `config.toml`, `format.json` and, where given, `genesis.json`. Errors: HomeError where
        something is there, or the genesis is none."""
        from rustorium import _native

        if self.path.exists() and any(self.path.iterdir()):
            raise HomeError(
                f"{self.path} is not empty: choose another --home, or remove it if nothing in it is needed",
                code="home-exists",
            )
        make_folder(self.path)
        for name in ("safety", "db", "audit", "log", "run"):
            make_folder(self.path / name)
        write_private(self.config, render(replace(config, home=HomeSection(homeformat.FORMAT))))
        if genesis_json is not None:
            write_private(self.genesis, genesis_json)
        chain = _native.genesis_hash(self.genesis_bytes()) if genesis_json is not None else None
        homeformat.record(self.path, chain)


def default_home(environment: Mapping[str, str]) -> Path | None:
    """RUSTORIUM_HOME, or the only folder under `~/.rustorium`."""
    if home := environment.get("RUSTORIUM_HOME"):
        return Path(home)
    root = Path.home() / ".rustorium"
    homes = [entry for entry in root.iterdir() if (entry / "config.toml").exists()] if root.is_dir() else []
    return homes[0] if len(homes) == 1 else None


def proving_key_place(verifying_key_hash: str) -> Path:
    """Where wallets look for the proving key of a pool whose verifying key has this BLAKE3 hash (hex)."""
    root = Path(os.environ.get("RUSTORIUM_HOME") or Path.home() / ".rustorium")
    return root / "proving-keys" / f"{verifying_key_hash}.key"


def read_genesis(path: Path) -> bytes:
    """Canonical bytes of a genesis file (JSON). Errors: HomeMissing, HomeError with what is wrong in it."""
    from rustorium import _native

    try:
        return _native.genesis_encode(_read_text(path))
    except ValueError as error:
        raise HomeError(f"{path} is not a genesis: {error}", code="genesis-invalid") from None


def open_key_file(path: Path, kind: str, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """The secret seed in a key file. Errors: KeyFileError (missing, wrong passphrase, corrupt), NativeError."""
    from rustorium import _native

    return _native.open_key(str(path), kind, _passphrase_of(path, passphrase_file, environment))


def open_signing_key(
    path: Path, kind: str, passphrase_file: Path | None, environment: Mapping[str, str]
) -> "SigningKey":
    """An opened key of a node or a validator; its bytes never enter Python. Errors: as `open_key_file`."""
    from rustorium import _native

    return _native.SigningKey.open(str(path), kind, _passphrase_of(path, passphrase_file, environment))


def _passphrase_of(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    if not path.is_file():
        raise KeyFileMissing(
            f"there is no key file {path}: name an existing one, or make one with `rustorium keys new {path}`",
        )
    homeformat.check_key_file(path)
    return find_passphrase(path, passphrase_file, environment)


def open_storage_key(path: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> "StorageKey":
    """The opened key of what a node keeps on disk; its bytes never enter Python. Errors: as `open_key_file`."""
    from rustorium import _native

    if not path.is_file():
        raise KeyFileMissing(
            f"there is no key file {path}, without which nothing that this home stored opens: restore it from a backup"
        )
    homeformat.check_key_file(path)
    return _native.StorageKey.open(str(path), find_passphrase(path, passphrase_file, environment))


def public_part(path: Path) -> tuple[str, str]:
    """(kind, public key in hex) of a sealed key file, without opening it; the key is empty where the file hides it."""
    try:
        content = json.loads(_read_text(path))
        return str(content["kind"]), str(content.get("public") or "")
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
        raise KeyFileError(f"{path} is not a Rustorium key file: name another", code="key-invalid") from None


def is_node_key(text: str) -> bool:
    """Whether this names a node by its key rather than a validator by its name."""
    return re.fullmatch("[0-9a-fA-F]{64}", text) is not None


def find_passphrase(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """From the given file, RUSTORIUM_PASSPHRASE_FILE, a systemd credential, a file `passphrase` beside the key or in
    the two folders above, or a prompt on a terminal. Errors: KeyFileError."""
    known = known_passphrase(key, passphrase_file, environment)
    return known if known is not None else _prompt(f"Passphrase of {key}: ", key)


def known_passphrase(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes | None:
    """The same without asking anybody; None where nothing has it. Errors: KeyFileError."""
    file = passphrase_file_of(key, passphrase_file, environment)
    return None if file is None else _kept_or_begun(file, key)


def passphrase_file_of(key: Path, passphrase_file: Path | None, environment: Mapping[str, str]) -> Path | None:
    """The file that has a key's passphrase; None where nothing has."""
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


def begun_file(passphrase_file: Path) -> Path:
    """Where the passphrase is that takes the place of the one in a file."""
    return passphrase_file.with_name(passphrase_file.name + BEGUN)


def _kept_or_begun(file: Path, key: Path) -> bytes:
    """While a passphrase is being replaced, each key file opens with one of the two."""
    begun = begun_file(file)
    return read_passphrase(begun if _opens(begun, key) else file)


def _opens(passphrase_file: Path, key: Path) -> bool:
    """Whether there is such a file, and it opens this key. Errors: KeyFileError."""
    from rustorium import _native

    if not passphrase_file.is_file() or not key.is_file():
        return False
    try:
        return _native.key_opens(str(key), read_passphrase(passphrase_file))
    except _native.NativeError:
        # What is wrong with the key file is for who opens it to say.
        return False


def read_passphrase(path: Path) -> bytes:
    """A passphrase file's content without its line end. Errors: KeyFileError, also where others may read it."""
    try:
        mode = path.stat().st_mode
        content = path.read_bytes()[: PASSPHRASE_BYTES_MAX + 2]
    except OSError as error:
        raise KeyFileError(
            f"the passphrase file {path} can't be read ({error.strerror}): name another with --passphrase-file",
            code="passphrase-missing",
        ) from None
    if mode & 0o077 and "CREDENTIALS_DIRECTORY" not in os.environ:
        raise KeyFileError(
            f"others may read the passphrase file {path}: run `chmod 600 {path}`", code="passphrase-exposed"
        )
    passphrase = content.removesuffix(b"\n").removesuffix(b"\r")
    if not passphrase or len(passphrase) > PASSPHRASE_BYTES_MAX:
        raise KeyFileError(f"the passphrase file {path} is empty or over {PASSPHRASE_BYTES_MAX} bytes: correct it")
    return passphrase


def new_passphrase(passphrase_file: Path | None, environment: Mapping[str, str]) -> bytes:
    """The passphrase to seal a new key with: like `find_passphrase`, the prompt asking twice. Errors: KeyFileError."""
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
    """Makes a passphrase file (0600) with 128 random bits; keeps one that is there."""
    return read_passphrase(path) if path.exists() else new_random_passphrase(path)


def new_random_passphrase(path: Path) -> bytes:
    """Makes a passphrase file (0600) with 128 random bits. Errors: HomeError, also where it exists."""
    passphrase = secrets.token_hex(16)
    write_private(path, passphrase + "\n")
    return passphrase.encode()


def make_folder(path: Path) -> None:
    """A folder that only its owner sees. Errors: HomeError."""
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise HomeError(f"the folder {path} can't be made ({error.strerror}): choose another place") from None


def write_private(path: Path, text: str) -> None:
    """A new file of mode 0600. Errors: HomeError, also where it exists."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(handle, "w", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise HomeError(f"{path} exists and is never overwritten: move it away first", code="file-exists") from None
    except OSError as error:
        raise HomeError(f"{path} can't be written ({error.strerror}): free space or choose another place") from None


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise HomeMissing(
            f"there is no {path}: name another --home, or make one with `rustorium-node init --home {path.parent}`"
        ) from None
    except (OSError, UnicodeDecodeError) as error:
        raise HomeError(f"{path} can't be read ({error}): check its owner and mode") from None


def _prompt(text: str, key: Path | None) -> bytes:
    import getpass
    import sys

    if not sys.stdin.isatty():
        what = f"{key} is sealed" if key is not None else "a new key needs a passphrase"
        raise KeyFileError(
            f"{what} and there is no terminal to ask on: name a file with --passphrase-file or {PASSPHRASE_VARIABLE}",
            code="passphrase-missing",
        )
    return getpass.getpass(text).encode()
