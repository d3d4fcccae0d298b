"""Proof files from anyone: every change in a file is refused or has no effect."""

import io
import json
import tracemalloc
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, cast

import pytest
import trio
from hypothesis import given, settings
from hypothesis import strategies as st

import rustorium
from rustorium import _native
from rustorium.client import light
from rustorium.client.light import LightClient
from rustorium.client.prooffile import FORMAT, ProofFile, parse, read
from rustorium.errors import UsageError, VerificationFailed
from rustorium.types import Account, Balance, Subject, Value

VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
CASES: list[dict[str, Any]] = [case for case in json.loads(VECTORS.read_text())["cases"] if case["shows"] is not None]
READ = CASES[0]
GENESIS = bytes.fromhex(READ["genesis"])


def file_of(case: dict[str, Any]) -> bytes:
    raw = bytes.fromhex(case["bytes"])
    facts = json.loads(_native.Light.from_genesis(bytes.fromhex(case["genesis"])).check(raw, 0))
    return ProofFile(facts["kind"], facts["chain"], facts, raw, protocol=_native.proof_version(raw)).to_bytes()


FILE = file_of(READ)
SHOWN = LightClient(GENESIS).show_file(FILE)


def test_shown_facts_are_typed() -> None:
    assert SHOWN.state is not None
    kinds = [type(held) for held in SHOWN.state.items.values()]
    assert kinds == [Account, Balance, Value, Value]
    assert SHOWN.state.at.proven
    assert SHOWN.state.at.root == READ["shows"]["state_root"]
    values = {s.key: held.value for s, held in SHOWN.state.items.items() if isinstance(held, Value)}
    assert values == {b"\x03": b"\x03" * 9, b"absent": None}
    assert all(isinstance(subject, Subject) for subject in SHOWN.state.items)
    assert SHOWN.state.proof == FILE


def accepted(content: bytes) -> bool:
    """Checks that a changed file is refused or has the same meaning."""
    try:
        return LightClient(GENESIS).show_file(content).facts == SHOWN.facts
    except VerificationFailed as error:
        return error.exit_code == 4 and bool(error.message)


@given(st.integers(0, len(FILE) - 1), st.integers(0, 7))
@settings(max_examples=300, deadline=None)
def test_a_flipped_bit_never_changes_the_shown_facts(at: int, bit: int) -> None:
    changed = bytearray(FILE)
    changed[at] ^= 1 << bit
    assert accepted(bytes(changed))


@given(st.integers(0, len(FILE) - 1), st.binary(max_size=30))
@settings(max_examples=200, deadline=None)
def test_cut_or_inserted_bytes_never_change_the_shown_facts(at: int, inserted: bytes) -> None:
    assert accepted(FILE[:at])
    assert accepted(FILE[:at] + inserted + FILE[at:])


FIELDS = json.loads(FILE)
OTHER = json.loads(file_of(CASES[2]))


@given(st.sampled_from(sorted(FIELDS)), st.sampled_from(sorted(FIELDS)))
@settings(deadline=None)
def test_swapped_fields_never_change_the_shown_facts(one: str, two: str) -> None:
    assert accepted(json.dumps(FIELDS | {one: FIELDS[two], two: FIELDS[one]}).encode())
    assert accepted(json.dumps(FIELDS | {one: OTHER[one]}).encode())
    assert accepted(json.dumps({name: value for name, value in FIELDS.items() if name != one}).encode())


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"facts": FIELDS["facts"] | {"height": 99}}, "readable part"),
        ({"facts": FIELDS["facts"] | {"height": float(FIELDS["facts"]["height"])}}, "readable part"),
        ({"facts": FIELDS["facts"] | {"shard": False}}, "readable part"),
        ({"chain": "00" * 32}, "another chain"),
        ({"kind": "receipt"}, "another chain or kind"),
        ({"version": 2}, "version"),
        ({"version": True}, "version"),
        ({"format": "other"}, FORMAT),
        ({"more": 1}, "exactly the fields"),
        ({"epochs": ["00"]}, "epoch changes"),
        ({"epochs": "00"}, "epochs"),
        ({"proof": FIELDS["proof"].upper()}, "hex"),
        ({"proof": " " + FIELDS["proof"]}, "hex"),
        ({"proof": "zz"}, "hex"),
        ({"proof": ""}, "refused"),
    ],
)
def test_a_refusal_says_why(change: dict[str, Any], why: str) -> None:
    with pytest.raises(VerificationFailed, match=why):
        LightClient(GENESIS).show_file(json.dumps(FIELDS | change).encode())


def test_a_file_of_a_newer_version_says_so() -> None:
    with pytest.raises(VerificationFailed, match="use a newer one"):
        LightClient(GENESIS).show_file(json.dumps(FIELDS | {"version": 3}).encode())


def test_another_genesis_is_reported() -> None:
    [other] = [case for case in CASES if case["name"] == "a block of the third committee"]
    assert bytes.fromhex(other["genesis"]) == GENESIS, "the test chains share a genesis"
    described = json.loads(_native.genesis_describe(GENESIS))
    forged = _native.genesis_encode(json.dumps(described | {"name": "another"}))
    with pytest.raises(VerificationFailed, match=f"of chain {FIELDS['chain']}, .*of chain {LightClient(forged).chain}"):
        LightClient(forged).show_file(FILE)
    with_changes = json.dumps(FIELDS | {"epochs": ["00"], "facts": FIELDS["facts"] | {"epoch": 1}}).encode()
    with pytest.raises(VerificationFailed, match=f"of chain {FIELDS['chain']}"):
        LightClient(forged).show_file(with_changes)


def test_a_file_is_shown_by_its_path_and_other_things_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(FILE)
    for named in (path, str(path)):
        assert LightClient(GENESIS).show_file(named) == SHOWN
    wrong: Any = 7
    with pytest.raises(UsageError, match="content is bytes, a path or an open file, not int"):
        LightClient(GENESIS).show_file(wrong)
    assert rustorium.LightClient is LightClient


def test_a_file_of_another_kind_is_called_by_its_format(tmp_path: Path) -> None:
    path = tmp_path / "proof.json"
    path.write_bytes(FILE)
    with pytest.raises(VerificationFailed, match=rf"{path}: .*its format is '{FORMAT}', not 'rustorium-checkpoint'"):
        LightClient(path, checkpoint=True)
    with pytest.raises(VerificationFailed, match=f"it has no format, and a file of format '{FORMAT}' is needed"):
        LightClient(GENESIS).show_file(_native.genesis_describe(GENESIS).encode())


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(content: bytes) -> None:
    with pytest.raises(VerificationFailed):
        parse(content)


@pytest.mark.parametrize("content", [b"[" * 100_000, b'{"a":1,"a":1}', b"NaN", b"{}", b"null", b"1e999"])
def test_harmful_json_is_refused(content: bytes) -> None:
    with pytest.raises(VerificationFailed):
        parse(content)


@pytest.mark.parametrize("room", [1 << 20, 3000, 0])
def test_changes_are_fetched_once_and_kept_within_bounds(monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    monkeypatch.setattr(light, "FIRST_CHANGES_BYTES_MAX", room)
    [case] = [case for case in CASES if case["name"] == "a block of the third committee"]
    changes, raw = [bytes.fromhex(change) for change in case["epochs"]], bytes.fromhex(case["bytes"])
    asked: list[int] = []

    async def fetch(first: int) -> list[bytes]:
        asked.append(first)
        return changes[first:]

    async def make_files() -> list[bytes]:
        client = LightClient(bytes.fromhex(case["genesis"]), fetch=fetch)
        facts = await client.show(raw)
        return [await client.file(raw, facts) for _ in range(3)]

    files = trio.run(make_files)
    assert len(set(files)) == 1
    assert parse(files[0]).epochs == tuple(changes)
    assert LightClient(GENESIS).show_file(files[0]).facts["epoch"] == len(changes)
    # Changes that don't fit into the cache are requested with each file, and checked again.
    kept = sum(sum(map(len, changes[: number + 1])) <= room for number in range(len(changes)))
    assert asked == [0] + ([kept] * 3 if kept < len(changes) else [])


class Slowly(io.RawIOBase):
    """A file that is generated while it is read, and remembers nothing."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts

    def read(self, _size: int = -1, /) -> bytes:
        return next(self._parts, b"")


CHANGE = bytes(range(256)) * 10


def many_epochs(count: int) -> Iterator[bytes]:
    [before, after] = FILE.replace(b'"epochs": []', b'"epochs": [@]').split(b"@")
    yield before
    for number in range(count):
        # The file comes in pieces of any length.
        text = json.dumps(CHANGE.hex()).encode() + (b", " if number + 1 < count else b"")
        cut = number % len(text)
        yield from (part for part in (text[:cut], text[cut:]) if part)
    yield after


def test_a_file_of_any_number_of_epochs_is_read_as_a_stream() -> None:
    """Version 0.2.0 read no file of more than 4,096 epochs, so an owner who kept changing keys made all proofs of later
    epochs unreadable."""
    count, seen = 10_000, [0]

    def each(number: int, change: bytes, facts: object) -> None:
        assert (number, change, facts) == (seen[0], CHANGE, SHOWN.facts)
        seen[0] += 1

    tracemalloc.start()
    file, found = read(cast(BinaryIO, Slowly(many_epochs(count))), each)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (found, seen[0], file.proof.hex()) == (count, count, READ["bytes"])
    assert peak < 4_000_000 < count * len(CHANGE), f"{peak} bytes at once"
    # A client that starts at the genesis needs no change for a proof of epoch 0, and refuses a file that has some.
    with pytest.raises(VerificationFailed, match="epoch changes"):
        LightClient(GENESIS).show_file(cast(BinaryIO, Slowly(many_epochs(5000))))


@given(st.integers(1, len(FILE)))
def test_a_file_has_the_same_meaning_in_pieces_of_any_size(size: int) -> None:
    pieces = Slowly(FILE[at : at + size] for at in range(0, len(FILE), size))
    assert LightClient(GENESIS).show_file(cast(BinaryIO, pieces)).facts == SHOWN.facts
