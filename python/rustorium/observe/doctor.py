"""Checks a machine and a home for what a node needs to run well, each with advice; before the node starts or while it
runs.

Invariants: changes nothing except one small file in the home, which it removes. The checks are independent, and a check
that can't be made says so.
"""

import errno
import json
import os
import platform
import resource
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from rustorium.access.keyfiles import public_part
from rustorium.access.passphrases import known_passphrase
from rustorium.config import Config, split_address
from rustorium.errors import NotReady, RustoriumError
from rustorium.health import certificate
from rustorium.home import format as homeformat
from rustorium.home import growth
from rustorium.home.endpoints import in_the_clear, tls_files
from rustorium.home.paths import Home
from rustorium.home.tokens import load
from rustorium.node.admin.socket import call
from rustorium.node.loop.watch import free_bytes

FILES_MIN = 4_096
MEMORY_BYTES_MIN = 2 * 1024**3
LOCKED_BYTES_MIN = 1024 * 1024
SYNCS = 20
DAYS_LEFT_MIN = 30
"""Minimum number of days that a disk should last."""
UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
LAST_S = 253_402_300_799
"""The end of the year 9999, in Unix time."""
SLOW_DISKS = ("nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs")
SHORT_LIVED = ("tmpfs", "ramfs", "overlay")


class Result(StrEnum):
    """Result of a check."""

    ok = "ok"
    warn = "warn"
    fail = "fail"


@dataclass(frozen=True, slots=True)
class Check:
    """The result of one check: the finding, and advice if it isn't good."""

    name: str
    result: Result
    seen: str
    do: str = ""


def examine(home: Home | None) -> list[Check]:
    """Makes all checks of this machine and, if one is named, of a home."""
    checks = [*_machine()]
    if home is not None:
        checks += _guarded("home", lambda: list(_home(home)))
    return checks


def _guarded(name: str, make: Callable[[], list[Check]]) -> list[Check]:
    try:
        return make()
    except RustoriumError as error:
        return [Check(name, Result.fail, error.message, "")]
    except OSError as error:
        return [Check(name, Result.warn, f"can't be checked ({error})", "")]


def _at_least(name: str, value: int, least: int, unit: str, do: str, scale: int = 1) -> Check:
    seen = f"{value // scale:,} {unit}"
    return Check(name, Result.ok, seen) if value >= least else Check(name, Result.warn, seen, do)


def _machine() -> Iterator[Check]:
    known = platform.system() == "Linux" and platform.machine() in ("x86_64", "aarch64")
    yield Check(
        "platform",
        Result.ok if known else Result.fail,
        f"{platform.system()} {platform.release()} on {platform.machine()}, Python {platform.python_version()}",
        "" if known else "run it on Linux on x86-64 or aarch64",
    )
    yield _extension()
    cores = len(os.sched_getaffinity(0))
    yield _at_least("cores", cores, 2, "cores", "give the node two cores or more: consensus waits for them")
    flags = _text("/proc/cpuinfo")
    if flags:
        aes = " aes " in flags.replace("\n", " ") + " "
        do = "" if aes else "use a CPU with AES instructions: everything that is stored is encrypted with AES"
        yield Check("aes", Result.ok if aes else Result.warn, "in hardware" if aes else "in software", do)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    yield _at_least("memory", memory, MEMORY_BYTES_MIN, "MiB", "give the machine 2 GiB or more", 2**20)
    files = _limit(resource.RLIMIT_NOFILE)
    do = "raise the limit of open files (LimitNOFILE=, ulimit -n): connections and tables need them"
    yield _at_least("open files", files, FILES_MIN, "files", do)
    locked = _limit(resource.RLIMIT_MEMLOCK)
    do = "raise the memlock limit (LimitMEMLOCK=, ulimit -l) to 1024 KiB or more: keys may reach swap until then"
    yield _at_least("locked memory", locked, LOCKED_BYTES_MIN, "KiB", do, 1024)


def _limit(which: int) -> int:
    soft, _ = resource.getrlimit(which)
    return 2**63 if soft == resource.RLIM_INFINITY else soft


def _extension() -> Check:
    try:
        from rustorium import __version__, _native

        del _native
        return Check("extension", Result.ok, f"rustorium {__version__}")
    except ImportError as error:
        return Check("extension", Result.fail, f"it can't be loaded ({error})", "install the package again")


def _text(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _home(home: Home) -> Iterator[Check]:
    config = home.load_config(os.environ).config
    yield Check("configuration", Result.ok, str(home.config))
    yield from _guarded("home format", lambda: [_format(home)])
    yield from _guarded("genesis", lambda: [_genesis(home)])
    yield from _guarded("operators", lambda: list(_chain(home)))
    yield from _files(home, config)
    yield from _guarded("passphrase", lambda: [_passphrase(home, config)])
    yield from _guarded("tokens.json", lambda: [_tokens(home, config)])
    yield from _gateway(home, config)
    yield from _disk(home, config)
    runs, state = _running(home)
    yield state
    if not runs:
        yield from _ports(config)
    yield from _peers(config)


def _format(home: Home) -> Check:
    found = homeformat.require_current(home.path)
    release = found.written.release if found.written is not None else "none"
    seen = f"format {found.format}, last written by release {release}"
    if found.marked == homeformat.FORMAT:
        return Check("home format", Result.ok, seen)
    do = f"`rustorium-node upgrade --home {home.path}` puts it there: an older release would start this home without it"
    return Check("home format", Result.warn, f"{seen}; config.toml lacks home.format", do)


def _genesis(home: Home) -> Check:
    from rustorium import _native

    chain = _native.genesis_hash(home.genesis_bytes())
    homeformat.check_chain(homeformat.look(home.path), home.path, chain)
    return Check("genesis", Result.ok, f"of chain {chain}, at {home.genesis}")


def _chain(home: Home) -> Iterator[Check]:
    """Checks the parts of the genesis that no operator can change later."""
    from rustorium import _native

    genesis = json.loads(_native.genesis_describe(home.genesis_bytes()))
    operators, quorum = genesis["parameters"]["operators"], genesis["parameters"]["operator_quorum"]
    alone = quorum <= 1 and len(operators) > 0 and len(genesis["validators"]) > 1
    seen = f"{quorum} of {len(operators)} decide"
    do = "keep each operator's key off all machines: its holder can take over the chain, and it can't be replaced"
    yield Check(
        "operators", Result.warn if alone else Result.ok, f"one key decides: {seen}" if alone else seen, do * alone
    )
    hashed = _native.value_hash(_native.devnet_pool_key()[0]).hex()
    forged = [pool["number"] for pool in genesis.get("pools", []) if pool["key_hash"] == hashed]
    seen, do = f"{len(genesis.get('pools', []))} of shielded value", ""
    if forged:
        seen = f"pool {forged[0]} has a devnet's key, under which anyone can forge"
        do = "put nothing of value into it: a key from a ceremony needs another genesis"
    yield Check("pools", Result.warn if forged else Result.ok, seen, do)


def _files(home: Home, config: Config) -> Iterator[Check]:
    wanted = [(home.node_key, "node"), (home.storage_key, "storage")]
    if config.node.role == "validator" and config.signer.url:
        yield _signer(home, config)
    elif config.node.role == "validator":
        wanted.append((home.validator_key, "validator"))
    for path, kind in wanted:
        if not path.is_file():
            yield Check(path.name, Result.fail, "is missing", f"restore {path} from a backup")
            continue
        mode = path.stat().st_mode & 0o777
        if mode & 0o077:
            yield Check(path.name, Result.fail, f"others may read it (mode {mode:o})", f"chmod 600 {path}")
        else:
            yield from _guarded(path.name, lambda path=path, kind=kind: [_key(path, kind)])  # type: ignore[misc]
    mode = home.path.stat().st_mode & 0o777
    exposed = bool(mode & 0o077)
    yield Check(
        "folder",
        Result.warn if exposed else Result.ok,
        f"mode {mode:o}",
        f"chmod 700 {home.path}" if exposed else "",
    )


def _signer(home: Home, config: Config) -> Check:
    """Checks the process that has the validator key."""
    socket = home.path.absolute() / config.signer.url.removeprefix("unix:")
    if home.validator_key.exists():
        return Check("signer", Result.fail, f"{home.validator_key} is here too", "move it to the signer's folder")
    if not socket.is_socket():
        return Check("signer", Result.warn, f"nobody listens at {socket}", "start it: `rustorium-node signer run`")
    mode = socket.stat().st_mode & 0o777
    return Check("signer", Result.ok, f"its socket is there, mode {mode:o}")


def _tokens(home: Home, config: Config) -> Check:
    known = load(home.tokens)
    do = f"create one with `rustorium-node admin token create --home {home.path}`"
    if "token" in (config.gateway.submit, config.gateway.read) and all(token.gateway is None for token in known):
        return Check("tokens.json", Result.warn, "the gateway requires tokens, but none exists", do)
    if config.admin.listen and all(token.role is None for token in known):
        return Check("tokens.json", Result.warn, "admin.listen is set, but no token has a role", do)
    return Check("tokens.json", Result.ok, f"{len(known)} tokens")


def _gateway(home: Home, config: Config) -> Iterator[Check]:
    """Checks how clients reach the gateway: in the clear or by TLS, and the TLS files."""
    from rustorium import _native

    for sentence in in_the_clear(config):
        seen, _, do = sentence.partition(": ")
        yield Check("gateway", Result.warn, seen, do)
    if (files := tls_files(home.path, config)) is None:
        return
    try:
        good = json.loads(_native.check_tls(files["certificate"], files["key"], files["client_authorities"]))
    except _native.NativeError as error:
        seen, _, do = error.args[0].rpartition(": ")
        yield Check("gateway TLS", Result.fail, seen, do)
        return
    trouble = certificate.trouble(good["begins_ms"], good["ends_ms"], time.time_ns() // 1_000_000)
    do = "put a new certificate and its key there: they are used without a restart"
    ends = time.strftime("%Y-%m-%d", time.gmtime(min(good["ends_ms"] // 1000, LAST_S)))
    seen = trouble or f"a certificate that is valid until {ends}"
    yield Check("gateway TLS", Result.warn if trouble else Result.ok, seen, do if trouble else "")


def _key(path: Path, kind: str) -> Check:
    found, _ = public_part(path)
    if found != kind:
        return Check(path.name, Result.fail, f"is a key of kind {found}", f"put the {kind} key there")
    return Check(path.name, Result.ok, "exists, is encrypted, and only its owner can read it")


def _passphrase(home: Home, config: Config) -> Check:
    named = home.path / config.keys.passphrase_file if config.keys.passphrase_file else None
    if known_passphrase(home.node_key, named, os.environ) is None:
        do = "name a file with keys.passphrase_file, RUSTORIUM_PASSPHRASE_FILE or a systemd credential"
        return Check("passphrase", Result.warn, "would be asked for on a terminal", do)
    return Check("passphrase", Result.ok, "is found without a terminal")


def _disk(home: Home, config: Config) -> Iterator[Check]:
    free = free_bytes(home.path)
    if free is not None:
        least, do = config.recovery.disk_free_bytes_min, "free space on the disk, or set storage.keep: a node without"
        do = f"{do} space stops"
        if free < least:
            yield Check("free disk", Result.fail, f"{free // 2**20:,} MiB, {least // 2**20:,} MiB are needed", do)
        else:
            yield _at_least("free disk", free, 4 * least, "MiB", do, 2**20)
    yield _growth(home, config)
    kind = _filesystem(home.path)
    if kind in SLOW_DISKS:
        yield Check(
            "file system", Result.fail, kind, "move the home to a disk of this machine: syncs over a network lie"
        )
    elif kind in SHORT_LIVED:
        do = "move the home to a disk: data here may not survive a restart of the machine or container"
        yield Check("file system", Result.warn, kind, do)
    else:
        yield Check("file system", Result.ok, kind or "unknown")
    yield from _guarded("disk sync", lambda: [_written(home, config)])


def _growth(home: Home, config: Config) -> Check:
    """Checks how long the disk lasts at the rates of the last hour: the home's own, and that of all who write there."""
    samples = growth.read(home.path)
    rates, days = growth.rates(samples), growth.days_left(samples)
    kept = "all history" if config.storage.keep == "archive" else f"{config.storage.keep:,} heights"
    if rates is None:
        return Check("disk growth", Result.ok, f"not known yet: the node notes it while it runs; it keeps {kept}")
    if days is None:
        return Check("disk growth", Result.ok, f"none in the last hour; the node keeps {kept}")
    own = f"the home grows by {_a_day(max(0, rates.home))} at the rate of the last hour, and keeps {kept}"
    by_home = 2 * rates.home >= rates.fastest
    seen = f"{own}: the disk is full in {days:,} days"
    if not by_home:
        seen = f"{own}; all files on its disk grow by {_a_day(rates.disk)}: it is full in {days:,} days"
    if days >= DAYS_LEFT_MIN:
        return Check("disk growth", Result.ok, seen)
    do = "enlarge the disk, or lower storage.keep (docs/sizing.md)"
    return Check("disk growth", Result.warn, seen, do if by_home else "find what else writes to this disk")


def _a_day(rate: int) -> str:
    unit, size = ("GiB", 2**30) if rate >= 2**30 // 10 else ("MiB", 2**20)
    return f"{rate / size:,.1f} {unit} a day"


def _filesystem(path: Path) -> str:
    """Returns the type of the file system that holds a path."""
    best, found = -1, ""
    for line in _text("/proc/self/mounts").splitlines():
        _, mounted, kind, *_ = [*line.split(" "), "", "", ""]
        mounted = mounted.replace("\\040", " ")
        if path.absolute().is_relative_to(mounted or "-") and len(mounted) >= best:
            best, found = len(mounted), kind
    return found


def _written(home: Home, config: Config) -> Check:
    try:
        return _sync(home, config)
    except OSError as error:
        if error.errno not in UNWRITABLE:
            raise
        do = "free space on the disk, and see that it can be written: a node that can't write stops"
        return Check("disk sync", Result.fail, f"nothing can be written ({error.strerror})", do)


def _sync(home: Home, config: Config) -> Check:
    """Measures the time of a small synced write: each vote waits for one."""
    times = []
    with tempfile.TemporaryFile(dir=home.path) as file:
        for _ in range(SYNCS):
            start = time.perf_counter()
            file.write(b"\0" * 4096)
            file.flush()
            os.fdatasync(file.fileno())
            times.append((time.perf_counter() - start) * 1000)
    median = statistics.median(times)
    seen = f"median {median:.2f} ms, worst {max(times):.2f} ms of {SYNCS}"
    if median * 10 <= config.recovery.disk_slow_ms:
        return Check("disk sync", Result.ok, seen)
    return Check("disk sync", Result.warn, seen, "move the home to a faster disk: each vote waits for a sync")


def _running(home: Home) -> tuple[bool, Check]:
    """Returns whether the home's node runs, and how it is."""
    try:
        status = call(home.admin_socket, "status", timeout_s=3.0)
    except NotReady as error:
        return False, Check("node", Result.warn, error.message, "")
    height, ready = status["at"]["height"], bool(status["ready"])
    if ready:
        return True, Check("node", Result.ok, f"runs, ready, at height {height}")
    do = f"rustorium-node status check --home {home.path}"
    return True, Check("node", Result.warn, f"runs, not ready: {status['not_ready_because']}", do)


def _ports(config: Config) -> Iterator[Check]:
    """Checks that the addresses the node listens on are free; only while it doesn't run."""
    listeners = {
        "p2p.listen": (config.p2p.listen, socket.SOCK_DGRAM),
        "http.listen": (config.http.listen, socket.SOCK_STREAM),
        "client.listen": (config.client.listen, socket.SOCK_DGRAM),
        "metrics.listen": (config.metrics.listen, socket.SOCK_STREAM),
    }
    if config.admin.listen:
        listeners["admin.listen"] = (config.admin.listen, socket.SOCK_STREAM)
    for name, (address, kind) in listeners.items():
        host, port = split_address(address)
        try:
            family, _, _, _, where = socket.getaddrinfo(host, port, type=kind)[0]
            with socket.socket(family, kind) as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, kind == socket.SOCK_STREAM)
                probe.bind(where)
            yield Check(name, Result.ok, f"{address} is free")
        except OSError as error:
            do = f"stop the other process, or set another {name} in config.toml"
            yield Check(name, Result.fail, f"{address} can't be bound ({error.strerror})", do)


def _peers(config: Config) -> Iterator[Check]:
    lost = []
    for name, address in config.p2p.peers.items():
        host, port = split_address(address)
        try:
            socket.getaddrinfo(host, port, type=socket.SOCK_DGRAM)
        except OSError:
            lost.append(f"{name} at {address}")
    if lost:
        do = "correct p2p.peers in config.toml, or the name server"
        yield Check("peers", Result.warn, f"no address is found for {', '.join(lost[:4])}", do)
    elif config.p2p.peers:
        yield Check("peers", Result.ok, f"{len(config.p2p.peers)} addresses")
