"""Starting points of a light client: a genesis, a checkpoint, or its trust file.

Invariants: a trust file is replaced atomically, and only by one with the same or a later epoch and height; its readable
part is compared with its state.
"""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from rustorium import _native
from rustorium.access.files import replace
from rustorium.client import prooffile
from rustorium.errors import EpochUnknown, ProofRefused, TrustExpired, UsageError, VerificationFailed

TRUST_PERIOD_S = 30 * 24 * 3600.0
"""Default trust period when starting from a checkpoint or a trust file."""

P = ParamSpec("P")
T = TypeVar("T")


def period_ms(trust_period_s: float | None, *, pinned: bool) -> int | None:
    """Returns the trust period in ms; `None` if committees are trusted for ever. `pinned`: the start is a checkpoint or
    trust file. Errors: UsageError."""
    if trust_period_s is None:
        return int(TRUST_PERIOD_S * 1000) if pinned else None
    if math.isnan(trust_period_s) or trust_period_s <= 0:
        raise UsageError(f"a trust period of {trust_period_s} s would trust nobody: give one above zero, or math.inf")
    return None if math.isinf(trust_period_s) else int(trust_period_s * 1000)


def from_genesis(genesis: bytes, trust_period_s: float | None, shard: int = 0) -> _native.Light:
    """Starts at a genesis (canonical bytes), in one of its shards. Errors: VerificationFailed, UsageError."""
    return translate_errors(_native.Light.from_genesis, genesis, period_ms(trust_period_s, pinned=False), shard)


def from_checkpoint(content: bytes, trust_period_s: float | None) -> _native.Light:
    """Starts at the content of a checkpoint file. Errors: VerificationFailed, UsageError."""
    claimed, checkpoint = prooffile.parse_checkpoint(content)
    light = translate_errors(_native.Light.from_checkpoint, checkpoint, period_ms(trust_period_s, pinned=True))
    return _as_claimed(light, claimed, "checkpoint")


def shard_of_checkpoint(content: bytes) -> int:
    """Returns the shard whose committee a checkpoint file names. Errors: VerificationFailed."""
    return int(_facts(from_checkpoint(content, math.inf))["shard"])


class TrustFile:
    """The file that keeps a light client's state, and the newest verified height, for the next start."""

    def __init__(self, path: Path) -> None:
        self.path = path.expanduser()
        self.height = 0
        """Newest verified height that the file named when it was read."""
        self._saved = (b"", 0)

    def light(self, start: Callable[[], _native.Light], trust_period_s: float | None) -> _native.Light:
        """Returns the light client of the file, or `start` if that is newer or there is no file yet.

        Errors: VerificationFailed, UsageError if the file is of another chain, OSError."""
        begun = start()
        try:
            content = self.path.read_bytes()
        except FileNotFoundError:
            return begun
        try:
            kept, self.height = self._read(content, trust_period_s)
        except VerificationFailed as error:
            raise VerificationFailed(
                f"the trust file {self.path} can't be used: {error}; remove it to start again"
            ) from None
        of, here = _facts(kept)["chain"], _facts(begun)["chain"]
        if of != here:
            raise UsageError(f"{self.path} is the trust file of another chain, {of}, not {here}: name another file")
        self._saved = (kept.to_bytes(), self.height)
        return kept if _facts(kept)["epoch"] >= _facts(begun)["epoch"] else begun

    def save(self, light: _native.Light, height: int) -> None:
        """Replaces the file if the state or the height is new. What another client has followed farther stays in it.
        Errors: OSError."""
        if (light.to_bytes(), height) == self._saved:
            return
        kept, known = self._kept()
        newest = kept if kept is not None and _facts(kept)["epoch"] > _facts(light)["epoch"] else light
        if kept is None or newest is light or height > known:
            content = prooffile.trust_to_bytes(_facts(newest), newest.to_bytes(), max(height, known))
            replace(self.path, content, mode=0o600)
        self._saved = (light.to_bytes(), height)

    def _kept(self) -> tuple[_native.Light | None, int]:
        """Returns the state and the height in the file; `None` and 0 if it can't be read."""
        try:
            return self._read(self.path.read_bytes(), None)
        except (OSError, VerificationFailed):
            return None, 0

    def _read(self, content: bytes, trust_period_s: float | None) -> tuple[_native.Light, int]:
        if prooffile.is_checkpoint(content):
            return from_checkpoint(content, trust_period_s), 0
        claimed, state, height = prooffile.parse_trust(content)
        light = translate_errors(_native.Light.from_bytes, state, period_ms(trust_period_s, pinned=True))
        return _as_claimed(light, claimed, "trust file"), height


def _facts(light: _native.Light) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads(light.describe())
    return facts


def _as_claimed(light: _native.Light, claimed: dict[str, object], what: str) -> _native.Light:
    # Releases that knew one shard didn't name it.
    if {"shard": 0} | claimed != _facts(light):
        raise VerificationFailed(f"the {what}'s readable part contradicts the {what}: get it again")
    return light


def translate_errors(check: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """Runs a check of the extension and returns its result. Errors: VerificationFailed if it refuses."""
    try:
        return check(*arguments, **named)
    except _native.NativeError as error:
        message, code = str(error.args[0]), error.code
        kinds: dict[str, type[VerificationFailed]] = {"epoch-unknown": EpochUnknown, "trust-expired": TrustExpired}
        raise kinds.get(code, ProofRefused)(message, code=code) from None
