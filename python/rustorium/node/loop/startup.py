"""The start of a node's data plane: its stores may be open only after minutes, and its owner is answered meanwhile.

Invariants: calls that need a running node are refused until it runs. An order to stop is carried out once it runs.
"""

from functools import partial

import trio

from rustorium import _native
from rustorium.errors import NodeError
from rustorium.node.loop.launch import Launch


async def start(launch: Launch, tokens: str, ended: trio.Event) -> _native.Node | None:
    """Returns the running data plane; `None` if `ended` was set before. `tokens`: those that the gateway accepts.
    Errors: NativeError."""
    keys = (launch.storage_key, launch.node_key, launch.validator_key)
    node = await trio.to_thread.run_sync(partial(_native.Node, launch.native_config, tokens, *keys))
    if ended.is_set():
        await trio.to_thread.run_sync(node.close)
        return None
    return node


class Opening:
    """A node that is being opened, as the admin plane needs it."""

    def status(self) -> str:
        raise self._not_ready()

    def audit(self, _event: str, _fields_json: str) -> None:
        raise self._not_ready()

    def addresses(self) -> dict[str, str]:
        raise self._not_ready()

    def rotate_keys(self) -> None:
        raise self._not_ready()

    def rotation(self) -> str:
        raise self._not_ready()

    def copy_store(self, _shard: int) -> None:
        raise self._not_ready()

    def copying(self, _shard: int) -> str:
        raise self._not_ready()

    def snapshots(self, _shard: int) -> str:
        raise self._not_ready()

    def create_snapshot(self, _shard: int) -> str:
        raise self._not_ready()

    def _not_ready(self) -> NodeError:
        return NodeError("the node is only being opened; ask again in a moment", code="not-ready")
