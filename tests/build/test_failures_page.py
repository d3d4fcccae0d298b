"""The page of failure codes has each code of the sources, and notices when one lacks a meaning or advice."""

import pytest

from planted_tree import load_tool
from rustorium.failures import ADVICE, advice

failures_page = load_tool("failures_page")
ENUM = """
pub enum FailureCode {
    /// It was late,
    /// by much.
    TooLate = 0,
    /// It was early.
    TooEarly = 1,
}
"""
NAMES = 'FailureCode::TooLate => "too-late",\n FailureCode::TooEarly => "too-early",'


def test_codes_and_meanings_come_from_the_sources() -> None:
    assert failures_page.failures(ENUM, NAMES) == [
        ("too-late", "It was late, by much."),
        ("too-early", "It was early."),
    ]


@pytest.mark.parametrize(
    ("enum", "names"),
    [(ENUM, NAMES.splitlines()[0]), (ENUM.replace("    /// It was early.\n", ""), NAMES), ("", NAMES), (ENUM, "")],
)
def test_a_code_without_meaning_or_name_is_an_error(enum: str, names: str) -> None:
    with pytest.raises(SystemExit, match="failure codes"):
        failures_page.failures(enum, names)


def test_a_code_without_advice_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    page = failures_page.page("")
    assert all(f"| `{code}` | " in page for code in ADVICE)
    assert "Look up the balance" in page
    monkeypatch.delitem(ADVICE, "bad-amount")
    with pytest.raises(SystemExit, match="bad-amount"):
        failures_page.page("")
    assert advice("bad-amount") == advice("of a later release") == "correct it and send a new one"
