"""The light client as a WebAssembly module: builds it, and checks that the committed one is of these sources.

The module is committed, so that the wheel builds without a compiler for WebAssembly. `just lint` runs this without an
argument and fails where the sources changed since; `just wasm` (`--build`) makes it anew. Debian 12 has a Rust compiler
and its library's sources; they are unpacked into the build cache, so that no other compiler of the machine is touched.
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
MODULE = ROOT / "crates" / "gateway" / "ui" / "light.wasm"
RECORD = MODULE.with_name("light.wasm.json")
CRATE = "light"
TARGET = "wasm32-unknown-unknown"
CACHED_TARGET = "wasm-target"
# Small, and the same wherever it is built: no paths of this machine.
PROFILE = {
    "CODEGEN_UNITS": "1",
    "INCREMENTAL": "false",
    "LTO": "fat",
    "OPT_LEVEL": "s",
    "PANIC": "abort",
    "STRIP": "true",
}
FLAGS = ("-Zlocation-detail=none",)


def crates(root: Path) -> list[str]:
    """The workspace's crates that are in the module, each once."""
    found: list[str] = []
    waiting = [CRATE]
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.append(name)
            manifest = tomllib.loads((root / "crates" / name / "Cargo.toml").read_text())
            needed = [d.removeprefix("rustorium-") for d in manifest["dependencies"] if d.startswith("rustorium-")]
            waiting += needed
    return sorted(found)


def libraries(root: Path, members: list[str]) -> list[tuple[str, str]]:
    """Names and versions of all libraries that the crates need, as they are locked."""
    locked = tomllib.loads((root / "Cargo.lock").read_text())["package"]
    versions: dict[str, list[dict[str, object]]] = {}
    for package in locked:
        versions.setdefault(package["name"], []).append(package)
    waiting: list[str] = []
    for name in members:
        waiting += tomllib.loads((root / "crates" / name / "Cargo.toml").read_text())["dependencies"]
    found: set[tuple[str, str]] = set()
    while waiting:
        name, _, version = waiting.pop().partition(" ")
        for package in versions.get(name, []):
            entry = (name, str(package["version"]))
            if not name.startswith("rustorium-") and version in ("", entry[1]) and entry not in found:
                found.add(entry)
                waiting += package.get("dependencies", [])  # type: ignore[operator]
    return sorted(found)


def _parts(root: Path) -> Iterator[str]:
    members = crates(root)
    manifest = tomllib.loads((root / "Cargo.toml").read_text())["workspace"]["dependencies"]
    needed = libraries(root, members)
    yield json.dumps([needed, {name: manifest[name] for name, _ in needed if name in manifest}, PROFILE, FLAGS])
    for name in members:
        folder = root / "crates" / name
        yield json.dumps(tomllib.loads((folder / "Cargo.toml").read_text())["dependencies"], sort_keys=True)
        for path in sorted((folder / "src").rglob("*.rs")):
            if "tests" not in (path.stem, path.parent.name):
                # Comments and empty lines don't change the module.
                lines = (line.strip() for line in path.read_text().splitlines())
                code = "\n".join(line for line in lines if line and not line.startswith("//"))
                yield f"{path.relative_to(root)}\n{code}"


def sources(root: Path) -> str:
    """Returns the hash of everything that determines the module: code, libraries and settings, without comments and
    tests."""
    digest = hashlib.sha256()
    for part in _parts(root):
        digest.update(hashlib.sha256(part.encode()).digest())
    return digest.hexdigest()


def fault(root: Path, module: Path, record: Path) -> str | None:
    """Returns what is wrong with the committed module; `None` if it is of these sources."""
    said = json.loads(record.read_text())
    if said["module"] != hashlib.sha256(module.read_bytes()).hexdigest():
        return f"{module.relative_to(root)} is not the file that {record.name} names: run `just wasm`"
    if said["sources"] != sources(root):
        return (
            f"{module.relative_to(root)} was built from other sources than these: run `just wasm` and commit both files"
        )
    return None


def _needed(package: str, pattern: str) -> str:
    """The package that `package` needs and whose name is like this: Debian's names have versions."""
    needs = subprocess.run(["apt-cache", "depends", package], check=True, capture_output=True, text=True).stdout
    found = re.search(rf"Depends: ({pattern})$", needs, re.MULTILINE)
    if found is None:
        sys.exit(f"`apt-cache depends {package}` names no {pattern}: run `apt-get update`, on Debian 12 or newer.")
    return found[1]


def packages() -> list[str]:
    """Debian's compiler, its library's sources, and the linker of the same LLVM."""
    library = _needed("libstd-rust-web-dev", r"libstd-rust-web-[\d.]+")
    llvm = _needed(library, r"libllvm\d+")
    return ["rustc-web", "libstd-rust-web-dev", "rust-web-src", library, llvm, llvm.replace("libllvm", "lld-")]


def cache() -> Path:
    """Returns the folder of what is built once for a machine."""
    return Path(os.environ.get("RUSTORIUM_BUILD_CACHE", "~/.cache/rustorium-build")).expanduser()


def toolchain() -> Path:
    """Returns the folder of a compiler with its library's sources; makes it if it is missing."""
    folder = cache() / "wasm-rust"
    if not folder.exists():
        with tempfile.TemporaryDirectory(dir=cache()) as work:
            if subprocess.run(["apt-cache", "show", "rustc-web"], capture_output=True).returncode:
                # A machine that was just made knows of no packages yet.
                subprocess.run(["apt-get", "update", "-qq"], check=True)
            names = packages()
            print(f"unpacking {', '.join(names)} into {folder}", file=sys.stderr)
            subprocess.run(["apt-get", "download", "-q", *names], cwd=work, check=True)
            unpacked = Path(work) / "unpacked"
            for package in sorted(Path(work).glob("*.deb")):
                subprocess.run(["dpkg", "-x", package, unpacked], check=True)
            unpacked.rename(folder)
    return folder / "usr"


def libraries_path(rust: Path) -> str:
    """Returns the folder in which the unpacked compiler finds its libraries."""
    (llvm,) = (rust / "lib").glob("llvm-*")
    return ":".join(map(str, (rust / "lib", rust / "lib" / "x86_64-linux-gnu", llvm / "lib")))


def compiled(root: Path, target: Path | None = None) -> tuple[Path, str]:
    """Builds the module again; returns it and the compiler's version. `target`: cargo's target folder; `None`: in the
    build cache."""
    rust = toolchain()
    (llvm,) = (rust / "lib").glob("llvm-*")
    environment = {
        **os.environ,
        **{f"CARGO_PROFILE_RELEASE_{name}": value for name, value in PROFILE.items()},
        "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(FLAGS),
        "CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER": str(llvm / "bin" / "wasm-ld"),
        # The library is built from its sources, which takes an unstable switch; the code itself uses nothing unstable.
        "RUSTC_BOOTSTRAP": "1",
        "RUSTC": str(rust / "bin/rustc"),
        "LD_LIBRARY_PATH": libraries_path(rust),
        "CARGO_TARGET_DIR": str(target or cache() / CACHED_TARGET),
    }
    environment.pop("CARGO_CFG_CURVE25519_DALEK_BACKEND", None)  # the build's, for x86-64 alone
    command = ["cargo", "rustc", "--release", "--locked", "-p", f"rustorium-{CRATE}", "--crate-type", "cdylib"]
    command += ["--target", TARGET, "-Z", "build-std=std,panic_abort", "-Z", "build-std-features="]
    subprocess.run(command, cwd=root, env=environment, check=True)
    version = subprocess.run(
        [rust / "bin/rustc", "--version"], env=environment, check=True, capture_output=True, text=True
    )
    made = Path(environment["CARGO_TARGET_DIR"]) / TARGET / "release" / f"rustorium_{CRATE}.wasm"
    return made, version.stdout.strip()


def build(root: Path) -> None:
    """Builds the module and its record again."""
    made, version = compiled(root)
    shutil.copyfile(made, MODULE)
    record = {
        "module": hashlib.sha256(MODULE.read_bytes()).hexdigest(),
        "sources": sources(root),
        "rustc": version,
    }
    RECORD.write_text(json.dumps(record, indent=2) + "\n")
    print(f"{MODULE.relative_to(root)}: {MODULE.stat().st_size:,} bytes")


def main(arguments: list[str]) -> int:
    """Builds, or checks; 1 where the committed module is not of these sources."""
    if arguments == ["--build"]:
        build(ROOT)
        return 0
    wrong = fault(ROOT, MODULE, RECORD)
    print(wrong or "wasm: the light client's module is of these sources")
    return int(wrong is not None)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
