"""Makes a node's home with new keys (`init`).

Invariants: SYNC; nothing is overwritten; the owner's key is outside the home.
"""

import contextlib
import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from rustorium.access.genesis import read_genesis
from rustorium.access.passphrases import new_passphrase, read_passphrase
from rustorium.access.private import make_folder, write_private
from rustorium.config import (
    KEEP_MIN,
    ClientSection,
    Config,
    HttpSection,
    MetricsSection,
    NodeSection,
    P2pSection,
    StorageSection,
    split_address,
)
from rustorium.errors import FileExists, HomeError, UsageError
from rustorium.home.keys import is_node_key
from rustorium.home.paths import Home

NO_CHAIN = "00" * 32
"""Placeholder for the chain id in a proof of possession that is made before the chain exists."""
KEEP: dict[str, str | int] = {"everything": "archive", "recent": 100_000}
"""Names of values of `storage.keep`."""


def parse_peers(peers: list[str]) -> dict[str, str]:
    """Parses `NAME=HOST:PORT` into addresses by validator name or node key. Errors: UsageError."""
    found: dict[str, str] = {}
    for peer in peers:
        name, equals, address = peer.partition("=")
        try:
            split_address(address)
        except ValueError:
            equals = ""
        if not name or not equals:
            raise UsageError(
                f"--peer {peer} is not NAME=HOST:PORT: name a genesis validator, or a node's key, and its address"
            )
        found[name] = address
    return found


@dataclass(frozen=True, slots=True)
class HomeOptions:
    """Options of a new home."""

    region: int = 0
    address: str = ""
    """`host:port` at which other validators dial it; empty: each of them configures it."""
    base_port: int | None = None
    """First port to listen on; `None`: the default ports."""
    keep: str | int = "archive"
    """`storage.keep`."""


def init_home(
    path: Path,
    name: str,
    role: Literal["validator", "follower"],
    genesis: Path | None,
    peers: Mapping[str, str],
    owner_key: Path | None,
    passphrase_file: Path | None,
    environment: Mapping[str, str],
    options: HomeOptions | None = None,
    owner_passphrase_file: Path | None = None,
) -> dict[str, object]:
    """Makes the home; returns its public keys and, for a validator, the proof of possession, which are in the home's
    `validator.json`, too. A follower has neither validator key nor owner. `owner_passphrase_file`: for the owner's key;
    `None`: the home's passphrase. If it fails, it leaves nothing behind. Errors: HomeError, FileExists,
    KeyFileError, UsageError."""
    wished = options or HomeOptions()
    if wished.address:
        _check_address(wished.address)

    home = Home(path)
    owner = owner_key or path.with_name(f"{path.name}.owner.key")
    if role == "follower" and (owner_key is not None or owner_passphrase_file is not None):
        raise UsageError("a follower has no owner: leave --owner-key and --owner-passphrase-file out")
    if path.exists() and any(path.iterdir()):
        raise HomeError(
            f"{path} is already initialised or not empty: choose another --home; init never overwrites",
            code="home-exists",
        )
    keys = {"node": home.node_key}
    if role == "validator":
        keys |= {"validator": home.validator_key, "owner": owner}
        if owner.exists():
            raise FileExists(owner)
    genesis_json = None
    if genesis is not None:
        _check_peers(peers, genesis)
        genesis_json = genesis.read_text(encoding="utf-8")
    passphrase = new_passphrase(passphrase_file, environment)
    of_owner = read_passphrase(owner_passphrase_file) if owner_passphrase_file is not None else passphrase
    before, sealed = path.exists(), list[Path]()
    try:
        home.create(_config(name, role, peers, wished), genesis_json)
        return _fill(home, name, role, keys, wished, passphrase, of_owner, sealed)
    except BaseException as error:
        # A home that another process made meanwhile is that one's, and so is an owner's key.
        if not (isinstance(error, HomeError) and error.code == "home-exists"):
            _remove([*sealed, *(path.iterdir() if path.is_dir() else ()), *(() if before else (path,))])
        raise


def _remove(made: Iterable[Path]) -> None:
    """Removes files and folders, as far as the disk allows."""
    for one in made:
        if one.is_dir():
            shutil.rmtree(one, ignore_errors=True)
        else:
            with contextlib.suppress(OSError):
                one.unlink()


def _fill(
    home: Home,
    name: str,
    role: Literal["validator", "follower"],
    keys: Mapping[str, Path],
    wished: HomeOptions,
    passphrase: bytes,
    of_owner: bytes,
    sealed: list[Path],
) -> dict[str, object]:
    """Makes the keys of a home, and adds their files to `sealed`; returns what `init_home` does."""
    from rustorium import _native

    public: dict[str, str] = {}
    seeds: dict[str, bytes] = {}
    for kind, file in keys.items():
        make_folder(file.parent)
        seed = seeds[kind] = _native.generate_seed()
        _native.seal_key(str(file), seed, kind, of_owner if kind == "owner" else passphrase)
        sealed.append(file)
        public[f"{kind}_key"] = _native.public_key(seed).hex()
    _native.StorageKey.create(str(home.storage_key), passphrase)
    made: dict[str, object] = {"name": name, "role": role, "home": str(home.path), "genesis": str(home.genesis)}
    if role == "validator":
        made["owner_key_file"] = str(keys["owner"])
        made |= {"region": wished.region, "address": wished.address}
        shown = _native.prove_possession(seeds["validator"], seeds["node"], NO_CHAIN, public["owner_key"])
        public_parts: dict[str, object] = {**public, "possession": json.loads(shown)}
        made |= public_parts
        write_private(home.party, json.dumps(made, indent=2) + "\n")
        return made
    return made | public


def parse_keep(text: str) -> str | int:
    """Parses how much history a home keeps: "everything", "recent" or a number of heights. Errors: UsageError."""
    if text in KEEP:
        return KEEP[text]
    if text.isascii() and text.isdigit() and int(text) >= KEEP_MIN:
        return int(text)
    raise UsageError(f"--keep is everything, recent, or a number of heights from {KEEP_MIN}, not {text}")


def _config(
    name: str, role: Literal["validator", "follower"], peers: Mapping[str, str], options: HomeOptions
) -> Config:
    storage = StorageSection(keep=options.keep)
    config = Config(node=NodeSection(name, role), p2p=P2pSection(peers=dict(peers)), storage=storage)
    if (port := options.base_port) is None:
        return config
    return replace(
        config,
        p2p=P2pSection(f"0.0.0.0:{port}", dict(peers)),
        http=HttpSection(f"127.0.0.1:{port + 1}"),
        client=ClientSection(f"127.0.0.1:{port + 2}"),
        metrics=MetricsSection(f"127.0.0.1:{port + 10}"),
    )


def _check_address(address: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise UsageError(f"--address: {error}: give the HOST:PORT at which other validators dial this one") from None


def _check_peers(peers: Mapping[str, str], genesis: Path) -> None:
    from rustorium import _native

    described = json.loads(_native.genesis_describe(read_genesis(genesis)))
    names = [str(validator["name"]) for validator in described["validators"]]
    if unknown := [name for name in peers if name not in names and not is_node_key(name)]:
        raise UsageError(
            f"--peer {unknown[0]} is no validator of the genesis, which has {', '.join(names)}, and no node key of 64 "
            "hex digits"
        )
