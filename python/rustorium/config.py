"""A node's configuration: defaults, `config.toml`, environment, flags, in that order. Each value has its origin.

Invariants: PURE (it gets text and mappings and reads nothing); an unknown key is an error that names the nearest known
one; every number has its unit in its name.
"""

import difflib
import ipaddress
import json
import re
import tomllib
import types
import typing
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields, is_dataclass
from typing import Any

import msgspec

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.errors import ConfigError
from rustorium.logsection import LogSection
from rustorium.signersection import SignerSection

ENV_PREFIX = "RUSTORIUM_"
HOME_NOTE = ("# Older releases don't know this section and refuse the home: see `rustorium-node upgrade --help`.",)
ENV_SEPARATOR = "__"

HOME_FORMAT = 2
"""The format of homes that this release writes and starts (`home.format`)."""
KEEP_MIN = 1_000
"""Minimum number of heights that a node keeps, for its own restart and for peers that were away for a moment."""
PROOFS_KEPT_MAX = 1_000
FOLLOWERS_MAX = 256
"""Maximum number of node keys in a configuration, and in a home's `followers.json`."""
HOSTS_MAX = 64
HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*"
)


@dataclass(frozen=True, slots=True)
class HomeSection:
    """[home]"""

    format: int = 1
    """The home's format, for releases that read no other sign of it; `init` and `upgrade` write it."""

    def __post_init__(self) -> None:
        if not 1 <= self.format <= HOME_FORMAT:
            raise ValueError(f"needs format from 1 to {HOME_FORMAT}")


@dataclass(frozen=True, slots=True)
class NodeSection:
    """[node]"""

    name: str = "node-0"
    """The node's name in logs and metrics."""
    role: typing.Literal["validator", "follower"] = "validator"
    """"follower": no validator key and no votes; the node verifies, executes and serves what validators decide."""


@dataclass(frozen=True, slots=True)
class P2pSection:
    """[p2p]: links to the validators (QUIC)."""

    listen: str = "0.0.0.0:26650"
    peers: dict[str, str] = field(default_factory=dict)
    """host:port of each other genesis validator by name; a host name is resolved again at each attempt. A node outside
    the genesis needs only some of them, or current validators by node key (64 hex digits): with these it can join even
    if the genesis validators are gone."""
    followers: typing.Literal["any"] | list[str] = field(default_factory=list)
    """Node keys (64 hex digits) of nodes outside the committee that may follow this one: they get all of the chain.
    "any": others may follow, too, after these. More keys: `rustorium-node followers add`."""
    followers_max: int = 16
    """With followers = "any": maximum number of unnamed nodes that may follow at once."""

    def __post_init__(self) -> None:
        if not 0 <= self.followers_max <= 1024:
            raise ValueError("needs followers_max from 0 to 1024")
        keys = [] if self.followers == "any" else self.followers
        if len(keys) > FOLLOWERS_MAX:
            raise ValueError(f"followers has {len(keys)} keys: name {FOLLOWERS_MAX} at most")
        if wrong := [key for key in keys if re.fullmatch("[0-9a-fA-F]{64}", key) is None]:
            raise ValueError(f'followers has {wrong[0]!r}: give node keys of 64 hex digits, or "any"')

    @property
    def followers_named(self) -> list[str]:
        """Returns the named keys."""
        return [] if self.followers == "any" else [key.lower() for key in self.followers]

    @property
    def strangers_max(self) -> int:
        """Returns the maximum number of unnamed nodes that may follow at once."""
        return self.followers_max if self.followers == "any" else 0


@dataclass(frozen=True, slots=True)
class HttpSection:
    """[http]: the gateway's HTTP API."""

    listen: str = "127.0.0.1:26651"


@dataclass(frozen=True, slots=True)
class GatewaySection:
    """[gateway]: who may use the HTTP and QUIC APIs: everybody ("open"), or bearers of a token that `rustorium-node
    admin token create --gateway` made ("token")."""

    submit: typing.Literal["open", "token"] = "open"
    """Submissions, on both APIs."""
    read: typing.Literal["open", "token"] = "open"
    """Reads, proofs and event streams. /livez, /readyz, /healthz, /openapi.json, /docs and the explorer's files stay
    open, and so do the metrics, which have their own address."""
    hosts: list[str] = field(default_factory=list)
    """Names (without ports) under which clients and browsers reach the HTTP API, such as a proxy's. Addresses,
    localhost, this machine's name and the name in http.listen always count. Other names are refused, since a web page
    could point its own name here. "*": every name, so such a page can read what is open."""

    tls_certificate: str = ""
    """PEM file with the HTTP API's certificate and those up to its authority; relative to the home. With tls_key, only
    TLS 1.3 is served (HTTP/2 and HTTP/1.1). Changed files are used within a second, without a restart; unusable files
    change nothing and are a finding. Empty: plain HTTP."""
    tls_key: str = ""
    """PEM file with the certificate's key, without a passphrase, readable only by the node's user (and a group)."""
    client_authorities: str = ""
    """PEM file with authorities' certificates: every client of the HTTP API must show a certificate of one of them,
    even with a token. Empty: clients show none. The QUIC API asks for none."""

    def __post_init__(self) -> None:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("needs tls_certificate and tls_key, or neither")
        if self.client_authorities and not self.tls_certificate:
            raise ValueError("has client_authorities, and no TLS: give tls_certificate and tls_key")
        if len(self.hosts) > HOSTS_MAX:
            raise ValueError(f"hosts has {len(self.hosts)} names: give {HOSTS_MAX} at most")
        if wrong := [name for name in self.hosts if name != "*" and HOST_NAME.fullmatch(name) is None]:
            raise ValueError(f"hosts has {wrong[0]!r}: give names such as ledger.example.org, without scheme and port")


@dataclass(frozen=True, slots=True)
class AdminSection:
    """[admin]: the admin plane, in addition to the socket run/admin.sock."""

    listen: str = ""
    """host:port for callers with a token (HTTP); a loopback address, since it has no TLS. Empty: the socket only."""

    def __post_init__(self) -> None:
        if self.listen and not is_loopback(split_address(self.listen)[0]):
            raise ValueError(
                f"listen is {self.listen}, which others on the network reach, and the admin plane speaks no TLS: "
                "listen on 127.0.0.1, and lead to it by an SSH tunnel or a reverse proxy that speaks TLS"
            )


@dataclass(frozen=True, slots=True)
class ClientSection:
    """[client]: the gateway's QUIC API."""

    listen: str = "127.0.0.1:26652"


@dataclass(frozen=True, slots=True)
class MetricsSection:
    """[metrics]"""

    listen: str = "127.0.0.1:26660"


@dataclass(frozen=True, slots=True)
class StorageSection:
    """[storage]"""

    durability: typing.Literal["vote", "os"] = "vote"
    """"vote": data is synced before a vote that rests on it. "os": no sync, for tests and benchmarks only."""
    cache_bytes: int = 16 * 1024 * 1024
    keep: str | int = "archive"
    """Number of newest heights that stay readable: blocks, receipts, and the values after each. "archive": all."""
    proofs_kept: int = 100
    """Number of newest state roots among them at which values can be proven."""

    def __post_init__(self) -> None:
        if self.cache_bytes < 1024 * 1024:
            raise ValueError("cache_bytes must be at least 1048576")
        if self.keep != "archive" and not (isinstance(self.keep, int) and self.keep >= KEEP_MIN):
            raise ValueError(f'keep must be "archive" or a number of heights from {KEEP_MIN}')
        if not 1 <= self.proofs_kept <= PROOFS_KEPT_MAX:
            raise ValueError(f"needs proofs_kept from 1 to {PROOFS_KEPT_MAX}")


@dataclass(frozen=True, slots=True)
class SyncSection:
    """[sync]: snapshots of the state for nodes with an empty store."""

    snapshot_interval_ms: int = 600_000
    """A snapshot is offered at the first state root in each such span of block time; the newest two are kept. Nodes
    with the same interval offer the same snapshots."""
    beyond_heights: int = 5_000
    """An empty store is filled from a snapshot at least this high; from a lower one only if no peer has block 1."""

    def __post_init__(self) -> None:
        if self.snapshot_interval_ms < 1_000 or self.beyond_heights < 0:
            raise ValueError("needs snapshot_interval_ms >= 1000 and beyond_heights >= 0")


@dataclass(frozen=True, slots=True)
class TxpoolSection:
    """[txpool]"""

    transactions_max: int = 4_096
    batch_delay_us: int = 25_000
    """Maximum time that transactions wait for others in a batch."""

    def __post_init__(self) -> None:
        if self.transactions_max < 1 or not 0 <= self.batch_delay_us <= 1_000_000:
            raise ValueError("needs transactions_max >= 1 and 0 <= batch_delay_us <= 1000000")


@dataclass(frozen=True, slots=True)
class KeysSection:
    """[keys]"""

    passphrase_file: str = ""
    """Opens node.key and validator.key; empty: environment, systemd credential, or a prompt on a terminal."""


@dataclass(frozen=True, slots=True)
class RecoverySection:
    """[recovery]: what counts as a fault, and how often `recover auto` may act."""

    watch_ms: int = 1_000
    """Interval between two checks of a node by itself."""
    wedged_ms: int = 30_000
    """A thread that works on one item for this long hangs; the time is longer if the watch itself runs late."""
    lasts_ms: int = 10_000
    """Faults that others may end (lost peers, being behind) must last this long."""
    disk_slow_ms: int = 200
    """A disk is slow if the journal's syncs take longer on average."""
    disk_free_bytes_min: int = 256 * 1024 * 1024
    restarts_per_hour_max: int = 6
    refills_per_day_max: int = 2
    keep_when_low: int = 0
    """On a disk that stays nearly full, the node restarts with only this many of the newest heights (fewer than
    storage.keep); older ones are deleted for good. 0: history is never cut automatically."""
    settle_ms: int = 600_000
    """A node that was well for this long is healthy again: stores that were moved aside are removed."""

    def __post_init__(self) -> None:
        if min(self.watch_ms, self.wedged_ms, self.lasts_ms, self.settle_ms, self.disk_slow_ms) < 10:
            raise ValueError("needs times of at least 10 ms")
        if self.restarts_per_hour_max < 1 or min(self.refills_per_day_max, self.disk_free_bytes_min) < 0:
            raise ValueError("needs restarts_per_hour_max >= 1, refills_per_day_max >= 0, disk_free_bytes_min >= 0")
        if self.keep_when_low != 0 and self.keep_when_low < KEEP_MIN:
            raise ValueError(f"keep_when_low must be 0 or a number of heights from {KEEP_MIN}")


@dataclass(frozen=True, slots=True)
class ShaperSection:
    """[shaper]: artificial delays of the links, for tests."""

    matrix: str = ""
    """A JSON file of round-trip times between regions; empty: no shaper."""
    regions: list[str] = field(default_factory=list)
    """Region of each validator, in the genesis' order."""
    seed: int = 0
    jitter_percent: int = 0
    loss_ppm: int = 0
    rate_bytes_per_s: int = 0
    """0: no limit."""

    def __post_init__(self) -> None:
        if min(self.seed, self.jitter_percent, self.loss_ppm, self.rate_bytes_per_s) < 0 or self.loss_ppm > 1_000_000:
            raise ValueError("needs numbers from 0, and loss_ppm <= 1000000")


@dataclass(frozen=True, slots=True)
class Config:
    """Everything in `config.toml`."""

    home: HomeSection = field(default_factory=HomeSection)
    node: NodeSection = field(default_factory=NodeSection)
    p2p: P2pSection = field(default_factory=P2pSection)
    http: HttpSection = field(default_factory=HttpSection)
    gateway: GatewaySection = field(default_factory=GatewaySection)
    admin: AdminSection = field(default_factory=AdminSection)
    client: ClientSection = field(default_factory=ClientSection)
    metrics: MetricsSection = field(default_factory=MetricsSection)
    storage: StorageSection = field(default_factory=StorageSection)
    sync: SyncSection = field(default_factory=SyncSection)
    txpool: TxpoolSection = field(default_factory=TxpoolSection)
    consensus: ConsensusConfig = field(default_factory=ConsensusConfig)
    keys: KeysSection = field(default_factory=KeysSection)
    signer: SignerSection = field(default_factory=SignerSection)
    log: LogSection = field(default_factory=LogSection)
    recovery: RecoverySection = field(default_factory=RecoverySection)
    shaper: ShaperSection = field(default_factory=ShaperSection)


@dataclass(frozen=True, slots=True)
class Loaded:
    """A configuration and the origin of each value, by `section.key`."""

    config: Config
    origins: Mapping[str, str]

    def rows(self) -> list[tuple[str, object, str]]:
        """Returns rows (section.key, value, origin), in the order of the sections."""
        return [
            (f"{section.name}.{key.name}", getattr(getattr(self.config, section.name), key.name),
             self.origins.get(f"{section.name}.{key.name}", "default"))
            for section in fields(Config)
            for key in keys_of(getattr(self.config, section.name))
        ]  # fmt: skip


def keys_of(section: object) -> list[Field[Any]]:
    """Returns the keys of a section (its class or a value): all fields except those that the chain decides."""
    return [key for key in fields(section) if not key.metadata.get("chain")]  # type: ignore[arg-type]


def load(
    text: str | None,
    environment: Mapping[str, str] | None = None,
    flags: Mapping[str, object] | None = None,
    *,
    source: str = "config.toml",
) -> Loaded:
    """Merges the sources; later ones win. `flags` are by `section.key`; `None` values are ignored.

    Errors: ConfigError with the file, the key and, for an unknown one, the nearest known key.
    """
    origins: dict[str, str] = {}
    tree = _parse(text, source) if text is not None else {}
    for section, values in tree.items():
        _check_keys(section, values, source)
        origins.update({f"{section}.{key}": source for key in values})
    for variable, value in sorted((environment or {}).items()):
        if variable.startswith(ENV_PREFIX) and ENV_SEPARATOR in variable:
            section, _, key = variable.removeprefix(ENV_PREFIX).lower().partition(ENV_SEPARATOR)
            _check_keys(section, {key: value}, f"environment variable {variable}")
            tree.setdefault(section, {})[key] = _from_text(section, key, value, variable)
            origins[f"{section}.{key}"] = f"environment {variable}"
    for path, flag in (flags or {}).items():
        if flag is not None:
            section, _, key = path.partition(".")
            _check_keys(section, {key: flag}, f"flag for {path}")
            tree.setdefault(section, {})[key] = flag
            origins[path] = "flag"
    config = Config(**{name: _convert(name, values, origins, source) for name, values in tree.items()})
    for path in ("p2p.listen", "http.listen", "client.listen", "metrics.listen"):
        section, _, key = path.partition(".")
        _check_address(getattr(getattr(config, section), key), f"{origins.get(path, source)}: {path}")
    if isinstance(config.storage.keep, int) and config.recovery.keep_when_low >= config.storage.keep:
        raise ConfigError(
            f"{origins.get('recovery.keep_when_low', source)}: recovery.keep_when_low is not below storage.keep, which "
            f"is {config.storage.keep}: lower it, or leave it out"
        )
    if config.p2p.followers == "any" and config.gateway.read == "token":
        raise ConfigError(
            f'{origins.get("p2p.followers", source)}: p2p.followers is "any", so everybody\'s node gets what '
            f'gateway.read = "token" ({origins.get("gateway.read", source)}) gives bearers of a token alone: name the '
            "followers' node keys, or leave them out"
        )
    for name, address in config.p2p.peers.items():
        _check_address(address, f'{source}: p2p.peers."{name}"')
    return Loaded(config, origins)


def render(config: Config) -> str:
    """Returns the text of a `config.toml`: the values that differ from the defaults; an empty section is left out."""
    defaults = Config()
    lines = ["# Rustorium node. Keys left out have their defaults: `rustorium-node config show --origin` lists all."]
    for section in fields(Config):
        values, default = getattr(config, section.name), getattr(defaults, section.name)
        changed = [key.name for key in keys_of(values) if getattr(values, key.name) != getattr(default, key.name)]
        tables = [key for key in changed if isinstance(getattr(values, key), dict)]
        if changed:
            lines += ["", *(HOME_NOTE if section.name == "home" else ()), f"[{section.name}]"]
        lines += [f"{key} = {_toml(getattr(values, key))}" for key in changed if key not in tables]
        for table in tables:
            lines += ["", f"[{section.name}.{table}]"]
            lines += [f"{json.dumps(key)} = {_toml(value)}" for key, value in getattr(values, table).items()]
    return "\n".join(lines) + "\n"


def split_address(address: str) -> tuple[str, int]:
    """Returns host and port of `host:port` or `[v6]:port`. Errors: ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host or not port.isascii() or not port.isdigit() or int(port) > 65535:
        raise ValueError(f"{address!r} is not host:port")
    return host.strip("[]"), int(port)


def is_address(host: str) -> bool:
    """Returns whether text is an IP address, not a name."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def is_loopback(host: str) -> bool:
    """Returns whether only this machine can reach it: a loopback address, or the name localhost."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def nearest(unknown: str, known: typing.Iterable[str]) -> str:
    """Returns " (did you mean x?)", or an empty string."""
    found = difflib.get_close_matches(unknown, list(known), n=1, cutoff=0.4)
    return f" (did you mean `{found[0]}`?)" if found else ""


def _parse(text: str, source: str) -> dict[str, dict[str, object]]:
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"{source} is not TOML ({error}): correct that line and try again") from None
    for section, values in tree.items():
        if not isinstance(values, dict):
            raise ConfigError(f"{source}: `{section}` stands outside a section{nearest(section, _all_keys())}")
    return tree


def _sections() -> dict[str, Any]:
    return {name: kind for name, kind in typing.get_type_hints(Config).items() if is_dataclass(kind)}


def _all_keys() -> list[str]:
    return [f"{name}.{key.name}" for name, kind in _sections().items() for key in keys_of(kind)]


def _check_keys(section: str, values: Mapping[str, object], source: str) -> None:
    sections = _sections()
    if section not in sections:
        raise ConfigError(f"{source}: there is no section [{section}]{nearest(section, sections)}")
    known = [key.name for key in keys_of(sections[section])]
    for key in values:
        if key not in known:
            near = nearest(key, known) or nearest(f"{section}.{key}", _all_keys())
            raise ConfigError(f"{source}: there is no key `{key}` in [{section}]{near}")


def _from_text(section: str, key: str, value: str, variable: str) -> object:
    """Parses a value from the environment; lists and tables are JSON."""
    kind = typing.get_type_hints(_sections()[section])[key]
    if kind is str or typing.get_origin(kind) is typing.Literal:
        return value
    try:
        if isinstance(kind, types.UnionType) or typing.get_origin(kind) is typing.Union:
            if value.startswith("["):
                return json.loads(value)
            return int(value) if value.isascii() and value.isdigit() else value
        return msgspec.convert(value, int, strict=False) if kind is int else json.loads(value)
    except (ValueError, RecursionError):
        wanted = "an integer" if kind is int else "JSON"
        raise ConfigError(f"environment variable {variable} must be {wanted}, and is {value!r}") from None


def _convert(section: str, values: Mapping[str, object], origins: Mapping[str, str], source: str) -> Any:
    try:
        return msgspec.convert(values, _sections()[section])
    except msgspec.ValidationError as error:
        what, _, path = str(error).partition(" - at `$")
        key = path.strip("`.").partition("[")[0]
        where = origins.get(f"{section}.{key}", source)
        name = f"{section}.{key}" if key else f"[{section}]"
        form = '; write a table [p2p.peers] with a line name = "host:port" for each node' if name == "p2p.peers" else ""
        raise ConfigError(f"{where}: {name} is wrong: {what[:1].lower() + what[1:]}{form}") from None


def _check_address(address: str, where: str) -> None:
    try:
        split_address(address)
    except ValueError as error:
        raise ConfigError(f"{where} is wrong: {error}") from None


def _toml(value: object) -> str:
    if isinstance(value, list):
        return "[" + ", ".join(_toml(item) for item in value) + "]"
    return json.dumps(value, ensure_ascii=False)
