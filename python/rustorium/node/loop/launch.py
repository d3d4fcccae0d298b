"""Turns a home into the start parameters of the data plane and the replica.

Invariants: everything is checked before a port is bound or a file is locked; secret keys are opened in locked memory,
and their bytes never enter Python.
"""

import json
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.access.keyfiles import public_part
from rustorium.config import Config, Loaded, is_address, split_address
from rustorium.errors import ConfigError, HomeError, KeyFileError, KeyFileMissing
from rustorium.home import format as homeformat
from rustorium.home.endpoints import tls_files
from rustorium.home.followers import AllowedFollowers
from rustorium.home.keys import is_node_key, open_signing_key, open_storage_key
from rustorium.home.paths import SEEDS_MAX, Home
from rustorium.node.loop import pacehint


@dataclass(frozen=True, slots=True)
class Launch:
    """A node that is ready to start."""

    home: Home
    config: Config
    chain: str
    index: int | None
    """Its place among the genesis' validators; `None`: not one of them, so it follows until a committee has its key."""
    n: int
    native_config: str
    """JSON for the data plane."""
    storage_key: _native.StorageKey
    """The key that opens the node's data on disk."""
    node_key: _native.SigningKey
    validator_key: _native.SigningKey | None
    """`None`: the node follows, or a signer process has the key."""
    public_keys: Mapping[str, str]
    """Public halves of its keys by name: `node_key`, and for a validator `validator_key`."""
    keep_few: int | None
    """Number of heights that this start keeps, if that was ordered because of a low disk."""
    settings: Mapping[str, object]
    """The settings that differ from defaults, by `section.key`."""
    passphrase_file: Path | None = None
    """The file that was named for its keys' passphrase."""

    def __repr__(self) -> str:
        return f"Launch(home={self.home.path}, index={self.index}, n={self.n})"


def refuse_signed_ends(home: Home) -> None:
    """Refuses a home whose owner has signed the end of a shard's epoch that isn't in the shard's store yet, also if
    that store is gone. Errors: HomeError."""
    for shard in home.shards():
        if home.restart_of(shard).exists():
            which = f" in shard {shard}" if shard else ""
            raise HomeError(
                f"the owner of {home.path} has signed the end of its epoch{which}, in which the node must sign nothing "
                "more: put the plan into the home with `rustorium-node recover committee apply`",
                code="restart-begun",
            )


def prepare(home: Home, loaded: Loaded, passphrase_file: Path | None, environment: Mapping[str, str]) -> Launch:
    """Reads genesis and keys. Errors: HomeError, KeyFileError, NativeError, ConfigError."""
    # Before the first secret is in memory.
    _native.forbid_core_dumps()
    config = loaded.config
    found = homeformat.require_current(home.path)
    genesis_bytes = home.genesis_bytes()
    genesis = json.loads(_native.genesis_describe(genesis_bytes))
    validators: list[dict[str, Any]] = genesis["validators"]
    state_roots = bool(genesis["parameters"]["state_roots"])
    config = replace(config, consensus=replace(config.consensus, state_roots=state_roots))
    if passphrase_file is None and config.keys.passphrase_file:
        passphrase_file = home.path / config.keys.passphrase_file
    if home.key_change_begun and not home.validator_key.exists():
        raise HomeError(
            f"the replacement of the validator key of {home.path} was interrupted: "
            f"run `rustorium-node node replace-key --home {home.path}` again",
            code="rekey-unfinished",
        )
    refuse_signed_ends(home)
    own_key = open_signing_key(home.node_key, "node", passphrase_file, environment)
    signer = _signer(home, config)
    validator_key = None if signer is not None else _validator_key(home, config, passphrase_file, environment)
    storage_key = open_storage_key(home.storage_key, passphrase_file, environment)
    node_key, index = own_key.public.hex(), None
    public_keys = {"node_key": node_key}
    own = signer["key_hex"] if signer is not None else validator_key.public.hex() if validator_key is not None else None
    if own is not None:
        public_keys["validator_key"] = own
        index = _index_of(home, validators, own, node_key)
    chain = _native.genesis_hash(genesis_bytes)
    homeformat.check_chain(found, home.path, chain)
    followers = AllowedFollowers(home.followers, config.p2p.followers_named).keys()
    keep_few = config.recovery.keep_when_low or None if home.prune.exists() else None
    keep_heights = None if config.storage.keep == "archive" else config.storage.keep
    native = {
        "home": str(home.path.absolute()),
        "name": config.node.name,
        "genesis_path": str(home.genesis.absolute()),
        "p2p_listen": resolve(config.p2p.listen, "p2p.listen"),
        "http_listen": resolve(config.http.listen, "http.listen"),
        "client_listen": resolve(config.client.listen, "client.listen"),
        "metrics_listen": resolve(config.metrics.listen, "metrics.listen"),
        "signer": signer,
        **_peers(home, config, validators, node_key),
        "gateway": {
            "submit": config.gateway.submit,
            "read": config.gateway.read,
            "hosts": config.gateway.hosts,
            "own_names": _own_names(config),
        },
        "tls": tls_files(home.path, config),
        "followers": followers,
        "strangers_max": config.p2p.strangers_max,
        "durability": config.storage.durability,
        "cache_bytes": config.storage.cache_bytes,
        "keep_heights": keep_few or keep_heights,
        "proofs_kept": config.storage.proofs_kept,
        "snapshot_interval_ms": config.sync.snapshot_interval_ms,
        "state_sync_beyond_heights": config.sync.beyond_heights,
        "shaper": _shaper(home, config, len(validators)),
        "batch_delay_us": config.txpool.batch_delay_us,
        "pool_transactions_max": config.txpool.transactions_max,
        "heartbeat_ms": config.consensus.heartbeat_ms,
        "backoff": pacehint.read(home.pace, time.time_ns() // 1_000_000),
    }
    settings = {key: value for key, value, origin in loaded.rows() if origin != "default"}
    keys = (storage_key, own_key, validator_key)
    return Launch(
        home,
        config,
        chain,
        index,
        len(validators),
        json.dumps(native),
        *keys,
        public_keys,
        keep_few,
        settings,
        passphrase_file,
    )


def resolve(address: str, key: str) -> str:
    """Returns `host:port` with the host's IP address. Errors: ConfigError."""
    host, port = split_address(address)
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
    except OSError as error:
        raise ConfigError(f"{key}: the host {host} has no address ({error.strerror}): correct it") from None
    ip = found[0][4][0]
    return f"[{ip}]:{port}" if ":" in str(ip) else f"{ip}:{port}"


def _own_names(config: Config) -> list[str]:
    """Returns the machine's name, and the name that the gateway listens on."""
    names = [socket.gethostname(), split_address(config.http.listen)[0]]
    return [name for name in names if name and not is_address(name)]


def _signer(home: Home, config: Config) -> dict[str, str] | None:
    """Returns the process that holds the validator key; `None` if the node holds it, or there is no such key. Errors:
    HomeError."""
    if not config.signer.url or config.node.role == "follower":
        return None
    if home.validator_key.exists():
        raise HomeError(
            f"{home.config} names a signer, and {home.validator_key} is there too: move that file to the signer's "
            "folder, since two processes with one key sign twice",
            code="key-twice",
        )
    socket = home.path.absolute() / config.signer.url.removeprefix("unix:")
    return {"socket": str(socket), "key_hex": config.signer.key.lower()}


def _validator_key(
    home: Home, config: Config, passphrase_file: Path | None, environment: Mapping[str, str]
) -> _native.SigningKey | None:
    """Returns the validator key; `None` for a follower, which does not even open such a key."""
    if config.node.role == "follower":
        return None
    if not home.validator_key.is_file():
        raise KeyFileMissing(
            f"there is no key file {home.validator_key}: put it back, or start the node with --role follower"
        )
    return open_signing_key(home.validator_key, "validator", passphrase_file, environment)


def _index_of(home: Home, validators: list[dict[str, Any]], validator_key: str, node_key: str) -> int | None:
    for index, validator in enumerate(validators):
        if validator["validator_key"] == validator_key:
            if validator["node_key"] != node_key:
                raise HomeError(
                    f"{home.node_key} is not the node key that the genesis names for {validator['name']}: "
                    "put the right key file there",
                    code="wrong-node-key",
                )
            return index
    return None


def _peers(home: Home, config: Config, validators: list[dict[str, Any]], node_key: str) -> dict[str, object]:
    """Returns the genesis' validators by place, and others by node key. An address in `config.toml` comes before the
    one in the genesis."""
    # The node key decides: the validator key may have been replaced since the genesis.
    index = next((number for number, one in enumerate(validators) if one["node_key"] == node_key), None)
    names = {str(validator["name"]): number for number, validator in enumerate(validators)}
    seeds = {name: address for name, address in config.p2p.peers.items() if name not in names}
    if unknown := [name for name in seeds if not is_node_key(name)]:
        raise ConfigError(
            f'{home.config}: p2p.peers."{unknown[0]}" is no validator of the genesis, which has {", ".join(names)}, '
            "and no node key of 64 hex digits"
        )
    if len(seeds) > SEEDS_MAX:
        raise ConfigError(f"{home.config}: p2p.peers has {len(seeds)} node keys: name {SEEDS_MAX} at most")
    if index is None and not config.p2p.peers and not any(one.get("address") for one in validators):
        raise ConfigError(
            f"{home.config}: p2p.peers has no address of {', '.join(names)}, nor of another node by its node key: "
            "add one"
        )
    book = {str(one["name"]): str(one["address"]) for one in validators if one.get("address")} | config.p2p.peers
    missing = [name for name, number in names.items() if number != index and name not in book]
    if missing and index is not None and config.node.role == "validator":
        raise ConfigError(f"{home.config}: p2p.peers has no address of {', '.join(missing)}: add one for each")
    return {
        "peers": [
            {"index": number, "address": book[name]}
            for name, number in names.items()
            if name in book and number != index
        ],
        "seeds": [{"node_key_hex": name.lower(), "address": address} for name, address in seeds.items()],
    }


def knows_peers(home: Home, config: Config) -> bool:
    """Returns whether `config.toml` or the genesis has the address of another node. A genesis or a node key that can't
    be read names nobody: the node's start reports it."""
    if config.p2p.peers:
        return True
    try:
        validators = json.loads(_native.genesis_describe(home.genesis_bytes()))["validators"]
        _, own = public_part(home.node_key)
    except (HomeError, KeyFileError, _native.NativeError):
        return False
    return any(one.get("address") and one["node_key"] != own for one in validators)


def _shaper(home: Home, config: Config, n: int) -> dict[str, object] | None:
    shaper = config.shaper
    if not shaper.matrix:
        return None
    if len(shaper.regions) != n:
        raise ConfigError(
            f"{home.config}: shaper.regions has {len(shaper.regions)} entries for {n} validators: fill it"
        )
    return {
        "matrix_path": str((home.path / shaper.matrix).absolute()),
        "regions": shaper.regions,
        "seed": shaper.seed,
        "jitter_percent": shaper.jitter_percent,
        "loss_ppm": shaper.loss_ppm,
        "rate_bytes_per_s": shaper.rate_bytes_per_s or None,
    }
