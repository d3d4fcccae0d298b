"""The files of a ceremony, a trusted setup by many: made, passed on, verified, and turned into keys.

Invariants: a file is written whole or not at all, and never over another. Earlier contributions are verified before a
new one is added. The only secret that Python sees is what a person typed.
"""

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from rustorium import _native
from rustorium.access.private import sync_folder
from rustorium.errors import CeremonyRefused, FileExists, UsageError

Progress = Callable[[int, int], None]
"""Called with the work done and the total; may raise, which stops the work."""

P = ParamSpec("P")
T = TypeVar("T")

FILE_BYTES_MAX = 1 << 30
PROVING_KEY, VERIFYING_KEY = "proving.key", "verifying.key"
BEACON_LOG2 = 20
RANDOM = "random"
"""The origin of a contribution whose secret was random, and forgotten afterwards."""


@dataclass(frozen=True)
class Contribution:
    """One line of a ceremony's list. Each contributor finds there the hash that `contribute` returned."""

    phase: int
    number: int
    name: str
    origin: str
    """"random", or "beacon VALUE 2^N" (2^N hash steps), or "import HASH" of a `.ptau`."""
    hash: str


@dataclass(frozen=True)
class Ceremony:
    """Content of a verified file."""

    phase: int
    circuit: str | None
    contributions: tuple[Contribution, ...]
    verifying_key: bytes | None
    """Canonical bytes; only in phase 2, after its first contribution."""


def quiet(done: int, total: int) -> None:
    """Ignores progress."""


def circuits() -> list[str]:
    """Returns the names of this release's circuits."""
    return _native.ceremony_circuits()


def begin(
    out: Path,
    circuit: str,
    *,
    power: int | None = None,
    ptau: Path | None = None,
    powers: Path | None = None,
    progress: Progress = quiet,
) -> None:
    """Writes the file of a phase 1 that is large enough for the circuit, or for 2^`power` constraints to serve several
    circuits. It may start from a snarkjs `.ptau`. With `powers`, a finished phase 1, it writes the circuit's phase 2.

    Errors: UsageError, CeremonyRefused."""
    if circuit not in circuits():
        raise UsageError(f"there is no circuit {circuit!r}: name one of {', '.join(circuits())}")
    if powers is not None and (ptau is not None or power is not None):
        raise UsageError("a size and a .ptau start phase 1, and powers start phase 2: give only one of them")
    if power is not None and not 1 <= power <= 255:
        raise UsageError("the size of phase 1 is an exponent of two, at least 1: give another --power")
    _free(out)
    if powers is not None:
        content = translate_errors(_native.ceremony_second, circuit, _read(powers), progress)
    else:
        content = translate_errors(_native.ceremony_begin, circuit, power, _read(ptau) if ptau is not None else None)
    _write(out, content)


def contribute(
    file: Path,
    out: Path,
    name: str,
    *,
    typed: bytes = b"",
    beacon: bytes | None = None,
    beacon_log2: int = BEACON_LOG2,
    progress: Progress = quiet,
) -> str:
    """Adds a contribution and returns its hash, which the contributor keeps. The secret is made of the system's
    randomness and the typed text, and forgotten. With 32 bytes of a `beacon`, it is made of a value that everybody will
    know.

    Errors: UsageError, CeremonyRefused."""
    if beacon is not None and (len(beacon) != 32 or not 0 <= beacon_log2 <= 255):
        raise UsageError("a beacon is 64 hex digits, hashed 2^0 to 2^28 times")
    _free(out)
    public = (beacon, beacon_log2) if beacon is not None else None
    content, told = translate_errors(_native.ceremony_contribute, _read(file), name, typed, public, progress)
    _write(out, content)
    return told


def verify(file: Path, *, progress: Progress = quiet) -> Ceremony:
    """Verifies a file from its content alone. Errors: UsageError, CeremonyRefused."""
    phase, circuit, lines, key = translate_errors(_native.ceremony_verify, _read(file), progress)
    return Ceremony(phase, circuit, _contributions(lines), key)


def _contributions(lines: Iterable[tuple[int, str, str, str]]) -> tuple[Contribution, ...]:
    counts = {1: 0, 2: 0}
    contributions = []
    for of, name, origin, told in lines:
        counts[of] += 1
        contributions.append(Contribution(of, counts[of], name, origin, told))
    return tuple(contributions)


def expect(ceremony: Ceremony, hashes: list[str], key: bytes | None = None) -> None:
    """Checks that the ceremony has these contributions, and that `key` is its result. Errors: CeremonyRefused."""
    known = {contribution.hash: contribution for contribution in ceremony.contributions}
    for wanted in hashes:
        found = known.get(wanted.lower())
        if found is None:
            raise CeremonyRefused(
                f"no contribution has the hash {wanted}: it was left out, or an earlier contribution differs; don't "
                "trust this ceremony"
            )
        if found.origin != RANDOM:
            kind = found.origin.partition(" ")[0]
            raise CeremonyRefused(
                f"the contribution with the hash {wanted} is a{'n' if kind == 'import' else ''} {kind}, whose secret "
                "everybody knows or nobody here gave: expect the hash that `contribute` told somebody whom you trust"
            )
    if key is not None and key != ceremony.verifying_key:
        raise CeremonyRefused("the verifying key is not the one that this ceremony made: don't trust it")


def finish(file: Path, folder: Path, *, progress: Progress = quiet) -> tuple[dict[str, str], tuple[Contribution, ...]]:
    """Verifies the file and writes `proving.key` and `verifying.key` into the folder. Returns their BLAKE3 hashes, and
    the contributions that they rest on.

    Errors: UsageError, CeremonyRefused."""
    for name in (PROVING_KEY, VERIFYING_KEY):
        _free(folder / name)
    proving, verifying, lines = translate_errors(_native.ceremony_finish, _read(file), progress)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"the folder {folder} can't be made ({error.strerror}): choose another place") from None
    _write(folder / PROVING_KEY, proving)
    _write(folder / VERIFYING_KEY, verifying)
    hashes = {"proving_key": _native.value_hash(proving).hex(), "verifying_key": _native.value_hash(verifying).hex()}
    return hashes, _contributions(lines)


def translate_errors(work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls the extension. Errors: CeremonyRefused for an invalid file, UsageError for an impossible request."""
    try:
        return work(*args, **kwargs)
    except _native.NativeError as error:
        if error.code == "ceremony-refused":
            raise CeremonyRefused(str(error.args[0])) from None
        if error.code == "ceremony-not-possible":
            raise UsageError(str(error.args[0]), code=error.code) from None
        raise


def _read(path: Path) -> bytes:
    try:
        with open(path, "rb") as file:
            if os.fstat(file.fileno()).st_size > FILE_BYTES_MAX:
                raise UsageError(f"{path} has more bytes than any ceremony's file: name another")
            return file.read()
    except OSError as error:
        raise UsageError(f"{path} can't be read ({error.strerror}): name a file that can") from None


def _free(path: Path) -> None:
    """Refuses an existing file before hours of work, not after."""
    if path.exists():
        raise FileExists(path)


def _write(path: Path, content: bytes) -> None:
    """Writes a new file, whole or not at all. Errors: FileExists, UsageError."""
    making = path.with_name(f".{path.name}.{os.getpid()}.making")
    try:
        with open(making, "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(making, path)
        finally:
            making.unlink()
        sync_folder(path.parent)
    except FileExistsError:
        raise FileExists(path) from None
    except OSError as error:
        raise UsageError(f"{path} can't be written ({error.strerror}): free space or choose another place") from None
