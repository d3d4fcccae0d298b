"""The file that the owners of a committee pass on may come from anybody."""

import json
from contextlib import suppress
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rustorium.errors import HomeError, UsageError
from rustorium.home import owners_end as restarting
from rustorium.home.owners_end import BODY, CERTIFICATE, FORMAT, VOTE, Plan, read, write
from rustorium.home.paths import Home
from rustorium.home.rekey import Opener
from rustorium.node.loop.launch import refuse_signed_ends

GOOD = {
    "format": FORMAT,
    "chain": "11" * 32,
    "epoch": 3,
    "base": "22" * 32,
    "height": 9,
    "time_ms": 1_700_000_000_000,
    "transactions": ["00ff"],
    "end": "33" * 32,
    "view": 12,
    "signatures": {"0": "44" * 64},
}
one_folder = settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=200)
others = st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.lists(st.text(max_size=4), max_size=2)


def refused(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    with pytest.raises(UsageError) as error:
        read(path)
    assert str(path) in str(error.value)


def test_a_plan_is_written_and_read_and_never_written_over(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps(GOOD))
    plan = read(path)
    write(tmp_path / "again.json", plan, new=True)
    assert read(tmp_path / "again.json") == plan
    with pytest.raises(UsageError, match="never overwritten"):
        write(tmp_path / "again.json", plan, new=True)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["again.json", "plan.json"]


@pytest.mark.parametrize(
    "change",
    [
        {"format": FORMAT + 1},
        {"format": "1"},
        {"transactions": ["0"]},
        {"transactions": ["zz"]},
        {"signatures": {"0": "44"}},
        {"signatures": {"-1": "44" * 64}},
        {"signatures": {"65536": "44" * 64}},
        {"signatures": {"one": "44" * 64}},
        {"height": None},
        {"more": 1},
    ],
)
def test_an_invalid_plan_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    refused(tmp_path / "plan.json", json.dumps({**GOOD, **change}).encode())


@one_folder
@given(content=st.binary(max_size=200))
def test_any_bytes_are_refused(tmp_path: Path, content: bytes) -> None:
    refused(tmp_path / "plan.json", content)


@one_folder
@given(name=st.sampled_from(sorted(GOOD)), value=others)
def test_any_invalid_field_is_refused(tmp_path: Path, name: str, value: object) -> None:
    path = tmp_path / "plan.json"
    path.write_text(json.dumps({**GOOD, name: value}))
    with suppress(UsageError):
        assert isinstance(read(path), Plan)


NOTARIZE, NULLIFY, FINALIZE = range(3)


@pytest.mark.parametrize(
    ("records", "view"),
    [
        ([], None),
        ([(CERTIFICATE, 3, 9, NOTARIZE)], 9),
        ([(CERTIFICATE, 3, 9, NOTARIZE), (CERTIFICATE, 3, 9, NULLIFY)], None),
        ([(CERTIFICATE, 3, 5, NOTARIZE), (CERTIFICATE, 2, 9, NOTARIZE)], None),
        ([(VOTE, 3, 7, NOTARIZE), (VOTE, 3, 8, FINALIZE), (VOTE, 3, 9, NULLIFY)], 8),
    ],
)
def test_a_block_above_the_plan_that_a_quorum_voted_for_is_seen(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, records: list[tuple[int, int, int, int]], view: int | None
) -> None:
    home, opener = Home(tmp_path), Opener(None, {})
    (tmp_path / "safety").mkdir()
    (tmp_path / "safety" / "segment-1.log").write_bytes(b"")
    kept = [(1, kind, BODY.pack(bytes(32), 0, epoch, at, vote, bytes(32))) for kind, epoch, at, vote in records]
    monkeypatch.setattr(restarting, "_base", lambda *_: {"view": 5})
    monkeypatch.setattr(restarting, "_chain", lambda *_: "")
    monkeypatch.setattr(restarting, "_storage_key", lambda *_: None)
    monkeypatch.setattr(restarting._native, "read_journal", lambda *_: kept)
    plan = msgspec.convert(GOOD, Plan)
    if view is None:
        restarting.refuse_open(home, opener, plan)
    else:
        with pytest.raises(HomeError, match=f"view {view}") as error:
            restarting.refuse_open(home, opener, plan)
        assert error.value.code == "restart-uncertain"


def test_an_owner_signs_one_end(tmp_path: Path) -> None:
    home = Home(tmp_path)
    restarting._hold(home, 0, {"epoch": 3, "end": "11"})
    restarting._hold(home, 0, {"epoch": 3, "end": "11"})
    with pytest.raises(HomeError, match="another end"):
        restarting._hold(home, 0, {"epoch": 3, "end": "22"})
    home.db_of(1).mkdir(parents=True)
    restarting._hold(home, 1, {"epoch": 3, "end": "22"})  # another shard has other ends
    assert json.loads(home.restart_of(0).read_text())["end"] == "11"
    home.restart_of(0).write_text("{")
    with pytest.raises(HomeError, match="can't be read"):
        restarting._hold(home, 0, {"epoch": 3, "end": "11"})


def test_a_home_with_a_signed_end_does_not_start_even_if_that_shards_store_is_gone(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.db_of(1).mkdir(parents=True)
    refuse_signed_ends(home)
    restarting._hold(home, 1, {"epoch": 3, "end": "22"})
    for _ in range(2):
        with pytest.raises(HomeError, match="in shard 1, in which the node must sign nothing more"):
            refuse_signed_ends(home)
        if home.db_of(1).exists():
            home.db_of(1).rmdir()
