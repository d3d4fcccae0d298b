"""Operators' seats that change the chain or pause accounts, under the faults of other modes; `just sim` plays more."""

import json
from collections import Counter
from dataclasses import replace
from typing import Any

import pytest

from rustorium import _native
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader
from rustorium.sim.groups import Group
from rustorium.sim.modes import SEATED, Mode
from rustorium.sim.net import make_net, seed_of
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import Shape
from rustorium.sim.seats_model import Seats, base_of, change_hash
from rustorium.sim.shadow import SignedByClient

SEEDS = 8
SHAPE = Shape(heights=15)
EVENTS = {
    Mode.GOVERNANCE: (
        "took parameters", "took operators", "made set_parameters", "made set_operators", "made end_epoch",
        "made set_sponsor", "seats rekeyed", "seats withdrew", "refused: wrong-key", "asked to change at the end",
    ),
    Mode.PAUSE: ("made pause", "made resume", "seats rekeyed", "refused: paused", "paused at the end"),
}  # fmt: skip
"""Events that some of a mode's seeds must have."""


def check(reports: list[Report]) -> Counter[str]:
    """Checks that all runs went well. Returns the counts of their events."""
    failed = [f"{report.line()}\n  repeat with: {report.repeat()}" for report in reports if not report.ok]
    assert not failed, "\n".join(failed)
    return sum((Counter(dict(report.faults)) for report in reports), Counter())


@pytest.mark.parametrize("mode", EVENTS, ids=lambda mode: mode.value)
def test_seats_act_whatever_happens(mode: Mode) -> None:
    counts = check([run_seed(seed, mode, SHAPE) for seed in range(SEEDS)])
    assert [event for event in EVENTS[mode] if not counts[event]] == []
    assert len(SEATED) <= SEEDS, "the seeds have the faults of all modes"


@pytest.mark.parametrize("mode", EVENTS, ids=lambda mode: mode.value)
def test_a_run_of_the_same_seed_is_the_same_run(mode: Mode) -> None:
    one, other = (run_seed(1, mode, Shape(heights=8)) for _ in range(2))
    assert one == other


# ---- the model

GROUPS = [Group(1, (seed_of("operator", number),)) for number in range(4)]
KEYS = [group.keys[0].hex() for group in GROUPS]
PARAMETERS: dict[str, Any] = {
    **json.loads(_native.genesis_describe(make_net(4, 4, 7).genesis))["parameters"],
    "operators": KEYS[:3],
    "operator_quorum": 2,
}
NOW_MS = 1_000
HEADER = SeenHeader(0, 1, 1, b"", 0, 1, NOW_MS, 2, False, b"", (0, b""), None)


def seats(**changed: Any) -> Seats:
    model = Seats({**PARAMETERS, **changed})
    model.reach(1, {1: HEADER})
    return model


def do(model: Seats, seat: int, *operations: dict[str, Any], now_ms: int = NOW_MS, group: Group | None = None) -> bool:
    signer = (group or GROUPS[seat]).signer
    return model.do(seat, SignedByClient("x", -1 - seat, 0, 9_999, operations, signer=signer), now_ms)


def propose(change: dict[str, Any]) -> dict[str, Any]:
    return {"type": "propose", "change": change, "until_ms": NOW_MS + 500}


def approve(number: int, change: dict[str, Any]) -> dict[str, Any]:
    return {"type": "approve", "number": number, "change": change_hash(change)}


PAUSE = {"type": "pause", "until_ms": NOW_MS + 300}


def test_a_quorum_makes_a_change_and_one_seat_does_not() -> None:
    model = seats()
    assert do(model, 0, propose(PAUSE))
    assert not do(model, 0, approve(1, PAUSE)), "twice"
    assert not do(model, 1, approve(2, PAUSE)), "another proposal"
    assert not do(model, 1, approve(1, {**PAUSE, "until_ms": 7})), "another change"
    assert not model.paused(None, NOW_MS)
    assert do(model, 1, approve(1, PAUSE))
    assert model.paused(None, NOW_MS + 299)
    assert not model.paused(None, NOW_MS + 300)
    assert [act for _, _, act, _, _ in model.told] == ["proposed", "approved", "made"]


def test_approvals_of_former_keys_do_not_count() -> None:
    model = seats()
    assert do(model, 0, propose(PAUSE))
    assert do(model, 0, {"type": "set_authority", "authority": GROUPS[3].said})
    with pytest.raises(BreachError, match="which other keys signed"):
        do(model, 0, approve(1, PAUSE))
    assert do(model, 1, approve(1, PAUSE))
    assert not model.paused(None, NOW_MS)
    assert do(model, 0, approve(1, PAUSE), group=GROUPS[3])
    assert model.paused(None, NOW_MS)


def test_a_boundary_takes_what_was_wanted_at_its_claim_and_one_thing_of_it() -> None:
    model = seats()
    longer = {**PARAMETERS, "epoch_ms": 90_000_000}
    other = {"type": "set_parameters", "base": base_of(PARAMETERS), "parameters": longer}
    fewer = {"type": "set_operators", "base": base_of(longer), "operators": KEYS[1:], "quorum": 2}
    for number, change in enumerate((other, fewer), start=1):
        assert do(model, 1, propose(change))
        assert do(model, 2, approve(number, change))
    headers = {1: HEADER}
    for height in range(2, 6):
        claimed = (1 if height > 2 else 0, b"")
        headers[height] = replace(HEADER, height=height, ends_epoch=True, claimed=claimed, epoch=height - 2)
    model.reach(5, headers)
    assert [change for change, _ in model.epochs] == ["none", "parameters", "operators"]
    assert [seat.number for seat in model.record.seats] == [1, 2, 3]
    with pytest.raises(BreachError, match="which isn't there"):
        do(model, 0, propose(PAUSE))


def test_new_operators_wait_unless_all_seats_agree() -> None:
    model = seats(operators_delay_ms=700)
    change = {"type": "set_operators", "base": base_of(model.in_force), "operators": KEYS[1:], "quorum": 2}
    assert do(model, 0, propose(change))
    assert do(model, 1, approve(1, change))
    assert model.record.waits == (1, NOW_MS + 700)
    assert do(model, 2, approve(1, change))
    assert model.record.waits == (0, 0)


def test_no_setting_is_wanted_that_a_chain_refuses() -> None:
    model = seats()
    for quorum in (1, 3):
        change = {"type": "set_operators", "base": base_of(PARAMETERS), "operators": KEYS[1:], "quorum": quorum}
        assert not do(model, 0, propose(change))
    bad = {**PARAMETERS, "expiry_ahead_ms_max": 1}
    assert not do(model, 0, propose({"type": "set_parameters", "base": base_of(PARAMETERS), "parameters": bad}))
    assert not do(model, 0, propose({"type": "set_parameters", "base": base_of(bad), "parameters": PARAMETERS}))
    assert model.told == []
