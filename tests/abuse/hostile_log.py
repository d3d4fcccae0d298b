"""Damaged logs of the core's inputs, as somebody may send them after an incident: changed anywhere, in the state at the
start of a segment, and in a step."""

from collections.abc import Callable
from pathlib import Path

from hostile_files import put

from rustorium.consensus.pacemaker import ConsensusConfig
from rustorium.consensus.replica import Replica
from rustorium.consensus.vocabulary import (
    BlockFacts,
    BlockSeen,
    Certificate,
    Input,
    PayloadStatus,
    PeerSilence,
    Recovered,
    Tick,
    VoteKind,
    WorkSeen,
)
from rustorium.node.loop.inputlog import InputLog, replay

Read = Callable[[bytes], object]
N, ME, VIEWS = 4, 2, 6
PART_BEGINS = 4
"""Views after which a new segment begins."""


def log_cases() -> dict[str, Callable[[Path], tuple[Read, bytes]]]:
    """Returns the cases: any byte of the log, its header, and one of its steps."""
    return {
        "core log": lambda folder: _case(folder, None),
        "core state": lambda folder: _case(folder, 0),
        "core step": lambda folder: _case(folder, -1),
        "core start": lambda folder: _case(folder, 1, first=True),
    }


def _case(folder: Path, number: int | None, *, first: bool = False) -> tuple[Read, bytes]:
    """Makes a case. `number`: the number of the changed frame, `None` for any byte. `first`: true if the frame is in
    the segment that begins with an empty state."""
    segments = _write(folder / "inputs")
    path = segments[0 if first else -1]
    frames = _frames(path.read_bytes())

    def read(content: bytes) -> object:
        changed = list(frames)
        if number is not None:
            changed[number] = content
        put(path, content if number is None else b"".join(map(_framed, changed)))
        return list(replay(path))

    return read, path.read_bytes() if number is None else frames[number]


def _write(folder: Path) -> list[Path]:
    """Writes two segments of a replica that followed some views."""
    replica = Replica(ConsensusConfig())
    parent = BlockFacts(0, 0, bytes(32), 0, bytes(32), 0, 0, False, 0)
    log = InputLog(folder, replica, ConsensusConfig(), ME, N, 1 << 20)
    events: list[Input] = [Recovered(parent, 0, 0, ME, N), WorkSeen(True), PeerSilence(1, True)]
    now = 0
    for view in range(1, VIEWS):
        block = BlockFacts(view, view, bytes([view]) * 32, parent.view, parent.digest, view % N, now + 1, True, 0)
        events += [BlockSeen(block, PayloadStatus.PENDING), BlockSeen(block, PayloadStatus.READY), Tick()]
        events += [Certificate(kind, view, block.digest) for kind in (VoteKind.NOTARIZE, VoteKind.FINALIZE)]
        if view == PART_BEGINS:
            now = _log(log, replica, events, now)
            log.close()
            events, log = [], InputLog(folder, replica, ConsensusConfig(), ME, N, 1 << 20)
        parent = block
    _log(log, replica, events, now)
    log.close()
    return sorted(folder.iterdir())


def _log(log: InputLog, replica: Replica, events: list[Input], now: int) -> int:
    for event in events:
        now += 10**7
        log.append(now, event, replica.on_input(now, event))
    return now


def _framed(content: bytes) -> bytes:
    return len(content).to_bytes(4, "little") + content


def _frames(content: bytes) -> list[bytes]:
    found = []
    while content:
        end = 4 + int.from_bytes(content[:4], "little")
        found.append(content[4:end])
        content = content[end:]
    return found
