"""The format of a home: one file in the home names it, and only this module reads and writes that file.

Invariants: SYNC; looking changes nothing; a home of a newer format is refused before it is written to; files are
replaced by renaming, so that a file is the old or the new one and on disk when the call returns.
"""

import json
import os
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from rustorium import __version__
from rustorium.access.keyfiles import KEY_FILE, key_version, newer
from rustorium.config import HOME_FORMAT
from rustorium.errors import HomeError

FORMAT = HOME_FORMAT
"""The format that this release writes and starts."""
FILE = "format.json"
UPGRADE = "upgrade"
"""The folder in a home with the files that an upgrade needs to continue or to go back."""
PENDING = f"{UPGRADE}/pending.json"
CONFIG = "config.toml"
T = TypeVar("T")
BYTES_MAX = 1 << 20
NUMBER_MAX = 1 << 16


@dataclass(frozen=True, slots=True)
class KnownFormat:
    """A format: the release that introduced it, and the newest formats of the parts of such a home."""

    release: str
    parts: Mapping[str, int]


FORMATS: Mapping[int, KnownFormat] = {
    1: KnownFormat("0.1.0", {"store": 4, "safety journal": 2, "store keys": 1, "key files": 1}),
    2: KnownFormat("0.2.0", {"store": 5, "safety journal": 2, "store keys": 1, "key files": 1}),
}
"""A part's format changes together with the home's; a test compares this table with the code. A store has format 4
until its chain has version 2."""


class FormatContent(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Content of `format.json`."""

    format: int
    release: str
    """The release that wrote to the home last."""
    chain: str | None
    """The genesis hash; `None` if the home has no genesis yet."""
    parts: dict[str, int]


class PendingUpgrade(msgspec.Struct, frozen=True, rename={"from_": "from"}):
    """Content of `upgrade/pending.json`: an upgrade, or a way back, that has begun."""

    from_: int
    to: int


@dataclass(frozen=True, slots=True)
class HomeFormats:
    """The formats in a home's files."""

    written: FormatContent | None
    marked: int
    """`home.format` in `config.toml`."""
    pending: PendingUpgrade | None

    @property
    def format(self) -> int:
        """The home's format; homes of the first release have no format file."""
        return self.written.format if self.written is not None else 1

    @property
    def unfinished(self) -> bool:
        """`True` if an upgrade or a way back has begun and not ended."""
        return self.pending is not None or (self.written is None and self.marked > 1)


def look(folder: Path) -> HomeFormats:
    """Reads the formats in a home's files. Errors: HomeError: home-newer, format-invalid."""
    _refuse(_numbers(folder))
    content, pending = _json(folder / FILE), _json(folder / PENDING)
    return HomeFormats(
        _convert(folder / FILE, content, FormatContent) if content is not None else None,
        _marked(folder),
        _convert(folder / PENDING, pending, PendingUpgrade) if pending is not None else None,
    )


def refuse_newer(folder: Path) -> None:
    """Refuses a home, or a part of it, that a newer release wrote. Errors: HomeError: home-newer, format-invalid."""
    look(folder)
    _refuse(_parts(folder))


def require_current(folder: Path) -> HomeFormats:
    """Checks that a home can be started. Errors: HomeError: home-newer, home-older, upgrade-unfinished,
    format-invalid."""
    refuse_newer(folder)
    found = look(folder)
    command = f"`rustorium-node upgrade --home {folder}`"
    if found.unfinished:
        raise HomeError(
            f"an upgrade of {folder} was begun and has not ended: run {command} again, which goes on with it, or with "
            "--back, which takes it back",
            code="upgrade-unfinished",
        )
    if found.format < FORMAT:
        raise HomeError(
            f"{folder} has format {found.format}, that of release {FORMATS[found.format].release}, and this release "
            f"({__version__}) starts format {FORMAT}: run {command}; with --dry-run it says what it would change",
            code="home-older",
        )
    return found


def check_chain(found: HomeFormats, folder: Path, chain: str) -> None:
    """Checks that the home is of its genesis' chain. Errors: HomeError."""
    said = found.written.chain if found.written is not None else None
    if said is not None and said != chain:
        raise HomeError(
            f"{folder / FILE} says that the home is of chain {said}, and {folder / 'genesis.json'} is that of {chain}: "
            f"put the genesis of chain {said} there. If it was another chain's by mistake, and this validator has "
            f"signed nothing that counts there, move {FILE}, db, safety and audit out of {folder} and run "
            f"`rustorium-node upgrade --home {folder}`: the next start begins anew, with the same keys",
            code="wrong-genesis",
        )


def record(folder: Path, chain: str | None) -> bool:
    """Records that this release wrote to the home; returns whether the file changed. Errors: HomeError."""
    from rustorium import _native

    content = _json(folder / FILE)
    written = _convert(folder / FILE, content, FormatContent) if content is not None else None
    versions = {**_native.versions(), "key files": KEY_FILE}
    if written is None or written.parts.get("store") != versions["store"]:
        versions["store"] = store_format(folder)[0]
    parts = {name: versions[name] for name in FORMATS[FORMAT].parts}
    wanted = FormatContent(FORMAT, __version__, chain, parts)
    if written == wanted:
        return False
    replace_file(folder / FILE, msgspec.json.format(msgspec.json.encode(wanted), indent=1) + b"\n")
    return True


def store_format(folder: Path) -> tuple[int, int | None]:
    """Returns the format of a home's store, and the first height of version 2 in it. Errors: HomeError."""
    from rustorium import _native

    try:
        return _native.store_format(str(folder / "db"))
    except _native.NativeError as error:
        raise HomeError(str(error), code=error.code) from None


# ---- files -----------------------------------------------------------------------------------------------------------


def replace_file(path: Path, content: bytes) -> None:
    """Replaces or makes a file (0600). Errors: HomeError."""
    unfinished = path.with_name(f".{path.name}.new")
    try:
        handle = os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with open(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        unfinished.rename(path)
        sync_paths(path.parent)
    except OSError as error:
        raise HomeError(
            f"{path} can't be written ({error.strerror}): fix that, then run this again; the file is unchanged"
        ) from None


def remove_file(path: Path) -> None:
    """Removes a file if it exists. Errors: HomeError."""
    try:
        path.unlink(missing_ok=True)
        if path.parent.is_dir():
            sync_paths(path.parent)
    except OSError as error:
        raise HomeError(f"{path} can't be removed ({error.strerror}): fix that, then run this again") from None


def sync_paths(*paths: Path) -> None:
    """Syncs files and folders to the disk, so that they survive a power cut. Errors: OSError."""
    for path in paths:
        handle = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# ---- numbers ---------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Number:
    path: Path
    found: int
    known: int
    release: str | None = None


def _refuse(numbers: Iterator[_Number]) -> None:
    for number in numbers:
        if number.found > number.known:
            raise newer(number.path, number.found, number.known, number.release)
        if number.found < 1:
            raise _invalid(number.path, f"it names format {number.found}")


def _numbers(folder: Path) -> Iterator[_Number]:
    """Yields the home's format from each file that names it."""
    content = _json(folder / FILE)
    if content is not None:
        release = content.get("release")
        said = release if isinstance(release, str) and len(release) < 64 else None
        yield _Number(folder / FILE, _whole(folder / FILE, content, "format"), FORMAT, said)
    yield _Number(folder / CONFIG, _marked(folder), FORMAT)
    pending = _json(folder / PENDING)
    if pending is not None:
        for name in ("from", "to"):
            yield _Number(folder / PENDING, _whole(folder / PENDING, pending, name), FORMAT)


def _parts(folder: Path) -> Iterator[_Number]:
    """Yields the formats of a home's parts that can be read without a key. Journal and store are checked when they are
    opened."""
    known = FORMATS[FORMAT].parts
    content = _json(folder / FILE)
    if content is not None:
        for name, number in _convert(folder / FILE, content, FormatContent).parts.items():
            # An unknown part is from a newer release.
            yield _Number(folder / FILE, max(number, 1), known.get(name, 0))
    for path in sorted(folder.glob("*.key")):
        if (found := key_version(path)) is not None:
            yield _Number(path, found, known["key files"])


def _marked(folder: Path) -> int:
    """Returns `home.format` of `config.toml`, 1 if it is missing. The strict parser reports other faults."""
    try:
        with (folder / CONFIG).open("rb") as file:
            number = tomllib.loads(file.read(BYTES_MAX).decode())["home"]["format"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return 1
    return number if type(number) is int and 1 <= number <= NUMBER_MAX else 1


def _json(path: Path) -> dict[str, Any] | None:
    """Returns the object in a JSON file; `None` if there is no file. Errors: HomeError."""
    try:
        with path.open("rb") as file:
            content = json.loads(file.read(BYTES_MAX))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, RecursionError) as error:
        raise _invalid(path, str(error)) from None
    if not isinstance(content, dict):
        raise _invalid(path, "it is no object")
    return content


def _whole(path: Path, content: Mapping[str, Any], name: str) -> int:
    number = content.get(name)
    if type(number) is not int or not 0 <= number <= NUMBER_MAX:
        raise _invalid(path, f"its `{name}` is no number of a format")
    return number


def _convert(path: Path, content: Mapping[str, Any], kind: type[T]) -> T:
    try:
        return msgspec.convert(content, kind)
    except msgspec.ValidationError as error:
        raise _invalid(path, str(error)) from None


def _invalid(path: Path, why: str) -> HomeError:
    folder = path.parent if path.parent.name != UPGRADE else path.parent.parent
    return HomeError(
        f"{path} is damaged ({why}): move it away and run `rustorium-node upgrade --home {folder}`, which writes it "
        "anew",
        code="format-invalid",
    )
