"""A net behind `httpx2.MockTransport`: nodes that can be down, hang, be busy or lose answers, over one ledger.

Invariants: it executes each account's transactions in nonce order, remembers every id, and answers with the gateway's
JSON.
"""

import json
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import httpx2

from rustorium import _native
from rustorium.client import wire

SEED = bytes(range(32))
ROOT = "ab" * 32
CHAIN = "cd" * 32


@dataclass
class FakeNode:
    """The behaviour of one fake node."""

    delay_s: float = 0.0
    down: bool = False
    hangs: bool = False
    busy: bool = False
    busy_submissions: int = 0
    """Number of submissions that the node still answers with `busy`."""
    loses_answers: bool = False
    garbage: bool = False
    strange: bool = False
    """Another server answers, which has none of a node's pages."""
    fails: bool = False
    """A proxy answers in place of the node, either after the node accepted a submission or without asking it."""
    claims: dict[str, Any] | None = None
    """Fields of the result that it answers with instead of the true one, after it took the transactions."""
    knows_nothing: bool = False
    """The node doesn't answer requests about a transaction."""
    lacks_accounts: bool = False
    """The node hasn't executed the transactions that made the accounts."""
    requests: list[httpx2.Request] = field(default_factory=list)

    def other_server(self) -> httpx2.Response | None:
        """Returns what another server answers in place of the node."""
        if self.garbage:
            return httpx2.Response(200, content=b"<html>")
        if self.strange:
            return httpx2.Response(404, json={"detail": "Not Found"})
        return httpx2.Response(502, content=b"<html>") if self.fails else None

    def posts(self) -> list[httpx2.Request]:
        return [request for request in self.requests if request.method == "POST"]


class FakeNet:
    """Nodes `http://n0`, `http://n1`, …; a client reaches them through `transport`."""

    def __init__(self, nodes: int = 3) -> None:
        self.nodes = [FakeNode() for _ in range(nodes)]
        self.block_s = 0.0
        """Time between a transaction's arrival in the pool and its block."""
        self.urls = [f"http://n{index}" for index in range(nodes)]
        self.transport = httpx2.MockTransport(self._handle)
        self.ids: dict[bytes, str] = {}
        self.nonces: Counter[str] = Counter()
        self.receipts: dict[str, dict[str, Any]] = {}
        self.pending: dict[tuple[str, int], bytes] = {}
        self.values: dict[tuple[str, str], bytes] = {}
        self.executed: list[int] = []
        self.group_sizes: list[int] = []
        self.refuse_next: list[dict[str, Any]] = []
        self.protocol: int | None = None
        """Version of the epoch, as nodes say it; those of earlier releases don't."""
        self.work_needed = 0
        """A transaction that declares less fails."""
        self.work_limits: list[int] = []
        """What executed transactions declared."""
        self.events: Callable[[httpx2.Request], Awaitable[httpx2.Response]] | None = None

    def learn(self, identity: str, raw: bytes) -> None:
        self.ids[raw] = identity

    async def _handle(self, request: httpx2.Request) -> httpx2.Response:
        node = self.nodes[int(request.url.host[1:])]
        node.requests.append(request)
        if node.down:
            raise httpx2.ConnectError("connection refused", request=request)
        if node.delay_s:
            await anyio.sleep(node.delay_s)
        if node.hangs:
            await anyio.sleep_forever()
        if (other := node.other_server()) is not None:
            return other
        if node.knows_nothing and request.method == "GET" and request.url.path.startswith("/v1/transactions/"):
            raise httpx2.ConnectError("connection refused", request=request)
        if request.method == "POST" and node.busy_submissions:
            node.busy_submissions -= 1
            return busy()
        if node.busy and request.url.path.startswith("/v1/"):
            return busy()
        if request.url.path == "/v1/events" and self.events is not None:
            return await self.events(request)
        if self.block_s and request.method == "POST" and request.url.path == "/v1/transactions":
            response = await self._submit_to_pool(request)
        else:
            response = self._claimed(node, request, self._answer(request))
        if node.loses_answers and request.method == "POST":
            raise httpx2.ReadError("connection reset", request=request)
        return response

    def _claimed(self, node: FakeNode, request: httpx2.Request, true: httpx2.Response) -> httpx2.Response:
        if node.lacks_accounts and request.url.path.startswith("/v1/accounts/"):
            return problem(404, "account-not-found", "no account has this address")
        if node.claims is None or request.method != "POST":
            return true
        results = [{"id": self.ids[raw]} | node.claims for raw in unframe(request.content)]
        return ok({"results": results, "at": self.at()})

    def _answer(self, request: httpx2.Request) -> httpx2.Response:
        parts = request.url.path.strip("/").split("/")
        match parts:
            case ["livez"]:
                return ok({"status": "ok", "reasons": []})
            case ["v1", "status"]:
                return ok(self.status())
            case ["v1", "transactions"] if request.method == "POST":
                return self._submit(request)
            case ["v1", "transactions", identity]:
                return self._transaction(identity)
            case ["v1", "accounts", address]:
                return ok(self._account(address))
            case ["v1", "accounts", address, "keys", key]:
                return self._value(address, key, request.url.params.get("at", "latest"))
        return problem(404, "unknown-route", "There is nothing here.")

    def status(self) -> dict[str, Any]:
        return {
            "chain": CHAIN,
            "node": "n",
            "height": self.height,
            "view": 1,
            "epoch": 0,
            "claimed": {"height": 0, "root": ROOT},
            "peers_up": 3,
            "unreachable": [],
            "evidence": [],
            "peers": 3,
            "pool_transactions": len(self.pending),
            "pool_bytes": 0,
            "role": "validator",
            "durability": "vote",
            "ready": True,
            "at": self.at(),
        }

    @property
    def height(self) -> int:
        return len(self.receipts)

    def at(self) -> dict[str, Any]:
        return {"shard": 0, "height": self.height, "root": ROOT}

    def _account(self, address: str) -> dict[str, Any]:
        said = {} if self.protocol is None else {"protocol": self.protocol}
        return said | {
            "account": address,
            "nonce": self.nonces[address],
            "public_key": "00" * 32,
            "region": 0,
            "quota_left": 1,
            "storage_bytes_left": 5,
            "at": self.at(),
        }

    def _transaction(self, identity: str) -> httpx2.Response:
        if identity in self.receipts:
            return ok({"id": identity, "status": "final", "receipt": self.receipts[identity], "at": self.at()})
        return problem(404, "transaction-not-found", "This node knows no such transaction.")

    def _value(self, address: str, key: str, at: str) -> httpx2.Response:
        if at == "proven":
            return problem(409, "no-state-root-yet", "Proofs of state come with the state root.")
        value = self.values.get((address, key))
        if value is None:
            return problem(404, "key-not-found", "The namespace has no value under this key.", at=self.at())
        shown = (
            {"value": value.decode()}
            if value.isascii() and value.decode().isprintable()
            else {"value_hex": value.hex()}
        )
        return ok({"namespace": address, "key_hex": key, "at": self.at()} | shown)

    def _submit(self, request: httpx2.Request) -> httpx2.Response:
        raws = unframe(request.content)
        self.group_sizes.append(len(raws))
        results = [self._take(raw, request.url.params["wait"]) for raw in raws]
        if all(result["status"] == "refused" for result in results):
            return problem(422, results[0]["code"], results[0]["message"], results=results)
        return ok({"results": results, "at": self.at()})

    async def _submit_to_pool(self, request: httpx2.Request) -> httpx2.Response:
        """Submits one transaction to a pool that also contains others' transactions."""
        [raw] = unframe(request.content)
        body = json.loads(_native.describe_transaction(raw))
        place = body["sender"], body["nonce"]
        if self.pending.setdefault(place, raw) != raw:
            message = f"The transaction {self.ids[self.pending[place]]} already waits with nonce {place[1]}."
            refusal = {"status": "refused", "id": self.ids[raw], "code": "nonce_taken", "message": message}
            return problem(422, "nonce_taken", message, results=[refusal])
        if place[1] < self.nonces[place[0]]:
            del self.pending[place]
        else:
            await anyio.sleep(self.block_s)
        return self._submit(request)

    def _take(self, raw: bytes, wait: str) -> dict[str, Any]:
        identity = self.ids[raw]
        body = json.loads(_native.describe_transaction(raw))
        sender, nonce = body["sender"], body["nonce"]
        if identity not in self.receipts:
            if self.refuse_next:
                return {"status": "refused", "id": identity} | self.refuse_next.pop(0)
            if nonce < self.nonces[sender]:
                message = f"The nonce {nonce} is used; the next is {self.nonces[sender]}."
                return {"status": "refused", "id": identity, "code": "nonce-used", "message": message}
            self.pending[(sender, nonce)] = raw
            self._execute(sender)
        if identity not in self.receipts:
            return {"status": "timed-out" if wait != "accepted" else "accepted", "id": identity}
        if wait == "accepted":
            return {"status": "accepted", "id": identity}
        return {"status": "final", "id": identity, "receipt": self.receipts[identity]}

    def _execute(self, sender: str) -> None:
        while (raw := self.pending.pop((sender, self.nonces[sender]), None)) is not None:
            nonce = self.nonces[sender]
            self.nonces[sender] += 1
            self.executed.append(nonce)
            body = json.loads(_native.describe_transaction(raw))
            self.work_limits.append(body["work_limit"])
            enough = body["work_limit"] >= self.work_needed
            for operation in body["operations"] if enough else ():
                if operation["type"] == "put":
                    value = wire.value_of(operation)
                    assert value is not None
                    self.values[(operation["namespace"], operation["key_hex"])] = value
            made = receipt(self.ids[raw], sender, nonce, self.height + 1)
            failed = {"outcome": "failed", "failure": {"code": "work-limit", "operation": 0}}
            self.receipts[self.ids[raw]] = made if enough else made | failed


def receipt(identity: str, sender: str, nonce: int, height: int, index: int = 0) -> dict[str, Any]:
    return {
        "id": identity,
        "sender": sender,
        "nonce": nonce,
        "height": height,
        "index": index,
        "time_ms": 1,
        "work": 1,
        "outcome": "ok",
    }


def ok(body: object) -> httpx2.Response:
    return httpx2.Response(200, json=body)


def problem(status: int, code: str, detail: str, **more: object) -> httpx2.Response:
    return httpx2.Response(status, json={"code": code, "title": code, "status": status, "detail": detail, **more})


def busy() -> httpx2.Response:
    return problem(503, "busy", "The node is busy; try again in 50 ms or at another node.", retry_after_ms=50)


def unframe(body: bytes) -> list[bytes]:
    count, rest = int.from_bytes(body[:4], "little"), body[4:]
    raws = []
    for _ in range(count):
        length = int.from_bytes(rest[:4], "little")
        raws.append(rest[4 : 4 + length])
        rest = rest[4 + length :]
    assert not rest
    return raws
