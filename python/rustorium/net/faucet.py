"""A devnet's faucet: `POST /` with {"region", "public_key"} makes and funds that account from the first funded one
of its shard.

Invariants: loopback only; one request at a time, so that nonces stay in order; bodies are bounded; requests from web
pages of other sites are refused.
"""

import json
import os
import threading
from email.message import Message
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

from rustorium.access.genesis import read_genesis
from rustorium.access.keyfiles import open_key_file, public_part
from rustorium.access.netfile import Net
from rustorium.client import Client, Key
from rustorium.client import operations as ops
from rustorium.config import is_loopback, split_address
from rustorium.errors import DevnetError, RustoriumError

BODY_BYTES_MAX = 4096
STORAGE_BYTES = 1 << 24
AMOUNT = 1_000


class Faucet:
    """An HTTP server that runs until `close`. Errors: DevnetError if the net has no funded account."""

    def __init__(self, net: Net, storage_bytes: int = STORAGE_BYTES, amount: int = AMOUNT) -> None:
        if not net.accounts:
            raise DevnetError("a faucet needs a funded account: start the devnet with --accounts 1 or more")
        self._net, self._storage_bytes, self._amount = net, storage_bytes, amount
        self._client = Client(net.endpoints, genesis=read_genesis(Path(net.genesis)), tls=net.tls)
        first = {self._client.shard_of(account.address): account for account in reversed(net.accounts)}
        self._keys = {shard: _opened(Path(account.key_file)) for shard, account in first.items()}
        """The first funded account of each shard."""
        self._server = HTTPServer(("127.0.0.1", 0), _handler(self))
        self.url = f"http://127.0.0.1:{self._server.server_port}/"
        self._thread = threading.Thread(target=self._server.serve_forever, name="faucet", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stops the server and its client."""
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._client.close()

    def fund(self, request: dict[str, Any]) -> dict[str, object]:
        """Makes the account and transfers some of the devnet's asset to it. Errors: RustoriumError, ValueError, …"""
        from rustorium import _native

        region, public_key = int(request["region"]), str(request["public_key"])
        address = _native.account_id(region, bytes.fromhex(public_key))
        steps = [ops.create_account(region, public_key, self._storage_bytes)]
        if self._net.asset:
            steps.append(ops.transfer(address, self._net.asset, self._amount))
        done = self._client.send(steps, key=self._keys[self._client.shard_of(address)])
        return {"address": address, "transaction": done.id, "storage_bytes": self._storage_bytes}


def _opened(file: Path) -> Key:
    kind, _ = public_part(file)
    return Key(open_key_file(file, kind, None, os.environ), int(kind.partition(":")[2]))


def from_a_page(headers: Message) -> bool:
    """Returns whether a browser sent this for a page of another origin, or under a name that was pointed at this
    machine."""
    host = headers.get("host") or ""
    try:
        here = is_loopback(split_address(host if ":" in host else f"{host}:80")[0])
    except ValueError:
        here = False
    origin, site = headers.get("origin"), headers.get("sec-fetch-site", "none")
    return not here or site not in ("none", "same-origin") or (origin is not None and origin != f"http://{host}")


def _handler(faucet: Faucet) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def do_POST(self) -> None:
            try:
                if from_a_page(self.headers):
                    detail = "the faucet gives nothing to pages of other sites: ask it from a program, by 127.0.0.1"
                    self._answer(403, {"code": "origin-not-allowed", "detail": detail}, "application/problem+json")
                    return
                length = int(self.headers.get("content-length") or 0)
                if not 0 < length <= BODY_BYTES_MAX:
                    raise ValueError(f"a body has 1 to {BODY_BYTES_MAX} bytes")
                self._answer(200, faucet.fund(json.loads(self.rfile.read(length))), "application/json")
            except RustoriumError as error:
                self._answer(409, {"code": error.code, "detail": error.message}, "application/problem+json")
            except (ValueError, KeyError, TypeError, RecursionError) as error:
                detail = f'send {{"region": 0, "public_key": "<64 hex digits>"}} ({error})'
                self._answer(400, {"code": "bad-body", "detail": detail}, "application/problem+json")

        def _answer(self, status: int, body: dict[str, object], media: str) -> None:
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("content-type", media)
            self.send_header("content-length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:
            """Logs nothing."""

    return Handler
