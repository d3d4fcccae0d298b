"""Wheels for others: the node and the client, for Linux from glibc 2.28 on (`just wheels`).

The compiler of this machine would bind them to its own glibc and libstdc++. So C, C++ and linking go through Zig, which
brings the headers of older ones and its own C++ library. auditwheel then reads from the wheel which systems run it. For
another processor, Debian's packages bring Rust's library. All of it is in the build cache; nothing is installed.
"""

import argparse
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from hashlib import sha256
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tools" / folder) for folder in ("build", "rocksdb", "")]

import wasm  # noqa: E402

import backend  # noqa: E402
import bill  # noqa: E402
from progress import Progress  # noqa: E402

GLIBC = "2.28"
PLATFORM = f"manylinux_{GLIBC.replace('.', '_')}"
LOCK = ROOT / "requirements" / "wheels.txt"
OUT = ROOT / "target" / "wheels"
OWN = ("AR", "BINDGEN_EXTRA_CLANG_ARGS", "CARGO_CFG_CURVE25519_DALEK_BACKEND", "ROCKSDB_LIB_DIR", "RUSTFLAGS")
"""Variables that are for builds of this machine, and may be set around this program."""
DEBIAN = {"aarch64": "arm64", "x86_64": "amd64"}
"""Debian's names of the processors."""


def tools() -> Path:
    """The folder with Zig and auditwheel in the versions of the lock, which is made where it isn't there."""
    folder = backend.CACHE / f"wheel-tools-{sha256(LOCK.read_bytes()).hexdigest()[:16]}"
    if not folder.exists():
        partial = folder.with_name(f"{folder.name}.{os.getpid()}.partial")
        install = [sys.executable, "-m", "pip", "install", "-q", "--disable-pip-version-check", "--require-hashes"]
        subprocess.run([*install, "--target", partial, "-r", LOCK], check=True)
        partial.rename(folder)
    return folder


def foreign_rust(processor: str) -> dict[str, str]:
    """The environment of Debian's Rust with its library for another processor."""
    rust = wasm.toolchain()
    library = rust / "lib" / "rustlib" / f"{processor}-unknown-linux-gnu"
    if not library.exists():
        with tempfile.TemporaryDirectory(dir=backend.CACHE) as work:
            for name in ("lists/partial", "archives/partial"):
                (Path(work) / name).mkdir(parents=True)
            options = ["-q", "-o", f"APT::Architectures::={DEBIAN[processor]}"]
            options += ["-o", f"Dir::State::lists={work}/lists", "-o", f"Dir::Cache={work}"]
            subprocess.run(["apt-get", *options, "update"], check=True, stdout=subprocess.DEVNULL)
            # Of the version of the compiler, which the cache may have from an earlier day.
            version = _version(rust)
            package = f"libstd-rust-web-dev:{DEBIAN[processor]}"
            found = subprocess.run(
                ["apt-cache", *options, "madison", package], check=True, capture_output=True, text=True
            )
            offered = [line.split("|")[1].strip() for line in found.stdout.splitlines()]
            same = next((one for one in offered if one.startswith(f"{version}+")), None)
            if same is None:
                sys.exit(f"Debian offers no {package} {version}: delete {rust.parent} and run this again.")
            subprocess.run(["apt-get", *options, "download", f"{package}={same}"], cwd=work, check=True)
            (archive,) = Path(work).glob("*.deb")
            subprocess.run(["dpkg", "-x", archive, f"{work}/unpacked"], check=True)
            (Path(work) / "unpacked" / "usr" / "lib" / "rustlib" / library.name).rename(library)
    return {"RUSTC": str(rust / "bin" / "rustc"), "LD_LIBRARY_PATH": wasm.libraries_path(rust)}


def _version(rust: Path) -> str:
    command, libraries = [rust / "bin" / "rustc", "--version"], {"LD_LIBRARY_PATH": wasm.libraries_path(rust)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=libraries).stdout.split()[1]


def environment(part: str, processor: str, zig: Path, progress: Progress) -> dict[str, str]:
    """The variables of a build; compiles RocksDB by Zig when the archive of it is missing."""
    # Zig's own files are in the build cache, too.
    added = {f"ZIG_{which}_CACHE_DIR": str(backend.CACHE / "zig") for which in ("GLOBAL", "LOCAL")}
    os.environ.update(added)
    os.environ["RUSTORIUM_BUILD"] = "client"  # the archive of this machine's own compiler isn't needed
    added |= backend.build_environment(progress)
    added |= {"CARGO_ZIGBUILD_ZIG_PATH": str(zig), "CARGO_TARGET_DIR": str(backend.CACHE / "wheels-target")}
    added["CARGO_INCREMENTAL"] = "0"
    if processor != platform.machine():
        added |= foreign_rust(processor)
    if processor != "x86_64":
        added.pop("CARGO_CFG_CURVE25519_DALEK_BACKEND", None)
    if part == "node":
        os.environ["AR"] = f"{zig} ar"
        options = f"-target {processor}-linux-gnu.{GLIBC} -g0"  # unlike other compilers, Zig's adds debug information
        archive = backend.rocksdb(progress, f"{zig} c++", processor, options)
        added |= {"ROCKSDB_LIB_DIR": str(archive), "ROCKSDB_STATIC": "1"}
        added |= {"CXXSTDLIB": "c++", "LIBCLANG_PATH": str(backend.libclang())}
    return {name: value for name, value in os.environ.items() if name not in OWN} | added


def build(part: str, processor: str, progress: Progress) -> Path:
    """Makes the wheel, and checks which systems run it."""
    folder, out = tools(), OUT / part
    shutil.rmtree(out / processor, ignore_errors=True)
    variables = environment(part, processor, folder / "ziglang" / "zig", progress)
    line = [sys.executable, "-m", "maturin", "build", "--zig", "--out", out / processor, "-i", sys.executable]
    line += ["--compatibility", PLATFORM, "--target", f"{processor}-unknown-linux-gnu"]
    # Both parts are compiled with the profile `release`. The profile `client` only saves compile time, and nobody
    # compiles where a wheel is installed.
    features = ("--no-default-features",) if part == "client" else ()
    progress.say(f"building the {part}'s wheel for {processor}")
    subprocess.run([*line, *features], cwd=ROOT, env=variables, check=True)
    (wheel,) = (out / processor).glob("*.whl")
    bill.narrow(wheel, f"{processor}-unknown-linux-gnu", features)
    check(wheel, folder)
    return wheel


def check(wheel: Path, folder: Path) -> None:
    """Ends with a sentence if the wheel needs a newer Python or system than it promises."""
    if "-cp311-abi3-" not in wheel.name:
        sys.exit(f"{wheel.name} is not for every Python from 3.11 on: see what maturin says above.")
    line = [sys.executable, "-m", "auditwheel", "show", wheel]
    shown = subprocess.run(
        line, check=True, capture_output=True, text=True, env=os.environ | {"PYTHONPATH": str(folder)}
    )
    said = " ".join(shown.stdout.split())
    found = re.search(r'consistent with the following platform tag: "manylinux_(\d+)_(\d+)_', said)
    needs = tuple(map(int, found.groups())) if found is not None else None
    if needs is None or needs > tuple(map(int, GLIBC.split("."))):
        sys.exit(f"{wheel.name} doesn't run on every {PLATFORM} system. auditwheel says: {said}")
    print(f"{wheel.name}: {wheel.stat().st_size / 1e6:.1f} MB, {PLATFORM} by auditwheel", flush=True)


def _wanted(arguments: Sequence[str]) -> Iterator[tuple[str, str]]:
    reader = argparse.ArgumentParser(description=__doc__)
    reader.add_argument("--part", choices=("node", "client"), action="append", help="default: both")
    reader.add_argument("--processor", choices=tuple(DEBIAN), action="append", help="default: this machine's")
    said = reader.parse_args(arguments)
    for processor in said.processor or [platform.machine()]:
        yield from ((part, processor) for part in said.part or ["client", "node"])


def main() -> None:
    """Makes what is asked for."""
    progress = Progress()
    for part, processor in _wanted(sys.argv[1:]):
        build(part, processor, progress)


if __name__ == "__main__":
    main()
