"""The explorer has the same regions as the Python side, and the light client's module has the hash of its sources."""

import json
import re
import shutil
import sys
from pathlib import Path

import pytest

from rustorium.regions import KNOWN

ROOT = Path(__file__).resolve().parents[2]
UI = ROOT / "crates" / "gateway" / "ui"
sys.path.insert(0, str(ROOT / "tools"))

import wasm  # noqa: E402  (a script of tools/)


def test_regions_have_the_same_names_and_a_place() -> None:
    rows = re.findall(r'\["([a-z0-9-]+)"(?:, (-?[\d.]+), (-?[\d.]+))?\]', (UI / "regions.js").read_text())
    assert tuple(name for name, _, _ in rows) == KNOWN
    assert [name for name, north, _ in rows if not north] == ["local"]
    assert all(abs(float(north)) <= 90 and abs(float(east)) <= 180 for _, north, east in rows if north)


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """A copy of the module's sources and of the module."""
    for name in wasm.crates(ROOT):
        shutil.copytree(ROOT / "crates" / name, tmp_path / "crates" / name, ignore=shutil.ignore_patterns("tests"))
    for name in ("Cargo.toml", "Cargo.lock"):
        shutil.copy(ROOT / name, tmp_path / name)
    (tmp_path / "crates" / "gateway" / "ui").mkdir(parents=True)
    for file in (wasm.MODULE, wasm.RECORD):
        shutil.copy(file, tmp_path / file.relative_to(ROOT))
    return tmp_path


def fault(root: Path) -> str | None:
    return wasm.fault(root, root / wasm.MODULE.relative_to(ROOT), root / wasm.RECORD.relative_to(ROOT))


def test_the_committed_module_is_of_these_sources(copy: Path) -> None:
    assert fault(ROOT) is None
    assert fault(copy) is None, "the hash depends on nothing outside the copy"


def test_a_comment_or_a_test_changes_nothing(copy: Path) -> None:
    source = copy / "crates" / "light" / "src" / "session.rs"
    source.write_text(f"// Another word.\n\n{source.read_text()}")
    (copy / "crates" / "types" / "src" / "tests.rs").write_text("fn more() {}\n")
    assert fault(copy) is None


def test_changed_code_library_or_module_is_found(copy: Path) -> None:
    def changed(path: Path, old: str, new: str) -> str:
        before = path.read_text()
        assert old in before
        path.write_text(before.replace(old, new, 1))
        said = fault(copy)
        path.write_text(before)
        assert said is not None
        assert fault(copy) is None
        return said

    proof = copy / "crates" / "execution" / "src" / "proof" / "read.rs"
    assert "other sources" in changed(proof, "verify(", "verify (")
    blake3 = re.search(r'name = "blake3"\nversion = "([^"]+)"', (ROOT / "Cargo.lock").read_text())
    assert blake3 is not None
    assert "other sources" in changed(copy / "Cargo.lock", blake3.group(), 'name = "blake3"\nversion = "9.9.9"')
    record = copy / wasm.RECORD.relative_to(ROOT)
    module = json.loads(record.read_text())["module"]
    assert "is not the file" in changed(record, module, "0" * 64)
