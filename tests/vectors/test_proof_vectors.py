"""The conformance vectors of proofs, checked by the extension from Python, and as proof files."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from rustorium import _native
from rustorium.client.light import LightClient
from rustorium.client.prooffile import ProofFile
from rustorium.errors import EpochUnknown, TrustExpired, VerificationFailed

FILE = Path(__file__).parent / "proofs.json"
CASES: list[dict[str, Any]] = json.loads(FILE.read_text())["cases"]


def ids(cases: list[dict[str, Any]]) -> list[Any]:
    assert cases
    return [pytest.param(case, id=case["name"]) for case in cases]


def named(name: str) -> dict[str, Any]:
    [found] = [case for case in CASES if case["name"] == name]
    return found


def light_of(case: dict[str, Any]) -> LightClient:
    return LightClient(bytes.fromhex(case["genesis"]))


def facts_of(case: dict[str, Any]) -> dict[str, Any]:
    light = _native.Light.from_genesis(bytes.fromhex(case["genesis"]))
    for change in case.get("epochs", ()):
        light.follow(bytes.fromhex(change), 0)
    found: dict[str, Any] = json.loads(light.check(bytes.fromhex(case["bytes"]), 0))
    return found


def file_of(case: dict[str, Any]) -> bytes:
    """Returns the proof file of a valid case."""
    facts = facts_of(case)
    epochs = [bytes.fromhex(change) for change in case.get("epochs", ())]
    proof = bytes.fromhex(case["bytes"])
    return ProofFile(facts["kind"], facts["chain"], facts, proof, epochs, _native.proof_version(proof)).to_bytes()


@pytest.mark.parametrize("case", ids([case for case in CASES if case["shows"] is not None]))
def test_a_proof_shows_the_facts_of_its_case(case: dict[str, Any]) -> None:
    facts, shows = facts_of(case), case["shows"]
    assert (facts["kind"], facts["claimed_by"]["height"]) == (case["type"], shows["claimed_by"])
    assert facts["epoch"] == shows.get("epoch", 0)
    match case["type"]:
        case "read":
            assert (facts["height"], facts["state_root"]) == (shows["height"], shows["state_root"])
            held = [item["value_hex"] for item in facts["items"] if item["type"] == "value"]
            assert held == shows["values"][-len(held) :]
        case "receipt" | "transaction":
            assert [facts["receipt"][name] for name in ("id", "height", "index")] == [
                shows[name] for name in ("id", "height", "index")
            ]
        case "block":
            assert facts["header"]["height"] == shows["height"]
    shown = light_of(case).show_file(file_of(case))
    assert (shown.kind, shown.facts, shown.claim.height) == (case["type"], facts, shows["claimed_by"])
    assert (shown.state is None, shown.receipt is None) == (case["type"] != "read", "receipt" not in facts)


@pytest.mark.parametrize("case", ids([case for case in CASES if case["shows"] is None]))
def test_a_bad_proof_is_refused(case: dict[str, Any]) -> None:
    with pytest.raises(_native.NativeError) as refused:
        facts_of(case)
    assert refused.value.code == "proof-refused"


def test_a_file_has_the_version_of_its_headers() -> None:
    """Programs for protocol version 1 read files of version 1 alone, and say so."""
    versions = set()
    for case in CASES:
        if case["shows"] is not None:
            fields = json.loads(file_of(case))
            other = json.dumps(fields | {"version": 3 - fields["version"]}).encode()
            with pytest.raises(VerificationFailed, match="its version is"):
                light_of(case).show_file(other)
            versions.add(fields["version"])
    assert versions == {1, 2}


def test_a_client_follows_from_version_1_into_version_2() -> None:
    case = named("a block after the first term of version 2")
    light = light_of(case)
    assert "protocol_version" not in light.trusted
    first = json.loads(light.checkpoint())
    light.follow(bytes.fromhex(case["epochs"][0]))
    assert light.trusted["protocol_version"] == 2
    second = json.loads(light.checkpoint())
    assert (first["version"], second["version"]) == (2, 3)
    assert bytes.fromhex(second["checkpoint"]).startswith(b"rscheck2")
    pinned = LightClient(json.dumps(second).encode(), checkpoint=True)
    assert pinned.trusted == light.trusted
    assert pinned.show_file(file_of(case)).claim.epoch == 1
    for wrong in (second | {"version": 2}, first | {"version": 3}):
        with pytest.raises(VerificationFailed, match="version"):
            LightClient(json.dumps(wrong).encode(), checkpoint=True)


def test_a_later_committee_needs_the_changes_that_lead_to_it() -> None:
    case = named("a block of the third committee")
    content = file_of(case)
    assert light_of(case).show_file(content).claim.epoch == 2
    fields = json.loads(content)
    for epochs, error in (
        ([], EpochUnknown),
        (fields["epochs"][:1], EpochUnknown),
        (fields["epochs"][::-1], VerificationFailed),
        (fields["epochs"] + fields["epochs"][:1], VerificationFailed),
    ):
        with pytest.raises(error):
            light_of(case).show_file(json.dumps(fields | {"epochs": epochs}).encode())


def test_no_file_is_made_with_changes_that_lead_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rustorium.client.light.FIRST_CHANGES_BYTES_MAX", 0)  # so that all changes are fetched again
    case = named("a block of the third committee")
    good = [bytes.fromhex(change) for change in case["epochs"]]
    closing = named("a committee after a closing block instead of the epoch's last one")["epochs"]
    proof, facts, told = bytes.fromhex(case["bytes"]), facts_of(case), list(good)

    async def fetch(first: int) -> Sequence[bytes]:
        return told[first:]

    light = LightClient(bytes.fromhex(case["genesis"]), fetch=fetch)
    assert anyio.run(light.show, proof) == facts
    assert anyio.run(light.file, proof, facts) == file_of(case)
    for wrong in ([bytes.fromhex(closing[0]), good[1]], good[::-1], [good[0], good[1][:-1]]):
        told[:] = wrong
        with pytest.raises(VerificationFailed):
            anyio.run(light.file, proof, facts)


def test_a_checkpoint_suffices_for_later_epochs(monkeypatch: pytest.MonkeyPatch) -> None:
    case = named("a block of the third committee")
    light = light_of(case)
    light.follow(bytes.fromhex(case["epochs"][0]))
    pinned = LightClient(light.checkpoint(), checkpoint=True)
    assert pinned.trusted == light.trusted
    assert pinned.trusted["epoch"] == 1
    assert pinned.show_file(file_of(case)).claim.epoch == 2
    [older] = [other for other in CASES if other["name"] == "a block"]
    with pytest.raises(VerificationFailed):
        LightClient(light.checkpoint(), checkpoint=True).show_file(file_of(older))
    fields = json.loads(light.checkpoint())
    for change in (
        {"facts": fields["facts"] | {"height": 9}},
        {"checkpoint": fields["checkpoint"][:-2]},
        {"format": "x"},
    ):
        with pytest.raises(VerificationFailed):
            LightClient(json.dumps(fields | change).encode(), checkpoint=True)
    late_ms = light.trusted["time_ms"] + light.trusted["epoch_ms"] + 1_001
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: late_ms)
    with pytest.raises(TrustExpired, match="trust period"):
        LightClient(light.checkpoint(), checkpoint=True, trust_period_s=1.0)
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: late_ms - 1)
    assert LightClient(light.checkpoint(), checkpoint=True, trust_period_s=1.0).trusted == light.trusted


def test_a_checkpoint_of_an_earlier_release_is_read() -> None:
    case = named("a block of the third committee")
    light = light_of(case)
    light.follow(bytes.fromhex(case["epochs"][0]))
    fields = json.loads(light.checkpoint())
    assert fields["version"] == 2
    length = fields["facts"].pop("epoch_ms").to_bytes(8, "little").hex()
    assert fields["checkpoint"].endswith(length)
    older = json.dumps(fields | {"version": 1, "checkpoint": fields["checkpoint"].removesuffix(length)}).encode()
    pinned = LightClient(older, checkpoint=True)
    assert json.loads(pinned.checkpoint()) == json.loads(older)
    assert pinned.show_file(file_of(case)).claim.epoch == 2
