"""Parts of the client that need no net."""

import importlib
import inspect
import json
from contextlib import suppress
from pathlib import Path

import httpx2
import pytest
import trio
from hypothesis import given
from hypothesis import strategies as st

from rustorium.client import AsyncClient, Client, Key, amount_of, bytes_to_text, text_to_bytes
from rustorium.client.endpoints import Endpoints
from rustorium.client.keys import describe
from rustorium.client.nonces import Nonces
from rustorium.client.wire import frame, groups, node_status, parse, receipt, submitted, transaction_status
from rustorium.errors import BadResponse, GenesisNeeded, KeyFileError, ProofRefused, Refused, UsageError
from rustorium.types import At, Block, SignedTransaction


def transaction(nonce: int, expires_at_ms: int = 100_000, size: int = 10) -> SignedTransaction:
    return SignedTransaction(f"{nonce:064x}", b"x" * size, "rs1", nonce, expires_at_ms)


def test_both_clients_have_the_same_methods() -> None:
    def methods(of: type) -> dict[str, list[str]]:
        found = inspect.getmembers(of, inspect.isroutine)
        return {name: list(inspect.signature(m).parameters) for name, m in found if not name.startswith("_")}

    blocking, asynchronous = methods(Client), methods(AsyncClient)
    assert blocking.pop("close") == asynchronous.pop("aclose")
    assert blocking == asynchronous


def test_a_token_is_sent_with_every_request_and_its_refusal_is_an_error() -> None:
    token, seen = "rsk_0123456789abcdef_" + "A" * 43, list[tuple[str, str | None]]()

    def handle(request: httpx2.Request) -> httpx2.Response:
        seen.append((request.url.path, request.headers.get("authorization")))
        problem = {"code": "token-expired", "detail": "That token has expired; ask for another one."}
        return httpx2.Response(401, json=problem)

    async def main(token: str | None) -> None:
        client = AsyncClient("https://n0", token=token, transport=httpx2.MockTransport(handle))
        async with client:
            signed = SignedTransaction("0" * 64, b"x", "rs1", 0, 2**40)
            for work in (
                client.status,
                lambda: client.submit_transaction(signed),
                client.subscribe_transactions(after="0.0").__anext__,
            ):
                with pytest.raises(Refused, match="that token has expired; ask for another one") as refused:
                    await work()
                assert refused.value.code == "token-expired"

    trio.run(main, token)
    trio.run(main, None)
    paths = ["/v1/status", "/v1/transactions", "/v1/events"]
    assert seen == [(path, shown) for shown in (f"Bearer {token}", None) for path in paths]
    for wrong in ("", "Bearer x", "rsk_a b", "rsk_\n", "rsk_\u00e9"):
        with pytest.raises(UsageError, match="this is not a token"):
            AsyncClient("https://n0", token=wrong)


def test_nonces_come_in_order_and_come_back_after_a_refusal() -> None:
    nonces = Nonces()
    assert nonces.stale
    assert nonces.synced(7, 0) == []
    assert [nonces.take() for _ in range(3)] == [7, 8, 9]
    for nonce in (7, 8, 9):
        nonces.sent(transaction(nonce))
    nonces.refused(8)
    assert nonces.stale
    assert nonces.synced(7, 0) == []
    assert [nonces.take() for _ in range(2)] == [8, 10]


def test_lost_transactions_are_sent_again_until_they_expire() -> None:
    nonces = Nonces()
    nonces.synced(0, 0)
    first = transaction(nonces.take(), expires_at_ms=50_000)
    nonces.sent(first)
    nonces.lost(0)
    assert nonces.synced(0, 10_000) == [first]
    assert nonces.take() == 1
    nonces.unused(1)
    assert nonces.synced(0, 54_000) == [first], "header time may be behind ours"
    assert nonces.synced(0, 56_000) == []
    assert nonces.take() == 0


def test_the_ledgers_nonce_settles_lower_ones() -> None:
    nonces = Nonces()
    nonces.synced(0, 0)
    for _ in range(5):
        nonces.sent(transaction(nonces.take()))
    nonces.lost(1)
    assert nonces.synced(4, 0) == []
    assert nonces.take() == 5


@given(st.lists(st.sampled_from(["take", "settle", "refuse", "lose", "unused"]), max_size=60))
def test_no_nonce_is_in_use_twice(steps: list[str]) -> None:
    nonces = Nonces()
    open_: set[int] = set()
    ledger = 0
    for step in steps:
        if nonces.stale:
            nonces.synced(ledger, 0)
        if step == "take" or not open_:
            nonce = nonces.take()
            assert nonce not in open_
            assert nonce >= ledger
            open_.add(nonce)
            nonces.sent(transaction(nonce))
        elif step == "settle" and min(open_) == ledger:
            open_.discard(ledger)
            nonces.settled(ledger)
            ledger += 1
        elif step == "refuse":
            nonces.refused(max(open_))
            open_.discard(max(open_))
        elif step == "lose":
            nonces.lost(max(open_))


def test_groups_are_bounded_in_number_and_bytes() -> None:
    by_number = groups([transaction(nonce) for nonce in range(2_001)])
    assert [len(group) for group in by_number] == [1_000, 1_000, 1]
    by_bytes = groups([transaction(nonce, size=200_000) for nonce in range(11)])
    assert [len(group) for group in by_bytes] == [5, 5, 1]
    assert all(len(frame(t.raw for t in group)) <= 1024 * 1024 for group in by_bytes)
    assert frame([b"ab", b""]) == b"\x02\0\0\0\x02\0\0\0ab\0\0\0\0"


def test_endpoints_that_failed_come_last() -> None:
    endpoints = Endpoints(dict.fromkeys(["http://a/", "http://b", "http://a"]))
    a, b = endpoints.all
    endpoints.answered(a, 0.3)
    endpoints.answered(b, 0.1)
    assert endpoints.order(0.0) == [b, a]
    endpoints.failed(b, 0.0)
    assert endpoints.order(0.1) == [a, b]
    assert endpoints.order(0.4) == [a, b], "until it has answered again"
    endpoints.answered(b, 0.1)
    assert endpoints.order(0.4) == [b, a]
    for _ in range(20):
        endpoints.failed(b, 0.0)
    assert 5.0 <= b.down_until <= 15.0, "the longest pause, half as long to half as long again"
    endpoints.answered(b, None)
    assert endpoints.order(0.1) == [b, a]


@given(st.recursive(st.none() | st.booleans() | st.integers() | st.text(max_size=5), lambda inner: (
    st.lists(inner, max_size=3)
    | st.dictionaries(st.sampled_from(["id", "status", "receipt", "outcome", "at", "height", "code", "message"]), inner)
), max_leaves=8))  # fmt: skip
def test_any_malformed_answer_is_a_bad_response(answer: object) -> None:
    for reader in (submitted, receipt, transaction_status, node_status):
        with suppress(BadResponse):
            parse(reader, answer)


def test_text() -> None:
    assert text_to_bytes("é") == "é".encode()
    assert text_to_bytes("00ff", "hex") == b"\x00\xff"
    assert text_to_bytes("AP8=", "base64") == b"\x00\xff"
    assert bytes_to_text(b"\x00\xff", "hex") == "00ff"
    assert amount_of("18") == 18
    for bad in ("0", "-1", "1.5", "1e3", "٣", "", str(2**128)):
        with pytest.raises(UsageError, match="not an amount"):
            amount_of(bad)
    for text, encoding in (("xyz", "hex"), ("?", "base64"), ("a", "utf7")):
        with pytest.raises(UsageError):
            text_to_bytes(text, encoding)
    with pytest.raises(UsageError, match="--encoding hex"):
        bytes_to_text(b"\xff")


def test_a_key_is_sealed_and_opened_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RUSTORIUM_PASSPHRASE_FILE", raising=False)
    passphrase = tmp_path / "passphrase"
    passphrase.touch(0o600)
    passphrase.write_text("correct horse\n")
    key = Key.generate(3)
    path = tmp_path / "accounts" / "one.key"
    key.save(path, b"correct horse")
    with pytest.raises(KeyFileError, match=r"one\.key") as exists:
        key.save(path, b"correct horse")
    assert exists.value.code == "key-exists"
    assert path.stat().st_mode & 0o777 == 0o600
    assert key.seed.hex() not in path.read_text()
    assert key.seed.hex() not in repr(key)
    opened = Key.open(path)
    assert (opened.seed, opened.region, opened.address) == (key.seed, 3, key.address)
    row = describe(path, None, {})
    assert row == {"kind": "account", "public_key": key.public_key, "region": 3, "address": key.address}
    passphrase.write_text("battery staple\n")
    with pytest.raises(KeyFileError, match=r"the passphrase for .*one\.key is wrong, as .*passphrase has it") as wrong:
        Key.open(path)
    assert wrong.value.code == "wrong-passphrase"
    passphrase.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        Key.open(path)
    with pytest.raises(KeyFileError, match="there is no key file"):
        Key.open(tmp_path / "two.key")
    (tmp_path / "junk.key").write_text(json.dumps([1]))
    with pytest.raises(KeyFileError, match="not a Rustorium key file"):
        Key.open(tmp_path / "junk.key")


def test_without_a_genesis_nothing_is_proven() -> None:
    async def main() -> None:
        client = AsyncClient("http://127.0.0.1:1")
        with pytest.raises(GenesisNeeded):
            await client.verify_proof(b"")
        with pytest.raises(GenesisNeeded):
            await client.write_with_proof([])
        await client.aclose()

    trio.run(main)


def test_a_block_without_certificate_is_refused() -> None:
    block = Block(1, "00", 1, "00", 0, 1, 0, 0, At(1, "00").root)

    async def main() -> None:
        client = AsyncClient("http://127.0.0.1:1")
        with pytest.raises(ProofRefused, match="without its certificate"):
            await client.validate_block(block)
        await client.aclose()

    trio.run(main)


def test_the_blocking_client_runs_on_its_own_thread() -> None:
    with Client("http://127.0.0.1:1", timeout_s=0.2) as client, pytest.raises(GenesisNeeded):
        client.verify_proof(b"")
    client.close()


@pytest.mark.parametrize(
    ("former", "present", "name"),
    [
        ("rustorium.rollup", "rustorium.zk.rollup", "Prover"),
        ("rustorium.ceremony", "rustorium.zk.ceremony", "verify"),
        ("rustorium.client.zk", "rustorium.zk.groth16", "verify"),
        ("rustorium.client.blockproofs", "rustorium.zk.blockproofs", "Verifier"),
        ("rustorium.net", "rustorium.access.netfile", "read_net"),
    ],
)
def test_documented_names_stay_importable(former: str, present: str, name: str) -> None:
    one, other = (getattr(importlib.import_module(module), name) for module in (former, present))
    assert one is other
