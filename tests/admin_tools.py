"""An admin plane without a data plane behind it; the fake node records its calls."""

import json
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import trio
import trio.testing

from rustorium.node.admin.keyring import Keyring
from rustorium.node.admin.socket import AdminServer, Callers
from rustorium.node.admin.trail import EVENT


class FakeNode:
    def __init__(self) -> None:
        self.audited: list[str] = []
        self.lines: list[tuple[str, dict[str, Any]]] = []

    def status(self) -> str:
        return '{"height": 7}'

    def addresses(self) -> dict[str, str]:
        return {"http": "127.0.0.1:1"}

    def audit(self, event: str, fields_json: str) -> None:
        self.lines.append((event, json.loads(fields_json)))
        if event != EVENT:
            self.audited.append(event)

    def said(self, event: str) -> list[dict[str, Any]]:
        """Returns the fields of the audit lines."""
        return [fields for name, fields in self.lines if name == event]

    def rotate_keys(self) -> None:
        self.audited.append("rotated")

    def rotation(self) -> str:
        return '{"running": false}'

    def copy_store(self, shard: int) -> None:
        self.audited.append(f"copied {shard}" if shard else "copied")

    def copying(self, shard: int) -> str:
        return '{"running": false, "failed": null}'

    def snapshots(self, shard: int) -> str:
        return json.dumps([{"height": 7 + shard, "time_ms": 1}])

    def create_snapshot(self, shard: int) -> str:
        self.audited.append("snapshot made")
        return json.dumps({"height": 9 + shard, "time_ms": 2})


def calls(node: FakeNode) -> dict[tuple[str, str, str], int]:
    """Returns the counts of the audit trail by caller, call and outcome."""
    found: dict[tuple[str, str, str], int] = {}
    for line in node.said(EVENT):
        for row in line["calls"]:
            key = (row["by"], row["call"], row["outcome"])
            found[key] = found.get(key, 0) + row["count"]
    return found


@contextmanager
def serving(
    path: Path, tokens: Path | None = None, listener: socket.socket | None = None
) -> Iterator[tuple[FakeNode, list[str]]]:
    """Runs a server on its own thread."""
    node, stopped = FakeNode(), list[str]()
    ready = threading.Event()
    token: list[tuple[trio.lowlevel.TrioToken, trio.CancelScope]] = []

    async def main() -> None:
        with trio.CancelScope() as scope:
            token.append((trio.lowlevel.current_trio_token(), scope))
            async with trio.open_nursery() as nursery:
                callers = Callers(Keyring(tokens), listener) if tokens is not None else None
                nursery.start_soon(AdminServer(path, node, stopped.append, None, callers).run)
                await trio.testing.wait_all_tasks_blocked()
                ready.set()

    thread = threading.Thread(target=trio.run, args=(main,))
    thread.start()
    ready.wait(10)
    try:
        yield node, stopped
    finally:
        token[0][0].run_sync_soon(token[0][1].cancel)
        thread.join(10)
        assert not path.exists()
