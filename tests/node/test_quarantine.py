"""Stores are moved in any order: the journal and the keys stay, and no store is lost."""

from collections.abc import Callable
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium.errors import HomeError, HomeMissing
from rustorium.home.lock import stopped
from rustorium.home.paths import Home
from rustorium.node.recovery.quarantine import free_space, move_aside, quarantined, remove, restore_store

PROFILE = settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
KEPT = ("node.key", "validator.key", "storage.key", "config.toml", "genesis.json", "safety/segment-00000001.log")


def new_home(folder: Path) -> Home:
    home = Home(folder)
    for name in (*KEPT, "safety/lock", "db/CURRENT", "log/inputs/00000001.inputs"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    return home


def stores(home: Home) -> set[str]:
    """Returns the content of each store."""
    found = [home.db, *(one.path / "db" for one in quarantined(home))]
    return {(store / "CURRENT").read_text() for store in found if (store / "CURRENT").exists()}


@PROFILE
@given(st.lists(st.sampled_from(["corrupt", "diverged", "back", "filled", "space", "settled"]), max_size=12))
def test_no_order_of_acts_touches_the_journal_or_a_key(acts: list[str]) -> None:
    with TemporaryDirectory() as folder:
        home, number = new_home(Path(folder)), count()

        def fill() -> None:
            home.db.mkdir(exist_ok=True)
            (home.db / "CURRENT").write_text(f"store {next(number)}")

        def back() -> None:
            try:
                restore_store(home)
            except HomeMissing:
                assert quarantined(home) == []

        known: dict[str, Callable[[], object]] = {
            "corrupt": lambda: move_aside(home, "store-corrupt", "a row"),
            "diverged": lambda: move_aside(home, "diverged", "a root"),
            "back": back,
            "filled": fill,
            "space": lambda: free_space(home),
            "settled": lambda: remove(home),
        }
        for act in acts:
            before, evidence = stores(home), [one.path.name for one in quarantined(home) if one.kept]
            known[act]()
            if act in ("corrupt", "diverged", "back"):
                assert stores(home) == before, "moved, not lost"
            if act in ("space", "settled"):
                assert [one.path.name for one in quarantined(home)] == evidence
            assert all((home.path / name).read_text() == name for name in KEPT)


def test_nothing_moves_while_the_node_runs(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    (home.db / "LOCK").touch()
    # Opens the journal's lock a second time, as another process does.
    with stopped(home), pytest.raises(HomeError, match="runs: stop it"):
        move_aside(home, "store-corrupt", "a row")
    assert stores(home) == {"db/CURRENT"}


def test_a_store_of_another_shard_goes_and_comes_back_to_its_place(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    other = home.db_of(7)
    for name in ("db/CURRENT", "safety/segment-00000001.log"):
        (other.parent / name).parent.mkdir(parents=True)
        (other.parent / name).write_text(f"shard 7 {name}")
    assert move_aside(home, "store-corrupt", "a row", 7) is not None
    assert (home.db.is_dir(), other.exists()) == (True, False)
    [one] = quarantined(home)
    assert (one.shard, one.code, one.kept) == (7, "store-corrupt", False)
    (one.path / "why.json").write_text("{")
    other.mkdir()
    (other / "CURRENT").write_text("a new one")
    restored, aside = restore_store(home)
    assert (restored.shard, (other / "CURRENT").read_text()) == (7, "shard 7 db/CURRENT")
    assert aside is not None
    assert [(one.shard, one.code) for one in quarantined(home)] == [(7, "undone")]
    assert (home.db / "CURRENT").read_text() == "db/CURRENT"
    assert (other.parent / "safety" / "segment-00000001.log").read_text() == "shard 7 safety/segment-00000001.log"


def test_a_move_that_a_crash_interrupted_did_not_happen(tmp_path: Path) -> None:
    home = new_home(tmp_path)
    (home.quarantine / "20261125T010203-004-store-corrupt").mkdir(parents=True)
    assert quarantined(home) == []
    with pytest.raises(HomeMissing, match="nothing to undo"):
        restore_store(home)
    assert move_aside(home, "store-corrupt", "a row") is not None
    assert move_aside(home, "store-corrupt", "a row") is None, "there is no store now"
    [one] = quarantined(home)
    (one.path / "why.json").write_text("{")
    [garbled] = quarantined(home)
    assert (garbled.code, garbled.kept) == ("unknown", True)
    assert restore_store(home, one.path.name)[1] is None
    assert stores(home) == {"db/CURRENT"}
