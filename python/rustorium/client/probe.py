"""Blocking one-shot questions to many nodes: for `status check` and a devnet's live line.

Invariants: a node that doesn't answer is a row, not an error.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx2

from rustorium.client.wire import node_status, parse
from rustorium.errors import RustoriumError
from rustorium.types import NodeStatus

THREADS = 16


def ask(endpoints: Sequence[str], timeout_s: float) -> list[NodeStatus]:
    """Each node's status, in the order of `endpoints`."""
    with httpx2.Client(verify=False, trust_env=False, timeout=timeout_s) as client:

        def one(url: str) -> NodeStatus:
            try:
                return status_of(client.get(f"{url.rstrip('/')}/v1/status").json())
            except (httpx2.HTTPError, OSError, ValueError, RustoriumError) as error:
                return silent(url, str(error) or type(error).__name__)

        with ThreadPoolExecutor(max_workers=min(THREADS, max(1, len(endpoints)))) as pool:
            return list(pool.map(one, endpoints))


def status_of(answer: Any) -> NodeStatus:
    """Reads a status answer. Errors: BadResponse."""
    return parse(node_status, answer)


def silent(url: str, why: str) -> NodeStatus:
    """The row of a node that doesn't answer."""
    reason = f"doesn't answer ({why})"
    return NodeStatus(url, "", 0, 0, 0, 0, 0, 0, 0, "", False, reason, {"node": url, "ready": False, "reason": reason})


def heights(endpoints: Sequence[str]) -> str:
    """One line: each node's height, and what waits in its pool."""
    parts = [
        f"{status.node} height {status.height:,} view {status.view:,} pool {status.pool_transactions:,}"
        if status.chain
        else f"{status.node} down"
        for status in ask(endpoints, 1.0)
    ]
    return "  |  ".join(parts)
