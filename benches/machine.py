"""Facts of the machine on which a benchmark ran."""

import datetime
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
RESULTS = ROOT / "benches" / "results"


def machine(folder: Path) -> dict[str, Any]:
    """Facts that a reader needs to compare figures; `folder` is where the measured programs write."""
    cpu = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    mounts = [line.split()[1:3] for line in Path("/proc/mounts").read_text().splitlines()]
    holding = [mount for mount in mounts if folder.is_relative_to(mount[0])]

    def git(*arguments: str) -> str:
        done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=False)
        return done.stdout.strip()

    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "cores": len(os.sched_getaffinity(0)),
        "cpu": cpu[1] if cpu else platform.machine(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "file_system": max(holding, key=lambda mount: len(mount[0]))[1],
        "load_average_before": os.getloadavg()[0],
        "git_commit": git("rev-parse", "HEAD"),
        "git_changed_files": len(git("status", "--porcelain").splitlines()),
    }
