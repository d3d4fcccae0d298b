"""A home records its newest backup at each destination; an operator can also name a minimum height."""

from pathlib import Path
from typing import Any

import pytest

from rustorium.errors import HomeError, VerificationFailed
from rustorium.node.admin.backup_memory import DESTINATIONS_MAX, Newest, check, load, remember

PLACE = "s3://bucket/prefix"


def rows(*heights: int, state: str = "good") -> list[dict[str, Any]]:
    return [{"id": f"{height:032x}", "height": height, "state": state} for height in heights]


def test_the_newest_of_each_destination_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "backups.json"
    assert load(path) == {}
    for height in (3, 9):
        remember(path, PLACE, rows(height)[0])
    remember(path, "/mnt/other", rows(4)[0])
    assert load(path) == {PLACE: Newest(f"{9:032x}", 9), "/mnt/other": Newest(f"{4:032x}", 4)}


def test_destinations_are_bounded_and_the_ones_used_last_stay(tmp_path: Path) -> None:
    path = tmp_path / "backups.json"
    for number in range(DESTINATIONS_MAX + 2):
        remember(path, f"/mnt/{number}", rows(number)[0])
        remember(path, PLACE, rows(7)[0])
    assert len(load(path)) == DESTINATIONS_MAX
    assert PLACE in load(path)
    assert "/mnt/1" not in load(path)


def test_a_destination_put_back_to_an_older_state_is_reported() -> None:
    newest = Newest(f"{9:032x}", 9)
    for there in (rows(), rows(3, 8)):
        with pytest.raises(VerificationFailed, match=r"reaches height 9.*put it back") as told:
            check(PLACE, there, newest)
        assert told.value.code == "backups-rolled-back"


@pytest.mark.parametrize("there", [rows(3, 9), rows(12), [{"id": f"{9:032x}", "height": 0, "state": "damaged"}]])
def test_a_destination_with_this_or_a_newer_backup_is_not_reported(there: list[dict[str, Any]]) -> None:
    check(PLACE, there, Newest(f"{9:032x}", 9))
    check(PLACE, rows(1), None)


def test_an_operator_may_require_a_minimum_height() -> None:
    check(PLACE, rows(3, 9), None, 9)
    for there in (rows(3, 8), rows(9, state="damaged: it is missing")):
        with pytest.raises(VerificationFailed, match="no good backup that reaches height 9"):
            check(PLACE, there, None, 9)


@pytest.mark.parametrize(
    "text", ["", "[]", "{", '{"a": 1}', '{"a": {"id": 1}}', '{"a": {"id": "x", "height": "y"}}', "[" * 9000]
)
def test_a_damaged_memory_is_an_error_with_the_next_step(tmp_path: Path, text: str) -> None:
    path = tmp_path / "backups.json"
    path.write_text(text)
    with pytest.raises(HomeError, match=r"is damaged: compare `backup list`"):
        load(path)
