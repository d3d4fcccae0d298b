"""No release has a seeded bug, each patch still applies, and the page lists the existing bugs."""

import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from rustorium import _native

ROOT = Path(__file__).resolve().parents[2]
LIST = (sys.executable, "tools/seeded_bugs.py", "--list")
sys.path.insert(0, str(ROOT / "tools"))

from seeded_bugs import PAGE, rows_of  # noqa: E402  (scripts of tools/)
from seeded_patches import Change, Table, UnsoundTable, read_table, with_bugs, write_copy  # noqa: E402  (scripts of tools/)


@pytest.fixture(scope="module")
def table() -> Table:
    return read_table()


def test_the_extension_has_no_switch(table: Table) -> None:
    """Strings stand in the extension as they stand in the code, so a string that isn't found isn't in it."""
    binary = Path(_native.__file__).read_bytes()
    assert b"an old or repaired journal could sign twice" in binary
    names = {row.name for row in table.rows}
    assert len(names) > 40
    # Names have no other characters, so only such runs are searched: a fortieth of the file.
    runs = b"\n".join(re.findall(rb"[a-z0-9-]{%d,}" % min(map(len, names)), binary))
    found = [name for name in sorted(names) if name.encode() in runs]
    assert not found, f"{len(found)} of {len(names)} bugs are in the extension, the first is {found[0]}"
    assert b"SEEDED_BUG" not in binary
    assert not re.search(rb"rustorium_[a-z]+6seeded", binary)


def test_production_code_has_no_switch() -> None:
    """Neither the crates nor the build files of a wheel contain the bugs."""
    settings = [ROOT / "pyproject.toml", ROOT / "tools" / "build" / "backend.py", ROOT / "Cargo.toml"]
    crates = [path for path in (ROOT / "crates").rglob("*") if path.suffix in (".rs", ".toml")]
    switch = re.compile(r"seeded::|mod seeded|seeded[-_]bug|SEEDED_BUG")
    assert [str(path.relative_to(ROOT)) for path in (*settings, *crates) if switch.search(path.read_text())] == []


def test_each_patch_applies_once(table: Table) -> None:
    assert len(table.changes) >= len(table.rows) > 100
    for path, changes in table.by_file().items():
        text = with_bugs((ROOT / path).read_text(), changes)
        assert text.count("crate::seeded::bug(") == sum(len(change.names) for change in changes), path


CODE = """\
fn first() -> bool {
    let all = many(one, [
        two,
    ]);
    all && ready
}

impl Second {
    fn second(&self) -> bool {
        all && ready
    }
}
"""
CHANGE = Change("table:1", "code.rs", "first", "all && ready", 'all && (ready || seeded::bug("any"))')


def test_lines_are_found_in_their_function_however_they_are_wrapped() -> None:
    wrapped = replace(CHANGE, before="let all = many(one, [two]);", after='let all = seeded::bug("all");')
    text = with_bugs(CODE, [CHANGE, wrapped])
    first, _, second = text.partition("impl")
    assert first.splitlines()[1] == '    let all = crate::seeded::bug("all");'
    assert first.splitlines()[2] == '    all && (ready || crate::seeded::bug("any"))'
    assert second == CODE.partition("impl")[2]


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        (
            [replace(CHANGE, before="none && ready")],
            r"table:1: `none && ready` occurs 0 times in `fn first` of code\.rs",
        ),
        ([replace(CHANGE, before="all")], "occurs 2 times"),
        ([replace(CHANGE, before="al && read")], "occurs 0 times"),
        ([replace(CHANGE, function="third")], "has no `fn third`"),
        ([CHANGE, replace(CHANGE, place="table:9", before="ready")], "table:9: it overlaps another change"),
    ],
)
def test_a_patch_that_does_not_apply_is_named(changes: list[Change], fault: str) -> None:
    with pytest.raises(UnsoundTable, match=fault):
        with_bugs(CODE, changes)


def test_the_page_lists_exactly_the_existing_bugs(table: Table) -> None:
    """The tool itself refuses an inconsistent table."""
    done = subprocess.run(LIST, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    listed = [(line[:12].strip(), line[13:]) for line in done.stdout.splitlines()]
    assert {row.name for row in table.rows} <= {name for _, name in listed}
    text = PAGE.read_text()
    seen = [row[:2] for row in rows_of(text)]
    assert seen == listed, "run `just seeded-bugs --write NAME` for bugs that are new: the page is about others"
    assert f"These {len(listed)} bugs" in text


def test_an_unknown_name_is_refused() -> None:
    done = subprocess.run((*LIST, "no-such-bug"), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "no-such-bug" in done.stderr


def test_a_copy_has_no_files_of_a_removed_crate(tmp_path: Path) -> None:
    left = tmp_path / "crates" / "gone" / "src" / "lib.rs"
    left.parent.mkdir(parents=True)
    left.write_text("")
    write_copy(tmp_path)
    assert not (tmp_path / "crates" / "gone").exists()
    assert (tmp_path / "crates" / "types" / "src" / "lib.rs").is_file()
