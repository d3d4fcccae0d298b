"""What operators are shown of proposals before they sign, and the changes that commands make."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rustorium import _native
from rustorium.cli.govern import _say_state
from rustorium.client.governance import check_hashes
from rustorium.client.words import change_words, shown
from rustorium.errors import NotFound, ProofRefused, UsageError
from rustorium.net.governing import (
    differences,
    effect,
    proposal_of,
    row,
    seat_of,
    set_operators,
    set_parameters,
    set_sponsor,
)
from rustorium.types import Authority

KEYS = [_native.public_key(bytes([number]) * 32).hex() for number in (1, 2, 3)]
WANTED = {"epoch_ms": 86_400_000, "claim_lag_max": 64, "operators": KEYS[:2], "operator_quorum": 2}
_, SHARED = _native.authority_names(0, 2, KEYS)


def answer(**changes: Any) -> dict[str, Any]:
    seats = [
        {"number": 0, "public_key": KEYS[0], "room": 120},
        {"number": 4, "authority_hash": SHARED, "room": 3},
    ]
    pause = {"type": "pause", "until_ms": 1_800_000_000_000}
    proposal = {"number": 7, "seat": 0, "until_ms": 1_800_000_000_000, "change": pause, "hash": "ab", "approvals": [4]}
    found = {"quorum": 2, "seats": seats, "proposals": [proposal], "wanted": WANTED, "wanted_hash": "cd" * 32}
    return found | changes


def test_a_seat_is_found_by_the_authority_that_acts_for_it() -> None:
    assert seat_of(answer(), Authority(1, [KEYS[0]]))["number"] == 0
    assert seat_of(answer(), Authority(2, KEYS))["number"] == 4
    for authority in (Authority(1, [KEYS[1]]), Authority(3, KEYS), Authority(1, KEYS)):
        with pytest.raises(UsageError, match="no operator's seat"):
            seat_of(answer(), authority)


def test_a_proposal_says_who_approved_and_who_is_missing() -> None:
    found = row(answer(), proposal_of(answer(), 7))
    assert (found["approvals"], found["missing"], found["not_approved"]) == ([4], 1, [0])
    assert (found["change"], found["effect"]) == ("pause all accounts until 2027-01-15T08:00:00Z", "at once")
    with pytest.raises(NotFound):
        proposal_of(answer(), 8)


def vectors() -> Iterator[dict[str, Any]]:
    """Proposals in the vectors, whose hashes an oracle computes from the specification."""
    cases = json.loads((Path(__file__).parents[1] / "vectors" / "transactions2.json").read_text())["cases"]
    for case in cases:
        for one in case.get("value", {}).get("operations", []):
            if one.get("type") == "propose":
                yield one


def test_a_hash_is_that_of_the_change_that_is_shown() -> None:
    proposals = list(vectors())
    assert len(proposals) >= 8
    for one in proposals:
        assert _native.change_hash(json.dumps(one["change"])) == one["change_hash"]


def test_a_node_that_shows_another_change_than_the_one_of_its_hash_is_refused() -> None:
    pause, other = ({"type": "pause", "until_ms": until_ms} for until_ms in (1_800_000_000_000, 1_800_000_000_001))
    wanted = next(one["change"]["parameters"] for one in vectors() if "parameters" in one["change"])
    proposal = {"number": 7, "change": pause, "hash": _native.change_hash(json.dumps(pause))}
    said = {"proposals": [proposal], "wanted": wanted, "wanted_hash": _native.parameters_hash(json.dumps(wanted))}
    check_hashes(said)
    for wrong in (
        said | {"proposals": [proposal | {"change": other}]},
        said | {"proposals": [proposal | {"hash": "ab" * 32}]},
        said | {"wanted": wanted | {"epoch_ms": wanted["epoch_ms"] + 1}},
    ):
        with pytest.raises(ProofRefused, match="beside the hash of something else"):
            check_hashes(wrong)
    with pytest.raises(ProofRefused, match="can't check"):
        check_hashes(said | {"proposals": [proposal | {"change": {"type": "later"}}]})


def test_a_part_of_a_parameter_changes_alone() -> None:
    capacity = {"work_per_s": 30, "common_ppm": 5}
    wanted = WANTED | {"capacity": capacity}
    change = set_parameters(answer(wanted=wanted), {"capacity.work_per_s": 40})
    assert change["parameters"] == WANTED | {"capacity": {"work_per_s": 40, "common_ppm": 5}}
    assert capacity == {"work_per_s": 30, "common_ppm": 5}
    assert differences(wanted, change) == ["capacity.work_per_s: 30 -> 40"]
    for wrong in ({"capacity.work": 1}, {"epoch_ms.x": 1}):
        with pytest.raises(UsageError, match="no chain parameter"):
            set_parameters(answer(wanted=wanted), wrong)


@pytest.mark.parametrize(("field", "value"), [("hash", "cd"), ("number", 8)])
def test_what_came_of_a_proposal_is_said_of_that_one(
    field: str, value: object, capsys: pytest.CaptureFixture[str]
) -> None:
    """The other seat's proposal has the number that was the next one when this seat looked."""
    [other] = answer()["proposals"]
    now = answer(proposals=[other, other | {"number": 8, "hash": "cd"}])
    _say_state(SimpleNamespace(governance=lambda: now), field, value, "at once")  # type: ignore[arg-type]
    _say_state(SimpleNamespace(governance=lambda: now), field, "none", "at once")  # type: ignore[arg-type]
    first, second = capsys.readouterr().err.splitlines()
    assert first.startswith("Proposal 8 has 1 of 2 approvals")
    assert second == "The change is made, and takes effect at once."


def test_changes_are_shown_as_differences() -> None:
    change = set_parameters(answer(), {"claim_lag_max": 100})
    assert (change["base"], change["parameters"]) == ("cd" * 32, WANTED | {"claim_lag_max": 100})
    assert differences(WANTED, change) == ["claim_lag_max: 64 -> 100"]
    for wrong in ({}, {"claims": 1}):
        with pytest.raises(UsageError, match="no chain parameter"):
            set_parameters(answer(), wrong)
    change = set_operators(answer(), KEYS, 2)
    assert differences(WANTED, change) == [f"operator {KEYS[2]} comes"]
    change = set_operators(answer(), [KEYS[1]], 1)
    assert differences(WANTED, change) == [f"operator {KEYS[0]} goes", "quorum: 2 -> 1"]
    for keys, quorum in (([], 0), (KEYS, 1), (KEYS, 3), (KEYS[:2], 1)):
        with pytest.raises(UsageError, match="isn't possible"):
            set_operators(answer(), keys, quorum)


def test_shares_of_a_sponsor_are_given_in_percent_and_hold_at_once() -> None:
    change = set_sponsor(answer(), "rs1x", 12.5, 0.0001, None)
    assert change == {"type": "set_sponsor", "account": "rs1x", "work_ppm": 125_000, "history_ppm": 1}
    assert effect(change) == "at once"
    far_ms = 4_000_000_000_000
    ending = set_sponsor(answer(time_ms=far_ms), "rs1x", 100, 100, 60)
    assert (ending["work_ppm"], ending["until_ms"]) == (1_000_000, far_ms + 60_000)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"type": "pause", "account": "rs1x", "until_ms": 0}, "pause the account rs1x until 1970-01-01T00:00:00Z"),
        ({"type": "resume"}, "end the pause of all accounts"),
        ({"type": "end_epoch", "epoch": 3}, "end epoch 3 as soon as it can end"),
        (
            {"type": "set_sponsor", "account": "rs1x", "work_ppm": 125_000, "history_ppm": 1, "until_ms": 0},
            r"rs1x 12\.5 % of the work and 0\.0001 % of the history until 1970-01-01T00:00:00Z, and what it has now",
        ),
        (
            {"type": "set_sponsor", "account": "rs1x", "work_ppm": 200_000, "history_ppm": 1_000_000},
            "^give the sponsor of the account rs1x 20 % of the work and 100 % of the history$",
        ),
        ({"type": "assign_sponsor", "account": "rs1x", "sponsor": 257}, "have the account rs1x draw from sponsor 257"),
        ({"type": "assign_sponsor", "account": "rs1x", "sponsor": 0}, "draw from the common sponsor"),
        ({"type": "remove_validator", "validator_key": "ab"}, "remove the validator with key ab"),
        ({"type": "add_validator", "name": "a\x1b[31m", "region": 1}, r"add validator: name = "),
        ({"type": "set_operators", "operators": KEYS, "quorum": 2, "base": "cd"}, f"make 2 of these keys .*{KEYS[2]}"),
        ({"type": "set_parameters", "parameters": WANTED, "base": "cd"}, "claim_lag_max = 64, epoch_ms = 86400000"),
    ],
)
def test_each_change_has_words(change: dict[str, Any], says: str) -> None:
    said = change_words(change)
    assert re.search(says, said)
    assert "\x1b" not in said


def test_operations_of_seats_have_words() -> None:
    change = {"type": "resume"}
    said = shown({"type": "propose", "change": change, "until_ms": 0}, "")
    assert said == "propose, until 1970-01-01T00:00:00Z, to end the pause of all accounts"
    assert shown({"type": "approve", "number": 7, "change": "ab"}, "") == (
        "approve proposal 7, if its change has the hash ab"
    )
    assert shown({"type": "withdraw", "number": 7}, "") == "take the approval of proposal 7 back"
