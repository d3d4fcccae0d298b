"""The conformance vectors, checked twice: by an oracle that shares no code with the project, and by the extension from
Python.

Invariants: the expected values in a file never come from the code under test. Messages and proposals, which Python
never sees, are left to the tests of the crate `crypto`.
"""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from vector_oracle import (
    Reader,
    address,
    blake3,
    ed25519_public,
    ed25519_sign,
    header,
    lane_order,
    transaction,
    vote_body,
)

from rustorium import _native

FOLDER = Path(__file__).parent
FILES = ("addresses", "authorities", "consensus", "hashes", "ledger", "refused", "transactions", "transactions2")

NOTHING_INLINE = bytes(4)
"""Bytes that make a header into a block."""

Case = dict[str, Any]


def cases(file: str, *types: str) -> list[Any]:
    found: list[Case] = json.loads((FOLDER / f"{file}.json").read_text())["cases"]
    chosen = [case for case in found if not types or case["type"] in types]
    assert chosen, f"{file}.json has no {types}"
    return [pytest.param(case, id=f"{i}-{case.get('name', case.get('why', ''))}") for i, case in enumerate(chosen)]


def raw(case: Case, name: str = "bytes") -> bytes:
    return bytes.fromhex(case[name])


def domain(name: str) -> bytes:
    return f"rustorium/{name}/v1\0".encode()


# Known answers of the standards themselves, so that a wrong oracle is noticed.


@pytest.mark.parametrize(
    ("length", "digest"),
    [
        (0, "af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"),
        (1, "2d3adedff11b61f14c886e35afa036736dcd87a74d27b5c1510225d0f592e213"),
        (1023, "10108970eeda3eb932baac1428c7a2163b0e924c9a9e25b35bba72b28f70bd11"),
        (1024, "42214739f095a406f3fc83deb889744ac00df831c10daa55189b5d121c855af7"),
        (1025, "d00278ae47eb27b34faecf67b4fe263f82d5412916c1ffd97c8cb7fb814b8444"),
        (3072, "b98cb0ff3623be03326b373de6b9095218513e64f1ee2edd2525c7ad1e5cffd2"),
    ],
)
def test_oracle_knows_blake3(length: int, digest: str) -> None:
    assert blake3(bytes(i % 251 for i in range(length))).hex() == digest


def test_oracle_knows_ed25519() -> None:
    """RFC 8032, section 7.1, tests 1 and 2."""
    first = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    second = bytes.fromhex("4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb")
    assert ed25519_public(first).hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert ed25519_sign(second, b"\x72").hex() == (
        "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da"
        "085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aeeb00d291612bb0c00"
    )


# Transactions.


@pytest.mark.parametrize("case", cases("transactions"))
def test_a_transactions_fields_agree_with_its_bytes(case: Case) -> None:
    fields, body = transaction(raw(case))
    assert fields == case["value"]
    assert json.loads(_native.describe_transaction(raw(case))) == case["value"]
    assert domain("transaction") + body == raw(case, "signed")


@pytest.mark.parametrize("case", cases("transactions"))
def test_transaction_has_the_id_sender_and_signature_of_its_seed(case: Case) -> None:
    seed, signed, fields = raw(case, "seed"), raw(case, "signed"), case["value"]
    public_key = ed25519_public(seed)
    account = bytes([case["region"]]) + blake3(domain("account") + bytes([case["region"]]) + public_key)[1:]
    assert blake3(signed).hex() == case["id"]
    assert (fields["public_key"], fields["sender"]) == (public_key.hex(), address(account))
    assert fields["signature"] == ed25519_sign(seed, signed).hex()
    assert _native.public_key(seed) == public_key
    assert _native.account_id(case["region"], public_key) == fields["sender"]


def without_hint() -> list[Any]:
    """Returns the vectors that a client of this version can make: those without a shard hint."""
    return [one for one in cases("transactions") if one.values[0]["value"]["shard_hint"] is None]


@pytest.mark.parametrize("case", without_hint())
def test_a_transaction_rebuilt_from_its_fields_has_the_same_bytes(case: Case) -> None:
    fields = case["value"]
    place = fields["location"] and (fields["location"]["latitude_e7"] / 1e7, fields["location"]["longitude_e7"] / 1e7)
    built = _native.build_transaction(
        raw(case, "seed"),
        fields["chain"],
        case["region"],
        fields["nonce"],
        fields["expires_at_ms"],
        fields["work_limit"],
        json.dumps(fields["operations"]),
        place,
    )
    assert built == (case["id"], raw(case))


@pytest.mark.parametrize("case", cases("refused", "transaction"))
def test_bytes_that_are_no_transaction_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        transaction(raw(case))
    with pytest.raises(ValueError, match="not a canonical encoding"):
        _native.describe_transaction(raw(case))


@pytest.mark.parametrize("case", cases("refused", "header"))
def test_bytes_that_are_no_header_are_refused(case: Case) -> None:
    with pytest.raises(_native.NativeError, match="not a canonical encoding"):
        _native.block_digest(raw(case) + NOTHING_INLINE)


# Ids, hashes, addresses.


@pytest.mark.parametrize("case", cases("addresses"))
def test_address(case: Case) -> None:
    if "why" in case:
        with pytest.raises(ValueError, match="not an address"):
            _native.parse_address(case["text"])
        return
    assert address(raw(case)) == case["text"]
    assert _native.format_address(raw(case)) == case["text"]
    assert _native.parse_address(case["text"]) == raw(case)


def merkle(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, over leaves that are hashes."""
    if len(leaves) < 2:
        return leaves[0] if leaves else bytes(32)
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    return blake3(domain("node") + merkle(leaves[:half]) + merkle(leaves[half:]))


def merkle_path(leaves: list[bytes], index: int) -> list[bytes]:
    """Returns the path from the leaf up."""
    if len(leaves) < 2:
        return []
    half = 1 << ((len(leaves) - 1).bit_length() - 1)
    if index < half:
        return [*merkle_path(leaves[:half], index), merkle(leaves[half:])]
    return [*merkle_path(leaves[half:], index - half), merkle(leaves[:half])]


def account_bytes(text: str) -> bytes:
    """Returns the bytes of an address, read by the extension and compared with the oracle's text."""
    found = _native.parse_address(text)
    assert address(found) == text
    return found


def account_of(i: Case) -> str:
    key, region = bytes.fromhex(i["public_key"]), bytes([i["region"]])
    text = address(region + blake3(domain("account") + region + key)[1:])
    assert _native.account_id(i["region"], key) == text
    return text


def asset_of(i: Case) -> str:
    digest = blake3(domain("asset") + account_bytes(i["issuer"]) + i["symbol"].encode()).hex()
    assert _native.asset_id(i["issuer"], i["symbol"]) == digest
    return digest


def value_hash_of(i: Case) -> str:
    value = bytes.fromhex(i["value_hex"])
    assert _native.value_hash(value) == blake3(value)
    return blake3(value).hex()


def state_key_of(i: Case) -> str:
    name = blake3(domain("name") + bytes([i["kind"]]) + bytes.fromhex(i["name_hex"]))
    return (account_bytes(i["account"]) + name).hex()


def payload_root_of(i: Case) -> str:
    before, after = bytes.fromhex(i["parent_cursors"]), bytes.fromhex(i["cursors"])
    inline = b"".join(bytes.fromhex(one) for one in i["inline"])
    return blake3(domain("payload") + after[:4] + before[4:] + after[4:] + inline).hex()


def result_root_of(i: Case) -> str:
    parts = (bytes.fromhex(i[name]) for name in ("previous", "receipts", "diff", "outbox"))
    return blake3(domain("result") + b"".join(parts)).hex()


def merkle_of(i: Case) -> str:
    leaves = [bytes.fromhex(leaf) for leaf in i["leaves"]]
    if i["siblings"] is not None:
        assert [sibling.hex() for sibling in merkle_path(leaves, i["index"])] == i["siblings"]
    return merkle(leaves).hex()


HASHES: dict[str, Callable[[Case], str]] = {
    "account_id": account_of,
    "asset_id": asset_of,
    "value_hash": value_hash_of,
    "state_key": state_key_of,
    "payload_root": payload_root_of,
    "result_root": result_root_of,
    "merkle": merkle_of,
}


@pytest.mark.parametrize("case", cases("hashes"))
def test_hash(case: Case) -> None:
    assert HASHES[case["type"]](case["inputs"]) == case["output"]


# Genesis and receipts.


@pytest.mark.parametrize("case", cases("ledger", "genesis"))
def test_genesis(case: Case) -> None:
    described = _native.genesis_describe(raw(case))
    assert blake3(domain("genesis") + raw(case)).hex() == case["id"] == _native.genesis_hash(raw(case))
    assert _native.genesis_encode(described) == raw(case)
    r = Reader(raw(case))
    assert json.loads(described)["version"] == r.integer(2)
    assert json.loads(described)["name"].encode() == r.blob(64)
    assert json.loads(described)["time_ms"] == r.integer(8)


@pytest.mark.parametrize("case", cases("ledger", "receipt"))
def test_receipt_leaf(case: Case) -> None:
    assert blake3(domain("leaf") + raw(case)).hex() == case["id"]


@pytest.mark.parametrize("case", cases("ledger", "activation"))
def test_activation(case: Case) -> None:
    signed, signature = domain("activation") + raw(case)[:-64], raw(case)[-64:]
    assert signed == raw(case, "signed")
    assert signature == ed25519_sign(raw(case, "seed"), signed)
    shown = json.loads(_native.activation_show(raw(case)))
    r = Reader(raw(case))
    assert (shown["version"], shown["chain"]) == (r.integer(2), r.take(32).hex())
    assert (shown["epoch"], shown["committee"]) == (r.integer(8), r.take(32).hex())
    assert shown["operator_quorum"] == raw(case)[-65]
    signed_again = _native.sign_activation(raw(case, "seed"), json.dumps(shown))
    assert signed_again == raw(case)


CHANGES = ("nothing", "version", "parameters", "operators", "committee")
PARAMETERS = (
    *(("batch_bytes_max", 4), ("batch_transactions_max", 4), ("batch_work_max", 8)),
    *(("block_bytes_max", 4), ("block_transactions_max", 4), ("block_work_max", 8)),
    *(("transaction_writes_max", 4), ("lane_window_batches", 4), ("lane_window_bytes", 4)),
    *(("clock_ahead_ms_max", 8), ("claim_lag_max", 8), ("state_roots", 1), ("root_period_ms", 8)),
    *(("root_period_idle_ms", 8), ("root_lag_max", 8), ("expiry_ahead_ms_max", 8)),
    *(("quota_work_max", 8), ("quota_work_per_s", 8), ("epoch_ms", 8)),
)
"""Names and bytes of the parameters before the operators."""
CAPACITY = (
    *(("quota_history_max", 8), ("quota_history_per_s", 8), ("work_per_s", 8), ("history_per_s", 8)),
    *(("work_burst_ms", 8), ("history_burst_ms", 8), ("common_ppm", 4)),
)
"""Names and bytes of what only version 2 has, behind the least age of an epoch."""


def parameters(fields: dict[str, Any]) -> bytes:
    """Returns the canonical bytes of parameters of version 2."""
    operators = b"".join(bytes.fromhex(key) for key in fields["operators"])
    numbers = b"".join(int(fields[name]).to_bytes(size, "little") for name, size in PARAMETERS)
    governing = len(fields["operators"]).to_bytes(4, "little") + operators + bytes([fields["operator_quorum"]])
    age, capacity = fields["min_epoch_ms"].to_bytes(8, "little"), fields["capacity"]
    shares = b"".join(int(capacity[name]).to_bytes(size, "little") for name, size in CAPACITY)
    names = ("operators_delay_ms", "owners_recover_ms")
    delays = b"".join(int(fields[name]).to_bytes(8, "little") for name in names)
    keys = [bytes.fromhex(key) for key in fields.get("not_leading", ())]
    leaders = len(keys).to_bytes(4, "little") + b"".join(keys) if keys else b""
    return (258 if keys else 2).to_bytes(4, "little") + numbers + governing + age + shares + delays + leaders


def second_genesis() -> tuple[bytes, dict[str, Any]]:
    """Returns the bytes and the parameters of the genesis of version 2."""
    (found,) = (one.values[0] for one in cases("ledger", "genesis") if "version 2" in one.values[0]["name"])
    return raw(found), json.loads(_native.genesis_describe(raw(found)))["parameters"]


def test_parameters_of_version_2_begin_with_their_version() -> None:
    genesis, fields = second_genesis()
    assert parameters(fields) in genesis


@pytest.mark.parametrize("case", cases("ledger", "term"))
def test_term(case: Case) -> None:
    assert blake3(b"rustorium/term/v2\0" + raw(case)).hex() == case["id"]
    r = Reader(raw(case))
    assert (r.integer(8), r.integer(2)) == (1, 2)
    _, held, charter, operators, leaders = (r.take(32) for _ in range(5))
    assert held == blake3(domain("parameters") + parameters(second_genesis()[1]))
    # Shard 0 from the lowest account id on, without an end, never changed; no operators, of whom 0 decide.
    assert charter == blake3(b"rustorium/charter/v2\0" + bytes(4 + 32 + 1 + 4))
    assert operators == blake3(b"rustorium/operators/v2\0" + bytes(4 + 1))
    assert leaders == bytes(32)
    assert CHANGES[r.integer(1)] in case["name"]
    assert r.at == len(raw(case))


@pytest.mark.parametrize("case", cases("ledger", "transition"))
def test_a_transition_begins_with_its_boundarys_version_or_with_zero(case: Case) -> None:
    number, height, digest = _native.describe_change(raw(case))
    r = Reader(raw(case))
    version = r.integer(2)
    boundary = r.at if version == 0 else 0
    assert version == {"an": 1, "the": 0, "a": 2}[case["name"].split()[0]]
    assert raw(case)[boundary : boundary + 2] == (version or 1).to_bytes(2, "little")
    shown = _native.boundary_of(raw(case))
    header = raw(case)[boundary : boundary + 256]
    assert header in shown, "the boundary's header comes first"
    assert (number, height) == (0, 1)
    assert len(digest) == 64
    if version == 2:
        start = (1).to_bytes(8, "little") + (2).to_bytes(2, "little")
        places = [at for at in range(len(raw(case)) - 171) if raw(case)[at : at + 10] == start]
        named = [blake3(b"rustorium/term/v2\0" + raw(case)[at : at + 171]) for at in places]
        assert any(term in shown for term in named), "the boundary names the hash of the term behind it"


@pytest.mark.parametrize("case", cases("ledger", "receipt_proof"))
def test_receipt_proof_of_another_committee_is_refused(case: Case) -> None:
    """The vector has invented values: it fixes the encoding, and no genesis makes it valid."""
    for genesis in cases("ledger", "genesis"):
        with pytest.raises(_native.NativeError, match="the proof is refused"):
            _native.verify_receipt_proof(raw(genesis.values[0]), raw(case))


# The order of lanes.


@pytest.mark.parametrize("case", cases("order"))
def test_order_of_lanes(case: dict[str, Any]) -> None:
    assert lane_order(case) == case["lanes"]


# Batches, headers, votes, certificates.


@pytest.mark.parametrize("case", cases("consensus", "header"))
def test_header_digest(case: Case) -> None:
    assert blake3(domain("header") + raw(case)).hex() == case["id"]
    assert _native.block_digest(raw(case) + NOTHING_INLINE) == case["id"]


@pytest.mark.parametrize("case", cases("consensus", "batch"))
def test_batch_digest_and_signature(case: Case) -> None:
    body, signature = raw(case)[:-64], raw(case)[-64:]
    digest = blake3(domain("batch") + body)
    assert (digest.hex(), domain("batch-signature") + digest) == (case["id"], raw(case, "signed"))
    assert signature == ed25519_sign(raw(case, "seed"), raw(case, "signed"))


def vote(data: bytes) -> tuple[bytes, int, bytes]:
    """Body, signer, signature."""
    r = Reader(data)
    found = vote_body(r), r.integer(2), r.take(64)
    r.end()
    return found


def certificate(data: bytes) -> tuple[bytes, list[tuple[int, bytes]]]:
    """Body, and signer and signature of each vote."""
    r = Reader(data)
    found = vote_body(r), r.many(128, lambda: (r.integer(2), r.take(64)))
    r.end()
    return found


@pytest.mark.parametrize("case", cases("consensus", "vote"))
def test_vote_signature(case: Case) -> None:
    body, signer, signature = vote(raw(case))
    assert domain("vote") + body == raw(case, "signed")
    assert raw(case, "seed") == bytes([signer]) * 32
    assert signature == ed25519_sign(raw(case, "seed"), raw(case, "signed"))


@pytest.mark.parametrize("case", cases("consensus", "certificate"))
def test_certificate(case: Case) -> None:
    """A quorum of three of four: signers ascending, each signature as its validator makes it."""
    body, votes = certificate(raw(case))
    signers = [signer for signer, _ in votes]
    assert [ed25519_public(bytes([i]) * 32).hex() for i in range(4)] == case["keys"]
    holds = len(votes) >= 3 and signers == sorted(set(signers)) and max(signers) < len(case["keys"])
    holds = holds and all(sig == ed25519_sign(bytes([who]) * 32, domain("vote") + body) for who, sig in votes)
    assert holds is case["holds"]


@pytest.mark.parametrize("case", cases("refused", "vote", "certificate"))
def test_bytes_that_are_no_vote_or_certificate_are_refused(case: Case) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        {"vote": vote, "certificate": certificate}[case["type"]](raw(case))


@pytest.mark.parametrize("case", cases("consensus", "block"))
def test_block_is_a_header_and_inline_transactions(case: Case) -> None:
    r = Reader(raw(case))
    fields = header(r)
    encoded = raw(case)[: r.at]
    assert blake3(domain("header") + encoded).hex() == _native.block_digest(raw(case))
    inline = raw(case)[r.at + 4 :]
    assert r.length(256) == 1
    transaction(inline)
    before = bytes(40 * len(fields["cursors"]))
    after = b"".join(fields["cursors"])
    lanes = len(fields["cursors"]).to_bytes(4, "little")
    root = blake3(domain("payload") + lanes + before + after + inline)
    parent = encoded.replace(lanes + after, lanes + before) + NOTHING_INLINE
    assert (fields["payload_root"], _native.payload_root(raw(case), parent)) == (root, root.hex())


@pytest.mark.parametrize("file", FILES)
def test_every_file_says_how_it_was_made(file: str) -> None:
    content = json.loads((FOLDER / f"{file}.json").read_text())
    assert content["version"] == 1
    assert "just regenerate-vectors" in content["how"]
