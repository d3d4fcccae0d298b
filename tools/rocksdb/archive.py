"""Compiles RocksDB into one archive: its sources as a few large files, in a quarter of the processor time.

The sources are those that the crate librocksdb-sys ships, with lz4 and zstd of their crates, in the versions of
`Cargo.lock`. One by one, most of the compiler's time goes into the same headers again and again. So neighbouring
sources are included into one file (a unity build). If the compiler refuses such a file, its sources are compiled one by
one.
Reasons: docs/adr/0001-rocksdb-once.md.
"""

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from pathlib import Path
from threading import Lock
from typing import Protocol

CRATES = ("librocksdb-sys", "lz4-sys", "zstd-sys")
PARTS = 16
"""Files that the sources are included into."""
MEMORY_BYTES = 1_400_000_000
"""Memory that the compiler needs for the largest of them."""
RECIPE = 1
"""Raise this number if anything except the constants below changes the archive's content."""

DEFINES = [
    *("NDEBUG", "LZ4=1", "ZSTD=1", "HAVE_ALIGNED_NEW", "HAVE_UINT128_EXTENSION"),
    *("OS_LINUX", "ROCKSDB_PLATFORM_POSIX", "ROCKSDB_LIB_IO_POSIX", "ROCKSDB_SCHED_GETCPU_PRESENT"),
    *("ROCKSDB_AUXV_GETAUXVAL_PRESENT", "ROCKSDB_FALLOCATE_PRESENT", "ROCKSDB_RANGESYNC_PRESENT"),
]
OPTIONS = [
    *("-O2", "-std=c++20", "-fPIC", "-fno-rtti", "-ffunction-sections", "-fdata-sections", "-w"),
    *("-include", "cstdint"),
]
PROCESSOR = {"x86_64": ["-msse4.2", "-mpclmul"]}
"""Instructions that RocksDB's checksums use if the compiler may; every x86-64 server since 2011 has them."""


class CompilationFailed(Exception):
    """The archive was not made; the text says why."""


class Refused(Exception):
    """The compiler refused a file; the text is its message."""


class Says(Protocol):
    """Called with progress messages."""

    def say(self, text: str) -> None:
        """Prints one line."""

    def repeated(self, text: Callable[[], str]) -> AbstractContextManager[None]:
        """Prints `text()` every few seconds until the block ends."""


def recipe(root: Path, compiler: str, processor: str) -> bytes:
    """Returns everything that determines the archive's content."""
    lock = (root / "Cargo.lock").read_text()
    crates = [re.findall(rf'name = "{name}"\nversion = ".*"\nsource = ".*"\nchecksum = ".*"', lock) for name in CRATES]
    return repr((RECIPE, PARTS, DEFINES, OPTIONS, PROCESSOR, crates, compiler, processor)).encode()


def compile_into(folder: Path, root: Path, compiler: str, processor: str, progress: Says) -> None:
    """Makes `folder/librocksdb.a`. An interrupted compilation continues with the parts that it lacks."""
    objects = folder.with_name(f"{folder.name}.objects")
    try:
        build = Build(objects, compiler, processor, crates(root, f"{processor}-unknown-linux-gnu"))
        with progress.repeated(build.text):
            finished = build.run(os.environ.get("AR") or "ar", progress)
    except (CompilationFailed, Refused, OSError) as failed:
        raise CompilationFailed(str(failed).strip()) from failed
    folder.mkdir(parents=True, exist_ok=True)
    finished.rename(folder / "librocksdb.a")
    shutil.rmtree(objects, ignore_errors=True)


def crates(root: Path, target: str) -> dict[str, Path]:
    """The folders of the crates, in the versions of `Cargo.lock`; cargo downloads what is missing."""
    command = ["cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target]
    done = subprocess.run(command, cwd=root, stdout=subprocess.PIPE, check=False)
    if done.returncode:
        raise CompilationFailed("cargo can't say where the sources are: its message above says why")
    packages = json.loads(done.stdout)["packages"]
    return {p["name"]: Path(p["manifest_path"]).parent for p in packages if p["name"] in CRATES}


def jobs() -> int:
    """Compilers at a time: one per core, fewer if the memory is short."""
    cores = len(os.sched_getaffinity(0))
    free = re.search(r"MemAvailable: *(\d+) kB", Path("/proc/meminfo").read_text())
    return max(1, min(cores, int(free[1]) * 1024 // MEMORY_BYTES)) if free else 1


def parts(rocksdb: Path) -> list[list[Path]]:
    """The sources in the order of the crate's list, in runs of about equal size."""
    listed = (rocksdb / "rocksdb_lib_sources.txt").read_text().split()
    sources = [rocksdb / "rocksdb" / name for name in listed if name != "util/build_version.cc"]
    sources.append(rocksdb / "build_version.cc")
    sizes = [source.stat().st_size for source in sources]
    found: list[list[Path]] = [[] for _ in range(PARTS)]
    before = 0
    for source, size in zip(sources, sizes, strict=True):
        found[(before + size // 2) * PARTS // sum(sizes)].append(source)
        before += size
    return [part for part in found if part]


class Build:
    """One compilation; its finished objects stay in `folder` until all exist."""

    def __init__(self, folder: Path, compiler: str, processor: str, sources: dict[str, Path]) -> None:
        rocksdb = sources["librocksdb-sys"]
        includes = [rocksdb / "rocksdb" / "include", rocksdb / "rocksdb", rocksdb]
        includes += [rocksdb / "rocksdb" / "third-party" / "gtest-1.8.1" / "fused-src"]
        includes += [sources["lz4-sys"] / "liblz4" / "lib", sources["zstd-sys"] / "zstd" / "lib"]
        flags = [*OPTIONS, *PROCESSOR.get(processor, []), *(f"-D{name}" for name in DEFINES)]
        self._command = [*shlex.split(compiler), *flags, *(f"-I{path}" for path in includes), "-c"]
        self._folder, self._parts = folder, parts(rocksdb)
        self._compiled, self._lock = 0, Lock()

    def text(self) -> str:
        """Returns the progress, in words."""
        return f"compiling RocksDB, {self._compiled} of {len(self._parts)} parts done"

    def run(self, archiver: str, progress: Says) -> Path:
        """Compiles what is missing and packs the archive; its path. Errors: `Refused`, `Failed`."""
        self._folder.mkdir(parents=True, exist_ok=True)
        with ThreadPoolExecutor(jobs()) as pool:
            running = [pool.submit(self._part, number, progress) for number in range(len(self._parts))]
            try:
                objects = [one for part in running for one in part.result()]
            finally:
                pool.shutdown(cancel_futures=True)
        packed = self._folder / "librocksdb.a"
        packed.unlink(missing_ok=True)
        done = subprocess.run(
            [*shlex.split(archiver), "crs", packed, *objects], capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise CompilationFailed(f"`{archiver}` ended with {done.returncode}: {done.stderr.strip()}")
        return packed

    def _part(self, number: int, progress: Says) -> list[Path]:
        sources, name = self._parts[number], f"part{number:02}"
        unity = self._folder / f"{name}.cc"
        unity.write_text("".join(f'#include "{path}"\n' for path in sources))
        try:
            objects = [self._compile(unity, name)]
        except Refused as refused:
            print(refused, file=sys.stderr)
            progress.say(f"the compiler refuses {unity.name}: its {len(sources)} sources are compiled one by one")
            objects = [self._compile(path, f"{name}-{n:02}") for n, path in enumerate(sources)]
        with self._lock:
            self._compiled += 1
        return objects

    def _compile(self, source: Path, name: str) -> Path:
        target = self._folder / f"{name}.o"
        if not target.exists():
            partial = target.with_suffix(".partial")
            done = subprocess.run([*self._command, source, "-o", partial], capture_output=True, text=True, check=False)
            if done.returncode:
                raise Refused(f"{source.name}: {done.stderr.strip() or f'the compiler ended with {done.returncode}'}")
            partial.rename(target)
        return target
