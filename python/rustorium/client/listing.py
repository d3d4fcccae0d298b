"""Lists a namespace's keys, page by page."""

from collections.abc import Mapping
from typing import Any

from rustorium import arguments
from rustorium.client import wire
from rustorium.client.base import address_of
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
        """Returns a page of a namespace's keys that begin with `prefix`, as of the newest state or the height `at`.
        `cursor=page.next_cursor` gives the next page, until it is `None`. All pages are of the first one's height.

        The list is the node's claim: read a key to have it proven. Errors: Pruned if the node doesn't keep that height
        any more; NotFound if it hasn't executed it yet."""
        asked: dict[str, str | int] = {
            "prefix": raw(prefix, "a prefix").hex(),
            "encoding": "hex",
            "limit": arguments.whole(limit, "limit"),
            "values": int(values),
        }
        if cursor is not None:
            asked["cursor"] = arguments.text(cursor, "cursor")
        elif at is not None:
            asked["at"] = arguments.whole(at, "at")
        return await self._read(_page, f"/v1/accounts/{address_of(account)}/keys", params=asked)


def _page(answer: Mapping[str, Any]) -> KeyPage:
    return KeyPage(tuple(_key(item) for item in answer["keys"]), answer.get("next"), wire.at(answer))


def _key(item: Mapping[str, Any]) -> ListedKey:
    return ListedKey(
        key=bytes.fromhex(item["key_hex"]),
        value_bytes=int(item["value_bytes"]),
        value_hash=str(item["value_hash"]),
        value=wire.value_of(item),
    )
