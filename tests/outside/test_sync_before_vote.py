"""The system calls of a real validator show that a vote leaves only after the data that it rests on is on the disk.

Messages are encrypted, so a vote's datagram can't be told from others. But with one of four validators down, every
certificate needs the vote of each of the other three, and so whatever rests on a certificate comes after those votes
were sent. Two of the three are traced. strace delays every `fdatasync` of the *voter* by `DELAY_US`, so that a vote
which doesn't wait for it is seen far ahead of it. The *witness* has no delay. For each view in which the voter
journaled votes:

- an `fdatasync` of the journal, begun after the write of the notarize vote had ended, returns before the witness begins
  to journal its finalize vote of that view, for which it had to receive the voter's notarize vote;
- the same for the finalize vote, and the moment when a client of the third node learns that its transaction is
  final;
- before the notarize vote the journal contains the block, and before the finalize vote the notarization. The journal is
  one file, written in order, so the same sync covers them. A batch of the voter is synced before the block that lists
  it is final.

With durability "os", which is the same program without the syncs, each check fails, because it finds no sync at all.
"""

import json
import re
import signal
import struct
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from process_tools import assert_no_panic
from rustorium import _native
from rustorium.client import Client, Key
from rustorium.home.keys import open_storage_key
from rustorium.home.paths import Home
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.outside

VOTER, WITNESS, THIRD, DOWN = range(4)
DELAY_US = 50_000
TRANSACTIONS = 8
PAGE, OVERHEAD = 4096, 37
VOTE, PROPOSAL, BATCH, CERTIFICATE = 1, 2, 3, 4
NOTARIZE, NULLIFY, FINALIZE = range(3)
CALL = re.compile(r"^(\d+) +(\d+\.\d+) (pwrite64|fdatasync)\((\d+)<([^>]*)>(.*)$")
RESUMED = re.compile(r"^(\d+) +(\d+\.\d+) <\.\.\. (pwrite64|fdatasync) resumed>(.*)$")


@dataclass
class Call:
    """A system call on a journal file."""

    name: str
    began: float
    ended: float = float("inf")
    ok: bool = False
    offset: int = 0
    data: bytes = b""


@dataclass(frozen=True)
class Record:
    """A journal record, and the call that first wrote all of it."""

    kind: int
    lsn: int
    payload: bytes
    write: Call

    @property
    def view(self) -> int:
        """Returns the view of a vote, a certificate or a block."""
        (view,) = struct.unpack_from("<Q", self.payload, 46 if self.kind == PROPOSAL else 44)
        return int(view)

    @property
    def vote_kind(self) -> int:
        """Returns the kind of a vote or a certificate."""
        return self.payload[52]


@dataclass
class Trace:
    """A node's journal calls in order, and the records that they wrote."""

    calls: list[Call] = field(default_factory=list)
    records: list[Record] = field(default_factory=list)

    def synced(self, record: Record) -> float:
        """Returns the time when the first sync that began after the record's write ended; infinity if there was
        none.
        """
        ends = (
            call.ended
            for call in self.calls
            if call.name == "fdatasync" and call.ok and call.began >= record.write.ended
        )
        return min(ends, default=float("inf"))

    def find(self, kind: int, view: int, vote_kind: int = NOTARIZE) -> Record | None:
        for record in self.records:
            if record.kind == kind and record.view == view and (kind == PROPOSAL or record.vote_kind == vote_kind):
                return record
        return None


@contextmanager
def traced(pid: int, output: Path, *more: str) -> Iterator[None]:
    """Runs strace on a running process, from when it holds all its threads until the end."""
    command = ["strace", "-f", "-ttt", "-y", "-xx", "-s", "1000000", "-e", "trace=pwrite64,fdatasync", *more]
    tracer = subprocess.Popen([*command, "-o", str(output), "-p", str(pid)], stderr=subprocess.PIPE, text=True)
    assert tracer.stderr is not None
    try:
        line = tracer.stderr.readline()
        assert "attached" in line, line
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.communicate(timeout=60)


def unescape(text: str) -> bytes:
    return bytes.fromhex(text.replace("\\x", ""))


def read_trace(output: Path, home: Path, chain: str) -> Trace:
    """Returns the calls on the journal's segments; their bytes are parsed by the journal's format."""
    trace = Trace()
    open_calls: dict[str, Call] = {}
    for line in output.read_text().splitlines():
        if found := CALL.match(line):
            thread, at, name, _, path, rest = found.groups()
            if b"/safety/segment-" not in unescape(path):
                continue
            call = Call(name, float(at))
            if name == "pwrite64":
                written = re.match(r', "([^"]*)", \d+, (\d+)', rest)
                assert written is not None, line[:300]
                call.data, call.offset = unescape(written[1]), int(written[2])
            trace.calls.append(call)
            if rest.endswith("<unfinished ...>"):
                open_calls[thread] = call
            else:
                end(call, rest, float(at))
        elif (found := RESUMED.match(line)) and (resumed := open_calls.pop(found[1], None)) is not None:
            end(resumed, found[4], float(found[2]))
    parse_records(trace, home, chain)
    return trace


def end(call: Call, rest: str, at: float) -> None:
    result = re.search(r"= (-?\d+)", rest)
    took = re.search(r"<(\d+\.\d+)>$", rest)
    if result is None:
        return  # the trace ended during the call
    call.ok = int(result[1]) >= 0
    call.ended = call.began + float(took[1]) if took is not None else at


def parse_records(trace: Trace, home: Path, chain: str) -> None:
    """Reads the journal's one segment, and finds for each of its records the first call that completed it."""
    [segment] = [path for path in (home / "safety").glob("segment-*.log") if any(path.read_bytes()[:8])]
    content = segment.read_bytes()
    (first,) = struct.unpack_from("<Q", content, 16)
    key = open_storage_key(Home(home).storage_key, None, {})
    for lsn, kind, payload in _native.read_journal(str(home / "safety"), chain, key):
        begin = PAGE + lsn - first
        last = begin + OVERHEAD + len(payload)
        for call in trace.calls:
            start = max(begin, call.offset)
            part = call.data[start - call.offset : last - call.offset]
            if call.offset < last <= call.offset + len(call.data) and part == content[start:last]:
                trace.records.append(Record(kind, lsn, payload, call))
                break


def run(root: Path, durability: str) -> tuple[Trace, Trace, list[tuple[float, float, int]]]:
    """Returns the voter's trace, the witness' trace, and for each transaction the time of its request, the time when it
    was final, and its view."""
    with Devnet.create(root, durability=durability, accounts=2) as net:
        net.start()
        net.kill(DOWN)
        voter, witness = net.net.nodes[VOTER], net.net.nodes[WITNESS]
        key = Key.open(net.net.accounts[0].key_file)
        told = []
        with Client(net.net.nodes[THIRD].http, genesis=Path(net.net.genesis), key=key) as client:
            client.put(b"before", b"1")
            with (
                traced(witness.pid, root / "witness.trace", "-T"),
                traced(voter.pid, root / "voter.trace", "-T", f"--inject=fdatasync:delay_enter={DELAY_US}"),
            ):
                for number in range(TRANSACTIONS):
                    asked = time.time()
                    done = client.put(b"traced", b"%d" % number)
                    final = time.time()
                    assert done.receipt is not None
                    told.append((asked, final, client.block(done.receipt.height).view))
        ended = net.stop()
        assert {ended[node.name] for node in (voter, witness)} == {0}
        assert_no_panic(net)
        return (
            read_trace(root / "voter.trace", Path(voter.home), net.net.chain),
            read_trace(root / "witness.trace", Path(witness.home), net.net.chain),
            told,
        )


def given_up(voter: Trace, witness: Trace, view: int) -> bool:
    """Returns whether one of them gave a view up, as happens on a busy machine, and so didn't vote to finalize it. A
    later block made its block final."""
    return any(node.find(VOTE, view, NULLIFY) is not None for node in (voter, witness))


def faults(voter: Trace, witness: Trace, told: list[tuple[float, float, int]]) -> list[str]:
    """Returns the contradictions to "synced before sent"."""
    found: list[str] = []
    checked = 0
    for _, final, view in told:
        if given_up(voter, witness, view):
            continue
        notarize = voter.find(VOTE, view, NOTARIZE)
        finalize = voter.find(VOTE, view, FINALIZE)
        seen = witness.find(VOTE, view, FINALIZE)
        if notarize is None or finalize is None or seen is None:
            found.append(f"view {view}: the journals lack a vote")
            continue
        checked += 1
        if voter.synced(notarize) > seen.write.began:
            found.append(f"view {view}: the notarize vote was sent before it was synced")
        if voter.synced(finalize) > final:
            found.append(f"view {view}: the finalize vote was sent before it was synced")
        block, notarization = voter.find(PROPOSAL, view), voter.find(CERTIFICATE, view, NOTARIZE)
        if block is None or block.lsn > notarize.lsn or voter.synced(block) > seen.write.began:
            found.append(f"view {view}: the block was not on disk before the notarize vote was sent")
        if notarization is None or notarization.lsn > finalize.lsn or voter.synced(notarization) > final:
            found.append(f"view {view}: the notarization was not on disk before the finalize vote was sent")
        batches = [record for record in voter.records if record.kind == BATCH and record.lsn < notarize.lsn]
        if any(voter.synced(batch) > seen.write.began for batch in batches):
            found.append(f"view {view}: a batch was not on disk before the notarize vote was sent")
    assert checked, found
    return found


def test_a_vote_leaves_after_its_sync(tmp_path: Path) -> None:
    voter, witness, told = run(tmp_path / "net", "vote")
    assert faults(voter, witness, told) == []
    syncs = [call for call in voter.calls if call.name == "fdatasync" and call.ok]
    # Without the delay the order would prove nothing. strace reads the clock around its own delay, so a little of it
    # may be missing; a sync without the delay is an order of magnitude shorter.
    assert min(call.ended - call.began for call in syncs) >= DELAY_US / 2e6
    kinds = {kind: sum(record.kind == kind for record in voter.records) for kind in (1, 2, 3, 4)}
    print(json.dumps({"syncs": len(syncs), "records by kind": kinds, "views": [view for _, _, view in told]}))


def test_the_check_fails_on_a_node_without_the_sync(tmp_path: Path) -> None:
    voter, witness, told = run(tmp_path / "net", "os")
    assert not [call for call in voter.calls if call.name == "fdatasync"]
    found = faults(voter, witness, told)
    for view in {view for _, _, view in told if not given_up(voter, witness, view)}:
        assert f"view {view}: the notarize vote was sent before it was synced" in found
        assert f"view {view}: the finalize vote was sent before it was synced" in found
