"""Tables are for people: times are dates in tables and numbers in JSON."""

import json

import pytest

from rustorium.cli.failure import explain
from rustorium.cli.output import Format, emit, emit_one, note, show
from rustorium.errors import NotFound

ROWS = [{"id": "a", "made_ms": 1795699745918, "took_ms": 1500}, {"id": "b", "made_ms": None, "took_ms": 0}]


def test_a_table_shows_moments_as_dates_and_durations_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, Format.table)
    emit_one(ROWS[0], Format.table)
    assert [line.split() for line in capsys.readouterr().out.splitlines()] == [
        ["id", "made", "took", "ms"],
        ["a", "2026-11-26T13:29:05.918Z", "1500"],
        ["b", "-", "0"],
        ["id", "a"],
        ["made", "2026-11-26T13:29:05.918Z"],
        ["took", "ms", "1500"],
    ]


def test_json_has_them_as_numbers(capsys: pytest.CaptureFixture[str]) -> None:
    emit(ROWS, Format.json)
    assert json.loads(capsys.readouterr().out) == ROWS


def test_a_table_wider_than_the_terminal_has_one_field_a_line(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"check": "disk", "seen": "s" * 60}, {"check": "clock", "seen": "fine"}]
    monkeypatch.setenv("COLUMNS", "50")
    emit(rows, Format.table)
    assert capsys.readouterr().out.splitlines()[0] == f"check  {'seen':<60}".rstrip()
    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    emit(rows, Format.table)
    assert capsys.readouterr().out == f"check  disk\nseen   {'s' * 60}\n\ncheck  clock\nseen   fine\n"
    monkeypatch.setenv("COLUMNS", "80")
    emit(rows, Format.table)
    assert len(capsys.readouterr().out.splitlines()) == 3


FORGED = "paid\x1b[2J\x1b[32m\x9b1m\u202e\u2066\x07\U000e0041\r\nVERIFIED: by 4 of 4"


def test_what_others_wrote_moves_no_cursor_and_forges_no_line(capsys: pytest.CaptureFixture[str]) -> None:
    row = {"key": FORGED, "value": FORGED, "signed_by": {"names": [FORGED], "validators": 4, "by_owners": False}}
    emit([row, row], Format.table)
    emit_one(row, Format.table)
    note(FORGED)
    show([(FORGED, "")])
    explain(NotFound(FORGED, code="x\x1b[2J"), as_json=False)
    told = capsys.readouterr()
    assert all(line.isprintable() for line in (told.out + told.err).split("\n"))
    assert not any(line.startswith("VERIFIED") for line in told.out.split("\n"))
    assert "paid\\u001b[2J\\u001b[32m\\u009b1m\\u202e\\u2066\\u0007\\udb40\\udc41\\r\\nVERIFIED" in told.out


@pytest.mark.parametrize("form", [Format.json, Format.jsonl])
def test_json_says_the_same_with_escapes(form: Format, capsys: pytest.CaptureFixture[str]) -> None:
    emit_one({"value": FORGED}, form)
    explain(NotFound(FORGED), as_json=True)
    told = capsys.readouterr()
    assert all(line.isprintable() for line in (told.out + told.err).split("\n"))
    assert json.loads(told.out)["value"] == json.loads(told.err)["error"] == FORGED
