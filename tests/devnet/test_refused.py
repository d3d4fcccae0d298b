"""Real processes: a transaction that a client was told is refused is never executed."""

import pytest

from rustorium.client import Client, Key
from rustorium.client.operations import put
from rustorium.testing import DevnetFactory
from rustorium.types import Submitted

PUTS = 32
QUOTA = {"quota_work_max": 16_000, "quota_work_per_s": 4_000, "batch_work_max": 16_000}
"""A quota for fewer puts than are sent at once."""


@pytest.mark.nodes
def test_too_little_quota_is_waited_for_and_never_reported_as_refused(devnet_factory: DevnetFactory) -> None:
    """A block skips a transaction with too little quota and those that follow it, and a later block executes them. A
    client that was told to sign them again would have them executed twice."""
    net = devnet_factory(nodes=1, accounts=1, parameters=QUOTA)
    key = Key.open(net.net.accounts[0].key_file)
    with Client.from_net(net.path, key=key, timeout_s=60.0) as client:
        wanted = [[put(key.address, b"%d" % number, b"value")] for number in range(PUTS)]
        results = client.send_many(wanted)
        assert all(isinstance(result, Submitted) and result.receipt and result.receipt.ok for result in results), (
            results
        )
        assert client.account(key.address, verify=False).nonce == PUTS
