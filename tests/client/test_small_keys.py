"""A client refuses to put a public key of small order on a chain of any version, since anybody can sign under such a
key."""

import json

import pytest

from rustorium import _native
from rustorium.client.operations import create_account

ORDER_EIGHT = (
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
)
SMALL = (
    "00" * 32,
    "01" + "00" * 31,
    "01" + "00" * 30 + "80",
    "ec" + "ff" * 30 + "7f",
    "ed" + "ff" * 31,
    *ORDER_EIGHT,
)


def build(operation: object) -> None:
    _native.build_transaction(bytes([7]) * 32, "11" * 32, 0, 0, 1, None, json.dumps([operation]))


@pytest.mark.parametrize("key", SMALL)
def test_an_account_with_such_a_key_is_refused_before_it_is_signed(key: str) -> None:
    with pytest.raises(ValueError, match="of small order"):
        build(create_account(0, key, 100))


def test_a_key_that_was_drawn_is_taken() -> None:
    build(create_account(0, _native.public_key(_native.generate_seed()).hex(), 100))
