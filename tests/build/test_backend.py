"""The build backend: RocksDB is compiled once; a machine that can't build is told so in one sentence (ADR 0001)."""

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "tools" / "build" / "backend.py"

# Stands in for cargo: notes what it was given, and leaves an archive as librocksdb-sys would.
CARGO = """#!{python}
import json, os, pathlib, sys
with open({calls!r}, "a") as calls:
    print(json.dumps({{"arguments": sys.argv[1:], "environment": dict(os.environ)}}), file=calls)
if os.environ.get("CARGO_FAILS"):
    sys.exit("error: no space left on device")
out = pathlib.Path(os.environ["CARGO_TARGET_DIR"]) / "out"
out.mkdir(parents=True)
(out / "librocksdb.a").write_bytes(b"archive")
print(json.dumps({{"reason": "build-script-executed", "package_id": "librocksdb-sys", "out_dir": str(out)}}))
"""


class Machine:
    """A cache of its own, and a cargo that only pretends."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.calls = folder / "cache", folder / "calls.jsonl"
        tools = folder / "bin"
        tools.mkdir()
        cargo = tools / "cargo"
        cargo.write_text(CARGO.format(python=sys.executable, calls=str(self.calls)))
        cargo.chmod(0o755)
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith("ROCKSDB_")}
        self.environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "RUSTORIUM_BUILD_CACHE": str(self.cache)}

    def start(self, **environment: str) -> subprocess.Popen[str]:
        command, pipe = [sys.executable, str(BACKEND)], subprocess.PIPE
        return subprocess.Popen(command, env=self.environment | environment, stdout=pipe, stderr=pipe, text=True)

    def run(self, **environment: str) -> tuple[int, str, str]:
        process = self.start(**environment)
        output, errors = process.communicate()
        return process.returncode, output, errors

    def archives(self) -> list[Path]:
        return list(self.cache.rglob("librocksdb.a"))

    def compilations(self) -> list[str]:
        return self.calls.read_text().splitlines() if self.calls.exists() else []


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def exports(text: str) -> dict[str, str]:
    words = [shlex.split(line) for line in text.splitlines()]
    assert all(word[0] == "export" for word in words)
    return dict(word[1].split("=", 1) for word in words)


def test_rocksdb_is_compiled_once_for_any_number_of_builds_at_once(machine: Machine) -> None:
    running = [machine.start() for _ in range(4)]
    done = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 4, done
    assert machine.run()[0] == 0
    assert len(machine.compilations()) == 1
    assert len(machine.archives()) == 1
    assert sum("compiling RocksDB, once for this machine" in errors for _, errors in done) == 1
    environments = {output for output, _ in done}
    assert len(environments) == 1
    environment = exports(environments.pop())
    assert environment["ROCKSDB_STATIC"] == "1"
    assert Path(environment["ROCKSDB_LIB_DIR"]) == machine.archives()[0].parent
    assert (Path(environment["LIBCLANG_PATH"]) / "libclang.so").exists()
    assert Path(environment["BINDGEN_EXTRA_CLANG_ARGS"].removeprefix("-isystem ")).is_dir()


def test_flags_of_one_build_are_not_compiled_into_the_archive(machine: Machine) -> None:
    own = {"RUSTFLAGS": "-C panic=abort", "CARGO_PROFILE_RELEASE_DEBUG_ASSERTIONS": "true", "ROCKSDB_STATIC": "1"}
    assert machine.run(**own, CARGO_TARGET_DIR="/nowhere")[0] == 0
    (call,) = machine.compilations()
    assert "--locked" in call
    assert not [name for name in own if name in call]
    assert "/nowhere" not in call


def test_a_failed_compilation_ends_in_a_sentence_and_leaves_no_archive(machine: Machine) -> None:
    code, output, errors = machine.run(CARGO_FAILS="1")
    assert (code, output) == (1, "")
    assert "no space left on device" in errors
    assert "RocksDB did not compile" in errors
    assert "Traceback" not in errors
    assert machine.archives() == []
    assert machine.run()[0] == 0, "the next try starts afresh"


def run_elsewhere(statements: str, path: str | None = None) -> subprocess.CompletedProcess[str]:
    """Loads the backend as a build front end does, on a machine made different by `statements`, without maturin."""
    path_to_backend = (
        f"import platform, sys\nsys.path.insert(0, {str(BACKEND.parent)!r})\nsys.modules['maturin'] = None"
    )
    code = f"{path_to_backend}\n{statements}\nimport backend"
    environment = os.environ | ({"PATH": path} if path is not None else {})
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("system", "processor"), [("darwin", "arm64"), ("win32", "AMD64"), ("linux", "armv7l"), ("linux", "riscv64")]
)
def test_another_platform_gets_one_sentence(system: str, processor: str) -> None:
    done = run_elsewhere(f"sys.platform = {system!r}\nplatform.machine = lambda: {processor!r}")
    assert done.returncode == 1
    expected = f"rustorium runs on Linux x86-64 and aarch64 only, and this is {system} {processor}: use one of those.\n"
    assert done.stderr == expected


def test_a_missing_toolchain_gets_one_sentence() -> None:
    done = run_elsewhere("", path="/nonexistent")
    assert done.returncode == 1
    assert done.stderr.count("\n") == 1
    assert "needs stable Rust (https://rustup.rs) to build, and `rustc` is not on the PATH" in done.stderr


def test_an_old_toolchain_gets_one_sentence(tmp_path: Path) -> None:
    rustc = tmp_path / "rustc"
    rustc.write_text("#!/bin/sh\necho 'rustc 1.70.0 (90c541806 2023-05-31)'\n")
    rustc.chmod(0o755)
    done = run_elsewhere("", path=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert re.fullmatch(r"rustorium needs Rust [\d.]+ or newer to build, and this is 1\.70\.0: .*\n", done.stderr)


def test_both_lock_files_name_one_rocksdb() -> None:
    pattern = re.compile(r'name = "librocksdb-sys"\nversion = "(.+)"')
    ours, archive = (pattern.findall((ROOT / lock).read_text()) for lock in ("Cargo.lock", "tools/rocksdb/Cargo.lock"))
    assert len(ours) == 1
    assert ours == archive


def test_the_backend_stays_short() -> None:
    code = [
        line for line in BACKEND.read_text().splitlines() if line.strip() and not line.lstrip().startswith(("#", '"""'))
    ]
    assert len(code) < 110, "a build backend is read by whoever doubts a build"
