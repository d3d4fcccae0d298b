"""Versions, holdings and grants: what is called proven was checked, and an answer that contradicts its proof is
refused."""

from collections.abc import Callable, Mapping
from typing import Any

import pytest
import trio
import trio.testing
from fake_net import FakeNet

from rustorium.client import AsyncClient, Key
from rustorium.client.blocks import READERS
from rustorium.client.endpoints import Endpoint
from rustorium.client.history import last_write, proven_version
from rustorium.client.wire import parse
from rustorium.errors import BadResponse, ProofRefused
from rustorium.types import (
    Account,
    At,
    Balance,
    Claim,
    Failure,
    Grant,
    ProvenState,
    Receipt,
    Subject,
    TransactionStatus,
    Version,
)

ME, OTHER = Key.generate().address, Key.generate().address
ID = "ab" * 32


def put(key: str, value: str, namespace: str = ME) -> dict[str, Any]:
    return {"type": "put", "namespace": namespace, "key_hex": key.encode().hex(), "value": value}


def delete(key: str, namespace: str = ME) -> dict[str, Any]:
    return {"type": "delete", "namespace": namespace, "key_hex": key.encode().hex()}


@pytest.mark.parametrize(
    ("operations", "left"),
    [
        ([put("k", "1")], (b"1",)),
        ([put("k", "1"), put("k", "2"), put("other", "3")], (b"2",)),
        ([put("k", "1"), delete("k")], (None,)),
        ([delete("k"), put("k", "1")], (b"1",)),
        ([put("k", "1", OTHER), delete("k", OTHER), put("kk", "1")], None),
        ([{"type": "transfer", "to": ME, "asset": ID, "amount": "1"}], None),
    ],
)
def test_the_last_write_of_a_key_counts(operations: list[dict[str, Any]], left: tuple[bytes | None] | None) -> None:
    assert last_write(operations, ME, b"k") == left


def status(height: int, operations: list[dict[str, Any]], failure: Failure | None = None) -> TransactionStatus:
    receipt = Receipt(ID, ME, 0, height, 0, 77, 1, failure)
    return TransactionStatus(ID, "final", receipt, True, {"operations": operations}, proven=True)


def test_a_version_is_proven_by_the_transaction_that_left_its_value() -> None:
    version = Version(5, b"1", 1, ID)
    proven = proven_version(version, status(5, [put("k", "1")]), ME, b"k")
    assert proven == Version(5, b"1", 77, ID, proven=True)
    removed = Version(5, None, 1, ID)
    assert proven_version(removed, status(5, [delete("k")]), ME, b"k").proven


@pytest.mark.parametrize(
    "wrong",
    [
        status(6, [put("k", "1")]),
        status(5, [put("k", "2")]),
        status(5, [put("k", "1"), put("k", "2")]),
        status(5, [put("other", "1")]),
        status(5, [put("k", "1", OTHER)]),
        status(5, [delete("k")]),
        status(5, [put("k", "1")], Failure("precondition", 0)),
    ],
)
def test_a_version_that_its_transaction_did_not_leave_is_refused(wrong: TransactionStatus) -> None:
    with pytest.raises(ProofRefused, match="didn't leave there"):
        proven_version(Version(5, b"1", 1, ID), wrong, ME, b"k")


class Node:
    """A client whose nodes answer from a table, those that lie from one of their own, and which accepts the results of
    `prove`."""

    def __init__(
        self,
        answers: Mapping[str, Any],
        found: Mapping[str, TransactionStatus] | None = None,
        lies: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        self.client = AsyncClient(FakeNet().urls, transport=FakeNet().transport)
        self.asked: list[tuple[str, dict[str, Any]]] = []
        self.found: Mapping[str, TransactionStatus] = dict(found or {})

        async def read(
            what: Callable[[Any], Any], path: str, *, params: dict[str, Any] | None = None, absent: bool = False
        ) -> tuple[Any, str]:
            self.asked.append((path, dict(params or {})))
            return parse(what, answers[path.rpartition("/accounts/")[2]]), "http://n0"

        async def attempt(
            _method: str, endpoint: Endpoint, path: str, _deadline: float, *, params: dict[str, Any]
        ) -> Any:
            self.asked.append((path, dict(params)))
            said = (lies or {}).get(endpoint.url, answers)
            return said[path.rpartition("/accounts/")[2]]

        async def get_transaction(transaction: str, *, verify: bool = True) -> TransactionStatus:
            return self.found[transaction]

        setattr(self.client, "_read_from", read)  # noqa: B010
        setattr(self.client._transport, "attempt", attempt)  # noqa: B010
        self.client._transport.known.probed = True
        setattr(self.client, "get_transaction", get_transaction)  # noqa: B010
        setattr(self.client, "_trusts", lambda: found is not None)  # noqa: B010

    def run(self, method: str, *arguments: Any, **named: Any) -> Any:
        async def main() -> Any:
            async with self.client as client:
                return await getattr(client, method)(*arguments, **named)

        return trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))


AT = {"shard": 0, "height": 9, "root": "cd" * 32}


def history(*versions: dict[str, Any], **more: Any) -> dict[str, Any]:
    page = {"namespace": ME, "key_hex": "6b", "versions": list(versions), "kept_from": 2, "at": AT}
    return {f"{ME}/history/6b": page | more}


LISTED = {"height": 5, "time_ms": 1, "transaction": ID, "removed": False, "value": "1"}
OLD = {"height": 2, "removed": False, "value_hex": "ff00"}


def test_versions_with_certified_transactions_are_proven_and_others_are_marked_unproven() -> None:
    node = Node(history(LISTED, OLD, next=2), {ID: status(5, [put("k", "1")])})
    page = node.run("history", ME, "k", before=8, limit=2)
    assert page.versions == (Version(5, b"1", 77, ID, True), Version(2, b"\xff\x00"))
    assert (page.next_before, page.kept_from, page.at.height) == (2, 2, 9)
    assert node.asked[0][1] == {"encoding": "hex", "limit": 2, "before": 8}
    waiting = Node(history(LISTED), {ID: TransactionStatus(ID, "final", None)})
    assert waiting.run("history", ME, "k").versions[0].proven is False


def test_a_false_history_is_refused_by_a_client_with_a_genesis() -> None:
    lie = LISTED | {"value": "2"}
    with pytest.raises(ProofRefused):
        Node(history(lie), {ID: status(5, [put("k", "1")])}).run("history", ME, b"k")
    assert Node(history(lie)).run("history", ME, b"k").versions[0] == Version(5, b"2", 1, ID)
    for broken in (LISTED | {"removed": True}, {"height": 5, "removed": False}, LISTED | {"height": "x"}):
        with pytest.raises(BadResponse):
            Node(history(broken)).run("history", ME, b"k")


def test_after_a_false_history_the_other_nodes_are_asked() -> None:
    lie = history(LISTED | {"value": "2"})
    lies = {"http://n0": lie, "http://n1": lie}
    node = Node(history(LISTED), {ID: status(5, [put("k", "1")])}, lies)
    assert node.run("history", ME, "k").versions == (Version(5, b"1", 77, ID, True),)
    assert len(node.asked) <= 3, "no node is asked for its list twice"
    lies["http://n2"] = lie
    with pytest.raises(ProofRefused, match=r"that it didn't leave there.*http://n\d listed it"):
        Node({}, {ID: status(5, [put("k", "1")])}, lies).run("history", ME, "k")


@pytest.mark.parametrize(
    "lie",
    [
        {"namespace": OTHER},
        {"key_hex": "6c"},
        {"next": 4},
        {"versions": [], "next": 5},
        {"versions": [OLD, LISTED]},
        {"versions": [LISTED, LISTED]},
        {"versions": [LISTED | {"height": 8}]},
        {"versions": [LISTED | {"transaction": "xyz"}]},
        {"versions": [LISTED | {"transaction": "ab"}]},
    ],
)
def test_a_listing_of_another_key_or_order_is_refused(lie: dict[str, Any]) -> None:
    with pytest.raises(BadResponse):
        Node(history(LISTED, OLD, **lie)).run("history", ME, "k", before=8)


def test_the_first_fault_ends_a_page_and_a_refused_proof_comes_first() -> None:
    class Failing(dict[str, TransactionStatus]):
        asked = 0

        def __getitem__(self, transaction: str) -> TransactionStatus:
            self.asked += 1
            raise BadResponse("not a receipt")

    node = Node(history(*(LISTED | {"height": height} for height in range(100, 0, -1))), {})
    failing = node.found = Failing()
    with pytest.raises(BadResponse):
        node.run("history", ME, "k")
    assert failing.asked <= READERS * len(node.client.endpoints), "each node is asked once"
    second = LISTED | {"height": 4, "transaction": "cd" * 32}
    node = Node(history(LISTED, second), {ID: status(6, [put("k", "1")]), "cd" * 32: status(4, [put("k", "1")])})
    with pytest.raises(ProofRefused):
        node.run("history", ME, "k")


def holding(asset: str, amount: int) -> dict[str, str]:
    return {"asset": asset, "balance": str(amount)}


def test_holdings_are_proven_in_one_proof_and_those_of_the_past_are_not() -> None:
    one, two = "11" * 32, "22" * 32
    answers = {f"{ME}/balances": {"account": ME, "balances": [holding(one, 5), holding(two, 7)], "next": "x", "at": AT}}
    node = Node(answers, {})
    proven = At(12, "ef" * 32, 0, True)

    async def prove(subjects: list[Subject], *, at: str) -> ProvenState:
        assert at == "current"
        amounts = {one: 6, two: 0}
        items = {
            subject: Balance(ME, subject.asset or "", amounts[subject.asset or ""], proven) for subject in subjects
        }
        return ProvenState(proven, Claim(13, "", 1, 0), dict(items), b"")

    setattr(node.client, "proven", prove)  # noqa: B010
    page = node.run("holdings", ME)
    assert (page.balances, page.next_cursor) == ((Balance(ME, one, 6, proven),), "x")
    there = At(9, "cd" * 32)
    past = Node(answers, {}).run("holdings", ME, at=9, limit=5)
    assert past.balances == (Balance(ME, one, 5, there), Balance(ME, two, 7, there))
    other = {f"{ME}/balances": {"account": OTHER, "balances": [holding(one, 5)], "at": AT}}
    with pytest.raises(ProofRefused, match="another account"):
        Node(other, {}).run("holdings", ME)
    with pytest.raises(ProofRefused, match="more balances than were asked for"):
        Node(answers, {}).run("holdings", ME, limit=1)
    # A later page keeps its past height, and takes only the cursor.
    node = Node(answers, {})
    assert node.run("holdings", ME, cursor="x", at=9).balances == past.balances
    assert node.asked[0][1] == {"limit": 30, "cursor": "x"}


def given(to: str, until_ms: int | None = None, era: int = 2, *, valid: bool = True) -> dict[str, Any]:
    end = {} if until_ms is None else {"until_ms": until_ms}
    return {"to": to, "rights": ["put"], "prefixes_hex": ["612f"], "era": era, "valid": valid} | end


def test_grants_are_proven_in_one_proof_that_says_which_of_them_hold() -> None:
    """The node says of each that it holds."""
    names = ["rs1a", "rs1b", "rs1c", "rs1d"]
    grants = [given("rs1a"), given("rs1b", 1_000), given("rs1c", era=1), given("rs1d")]
    answers = {f"{ME}/grants": {"account": ME, "grants_era": 2, "grants": grants, "next": "x", "at": AT}}
    node = Node(answers, {})
    proven = At(12, "ef" * 32, 0, True)

    async def prove(subjects: list[Subject], *, at: str) -> ProvenState:
        assert at == "current"
        assert subjects == [Subject(ME), *(Subject(ME, grant=name) for name in names)]
        owner = Account(ME, 0, None, 0, 0, proven, grants_era=2)
        held = [Grant(ME, one["to"], ("put",), (b"a/",), one.get("until_ms"), one["era"], proven) for one in grants[:3]]
        # The last one was taken back meanwhile.
        return ProvenState(proven, Claim(13, "", 1_000, 0), dict(zip(subjects, [owner, *held, None], strict=True)), b"")

    setattr(node.client, "proven", prove)  # noqa: B010
    page = node.run("grants", ME)
    assert [(one.to, one.valid, one.at) for one in page.grants] == [
        ("rs1a", True, proven),
        ("rs1b", False, proven),
        ("rs1c", False, proven),
    ]
    assert (page.grants[0].rights, page.grants[0].prefixes, page.next_cursor) == (("put",), (b"a/",), "x")
    past = Node(answers, {}).run("grants", ME, at=9)
    assert [(one.to, one.valid, one.at.proven) for one in past.grants] == [(name, True, False) for name in names]
    other = {f"{ME}/grants": {"account": OTHER, "grants": grants, "at": AT}}
    with pytest.raises(ProofRefused, match="another account"):
        Node(other, {}).run("grants", ME)
    with pytest.raises(ProofRefused, match="more grants than were asked for"):
        Node(answers, {}).run("grants", ME, limit=1)
