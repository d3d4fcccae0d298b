"""Damaged `run/recovery.json` and `run/ended.json`: at most read as another record, and never a reason to end or to
wait for years."""

import json
from pathlib import Path

from rustorium.health.catalogue import Act, retired_because
from rustorium.health.plan import Step, Trouble
from rustorium.home.paths import Home
from rustorium.node.loop.watch import wall_ms
from rustorium.node.recovery.state import RecoveryState, last_end, one_supervisor, read_recovery, supervisor_state


def home_of(folder: Path) -> Home:
    """Returns a home whose supervisor asks a person after an act."""
    home = Home(folder)
    state = RecoveryState(home)
    state.did(Step(Act.REFILL, Trouble("store-corrupt", "a row is not what was written"), 0, "it is filled anew"), 1)
    state.tell("asks", reason="a person is needed")
    home.ended.write_text(json.dumps({"code": "disk-full", "evidence": "no space left", "at_ms": 1}))
    return home


def test_a_flipped_bit_or_a_cut_gives_at_most_another_record(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    for path in (home.recovery, home.ended):
        good = path.read_bytes()
        flips = [
            good[:at] + bytes([good[at] ^ 1 << bit]) + good[at + 1 :] for at in range(len(good)) for bit in range(8)
        ]
        for content in flips + [good[:at] for at in range(len(good))]:
            path.write_bytes(content)
            supervisor_state(home)
            last_end(home)
            assert all(done.at_ms <= wall_ms() for done in RecoveryState(home).history())
        path.write_bytes(good)
    assert read_recovery(home)["state"] == "asks"
    assert [done.act for done in RecoveryState(home).history()] == [Act.REFILL]


def test_a_question_of_long_ago_does_not_hide_why_the_node_is_down(tmp_path: Path) -> None:
    home = home_of(tmp_path)
    assert supervisor_state(home) is not None
    home.ended.write_text(json.dumps({"code": "port-in-use", "evidence": "taken", "at_ms": wall_ms() + 1}))
    assert supervisor_state(home) is None
    assert last_end(home) == ("port-in-use", "taken")
    with one_supervisor(home):
        assert supervisor_state(home) is not None, "it runs"


def test_an_act_in_the_future_counts_as_done_now(tmp_path: Path) -> None:
    """A clock that was set back must not keep a node from its next refill for years."""
    home = home_of(tmp_path)
    found = json.loads(home.recovery.read_bytes())
    found["acts"][0]["at_ms"] = 2**60
    home.recovery.write_text(json.dumps(found))
    before = wall_ms()
    [done] = RecoveryState(home).history()
    assert before <= done.at_ms <= wall_ms()


def test_an_empty_mark_counts_as_a_mark() -> None:
    assert retired_because(None) == ""
    assert retired_because("a peer showed a vote") == "a peer showed a vote"
    assert "the validator key is retired" in retired_because("")
