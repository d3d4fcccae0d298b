"""The explorer's light client is built from its sources: the committed module is rebuilt and compared byte for byte."""

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tools"))

import wasm  # noqa: E402  (a script of tools/)

pytestmark = pytest.mark.outside

HEADER = b"\0asm\1\0\0\0"


def libraries_in(target: Path) -> Path | None:
    """Copies what the build cache has compiled into a target folder, without the workspace's own crates, which are
    to be compiled here; `None` where the cache has nothing yet and shall get it.
    """
    cached = wasm.cache() / wasm.CACHED_TARGET
    if not cached.exists():
        return None
    shutil.copytree(cached, target, ignore=shutil.ignore_patterns("*rustorium*"))
    return target


@pytest.mark.timeout(1_200)
def test_the_committed_module_is_built_from_its_sources_in_any_folder(
    tmp_path: Path, figure: Callable[[str], None]
) -> None:
    """Debian's compiler may be newer than the one in the record. Then the bytes differ, and the failure says so."""
    elsewhere = tmp_path / "elsewhere"
    files = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    for name in files.split("\0"):
        if name.startswith(("crates/", "tests/fuzz/")) or name in ("Cargo.toml", "Cargo.lock"):
            (elsewhere / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, elsewhere / name)
    made, compiler = wasm.compiled(elsewhere, libraries_in(tmp_path / "target"))
    content, committed = made.read_bytes(), wasm.MODULE.read_bytes()
    assert content.startswith(HEADER)
    named = json.loads(wasm.RECORD.read_text())["rustc"]
    if compiler == named:
        assert content == committed, "run `just wasm` and commit both files"
    else:
        figure(f"not compared: the module was made by {named}, and here is {compiler}")
