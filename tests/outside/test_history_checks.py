"""The checks of recorded histories accept what the ledger promises and refuse what it must never do.

The linearizability checker needs Go and is `outside`; the others run with all tests.
"""

import json
import random
import subprocess
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from history_checks import all_faults
from history_records import FinishedOperation, Intent, Kind, LedgerTransaction, Look, Outcome, Place, Record

Line = dict[str, Any]
LINEARIZABLE, REFUSED, UNREADABLE = 0, 1, 2


def line(
    client: int, op: str, value: str, call: int, back: int, outcome: str = "ok", expected: str = "", key: str = "r"
) -> Line:
    times = {"call_ns": call, "return_ns": back}
    return {"client": client, "op": op, "key": key, "value": value, "expected": expected, "outcome": outcome} | times


def check(checker: Path, folder: Path, lines: list[Line], *options: str) -> "subprocess.CompletedProcess[str]":
    path = folder / "history.jsonl"
    path.write_text("".join(json.dumps(one) + "\n" for one in lines))
    return subprocess.run([str(checker), *options, str(path)], capture_output=True, text=True, check=False)


ACCEPTED: dict[str, list[Line]] = {
    "reads beside a write see the value before or after it": [
        line(0, "write", "a", 0, 100),
        line(1, "read", "", 10, 20),
        line(2, "read", "a", 30, 40),
    ],
    "a write without answer is seen later": [
        line(0, "write", "a", 0, 10, "unknown"),
        line(1, "read", "", 20, 30),
        line(1, "read", "a", 40, 50),
    ],
    "a write without answer is never seen": [line(0, "write", "a", 0, 10, "unknown"), line(1, "read", "", 20, 30)],
    "of two conditional writes one wins": [
        line(0, "cas", "a", 0, 50),
        line(1, "cas", "b", 10, 40, "failed"),
        line(2, "check", "", 60, 70, expected="a"),
    ],
    "a conditional write without answer is seen": [
        line(0, "cas", "a", 0, 10, "unknown"),
        line(1, "read", "a", 20, 30),
    ],
    "other registers have other histories": [
        line(0, "write", "a", 0, 10, key="one"),
        line(0, "read", "", 20, 30, key="other"),
    ],
}

BROKEN: dict[str, list[Line]] = {
    "a stale read": [
        line(0, "write", "a", 0, 10),
        line(0, "write", "b", 20, 30),
        line(1, "read", "a", 40, 50),
    ],
    "a lost write": [line(0, "write", "a", 0, 10), line(1, "read", "", 20, 30)],
    "two conditional writes that both won": [line(0, "cas", "a", 0, 50), line(1, "cas", "b", 10, 40)],
    "a conditional write that was applied twice": [
        line(0, "write", "a", 0, 10),
        line(0, "cas", "b", 20, 30, expected="a"),
        line(1, "write", "a", 40, 50),
        line(1, "read", "b", 60, 70),
    ],
    "a condition that held and was called failed": [
        line(0, "write", "a", 0, 10),
        line(1, "check", "", 20, 30, "failed", expected="a"),
    ],
    "a conditional write that failed where it had to win": [line(0, "cas", "a", 0, 10, "failed")],
    "a refused write that is seen": [line(0, "write", "a", 0, 10, "never"), line(1, "read", "a", 20, 30)],
    "a value that goes back": [
        line(0, "write", "a", 0, 10),
        line(0, "write", "b", 20, 30, "unknown"),
        line(1, "read", "b", 40, 50),
        line(2, "read", "a", 60, 70),
    ],
    "a write seen before it was called": [line(1, "read", "a", 0, 10), line(0, "write", "a", 20, 30)],
}


@pytest.mark.outside
@pytest.mark.parametrize("name", ACCEPTED)
def test_histories_with_one_explaining_order_are_accepted(name: str, checker: Path, tmp_path: Path) -> None:
    judged = check(checker, tmp_path, ACCEPTED[name])
    assert judged.returncode == LINEARIZABLE, judged.stdout


@pytest.mark.outside
@pytest.mark.parametrize("name", BROKEN)
def test_histories_without_an_explaining_order_are_refused(name: str, checker: Path, tmp_path: Path) -> None:
    judged = check(checker, tmp_path, BROKEN[name])
    assert judged.returncode == REFUSED, judged.stdout
    assert "not linearizable: 1 of 1 registers" in judged.stdout


@pytest.mark.outside
def test_an_invalid_history_is_not_accepted(checker: Path, tmp_path: Path) -> None:
    unreadable: list[list[Line]] = [
        [],
        [line(0, "write", "a", 0, 10, "never")],
        [line(0, "swap", "a", 0, 10)],
        [line(0, "write", "a", 10, 0)],
        [line(0, "write", "a", 0, 10, "failed")],
        [line(0, "write", "", 0, 10)],
    ]
    for lines in unreadable:
        assert check(checker, tmp_path, lines).returncode == UNREADABLE, lines


def played(seed: int, key: str) -> list[Line]:
    """Returns a history of one register, in which each operation took effect at one instant."""
    luck = random.Random(seed)
    value, lines = "", []
    for number in range(40):
        call, back = 100 * number - luck.randrange(300), 100 * number + luck.randrange(1, 300)
        op = luck.choice(["write", "read", "cas", "check"])
        new, expected = f"{seed}-{number}", value if luck.random() < 0.6 else f"{seed}-none"
        outcome = "ok" if op in ("write", "read") or expected == value else "failed"
        seen = value if op == "read" else "" if op == "check" else new
        lines.append(line(number % 5, op, seen, call, back, outcome, expected, key))
        if op in ("write", "cas") and outcome == "ok":
            value = new
            if luck.random() < 0.2:
                lines[-1]["outcome"] = "unknown"
    return lines


@pytest.mark.outside
def test_a_stale_read_is_found_in_any_history(checker: Path, tmp_path: Path) -> None:
    histories = [played(seed, f"r{seed}") for seed in range(20)]
    judged = check(checker, tmp_path, [one for history in histories for one in history])
    assert judged.returncode == LINEARIZABLE, judged.stdout
    assert "on 20 registers" in judged.stdout
    for seed, history in enumerate(histories):
        old = next(one for one in history if one["op"] == "write" and one["outcome"] == "ok")
        new = line(8, "write", "newest", 10_000, 10_010, key=f"r{seed}")
        late = line(9, "read", old["value"], 10_020, 10_030, key=f"r{seed}")
        judged = check(checker, tmp_path, [*history, new, late])
        assert judged.returncode == REFUSED, (seed, judged.stdout)


@pytest.mark.outside
def test_a_refusal_shows_the_shortest_beginning_and_draws_it(checker: Path, tmp_path: Path) -> None:
    more = [line(2, "write", f"later {number}", 100 + 10 * number, 105 + 10 * number) for number in range(50)]
    fine = [line(3, "write", f"fine {number}", 10 * number, 10 * number + 5, key="fine") for number in range(9)]
    drawing = tmp_path / "history.html"
    judged = check(checker, tmp_path, [*fine, *BROKEN["a stale read"], *more], "-html", str(drawing))
    assert judged.returncode == REFUSED
    assert "r: no order explains these 3 operations" in judged.stdout
    assert "client 1: read a" in judged.stdout
    assert "later" not in judged.stdout
    assert "not linearizable: 1 of 2 registers" in judged.stdout
    assert "<html" in drawing.read_text().lower()


# ---- the checks against the ledger's own order ----------------------------------------------------------------------


def intent(number: int, kind: Kind, *, client: int = 0, **more: Any) -> Intent:
    return Intent(f"{client}-{number}", client, client, kind, **more)


def done(
    what: Intent, at_ns: int, outcome: Outcome = "ok", place: Place | None = None, seen: str = ""
) -> FinishedOperation:
    return FinishedOperation(what, 0, what.client, at_ns, at_ns + 5, outcome, place, seen)


def good() -> Record:
    """Returns a record of two clients of two nodes: a write, conditional writes that succeed and fail, transfers, and
    reads of all kinds."""
    write = intent(0, "write", key="r", value="a")
    win = intent(1, "cas", key="r", value="b", expected="a")
    lose = intent(0, "cas", client=1, key="r", value="c", expected="a")
    pay = intent(1, "transfer", client=1, to=0, amount=30)
    owe = intent(2, "transfer", client=1, to=0, amount=90)
    refused = intent(2, "write", key="r", value="d")
    lost = intent(3, "write", key="r", value="e")
    read = intent(3, "read", client=1, key="r")
    ends = [
        done(write, 10, place=(5, 0)),
        done(win, 20, place=(6, 0)),
        done(lose, 30, "failed"),
        done(pay, 40, place=(7, 0)),
        done(owe, 50, "failed"),
        done(refused, 60, "never"),
        done(read, 70, place=(8, 0), seen="b"),
        done(lost, 80, "unknown"),
    ]
    looks = [
        Look(1, 0, 1, False, "r", "b", (), 8, 90, 95),
        Look(1, 0, 1, True, "", "", (130, 70), 9, 100, 105),
        Look(0, 0, 0, True, "r", "e", (), 9, 110, 115),
    ]
    book = [
        LedgerTransaction((3, 0), "", ""),
        LedgerTransaction((5, 0), write.id, ""),
        LedgerTransaction((6, 0), win.id, ""),
        LedgerTransaction((6, 1), lose.id, "precondition"),
        LedgerTransaction((7, 0), pay.id, ""),
        LedgerTransaction((8, 0), owe.id, "insufficient-balance"),
        LedgerTransaction((9, 0), lost.id, ""),
    ]
    registers = {height: {"r": value} for height, value in zip(range(5, 10), "abbbe", strict=True)} | {4: {}}
    balances: dict[int, tuple[int, ...]] = {height: (100, 100) if height < 7 else (130, 70) for height in range(4, 10)}
    intents = {one.intent.id: one.intent for one in ends}
    events = [(one.place, one.transaction) for one in book if one.place > (4, 0)]
    return Record(intents, ends, looks, book, balances, registers, {9: (130, 70)}, [events], 4, (100, 100))


def test_a_good_record_has_no_faults() -> None:
    assert all_faults(good()) == []


def told(record: Record, number: int, **changes: Any) -> None:
    record.done[number] = replace(record.done[number], **changes)


def booked(record: Record, number: int, **changes: Any) -> None:
    record.book[number] = replace(record.book[number], **changes)


def looked(record: Record, number: int, **changes: Any) -> None:
    record.looks[number] = replace(record.looks[number], **changes)


FAULTY: dict[str, tuple[str, Callable[[Record], object]]] = {
    "executed twice": ("0-0 was executed 2 times", lambda r: r.book.append(LedgerTransaction((8, 1), "0-0", ""))),
    "a final one is missing": ("0-0 was called final and is not", lambda r: r.book.pop(1)),
    "told another place": ("0-1 was told ok at (6, 7)", lambda r: told(r, 1, place=(6, 7))),
    "told failed and had effect": ("0-1 was told failed", lambda r: told(r, 1, outcome="failed")),
    "told ok and had none": ("1-0 was told ok", lambda r: told(r, 2, outcome="ok")),
    "refused and executed": ("0-2 was refused", lambda r: r.book.append(LedgerTransaction((9, 1), "0-2", ""))),
    "a condition that didn't hold": ("1-0 at (6, 1) ended with 'ok'", lambda r: booked(r, 3, failure="")),
    "a condition that held": (
        "0-1 at (6, 0) ended with 'precondition'",
        lambda r: booked(r, 2, failure="precondition"),
    ),
    "spent what wasn't there": ("1-2 at (8, 0) ended with 'ok'", lambda r: booked(r, 5, failure="")),
    "a read of another value": ("1-3 of r saw 'a'", lambda r: told(r, 6, seen="a")),
    "a plain read of another value": ("saw 'z' at height 8", lambda r: looked(r, 0, value="z")),
    "a snapshot that is none": ("saw the balances (100, 70)", lambda r: looked(r, 1, amounts=(100, 70))),
    "a node that went back": ("shown node 1's height 6 after height 8", lambda r: looked(r, 0, height=6)),
    "a verified read that went back": ("shown verified height 7", lambda r: looked(r, 1, height=7, amounts=(130, 70))),
    "an own write not seen": ("client 0 was shown verified height 5", lambda r: looked(r, 2, height=5, value="a")),
    "money made": ("hold 201 of 200", lambda r: r.balances.update({8: (131, 70)})),
    "money made, with a proof": ("hold 201 of 200", lambda r: r.proven.update({9: (131, 70)})),
    "a debt": ("holds -1", lambda r: r.balances.update({8: (201, -1)})),
    "a transfer not seen": ("and the transfers up to there make", lambda r: r.balances.update({8: (100, 100)})),
    "an event left out": ("stream 0 gave ((7, 0)", lambda r: r.streams[0].pop(2)),
    "an event twice": ("stream 0 gave ((5, 0)", lambda r: r.streams[0].insert(0, r.streams[0][0])),
    "an event out of turn": ("stream 0 gave ((6, 0)", lambda r: r.streams[0].insert(0, r.streams[0].pop(1))),
    "an event of another": ("stream 0 gave ((5, 0), 'x')", lambda r: r.streams[0].__setitem__(0, ((5, 0), "x"))),
    "a stream that ends early": ("stream 0 gave None", lambda r: r.streams[0].pop()),
    "a register of another time": ("and the writes up to there make", lambda r: r.registers.update({8: {"r": "a"}})),
}


@pytest.mark.parametrize("name", FAULTY)
def test_a_broken_record_is_refused(name: str) -> None:
    expected, break_it = FAULTY[name]
    record = good()
    break_it(record)
    faults = all_faults(record)
    assert any(expected in fault for fault in faults), faults
