"""`just wheels`: the environment of its builds, and the refusal of a wheel that fits too few systems."""

import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import wheels  # noqa: E402

from progress import Progress  # noqa: E402

# A stand-in for auditwheel, which prints what the test wants.
AUDITWHEEL = """
import sys
assert sys.argv[1] == "show"
print({said!r})
"""
SAID = 'NAME is consistent\nwith the following platform tag:\n"{tag}".'
NAME = "rustorium-0.2.0-cp311-abi3-manylinux_2_28_x86_64.whl"


def audited(folder: Path, name: str, tag: str) -> None:
    """Checks a wheel that auditwheel reports to be for `tag`."""
    stub = folder / "tools" / "auditwheel"
    stub.mkdir(parents=True)
    (stub / "__main__.py").write_text(AUDITWHEEL.format(said=SAID.format(tag=tag)))
    (folder / name).write_bytes(b"a wheel")
    wheels.check(folder / name, folder / "tools")


@pytest.mark.parametrize("tag", ["manylinux_2_28_x86_64", "manylinux_2_17_x86_64"])
def test_a_wheel_for_the_promised_systems_or_older_ones_passes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], tag: str
) -> None:
    audited(tmp_path, NAME, tag)
    assert capsys.readouterr().out == f"{NAME}: 0.0 MB, manylinux_2_28 by auditwheel\n"


@pytest.mark.parametrize("tag", ["manylinux_2_34_x86_64", "linux_x86_64", "manylinux_2_280_x86_64"])
def test_a_wheel_that_needs_a_newer_system_is_refused(tmp_path: Path, tag: str) -> None:
    with pytest.raises(SystemExit, match=f"doesn't run on every manylinux_2_28 system.*{tag}"):
        audited(tmp_path, NAME, tag)


def test_a_wheel_for_one_python_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"not for every Python from 3\.11 on"):
        audited(tmp_path, NAME.replace("abi3", "cp311"), "manylinux_2_28_x86_64")


class BuildEnvironment:
    """The environment of a build, with stand-ins for RocksDB's compilation, libclang and another processor's
    library.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path, machine: str) -> None:
        self.compilers: list[tuple[str, str, str]] = []
        self._folder = folder
        monkeypatch.setattr(
            os, "environ", os.environ | {"RUSTFLAGS": "-C target-cpu=native", "ROCKSDB_LIB_DIR": "/own"}
        )
        monkeypatch.setattr("platform.machine", lambda: machine)
        monkeypatch.setattr(wheels.backend, "_rust", lambda: wheels.backend.AVX512_RUST)
        monkeypatch.setattr(wheels.backend, "rocksdb", self._rocksdb)
        monkeypatch.setattr(wheels.backend, "libclang", lambda: folder / "libclang")
        monkeypatch.setattr(wheels, "foreign_rust", lambda processor: {"RUSTC": f"rustc for {processor}"})

    def _rocksdb(self, progress: Progress, compiler: str, processor: str, options: str) -> Path:
        self.compilers.append((compiler, processor, options))
        return self._folder / "archive"

    def environment(self, part: str, processor: str) -> dict[str, str]:
        return wheels.environment(part, processor, self._folder / "zig", Progress())


@pytest.mark.parametrize("processor", ["x86_64", "aarch64"])
def test_the_node_is_linked_with_a_rocksdb_by_zig(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, processor: str
) -> None:
    made = BuildEnvironment(monkeypatch, tmp_path, "x86_64")
    variables = made.environment("node", processor)
    assert made.compilers == [(f"{tmp_path}/zig c++", processor, f"-target {processor}-linux-gnu.2.28 -g0")]
    assert variables["ROCKSDB_LIB_DIR"] == str(tmp_path / "archive")
    assert variables["CXXSTDLIB"] == "c++"
    assert not [name for name in variables if name.startswith("CARGO_PROFILE_")], "the profile of the tests"
    assert "RUSTFLAGS" not in variables
    assert variables.get("RUSTC") == (None if processor == "x86_64" else "rustc for aarch64")


def test_the_client_needs_no_rocksdb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = BuildEnvironment(monkeypatch, tmp_path, "x86_64")
    assert "ROCKSDB_LIB_DIR" not in made.environment("client", "x86_64")
    assert made.compilers == []


def test_code_for_avx_512_is_in_wheels_for_its_processor_alone(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    made = BuildEnvironment(monkeypatch, tmp_path, "x86_64")
    backends = [made.environment("client", on).get("CARGO_CFG_CURVE25519_DALEK_BACKEND") for on in wheels.DEBIAN]
    assert dict(zip(wheels.DEBIAN, backends, strict=True)) == {"aarch64": None, "x86_64": "avx512"}
