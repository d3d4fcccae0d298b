"""The conformance vectors of a light client's trust, checked with the extension and with the Python light client on top
of it."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import pytest

from rustorium import _native
from rustorium.client import prooffile
from rustorium.client.light import FORKED, LightClient
from rustorium.errors import ChainForked, VerificationFailed

FILE: dict[str, Any] = json.loads((Path(__file__).parent / "light.json").read_text())
GENESIS = bytes.fromhex(FILE["genesis"])
CASES = [pytest.param(case, id=case["name"]) for case in FILE["cases"]]
assert CASES

Step = tuple[str, bytes, int, str]
"""Operations with bytes and times, and their results."""


def steps(case: dict[str, Any]) -> Iterator[Step]:
    for step in case["steps"]:
        if "follow_chain" in step:
            for epoch in range(*step["follow_chain"]):
                yield "follow", bytes.fromhex(FILE["changes"][epoch]), FILE["changes_at_ms"][epoch], "ok"
            continue
        [(what, digits)] = [(name, step[name]) for name in ("follow", "check") if name in step]
        yield what, bytes.fromhex(digits), step["now_ms"], step["gives"]


def code_of(attempt: Callable[[], object]) -> str:
    try:
        attempt()
    except (_native.NativeError, VerificationFailed) as error:
        return error.code
    return "ok"


@pytest.mark.parametrize("case", CASES)
def test_the_extension_agrees_with_the_vectors(case: dict[str, Any]) -> None:
    if "checkpoint" in case:
        light = _native.Light.from_checkpoint(bytes.fromhex(case["checkpoint"]), case["trust_period_ms"])
    else:
        light = _native.Light.from_genesis(GENESIS, case["trust_period_ms"])
    for what, content, now_ms, gives in steps(case):
        take = light.follow if what == "follow" else light.check
        assert code_of(lambda take=take, content=content, now_ms=now_ms: take(content, now_ms)) == gives


@pytest.mark.parametrize("case", CASES)
def test_the_light_client_agrees_with_the_vectors(case: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0]
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: clock[0])
    period_s = case["trust_period_ms"] and case["trust_period_ms"] / 1000
    if "checkpoint" in case:
        checkpoint = bytes.fromhex(case["checkpoint"])
        facts = json.loads(_native.Light.from_checkpoint(checkpoint).describe())
        clock[0] = facts["time_ms"]
        content = prooffile.checkpoint_to_bytes(facts, checkpoint)
        light = LightClient(content, checkpoint=True, trust_period_s=period_s)
    else:
        light = LightClient(GENESIS, trust_period_s=period_s)
    for what, content, now_ms, gives in steps(case):
        clock[0] = now_ms
        if what == "follow":
            code = code_of(lambda content=content: light.follow(content))
        else:
            code = code_of(lambda content=content: anyio.run(light.show, content))
        # If both signed headers are known, the refusal contains them.
        assert code == gives or (code == ChainForked.code and gives in FORKED)
