"""Power cuts at every call on the vote path: everything that was sent is on the disk, and no cut costs the key.

`crates/storage/examples/vote_path.rs` is started three times on one home under the layer, which records its calls; each
time it ends as by kill -9. The test rebuilds the home after each call, in eleven ways that a power cut could have left
it, and opens it. Store and journal must open, and must contain what the datagrams before that point promised.
`RUSTORIUM_CUT_STRIDE` selects every so-many-th call; calls at which a start has just resent what it found are always
included. One run gives all points, because what a process does after a cut doesn't change what it did before.
"""

import json
import os
import re
import signal
import socket
import subprocess
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from random import Random
from typing import Any

import pytest

from disk_layer import environment, rule
from power_cut import VARIANTS, Disk, Op, Record, read_folder, read_trace, write_folder
from rust_example import rust_example

STRIDE = int(os.environ.get("RUSTORIUM_CUT_STRIDE", "31"))
LIVES = int(os.environ.get("RUSTORIUM_CUT_LIVES", "8"))
SESSIONS = 3
CALLS_ABOUT = 260
"""Approximate number of calls of one session."""
AT_ONCE = 200
"""Number of images that one process checks."""


@pytest.fixture(scope="session")
def vote_path() -> Path:
    return rust_example("vote_path")


@dataclass
class Promise:
    """Everything that had been sent at some point."""

    votes: dict[int, str] = field(default_factory=dict)
    height: int = 0
    retired: bool = False

    def add(self, sent: bytes) -> None:
        what, *rest = sent.decode().split(maxsplit=2)
        if what == "vote":
            self.votes[int(rest[0])] = rest[1]
        elif what == "height":
            self.height = int(rest[0])
        else:
            self.retired = True

    def broken_by(self, found: dict[str, Any]) -> list[str]:
        """Returns the parts that a start on the rebuilt home would lack."""
        if "error" in found:
            return [f"it doesn't open: {found['error']}"]
        names = dict(found["votes"]) | {lsn: "floor" for lsn, _ in found["floors"]}
        kept = max((int(text) for _, text in found["floors"]), default=0)
        broken = [f"vote {name}" for lsn, name in self.votes.items() if lsn >= kept and names.get(lsn) != name]
        # Records below the floor that are still needed were copied forward; each counts wherever its copy is.
        held = set(names.values())
        broken += [f"vote {name}" for name in self._pinned() if name not in held]
        if self.height > (found["height"] or 0):
            broken.append(f"height {self.height}: there is {found['height']}")
        if self.retired and not found["retired"]:
            broken.append("the mark of the retired key")
        return broken

    def _pinned(self) -> list[str]:
        """Returns the pinned records of the newest session, because a start copies none of an earlier session."""
        names = [name for name in self.votes.values() if name.endswith(".pinned")]
        return sorted(names, key=lambda name: int(name.split(".")[0]))[-1:]


@contextmanager
def receiver() -> Iterator[str]:
    """An address for datagrams, whose content the layer's trace records."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{bound.getsockname()[1]}"


def session(program: Path, home: Path, number: int, trace: Path, address: str, *rules: str) -> int:
    """Runs the example once; returns how it ended."""
    told = {**os.environ, **environment(home, trace=trace, rules=rules)}
    command = [program, "run", home, address, str(number)]
    return subprocess.run(command, env=told, check=False, timeout=60).returncode


@dataclass(frozen=True)
class Run:
    """Three sessions and their trace."""

    home: Path
    records: list[Record]


@pytest.fixture(scope="module")
def whole_run(vote_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Run:
    scratch = tmp_path_factory.mktemp("vote-path")
    home, trace = scratch / "home", scratch / "trace"
    home.mkdir(mode=0o700)
    with receiver() as address:
        for number in range(SESSIONS):
            assert session(vote_path, home, number, trace, address) == 0
    return Run(home, read_trace(trace))


@dataclass(frozen=True)
class Cut:
    """A home after a power cut."""

    call: int
    variant: tuple[str, str]
    promise: Promise
    image: dict[str, bytes | None]


def said_again(records: Sequence[Record]) -> set[int]:
    """Returns the points after consecutive datagrams, where a start has resent what it found and has done nothing else
    yet."""
    sent = [record.op == Op.SEND for record in records]
    runs = (call for call in range(1, len(sent)) if sent[call - 1] and sent[call])
    return {call for call in runs if not any(sent[call + 1 : call + 2])}


def cuts(records: Sequence[Record], home: Path, stride: int, variants: Sequence[tuple[str, str]]) -> Iterator[Cut]:
    """Yields every stride-th point and those where a start has resent what it found, with the homes that didn't occur
    before."""
    disk, promise, seen, again = Disk(home), Promise(), set[int](), said_again(records)
    for call, record in enumerate(records):
        disk.play(record)
        if record.op == Op.SEND:
            promise.add(record.data)
        if call % stride and call + 1 < len(records) and call not in again:
            continue
        frozen = Promise(dict(promise.votes), promise.height, promise.retired)
        for variant in variants:
            image = disk.image(*variant, seed=call)
            key = hash((tuple(sorted(image.items())), len(frozen.votes), frozen.height, frozen.retired))
            if key not in seen:
                seen.add(key)
                yield Cut(call, variant, frozen, image)
    disk.assert_complete()


def check(program: Path, scratch: Path, found: Sequence[Cut]) -> list[str]:
    """Returns the faults of these homes."""
    homes = [scratch / str(number) / "home" for number in range(len(found))]
    for home, cut in zip(homes, found, strict=True):
        write_folder(home, cut.image)
    told = {**os.environ, **environment(scratch)}
    names = "".join(f"{home}\n" for home in homes)
    done = subprocess.run([program, "check"], env=told, input=names, stdout=subprocess.PIPE, check=True, text=True)
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    return [
        f"cut after call {cut.call}, names {cut.variant[0]}, data {cut.variant[1]}: {what}"
        for cut, answer in zip(found, answers, strict=True)
        for what in cut.promise.broken_by(answer)
    ]


def all_faults(program: Path, scratch: Path, points: Iterator[Cut]) -> tuple[int, list[str]]:
    """Returns the number of homes, and their faults."""
    faults, total = list[str](), 0
    while group := list(islice(points, AT_ONCE)):
        faults += check(program, scratch, group)
        total += len(group)
    return total, faults


def test_no_power_cut_takes_what_was_sent(vote_path: Path, whole_run: Run, tmp_path: Path) -> None:
    sent = sum(record.op == Op.SEND for record in whole_run.records)
    total, faults = all_faults(vote_path, tmp_path / "cut", cuts(whole_run.records, whole_run.home, STRIDE, VARIANTS))
    print(f"{len(whole_run.records)} calls, {sent} datagrams, {total} different homes after a power cut")
    assert faults == []
    assert sent > SESSIONS * 24


@pytest.mark.parametrize(
    "part",
    ["/home$", "/safety$", r"/segment-\d+\.log$", r"/segment-\d+\.new$", r"/keys\.new$", r"\.storage\.key\.new$"],
)
def test_the_check_finds_each_sync_that_a_disk_does_not_do(
    vote_path: Path, whole_run: Run, tmp_path: Path, part: str
) -> None:
    lied = [
        replace(record, result=-1) if record.op == Op.SYNC_END and re.search(part, record.path) else record
        for record in whole_run.records
    ]
    assert lied != whole_run.records
    points = cuts(lied, whole_run.home, 61, [("kept", "dropped"), ("dropped", "kept")])
    _, faults = all_faults(vote_path, tmp_path / "cut", points)
    assert faults != []


def test_cut_after_cut_after_cut(vote_path: Path, tmp_path: Path) -> None:
    """Each session starts on the home that the last power cut left, and is cut at a call of its own. The promise covers
    all sessions."""
    home, luck, promise, ends = tmp_path / "home", Random(LIVES), Promise(), Counter[int]()
    home.mkdir(mode=0o700)
    with receiver() as address:
        for life in range(LIVES):
            base, trace = read_folder(home), tmp_path / f"trace-{life}"
            at, variant = luck.randint(1, CALLS_ABOUT), luck.choice([*VARIANTS, ("kept", "kept")])
            ends[session(vote_path, home, 100 + life, trace, address, rule("cut", from_=at))] += 1
            disk = Disk(home, base)
            for record in read_trace(trace):
                disk.play(record)
                if record.op == Op.SEND:
                    promise.add(record.data)
            disk.assert_complete()
            write_folder(home, disk.image(*variant, seed=life))
            faults = check(vote_path, tmp_path / "look", [Cut(at, variant, promise, read_folder(home))])
            assert faults == [], f"life {life}"
            trace.unlink()
    print(f"{LIVES} lives, ended with {dict(ends)}, {len(promise.votes)} votes sent and none forgotten")
    assert ends.keys() <= {0, -signal.SIGKILL}
    assert promise.votes
