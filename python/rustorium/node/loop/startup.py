"""The start of a node's data plane: it may fill an empty store for hours, and answers its owner meanwhile.

Invariants: everything that ends a node also ends its start; the next start continues with what is stored. Calls that
need a filled store are refused until then.
"""

import json
from collections.abc import Callable
from typing import ParamSpec, TypeVar

import trio

from rustorium import _native
from rustorium.errors import NodeError
from rustorium.node.admin.socket import AdminServer, Callers
from rustorium.node.loop.launch import Launch

P = ParamSpec("P")
T = TypeVar("T")


async def start(
    launch: Launch, ended: trio.Event, stop: Callable[[str], None], callers: Callers
) -> _native.Node | None:
    """Returns the running data plane; `None` if it was told to end before. `stop` sets `ended`. Errors: NativeError."""
    starting = _native.Starting(launch.native_config, launch.storage_key, launch.node_key, launch.validator_key)
    callers.keyring.tell(starting.set_tokens)
    admin = AdminServer(launch.home.admin_socket, _Start(starting), stop, None, callers)
    node: _native.Node | None = None
    failed: _native.NativeError | None = None
    async with trio.open_nursery() as nursery:
        nursery.start_soon(admin.run)
        nursery.start_soon(_end, starting, ended)
        try:
            node = await trio.to_thread.run_sync(starting.run)
        except _native.NativeError as error:
            failed = error
        nursery.cancel_scope.cancel()
    if failed is not None and failed.code != "stopped":
        raise failed
    if node is not None and ended.is_set():
        node.close()
        return None
    return node


async def _end(starting: _native.Starting, ended: trio.Event) -> None:
    await ended.wait()
    starting.stop()


class _Start:
    """The part of a starting node that the admin socket needs."""

    def __init__(self, starting: _native.Starting) -> None:
        self._starting = starting

    def status(self) -> str:
        return _native_call(self._starting.status)

    def audit(self, event: str, fields_json: str) -> None:
        _native_call(self._starting.audit, event, fields_json)

    def addresses(self) -> dict[str, str]:
        raise self._not_ready()

    def rotate_keys(self) -> None:
        raise self._not_ready()

    def rotation(self) -> str:
        raise self._not_ready()

    def copy_store(self) -> None:
        raise self._not_ready()

    def copying(self) -> str:
        raise self._not_ready()

    def snapshots(self) -> str:
        raise self._not_ready()

    def create_snapshot(self) -> str:
        raise self._not_ready()

    def _not_ready(self) -> NodeError:
        reason = json.loads(self.status())["not_ready_because"]
        return NodeError(f"the node has no state yet ({reason}): try again when it is ready", code="not-ready")


def _native_call(call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    try:
        return call(*arguments, **named)
    except _native.NativeError as error:
        raise NodeError(error.args[0], code=error.code) from None
