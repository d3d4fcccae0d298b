"""`account history`, `holdings` and `grants` of what isn't there say so, instead of printing nothing."""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from cli_runner import Cli

from rustorium.types import At, Balance, BalancePage, Grant, GrantPage, HistoryPage, Version

AT = At(9, "ab" * 32)
ME = "rs1me"


class Lists:
    """A fake client whose node lists nothing, and keeps heights from `kept_from`."""

    kept_from = 0
    given: tuple[Grant, ...] = ()

    @contextmanager
    def client(self, *_: object, **__: object) -> Iterator["Lists"]:
        yield self

    def history(self, *_: object, **__: object) -> HistoryPage:
        return HistoryPage((), None, self.kept_from, AT)

    def holdings(self, *_: object, **__: object) -> BalancePage:
        return BalancePage((), None, AT)

    def grants(self, *_: object, **__: object) -> GrantPage:
        return GrantPage(self.given, None, AT)


@pytest.fixture
def lists(monkeypatch: pytest.MonkeyPatch) -> Lists:
    made = Lists()
    for module in ("account", "sending"):
        monkeypatch.setattr(f"rustorium.cli.{module}.client_of", made.client)
    return made


def test_a_key_without_versions_is_said_to_have_none(cli: Cli, lists: Lists) -> None:
    ended = cli("account", "history", ME, "invoice/17")
    assert (ended.code, ended.out) == (0, "")
    assert ended.err.splitlines() == ["invoice/17 of rs1me has no versions, on the word of the node."]
    assert json.loads(cli("account", "history", ME, "invoice/17", "-o", "json").out) == []
    lists.kept_from = 500
    below = cli("account", "history", ME, "invoice/17", "--before", "700").err
    assert "has no versions below height 700, on the word of the node, which keeps heights from 500." in below


def test_an_account_without_assets_is_said_to_hold_none(cli: Cli, lists: Lists) -> None:
    ended = cli("account", "holdings", ME)
    assert (ended.code, ended.err) == (0, "rs1me holds no assets, on the word of the node.\n")
    assert json.loads(cli("account", "holdings", ME, "-o", "json").out) == []


def test_grants_are_shown_with_what_they_allow(cli: Cli, lists: Lists) -> None:
    ended = cli("account", "grants", ME)
    assert (ended.code, ended.err) == (0, "rs1me gave no grants, on the word of the node.\n")
    lists.given = (
        Grant(ME, "rs1a", ("put", "delete"), (b"a/", b""), 1_800_000_000_000, 1, AT, valid=False),
        Grant(ME, "rs1b", ("put",), (b"\xff",), None, 2, AT, valid=True),
    )
    table = cli("account", "grants", ME).out.splitlines()
    assert table[1].split()[-4:] == ["2027-01-15T08:00:00Z", "no", "9", "no"]
    assert "on the node's word" not in cli("account", "grants", ME).err, "nothing here is proven"
    first, second = json.loads(cli("account", "grants", ME, "-o", "json").out)
    assert (first["rights"], first["prefixes"], first["encoding"]) == (["put", "delete"], ["a/", ""], "utf8")
    assert (first["until"], first["era"], first["valid"]) == ("2027-01-15T08:00:00Z", 1, False)
    assert (second["prefixes"], second["encoding"], second["until"], second["valid"]) == (["ff"], "hex", None, True)


def test_a_proven_list_says_what_is_on_the_nodes_word(cli: Cli, lists: Lists, monkeypatch: pytest.MonkeyPatch) -> None:
    proven, version = At(9, "ab" * 32, proven=True), Version(5, b"1", 77, "cd" * 32, proven=True)
    lists.given = (Grant(ME, "rs1a", ("put",), (b"a/",), None, 1, proven, valid=True),)
    assert cli("account", "grants", ME).err == "That these are all grants is on the node's word.\n"
    monkeypatch.setattr(lists, "history", lambda *_, **__: HistoryPage((version,), None, 0, AT))
    said = "That these are the last values of their blocks, and all versions, is on the node's word.\n"
    assert cli("account", "history", ME, "invoice/17").err == said
    held = BalancePage((Balance(ME, "ef" * 32, 5, proven),), None, AT)
    monkeypatch.setattr(lists, "holdings", lambda *_, **__: held)
    assert cli("account", "holdings", ME).err == "That these are all assets is on the node's word.\n"
