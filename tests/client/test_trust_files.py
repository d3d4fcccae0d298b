"""Trust that is kept across processes: the trust file, trust periods, and the maximum age of a proof."""

import errno
import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import anyio
import pytest

from rustorium import _native
from rustorium.client.light import LightClient
from rustorium.client.prooffile import ProofFile, is_fork
from rustorium.client.trust import TRUST_PERIOD_S
from rustorium.errors import ChainForked, ProofTooOld, TrustExpired, UsageError, VerificationFailed

VECTORS = Path(__file__).parent.parent / "vectors"
FILE: dict[str, Any] = json.loads((VECTORS / "light.json").read_text())
PROOFS: dict[str, dict[str, Any]] = {
    case["name"]: case for case in json.loads((VECTORS / "proofs.json").read_text())["cases"]
}
GENESIS = bytes.fromhex(FILE["genesis"])
CHANGES = [bytes.fromhex(change) for change in FILE["changes"]]
TIMES: list[int] = FILE["changes_at_ms"]
DAY_MS = TIMES[1] - TIMES[0]
PERIOD_MS = int(1000 * TRUST_PERIOD_S)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    now = [TIMES[0] - DAY_MS]
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: now[0])
    return now


def follower(clock: list[int], end: int, **named: Any) -> LightClient:
    """Returns a light client that has followed all epochs before `end`."""

    async def fetch(first: int) -> Sequence[bytes]:
        return CHANGES[first:end]

    clock[0] = max(clock[0], TIMES[end - 1])
    light = LightClient(GENESIS, fetch=fetch, **named)
    anyio.run(light.catch_up)
    return light


def test_a_client_continues_from_its_trust_file(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    light = follower(clock, 5, trust_file=path)
    assert path.stat().st_mode & 0o777 == 0o600
    again = LightClient(GENESIS, trust_file=path)
    assert again.trusted == light.trusted
    assert (again.trusted["epoch"], again.end_of(0)) == (5, light.end_of(0))
    assert follower(clock, 7, trust_file=path).trusted["epoch"] == 7
    assert [entry.name for entry in tmp_path.iterdir()] == ["trust.json"]


def test_two_clients_may_share_a_trust_file_and_it_never_goes_back(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    behind = LightClient(GENESIS, trust_file=path)
    follower(clock, 5, trust_file=path)
    behind.follow(CHANGES[0])
    behind.save_trust()
    assert LightClient(GENESIS, trust_file=path).trusted["epoch"] == 5


def test_a_full_disk_leaves_the_trust_file_unchanged_and_no_other_file(
    tmp_path: Path, clock: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trust.json"
    light = follower(clock, 3, trust_file=path)
    before = path.read_bytes()

    def full(_handle: int) -> None:
        raise OSError(errno.ENOSPC, "no space")

    monkeypatch.setattr("os.fsync", full)
    clock[0] = TIMES[3]
    light.follow(CHANGES[3])
    with pytest.raises(OSError, match="no space"):
        light.save_trust()
    assert [entry.name for entry in tmp_path.iterdir()] == ["trust.json"]
    assert path.read_bytes() == before


def test_a_checkpoint_is_a_trust_file_and_a_newer_one_wins(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    path.write_bytes(follower(clock, 3).checkpoint())
    assert LightClient(GENESIS, trust_file=path).trusted["epoch"] == 3
    assert follower(clock, 5, trust_file=path).trusted["epoch"] == 5
    newer = follower(clock, 9).checkpoint()
    assert LightClient(newer, checkpoint=True, trust_file=path).trusted["epoch"] == 9
    older = follower(clock, 4).checkpoint()
    assert LightClient(older, checkpoint=True, trust_file=path).trusted["epoch"] == 5


def test_a_trust_file_that_was_changed_or_is_of_another_chain_is_refused(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    follower(clock, 3, trust_file=path)
    with pytest.raises(UsageError, match="another chain"):
        LightClient(GENESIS.replace(b"test", b"tess", 1), trust_file=path)
    fields = json.loads(path.read_bytes())
    for change in (
        {"facts": fields["facts"] | {"epoch": 4}},
        {"state": fields["state"][:-2]},
        {"state": "00" + fields["state"][2:]},
        {"version": 3},
        {"version": 1},
        {"height": -1},
        {"height": "5"},
        {"format": "x"},
    ):
        path.write_text(json.dumps(fields | change))
        with pytest.raises(VerificationFailed, match=r"trust\.json"):
            LightClient(GENESIS, trust_file=path)


def test_no_flipped_bit_of_a_trust_file_is_accepted(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    light = follower(clock, 3, trust_file=path)
    light.verified(9)
    light.save_trust()
    whole = path.read_bytes()
    for place in range(0, len(whole), 5):
        changed = bytearray(whole)
        changed[place] ^= 1 << (place // 5) % 8
        path.write_bytes(changed)
        with pytest.raises((VerificationFailed, UsageError), match=r"trust\.json"):
            LightClient(GENESIS, trust_file=path)
    path.write_bytes(whole)
    assert LightClient(GENESIS, trust_file=path).verified_height == 9


def test_the_newest_verified_height_outlives_the_process_and_never_goes_back(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    light = follower(clock, 3, trust_file=path)
    assert LightClient(GENESIS, trust_file=path).verified_height == 0
    behind = LightClient(GENESIS, trust_file=path)
    light.verified(9)
    light.verified(7)
    light.save_trust()
    assert LightClient(GENESIS, trust_file=path).verified_height == 9
    behind.verified(8)
    behind.save_trust()
    assert LightClient(GENESIS, trust_file=path).verified_height == 9
    # Another client is behind in epochs, and ahead in height.
    begun = LightClient(GENESIS, trust_file=tmp_path / "other.json")
    follower(clock, 5, trust_file=tmp_path / "other.json")
    begun.verified(12)
    begun.save_trust()
    found = LightClient(GENESIS, trust_file=tmp_path / "other.json")
    assert (found.verified_height, found.trusted["epoch"]) == (12, 5)
    # A file of release 0.2.0 names no height.
    fields = json.loads(path.read_bytes())
    del fields["height"], fields["digest"]
    path.write_text(json.dumps(fields | {"version": 1}))
    assert LightClient(GENESIS, trust_file=path).verified_height == 0


def test_files_of_releases_that_named_no_shard_are_of_shard_0(tmp_path: Path, clock: list[int]) -> None:
    path = tmp_path / "trust.json"
    light = follower(clock, 3, trust_file=path)
    assert (light.shard, light.trusted["shard"]) == (0, 0)
    for content, read in (
        (path.read_bytes(), lambda: LightClient(GENESIS, trust_file=path)),
        (light.checkpoint(), lambda: LightClient(path, checkpoint=True)),
    ):
        fields = json.loads(content)
        del fields["facts"]["shard"]
        fields.pop("digest", None)
        path.write_text(json.dumps(fields))
        assert read().trusted == light.trusted
        fields["facts"]["shard"] = 1
        path.write_text(json.dumps(fields))
        with pytest.raises(VerificationFailed, match="contradicts"):
            read()


def test_from_a_trust_file_the_trust_period_is_thirty_days_unless_another_is_named(
    tmp_path: Path, clock: list[int]
) -> None:
    path = tmp_path / "trust.json"
    follower(clock, 3, trust_file=path)
    clock[0] = TIMES[2] + DAY_MS + PERIOD_MS
    assert LightClient(GENESIS, trust_file=path).trusted["epoch"] == 3
    clock[0] += 1
    with pytest.raises(TrustExpired, match=r"30 days.*remove .*trust\.json"):
        LightClient(GENESIS, trust_file=path)
    assert LightClient(GENESIS, trust_file=path, trust_period_s=math.inf).trusted["epoch"] == 3
    assert LightClient(GENESIS).trusted["epoch"] == 0
    with pytest.raises(TrustExpired, match="30 days"):
        LightClient(GENESIS, trust_period_s=TRUST_PERIOD_S)
    for bad in (0, -1.0, math.nan):
        with pytest.raises(UsageError):
            LightClient(GENESIS, trust_period_s=bad)


def test_another_end_of_a_known_epoch_is_an_error_with_both_signed_headers(clock: list[int]) -> None:
    light = follower(clock, 5)
    [end] = [case for case in FILE["cases"] if case["name"].startswith("E:")]
    [other] = [step for step in end["steps"] if step.get("gives") == "two-ends"]
    clock[0] = other["now_ms"]
    with pytest.raises(ChainForked) as forked:
        light.follow(bytes.fromhex(other["follow"]))
    shown = LightClient(GENESIS).show_fork(forked.value.evidence)
    assert (shown["epoch"], [signer["index"] for signer in shown["signed_both"]]) == (0, [1, 2, 3])
    assert is_fork(io.BytesIO(forked.value.evidence))
    assert not is_fork(io.BytesIO(light.checkpoint()))
    fields = json.loads(forked.value.evidence)
    for change in ({"headers": fields["headers"][:1] * 2}, {"chain": "00" * 32}, {"facts": {}}, {"sources": []}):
        with pytest.raises(VerificationFailed):
            LightClient(GENESIS).show_fork(json.dumps(fields | change).encode())


def test_a_proof_may_be_as_old_as_the_reader_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    case = PROOFS["a block"]
    proof, genesis = bytes.fromhex(case["bytes"]), bytes.fromhex(case["genesis"])
    light = LightClient(genesis)
    facts = anyio.run(light.show, proof)
    monkeypatch.setattr("rustorium.client.light.now_ms", lambda: facts["claimed_by"]["time_ms"] + 60_000)
    file = ProofFile(facts["kind"], facts["chain"], facts, proof, protocol=_native.proof_version(proof)).to_bytes()
    assert light.show_file(file, max_age_s=60).facts == facts
    with pytest.raises(ProofTooOld, match="60 s old"):
        light.show_file(file, max_age_s=59)

    async def show() -> None:
        assert await light.show(proof, max_age_s=60) == facts
        with pytest.raises(ProofTooOld):
            await light.show(proof, max_age_s=59)

    anyio.run(show)
