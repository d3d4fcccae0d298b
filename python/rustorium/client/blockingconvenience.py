"""The blocking forms of the methods in `convenience`."""

from abc import abstractmethod
from collections.abc import Callable, Coroutine, Iterator, Mapping
from typing import Any, TypeVar

from rustorium.client.aio import AsyncClient
from rustorium.client.convenience import PAGE_KEYS
from rustorium.client.keys import Key
from rustorium.client.submit import Result
from rustorium.client.text import K
from rustorium.errors import OutcomeUnknown
from rustorium.types import BalancePage, GrantPage, HistoryPage, Issued, ListedKey, Submitted, Wait

T = TypeVar("T")


class BlockingConvenience:
    """A part of `Client`."""

    _client: AsyncClient

    @abstractmethod
    def _call(self, method: Callable[..., Coroutine[Any, Any, T]], *args: Any, **kwargs: Any) -> T: ...

    def put_json(
        self,
        key_bytes: bytes | str,
        value: Any,
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Submitted:
        """Sets a key to a value as JSON; equal values have equal bytes."""
        put = self._client.put_json
        return self._call(put, key_bytes, value, key=key, namespace=namespace, wait=wait, timeout_s=timeout_s)

    def get_json(self, namespace: str, key: bytes | str, *, verify: bool = True, max_age_s: float | None = None) -> Any:
        """Returns a key's value read as JSON; `None` if the key has no value."""
        return self._call(self._client.get_json, namespace, key, verify=verify, max_age_s=max_age_s)

    def put_many(
        self,
        values: Mapping[K, bytes | str],
        *,
        key: Key | None = None,
        namespace: str | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
        on_progress: Callable[[int, int], None] | None = None,
    ) -> dict[K, Result]:
        """Sets many keys in few transactions; returns for each key the result of its transaction. `on_progress` is
        called from another thread."""
        put, told = self._client.put_many, on_progress
        return self._call(put, values, key=key, namespace=namespace, wait=wait, timeout_s=timeout_s, on_progress=told)

    def issue(
        self,
        symbol: str,
        amount: int,
        *,
        to: str | None = None,
        key: Key | None = None,
        wait: Wait = "final",
        timeout_s: float | None = None,
    ) -> Issued:
        """Creates an amount of the signer's own asset; returns the asset's id, too."""
        issue = self._client.issue
        return self._call(issue, symbol, amount, to=to, key=key, wait=wait, timeout_s=timeout_s)

    def iter_keys(self, account: str, prefix: bytes | str = b"", *, values: bool = False) -> Iterator[ListedKey]:
        """Yields all keys of a namespace that begin with `prefix`, as of one height; the node's claim, not proven."""
        list_keys, cursor = self._client.list_keys, None
        while True:
            page = self._call(list_keys, account, prefix, cursor=cursor, limit=PAGE_KEYS, values=values)
            yield from page.keys
            cursor = page.next_cursor
            if cursor is None:
                return

    def history(
        self, namespace: str, key: bytes | str, *, before: int | None = None, limit: int = 30, verify: bool = True
    ) -> HistoryPage:
        """Lists the versions of a key, newest first. Each is proven by its transaction if it can be."""
        return self._call(self._client.history, namespace, key, before=before, limit=limit, verify=verify)

    def holdings(
        self, address: str, *, cursor: str | None = None, at: int | None = None, limit: int = 30, verify: bool = True
    ) -> BalancePage:
        """Lists the balances of all assets that an account holds; those of the newest state are proven."""
        return self._call(self._client.holdings, address, cursor=cursor, at=at, limit=limit, verify=verify)

    def grants(
        self, address: str, *, cursor: str | None = None, at: int | None = None, limit: int = 30, verify: bool = True
    ) -> GrantPage:
        """Lists the grants that an account gave, and whether each still allows something; those of the newest state are
        proven."""
        return self._call(self._client.grants, address, cursor=cursor, at=at, limit=limit, verify=verify)

    def resolve(self, unknown: OutcomeUnknown, *, timeout_s: float | None = None) -> Submitted:
        """Waits until the transaction of an `OutcomeUnknown` is final."""
        return self._call(self._client.resolve, unknown, timeout_s=timeout_s)
