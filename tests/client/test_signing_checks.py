"""What a client compares with the proven state before a key signs a file, and before it is sent.

The state is that of a genesis: its nodes have executed nothing. Time is trio's mock clock.
"""

import json
import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet, ok, problem

from rustorium import _native
from rustorium.client import AsyncClient, Key, SigningFile, account_of, operations
from rustorium.errors import Absent, GenesisNeeded, NotFound, UsageError
from rustorium.sim.net import EXPIRES_MS, REGION, START_MS, Net, make_net
from rustorium.types import Account, Authority, ProvenState

NET = make_net(4, 4, 2)
KEY = Key(NET.accounts[0].seed, REGION)
OTHER = Key(NET.accounts[1].seed, REGION)
ALONE = Authority(1, [KEY.public_key])
PUT = operations.put(KEY.address, "k", "v")


def transport_of(net: Net) -> httpx2.MockTransport:
    """Nodes of a chain without a block."""

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/status":
            place = {"shard": 0, "height": 0, "root": "ab" * 32}
            return ok(FakeNet().status() | {"chain": net.chain, "height": 0, "at": place})
        return problem(503, "not-proven-yet", "Later.", retry_after_ms=50)

    return httpx2.MockTransport(answer)


def run(body: Callable[[AsyncClient], Awaitable[Any]], net: Net = NET, *, genesis: bool = True) -> Any:
    async def main() -> Any:
        anchor = net.genesis if genesis else None
        async with AsyncClient(["http://n0", "http://n1"], genesis=anchor, transport=transport_of(net)) as client:
            return await body(client)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def made(authority: Authority = ALONE, *, chain: str = NET.chain, sender: str = KEY.address) -> SigningFile:
    return SigningFile.build(chain, authority, sender, 0, EXPIRES_MS, [PUT])


def refused(file: SigningFile, says: str, kind: type[Exception] = UsageError) -> None:
    with pytest.raises(kind, match=re.escape(says)):
        run(lambda client: client.sign_file(file, key=KEY))


def test_the_accounts_key_signs_what_is_prepared() -> None:
    async def body(client: AsyncClient) -> SigningFile:
        file = await client.prepare([PUT], account=KEY.address, valid_s=600)
        assert (file.chain, file.sender, file.nonce, file.authority) == (NET.chain, KEY.address, 0, ALONE)
        return await client.sign_file(file, key=KEY)

    assert run(body).missing == 0


def test_a_clock_behind_the_chain_makes_no_expired_file() -> None:
    """The genesis is of a later time than the test's clock, or of an earlier one: the later of both counts."""
    file = run(lambda client: client.prepare([PUT], account=KEY.address, valid_s=600))
    assert file.expires_at_ms >= START_MS + 600_000


def test_further_files_have_further_nonces() -> None:
    async def body(client: AsyncClient) -> SigningFile:
        return await client.prepare([PUT], account=KEY.address, authority=ALONE, nonce=3)

    assert run(body).nonce == 3


@pytest.mark.parametrize(
    "authority",
    [Authority(1, [OTHER.public_key]), Authority(1, [KEY.public_key, OTHER.public_key]),
     Authority(2, [KEY.public_key, OTHER.public_key])],
)  # fmt: skip
def test_keys_that_are_not_the_accounts_sign_nothing(authority: Authority) -> None:
    refused(made(authority), f"the authority of account {KEY.address} is 1 of 1 keys: {KEY.public_key}, at height 0")
    with pytest.raises(UsageError, match="its signatures would not count"):
        run(lambda client: client.prepare([PUT], account=KEY.address, authority=authority))


def test_a_file_of_another_chain_is_not_signed_or_sent() -> None:
    file = made(chain="cd" * 32)
    refused(file, f"the file is for chain {'cd' * 32}, and the genesis is of chain {NET.chain}")
    with pytest.raises(UsageError, match="the file is for chain"):
        run(lambda client: client.send_file(file.sign(KEY)))


def test_nothing_is_signed_on_a_nodes_word() -> None:
    with pytest.raises(GenesisNeeded):
        run(lambda client: client.sign_file(made(), key=KEY), genesis=False)
    with pytest.raises(GenesisNeeded):
        run(lambda client: client.prepare([PUT], account=KEY.address), genesis=False)


def test_an_account_that_is_not_there_has_no_keys() -> None:
    stranger = Key(b"\x09" * 32)
    with pytest.raises((NotFound, Absent), match="there is no account"):
        run(lambda client: client.prepare([PUT], account=stranger.address))


def test_chains_of_version_1_have_no_such_transactions() -> None:
    old = make_net(4, 4, 2, version=1)
    key = Key(old.accounts[0].seed, REGION)
    with pytest.raises(UsageError, match="protocol version 1"):
        run(lambda client: client.prepare([PUT], account=key.address), old)


@pytest.mark.parametrize("seconds", [0, 86_401, -1, float("nan")])
def test_a_file_is_valid_for_a_day_at_most(seconds: float) -> None:
    with pytest.raises(UsageError, match="valid_s is"):
        run(lambda client: client.prepare([PUT], account=KEY.address, valid_s=seconds))


def test_a_used_nonce_and_a_passed_time_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """The state shows a later nonce, and then a later time."""
    prove = AsyncClient.proven

    def later(nonce: int, ms: int) -> None:
        async def proven(client: AsyncClient, subjects: Any, **named: Any) -> ProvenState:
            state = await prove(client, subjects, **named)
            items = {s: replace(c, nonce=nonce) if isinstance(c, Account) else c for s, c in state.items.items()}
            return replace(state, items=items, claim=replace(state.claim, time_ms=ms))

        monkeypatch.setattr(AsyncClient, "proven", proven)

    later(1, START_MS)
    refused(made(), f"the nonce 0 of account {KEY.address} is used already")
    later(0, EXPIRES_MS)
    refused(made(), "the transaction has expired")
    later(0, EXPIRES_MS - 1)
    assert run(lambda client: client.sign_file(made(), key=KEY)).missing == 0


def test_the_keys_of_an_account_of_several_are_compared_by_their_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    both = Authority(2, [KEY.public_key, OTHER.public_key])
    _, digest = _native.authority_names(REGION, 2, both.keys)
    prove = AsyncClient.proven

    async def proven(client: AsyncClient, subjects: Any, **named: Any) -> ProvenState:
        state = await prove(client, subjects, **named)
        several = {
            subject: replace(found, public_key=None, authority_hash=digest)
            for subject, found in state.items.items()
            if isinstance(found, Account)
        }
        return replace(state, items=several)

    monkeypatch.setattr(AsyncClient, "proven", proven)
    assert run(lambda client: client.sign_file(made(both), key=KEY)).missing == 1
    refused(made(), f"the authority of account {KEY.address} is the one of hash {digest}")
    refused(made(Authority(1, both.keys)), "its signatures would not count")
    with pytest.raises(UsageError, match="has several keys"):
        run(lambda client: client.prepare([PUT], account=KEY.address))
    assert run(lambda client: client.prepare([PUT], account=KEY.address, authority=both)).missing == 2


def test_a_file_without_enough_signatures_is_not_sent() -> None:
    with pytest.raises(UsageError, match="has 0 of the 1 signatures"):
        run(lambda client: client.send_file(made()))


def test_an_authority_is_made_of_keys_and_read_from_its_file() -> None:
    made = Authority(2, [KEY, OTHER.public_key.upper()])
    assert made == Authority(2, [OTHER.public_key, KEY.public_key])
    document = json.dumps({"threshold": 2, "keys": list(made.keys), "region": 0, "address": "rs1q"})
    assert Authority.from_json(document) == made
    assert account_of(made, REGION) == _native.authority_names(REGION, 2, list(made.keys))[0]
    assert account_of(ALONE, REGION) == KEY.address
    for text in ("", "[]", "{}", '{"threshold": "2", "keys": []}'):
        with pytest.raises(UsageError, match=r"authority new|threshold is a whole number"):
            Authority.from_json(text)
    for wrong in (Authority(3, made.keys), Authority(1, ["aa"]), Authority(1, [])):
        with pytest.raises(UsageError, match="is no authority"):
            account_of(wrong)
