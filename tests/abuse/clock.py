"""Wall clocks of processes, which a test moves while they run, by the preloaded `clock.c`."""

import hashlib
import os
import struct
import subprocess
from pathlib import Path

SOURCE = Path(__file__).with_name("clock.c")
ROOT = SOURCE.parents[2]
NS_PER_S = 1_000_000_000


def library() -> Path:
    """Returns the compiled library; compiles it if this source wasn't compiled yet."""
    compiler = os.environ.get("CC") or "cc"
    name = hashlib.sha256(SOURCE.read_bytes() + compiler.encode()).hexdigest()[:16]
    built = ROOT / "target" / f"clock-{name}.so"
    if not built.exists():
        built.parent.mkdir(exist_ok=True)
        partial = built.with_suffix(f".{os.getpid()}")
        flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", str(partial), str(SOURCE), "-ldl", "-lpthread"], check=True)
        partial.rename(built)
    return built


class Clock:
    """The wall clock of one process, which must be started with `environment`."""

    def __init__(self, file: Path) -> None:
        self._file = file
        file.write_bytes(struct.pack("=q", 0))

    @property
    def environment(self) -> dict[str, str]:
        """Additional environment variables of the process."""
        preload = " ".join(filter(None, [str(library()), os.environ.get("LD_PRELOAD")]))
        return {"LD_PRELOAD": preload, "CLOCK_SHIFT": str(self._file)}

    def shift(self, seconds: int) -> None:
        """Moves the process's clock to this distance from the machine's clock, at once."""
        # Written in place, because the process has mapped the file.
        with self._file.open("r+b") as file:
            file.write(struct.pack("=q", seconds * NS_PER_S))
