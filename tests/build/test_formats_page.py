"""The page of formats names versions, fuzz targets and domain strings as the code has them; a difference is found."""

from pathlib import Path
from types import ModuleType

import pytest

from planted_tree import ROOT, load_tool, write

RUST = """/// The bytes of a vote.
pub const VOTE: &[u8] = b"rustorium/vote/v1\\0";
/// The version.
pub(crate) const FORMAT: u32 = 5;
    pub const NEWEST: (u8, u8) = (1, 3);
"""


@pytest.fixture(scope="module")
def formats() -> ModuleType:
    return load_tool("formats")


@pytest.fixture
def tree(formats: ModuleType, tmp_path: Path) -> Path:
    row = "| store | 5 | 4 | head | `crates/one/src/rows.rs` `FORMAT` | `row` |"
    write(tmp_path, "crates/one/src/rows.rs", RUST)
    write(tmp_path, formats.TARGETS, 'target("row", Low),\n')
    write(tmp_path, formats.PAGE, f"# Formats\n\n{row}\n\n{formats.HEAD}")
    assert list(formats.check(tmp_path, write=True)) == []
    return tmp_path


def test_the_page_of_this_repository_is_up_to_date(formats: ModuleType) -> None:
    assert list(formats.check(ROOT)) == []


def test_domain_strings_are_listed_with_their_comments(formats: ModuleType, tree: Path) -> None:
    assert (
        "| `rustorium/vote/v1` | `crates/one/src/rows.rs` | The bytes of a vote. |\n"
        in (tree / formats.PAGE).read_text()
    )
    (tree / "crates/one/src/rows.rs").write_text(RUST.replace("vote/v1", "vote/v2"))
    assert [fault.partition(": ")[2] for fault in formats.check(tree)] == [
        "the domain strings aren't those of the crates: use tools/formats.py --write"
    ]


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ("| 5 |", "| 4 |", "its newest version is 5"),
        ("`FORMAT`", "`FORM`", "its constant can't be read (FORM)"),
        ("one/src/rows.rs` `F", "two/src/rows.rs` `F", "its constant can't be read"),
        ("`row` |", "`line` |", "has no target line"),
    ],
)
def test_a_row_that_the_code_contradicts_is_found(
    formats: ModuleType, tree: Path, old: str, new: str, says: str
) -> None:
    page = tree / formats.PAGE
    page.write_text(page.read_text().replace(old, new, 1))
    [fault] = formats.check(tree)
    assert says in fault


def test_the_newest_of_several_versions_counts(formats: ModuleType) -> None:
    assert (formats.newest(RUST, "NEWEST"), formats.newest(RUST, "FORMAT")) == (3, 5)
    assert formats.newest("NAME = 'x'\nFORMAT, VERSION = 'rustorium-recording', 1\nVERSIONS = (1, 2)\n", "VERSION") == 1
