"""Shares of the machine's cores for the processes of a benchmark, by cgroups (version 1; root alone may make them)."""

import os
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

GROUP = Path("/sys/fs/cgroup/cpu")
PERIOD_US = 20_000
"""A quota is a part of this time, and at least a millisecond of it."""
SHARES_MIN = 2


@contextmanager
def group(name: str, pid: int, settings: dict[str, int]) -> Iterator[Path]:
    """Puts a process into a cgroup of its own, and yields the cgroup's folder. Errors: SystemExit if it can't."""
    folder = GROUP / f"rustorium-bench-{os.getpid()}-{name}"
    try:
        try:
            folder.mkdir()
            for setting, value in settings.items():
                (folder / setting).write_text(str(value))
            (folder / "cgroup.procs").write_text(str(pid))
        except OSError as error:
            said = f"a share of the CPU can't be set ({error}): run this as root, with the cgroup controller cpu"
            raise SystemExit(said) from None
        yield folder
    finally:
        with suppress(OSError):
            (GROUP / "cgroup.procs").write_text(str(pid))
        with suppress(OSError):
            folder.rmdir()


def threads(pid: int) -> Iterator[tuple[Path, str]]:
    """Yields a process's threads: the folder of each, and its name."""
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
            yield thread, (thread / "comm").read_text().strip()


class Quotas:
    """The share of a core that each of some processes has."""

    def __init__(self, folders: Mapping[int, Path], exempt: str) -> None:
        self._folders, self._exempt = folders, exempt

    def set(self, share: float) -> None:
        """Gives each process this share, without the threads that are exempt."""
        for pid, folder in self._folders.items():
            (folder / "cpu.cfs_quota_us").write_text(str(round(share * PERIOD_US)))
            for thread, name in threads(pid):
                if name.startswith(self._exempt):
                    with suppress(ProcessLookupError):  # it has ended
                        (GROUP / "tasks").write_text(thread.name)


@contextmanager
def quotas(pids: Sequence[int], exempt: str) -> Iterator[Quotas]:
    """Makes a quota for each process, which its threads whose name begins so don't share. Errors: SystemExit if this
    machine doesn't allow that."""
    with ExitStack() as stack:
        settings = {"cpu.cfs_period_us": PERIOD_US}
        yield Quotas({pid: stack.enter_context(group(str(pid), pid, settings)) for pid in pids}, exempt)


COUNTS = struct.Struct("<QQ")
SPINNER = """
import mmap, struct, sys, time
with open(sys.argv[1], "r+b") as file:
    counts = mmap.mmap(file.fileno(), 16)
loops = 0
while True:
    for _ in range(20_000):
        pass
    loops += 20_000
    counts[:] = struct.pack("<QQ", loops, time.process_time_ns())
"""


class Speed:
    """How fast the cores are, as the processes that keep them awake tell. Other guests of the host slow them down from
    minute to minute."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = files

    def look(self) -> list[tuple[int, int]]:
        """Returns the loops of each such process so far, and its CPU, nanoseconds."""
        return [COUNTS.unpack(file.read_bytes()) for file in self._files]

    def since(self, before: Sequence[tuple[int, int]]) -> float:
        """Returns the loops in a nanosecond of CPU since then, the mean of all cores."""
        now = self.look()
        return sum((new[0] - old[0]) / max(1, new[1] - old[1]) for new, old in zip(now, before, strict=True)) / len(now)


@contextmanager
def awake() -> Iterator[Speed]:
    """Keeps each core busy with a process that gives way to all others, and that counts."""
    with ExitStack() as stack:
        files = []
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        for core in os.sched_getaffinity(0):
            files.append(folder / str(core))
            files[-1].write_bytes(COUNTS.pack(0, 0))
            process = subprocess.Popen([sys.executable, "-c", SPINNER, str(files[-1])])
            stack.callback(process.wait)
            stack.callback(process.kill)
            os.sched_setaffinity(process.pid, {core})
            stack.enter_context(group(f"awake-{core}", process.pid, {"cpu.shares": SHARES_MIN}))
        yield Speed(files)
