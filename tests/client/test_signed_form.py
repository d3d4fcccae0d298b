"""The form in which a client signs is that of the version that it knows by proof, whatever a node says.

The state is that of a genesis. Time is trio's mock clock.
"""

import json
from typing import Any

import httpx2
import pytest
import trio
import trio.testing
from fake_net import FakeNet, ok

from rustorium import _native
from rustorium.client import AsyncClient, Key, operations
from rustorium.sim.net import REGION, make_net
from rustorium.types import SignedTransaction

NETS = {version: make_net(4, 4, 2, version=version) for version in (1, 2)}
KEY = Key(NETS[2].accounts[0].seed, REGION)
PUT = operations.put(KEY.address, "k", "v" * 256)
MEMBER = operations.add_validator("node-9", KEY.public_key, KEY.public_key, KEY.public_key, 0)


def signed(version: int, said: int | None, *, genesis: bool = True, operation: Any = PUT) -> SignedTransaction:
    """Signs on a chain of this version, of which a node says another one."""
    net = FakeNet()
    net.protocol = said

    def answer(request: httpx2.Request) -> httpx2.Response:
        if request.url.path == "/v1/status":
            return ok(net.status() | {"chain": NETS[version].chain})
        return net._answer(request)

    async def main() -> SignedTransaction:
        anchor = NETS[version].genesis if genesis else None
        async with AsyncClient("http://n0", genesis=anchor, transport=httpx2.MockTransport(answer)) as client:
            return await client.sign([operation], key=KEY)

    return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


def shown(transaction: SignedTransaction) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(_native.describe_transaction(transaction.raw))
    return found


@pytest.mark.parametrize("said", [None, 1, 2])
@pytest.mark.parametrize("version", [1, 2])
def test_the_form_is_that_of_the_proven_version(version: int, said: int | None) -> None:
    transaction = signed(version, said)
    found = shown(transaction)
    assert found["version"] == version
    assert (found["sender"], found["nonce"]) == (KEY.address, 0)
    assert (transaction.sender, transaction.nonce) == (KEY.address, 0)
    if version == 2:
        assert found["authority"] == {"threshold": 1, "keys": [KEY.public_key]}


def test_without_a_genesis_it_is_the_form_that_all_versions_take() -> None:
    assert shown(signed(2, 2, genesis=False))["version"] == 1


def test_the_form_of_version_2_is_smaller_and_declares_less() -> None:
    first, second = signed(1, 2), signed(2, 2)
    assert len(second.raw) < len(first.raw)
    assert shown(second)["work_limit"] < shown(first)["work_limit"]


def test_an_operation_that_version_2_has_not_is_signed_in_the_other_form() -> None:
    """Nodes refuse it there in words of their own."""
    assert shown(signed(2, 2, operation=MEMBER))["version"] == 1
