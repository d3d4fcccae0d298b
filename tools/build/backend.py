"""The wheel's build backend: maturin's hooks, after RocksDB and libclang have been put in place.

RocksDB takes a quarter of an hour to compile, so it is compiled once per machine into a cache folder and linked from
there by every profile, virtual environment and clone (docs/adr/0001-rocksdb-once.md). Run as a script this prints
the same environment as shell exports (`eval "$(python tools/build/backend.py)"`), which is what the justfile does.
"""

import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
ARCHIVE = ROOT / "tools" / "rocksdb"
CACHE = Path(os.environ.get("RUSTORIUM_BUILD_CACHE") or Path.home() / ".cache" / "rustorium-build")
CXX = os.environ.get("CXX") or "c++"


def check_machine() -> None:
    """Ends with one sentence where rustorium can't be built."""
    here = f"{sys.platform} {platform.machine()}"
    if here not in ("linux x86_64", "linux aarch64"):
        sys.exit(f"rustorium runs on Linux x86-64 and aarch64 only, and this is {here}: use one of those.")
    for tool, what in (("rustc", "stable Rust (https://rustup.rs)"), ("cargo", "cargo"), (CXX, "a C++ compiler")):
        if shutil.which(tool) is None:
            sys.exit(f"rustorium needs {what} to build, and `{tool}` is not on the PATH: install it and try again.")
    wanted = _found(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())
    here = _found(r"rustc ([\d.]+)", _output("rustc", "--version"))
    if [int(part) for part in here.split(".")] < [int(part) for part in wanted.split(".")]:
        sys.exit(f"rustorium needs Rust {wanted} or newer to build, and this is {here}: run `rustup update stable`.")


def _found(pattern: str, text: str) -> str:
    match = re.search(pattern, text)
    return match.group(1) if match else "0"


def _output(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def _replace(source: Path, target: Path) -> None:
    """Copies by way of a rename, so that a reader never sees half a file."""
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_name(f"{target.name}.{os.getpid()}.partial")
    shutil.copyfile(source, partial)
    partial.rename(target)


def _libclang() -> Path:
    """The wheel's libclang, copied to a path that stays the same, since cargo reruns bindgen when the path changes."""
    target = CACHE / "libclang-18.1.1" / "libclang.so"
    if not target.exists():
        spec = importlib.util.find_spec("clang")
        if spec is None or not spec.submodule_search_locations:
            sys.exit("the build needs the Python package libclang: run `pip install libclang==18.1.1` and try again.")
        _replace(Path(spec.submodule_search_locations[0]) / "native" / "libclang.so", target)
    return target.parent


def _rocksdb(env: dict[str, str]) -> Path:
    """The folder of the one librocksdb.a for this lock file, compiler and processor, built when it is missing."""
    inputs = [ARCHIVE / "Cargo.lock", ARCHIVE / "Cargo.toml", ARCHIVE / ".cargo" / "config.toml"]
    ours, wanted = (
        _found(r'"librocksdb-sys"\nversion = "(.+)"', p.read_text()) for p in (inputs[0], ROOT / "Cargo.lock")
    )
    if ours != wanted:
        sys.exit(f"tools/rocksdb/Cargo.lock has librocksdb-sys {ours} and Cargo.lock has {wanted}: make them equal.")
    key = [*(path.read_bytes() for path in inputs), _output(CXX, "--version").encode(), platform.machine().encode()]
    folder = CACHE / f"rocksdb-{hashlib.sha256(bytes(1).join(key)).hexdigest()[:16]}"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "rocksdb.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "librocksdb.a").exists():
            print("rustorium: compiling RocksDB, once for this machine (about 27 CPU-minutes)", file=sys.stderr)
            _build_archive(env, folder)
    return folder


def _build_archive(env: dict[str, str], folder: Path) -> None:
    dropped = re.compile(r"RUSTFLAGS|CARGO_ENCODED_RUSTFLAGS|CARGO_PROFILE_.*|ROCKSDB_.*")
    clean = {name: value for name, value in env.items() if not dropped.fullmatch(name)}
    clean["CARGO_TARGET_DIR"] = str(CACHE / "rocksdb-target")
    command = ["cargo", "build", "--release", "--locked", "--message-format=json-render-diagnostics"]
    done = subprocess.run(command, cwd=ARCHIVE, env=clean, stdout=subprocess.PIPE, text=True, check=False)
    messages = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    built = [m for m in messages if m["reason"] == "build-script-executed" and "librocksdb-sys" in m["package_id"]]
    if done.returncode or not built:
        sys.exit("RocksDB did not compile: cargo's messages above say why; put that right and run this again.")
    _replace(Path(built[-1]["out_dir"]) / "librocksdb.a", folder / "librocksdb.a")
    shutil.rmtree(CACHE / "rocksdb-target", ignore_errors=True)


def build_environment() -> dict[str, str]:
    """The variables that every cargo call of this project needs, building the archive when it is missing."""
    check_machine()
    added = {
        "LIBCLANG_PATH": str(_libclang()),
        "BINDGEN_EXTRA_CLANG_ARGS": f"-isystem {_output(CXX, '-print-file-name=include')}",
        "CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR") or str(CACHE / "target"),
    }
    return added | {"ROCKSDB_LIB_DIR": str(_rocksdb({**os.environ, **added})), "ROCKSDB_STATIC": "1"}


if __name__ == "__main__":
    for variable, value in build_environment().items():
        print(f"export {variable}={shlex.quote(value)}")
else:
    check_machine()  # before maturin is imported: pip doesn't install it elsewhere
    import maturin
    from maturin import *  # noqa: F403  (a build backend is its module's hooks)

    def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
        """PEP 517's hook."""
        os.environ.update(build_environment())
        return maturin.build_wheel(wheel_directory, config_settings, metadata_directory)

    def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
        """PEP 660's hook."""
        os.environ.update(build_environment())
        return maturin.build_editable(wheel_directory, config_settings, metadata_directory)
