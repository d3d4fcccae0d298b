"""A fake net that uses the ids of the transactions that the client signs."""

from typing import Any

import pytest
from fake_net import SEED, FakeNet

from rustorium import _native
from rustorium.client import Key


@pytest.fixture
def net(monkeypatch: pytest.MonkeyPatch) -> FakeNet:
    net = FakeNet()
    build = _native.build_transaction

    def recorded(*arguments: Any) -> tuple[str, bytes]:
        identity, raw = build(*arguments)
        net.learn(identity, raw)
        return identity, raw

    monkeypatch.setattr(_native, "build_transaction", recorded)
    return net


@pytest.fixture
def key() -> Key:
    return Key(SEED)
