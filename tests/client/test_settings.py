"""Who acts for an account whose keys can change, by its record, its settings and the time; what a key signs for it."""

import re
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_signing_checks import KEY, NET, OTHER, PUT, run

from rustorium.client import AsyncClient, Key, SigningFile, operations, wire
from rustorium.client.settings import acting, settings_of, settings_words, span
from rustorium.errors import BadResponse, UsageError
from rustorium.sim.net import START_MS
from rustorium.types import Account, At, Authority, ProvenState, Subject

HOUR_MS = 3_600_000
DUE_MS = START_MS + HOUR_MS
FIRST, NEXT = Authority(1, [KEY.public_key]), Authority(1, [OTHER.public_key])


def keys(authority: Authority) -> dict[str, Any]:
    return {"threshold": authority.threshold, "keys": list(authority.keys)}


def custody(*, by: str = "keys", final: bool = True, waits: bool = True) -> dict[str, Any]:
    """An account's settings, as the API says them."""
    recovery = {"account": OTHER.address, "delay_ms": HOUR_MS, "final": final}
    pending = {"by": by, "authority": keys(NEXT), "delay_ms": 0, "recovery": None, "void_grants": True}
    pending |= {"due_ms": DUE_MS, "change": "0a" * 32}
    held = {"authority": keys(FIRST), "delay_ms": 5, "recovery": recovery}
    return held | {"pending": pending if waits else None}


def record() -> Account:
    at = At(3, "ab" * 32, 0, proven=True)
    return Account(KEY.address, 7, KEY.public_key, 0, 0, at, custody="pending")


@given(before_ms=st.integers(1, 2**60), by=st.sampled_from(["keys", "recovery"]), final=st.booleans())
def test_a_change_acts_from_its_time_on(before_ms: int, by: str, final: bool) -> None:
    held = settings_of(KEY.address, custody(by=by, final=final))
    now = acting(record(), held, DUE_MS - before_ms)
    assert (now.authority, now.delay_ms, now.pending is not None) == (FIRST, 5, True)
    assert now.frozen_until_ms == (DUE_MS if by == "recovery" and final else None)
    for after_ms in (0, before_ms):
        then = acting(record(), held, DUE_MS + after_ms)
        assert (then.authority, then.delay_ms, then.recovery, then.pending) == (NEXT, 0, None, None)
        assert then.frozen_until_ms is None


def test_without_settings_the_record_says_who_acts() -> None:
    now = acting(record(), None, DUE_MS)
    assert (now.authority, now.authority_hash, now.delay_ms, now.recovery) == (FIRST, None, 0, None)
    several = replace(record(), public_key=None, authority_hash="cd" * 32)
    now = acting(several, None, DUE_MS)
    assert (now.authority, now.authority_hash) == (None, "cd" * 32)


def test_settings_are_said_in_words() -> None:
    assert settings_words("rs1a", None) == "the account rs1a has neither a delay nor a recovery account"
    said = settings_words("rs1a", custody(by="recovery"))
    assert "its keys can't cancel and during which it is frozen" in said
    assert "from 2027-01-15T09:00:00Z on, by its recovery account" in said
    assert [span(ms) for ms in (0, 1, 1_500, 60_000, 7_200_000, 2 * 86_400_000)] == [
        "no time",
        "1 ms",
        "1500 ms",
        "1 minute",
        "2 hours",
        "2 days",
    ]


@pytest.mark.parametrize("change", [{"by": "nobody"}, {"due_ms": None}, {"authority": {}}])
def test_other_answers_are_no_settings(change: dict[str, Any]) -> None:
    held = custody()
    held["pending"] |= change
    with pytest.raises((KeyError, TypeError, ValueError)):
        settings_of(KEY.address, held)


def proving(monkeypatch: pytest.MonkeyPatch, held: dict[str, Any], time_ms: int) -> None:
    """The state has these settings of the account."""
    prove = AsyncClient.proven

    async def proven(client: AsyncClient, subjects: Any, **named: Any) -> ProvenState:
        state = await prove(client, [Subject(KEY.address)], **named)
        found = state.items[Subject(KEY.address)]
        assert isinstance(found, Account)
        items = {Subject(KEY.address): replace(found, custody="pending")}
        if len(subjects) == 2:
            items[Subject(KEY.address, authority=True)] = settings_of(KEY.address, held)  # type: ignore[assignment]
        return replace(state, items=items, claim=replace(state.claim, time_ms=time_ms))

    monkeypatch.setattr(AsyncClient, "proven", proven)


def signing(authority: Authority, key: Key) -> Callable[[AsyncClient], Awaitable[SigningFile]]:
    """A client that signs a file of the account's, by this authority, with a key of it."""
    file = SigningFile.build(NET.chain, authority, KEY.address, 0, DUE_MS + HOUR_MS, [PUT])
    return lambda client: client.sign_file(file, key=key)


def test_a_key_signs_for_who_acts_now(monkeypatch: pytest.MonkeyPatch) -> None:
    for time_ms, acts, other in ((DUE_MS - 1, (FIRST, KEY), (NEXT, OTHER)), (DUE_MS, (NEXT, OTHER), (FIRST, KEY))):
        proving(monkeypatch, custody(), time_ms)
        assert run(signing(*acts)).missing == 0
        with pytest.raises(UsageError, match="its signatures would not count"):
            run(signing(*other))


def test_nothing_is_signed_for_a_frozen_account(monkeypatch: pytest.MonkeyPatch) -> None:
    proving(monkeypatch, custody(by="recovery"), DUE_MS - 1)
    said = re.escape(f"account {KEY.address} is frozen until 2027-01-15T09:00:00Z")
    for acts in ((FIRST, KEY), (NEXT, OTHER)):
        with pytest.raises(UsageError, match=said):
            run(signing(*acts))
    with pytest.raises(UsageError, match=said):
        run(lambda client: client.prepare([operations.cancel_authority()], account=KEY.address))


def test_an_answer_of_a_node_is_parsed_whole() -> None:
    assert wire.parse(wire.settings, {"account": KEY.address, "custody": None}) is None
    assert wire.parse(wire.settings, {"account": KEY.address, "custody": custody()}) is not None
    with pytest.raises(BadResponse):
        wire.parse(wire.settings, {"account": KEY.address, "custody": custody() | {"delay_ms": "soon"}})
