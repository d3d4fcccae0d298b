"""Real processes: one account writes the same keys again and again, and half of its transactions fail. All disks fill
no faster than its quota of history allows (V57, V59)."""

from itertools import pairwise

import pytest

from rustorium.client import Client, Key
from rustorium.client.operations import delete, put
from rustorium.testing import DevnetFactory
from rustorium.types import Submitted

KIB = 1 << 10
RATE, BURST, DRAW = 512 * KIB, 1_024 * KIB, 8_192
CAPACITY = {"quota_history_per_s": RATE, "quota_history_max": BURST}
VALUE = bytes(4 * KIB)
HISTORY = 2 * len(VALUE) + 120 + 200 + 110
"""The least history of one of these transactions: the value is in the transaction and in the leaf."""
PUTS = 400


@pytest.mark.nodes
def test_overwriting_fills_disks_no_faster_than_the_quota(devnet_factory: DevnetFactory) -> None:
    net = devnet_factory(nodes=4, accounts=1, parameters={"capacity": CAPACITY})
    key = Key.open(net.net.accounts[0].key_file)
    with Client.from_net(net.path, key=key, timeout_s=60.0) as client:
        wanted = [[put(key.address, b"%d" % (number % 4), VALUE)] for number in range(PUTS)]
        for operations in wanted[::2]:
            operations.append(delete(key.address, b"absent"))
        storage = client.account(key.address, verify=False).storage_bytes_left
        results = client.send_many(wanted)
        done = [result.receipt for result in results if isinstance(result, Submitted) and result.receipt is not None]
        assert len(done) == PUTS
        assert [receipt.ok for receipt in done] == [number % 2 == 1 for number in range(PUTS)]
        # The state hardly grew: two of the four keys were written, again and again.
        assert storage - client.account(key.address, verify=False).storage_bytes_left < 3 * len(VALUE)
    times = [receipt.time_ms for receipt in done]
    assert all(before <= after for before, after in pairwise(times))
    for first, since_ms in enumerate(times):
        for last, until_ms in enumerate(times[first:], first):
            most = RATE * (until_ms - since_ms + 1) / 1_000 + BURST + DRAW
            assert HISTORY * (last - first + 1) <= most, (first, last)
    assert HISTORY * PUTS > 3 * BURST, "without the quota one burst would have been enough"
