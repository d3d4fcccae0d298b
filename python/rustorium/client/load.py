"""Starts the Rust load generator on a net's funded accounts.

Invariants: no logic of its own: keys are opened here, everything that is timed happens in Rust.
"""

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from rustorium import _native
from rustorium.client.keys import Key
from rustorium.errors import UsageError
from rustorium.home import read_genesis
from rustorium.net import Net

THREADS = 4


def run_load(
    net: Net, rate: float, seconds: float, value_bytes: int, face: str, seed: int, passphrase_file: Path | None
) -> dict[str, Any]:
    """The generator's report. Errors: UsageError, KeyFileError, NativeError."""
    if not net.accounts:
        raise UsageError("the net has no funded accounts to send from: start the devnet with --accounts 4 or more")
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        keys = list(pool.map(lambda account: Key.open(account.key_file, passphrase_file), net.accounts))
    genesis = read_genesis(Path(net.genesis))
    validators = json.loads(_native.genesis_describe(genesis))["validators"]
    config = {
        "chain": net.chain,
        "genesis_path": net.genesis,
        "face": face,
        "rate_per_s": rate,
        "seconds": seconds,
        "value_bytes": value_bytes,
        "seed": seed,
        "nodes": [
            {
                "index": node.index,
                "http": node.http,
                "client": node.client,
                "node_key": validators[node.index]["node_key"],
            }
            for node in net.nodes
        ],
        "senders": [{"seed_hex": key.seed.hex(), "region": key.region} for key in keys],
    }
    report: dict[str, Any] = json.loads(_native.load_run(json.dumps(config)))
    return report
