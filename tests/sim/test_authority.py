"""Accounts whose keys change, under the faults of all modes; `just sim` plays more."""

from collections import Counter
from dataclasses import replace

import pytest

from rustorium import _native
from rustorium.sim.custody_model import HOUR_MS, Custody, Held, Settings, Waiting
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader
from rustorium.sim.groups import Group, system_sender
from rustorium.sim.modes import SECOND, Mode
from rustorium.sim.net import REGION, seed_of
from rustorium.sim.replay import Replay
from rustorium.sim.run import Report, run_seed
from rustorium.sim.scenario import Shape
from rustorium.sim.shadow import Shadow, SignedByClient

SEEDS = 6
SHAPE = Shape(heights=20)
EVENTS = ("later keys acted", "refused: wrong-key", "an hour passed", "forged signature", "acted at the end")
"""Events that some of the seeds must have."""


def check(reports: list[Report]) -> Counter[str]:
    """Checks that all runs went well. Returns the counts of their events."""
    failed = [f"{report.line()}\n  repeat with: {report.repeat()}" for report in reports if not report.ok]
    assert not failed, "\n".join(failed)
    return sum((Counter(dict(report.faults)) for report in reports), Counter())


def test_keys_change_whatever_happens() -> None:
    counts = check([run_seed(seed, Mode.AUTHORITY, SHAPE) for seed in range(SEEDS)])
    assert not [event for event in EVENTS if not counts[event]]
    assert len(SECOND) <= SEEDS, "the seeds have the faults of all modes"


def test_a_run_of_the_same_seed_is_the_same_run() -> None:
    one, other = (run_seed(1, Mode.AUTHORITY, Shape(heights=8)) for _ in range(2))
    assert one == other


# ---- the model refuses impossible histories

FIRST, SECOND_KEYS = (Group(1, (seed_of("test", number),)) for number in range(2))
THREE = Group(2, tuple(seed_of("test", "three", number) for number in range(3)))
GUARD = Group(1, (seed_of("test", "guard"),))
OWNER, GUARDIAN = (_native.account_id(REGION, group.keys[0]) for group in (FIRST, GUARD))
GROUPS = {bytes([group.threshold]) + b"".join(group.keys): group for group in (FIRST, SECOND_KEYS, THREE, GUARD)}


def custody() -> Custody:
    return Custody({OWNER: FIRST, GUARDIAN: GUARD}, GROUPS)


def change(group: Group, **more: object) -> dict[str, object]:
    return {"type": "set_authority", "authority": group.said, **more}


def test_an_account_without_settings_changes_at_once_and_one_with_a_delay_later() -> None:
    model = custody()
    assert model.act(OWNER, change(THREE, delay_ms=500), 1_000)
    assert model.admit(OWNER, FIRST.signer, 1_000) == "that other keys signed than those in effect"
    assert model.admit(OWNER, THREE.signer, 1_000) == ""
    assert model.act(OWNER, change(SECOND_KEYS), 2_000)
    assert model.admit(OWNER, THREE.signer, 2_499) == ""
    assert model.admit(OWNER, SECOND_KEYS.signer, 2_499) != ""
    assert model.admit(OWNER, THREE.signer, 2_500) != ""
    assert model.admit(OWNER, SECOND_KEYS.signer, 2_500) == ""
    assert model.accounts[OWNER] == Held(Settings(SECOND_KEYS))


def test_a_cancelled_change_never_takes_effect() -> None:
    model = custody()
    assert model.act(OWNER, change(FIRST, delay_ms=500), 0)
    assert model.act(OWNER, change(THREE), 10)
    assert model.act(OWNER, {"type": "cancel_authority"}, 20)
    assert not model.act(OWNER, {"type": "cancel_authority"}, 30)
    assert model.admit(OWNER, FIRST.signer, 10_000) == ""


def test_a_final_recovery_freezes_and_makes_grants_void() -> None:
    model = custody()
    recovery = {"account": GUARDIAN, "delay_ms": HOUR_MS, "final": True}
    assert not model.act(OWNER, change(FIRST, recovery={**recovery, "account": OWNER}), 0)
    model.grant(OWNER, {"to": GUARDIAN, "prefixes_hex": [""]}, 0)
    assert model.act(OWNER, change(FIRST, recovery=recovery), 0)
    recover = {"type": "recover", "account": OWNER, "authority": THREE.said}
    assert not model.act(OWNER, recover, 0)
    assert model.act(GUARDIAN, recover, 1)
    assert model.admit(OWNER, FIRST.signer, 2) == "whose account is frozen"
    assert model.may_write(OWNER, GUARDIAN, HOUR_MS)
    assert not model.may_write(OWNER, GUARDIAN, HOUR_MS + 1)
    assert model.admit(OWNER, THREE.signer, HOUR_MS + 1) == ""
    assert not model.act(GUARDIAN, {"type": "withdraw_recovery", "account": OWNER}, HOUR_MS + 1)


def test_only_the_change_that_waits_can_be_approved() -> None:
    model = custody()
    recovery = {"account": GUARDIAN, "delay_ms": HOUR_MS, "final": False}
    assert model.act(OWNER, change(FIRST, recovery=recovery), 0)
    assert model.act(OWNER, change(THREE), 5)
    approve = {"type": "approve_authority", "account": OWNER}
    assert not model.act(GUARDIAN, {**approve, "change": Settings(SECOND_KEYS).hash(void=False)}, 6)
    assert not model.act(OWNER, {**approve, "change": Settings(THREE).hash(void=False)}, 6)
    assert model.act(GUARDIAN, {**approve, "change": Settings(THREE).hash(void=False)}, 6)
    assert model.admit(OWNER, THREE.signer, 7) == ""


def test_other_leaves_are_found() -> None:
    model = custody()
    model.accounts[OWNER] = Held(Settings(FIRST, 500), Waiting(False, Settings(THREE), True, 9), 2)
    record = b"\2" + FIRST.signer + bytes(44) + b"\2" + (2).to_bytes(4, "little")
    other = b"\2" + GUARD.signer + bytes(44) + b"\0" + bytes(4)
    ids = [_native.parse_address(address) for address in (OWNER, GUARDIAN)]
    leaf = model.accounts[OWNER].leaf()
    assert leaf is not None
    good = {(ids[0], b"\0"): record, (ids[0], b"\x0a"): leaf, (ids[1], b"\0"): other}
    model.judge(0, good)
    for key, value, said in (
        ((ids[0], b"\x0a"), leaf[:-1] + b"\1", "custody leaf"),
        ((ids[0], b"\0"), b"\2" + THREE.signer + record[34:], "other keys"),
        ((ids[0], b"\0"), record[:-4] + bytes(4), "era"),
    ):
        with pytest.raises(BreachError, match=said):
            model.judge(0, {**good, key: value})


def test_a_transaction_of_former_keys_is_found() -> None:
    shadow = Shadow([FIRST.keys[0], GUARD.keys[0]], [OWNER, GUARDIAN], 100)
    shadow.replays = lambda: Replay(custody(), None, {})
    header = SeenHeader(0, 1, 1, b"", 0, 1, 10, 2, False, b"", (0, b""), None)
    first = SignedByClient("a", 0, 0, 1_000, [change(THREE)], signer=FIRST.signer)
    later = SignedByClient("b", 0, 1, 1_000, [{"type": "cancel_authority"}], signer=THREE.signer)
    state = shadow.replayed({(1, 0): first, (1, 1): later}, {1: header})
    assert state.done == {"a": True, "b": False}
    with pytest.raises(BreachError, match="that other keys signed"):
        shadow.replayed({(1, 0): first, (1, 1): replace(later, signer=FIRST.signer)}, {1: header})


def test_seats_and_owners_have_addresses_of_their_own() -> None:
    assert _native.seat_number(system_sender(4, 7)) == 7
    assert _native.seat_number(system_sender(5, 7)) is None
