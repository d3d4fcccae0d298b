"""The explorer of a net with several shards in Chromium: each shard is a page of its own, checked by its committee."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from explorer_page import PHONE, chromium, expect, explorer

from rustorium.client import Client, Key
from rustorium.net.devnet import Devnet

pytestmark = [pytest.mark.outside, pytest.mark.timeout(600)]


@dataclass
class World:
    """A devnet of two shards: its first node, and in each shard a writer and its transaction's id."""

    base: str
    writers: dict[int, str]
    ids: dict[int, str]


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Devnet.create(tmp_path_factory.mktemp("explorer") / "net", nodes=4, shards=2, accounts=4) as net:
        net.start()
        with Client(net.net.endpoints, genesis=Path(net.net.genesis)) as client:
            keys = {client.shard_of(key.address): key for key in (Key.open(a.key_file) for a in net.net.accounts)}
            ids = {shard: client.put("k", f"of {shard}", key=key).id for shard, key in keys.items()}
            yield World(net.net.nodes[0].http, {shard: key.address for shard, key in keys.items()}, ids)


def test_each_shard_is_shown_and_verified_by_itself(world: World) -> None:
    with chromium() as browser, explorer(browser, world.base) as tab:
        for shard, address in world.writers.items():
            of = f"?shard={shard}" if shard else ""
            tab.open(f"{of}#/accounts/{address}/keys/6b")
            tab.heading("Key k")
            tab.proof("verified")
            expect(tab.page.get_by_text(f"of {shard}", exact=True).first).to_be_visible()
            expect(tab.page.locator("#about")).to_contain_text(f"shard {shard}")
            tab.open(f"{of}#/blocks/1")
            tab.proof("verified")
            expect(tab.page.get_by_role("combobox", name="Shard")).to_have_value(str(shard))
            expect(tab.page.locator("[data-nav=governance]")).to_be_visible(visible=shard == 0)
            expect(tab.page.locator("#connection .word")).to_have_text("Live")


def test_the_page_leads_to_what_is_in_another_shard(world: World) -> None:
    with chromium() as browser, explorer(browser, world.base) as tab:
        tab.open(f"#/accounts/{world.writers[1]}")
        tab.page.get_by_role("link", name="Open it in shard 1").click()
        tab.heading("Account")
        tab.proof("verified")
        assert "?shard=1#/accounts/" in tab.page.url
        # An id is looked for in all shards that the node hosts.
        tab.search(world.ids[0])
        tab.heading("Transaction")
        tab.proof("verified")
        assert "?shard" not in tab.page.url
        tab.page.get_by_role("combobox", name="Shard").select_option("1")
        tab.heading("Overview")
        tab.page.wait_for_url(re.compile(r"\?shard=1#/$"))
        # A shard that the net doesn't have, and what is no number.
        tab.open("?shard=7#/")
        expect(tab.page.get_by_role("alert")).to_contain_text("shard 7")
        tab.open("?shard=../x#/validators")
        tab.heading("Validators")
    with chromium() as browser, explorer(browser, world.base, viewport=PHONE) as tab:
        tab.open("?shard=1#/")
        tab.heading("Overview")
        assert tab.overflow() <= 0
