"""The keys of a namespace, in pages."""

from collections.abc import Mapping
from typing import Any

from rustorium.client import wire
from rustorium.client.state import StateMethods
from rustorium.client.text import raw
from rustorium.types import KeyPage, ListedKey


class ListingMethods(StateMethods):
    """The client's methods that list."""

    async def list_keys(
        self,
        account: str,
        prefix: bytes | str = b"",
        *,
        cursor: str | None = None,
        at: int | None = None,
        limit: int = 30,
        values: bool = False,
    ) -> KeyPage:
        """Keys of a namespace that begin with `prefix`, as of the newest state or the height `at`; go on with
        `cursor=page.next_cursor` until that is None: all pages are of the first one's height.

        A node says what it likes here: read a key to have it proved. Errors: Pruned where the node keeps that height no
        more; NotFound where it hasn't executed it yet."""
        asked: dict[str, str | int] = {
            "prefix": raw(prefix, "a prefix").hex(),
            "encoding": "hex",
            "limit": limit,
            "values": int(values),
        }
        if cursor is not None:
            asked["cursor"] = cursor
        elif at is not None:
            asked["at"] = at
        return wire.parse(_page, await self._read(f"/v1/accounts/{account}/keys", params=asked))


def _page(answer: Mapping[str, Any]) -> KeyPage:
    return KeyPage(tuple(_key(item) for item in answer["keys"]), answer.get("next"), wire.at(answer))


def _key(item: Mapping[str, Any]) -> ListedKey:
    return ListedKey(
        key=bytes.fromhex(item["key_hex"]),
        value_bytes=int(item["value_bytes"]),
        value_hash=str(item["value_hash"]),
        value=wire.shown_value(item),
    )
