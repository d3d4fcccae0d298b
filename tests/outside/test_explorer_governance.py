"""The explorer's page about who governs, in Chromium, against a devnet with an open proposal."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from explorer_page import chromium, expect, explorer

from process_tools import wait_for
from rustorium.cli import main
from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = [pytest.mark.outside, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as started:
        yield started


def test_an_open_proposal_is_proven_with_who_approved_it_and_a_node_that_hides_it_is_refused(
    browser: "Browser", tmp_path: Path
) -> None:
    with Devnet.create(tmp_path / "net", nodes=4) as net:
        net.start()
        keys = [Path(one.key_file) for one in net.net.accounts[:3]]
        operators = [word for key in keys for word in ("--operator", Key.open(key).public_key)]
        govern(net, keys[0], "propose", "operators", *operators, "--quorum", "2")
        with Client.from_net(net.path) as client:
            wait_for("the operators' epoch", lambda: client.validators()["epoch"] > 0)
            govern(net, keys[1], "propose", "parameters", "--set", "epoch_ms=172800000")
            [proposal] = client.governance()["proposals"]
        with explorer(browser, net.net.nodes[0].http) as tab:
            tab.open("#/governance")
            tab.heading("Governance")
            tab.proof("verified")
            shown = tab.page.locator(
                ".card", has=tab.page.get_by_role("heading", name=f"Proposal {proposal['number']}")
            )
            for words in ("seat 1; 2 are needed", "seat 0, seat 2", "with an epoch’s end", proposal["hash"]):
                expect(shown.last).to_contain_text(words)
            row = tab.page.get_by_role("row", name=re.compile("^epoch_ms 86400000 172800000$"))
            expect(row).to_be_visible()
            acts = tab.page.locator("table", has_text="Transaction").locator("tbody tr")
            expect(acts).to_have_count(2)
            acts.first.locator("a").first.click()
            tab.heading("Transaction")
            expect(tab.page.get_by_role("heading", name="Propose a change of the chain")).to_be_visible()
            tab.shot("proposal")

            def hide(route: "Route") -> None:
                answer = route.fetch()
                route.fulfill(response=answer, json=answer.json() | {"proposals": []})

            tab.page.route("**/v1/governance", hide)
            tab.open("#/governance")
            tab.proof("refused")
            expect(tab.page.locator(".why")).to_contain_text(f"doesn’t say that proposal {proposal['number']} is open")


def govern(net: Devnet, key: Path, *words: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["govern", *words, "--key", str(key), "--net", str(net.path), "-o", "json"])
    assert ended.value.code == 0
