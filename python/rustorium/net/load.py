"""Starts the Rust load generator with a net's funded accounts.

Invariants: keys are opened and nonces are read here; everything that is timed happens in Rust.
"""

import json
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

from rustorium import _native
from rustorium.access.bearer import Tokens, tokens_by_url
from rustorium.access.genesis import read_genesis
from rustorium.access.netfile import Net
from rustorium.client.blocking import Client
from rustorium.client.keys import Key
from rustorium.errors import UsageError

THREADS = 4
CONNECTIONS = {"quic": 1, "http": 64}

Face = Literal["quic", "http"]


def run_load(
    net: Net,
    *,
    rate_per_s: int,
    seconds: int,
    value_bytes: int = 256,
    face: Face = "quic",
    salt: int | None = None,
    value_salt: int | None = None,
    connections: int | None = None,
    window: int | None = None,
    passphrase_file: Path | None = None,
    token: Tokens | None = None,
) -> dict[str, Any]:
    """Runs the generator and returns its report: offered and achieved rate, percentiles in ms, rejected, lost, its own
    CPU seconds. `salt` names the keys, and `value_salt` the values, if they are others. `window`: how many
    transactions of a connection may wait for their results; `None`: as many as are due.

    Errors: UsageError, KeyFileError, NativeError, Unreachable."""
    tokens, salt = tokens_by_url(net.endpoints, token), time.time_ns() if salt is None else salt
    if face == "http" and any(url.startswith("https:") for url in net.endpoints):
        raise UsageError("the load generator can't use TLS: use --face quic, or a net without TLS")
    if not net.accounts:
        raise UsageError("the net has no funded accounts to send from: start the devnet with --accounts 4 or more")
    with ThreadPoolExecutor(max_workers=THREADS) as pool:
        keys = list(pool.map(lambda account: Key.open(account.key_file, passphrase_file), net.accounts))
    settings = {
        "chain": net.chain,
        "face": face,
        "rate_per_s": rate_per_s,
        "seconds": seconds,
        "value_bytes": value_bytes,
        "seed": salt,
        "value_seed": salt if value_salt is None else value_salt,
        "connections": connections or CONNECTIONS[face],
        "window": window,
        "nodes": _nodes(net, tokens),
        "committees": _committees(net),
        "senders": _senders(net, keys, token),
    }
    report: dict[str, Any] = json.loads(_native.load_run(json.dumps(settings)))
    return report


def _nodes(net: Net, tokens: dict[str, str | None]) -> list[dict[str, Any]]:
    validators = json.loads(_native.genesis_describe(read_genesis(Path(net.genesis))))["validators"]
    return [
        {
            "http": node.http.removeprefix("http://"),
            "client": node.client,
            "node_key": validators[node.index]["node_key"],
            "region": validators[node.index]["region"],
            "token": tokens[node.http],
        }
        for node in sorted(net.nodes, key=lambda node: node.index)
    ]


def _committees(net: Net) -> list[list[int]]:
    """Returns the committee of each shard, as far as the net's file has its members, as places in `_nodes`."""
    genesis = json.loads(_native.genesis_describe(read_genesis(Path(net.genesis))))
    everybody = [{"members": list(range(len(genesis["validators"])))}]
    place = {index: number for number, index in enumerate(sorted(node.index for node in net.nodes))}
    shards = genesis.get("shards") or everybody
    return [[place[member] for member in shard["members"] if member in place] for shard in shards]


def _senders(net: Net, keys: list[Key], token: Tokens | None) -> list[dict[str, object]]:
    with Client(net.endpoints, genesis=net.genesis, token=token, tls=net.tls) as client:
        return [
            {
                "seed_hex": key.seed.hex(),
                "region": key.region,
                "nonce": client.account(key.address, verify=False).nonce,
                "shard": client.shard_of(key.address),
            }
            for key in keys
        ]
