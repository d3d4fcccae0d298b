"""Eight processes that write with one account: no write is refused."""

import json
import subprocess
import sys

import pytest

from rustorium.client import Client
from rustorium.net.devnet import Devnet

pytestmark = pytest.mark.nodes
PROCESSES, PUTS = 8, 100

WRITER = f"""
import json, sys
from rustorium.client import Client, Key
from rustorium.errors import RustoriumError
net, key, name = sys.argv[1:]
refused = []
with Client.from_net(net, key=Key.open(key), timeout_s=60.0) as client:
    for number in range({PUTS}):
        try:
            client.put(f"{{name}}-{{number}}".encode(), b"v")
        except RustoriumError as error:
            refused.append(f"{{error.code}}: {{error}}")
print(json.dumps(refused))
"""


def test_eight_processes_share_an_account(devnet: Devnet) -> None:
    account = devnet.net.accounts[3]
    with Client.from_net(devnet.path) as client:
        before = client.account(account.address, verify=False).nonce
        writers = [
            subprocess.Popen(
                [sys.executable, "-c", WRITER, str(devnet.path), account.key_file, f"p{number}"],
                stdout=subprocess.PIPE,
            )
            for number in range(PROCESSES)
        ]
        said = [json.loads(writer.communicate(timeout=300)[0]) for writer in writers]
        assert said == [[]] * PROCESSES
        assert client.account(account.address, verify=False).nonce - before == PROCESSES * PUTS
