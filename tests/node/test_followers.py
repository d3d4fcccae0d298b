"""The keys that may follow a home's node: the accepted files, and the listener for changes."""

import json
from pathlib import Path

import pytest

from rustorium.errors import HomeError, NotFound, UsageError
from rustorium.home.followers import AllowedFollowers, add, load, parse, remove

A, B = "aa" * 32, "bb" * 32


def test_keys_are_added_once_and_removed(tmp_path: Path) -> None:
    path = tmp_path / "followers.json"
    assert load(path) == []
    add(path, A)
    add(path, B)
    assert add(path, A) == [A, B] == load(path)
    assert remove(path, A) == [B] == load(path)
    with pytest.raises(NotFound, match="doesn't name"):
        remove(path, A)


@pytest.mark.parametrize("content", ["", "{}", "[1]", '["ab"]', json.dumps([A] * 257), "[" * 100_000, "\0"])
def test_a_file_that_is_no_list_of_keys_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "followers.json"
    path.write_text(content)
    for look in (lambda: load(path), lambda: add(path, A), lambda: AllowedFollowers(path, [])):
        with pytest.raises(HomeError, match="is no list of node keys") as caught:
            look()
        assert caught.value.code == "followers-invalid"


def test_the_number_of_follower_keys_is_bounded(tmp_path: Path) -> None:
    path = tmp_path / "followers.json"
    path.write_text(json.dumps([f"{number:064x}" for number in range(256)]))
    with pytest.raises(UsageError, match="remove one first"):
        add(path, A)
    assert len(add(path, f"{7:064x}")) == 256


def test_a_running_node_gets_all_keys_at_each_change(tmp_path: Path) -> None:
    told: list[list[str]] = []
    allowed = AllowedFollowers(tmp_path / "followers.json", [A])
    allowed.tell(told.append)
    assert allowed.change(add, B.upper()) == [
        {"node_key": A, "named_in": "config.toml"},
        {"node_key": B, "named_in": "followers.json"},
    ]
    allowed.change(remove, B)
    assert told == [[A], [A, B], [A]]
    for wrong in (None, "x", 7, A + "0"):
        with pytest.raises(UsageError, match="is no node key"):
            parse(wrong)
