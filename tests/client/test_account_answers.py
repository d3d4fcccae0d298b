"""An account's record as nodes and proofs show it: with one key, or with the hash of an authority of several."""

from typing import Any

import pytest

from rustorium.client import wire
from rustorium.client.light import _subject_content
from rustorium.types import Account, At, Subject

AT = {"shard": 0, "height": 3, "root": "ab"}
NUMBERS = {"nonce": 1, "quota_left": 2, "storage_bytes_left": 3}
ONE, MANY = {"public_key": "11" * 32}, {"authority_hash": "22" * 32}


@pytest.mark.parametrize("signer", [ONE, MANY])
def test_account_has_its_key_or_the_hash_of_its_authority(signer: dict[str, Any]) -> None:
    answered = wire.account({"account": "rs1", "at": AT} | NUMBERS | signer)
    subject, proven = _subject_content(
        {"type": "account", "account": "rs1", "record": NUMBERS | signer}, At(3, "ab", 0)
    )
    assert subject == Subject("rs1")
    for account in (answered, proven):
        assert isinstance(account, Account)
        assert account.public_key == signer.get("public_key")
        assert account.authority_hash == signer.get("authority_hash")
        assert (account.nonce, account.quota_left, account.storage_bytes_left) == (1, 2, 3)
        assert (account.history_left, account.sponsor) == (None, None)


def test_account_has_its_history_and_its_sponsor() -> None:
    record = NUMBERS | ONE | {"history_left": 4, "sponsor": 5}
    answered = wire.account({"account": "rs1", "at": AT} | record)
    _, proven = _subject_content({"type": "account", "account": "rs1", "record": record}, At(3, "ab", 0))
    for account in (answered, proven):
        assert isinstance(account, Account)
        assert (account.history_left, account.sponsor) == (4, 5)


@pytest.mark.parametrize("signer", [{}, ONE | MANY, {"public_key": 7}, {"authority_hash": None}, {"public_key": None}])
def test_account_without_exactly_one_of_them_is_refused(signer: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="one key or one authority"):
        wire.account({"account": "rs1", "at": AT} | NUMBERS | signer)
