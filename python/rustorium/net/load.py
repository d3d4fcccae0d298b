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
    connections: int | None = None,
    passphrase_file: Path | None = None,
    token: Tokens | None = None,
) -> dict[str, Any]:
    """Runs the generator and returns its report: offered and achieved rate, percentiles in ms, rejected, lost, its own
    CPU seconds. Errors: UsageError, KeyFileError, NativeError, Unreachable.

    Errors: UsageError, KeyFileError, NativeError, Unreachable."""
    tokens = tokens_by_url(net.endpoints, token)
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
        "seed": time.time_ns() if salt is None else salt,
        "connections": connections or CONNECTIONS[face],
        "nodes": _nodes(net, tokens),
        "senders": _senders(net, keys, token),
    }
    report: dict[str, Any] = json.loads(_native.load_run(json.dumps(settings)))
    return report


def _nodes(net: Net, tokens: dict[str, str | None]) -> list[dict[str, str | None]]:
    genesis = json.loads(_native.genesis_describe(read_genesis(Path(net.genesis))))
    keys: list[str] = [validator["node_key"] for validator in genesis["validators"]]
    return [
        {
            "http": node.http.removeprefix("http://"),
            "client": node.client,
            "node_key": keys[node.index],
            "token": tokens[node.http],
        }
        for node in sorted(net.nodes, key=lambda node: node.index)
    ]


def _senders(net: Net, keys: list[Key], token: Tokens | None) -> list[dict[str, object]]:
    with Client(net.endpoints, token=token, tls=net.tls) as client:
        return [
            {"seed_hex": key.seed.hex(), "region": key.region, "nonce": client.account(key.address, verify=False).nonce}
            for key in keys
        ]
