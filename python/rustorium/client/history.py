"""The versions of a key, and all balances and grants of an account, in pages.

Invariants: a version is called proven only if its transaction's receipt was checked here, and that transaction left
this value under the key; that a node lists all versions, balances or grants is on its word.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from itertools import pairwise
from typing import Any, NamedTuple, TypeVar

from rustorium import arguments
from rustorium.client import wire
from rustorium.client.base import address_of
from rustorium.client.blocks import for_each
from rustorium.client.endpoints import Endpoint
from rustorium.client.listing import ListingMethods
from rustorium.client.text import raw
from rustorium.errors import (
    AbsenceUnproven,
    BadResponse,
    ChainForked,
    NotFound,
    ProofPruned,
    ProofRefused,
    Pruned,
    VerificationFailed,
)
from rustorium.types import (
    Account,
    At,
    Balance,
    BalancePage,
    Grant,
    GrantPage,
    HistoryPage,
    Subject,
    TransactionStatus,
    Version,
)

ID_BYTES = 32
P = TypeVar("P")


class Rows(NamedTuple):
    """A page of an account's listing."""

    account: str
    rows: tuple[Mapping[str, Any], ...]
    at: At
    following: str | None


class HistoryMethods(ListingMethods):
    """The client's methods about versions and holdings."""

    async def history(
        self, namespace: str, key: bytes | str, *, before: int | None = None, limit: int = 30, verify: bool = True
    ) -> HistoryPage:
        """Lists the versions of a key, newest first: one for each block that changed it. Continue with
        `before=page.next_before` until that is `None`.

        With a genesis or checkpoint, the transaction of each version is checked here, once it is certified; the version
        is then `proven`: this transaction wrote this value in this block. That no later one of the same block wrote
        another value, and that no version is missing, is on the node's word. If a version isn't true, the other nodes
        are asked. A node lists what it keeps: see `page.kept_from`.

        Errors: VerificationFailed; Pruned if `before` is below what the node keeps."""
        name = raw(key, "a key")
        params: dict[str, str | int] = {"encoding": "hex", "limit": arguments.whole(limit, "limit")}
        if before is not None:
            params["before"] = arguments.whole(before, "before")
        path = f"/v1/accounts/{address_of(namespace)}/history/{name.hex()}"
        what = partial(_history, subject=(namespace, name.hex()), before=before)
        verify, deadline = verify and self._trusts(), self._deadline(None)
        transport = self._part_of(namespace)._transport

        lies: dict[str, VerificationFailed] = {}

        async def ask(endpoint: Endpoint) -> tuple[HistoryPage, str]:
            if endpoint.url in lies:
                raise lies[endpoint.url]
            return wire.parse(
                what, await transport.attempt("GET", endpoint, path, deadline, params=params)
            ), endpoint.url

        while True:
            try:
                page, url = await transport.first(ask, deadline, absent=verify)
            except (NotFound, Pruned, ProofPruned) as error:
                unproven = verify and not (isinstance(error, Pruned) and before is not None)
                raise (AbsenceUnproven(error.endpoint) if unproven else error) from None
            if not verify:
                return page
            try:
                return replace(page, versions=await self._proven_versions(namespace, name, page.versions))
            except ChainForked:
                raise
            except VerificationFailed as error:
                lies[url] = error.about(url, "{} listed it")

    async def _proven_versions(self, namespace: str, key: bytes, versions: Sequence[Version]) -> tuple[Version, ...]:
        """Errors: VerificationFailed, and what kept a transaction from being read."""
        found = list(versions)

        async def one(place: int) -> None:
            status = await self.get_transaction(str(versions[place].transaction))
            if status.proven:
                found[place] = proven_version(versions[place], status, namespace, key)

        await for_each([place for place, version in enumerate(versions) if version.transaction is not None], one)
        return tuple(found)

    async def _page(
        self, of: Callable[[Rows], P], address: str, what: str, cursor: str | None, at: int | None, limit: int
    ) -> P:
        """Reads a page of an account's listing, as a node says it."""
        params: dict[str, str | int] = {"limit": arguments.whole(limit, "limit")}
        if cursor is not None:
            params["cursor"] = arguments.text(cursor, "cursor")
        elif at is not None:
            params["at"] = arguments.whole(at, "at")

        def page(answer: wire.Answer) -> P:
            return of(_rows(answer, what, address, limit))

        return await self._read(page, f"/v1/accounts/{address_of(address)}/{what}", params=params)

    async def holdings(
        self, address: str, *, cursor: str | None = None, at: int | None = None, limit: int = 30, verify: bool = True
    ) -> BalancePage:
        """Lists the balances of all assets that an account holds, in no meaningful order. Continue with
        `cursor=page.next_cursor`, and the same `at` if there was one, until that is `None`; a short page may still have
        a next one.

        With a genesis or checkpoint, the balances of the newest state are proven, each page by one proof, whose height
        may be above the listing's; an asset that is no longer held is left out. That no asset is missing is on the
        node's word. Balances `at` a height are on the node's word.

        Errors: VerificationFailed; Pruned if the node no longer keeps the height."""
        page = await self._page(_holdings, address, "balances", cursor, at, limit)
        if at is not None or not page.balances or not (verify and self._trusts()):
            return page
        subjects = [Subject(address, asset=one.asset) for one in page.balances]
        state = await self.proven(list(dict.fromkeys(subjects)), at="current")
        held = [one for one in state.items.values() if isinstance(one, Balance) and one.amount > 0]
        return replace(page, balances=tuple(held))

    async def grants(
        self, address: str, *, cursor: str | None = None, at: int | None = None, limit: int = 30, verify: bool = True
    ) -> GrantPage:
        """Lists the grants that an account gave: which accounts may write in its namespace, what, and until when. Also
        those that allow nothing any more: `valid` tells. Continue as for `holdings`.

        With a genesis or checkpoint, the grants of the newest state are proven, each page by one proof, whose height
        may be above the listing's; a grant that was taken back meanwhile is left out. That no grant is missing is on
        the node's word. Grants `at` a height are on the node's word.

        Errors: VerificationFailed; Pruned if the node no longer keeps the height."""
        page = await self._page(_grants, address, "grants", cursor, at, limit)
        if at is not None or not page.grants or not (verify and self._trusts()):
            return page
        owner = Subject(address)
        subjects = [Subject(address, grant=one.to) for one in page.grants]
        state = await self.proven(list(dict.fromkeys([owner, *subjects])), at="current")
        record, time_ms = state.items[owner], state.claim.time_ms
        found = [proven_grant(state.items[one], record, time_ms) for one in dict.fromkeys(subjects)]
        return replace(page, grants=tuple(one for one in found if one is not None))


def proven_grant(held: object, record: object, time_ms: int) -> Grant | None:
    """Returns a proven grant with whether it still allows something, by the account's proven record; `None` if there is
    none any more."""
    if not isinstance(held, Grant):
        return None
    era = record.grants_era if isinstance(record, Account) else 0
    valid = held.era == era and (held.until_ms is None or held.until_ms > time_ms)
    return replace(held, valid=valid)


def proven_version(version: Version, status: TransactionStatus, namespace: str, key: bytes) -> Version:
    """Returns the version as proven by its transaction, whose receipt was checked. Errors: ProofRefused."""
    receipt = status.receipt
    last = wire.parse(lambda shown: last_write(shown["operations"], namespace, key), status.transaction)
    fits = receipt is not None and receipt.ok and receipt.height == version.height
    if not fits or receipt is None or last is None or last[0] != version.value:
        raise ProofRefused(
            f"a node says that transaction {version.transaction} left a value at height {version.height} that it "
            "didn't leave there: don't trust that node"
        )
    return replace(version, proven=True, time_ms=receipt.time_ms)


def last_write(operations: Sequence[Mapping[str, Any]], namespace: str, key: bytes) -> tuple[bytes | None] | None:
    """Returns what a transaction's operations leave under a key, in a tuple; `None` if they don't write it."""
    for one in reversed(operations):
        if one["type"] in ("put", "delete") and (one["namespace"], one["key_hex"]) == (namespace, key.hex()):
            return (wire.value_of(one) if one["type"] == "put" else None,)
    return None


def check_order(page: HistoryPage, before: int | None) -> None:
    """Checks that a page goes back in height, and continues below its last version. Errors: BadResponse."""
    heights = [one.height for one in page.versions]
    above = [before] if before is not None else []
    if any(a <= b for a, b in pairwise([*above, *heights])) or page.next_before not in (None, *heights[-1:]):
        raise BadResponse("a node listed versions out of order: ask another node")


def _history(answer: wire.Answer, subject: tuple[str, str], before: int | None) -> HistoryPage:
    if (answer["namespace"], answer["key_hex"]) != subject:
        raise BadResponse("a node listed the versions of another key: ask another node")
    following = answer.get("next")
    page = HistoryPage(
        versions=tuple(_version(one) for one in answer["versions"]),
        next_before=int(following) if following is not None else None,
        kept_from=int(answer["kept_from"]),
        at=wire.at(answer),
    )
    check_order(page, before)
    return page


def _version(answer: wire.Answer) -> Version:
    value, time_ms, transaction = wire.value_of(answer), answer.get("time_ms"), answer.get("transaction")
    if (value is None) != bool(answer["removed"]):
        raise ValueError("a version has a value, or it is removed")
    if transaction is not None and len(bytes.fromhex(transaction)) != ID_BYTES:
        raise ValueError("a transaction's id has 32 bytes")
    return Version(
        height=int(answer["height"]),
        value=value,
        time_ms=int(time_ms) if time_ms is not None else None,
        transaction=str(transaction) if transaction is not None else None,
    )


def _rows(answer: wire.Answer, what: str, address: str, limit: int) -> Rows:
    """Returns the checked rows of a listing's page. Errors: ProofRefused."""
    rows, following = tuple(answer[what]), answer.get("next")
    if str(answer["account"]) != address:
        raise ProofRefused("a node answered about another account: don't trust that node")
    if len(rows) > limit:
        raise ProofRefused(f"a node listed more {what} than were asked for: don't trust that node")
    return Rows(address, rows, wire.at(answer), str(following) if following is not None else None)


def _holdings(page: Rows) -> BalancePage:
    balances = (Balance(page.account, str(one["asset"]), int(one["balance"]), page.at) for one in page.rows)
    return BalancePage(tuple(balances), page.following, page.at)


def _grants(page: Rows) -> GrantPage:
    grants = (wire.grant(page.account, str(one["to"]), one, page.at, bool(one["valid"])) for one in page.rows)
    return GrantPage(tuple(grants), page.following, page.at)
