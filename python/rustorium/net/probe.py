"""Blocking status requests to many nodes, for `status check` and devnets.

Invariants: a node that doesn't answer gives a row, not an error.
"""

import http.client
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from rustorium.access.bearer import Tokens, bearing, tokens_by_url
from rustorium.access.causes import cause_of
from rustorium.access.netfile import NetNode
from rustorium.access.tls import Tls, refusal, verifying
from rustorium.client.wire import node_status, parse, problem
from rustorium.config import split_address
from rustorium.errors import RustoriumError
from rustorium.home.paths import Home
from rustorium.net.finality import Floor, Waited, waited_line
from rustorium.net.scrape import pages_of, total
from rustorium.types import NodeStatus

THREADS = 16
TIMEOUT_S = 1.0
TRANSACTIONS = ("rustorium_execution_transactions_total ", "rustorium_execution_transactions_total{")
"""Without labels at nodes of earlier releases."""


def ask(
    endpoints: Sequence[str], timeout_s: float, token: Tokens | None = None, tls: Tls | None = None
) -> list[NodeStatus]:
    """Returns each node's status, in the order of `endpoints`. `token`, `tls`: for nodes that need them. Errors:
    UsageError."""
    tokens = tokens_by_url(endpoints, token)
    with httpx2.Client(verify=verifying(endpoints, tls), trust_env=False, timeout=timeout_s) as client:

        def one(url: str) -> NodeStatus:
            try:
                answer = client.get(f"{url.rstrip('/')}/v1/status", headers=bearing(tokens[url]))
                if answer.status_code in (401, 403):
                    return silent(url, problem(answer.status_code, answer.json()).message)
                return status_of(answer.json())
            except (httpx2.HTTPError, OSError, ValueError, RustoriumError) as error:
                return silent(url, refusal(url, error) or cause_of(error, timeout_s))

        with ThreadPoolExecutor(max_workers=min(THREADS, max(1, len(endpoints)))) as pool:
            return list(pool.map(one, endpoints))


def status_of(answer: Any) -> NodeStatus:
    """Parses a status answer. Errors: BadResponse."""
    return parse(node_status, answer)


def silent(url: str, why: str) -> NodeStatus:
    """Returns the row of a node that doesn't answer."""
    reason = f"doesn't answer ({why})"
    return NodeStatus(url, "", 0, 0, 0, 0, 0, 0, 0, "", False, reason, {"node": url, "ready": False, "reason": reason})


def is_ready(url: str, home: Home | None = None, timeout_s: float = 1.0) -> bool:
    """Returns whether /readyz of a node on this machine reports that it is synced and sees a quorum. With TLS it may
    demand a certificate, so it is asked over its admin socket."""
    if home is not None and url.startswith("https:"):
        from rustorium.node.admin.socket import call

        try:
            return bool(call(home.admin_socket, "status", timeout_s=timeout_s)["ready"])
        except RustoriumError:
            return False
    host, port = split_address(url.removeprefix("http://"))
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", "/readyz")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False
    finally:
        connection.close()


class LiveLine:
    """What is shown live of a devnet: heights, transactions and their rate, pools, and, where links are delayed, what
    clients wait."""

    def __init__(self, nodes: Sequence[NetNode], floors: Sequence[Floor] = (), tls: Tls | None = None) -> None:
        self._nodes, self._floors, self._tls = nodes, floors, tls
        self._waited = Waited(len(nodes))
        self._transactions, self._at_s = 0.0, time.monotonic()

    def text(self) -> str:
        """Asks all nodes and returns the line. A node that doesn't answer shows as "down"."""
        statuses = ask([node.http for node in self._nodes], TIMEOUT_S, tls=self._tls)
        pages, now_s = pages_of(self._nodes, TIMEOUT_S), time.monotonic()
        transactions = max((total(lines, *TRANSACTIONS) for lines in pages), default=0.0)
        rate = max(0.0, transactions - self._transactions) / max(now_s - self._at_s, 0.001)
        self._transactions, self._at_s = transactions, now_s
        heights = " ".join(f"{status.height:,}" if status.chain else "down" for status in statuses)
        pools = sum(status.pool_transactions for status in statuses)
        said = f"heights {heights} | transactions {transactions:,.0f} ({rate:,.0f}/s) | pooled {pools:,}"
        waited = waited_line(self._floors, self._waited.since_last(pages)) if self._floors else ""
        return f"{said}\n{waited}" if waited else said
