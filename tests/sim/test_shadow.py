"""Tests of the second ledger: it refuses each impossible history, made by hand.

Invariants: each case breaks one thing of a good run.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from rustorium.sim.clients import Clients
from rustorium.sim.errors import BreachError
from rustorium.sim.frames import SeenHeader
from rustorium.sim.modes import Mode
from rustorium.sim.net import EXPIRES_MS
from rustorium.sim.scenario import Shape, build_world, draw_plan
from rustorium.sim.shadow import Leaves, Place, Shadow, SignedByClient
from rustorium.sim.world import World

KEYS = [b"a" * 32, b"b" * 32]
HEADER = SeenHeader(0, 1, 1, b"", 0, 1, 10, 2, False, b"", (0, b""), None)


def shadow() -> Shadow:
    return Shadow(KEYS, ["rs1a", "rs1b"], 100)


def remembered(nonce: int, account: int = 0, **changed: Any) -> SignedByClient:
    transfer = {"type": "transfer", "to": "rs1b", "asset": "", "amount": "3"}
    return SignedByClient(
        **{"id": f"{account}/{nonce}", "account": account, "nonce": nonce}
        | {"expires_ms": 1_000, "operations": [transfer]}
        | changed
    )


def test_a_good_history() -> None:
    executed = {(1, 0): remembered(0), (1, 1): remembered(0, 1), (2, 0): remembered(1)}
    shadow().judge_order(0, executed, {1: HEADER, 2: replace(HEADER, height=2, time_ms=20)})
    state = shadow().replayed(executed)
    assert state.balances == {KEYS[0]: 94, KEYS[1]: 106}
    assert state.nonces == {KEYS[0]: 2, KEYS[1]: 1}


HISTORIES: list[tuple[str, dict[Place, SignedByClient], str]] = [
    ("a nonce left out", {(1, 0): remembered(1)}, "nonce 1 of account 0 where 0 was due"),
    ("nonces the wrong way round", {(1, 0): remembered(1), (1, 1): remembered(0)}, "where 0 was due"),
    ("a nonce twice", {(1, 0): remembered(0), (1, 1): remembered(0, id="other")}, "where 1 was due"),
    ("one too late", {(1, 0): remembered(0, expires_ms=10)}, "after it had expired"),
    ("one that nobody signed", {(1, 1): remembered(0)}, "what no client signed"),
    ("more than listed", {(1, at): remembered(at) for at in range(3)}, "than its block lists"),
]


@pytest.mark.parametrize(("executed", "said"), [each[1:] for each in HISTORIES], ids=[each[0] for each in HISTORIES])
def test_impossible_orders_are_refused(executed: dict[Place, SignedByClient], said: str) -> None:
    with pytest.raises(BreachError, match=said):
        shadow().judge_order(0, executed, {1: HEADER})


def test_another_place_at_another_node() -> None:
    one = shadow()
    one.judge_order(0, {(1, 0): remembered(0)}, {})
    with pytest.raises(BreachError, match="at another place than others"):
        one.judge_order(1, {(2, 0): remembered(0)}, {})


def test_a_failed_operation_undoes_the_others() -> None:
    put = {"type": "put", "namespace": "rs1a", "key": "k", "value": "v"}
    gone = {"type": "delete", "namespace": "rs1a", "key": "none"}
    own = {"type": "delete", "namespace": "rs1a", "key": "k"}
    failed = shadow().replayed({(1, 0): remembered(0, operations=[put, gone])})
    assert (failed.values, failed.nonces[KEYS[0]]) == ({}, 1)
    assert shadow().replayed({(1, 0): remembered(0, operations=[put, own])}).values == {}
    assert shadow().replayed({(1, 0): remembered(0, operations=[put])}).values == {(KEYS[0], b"k"): b"v"}


# ---- what nodes really hold


@pytest.fixture(scope="module")
def world() -> World:
    """Four honest nodes that have executed every kind of operation."""
    plan = draw_plan(0, Mode.PARTITIONS, Shape(4, 20))
    world = build_world(0, plan)
    world.start_all()
    clients = Clients(world, 20.0)
    clients.begin()
    world.run(1_500)
    assert clients.done > 50
    return world


def judge(world: World, change: Callable[[Leaves], Leaves]) -> None:
    disk = world.nodes[0].disk
    headers = {block.header.height: block.header for block in world.checkers.final_chain()}
    world.shadow.judge(0, disk, change(disk.leaves()), headers)


def changed(kind: bytes, value: Callable[[bytes], bytes]) -> Callable[[Leaves], Leaves]:
    """Returns leaves; the first one of a kind has another value."""

    def change(leaves: Leaves) -> Leaves:
        at = next(at for at, leaf in enumerate(leaves) if leaf[1][:1] == kind)
        return [*leaves[:at], (*leaves[at][:2], value(leaves[at][2])), *leaves[at + 1 :]]

    return change


def without(kind: bytes) -> Callable[[Leaves], Leaves]:
    def change(leaves: Leaves) -> Leaves:
        at = next(at for at, leaf in enumerate(leaves) if leaf[1][:1] == kind)
        return [*leaves[:at], *leaves[at + 1 :]]

    return change


def test_states_follow_from_signed_transactions(world: World) -> None:
    judge(world, lambda leaves: leaves)
    kinds = {leaf[1][:1] for leaf in world.nodes[0].disk.leaves()}
    assert {b"\0", b"\1", b"\2"} <= kinds


def with_another_nonce(record: bytes) -> bytes:
    """Returns an account's record with another nonce, which follows the key in the forms of both versions."""
    at = 32 if len(record) == 64 else 34
    return record[:at] + bytes([record[at] ^ 1]) + record[at + 1 :]


STATES = [
    ("a nonce", changed(b"\0", with_another_nonce), "has nonce"),
    ("a balance", changed(b"\1", lambda value: bytes([value[0] ^ 1]) + value[1:]), "other balances"),
    ("a balance gone", without(b"\1"), "other balances"),
    ("a value", changed(b"\2", lambda value: value + b"!"), "other values"),
    ("a value gone", without(b"\2"), "other values"),
    ("an account", lambda leaves: [*leaves, (b"x" * 64, b"\0", b"x" * 64)], "that nobody made"),
]


@pytest.mark.parametrize(("change", "said"), [each[1:] for each in STATES], ids=[each[0] for each in STATES])
def test_impossible_states_are_refused(world: World, change: Callable[[Leaves], Leaves], said: str) -> None:
    with pytest.raises(BreachError, match=said):
        judge(world, change)


def test_a_transaction_that_no_client_of_the_run_signed(world: World) -> None:
    forgotten = world.shadow._signed.pop(0)
    try:
        with pytest.raises(BreachError, match=r"was due|no client signed"):
            judge(world, lambda leaves: leaves)
    finally:
        world.shadow._signed.insert(0, forgotten)
    assert forgotten.expires_ms == EXPIRES_MS
