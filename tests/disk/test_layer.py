"""The layer sees every call of a program, its rules work as described, and a power cut removes what wasn't synced."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from disk_layer import environment, rule
from power_cut import VARIANTS, Disk, Op, Record, read_folder, read_trace, write_folder

EVERY_CALL = """
import os, sys
os.chdir(sys.argv[1])
os.mkdir("sub"); os.mkdir("sub/gone"); os.rmdir("sub/gone")
with open("sub/written", "wb") as file:
    file.write(b"buffered")
file = os.open("sub/written", os.O_RDWR)
os.pwrite(file, b"P" * 5000, 4096); os.pwritev(file, [b"v1", b"v2"], 9000); os.lseek(file, 100, 0)
os.write(file, b"here"); os.writev(file, [b"a", b"b"]); os.write(os.dup(file), b"dup")
os.posix_fallocate(file, 0, 20_000); os.ftruncate(file, 12_000); os.fsync(file); os.close(file)
end = os.open("sub/written", os.O_WRONLY | os.O_APPEND); os.write(end, b"appended"); os.fdatasync(end); os.close(end)
os.link("sub/written", "linked"); os.rename("sub/written", "sub/renamed"); os.symlink("x", "not-followed")
open("sub/short", "wb").write(b"old"); open("sub/short", "wb").close(); os.truncate("sub/short", 3)
open("removed", "w").write("x"); os.unlink("removed")
os.mkdir("tree"); open("tree/a", "w").write("a"); os.rename("tree", "sub/tree")
folder = os.open("sub", os.O_RDONLY); os.open("at", os.O_CREAT | os.O_WRONLY, dir_fd=folder); os.fsync(folder)
"""


def run(program: str, root: Path, *rules: str, trace: Path | None = None, check: bool = True) -> int:
    told = {**os.environ, **environment(root, trace=trace, rules=rules)}
    done = subprocess.run([sys.executable, "-c", program, str(root)], env=told, check=False, timeout=60)
    assert not check or done.returncode == 0
    return done.returncode


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "root").mkdir()
    return tmp_path / "root"


def traced(program: str, root: Path) -> list[Record]:
    run(program, root, trace=root.with_name("trace"))
    return read_trace(root.with_name("trace"))


def played(records: list[Record], root: Path) -> Disk:
    disk = Disk(root)
    for record in records:
        disk.play(record)
    return disk


def test_the_trace_tells_the_folder_byte_for_byte(root: Path) -> None:
    disk = played(traced(EVERY_CALL, root), root)
    disk.assert_complete()
    kept = disk.image("kept", "kept", 1)
    assert len(kept) == 7
    copy = root.with_name("copy")
    write_folder(copy, kept)
    assert read_folder(copy) == kept


def test_only_what_was_synced_survives(root: Path) -> None:
    program = """
import os, sys
os.chdir(sys.argv[1])
def put(name, data, sync):
    file = os.open(name, os.O_CREAT | os.O_WRONLY); os.write(file, data)
    if sync: os.fsync(file)
    os.close(file)
put("named", b"data", False); put("whole", b"data", True)
folder = os.open(".", os.O_RDONLY); os.fsync(folder)
put("unnamed", b"data", True)
file = os.open("whole", os.O_WRONLY); os.write(file, b"DATA"); os.fdatasync(file); os.write(file, b"lost")
os.rename("named", "renamed")
"""
    disk = played(traced(program, root), root)
    assert disk.image("dropped", "dropped", 0) == {"named": b"", "whole": b"DATA"}
    assert disk.image("kept", "dropped", 0) == {"renamed": b"", "whole": b"DATA", "unnamed": b"data"}
    assert disk.image("kept", "kept", 0) == {"renamed": b"data", "whole": b"DATAlost", "unnamed": b"data"}
    for names, data in VARIANTS:
        for seed in range(20):
            image = disk.image(names, data, seed)
            assert image == disk.image(names, data, seed), "the same seed gives the same image"
            whole = image["whole"]
            assert whole is not None
            assert whole.startswith(b"DATA"), "what was synced is there in every image"
    torn = {disk.image("dropped", "torn", seed)["whole"] for seed in range(20)}
    assert torn == {b"DATA", b"DATAlost"}


def test_a_write_after_a_sync_began_is_not_covered(root: Path) -> None:
    records = traced(WRITE_BESIDE_SYNC, root)
    [begin] = [index for index, record in enumerate(records) if record.op == Op.SYNC_BEGIN]
    records.insert(begin + 1, Record(Op.WRITE, 0, records[begin].file, 5, 4, "", b"late"))
    disk = played(records, root)
    assert disk.image("kept", "dropped", 0) == {"file": b"early"}
    assert disk.image("kept", "kept", 0) == {"file": b"earlylate"}


WRITE_BESIDE_SYNC = """
import os, sys
file = os.open(sys.argv[1] + "/file", os.O_CREAT | os.O_WRONLY); os.write(file, b"early"); os.fsync(file)
"""


def test_every_call_can_be_the_last(root: Path) -> None:
    calls = (
        Op.WRITE,
        Op.ZEROS,
        Op.TRUNCATE,
        Op.ALLOCATE,
        Op.RENAME,
        Op.UNLINK,
        Op.RMDIR,
        Op.MKDIR,
        Op.LINK,
        Op.SYNC_BEGIN,
    )

    def counted(records: list[Record]) -> int:
        return sum(r.op in calls or (r.op == Op.OPEN and (r.result or r.b)) for r in records)

    total = counted(traced(EVERY_CALL, root))
    assert total == 30
    for number in (1, 2, total // 3, total // 2, total):
        part, trace = root.with_name(f"cut-{number}"), root.with_name(f"trace-{number}")
        part.mkdir()
        code = run(EVERY_CALL, part, rule("cut", from_=number), trace=trace, check=False)
        assert code == -signal.SIGKILL
        assert counted(read_trace(trace)) == number - 1
        played(read_trace(trace), part).assert_complete()
    whole = root.with_name("whole")
    whole.mkdir()
    run(EVERY_CALL, whole, rule("cut", from_=total + 1))


def test_the_last_send_can_be_cut_and_says_what_it_sent(root: Path) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as receiver:
        receiver.bind(("127.0.0.1", 0))
        program = f"""
import socket, sys
one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
one.connect(("127.0.0.1", {receiver.getsockname()[1]}))
for number in range(5): one.send(b"number %d" % number)
"""
        code = run(program, root, rule("cut-send", from_=3), trace=root.with_name("trace"), check=False)
        assert code == -signal.SIGKILL
        sent = [record.data for record in read_trace(root.with_name("trace")) if record.op == Op.SEND]
        assert sent == [b"number 0", b"number 1"]
        assert [receiver.recv(100) for _ in sent] == sent
        receiver.setblocking(False)
        with pytest.raises(BlockingIOError):
            receiver.recv(100)


FAILING = """
import errno, os, sys
os.chdir(sys.argv[1])
said = []
def attempt(call):
    try: said.append(str(call()))
    except OSError as error: said.append(errno.errorcode[error.errno])
file = os.open("file", os.O_CREAT | os.O_WRONLY)
for _ in range(3): attempt(lambda: os.write(file, b"12345678"))
attempt(lambda: os.fsync(file))
attempt(lambda: os.mkdir("folder"))
attempt(lambda: os.unlink("file"))
open(sys.argv[1] + "-said", "w").write(" ".join(said))
"""


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ([], "8 8 8 None None None"),
        ([rule("enospc", from_=3)], "8 4 ENOSPC None ENOSPC None"),
        ([rule("enospc", from_=3, count=2)], "8 4 ENOSPC None None None"),
        ([rule("eio", path="file", from_=3)], "8 EIO EIO None None None"),
        ([rule("eio-sync")], "8 8 8 EIO None None"),
        ([rule("eio-sync", when=Path("/nowhere"))], "8 8 8 None None None"),
        ([rule("slow", ms=1), rule("eio", path="folder")], "8 8 8 None EIO None"),
    ],
)
def test_calls_fail_as_told(root: Path, rules: list[str], said: str) -> None:
    run(FAILING, root, *rules)
    assert Path(f"{root}-said").read_text() == said


def test_a_sync_stalls_while_a_file_is_there(root: Path) -> None:
    hold = root.with_name("hold")
    hold.touch()
    read, write = os.pipe()
    program = f"""
import os, sys
file = os.open(sys.argv[1] + "/file", os.O_CREAT | os.O_WRONLY)
os.write({write}, b"before"); os.fsync(file); os.write({write}, b"after")
"""
    told = {**os.environ, **environment(root, rules=[rule("stall", when=hold)], real_syncs=True)}
    process = subprocess.Popen([sys.executable, "-c", program, str(root)], env=told, pass_fds=(write,))
    os.close(write)
    with open(read, "rb", buffering=0) as told_by:
        assert told_by.read(6) == b"before"
        assert process.poll() is None
        os.set_blocking(read, False)
        assert told_by.read(6) is None, "it waits in the sync"
        os.set_blocking(read, True)
        hold.unlink()
        assert told_by.read() == b"after"
    assert process.wait(60) == 0
