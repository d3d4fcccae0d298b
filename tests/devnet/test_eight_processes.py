"""Processes that write with one account: no write is refused or made twice, also where each knows one node alone."""

import json
import subprocess
import sys
import time

import pytest

from rustorium.client import Client
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes

WRITER = """
import json, sys
from rustorium.client import Client, Key
from rustorium.errors import RustoriumError
genesis, key, name, puts, *urls = sys.argv[1:]
refused = []
with Client(urls, genesis=genesis, key=Key.open(key), timeout_s=60.0) as client:
    for number in range(int(puts)):
        try:
            client.put(f"{name}-{number}".encode(), b"v")
        except RustoriumError as error:
            refused.append(f"{error.code}: {error}")
print(json.dumps(refused))
"""


@pytest.mark.parametrize(("processes", "puts", "endpoints"), [(8, 100, 4), (4, 25, 1)])
def test_processes_share_an_account(devnet: Devnet, processes: int, puts: int, endpoints: int) -> None:
    account, urls = devnet.net.accounts[3], devnet.net.endpoints
    with Client.from_net(devnet.path) as client:
        before, start = client.account(account.address, verify=False).nonce, time.monotonic()
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, devnet.net.genesis, account.key_file, f"p{number}", str(puts)]
                + [urls[(number + place) % len(urls)] for place in range(endpoints)],
                stdout=subprocess.PIPE,
            )
            for number in range(processes)
        ]
        said = [json.loads(writer.communicate(timeout=300)[0]) for writer in writers]
        rate = puts * processes / (time.monotonic() - start)
        print(f"{processes} processes, {endpoints} endpoints: {rate:.1f} writes/s")
        assert said == [[]] * processes
        assert client.account(account.address, verify=False).nonce - before == processes * puts
