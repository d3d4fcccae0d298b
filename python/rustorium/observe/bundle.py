"""A file for support: what a home, its node and its machine say, without secrets.

Invariants: only the listed parts go in, never a key, a passphrase, the safety journal or the database. All text is
masked, known secrets by their value. The size is bounded, and only the owner can read the file.
"""

import io
import json
import os
import platform
import tarfile
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import IO

from rustorium.access.files import create
from rustorium.access.passphrases import CREDENTIAL_NAME, PASSPHRASE_NEAR_KEY, PASSPHRASE_VARIABLE
from rustorium.errors import RustoriumError
from rustorium.home.paths import Home
from rustorium.home.tokens import ADMIN_VARIABLE, CLIENT_VARIABLE
from rustorium.node.admin.socket import call
from rustorium.observe.doctor import examine
from rustorium.observe.masking import MASK, Masker, passphrases, sealed

TAIL_BYTES = 4 * 1024 * 1024
FILES_MAX = 2_000
LOGS = ("format.json", "log/node.jsonl", "log/stderr.log", "log/recovery.jsonl", "run/recovery.json", "run/ended.json")
LOG_BEFORE = "log/node.jsonl.1"
"""The file that was put aside last when the log was full."""
PROC = ("cpuinfo", "meminfo", "loadavg", "version", "self/limits", "self/mounts", "sys/fs/file-nr", "net/snmp")
SECRET_VARIABLES = ("PASS", "SECRET", "TOKEN", "KEY", "CREDENTIAL")

Part = Callable[[], bytes]


def bundle(home: Home, out: Path) -> list[str]:
    """Writes the bundle (.tar.gz) and returns the names of its parts. Errors: FileExists, UsageError."""
    masker = Masker(_secrets(home))
    names = []
    with create(out, 0o600) as file, tarfile.open(fileobj=file, mode="w:gz") as archive:
        for name, part in _parts(home):
            try:
                content = part()
            except (RustoriumError, OSError, ValueError) as error:
                content, name = f"{error}\n".encode(), f"{name}.missing"
            _add(archive, name, masker.raw(content))
            names.append(name)
    return names


def _secrets(home: Home) -> list[bytes]:
    """Collects every secret near a home that this process may read: its value must not leave with another part."""
    folders = [home.path, *list(home.path.absolute().parents)[:2]]
    found = sealed(home.path.rglob("*.key"))
    found += passphrases(folder / PASSPHRASE_NEAR_KEY for folder in folders)
    try:
        named = home.load_config().config.keys.passphrase_file
    except RustoriumError:
        named = ""
    more = [home.path / named] if named else []
    more += [Path(os.environ[PASSPHRASE_VARIABLE])] if os.environ.get(PASSPHRASE_VARIABLE) else []
    if credentials := os.environ.get("CREDENTIALS_DIRECTORY"):
        more.append(Path(credentials) / CREDENTIAL_NAME)
    # Token files have lines, as passphrase files do.
    more += [Path(os.environ[name]) for name in (ADMIN_VARIABLE, CLIENT_VARIABLE) if os.environ.get(name)]
    found += passphrases(more)
    found += [value.encode() for name, value in os.environ.items() if _is_secret(name)]
    return found


def _is_secret(variable: str) -> bool:
    return any(part in variable.upper() for part in SECRET_VARIABLES) and not variable.upper().endswith(
        ("_FILE", "_DIRECTORY", "_PATH")
    )


def _parts(home: Home) -> Iterator[tuple[str, Part]]:
    yield "about.json", _about
    yield "doctor.json", lambda: _json([asdict(check) for check in examine(home)])
    yield "config.toml", home.config.read_bytes
    yield "config.json", lambda: _json(home.load_config(os.environ).rows())
    yield "genesis.json", home.genesis.read_bytes
    yield "files.txt", lambda: "".join(_listing(home.path)).encode()
    yield "environment.json", lambda: _json(_environment())
    for question in ("status", "addresses", "rotation", "snapshots"):
        yield f"node/{question}.json", lambda question=question: _json(call(home.admin_socket, question))  # type: ignore[misc]
    yield "node/metrics.om", lambda: _metrics(home)
    for place in LOGS if not (home.path / LOG_BEFORE).exists() else (*LOGS, LOG_BEFORE):
        yield place, lambda place=place: _tail(home.path / place)  # type: ignore[misc]
    for place in PROC:
        yield f"machine/{place.replace('/', '-')}", lambda place=place: _tail(Path("/proc", place))  # type: ignore[misc]


def _about() -> bytes:
    from rustorium import __version__

    uname = platform.uname()
    about = {
        "version": __version__,
        "python": platform.python_version(),
        "kernel": uname.release,
        "machine": uname.machine,
        "made_ms": time.time_ns() // 1_000_000,
    }
    return _json(about)


def _json(found: object) -> bytes:
    return json.dumps(found, indent=1, ensure_ascii=False, default=str).encode() + b"\n"


def _environment() -> dict[str, str]:
    """Returns this program's variables and those that change how Python runs; no other variable leaves."""
    ours = {
        name: value for name, value in os.environ.items() if name.startswith(("RUSTORIUM_", "PYTHON", "LANG", "LC_"))
    }
    return {name: MASK if _is_secret(name) else value for name, value in sorted(ours.items())}


def _metrics(home: Home) -> bytes:
    from rustorium.observe.scrape import Scraper, Target

    address = call(home.admin_socket, "addresses")["metrics"]
    with Scraper([Target("node", f"http://{address}")], 5.0) as scraper:
        return scraper.fetch(0)


def _listing(root: Path) -> Iterator[str]:
    """Lists names, modes, sizes and times of the home's files."""
    count = 0
    for folder, folders, files in os.walk(root):
        folders.sort()
        for name in sorted(files):
            count += 1
            if count > FILES_MAX:
                yield f"… more than {FILES_MAX} files\n"
                return
            path = Path(folder, name)
            try:
                found = path.lstat()
            except OSError:
                continue
            yield f"{found.st_mode & 0o7777:04o} {found.st_size:>12} {found.st_mtime:.0f} {path.relative_to(root)}\n"


def _tail(path: Path) -> bytes:
    """Returns the end of a file, from the start of a line."""
    with open(path, "rb") as file:
        if (size := _size(file)) > TAIL_BYTES:
            file.seek(size - TAIL_BYTES)
            file.readline()
        return file.read(TAIL_BYTES)


def _size(file: IO[bytes]) -> int:
    return os.fstat(file.fileno()).st_size


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(f"rustorium-debug/{name}")
    entry.size, entry.mode, entry.mtime = len(content), 0o600, int(time.time())
    archive.addfile(entry, io.BytesIO(content))
