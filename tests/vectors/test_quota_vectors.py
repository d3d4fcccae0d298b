"""Quotas of accounts and sponsors over time, counted by an oracle that shares no code with the project.

Invariants: the oracle knows docs/spec/transactions.md alone; it counts in fractions, and rounds only where the
specification does.
"""

import json
from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor
from pathlib import Path
from typing import Any

import pytest
from vector_oracle import Reader

FILE: dict[str, Any] = json.loads((Path(__file__).parent / "quota.json").read_text())
CASES = [pytest.param(case, id=case["name"]) for case in FILE["cases"]]
DRAW, HISTORY_MAX, NEVER = 8_192, 1 << 20, 2**64 - 1
CHILD = 3
"""The account that the sponsor's own account, number 0, created. The sponsor stands for these two."""
PPM = 1_000_000


@dataclass(slots=True)
class Pace:
    """A rate, a burst, and the time (µs) up to which the credit is taken."""

    per_s: int
    burst: int
    at_us: int = 0

    def us(self, units: int) -> int:
        return ceil(Fraction(units * 1_000_000, self.per_s))

    def start(self, now_us: int) -> int:
        return max(self.at_us, now_us - self.us(self.burst))

    def room(self, now_us: int) -> int:
        credit_us = max(now_us - self.start(now_us), 0)
        return min(floor(Fraction(credit_us * self.per_s, 1_000_000)), self.burst)

    def after(self, now_us: int, units: int) -> int:
        return self.start(now_us) + self.us(units) if units <= self.burst else NEVER


@dataclass(slots=True)
class Quota:
    """What an account drew and didn't use, with the paces that it draws from."""

    left: int
    paces: tuple[Pace, Pace]

    def draw(self, need: int, now_us: int) -> tuple[int, int, int]:
        """Returns the units to draw, the time from which that is possible, and what is there now."""
        room = min(pace.room(now_us) for pace in self.paces)
        units = max(min(max(DRAW - self.left, 0), room), max(need - self.left, 0))
        ready_us = max(pace.after(now_us, units) for pace in self.paces)
        return units, ready_us, self.left + room

    def take(self, need: int, units: int, now_us: int) -> None:
        for pace in self.paces:
            pace.at_us = pace.after(now_us, units)
        self.left += units - need


def quotas(data: bytes) -> dict[str, tuple[int, int]]:
    """Reads what an account's record says of work and history: units left and the time."""
    r = Reader(data)
    if len(data) == 64:
        return {"work": (0, 0), "history": (0, 0)}
    r.take(1 + 1 + 32 + 8 + 8 + 4)
    found = {name: (r.integer(4), r.integer(8)) for name in ("work", "history")}
    r.take(1 + 4)  # custody, and the era of grants
    r.end()
    return found


End = tuple[int, list[int]]
"""The time at which a sponsor's shares end, and the shares of work and history from then on."""


def _end(r: Reader) -> End:
    until_ms = r.integer(8)
    if tag := r.integer(1):
        raise ValueError(f"no vector has what comes after an end with tag {tag}")
    return until_ms, [r.integer(4), r.integer(4)]


def sponsor(data: bytes) -> tuple[list[int], list[int], End | None]:
    """Reads a sponsor's leaf: shares of work and history, their times, and the end of the shares."""
    r = Reader(data)
    r.take(32)  # the account that it was made for
    shares, times = [r.integer(4), r.integer(4)], [r.integer(8), r.integer(8)]
    end = r.option(lambda: _end(r))
    r.end()
    return shares, times, end


def share(case: dict[str, Any], place: int, ppm: int) -> tuple[int, int]:
    """Returns rate and burst of a share of work (0) or history (1)."""
    name, least = (("work", case["batch_work_max"]), ("history", HISTORY_MAX))[place]
    per_s = case["capacity"][f"{name}_per_s"] * ppm // PPM
    return per_s, max(per_s * case["capacity"][f"{name}_burst_ms"] // 1_000, least)


def shared(case: dict[str, Any], number: int) -> tuple[list[Pace], End | None]:
    leaf = case["sponsors"][number]
    common = [case["capacity"]["common_ppm"]] * 2
    shares, times, end = (common, [0, 0], None) if leaf is None else sponsor(bytes.fromhex(leaf))
    return [Pace(*share(case, place, shares[place]), times[place]) for place in range(2)], end


def finish(case: dict[str, Any], paces: list[Pace], end: End | None, now_ms: int) -> None:
    """Gives a sponsor its former shares from the end of the others on."""
    if end is not None and now_ms >= end[0]:
        for place, pace in enumerate(paces):
            pace.per_s, pace.burst = share(case, place, end[1][place])


def accounts(case: dict[str, Any], sponsors: list[list[Pace]]) -> list[dict[str, Quota]]:
    capacity = case["capacity"]
    rates = {
        "work": (case["quota_work_per_s"], case["quota_work_max"]),
        "history": (capacity["quota_history_per_s"], capacity["quota_history_max"]),
    }
    found = []
    for number, raw in enumerate(case["records"]):
        held, own = quotas(bytes.fromhex(raw)), dict(zip(rates, sponsors[number in (0, CHILD)], strict=True))
        found.append(
            {name: Quota(left, (Pace(*rates[name], at_us), own[name])) for name, (left, at_us) in held.items()}
        )
    return found


def execute(account: dict[str, Quota], charge: dict[str, int], now_us: int) -> list[Any] | None:
    """Charges a transaction; returns why it is skipped, or `None`."""
    if all(account[name].left >= need for name, need in charge.items()):
        for name, need in charge.items():
            account[name].left -= need
        return None
    drawn = {name: account[name].draw(need, now_us) for name, need in charge.items()}
    short = {name: found for name, found in drawn.items() if found[1] > now_us}
    if not short:
        for name, (units, _, _) in drawn.items():
            account[name].take(charge[name], units, now_us)
        return None
    name = next(iter(short))
    ready_us = max(found[1] for found in short.values())
    return [name, short[name][2], NEVER if ready_us == NEVER else -(-ready_us // 1_000)]


@pytest.mark.parametrize("case", CASES)
def test_quotas_are_those_of_the_specification(case: dict[str, Any]) -> None:
    (common, _), (own, end) = (shared(case, number) for number in range(2))
    people, skips = accounts(case, [common, own]), 0
    for step in case["steps"]:
        finish(case, own, end, step["time_ms"])
        account, now_us = people[step["account"]], 1_000 * step["time_ms"]
        charge = {name: step[name] for name in ("work", "history")}
        before = json.dumps([step["record"], step["sponsor"]])
        assert execute(account, charge, now_us) == step["skip"], step
        skips += step["skip"] is not None
        held = {name: (quota.left, quota.paces[0].at_us) for name, quota in account.items()}
        assert quotas(bytes.fromhex(step["record"])) == held, before
        if step["sponsor"] is not None:
            assert sponsor(bytes.fromhex(step["sponsor"]))[1] == [one.paces[1].at_us for one in account.values()]
    assert len(case["steps"]) == 200
    assert 0 < skips < 200
