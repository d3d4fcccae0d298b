"""The preloaded layer of `disk/layer.cc`: compiles it once, and writes its rules for a process's environment.

`rule(KIND, ...)` makes a rule. The kinds, and the calls below the folder that they affect:

- `cut`: kill -9 before the call; affects writes, changes of names, syncs and messages to a network;
- `cut-send`: the same, only before a message is sent;
- `enospc`, `eio`: fails with that error; affects calls that need room: writes, new files and folders, longer files,
  renames. The first write that finds the disk full writes half of its bytes;
- `eio-sync`: a sync fails;
- `slow`: a sync takes `ms` longer;
- `stall`: a sync waits while the file `when` exists.

`from_` is the first affected call, counted from 1 among those of the rule's kind; `count` is the number of affected
calls (default: all). `path` is a part of the path. `when` names a file outside the folder; the rule is in force while
that file exists.
"""

import hashlib
import os
import subprocess
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SOURCES = [ROOT / "tests" / "disk" / name for name in ("layer.cc", "layer.h")]
KINDS = ("cut", "cut-send", "enospc", "eio", "eio-sync", "slow", "stall")


def library() -> Path:
    """Returns the compiled layer; compiles it if these sources weren't compiled yet."""
    compiler = os.environ.get("CXX") or "c++"
    name = hashlib.sha256(b"".join(path.read_bytes() for path in SOURCES) + compiler.encode()).hexdigest()[:16]
    built = ROOT / "target" / f"disk-layer-{name}.so"
    if not built.exists():
        built.parent.mkdir(exist_ok=True)
        partial = built.with_suffix(f".{os.getpid()}")
        flags = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-shared", "-fPIC"]
        subprocess.run([compiler, *flags, "-o", str(partial), str(SOURCES[0]), "-ldl", "-lpthread"], check=True)
        partial.rename(built)
    return built


def rule(
    kind: str,
    *,
    from_: int = 1,
    count: int | None = None,
    path: str = "",
    when: Path | None = None,
    ms: int = 0,
) -> str:
    """Returns a rule in the layer's form."""
    assert kind in KINDS, kind
    assert kind != "stall" or when is not None, "nothing would ever end it"
    parts = [kind, f"from={from_}", f"ms={ms}"]
    parts += [f"count={count}"] if count is not None else []
    parts += [f"path={path}"] if path else []
    parts += [f"when={when}"] if when is not None else []
    assert all(":" not in part and ";" not in part for part in parts), parts
    return ":".join(parts)


def environment(
    root: Path, *, trace: Path | None = None, rules: Sequence[str] = (), real_syncs: bool = False
) -> dict[str, str]:
    """Returns the variables that a process under the layer needs. Syncs are skipped unless asked for: they are slow on
    some disks, and no process can see a difference."""
    found = {"DISK_ROOT": str(root.resolve()), "DISK_RULES": ";".join(rules)}
    found["LD_PRELOAD"] = " ".join(filter(None, [str(library()), os.environ.get("LD_PRELOAD")]))
    if trace is not None:
        found["DISK_TRACE"] = str(trace)
    if not real_syncs:
        found["DISK_SYNC"] = "skip"
    return found
