"""The wheel's build backend: maturin's hooks, after what they need has been put in place.

`RUSTORIUM_BUILD` says what is built: `node`, the default on Linux, or `client`, the default elsewhere, which needs only
Python and Rust. RocksDB is compiled once per machine into a cache folder. Every profile, virtual environment and clone
links it from there (docs/adr/0001-rocksdb-once.md). Run as a script, this prints the same environment as
shell exports (`eval "$(python tools/build/backend.py)"`) for the justfile.
"""

import hashlib
import importlib.util
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
sys.path[:0] = [str(ROOT / "tools" / folder) for folder in ("build", "rocksdb")]

import archive  # noqa: E402  (found by the line above when this runs as a script)
import bill  # noqa: E402
from progress import Progress, cargo_watched  # noqa: E402

CACHE = Path(os.environ.get("RUSTORIUM_BUILD_CACHE") or Path.home() / ".cache" / "rustorium-build")
CXX = os.environ.get("CXX") or "c++"
LIBCLANG = "libclang==18.1.1"
NODE_MACHINES = ("linux x86_64", "linux aarch64")
CLIENT_ARGUMENTS = ("--no-default-features", "--profile", "client")
"""maturin's arguments for the client, which has a profile of its own in Cargo.toml."""
AVX512_RUST = [1, 89]
"""The first stable Rust that compiles the AVX-512 code of curve25519-dalek."""


def wanted() -> str:
    """Returns the build, `node` or `client`: the user's choice, otherwise what runs on this machine."""
    said = os.environ.get("RUSTORIUM_BUILD") or ("node" if sys.platform == "linux" else "client")
    if said not in ("node", "client"):
        sys.exit(f"RUSTORIUM_BUILD is `{said}`: set it to `node` or `client`, or unset it.")
    return said


def check_machine() -> None:
    """Ends with one sentence where what is wanted can't be built."""
    here = f"{sys.platform} {platform.machine()}"
    tools = [("rustc", "stable Rust (https://rustup.rs)"), ("cargo", "cargo")]
    if wanted() == "node":
        if here not in NODE_MACHINES:
            sys.exit(
                f"rustorium's node runs on Linux x86-64 and aarch64 only, and this is {here}: use one of those, or set "
                "RUSTORIUM_BUILD=client for the client alone."
            )
        tools.append((shlex.split(CXX)[0], "a C++ compiler"))
    for tool, what in tools:
        if shutil.which(tool) is None:
            sys.exit(f"rustorium needs {what} to build, and `{tool}` is not on the PATH: install it and try again.")
    least = _found(r'rust-version = "([\d.]+)"', (ROOT / "Cargo.toml").read_text())
    if _rust() < [int(part) for part in least.split(".")]:
        found = ".".join(map(str, _rust()))
        sys.exit(f"rustorium needs Rust {least} or newer to build, and this is {found}: run `rustup update stable`.")


def _rust() -> list[int]:
    return [int(part) for part in _found(r"rustc ([\d.]+)", _output("rustc", "--version")).split(".")]


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


def libclang() -> Path:
    """The wheel's libclang, copied to a path that stays the same, since cargo reruns bindgen when the path changes."""
    target = CACHE / "libclang-18.1.1" / "libclang.so"
    if not target.exists():
        spec = importlib.util.find_spec("clang")
        if spec is None or not spec.submodule_search_locations:
            sys.exit(f"the build needs the Python package libclang: run `pip install {LIBCLANG}` and try again.")
        _replace(Path(spec.submodule_search_locations[0]) / "native" / "libclang.so", target)
    return target.parent


def rocksdb(progress: Progress, compiler: str = CXX, processor: str = platform.machine(), options: str = "") -> Path:
    """The folder of the one librocksdb.a of this recipe, compiler and processor; compiles it when it is missing."""
    version = _output(*shlex.split(compiler), "--version")
    compiler = f"{compiler} {options}".strip()
    recipe = archive.recipe(ROOT, f"{compiler} {version}", processor)
    folder = CACHE / f"rocksdb-{hashlib.sha256(recipe).hexdigest()[:16]}"
    if (folder / "librocksdb.a").exists():
        return folder
    import fcntl  # Windows, which builds the client alone, has none

    CACHE.mkdir(parents=True, exist_ok=True)
    # One lock for each archive: who needs another one needn't wait.
    with folder.with_name(f"{folder.name}.lock").open("w") as guard:
        fcntl.flock(guard, fcntl.LOCK_EX)
        if not (folder / "librocksdb.a").exists():
            progress.say("compiling RocksDB, once for this machine (about 7 CPU-minutes)")
            try:
                archive.compile_into(folder, ROOT, compiler, processor, progress)
            except archive.CompilationFailed as failed:
                sys.exit(f"RocksDB did not compile: {failed}; put that right and run this again.")
    return folder


def build_environment(progress: Progress | None = None) -> dict[str, str]:
    """The variables that every cargo call of this project needs, building the archive when it is missing."""
    check_machine()
    added = {"CARGO_TARGET_DIR": os.environ.get("CARGO_TARGET_DIR") or str(CACHE / "target")}
    if platform.machine() == "x86_64" and _rust() >= AVX512_RUST:
        # Read by the build script of curve25519-dalek alone: code for AVX-512, chosen when the program starts.
        added["CARGO_CFG_CURVE25519_DALEK_BACKEND"] = "avx512"
    if wanted() == "client":
        return added
    added["LIBCLANG_PATH"] = str(libclang())
    added["BINDGEN_EXTRA_CLANG_ARGS"] = f"-isystem {_output(*shlex.split(CXX), '-print-file-name=include')}"
    return added | {"ROCKSDB_LIB_DIR": str(rocksdb(progress or Progress())), "ROCKSDB_STATIC": "1"}


if __name__ == "__main__":
    for variable, value in build_environment().items():
        print(f"export {variable}={shlex.quote(value)}")
else:
    check_machine()  # before maturin is imported: pip doesn't install it elsewhere
    import maturin
    from maturin import *  # noqa: F403  (a build backend is its module's hooks)

    def get_requires_for_build_wheel(config_settings: Any = None) -> list[str]:
        """PEP 517's hook: the client needs no libclang."""
        return [*maturin.get_requires_for_build_wheel(config_settings), *([LIBCLANG] if wanted() == "node" else [])]

    get_requires_for_build_editable = get_requires_for_build_wheel

    def _built(build: Any, wheel_directory: str, config_settings: Any, metadata_directory: str | None) -> str:
        progress = Progress()
        os.environ.update(build_environment(progress))
        if wanted() == "client":
            said = os.environ.get("MATURIN_PEP517_ARGS", "")
            os.environ["MATURIN_PEP517_ARGS"] = " ".join([said, *CLIENT_ARGUMENTS]).strip()
        with cargo_watched(progress):
            name = str(build(wheel_directory, config_settings, metadata_directory))
        features = ("--no-default-features",) if wanted() == "client" else ()
        bill.narrow(Path(wheel_directory) / name, bill.host(), features)
        return name

    def build_wheel(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
        """PEP 517's hook."""
        # Editable installs keep cargo's incremental state for the next change; a wheel is compiled once.
        os.environ.setdefault("CARGO_INCREMENTAL", "0")
        return _built(maturin.build_wheel, wheel_directory, config_settings, metadata_directory)

    def build_editable(wheel_directory: str, config_settings: Any = None, metadata_directory: str | None = None) -> str:
        """PEP 660's hook."""
        return _built(maturin.build_editable, wheel_directory, config_settings, metadata_directory)
