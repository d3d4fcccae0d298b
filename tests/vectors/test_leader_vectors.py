"""The order of leaders, checked twice: by an oracle that shares no code with the project, and against the core.

Invariants: the expected values in the file never come from the code under test.
"""

import json
from pathlib import Path
from typing import Any

import pytest
from vector_oracle import blake3

from rustorium.consensus.schedule import Schedule

CASES: list[dict[str, Any]] = json.loads((Path(__file__).parent / "leaders.json").read_text())["cases"]
ORDERS = [pytest.param(case, id=case["name"]) for case in CASES if case["type"] == "order"]
SEEDS = [pytest.param(case, id=case["name"]) for case in CASES if case["type"] == "seed"]


def splitmix(state: int) -> tuple[int, int]:
    """Returns the next state and its output (Vigna's reference code)."""
    state = (state + 0x9E3779B97F4A7C15) % 2**64
    z = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 % 2**64
    z = (z ^ z >> 27) * 0x94D049BB133111EB % 2**64
    return state, z ^ z >> 31


def drawn(members: list[int], state: int) -> list[int]:
    order = list(members)
    for place in reversed(range(1, len(order))):
        state, x = splitmix(state)
        other = x % (place + 1)
        order[place], order[other] = order[other], order[place]
    return order


def leaders_from(case: dict[str, Any], first: int, views: int) -> list[int]:
    """Returns the leaders from `first` on, counted from the epoch's first view; generates them from the start of a
    period of 32 cycles."""
    everyone, seed = list(range(case["n"])), case["seed"]
    begin = first - first % (31 * len(case["leaders"]) + len(everyone))
    cycle = begin // (31 * len(case["leaders"]) + len(everyone)) * 32
    found: list[int] = []
    while begin + len(found) < first + views:
        members = everyone if cycle % 32 == 31 else case["leaders"]
        if seed is None:
            view = case["boundary_view"] + 1 + begin + len(found)
            found += [at % case["n"] for at in range(view, view + len(members))]
        else:
            found += drawn(members, int(seed, 16) ^ cycle)
        cycle += 1
    return found[first - begin : first - begin + views]


def test_oracle_knows_splitmix64() -> None:
    """The published outputs for the seed 1234567."""
    state, outputs = 1234567, []
    for _ in range(3):
        state, x = splitmix(state)
        outputs.append(x)
    assert outputs == [6457827717110365317, 3203168211198807973, 9817491932198370423]


@pytest.mark.parametrize("case", ORDERS)
def test_the_oracle_and_the_core_have_this_order(case: dict[str, Any]) -> None:
    first, wanted = case["first_view"], case["order"]
    assert leaders_from(case, first - case["boundary_view"] - 1, len(wanted)) == wanted
    seed = None if case["seed"] is None else int(case["seed"], 16)
    schedule = Schedule(case["n"], case["leaders"], seed, case["boundary_view"])
    assert [schedule.leader(first + step) for step in range(len(wanted))] == wanted


@pytest.mark.parametrize("case", SEEDS)
def test_the_oracle_has_this_seed(case: dict[str, Any]) -> None:
    chain, root = bytes.fromhex(case["chain"]), bytes.fromhex(case["root"])
    digest = blake3(b"rustorium/leaders/v1\0" + chain + case["epoch"].to_bytes(8, "little") + root)
    assert f"{int.from_bytes(digest[:8], 'little'):016x}" == case["seed"]
