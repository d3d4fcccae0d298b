"""Shares of the machine's cores for the processes of a benchmark, by cgroups (version 1; root alone may make them)."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
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


class Quotas:
    """The share of a core that each of some processes has."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._folders = folders

    def set(self, share: float) -> None:
        """Gives each process this share."""
        for folder in self._folders:
            (folder / "cpu.cfs_quota_us").write_text(str(round(share * PERIOD_US)))


@contextmanager
def quotas(pids: Sequence[int]) -> Iterator[Quotas]:
    """Makes a quota for each process. Errors: SystemExit if this machine doesn't allow that."""
    with ExitStack() as stack:
        settings = {"cpu.cfs_period_us": PERIOD_US}
        yield Quotas([stack.enter_context(group(str(pid), pid, settings)) for pid in pids])


@contextmanager
def awake() -> Iterator[None]:
    """Keeps each core busy with a process that gives way to all others."""
    with ExitStack() as stack:
        for core in os.sched_getaffinity(0):
            process = subprocess.Popen([sys.executable, "-c", "while True: pass"])
            stack.callback(process.wait)
            stack.callback(process.kill)
            os.sched_setaffinity(process.pid, {core})
            stack.enter_context(group(f"awake-{core}", process.pid, {"cpu.shares": SHARES_MIN}))
        yield
