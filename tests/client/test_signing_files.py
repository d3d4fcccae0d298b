"""Files in which several keys sign one transaction: what they hold, what is refused, and what is shown before."""

import errno
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rustorium import _native
from rustorium.client import Key, SigningFile, operations
from rustorium.client.signingfile import FILE_BYTES_MAX
from rustorium.client.words import words
from rustorium.errors import UsageError
from rustorium.types import Authority, Recovery

CHAIN, ASSET = "ab" * 32, "07" * 32
KEYS = tuple(sorted((Key(bytes([number]) * 32) for number in (1, 2, 3)), key=lambda key: key.public_key))
STRANGER = Key(b"\x09" * 32)
SENDER = KEYS[0].address
TWO_OF_THREE = Authority(2, [key.public_key for key in reversed(KEYS)])
EXPIRES_MS = 1_800_000_000_000
VECTORS = Path(__file__).parent.parent / "vectors" / "transactions2.json"
ACCEPTED = [case for case in json.loads(VECTORS.read_text())["cases"] if "why" not in case]
PUT = operations.put(SENDER, b"invoice/17", b"paid")


def made(*listed: Any, authority: Authority = TWO_OF_THREE, nonce: int = 4) -> SigningFile:
    return SigningFile.build(CHAIN, authority, SENDER, nonce, EXPIRES_MS, listed or [PUT])


def fields_of(file: SigningFile) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(file.to_bytes())
    return found


def test_two_of_three_sign_in_any_order() -> None:
    empty = made()
    assert (empty.signed_by, empty.missing, empty.open_keys) == ((), 2, TWO_OF_THREE.keys)
    one_way = empty.sign(KEYS[2]).sign(KEYS[0])
    other_way = empty.sign(KEYS[0]).combine(SigningFile.from_bytes(empty.sign(KEYS[2]).to_bytes()))
    assert one_way.to_bytes() == other_way.to_bytes()
    assert (one_way.signed_by, one_way.missing) == ((KEYS[0].public_key, KEYS[2].public_key), 0)
    done = one_way.transaction()
    assert (done.id, done.sender, done.nonce, done.expires_at_ms) == (empty.id, SENDER, 4, EXPIRES_MS)
    shown = json.loads(_native.describe_transaction(done.raw))
    assert [one["key"] for one in shown["signatures"]] == [0, 2]
    assert shown["authority"] == {"threshold": 2, "keys": list(TWO_OF_THREE.keys)}
    assert shown["operations"][0]["value"] == "paid"


def test_of_three_signatures_the_first_two_are_sent() -> None:
    """V17: exactly as many as the threshold."""
    file = made()
    for key in KEYS:
        file = file.sign(key)
    shown = json.loads(_native.describe_transaction(file.transaction().raw))
    assert [one["key"] for one in shown["signatures"]] == [0, 1]


def test_what_is_sent_is_what_the_vectors_accept() -> None:
    """Signing by each vector's seeds gives its bytes."""
    seen = 0
    for case in (case for case in ACCEPTED if "seeds" in case):
        raw, signed = bytes.fromhex(case["bytes"]), bytes.fromhex(case["signed"])
        head = len(b"rustorium/transaction/v2\0") + 32
        read = _native.UnsignedTransaction.read(case["chain"], signed[head:])
        facts = json.loads(read.describe())
        assert facts["id"] == case["id"]
        keys = facts["authority"]["keys"]
        places = sorted((keys.index(_native.public_key(s).hex()), s) for s in map(bytes.fromhex, case["seeds"]))
        signatures = [(place, read.sign(seed)) for place, seed in places]
        assert all(read.holds(place, signature) for place, signature in signatures)
        assert read.finish(signatures) == (case["id"], raw)
        seen += 1
    assert seen > 3


def test_too_few_signatures_are_named() -> None:
    file = made().sign(KEYS[1])
    with pytest.raises(UsageError, match="has 1 of the 2 signatures that it needs: have 1 of these keys") as refused:
        file.transaction()
    assert KEYS[0].public_key in refused.value.message
    assert KEYS[2].public_key in refused.value.message
    assert KEYS[1].public_key not in refused.value.message.partition("have 1 of these keys")[2]


def test_who_may_not_sign_is_told() -> None:
    file = made()
    with pytest.raises(UsageError, match="is none of the 3 keys that may sign"):
        file.sign(STRANGER)
    with pytest.raises(_native.NativeError, match="the signer at /nowhere doesn't answer"):
        file.sign(Key.remote(f"unix:/nowhere?key={KEYS[0].public_key}"))
    signed = file.sign(KEYS[0])
    assert signed.sign(KEYS[0]) is signed, "it has signed already, which is no error"


def test_files_of_two_transactions_are_not_combined() -> None:
    with pytest.raises(UsageError, match="are of two transactions"):
        made().sign(KEYS[0]).combine(made(nonce=5).sign(KEYS[1]))


def test_a_signature_is_for_one_chain() -> None:
    file = made().sign(KEYS[0])
    with pytest.raises(UsageError, match="doesn't hold"):
        SigningFile.from_bytes(json.dumps(fields_of(file) | {"chain": "cd" * 32, "words": []}).encode())


def test_a_key_alone_makes_the_transaction_of_its_account() -> None:
    alone = made(authority=Authority(1, [KEYS[0].public_key]), nonce=0).sign(KEYS[0])
    assert alone.transaction().id == alone.id


@pytest.mark.parametrize(
    ("threshold", "keys", "says"),
    [
        (4, KEYS, "threshold of 1 to 3"),
        (0, KEYS, "threshold of 1 to 3"),
        (300, KEYS, "can't be made"),
        (1, (), "1 to 8 keys"),
        (1, (KEYS[0], KEYS[0]), "none occurs twice"),
    ],
)
def test_what_is_no_authority_makes_no_file(threshold: int, keys: tuple[Key, ...], says: str) -> None:
    with pytest.raises(UsageError, match=says):
        made(authority=Authority(threshold, [key.public_key for key in keys]))


def test_a_change_of_the_committee_needs_proofs_of_possession() -> None:
    keys = [key.public_key for key in KEYS]
    with pytest.raises(UsageError, match="give `possession`"):
        made(operations.add_validator("node-9", keys[0], keys[1], keys[2], 0))


# ---- what is shown --------------------------------------------------------------------------------------------------


def test_every_part_is_said_in_words() -> None:
    other = STRANGER.address
    listed = [
        PUT,
        operations.put(other, b"\xff", b"\x00\x01"),
        operations.delete(SENDER, "old"),
        operations.transfer(other, ASSET, 5),
        operations.issue("COIN", SENDER, 7),
        operations.create_account(3, STRANGER.public_key, 100),
        operations.grant(other, ["a/", "b/"]),
        operations.grant(other, [""]),
        operations.revoke(other),
        operations.grant(other, ["a/"], rights=["put"], until_ms=EXPIRES_MS),
        operations.grant(other, [""], rights=["delete", "put"], until_ms=EXPIRES_MS + 1),
        operations.require_absent(SENDER, "lock"),
        operations.end_epoch(8),
    ]
    lines = made(*listed).words
    assert lines[0] == f"transaction {made(*listed).id} of chain {CHAIN}"
    assert lines[1].startswith(f"of account {SENDER}, with nonce 4, valid until 2027-01-15T08:00:00Z, for at most ")
    assert lines[2] == f"to be signed by 2 of these keys: {', '.join(TWO_OF_THREE.keys)}"
    assert lines[3:] == (
        'operation 0: set key "invoice/17" to "paid" in the account\'s namespace',
        f'operation 1: set key the bytes ff to "\\u0000\\u0001" in the namespace of {other}',
        'operation 2: remove key "old" from the account\'s namespace',
        f"operation 3: transfer 5 of asset {ASSET} to {other}",
        f'operation 4: create 7 of the account\'s asset "COIN" for {SENDER}',
        f"operation 5: make the account of key {STRANGER.public_key} in region 3, and give it 100 bytes of storage",
        f'operation 6: let {other} set and remove keys that begin with "a/", "b/" in the account\'s namespace, and no '
        "others",
        f"operation 7: let {other} set and remove every key in the account's namespace",
        f"operation 8: no longer let {other} write any key",
        f'operation 9: let {other} set keys that begin with "a/" in the account\'s namespace, and no others, until '
        "2027-01-15T08:00:00Z",
        f"operation 10: let {other} set and remove every key in the account's namespace, until 2027-01-15T08:00:00Z",
        'operation 11: fail unless key "lock" in the account\'s namespace has no value',
        "operation 12: end epoch: epoch = 8",
    )


def test_the_keys_of_a_new_account_are_all_shown() -> None:
    keys = [key.public_key for key in KEYS]
    several = {"type": "create_account", "region": 3, "authority": {"threshold": 2, "keys": keys}, "storage_bytes": 9}
    said = f"make the account of 2 of these keys: {', '.join(keys)}, in region 3, and give it 9 bytes of storage"
    assert words(0, several, SENDER) == said
    [change] = made(operations.set_authority(Authority(2, keys))).words[3:]
    said = f"let 2 of these keys: {', '.join(keys)}, act for the account from then on, and no other keys; then changes "
    said += "take effect at once, and no account recovers it"
    assert change == f"operation 0: {said}"


def test_no_content_leaves_its_line_or_its_quotes() -> None:
    nasty = 'x" in the namespace of nobody\n\x1b[2J\u202eevil\x07'
    [line] = made(operations.put(SENDER, nasty, nasty)).words[3:]
    assert line.isprintable()
    assert '\\"' in line
    assert "\\u001b" in line
    assert "\\u202e" in line


def test_long_content_is_named_by_length_and_hash() -> None:
    first, second = (made(operations.put(SENDER, "k", b"a" * 5_000 + end)).words[3] for end in (b"1", b"2"))
    assert first != second, "the hash tells them apart"
    assert "5001 bytes in all, BLAKE3 " in first
    assert _native.value_hash(b"a" * 5_000 + b"1").hex() in first
    assert len(first) < 500


def test_each_operation_has_words() -> None:
    said = 0
    for case in ACCEPTED:
        head = len(b"rustorium/transaction/v2\0") + 32
        body = bytes.fromhex(case["signed"])[head:]
        facts = json.loads(_native.UnsignedTransaction.read(case["chain"], body).describe())
        assert all(one["type"] != "later" for one in facts["operations"])
        content = {"format": "rustorium-signing", "version": 1, "chain": case["chain"], "body": body.hex()}
        raw = json.dumps(content | {"signatures": {}}).encode()
        said += len(facts["operations"])
        assert len(SigningFile.from_bytes(raw).words) >= 3 + len(facts["operations"])
    assert said > 20


def test_changes_of_keys_are_said_whole() -> None:
    """Who signs away an account reads to whom, when, and whether that can be cancelled."""
    authority = Authority(1, [KEYS[0].public_key])
    keys, other = f"1 of these keys: {KEYS[0].public_key},", KEYS[1].address
    lines = made(
        operations.set_authority(authority, delay_ms=90_000, recovery=Recovery(other, 7_200_000, final=True)),
        operations.set_authority(authority, recovery=Recovery(other, 2 * 86_400_000, final=False), void_grants=True),
        operations.cancel_authority(),
        operations.approve_authority(other, "0a" * 32),
        operations.recover(other, authority),
        operations.withdraw_recovery(other),
    ).words[3:]
    acts = f"let {keys} act for the account from then on, and no other keys"
    void = "all grants that"
    assert lines == (
        f"operation 0: {acts}; then changes wait 2 hours, and {other} may replace its keys after 2 hours, which its "
        "keys can't cancel and during which it is frozen",
        f"operation 1: {acts}; then changes wait 2 days, and {other} may replace its keys after 2 days, which its keys "
        f"can cancel; {void} the account made before become void with it",
        "operation 2: cancel the change of the account's keys that waits, or its recovery if that isn't final",
        f"operation 3: let the change of keys with the hash {'0a' * 32} that the keys of {other} began take effect at "
        "once",
        f"operation 4: as its recovery account, give the account {other} to {keys} after its recovery delay; {void} it "
        "made become void then",
        f"operation 5: withdraw the recovery of the account {other} that this account began",
    )


# ---- hostile files --------------------------------------------------------------------------------------------------

Change = Callable[[dict[str, Any]], Any]


def with_words(number: int, line: str) -> Change:
    return lambda fields: fields | {"words": [*fields["words"][:number], line, *fields["words"][number + 1 :]]}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (with_words(3, 'operation 0: set key "invoice/17" to "open"'), "words aren't those of the bytes"),
        (with_words(3, "\x1b[2Jnothing\u202e"), r"\\u001b\[2Jnothing\\u202e"),
        (lambda fields: fields | {"words": fields["words"][:3]}, "fewer or more lines"),
        (lambda fields: fields | {"words": fields["words"] + ["and that is all"]}, "fewer or more lines"),
        (lambda fields: fields | {"words": "a text"}, "hasn't exactly the fields"),
        (lambda fields: fields | {"note": "hello"}, "hasn't exactly the fields"),
        (lambda fields: fields | {"version": 2}, "another version"),
        (lambda fields: fields | {"version": True}, "another version"),
        (lambda fields: fields | {"format": "rustorium-proof"}, "no file to sign"),
        (lambda fields: fields | {"chain": "AB" * 32}, "chain is not written in lower-case hex"),
        (lambda fields: fields | {"chain": 7}, "hasn't exactly the fields"),
        (lambda fields: fields | {"body": fields["body"][:-2]}, "no transaction of version 2"),
        (lambda fields: fields | {"body": fields["body"] + "00"}, "no transaction of version 2"),
        (lambda fields: fields | {"body": " " + fields["body"]}, "body is not written in lower-case hex"),
        (lambda fields: fields | {"signatures": []}, "hasn't exactly the fields"),
        (lambda fields: fields | {"signatures": {KEYS[0].public_key: 5}}, "hasn't exactly the fields"),
        (lambda fields: fields | {"signatures": {KEYS[0].public_key: "00" * 64}}, "doesn't hold"),
        (lambda fields: fields | {"signatures": {KEYS[0].public_key: "00"}}, "doesn't hold"),
        (lambda fields: fields | {"signatures": {STRANGER.public_key: "00" * 64}}, "is none of its keys"),
        (
            lambda fields: fields | {"signatures": {KEYS[1].public_key: fields["signatures"][KEYS[0].public_key]}},
            "doesn't hold",
        ),
        (lambda fields: [fields], "no file to sign"),
    ],
)
def test_a_changed_file_is_refused_in_one_sentence(change: Change, says: str) -> None:
    file = made().sign(KEYS[0])
    with pytest.raises(UsageError, match=says) as refused:
        SigningFile.from_bytes(json.dumps(change(fields_of(file))).encode())
    assert refused.value.message.isprintable()
    assert len(refused.value.message) < 600


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b'{"format": "rustorium-signing", "format": "rustorium-signing"}', "a field is there twice"),
        (b'{"format": NaN}', "NaN is no number"),
        (b"[" * 100_000, "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"9" * 5_000, "not JSON"),
        (b" " * (FILE_BYTES_MAX + 1), "has more than"),
        (b"", "not JSON"),
    ],
)
def test_what_is_no_such_file_is_refused_in_one_sentence(content: bytes, says: str) -> None:
    with pytest.raises(UsageError, match=says):
        SigningFile.from_bytes(content)


def test_words_may_be_left_out() -> None:
    fields = fields_of(made())
    del fields["words"]
    assert SigningFile.from_bytes(json.dumps(fields).encode()).words == made().words


def test_the_largest_transaction_fits_into_a_file() -> None:
    value = bytes(range(256)) * 240
    file = made(*(operations.put(SENDER, b"%d" % number, value) for number in range(4)))
    for key in KEYS:
        file = file.sign(key)
    assert SigningFile.from_bytes(file.to_bytes()).signed_by == TWO_OF_THREE.keys
    with pytest.raises(UsageError, match=r"has \d+ bytes and may have 262144"):
        made(*(operations.put(SENDER, b"%d" % number, value) for number in range(5)))


def test_a_file_is_replaced_whole_or_not_at_all(tmp_path: Path) -> None:
    path = tmp_path / "t.json"
    made().replace(path)
    before = path.read_bytes()
    made().sign(KEYS[0]).replace(path)
    assert SigningFile.read(path).signed_by == (KEYS[0].public_key,)
    folder = tmp_path / "missing"
    with pytest.raises(UsageError, match="can't be written"):
        made().replace(folder / "t.json")
    assert [one.name for one in tmp_path.iterdir()] == ["t.json"]
    assert before != path.read_bytes()
    with pytest.raises(UsageError, match="can't be read"):
        SigningFile.read(folder / "t.json")


def test_a_full_disk_leaves_the_file_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "t.json"
    made().replace(path)
    before = path.read_bytes()

    def full(_file: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(UsageError, match="No space left on device\\), and is as it was"):
        made().sign(KEYS[0]).replace(path)
    assert path.read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["t.json"]
