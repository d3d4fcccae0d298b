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
from rustorium.client.governance import check_hashes, check_parameters, seat_number, seats_in_force
from rustorium.client.words import change_words, shown
from rustorium.errors import NotFound, ProofRefused, UsageError
from rustorium.net.governing import (
    Decision,
    decide,
    differences,
    effect,
    proposal_of,
    row,
    seat_of,
    set_operators,
    set_parameters,
    set_sponsor,
    wishes,
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
    proposal["made"] = False
    found = {"quorum": 2, "seats": seats, "proposals": [proposal], "wanted": WANTED, "wanted_hash": "cd" * 32}
    found |= {"operators_from_ms": 0, "operators_delay_ms": 0, "owners_recover_ms": 0, "time_ms": 0}
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
    assert effect(answer(), change) == "at once"
    far_ms = 4_000_000_000_000
    ending = set_sponsor(answer(time_ms=far_ms), "rs1x", 100, 100, 60)
    assert (ending["work_ppm"], ending["until_ms"]) == (1_000_000, far_ms + 60_000)


def test_a_version_comes_with_an_epochs_end_and_its_recall_at_once() -> None:
    wanted = answer(upgrade={"version": 3})
    assert effect(answer(), {"type": "upgrade", "version": 3}).startswith("from the first epoch's end on at which")
    assert effect(wanted, {"type": "upgrade", "version": 3}).startswith("from the first epoch's end on at which")
    assert effect(wanted, {"type": "upgrade", "version": 2}) == "at once"


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
        (
            {"type": "upgrade", "version": 3, "not_before_ms": 0},
            "go on by protocol version 3 .* not before 1970-01-01T00:00:00Z, at which enough members speak it",
        ),
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


def test_it_is_said_when_new_operators_come(capsys: pytest.CaptureFixture[str]) -> None:
    change = {"type": "set_operators", "base": "cd" * 32, "operators": KEYS, "quorum": 2}
    waits = answer(operators_delay_ms=86_400_000, operators_from_ms=1_800_000_000_000)
    assert effect(answer(), change) == "from an epoch's end on"
    assert effect(waits, change).startswith("from the first epoch's end on that is 24 hours after the decision")
    assert effect(waits, {"type": "resume"}) == "at once"
    [one] = waits["proposals"]
    now = waits | {"proposals": [one | {"change": change, "made": True}]}
    assert row(now, now["proposals"][0])["effect"] == "from the first epoch's end at or after 2027-01-15T08:00:00Z on"
    _say_state(SimpleNamespace(governance=lambda: now), "hash", "ab", "unused")  # type: ignore[arg-type]
    assert "The change is made, and takes effect from the first epoch's end at or after" in capsys.readouterr().err


def test_a_seat_is_known_by_its_address() -> None:
    assert seat_number(_native.system_account()) is None
    assert seat_number(_native.account_id(1, bytes.fromhex(KEYS[0]))) is None
    assert seat_number("rs1nothing") is None


def test_the_seats_that_govern_are_those_of_the_parameters_in_force() -> None:
    first = seats_in_force(None, KEYS[:2])
    assert [(one["number"], one["public_key"], one["nonce"]) for one in first] == [(0, KEYS[0], 0), (1, KEYS[1], 0)]
    held = {"number": 4, "first_key": KEYS[1], "authority_hash": SHARED, "nonce": 9, "generation": 1}
    record = {"seats": [{"number": 0, "first_key": KEYS[0], "public_key": KEYS[0], "nonce": 2}, held], "next_seat": 6}
    now = seats_in_force(record, [KEYS[1], KEYS[2]])
    assert [one["number"] for one in now] == [4, 6], "a key that stays keeps its seat, and numbers are never used twice"
    assert (now[0], now[1]["public_key"], now[1]["nonce"]) == (held, KEYS[2], 0)


def test_parameters_that_nobody_certified_say_nothing_about_seats() -> None:
    wanted = next(one["change"]["parameters"] for one in vectors() if "parameters" in one["change"])
    certified = _native.parameters_hash(json.dumps(wanted))
    check_parameters(wanted, certified)
    for wrong in (wanted | {"operators": KEYS[:2]}, wanted | {"epoch_ms": 1}, {}):
        with pytest.raises(ProofRefused, match="other parameters in force"):
            check_parameters(wrong, certified)


class Chain:
    """A client of a chain on which a seat's operation changes what is open. The first answer after it is an old one."""

    def __init__(self, *proposals: dict[str, Any]) -> None:
        seats = [{"number": 0, "first_key": KEYS[0], "public_key": KEYS[0], "nonce": 5, "room": 9}]
        seats.append({"number": 4, "first_key": KEYS[1], "authority_hash": SHARED, "nonce": 0, "room": 9})
        self.now = answer(seats=seats, proposals=list(proposals), time_ms=0)
        self.sent: list[dict[str, Any]] = []
        self.old: list[dict[str, Any]] = []

    def governance(self) -> dict[str, Any]:
        return self.old.pop() if self.old else self.now

    def send(self, _client: object, _said: object, operation: dict[str, Any], _key: object) -> None:
        self.sent.append(operation)
        self.old.append(self.now)
        seats = [seat | {"nonce": seat["nonce"] + 1} for seat in self.now["seats"]]
        made = {"number": 8, "hash": _native.change_hash(json.dumps(END)), "approvals": [0]}
        self.now = self.now | {"seats": seats, "proposals": [made] if operation["type"] == "propose" else []}


END = {"type": "end_epoch", "epoch": 3}
OPERATOR = SimpleNamespace(public_key=KEYS[0], address="rs1operator")


def decided(monkeypatch: pytest.MonkeyPatch, chain: Chain, key: object = OPERATOR) -> Decision:
    monkeypatch.setattr("rustorium.net.governing.send", chain.send)
    monkeypatch.setattr("rustorium.net.governing.POLL_S", 0.0)
    return decide(chain, END, key)  # type: ignore[arg-type]


def test_an_open_proposal_of_the_same_change_is_approved_and_none_is_made_beside_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    digest = _native.change_hash(json.dumps(END))
    same = {"number": 7, "hash": digest, "approvals": [4]}
    chain = Chain({"number": 6, "hash": "ab" * 32, "approvals": [4]}, same)
    assert decided(monkeypatch, chain) == Decision(None, 2, 2)
    assert chain.sent == [{"type": "approve", "number": 7, "change": digest}]
    chain = Chain()
    assert decided(monkeypatch, chain) == Decision(8, 1, 2), "it waits for another seat"
    assert [(one["type"], one["change"]) for one in chain.sent] == [("propose", END)]
    chain = Chain(same | {"approvals": [0]})
    assert decided(monkeypatch, chain) == Decision(7, 1, 2)
    assert chain.sent == [], "a seat approves once"


@pytest.mark.parametrize(
    ("key", "says"), [(KEYS[1], "seat 4 has another authority now"), (KEYS[2], "is not an operator of this chain")]
)
def test_a_key_that_acts_for_no_seat_alone_decides_nothing(
    key: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    chain = Chain()
    with pytest.raises(UsageError, match=says):
        decided(monkeypatch, chain, SimpleNamespace(public_key=key, address="rs1other"))
    assert chain.sent == []


def test_owners_who_wish_the_same_are_counted() -> None:
    owners = [{"number": number, "wish": wish} for number, wish in ((0, "aa"), (1, "bb"), (4, "aa"))]
    found = answer(owners=[*owners, {"number": 5}])
    assert [wishes(found, number) for number in (0, 1, 5)] == [(2, 3), (1, 3), (0, 3)]
