"""Measures the cost of a first `pip install .`: time, processor time and memory, with an empty build cache.

`just bench-install` measures the node, `just bench-install client` the client. Crates and Python packages may come from
the caches of cargo and pip; nothing that was compiled does. On a machine that does other work the time says nothing,
and the processor time is a little too high.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LOOK_S = 0.5
PAGE = os.sysconf("SC_PAGE_SIZE")


def _descendants(root: int) -> set[int]:
    parents: dict[int, int] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(folder.name)] = int(fields[1])
    found = {root}
    while True:
        more = {process for process, parent in parents.items() if parent in found} - found
        if not more:
            return found
        found |= more


def _memory(processes: set[int]) -> int:
    """Bytes in memory of these processes together; pages that two share count twice."""
    pages = 0
    for process in processes:
        try:
            pages += int(Path(f"/proc/{process}/statm").read_text().split()[1])
        except OSError:
            continue
    return pages * PAGE


class Peak(threading.Thread):
    """Looks at the memory of a process and its descendants until it is told to end."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self._process, self._ended, self._bytes = process, threading.Event(), 0

    def run(self) -> None:
        """Keeps the largest sum that it saw."""
        while not self._ended.wait(LOOK_S):
            self._bytes = max(self._bytes, _memory(_descendants(self._process)))

    def end(self) -> int:
        """The largest sum."""
        self._ended.set()
        self.join()
        return self._bytes


def measure(part: str, folder: Path) -> str:
    """Installs into a clean environment, and says what that took."""
    subprocess.run([sys.executable, "-m", "venv", folder / "env"], check=True)
    # Settings of a profile pass: `CARGO_PROFILE_CLIENT_OPT_LEVEL=3 just bench-install client` compares.
    kept, begins = ("HOME", "LANG", "PATH", "CARGO_HOME", "RUSTUP_HOME", "CXX", "CC"), ("PIP_", "CARGO_PROFILE_")
    environment = {name: value for name, value in os.environ.items() if name in kept or name.startswith(begins)}
    environment |= {"RUSTORIUM_BUILD": part, "RUSTORIUM_BUILD_CACHE": str(folder / "cache"), "TMPDIR": str(folder)}
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    with (folder / "pip.log").open("w") as log:
        line = [folder / "env" / "bin" / "pip", "install", "-v", ROOT]
        pip = subprocess.Popen(line, env=environment, stdout=log, stderr=log)
        peak = Peak(pip.pid)
        peak.start()
        code = pip.wait()
    if code != 0:
        sys.exit(f"the installation failed:\n{(folder / 'pip.log').read_text()[-4000:]}")
    wall_s, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return (
        f"{part}: {wall_s / 60:.1f} minutes, {cpu_s / 60:.1f} CPU-minutes ({cpu_s:.0f} CPU-seconds), "
        f"{len(os.sched_getaffinity(0))} cores, at most {peak.end() / 1e9:.1f} GB"
    )


def main() -> None:
    """Measures once; the folder is removed at the end."""
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("part", choices=("node", "client"), nargs="?", default="node")
    part = reader.parse_args().part
    with tempfile.TemporaryDirectory() as folder:
        print(measure(part, Path(folder)))


if __name__ == "__main__":
    main()
