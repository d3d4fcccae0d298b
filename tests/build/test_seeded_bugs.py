"""The seeded bugs are in no release, and the table of what finds them is about the bugs that there are."""

import os
import re
import subprocess
import sys
from pathlib import Path

from rustorium import _native

ROOT = Path(__file__).resolve().parents[2]
LIST = (sys.executable, "tools/seeded_bugs.py", "--list")


def names_in_the_code() -> set[str]:
    found: set[str] = set()
    for path in (ROOT / "crates").rglob("src/**/*.rs"):
        found |= set(re.findall(r'seeded::bug\(\s*"([^"]+)"', path.read_text()))
    return found


def test_the_extension_has_no_switch() -> None:
    """Strings are found in the extension as they are in the code, so that what isn't found isn't there. That it fails
    where the bugs are is seen by `just seeded-bugs --extension`."""
    binary = Path(os.environ.get("EXTENSION") or _native.__file__).read_bytes()
    assert b"an old or repaired journal could sign twice" in binary
    names = names_in_the_code()
    assert len(names) > 40
    found = [name for name in sorted(names) if name.encode() in binary]
    assert not found, f"{len(found)} of {len(names)} bugs are in the extension, the first is {found[0]}"
    assert b"SEEDED_BUG" not in binary
    assert b"rustorium_types6seeded" not in binary


def test_no_release_is_built_with_it() -> None:
    """The feature is off by default, and nothing that a wheel is built from asks for it."""
    settings = [ROOT / "pyproject.toml", ROOT / "tools" / "build" / "backend.py", ROOT / "Cargo.toml"]
    manifests = [path for path in (ROOT / "crates").glob("*/Cargo.toml") if path.parent.name != "types"]
    assert [path.name for path in (*settings, *manifests) if "seeded-bugs" in path.read_text()] == []
    assert 'default = ["seeded-bugs"]' not in (ROOT / "crates" / "types" / "Cargo.toml").read_text()


def test_the_table_is_about_the_bugs_that_there_are() -> None:
    """The tool itself refuses a table that isn't, and a rule of the specification that no bug breaks."""
    done = subprocess.run(LIST, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = [(line[:12].strip(), line[13:]) for line in done.stdout.splitlines()]
    assert names_in_the_code() <= {name for _, name in listed}
    rows = (ROOT / "docs" / "seeded-bugs.md").read_text().partition("|---")[2].splitlines()[1:]
    seen = [tuple(cell.strip() for cell in row.split("|")[1:3]) for row in rows]
    assert seen == listed, "run `just seeded-bugs --write NAME` for bugs that are new: the page is about others"


def test_a_name_that_is_none_is_refused() -> None:
    done = subprocess.run((*LIST, "no-such-bug"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no-such-bug" in done.stderr
