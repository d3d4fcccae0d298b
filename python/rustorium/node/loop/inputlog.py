"""A versioned, bounded log of the core's inputs and effects, which a replay steps again through the same code.

Format: a folder of segments `NNNNNNNN.inputs`, each a sequence of msgpack frames (u32 length, little endian). First
comes a header with version, node, committee size, configuration and the replica's state at that point. Then one frame
per input follows: [now_ns, kind, input, kinds of the effects, effects]. Any segment can be replayed without those
before it. Effects are stored whole: a hash takes more time to make, and can't tell what was done.

Invariants: at most `bytes_max` bytes on disk. A torn last frame is the end; any other mismatch is an error. A full disk
stops the log, never the node. Decoding makes only objects of the core's own classes. A log from anybody is replayed or
refused by an InputLogError (but may take any time: interrupt it).
"""

import os
import struct
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import zip_longest
from pathlib import Path
from typing import IO, Any, get_args

import msgspec

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import Effect, Input
from rustorium.errors import InputLogError
from rustorium.node.loop.statecodec import freeze, thaw

VERSION = 4
SEGMENTS = 4
FRAME_BYTES_MAX = 256 * 1024 * 1024
WRITTEN_TOGETHER = 64
"""Number of steps after which a flush is due."""
_LENGTH = struct.Struct("<I")
_INPUTS: tuple[type, ...] = get_args(Input)
_EFFECTS: tuple[type, ...] = get_args(Effect)
_INPUT_TAG = {kind: tag for tag, kind in enumerate(_INPUTS)}
_EFFECT_TAG = {kind: tag for tag, kind in enumerate(_EFFECTS)}


class _Header(msgspec.Struct, frozen=True):
    version: int
    me: int | None
    n: int
    config: dict[str, int | bool]
    inputs: list[str]
    effects: list[str]
    state: Any


class _Entry(msgspec.Struct, frozen=True, array_like=True):
    now: int
    tag: int
    event: msgspec.Raw
    kinds: bytes
    effects: list[msgspec.Raw]


class InputLog:
    """Writes the log of one replica. `append` only stores a step; `flush` encodes and writes what is stored."""

    def __init__(
        self, folder: Path, replica: Replica, config: ConsensusConfig, me: int | None, n: int, bytes_max: int
    ) -> None:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder, self._replica, self._config, self._me, self._n = folder, replica, config, me, n
        self._segment_bytes = bytes_max // SEGMENTS
        self._encoder = msgspec.msgpack.Encoder()
        self._pending: list[tuple[int, Input, list[Effect]]] = []
        self._number = max((_number(path) for path in _segments(folder)), default=0)
        self._file: IO[bytes] | None = None
        self._written = 0
        self.fault: OSError | None = None
        """The reason why the log stopped; `None` while it runs."""
        self._rotate()

    def append(self, now: int, event: Input, effects: list[Effect]) -> None:
        """Stores one step for the next flush; the list must not change after that."""
        if self.fault is None:
            self._pending.append((now, event, effects))

    @property
    def is_due(self) -> bool:
        """`True` if enough steps are stored for a flush."""
        return len(self._pending) >= WRITTEN_TOGETHER

    def flush(self) -> None:
        """Writes the stored steps. Starts a new segment if the current one is full."""
        if self._file is None or not self._pending:
            return
        frames = self._frames()
        try:
            self._file.write(frames)
            self._written += len(frames)
        except OSError as error:
            self._stop(error)
            return
        if self._written >= self._segment_bytes:
            self._rotate()

    def _frames(self) -> bytearray:
        """Encodes all stored steps in one go, so that the code for it enters the processor's caches once."""
        frames, encode = bytearray(), self._encoder.encode
        for now, event, effects in self._pending:
            tags = bytes([_EFFECT_TAG[type(effect)] for effect in effects])
            frame = encode((now, _INPUT_TAG[type(event)], event, tags, effects))
            frames += _LENGTH.pack(len(frame)) + frame
        self._pending.clear()
        return frames

    def close(self) -> None:
        """Flushes and closes; further steps are dropped."""
        self.flush()
        if self._file is not None:
            self._file.close()
            self._file = None

    def _rotate(self) -> None:
        header = _Header(
            VERSION,
            self._me,
            self._n,
            asdict(self._config),
            [kind.__name__ for kind in _INPUTS],
            [kind.__name__ for kind in _EFFECTS],
            freeze(self._replica),
        )
        frame = self._encoder.encode(header)
        try:
            if self._file is not None:
                self._file.close()
            self._number += 1
            for old in _segments(self._folder)[: -(SEGMENTS - 1)]:
                old.unlink()
            path = self._folder / f"{self._number:08}.inputs"
            self._file = open(path, "xb", buffering=0, opener=lambda name, flags: os.open(name, flags, 0o600))  # noqa: SIM115
            self._file.write(_LENGTH.pack(len(frame)) + frame)
            self._written = 0
        except OSError as error:
            self._stop(error)

    def _stop(self, error: OSError) -> None:
        self.fault = error
        self._pending.clear()
        if self._file is not None:
            self._file.close()
            self._file = None


@dataclass(frozen=True, slots=True)
class Step:
    """One replayed step."""

    segment: str
    now: int
    event: Input
    effects: tuple[Effect, ...]


def replay(path: Path) -> Iterator[Step]:
    """Steps a replica through a segment, or through a folder's segments in order. Errors: InputLogError if the log
    can't be read, or if a step's effects differ, in kind or content, from the recorded ones."""
    segments = _segments(path) if path.is_dir() else [path]
    if not segments:
        raise InputLogError(f"{path} holds no log of core inputs: name a segment or a node's log/inputs")
    for segment in segments:
        yield from _replay_segment(segment)


def _replay_segment(path: Path) -> Iterator[Step]:
    frames = _frames(path)
    header_bytes = next(frames, None)
    if header_bytes is None:
        return  # the process ended while it made this segment
    header = _decode(path, header_bytes, _Header)
    if header.version != VERSION:
        raise InputLogError(f"{path} has version {header.version} and this build reads {VERSION}: replay it there")
    names = ([kind.__name__ for kind in _INPUTS], [kind.__name__ for kind in _EFFECTS])
    if (header.inputs, header.effects) != names:
        raise InputLogError(f"{path} was recorded with another vocabulary: replay it with the build that recorded it")
    try:
        replica = Replica(ConsensusConfig(**header.config))
        thaw(replica, header.state)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError) as error:
        raise InputLogError(f"{path} holds a state that this build can't restore ({error})") from None
    for number, frame in enumerate(frames):
        entry = _decode(path, frame, _Entry)
        if entry.tag >= len(_INPUTS):
            raise InputLogError(f"{path}: step {number} has an unknown kind of input")
        event: Input = _decode(path, bytes(entry.event), _INPUTS[entry.tag])
        recorded = _recorded(path, number, entry)
        try:
            effects = replica.on_input(entry.now, event)
        except Exception as error:
            # A step was logged after it succeeded, so any exception of the core now is a difference too.
            raise InputLogError(f"{path}: step {number} now fails ({type(error).__name__}: {error})") from error
        if effects != recorded:
            raise InputLogError(f"{path}: step {number} {_difference(recorded, effects)}")
        yield Step(path.name, entry.now, event, tuple(effects))


def _recorded(path: Path, number: int, entry: _Entry) -> list[Effect]:
    """Returns the recorded effects of a step."""
    if len(entry.kinds) != len(entry.effects) or any(tag >= len(_EFFECTS) for tag in entry.kinds):
        raise InputLogError(f"{path}: step {number} has an unknown kind of effect")
    pairs = zip(entry.kinds, entry.effects, strict=True)
    return [_decode(path, bytes(effect), _EFFECTS[tag]) for tag, effect in pairs]


def _difference(recorded: list[Effect], effects: list[Effect]) -> str:
    """Describes the kinds of both, and the first effect that differs."""
    then, now = (", ".join(type(effect).__name__ for effect in one) or "nothing" for one in (recorded, effects))
    pairs = enumerate(zip_longest(recorded, effects, fillvalue="nothing"))
    place, (was, is_now) = next((place, pair) for place, pair in pairs if pair[0] != pair[1])
    return f"had the effects {then} and now has {now}; effect {place} was {was}, and now is {is_now}"


def _decode(path: Path, frame: bytes, kind: Any) -> Any:
    try:
        return msgspec.msgpack.decode(frame, type=kind)
    except (msgspec.DecodeError, ValueError, RecursionError) as error:
        raise InputLogError(f"{path} is corrupt: {error}") from None


def _frames(path: Path) -> Iterator[bytes]:
    try:
        file = open(path, "rb")  # noqa: SIM115
    except OSError as error:
        raise InputLogError(f"{path} can't be read ({error.strerror}): name a segment or a node's log/inputs") from None
    with file:
        while len(head := file.read(_LENGTH.size)) == _LENGTH.size:
            (length,) = _LENGTH.unpack(head)
            if length > FRAME_BYTES_MAX:
                raise InputLogError(f"{path} is corrupt: a frame of {length} bytes")
            frame = file.read(length)
            if len(frame) < length:
                return
            yield frame


def _segments(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*.inputs") if path.stem.isdigit())


def _number(path: Path) -> int:
    return int(path.stem)
