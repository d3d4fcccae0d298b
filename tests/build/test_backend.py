"""The build backend: RocksDB is compiled once, and a machine that can't build gets one sentence (ADRs 0001 and
0070).
"""

import fcntl
import json
import os
import re
import shlex
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

import pytest

WITHOUT_COMPILING_S = 300.0
"""A process that waits for a lock would wait for ever."""
ROOT = Path(__file__).resolve().parents[2]
BACKEND = ROOT / "tools" / "build" / "backend.py"
sys.path.insert(0, str(ROOT / "tools" / "rocksdb"))

import archive  # noqa: E402

# A stand-in for cargo, which records its arguments and names the folders of the three crates.
CARGO = """#!{python}
import json, os, sys
with open({calls!r}, "a") as calls:
    print(json.dumps(sys.argv[1:]), file=calls)
if os.environ.get("CARGO_FAILS"):
    sys.exit("error: no space left on device")
names = ["librocksdb-sys", "lz4-sys", "zstd-sys", "serde"]
print(json.dumps({{"packages": [{{"name": n, "manifest_path": {crates!r} + "/" + n + "/Cargo.toml"}} for n in names]}}))
"""
SOURCES = 20


class Machine:
    """A machine with its own cache, a stand-in for cargo, and sources that the real compiler accepts."""

    def __init__(self, folder: Path) -> None:
        self.cache, self.calls = folder / "cache", folder / "calls.jsonl"
        self.sources = folder / "librocksdb-sys" / "rocksdb" / "db"
        self.sources.mkdir(parents=True)
        for number in range(SOURCES):
            self.write(
                number, f"#include <lz4.h>\n#include <zstd.h>\nint f{number}() {{ return FROM_LZ4 + FROM_ZSTD; }}\n"
            )
        listed = "".join(f"db/f{number}.cc\n" for number in range(SOURCES)) + "util/build_version.cc\n"
        (folder / "librocksdb-sys" / "rocksdb_lib_sources.txt").write_text(listed)
        (folder / "librocksdb-sys" / "build_version.cc").write_text("int version() { return sizeof(std::uint64_t); }\n")
        for place, text in (("lz4-sys/liblz4/lib/lz4.h", "FROM_LZ4"), ("zstd-sys/zstd/lib/zstd.h", "FROM_ZSTD")):
            (folder / place).parent.mkdir(parents=True)
            (folder / place).write_text(f"#define {text} 1\n")
        tools = folder / "bin"
        tools.mkdir()
        cargo = tools / "cargo"
        cargo.write_text(CARGO.format(python=sys.executable, calls=str(self.calls), crates=str(folder)))
        cargo.chmod(0o755)
        dropped = ("ROCKSDB_", "CARGO_", "RUSTORIUM_", "LIBCLANG_", "BINDGEN_")
        self.environment = {name: value for name, value in os.environ.items() if not name.startswith(dropped)}
        self.environment |= {"PATH": f"{tools}:{os.environ['PATH']}", "RUSTORIUM_BUILD_CACHE": str(self.cache)}

    def write(self, number: int, text: str) -> None:
        (self.sources / f"f{number}.cc").write_text(text)

    def start(self, **environment: str) -> subprocess.Popen[str]:
        command, pipe, variables = [sys.executable, str(BACKEND)], subprocess.PIPE, self.environment | environment
        # A process in a new session has no terminal.
        return subprocess.Popen(command, env=variables, stdout=pipe, stderr=pipe, text=True, start_new_session=True)

    def run(self, **environment: str) -> tuple[int, str, str]:
        process = self.start(**environment)
        output, errors = process.communicate()
        return process.returncode, output, errors

    def archives(self) -> list[Path]:
        return list(self.cache.rglob("librocksdb.a"))

    def symbols(self) -> str:
        (made,) = self.archives()
        return subprocess.run(["nm", "-C", made], check=True, capture_output=True, text=True).stdout

    def compilations(self) -> list[list[str]]:
        return [json.loads(line) for line in self.calls.read_text().splitlines()] if self.calls.exists() else []


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
    assert "--locked" in machine.compilations()[0]
    assert len(machine.archives()) == 1
    assert sum("compiling RocksDB, once for this machine" in errors for _, errors in done) == 1
    environments = {output for output, _ in done}
    assert len(environments) == 1
    environment = exports(environments.pop())
    assert environment["ROCKSDB_STATIC"] == "1"
    assert not [name for name in environment if name.startswith("CARGO_PROFILE_")], "the tests' own profile"
    assert Path(environment["ROCKSDB_LIB_DIR"]) == machine.archives()[0].parent
    assert (Path(environment["LIBCLANG_PATH"]) / "libclang.so").exists()
    assert Path(environment["BINDGEN_EXTRA_CLANG_ARGS"].removeprefix("-isystem ")).is_dir()
    assert {path.name for path in machine.cache.iterdir()} <= {
        "libclang-18.1.1",
        f"{machine.archives()[0].parent.name}.lock",
        machine.archives()[0].parent.name,
    }


def test_a_finished_archive_is_taken_while_another_one_is_compiled(machine: Machine) -> None:
    assert machine.run()[0] == 0
    # A cross-compilation has another recipe, and so another lock; and who finds the archive waits for none.
    locks = list(machine.cache.glob("*.lock"))
    assert locks
    with ExitStack() as stack:
        for lock in (*locks, machine.cache / "rocksdb.lock"):
            fcntl.flock(stack.enter_context(lock.open("w")), fcntl.LOCK_EX)
        process = machine.start()
        stack.callback(process.kill)
        _, errors = process.communicate(timeout=WITHOUT_COMPILING_S)
        assert process.returncode == 0, errors


def test_the_archive_holds_every_source_in_a_few_parts(machine: Machine) -> None:
    assert machine.run()[0] == 0
    symbols = machine.symbols()
    assert all(f" T f{number}()" in symbols for number in range(SOURCES))
    assert " T version()" in symbols
    members = re.findall(r"^(\S+)\.o:$", symbols, re.MULTILINE)
    assert len(members) <= archive.PARTS
    assert all(re.fullmatch(r"part\d\d", name) for name in members)


def test_sources_that_do_not_compile_together_are_compiled_one_by_one(machine: Machine) -> None:
    for number in range(SOURCES):
        machine.write(number, f"static int same() {{ return {number}; }}\nint f{number}() {{ return same(); }}\n")
    code, _, errors = machine.run()
    assert code == 0, errors
    assert "redefinition of" in errors
    assert re.search(r"the compiler refuses part\d\d\.cc: its \d sources are compiled one by one", errors)
    assert all(f" T f{number}()" in machine.symbols() for number in range(SOURCES))


def test_an_interrupted_compilation_continues(machine: Machine) -> None:
    machine.write(SOURCES - 1, "#error not today\n")
    code, output, errors = machine.run()
    assert (code, output) == (1, "")
    assert "RocksDB did not compile" in errors
    assert "not today" in errors
    assert "Traceback" not in errors
    assert machine.archives() == []
    before = {path: path.stat().st_mtime_ns for path in machine.cache.rglob("*.o")}
    assert before
    for path in before:
        assert path.parent.name.endswith(".objects")
    first = machine.sources / "f0.cc"
    first.unlink()
    first.write_text("#error compiled already\n")
    machine.write(SOURCES - 1, f"int f{SOURCES - 1}() {{ return 0; }}\n")
    assert machine.run()[0] == 0
    assert f" T f{SOURCES - 1}()" in machine.symbols()


def test_without_cargo_there_is_a_sentence_and_no_archive(machine: Machine) -> None:
    code, output, errors = machine.run(CARGO_FAILS="1")
    assert (code, output) == (1, "")
    assert "no space left on device" in errors
    assert "RocksDB did not compile" in errors
    assert "Traceback" not in errors
    assert machine.archives() == []
    assert machine.run()[0] == 0, "the next try starts afresh"


def test_the_client_needs_neither_compiler_nor_rocksdb(machine: Machine) -> None:
    code, output, errors = machine.run(RUSTORIUM_BUILD="client", CXX="no-such-compiler")
    assert code == 0, errors
    assert not [name for name in exports(output) if name.startswith(("ROCKSDB_", "LIBCLANG_", "BINDGEN_"))]
    assert machine.compilations() == []
    assert machine.archives() == []


def test_an_unknown_build_gets_one_sentence(machine: Machine) -> None:
    code, output, errors = machine.run(RUSTORIUM_BUILD="server")
    assert (code, output) == (1, "")
    assert errors == "RUSTORIUM_BUILD is `server`: set it to `node` or `client`, or unset it.\n"


def test_the_archives_name_says_how_it_was_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = archive.recipe(ROOT, "g++ 12", "x86_64")
    assert made == archive.recipe(ROOT, "g++ 12", "x86_64")
    assert all(f"{name}" in made.decode() for name in archive.CRATES)
    assert len({made, archive.recipe(ROOT, "g++ 13", "x86_64"), archive.recipe(ROOT, "g++ 12", "aarch64")}) == 3
    for name, value in (("OPTIONS", ["-O0"]), ("DEFINES", []), ("PARTS", 1), ("PROCESSOR", {}), ("RECIPE", 0)):
        with monkeypatch.context() as changed:
            changed.setattr(archive, name, value)
            assert archive.recipe(ROOT, "g++ 12", "x86_64") != made, name


def run_elsewhere(statements: str, path: str | None = None, **variables: str) -> subprocess.CompletedProcess[str]:
    """Loads the backend as a build front end does, after `statements` have changed the machine, without maturin."""
    path_to_backend = (
        f"import platform, sys\nsys.path.insert(0, {str(BACKEND.parent)!r})\nsys.modules['maturin'] = None"
    )
    code = f"{path_to_backend}\n{statements}\nimport backend"
    environment = os.environ | variables | ({"PATH": path} if path is not None else {})
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("system", "processor", "build"),
    [("darwin", "arm64", "node"), ("win32", "AMD64", "node"), ("linux", "armv7l", ""), ("linux", "riscv64", "")],
)
def test_an_unsupported_system_gets_one_sentence(system: str, processor: str, build: str) -> None:
    elsewhere = f"sys.platform = {system!r}\nplatform.machine = lambda: {processor!r}"
    done = run_elsewhere(elsewhere, RUSTORIUM_BUILD=build)
    assert done.returncode == 1
    assert done.stderr == (
        f"rustorium's node runs on Linux x86-64 and aarch64 only, and this is {system} {processor}: use one of those, "
        "or set RUSTORIUM_BUILD=client for the client alone.\n"
    )


@pytest.mark.parametrize(("system", "processor"), [("darwin", "arm64"), ("win32", "AMD64")])
def test_macos_and_windows_build_the_client_by_default(system: str, processor: str) -> None:
    elsewhere = (
        "import shutil\nshutil.which = lambda tool: tool\nsys.modules['fcntl'] = None\n"
        f"sys.platform = {system!r}\nplatform.machine = lambda: {processor!r}"
    )
    done = run_elsewhere(elsewhere, RUSTORIUM_BUILD="")
    assert "import of maturin halted" in done.stderr, "it gets as far as maturin, which this environment hides"
    asked = f"{elsewhere}\ndel sys.modules['maturin']\nimport backend\nprint(backend.get_requires_for_build_wheel())"
    assert run_elsewhere(asked, RUSTORIUM_BUILD="").stdout == "[]\n"
    assert (
        run_elsewhere(asked.replace(system, "linux").replace(processor, "x86_64"), RUSTORIUM_BUILD="").stdout
        == "['libclang==18.1.1']\n"
    )


@pytest.mark.parametrize(
    ("build", "hook", "given", "passed"),
    [
        ("client", "build_wheel", "", "--no-default-features --profile client"),
        ("client", "build_editable", "--offline", "--offline --no-default-features --profile client"),
        ("node", "build_wheel", "", ""),
        ("node", "build_editable", "--offline", "--offline"),
    ],
)
def test_the_client_has_a_profile_of_its_own(build: str, hook: str, given: str, passed: str) -> None:
    stub = (
        "import os, types\nmaturin = sys.modules['maturin'] = types.ModuleType('maturin')\n"
        "maturin.build_wheel = maturin.build_editable = lambda *_: os.environ.get('MATURIN_PEP517_ARGS', '')\n"
        "import backend\nbackend.build_environment = lambda progress: {}\nbackend.bill.narrow = lambda *_: None"
    )
    done = run_elsewhere(f"{stub}\nprint(backend.{hook}('wheels'))", RUSTORIUM_BUILD=build, MATURIN_PEP517_ARGS=given)
    assert (done.returncode, done.stdout) == (0, f"{passed}\n"), done.stderr


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


@pytest.mark.parametrize("path", [BACKEND, BACKEND.with_name("progress.py"), Path(archive.__file__)])
def test_the_backend_stays_short(path: Path) -> None:
    code = [
        line for line in path.read_text().splitlines() if line.strip() and not line.lstrip().startswith(("#", '"""'))
    ]
    assert len(code) < 140, "a build backend is read by whoever doubts a build"
