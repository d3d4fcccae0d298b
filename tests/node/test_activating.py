"""`upgrade activate`: who must be ready, and one sentence for each reason to refuse."""

import json
from dataclasses import replace
from typing import Any

import pytest

from rustorium import _native
from rustorium.client import Key
from rustorium.errors import NotReady, RustoriumError, UsageError
from rustorium.net.activating import Wanted, check_ready, check_signers
from rustorium.net.probe import silent, status_of

ANSWER: dict[str, Any] = {
    "chain": "ab" * 32, "node": "node-0", "version": "0.2.0", "height": 9, "view": 12, "epoch": 7,
    "claimed": {"height": 8, "root": "00" * 32}, "peers_up": 3, "peers": 3, "unreachable": [], "pool_transactions": 0,
    "role": "validator", "durability": "vote", "ready": True, "evidence": [], "protocol": 1, "older": [],
    "at": {"height": 9, "root": "00" * 32, "shard": 0},
}  # fmt: skip
KEY = Key(b"\1" * 32)
MEMBERS = [
    {"name": f"node-{i}", "validator_key": KEY.public_key, "node_key": KEY.public_key, "owner_key": KEY.public_key}
    for i in range(4)
]
COMMITTEE = {"epoch": 7, "validators": MEMBERS, "next": MEMBERS}


def statuses(**changes: Any) -> list[Any]:
    return [status_of(ANSWER | {"node": f"node-{i}"} | changes) for i in range(3)]


def refusal(*arguments: Any) -> str:
    with pytest.raises(RustoriumError) as caught:
        check_ready(*arguments)
    return str(caught.value)


def test_a_quorum_that_sees_all_on_new_releases_is_ready() -> None:
    check_ready(statuses(), COMMITTEE, [])
    check_ready([*statuses(), silent("http://n3", "gone")], COMMITTEE, [])


@pytest.mark.parametrize(
    ("seen", "without", "sentence"),
    [
        (statuses()[:2], [], "2 of 4 validators say what releases their peers run, 3 must: name more of them with"),
        (
            statuses(older=["node-3"]),
            [],
            "node-3 runs a release that doesn't know version 2: install this one there, or",
        ),
        (statuses(unreachable=["node-3"]), [], "node-3 is not connected, so nobody knows which release it runs: start"),
        (
            [*statuses(), replace(statuses()[0], node="node-3", protocol=0)],
            [],
            "node-3 runs a release that doesn't know",
        ),
        (statuses(protocol=2), [], "version 2 is active already: node-0 is in epoch 7 of it"),
        (statuses(), ["node-2", "node-3"], "a committee of 4 goes on without 1 of its members, not without more"),
        (statuses(), ["node-9"], "the committee has no validator node-9: it has node-0, node-1, node-2, node-3"),
    ],
)
def test_each_reason_to_refuse_is_one_sentence(seen: list[Any], without: list[str], sentence: str) -> None:
    assert refusal(seen, COMMITTEE, without).startswith(sentence)


def test_a_member_may_stand_if_it_is_named() -> None:
    for seen in (statuses(older=["node-3"]), statuses(unreachable=["node-3"])):
        check_ready(seen, COMMITTEE, ["node-3"])


def test_a_committee_that_changes_waits_for_the_next_epoch() -> None:
    changing = COMMITTEE | {"next": MEMBERS[:3]}
    assert refusal(statuses(), changing, []).startswith("the committee changes at the end of this epoch")


def test_keys_of_small_order_are_named() -> None:
    small = [*MEMBERS[:3], MEMBERS[3] | {"validator_key": "00" * 32}]
    committee = COMMITTEE | {"validators": small, "next": small}
    with pytest.raises(NotReady, match="the validator key of node-3 is of small order, under which anybody can sign"):
        check_ready(statuses(), committee, [])


def genesis(version: int = 1, **parameters: Any) -> bytes:
    validator = {
        "name": "node-0", "validator_key": "01" * 32, "node_key": "02" * 32, "owner_key": "03" * 32, "region": 0,
        "address": "127.0.0.1:1",
    }  # fmt: skip
    first = {
        "name": "test",
        "version": version,
        "time_ms": 1_800_000_000_000,
        "validators": [validator],
        "accounts": [],
    }
    described = json.loads(_native.genesis_describe(_native.genesis_encode(json.dumps(first | {"pools": []}))))
    changed = described | {"parameters": described["parameters"] | parameters}
    return _native.genesis_encode(json.dumps(changed))


def signer_refusal(content: bytes, keys: list[Key], operator_quorum: int | None = None, **parameters: object) -> str:
    with pytest.raises(UsageError) as caught:
        check_signers(content, keys, Wanted(operator_quorum, parameters))
    return str(caught.value)


def test_chains_that_cannot_activate_say_why() -> None:
    operators = [Key(bytes([i]) * 32).public_key for i in range(1, 4)]
    good: dict[str, Any] = {"operators": operators, "operator_quorum": 2}
    check_signers(genesis(**good), [KEY], Wanted())
    assert signer_refusal(genesis(), [KEY]).startswith("the chain has no operators, so nobody can activate version 2")
    rootless = genesis(**good, state_roots=False)
    assert signer_refusal(rootless, [KEY]).startswith("the chain makes no state roots, so light clients couldn't check")
    assert signer_refusal(genesis(2, **good), [KEY]) == "the chain began with version 2: there is nothing to activate"
    assert "a quorum of 3 of 3 operators is not possible; take 2 to 2" in signer_refusal(genesis(**good), [KEY], 3)
    assert signer_refusal(genesis(**good), [KEY], epochms=1).startswith("there is no chain parameter epochms")
    assert "the activation's parameter epoch_ms is out of range" in signer_refusal(genesis(**good), [KEY], epoch_ms=1)
    assert "other operators than the chain has" in signer_refusal(genesis(**good), [KEY], operators=operators[:2])
    stranger = Key(b"\7" * 32)
    assert signer_refusal(genesis(**good), [stranger]).startswith(
        f"{stranger.address} is not an operator of this chain"
    )


def test_a_plan_is_signed_and_read_back() -> None:
    operators = [Key(bytes([i]) * 32).public_key for i in range(1, 4)]
    plan = _native.activation_plan(genesis(operators=operators, operator_quorum=2), 7, "ab" * 32, None, "{}")
    kept = json.loads(plan)["parameters"]
    longer = _native.activation_plan(
        genesis(operators=operators, operator_quorum=2), 7, "ab" * 32, None, '{"epoch_ms": 172800000}'
    )
    assert json.loads(longer)["parameters"] == kept | {"epoch_ms": 172_800_000, "min_epoch_ms": 7_200_000}
    raw = _native.sign_activation(KEY.seed, plan)
    shown = json.loads(_native.activation_show(raw))
    assert {name: shown[name] for name in json.loads(plan)} == json.loads(plan)
    assert _native.activation_holds(KEY.public_key, raw)
    assert not _native.activation_holds(operators[1], raw)
    with pytest.raises(ValueError, match="no activation of version 3"):
        _native.activation_show(b"\3" + raw[1:])
