"""The page of limits shows the values in the sources, and notices when a limit is gone."""

from pathlib import Path

import pytest

from planted_tree import load_tool

limits_page = load_tool("limits_page")


def crate(root: Path, text: str) -> None:
    (root / "types" / "src").mkdir(parents=True)
    (root / "types" / "src" / "limits.rs").write_text(text)


def test_values_come_from_constants_and_from_defaults_of_structs(tmp_path: Path) -> None:
    crate(
        tmp_path,
        "/// Bytes of a thing.\npub const THING_BYTES_MAX: usize = 4 * 1_024;\n"
        "/// Bytes of two.\npub const PAIR_BYTES_MAX: usize = 2 * THING_BYTES_MAX;\n"
        "pub struct Some {\n    /// Things at once,\n    /// in all.\n    #[serde(default)]\n"
        "    pub things_max: u32,\n}\n"
        "impl Default for Some {\n    fn default() -> Self {\n        Self {\n"
        "            things_max: 3,\n        }\n    }\n}\n",
    )
    sources = limits_page.Sources(tmp_path)
    pair, things = sources.limit("types:PAIR_BYTES_MAX"), sources.limit("Some.things_max")
    assert (pair.value, limits_page.shown(pair), pair.text) == (8192, "8 KiB", "Bytes of two.")
    assert (things.value, limits_page.shown(things), things.text) == (3, "3", "Things at once, in all.")


def test_a_limit_that_is_gone_or_has_two_values_is_an_error(tmp_path: Path) -> None:
    crate(tmp_path, "/// A.\npub const A_MAX: u8 = 1;\nmod other {}\n")
    (tmp_path / "zk" / "src").mkdir(parents=True)
    (tmp_path / "zk" / "src" / "lib.rs").write_text("/// A, too.\npub const A_MAX: u8 = 2;\n")
    sources = limits_page.Sources(tmp_path)
    for name in ("B_MAX", "A_MAX", "Some.things_max"):
        with pytest.raises(SystemExit, match=name):
            sources.limit(name)
    assert sources.limit("zk:A_MAX").value == 2


def test_the_page_has_every_format_limit_that_a_client_meets() -> None:
    page = limits_page.page("")
    for line in (
        "| 64 KiB | `VALUE_BYTES_MAX` |",
        "| 256 KiB | `TRANSACTION_BYTES_MAX` |",
        "| 128 | `VALIDATORS_MAX` |",
    ):
        assert line in page
