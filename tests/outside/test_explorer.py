"""The explorer in Chromium, against a live devnet: every view in every form, live updates, search, and proofs that the
page checks and refuses if they were changed."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from explorer_page import PHONE, WIDE, Explorer, chromium, expect, explorer

from rustorium.cli import main
from rustorium.client import Client, Key, operations
from rustorium.net.devnet import Devnet

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route

pytestmark = [pytest.mark.outside, pytest.mark.timeout(600)]

REGIONS = ("eu-west-1", "us-east-1", "ap-northeast-1", "sa-east-1")
VECTORS = Path(__file__).parent.parent / "vectors" / "proofs.json"
KEY, VALUE = b"invoice/17", b"paid, in full"
CONTRAST_MIN = 4.5
# WCAG 2.2 asks for 24 pixels.
LINK_PX_MIN = 30
# A killed peer is noticed after some seconds of silence.
NOTICED_MS = 120_000
FORMS = {
    "light": {"viewport": WIDE, "color_scheme": "light"},
    "dark": {"viewport": WIDE, "color_scheme": "dark"},
    "phone": {"viewport": PHONE, "color_scheme": "light"},
}


@dataclass
class World:
    """A devnet with some data, and ways to write more."""

    net: Devnet
    base: str
    client: Client
    address: str
    asset: str
    id: str
    height: int
    digest: str

    def views(self) -> dict[str, tuple[str, str]]:
        """Returns the address and the heading of each view."""
        account = f"#/accounts/{self.address}"
        return {
            "overview": ("#/", "Overview"),
            "blocks": ("#/blocks", "Blocks"),
            "block": (f"#/blocks/{self.height}", f"Block {self.height}"),
            "transaction": (f"#/transactions/{self.id}", "Transaction"),
            "account": (account, "Account"),
            "key": (f"{account}/keys/{KEY.hex()}", f"Key {KEY.decode()}"),
            "absent": (f"{account}/keys/{b'nothing'.hex()}", "Key nothing"),
            "balance": (f"{account}/balances/{self.asset}", "Balance"),
            "validators": ("#/validators", "Validators"),
            "governance": ("#/governance", "Governance"),
            "help": ("#/help", "Help"),
        }


LISTS = {"overview": 2, "blocks": 1, "block": 1, "account": 3, "key": 1, "validators": 1, "governance": 1}
PROVEN = ("block", "transaction", "account", "key", "absent", "balance", "governance")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    with Devnet.create(tmp_path_factory.mktemp("explorer") / "net", nodes=4, regions=REGIONS) as net:
        net.start()
        key = Key.open(net.net.accounts[0].key_file)
        base = net.net.nodes[0].http
        with Client(base, genesis=Path(net.net.genesis), key=key) as client:
            written = client.put(KEY, VALUE)
            assert written.receipt is not None
            for index in range(3):
                client.put(f"more/{index}".encode(), bytes([index, 0xFF]))
            block = client.block(written.receipt.height)
            yield World(net, base, client, key.address, net.net.asset, written.id, block.height, block.digest)


@pytest.fixture(scope="module")
def browser() -> "Iterator[Browser]":
    with chromium() as started:
        yield started


@pytest.fixture
def tab(browser: "Browser", world: World) -> Iterator[Explorer]:
    with explorer(browser, world.base) as opened:
        yield opened


@pytest.mark.parametrize("form", FORMS)
def test_every_view_is_complete_readable_and_fits(browser: "Browser", world: World, form: str) -> None:
    with explorer(browser, world.base, **FORMS[form]) as tab:
        for name, (address, heading) in world.views().items():
            tab.open(address)
            tab.heading(heading)
            expect(tab.page.locator("tbody:has(tr)")).to_have_count(LISTS.get(name, 0))
            if name in PROVEN:
                tab.proof("verified")
            tab.shot(f"{name}-{form}")
            assert tab.overflow() <= 0, f"{name} is wider than its window"
            least = tab.contrasts()[0]
            assert least[0] >= CONTRAST_MIN, f"{name}: {least}"
            unnamed = tab.page.locator(
                "a:not([aria-label]):empty, button:not([aria-label]):empty, svg[role=img]:not([aria-label])"
            )
            assert unnamed.count() == 0, f"{name} has parts without a name"


def test_on_a_phone_links_in_lists_are_large_enough_and_the_verdict_comes_first(
    browser: "Browser", world: World
) -> None:
    with explorer(browser, world.base, **FORMS["phone"]) as tab:
        for name, (address, heading) in world.views().items():
            tab.open(address)
            tab.heading(heading)
            if name in PROVEN:
                tab.proof("verified")
                assert tab.page.evaluate("document.querySelector('.stack > .card, .proof').matches('.proof')"), name
            boxes = [link.bounding_box() for link in tab.page.locator("td a").all()]
            assert all(box is not None and min(box["width"], box["height"]) >= LINK_PX_MIN for box in boxes), name


def test_new_final_data_appears_without_reload_or_flicker(tab: Explorer, world: World) -> None:
    tab.open()
    height = tab.page.locator(".figure-box .figure").first
    expect(tab.page.locator("#connection")).to_have_text("Live")
    expect(height).not_to_have_text("–")
    tab.page.evaluate("for (const part of document.querySelectorAll('.card, .figure, svg')) part.dataset.kept = '1'")
    written = world.client.put(b"live", b"1")
    assert written.receipt is not None
    newest = tab.page.locator("table", has_text="Sender").locator("tbody tr").first
    expect(newest.locator("a").first).to_have_attribute("title", written.id)
    assert int((height.text_content() or "").replace(",", "")) >= written.receipt.height
    # Only the rows of the two tables were made again.
    assert tab.page.locator(".card:not([data-kept]), .figure:not([data-kept]), svg:not([data-kept])").count() == 0
    label = tab.page.get_by_role("img", name=re.compile("Transactions a second"))
    expect(label).to_have_attribute("aria-label", re.compile(r"[1-9]\d* at most"))


def test_a_node_that_asks_for_a_token_is_shown_one(browser: "Browser", world: World) -> None:
    token = "rsk_0123456789abcdef_" + "A" * 43

    def gate(route: "Route") -> None:
        if route.request.headers.get("authorization") == f"Bearer {token}":
            route.continue_()
            return
        code = "token-unknown" if "authorization" in route.request.headers else "token-missing"
        body = {"code": code, "title": "A token is needed", "detail": "Send a token.", "status": 401}
        route.fulfill(status=401, content_type="application/problem+json", body=json.dumps(body))

    with explorer(browser, world.base) as tab:
        tab.page.route("**/v1/**", gate)
        for address in ("#/", f"#/accounts/{world.address}"):
            tab.open(address)
            tab.heading("A token is needed")
        for wrong in ("not\u00a0one", "rsk_wrong"):
            tab.page.locator("#token").fill(wrong)
            tab.page.get_by_role("button", name="Use it in this tab").click()
            tab.heading("A token is needed")
        tab.page.locator("#token").fill(token)
        tab.page.get_by_role("button", name="Use it in this tab").click()
        tab.heading("Account")
        tab.proof("verified")
        expect(tab.page.locator("#connection")).to_have_text("Live")
        written = world.client.put(b"by token", b"1")
        tab.open("#/")
        newest = tab.page.locator("table", has_text="Sender").locator("tbody tr").first
        expect(newest.locator("a").first).to_have_attribute("title", written.id)


def test_search_finds_everything_with_a_name(tab: Explorer, world: World) -> None:
    tab.open()
    # Consecutive searches have different headings, so that each has ended before the next one.
    found = {
        str(world.height): f"Block {world.height}",
        world.id: "Transaction",
        world.digest: f"Block {world.height}",
        world.address: "Account",
        f"{world.address}/{KEY.decode()}": f"Key {KEY.decode()}",
        "more/1": "Key more/1",  # in the account that is open
        f"#{world.height}": f"Block {world.height}",
        "no such thing": "Nothing found",
        "node-2": "Validators",
        "0" * 64: "Nothing found",
        "rs1qqqq": "Not an account address",
        str(10**9): "This node holds no such final block",
    }
    for text, heading in found.items():
        tab.search(text)
        tab.heading(heading)


def test_a_view_that_comes_late_leaves_the_focus_to_who_types(tab: Explorer, world: World) -> None:
    tab.open()
    held: list[Route] = []
    searched = f"**/v1/blocks/{'0' * 64}"  # the overview asks for other blocks' receipts meanwhile
    tab.page.route(searched, lambda route: held.append(route))
    with tab.page.expect_request(searched):
        tab.search("0" * 64)
    tab.page.get_by_role("searchbox").fill("node-2")
    held.pop().continue_()
    tab.heading("Nothing found")
    tab.page.keyboard.press("Enter")
    tab.heading("Validators")


def test_a_value_and_an_absence_are_verified_in_the_page(tab: Explorer, world: World) -> None:
    address, _ = world.views()["key"]
    tab.open(address)
    tab.proof("verified")
    expect(tab.page.locator(".value pre")).to_have_text(VALUE.decode())
    tab.page.get_by_text("What was checked").click()
    expect(tab.page.locator(".proof")).to_contain_text("of shard 0, epoch 0, reached from the genesis’ 4 validators")
    expect(tab.page.locator(".proof .whole")).to_have_text(world.net.net.chain)
    signed = tab.page.locator("dt", has_text="Signed by").locator("xpath=following-sibling::dd[1]")
    expect(signed).to_have_text(re.compile(r"^(node-\d, ){2,3}node-\d \([34] of 4 validators\)$"))
    tab.open(world.views()["absent"][0])
    tab.proof("verified")
    expect(tab.page.locator(".value")).to_contain_text("Absent")
    # A user who just wrote sees the new state, not the old one.
    world.client.put(KEY, b"paid twice")
    tab.open(address)
    expect(tab.page.locator(".value pre")).to_have_text("paid twice")
    world.client.put(KEY, VALUE)


@pytest.mark.parametrize("view", ["key", "absent", "balance", "transaction"])
def test_a_proof_is_saved_as_a_file_that_needs_no_node(
    tab: Explorer, world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str], view: str
) -> None:
    tab.open(world.views()[view][0])
    tab.proof("verified")
    with tab.page.expect_download() as saved:
        tab.page.get_by_role("button", name="Download proof").click()
    file = tmp_path / saved.value.suggested_filename
    saved.value.save_as(file)
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(file), "--genesis", world.net.net.genesis, "-o", "json"])
    out, err = capsys.readouterr()
    assert ended.value.code == 0, err
    shown = json.loads(out)
    assert shown["chain"] == world.net.net.chain
    assert world.id in out if view == "transaction" else world.address in out
    file.write_text(file.read_text().replace('"height": ', '"height": 1'))
    with pytest.raises(SystemExit) as ended:
        main(["verify", str(file), "--genesis", world.net.net.genesis])
    assert ended.value.code == 4


def test_keys_are_listed_by_what_they_begin_with(tab: Explorer, world: World) -> None:
    tab.open(world.views()["account"][0])
    tab.page.get_by_label("Keys that begin with").fill("more/")
    tab.page.get_by_role("button", name="List").click()
    expect(tab.page.get_by_role("link", name=KEY.decode())).to_have_count(0)
    expect(tab.page.get_by_role("link", name="more/1")).to_be_visible()
    tab.page.get_by_label("Keys that begin with").fill("nothing/")
    tab.page.get_by_role("button", name="List").click()
    expect(tab.page.get_by_text("No key begins with “nothing/”")).to_be_visible()


def test_a_block_names_its_proposer(tab: Explorer, world: World) -> None:
    proposer = world.client.validators()["validators"][world.client.block(world.height).proposer]["name"]
    tab.open(f"#/blocks/{world.height}")
    tab.heading(f"Block {world.height}")
    fact = tab.page.locator("dt", has_text="Proposed by").locator("xpath=following-sibling::dd[1]")
    expect(fact).to_have_text(re.compile(rf"^{proposer}, view [\d,]+ of epoch 0, shard 0$"))


def test_a_condition_is_described_in_words(tab: Explorer, world: World) -> None:
    told = world.client.send([operations.require_value(world.address, KEY, VALUE)])
    tab.open(f"#/transactions/{told.id}")
    expect(tab.page.get_by_text("the key’s value has this hash")).to_be_visible()
    expect(tab.page.get_by_role("link", name=KEY.decode())).to_be_visible()


def other_digit(digits: str, at: int) -> str:
    """Returns the digits with another digit at a place."""
    return digits[:at] + ("0" if digits[at] != "0" else "1") + digits[at + 1 :]


def lie(body: dict[str, Any], what: str) -> None:
    """Changes an answer as an attacker between node and page could."""
    match what:
        case "another value":
            body["items"][0]["value_hex"] = b"unpaid".hex()
        case "no value":
            body["items"][0].update(value_hex=None, value=None)
        case "another proof":
            body["proof_hex"] = other_digit(body["proof_hex"], len(body["proof_hex"]) // 3)
        case "another value, also in the proof":
            body["items"][0]["value_hex"] = b"PAID, in full".hex()
            body["proof_hex"] = body["proof_hex"].replace(VALUE.hex(), b"PAID, in full".hex())
        case "no proof":
            body["proof_hex"] = ""
        case _:
            raise AssertionError(what)


@pytest.mark.parametrize(
    "what", ["another value", "no value", "another proof", "another value, also in the proof", "no proof"]
)
def test_a_changed_value_or_proof_is_refused_and_not_shown(tab: Explorer, world: World, what: str) -> None:
    def change(route: "Route") -> None:
        answer = route.fetch()
        body = answer.json()
        lie(body, what)
        route.fulfill(response=answer, json=body)

    tab.page.route("**/v1/proofs", change)
    tab.open(world.views()["key"][0])
    tab.proof("refused")
    tab.shot(f"refused-{what.replace(' ', '-').replace(',', '')}")
    expect(tab.page.locator(".proof")).to_contain_text("Refused: this is not proven")
    expect(tab.page.locator(".proof")).to_contain_text("ask another node")
    expect(tab.page.locator(".value")).to_have_text("Not shown: what the node said is not proven.")


def test_a_changed_transaction_or_block_is_refused(tab: Explorer, world: World) -> None:
    def change(route: "Route") -> None:
        answer = route.fetch()
        body = answer.json()
        if "transaction" in body:
            body["transaction"]["operations"][0]["value_hex"] = b"unpaid".hex()
        else:
            body["header"]["transactions"] += 1
        route.fulfill(response=answer, json=body)

    tab.page.route(re.compile(r"/v1/(transactions|blocks)/[0-9a-f]+\?proof=1"), change)
    for view in ("transaction", "block"):
        tab.open(world.views()[view][0])
        tab.proof("refused")
        expect(tab.page.locator(".doubtful").first).to_be_visible()


def test_the_answer_to_another_question_is_refused(tab: Explorer, world: World) -> None:
    def change(route: "Route") -> None:
        asked = json.loads(route.request.post_data or "")
        asked["items"][0]["key_hex"] = b"more/1".hex()
        route.continue_(post_data=json.dumps(asked))

    tab.page.route("**/v1/proofs", change)
    tab.open(world.views()["key"][0])
    tab.proof("refused")
    expect(tab.page.locator(".why")).to_contain_text("of something else than what was asked for")


def test_the_module_shows_what_the_vectors_say(tab: Explorer, world: World) -> None:
    tab.open()
    cases = json.loads(VECTORS.read_text())["cases"]
    shown = tab.page.evaluate(
        """async (cases) => {
          const script = document.querySelector("script[type=module]").src;
          const { instance } = await WebAssembly.instantiateStreaming(fetch(script.replace("main.js", "light.wasm")));
          const { memory, question, answer, answer_bytes } = instance.exports;
          const ask = (words) => {
            const bytes = new TextEncoder().encode(JSON.stringify(words));
            const room = question(bytes.length);
            new Uint8Array(memory.buffer, room, bytes.length).set(bytes);
            const at = answer();
            return JSON.parse(new TextDecoder().decode(new Uint8Array(memory.buffer, at, answer_bytes())));
          };
          return cases.map((one) => {
            ask({ ask: "start", genesis_hex: one.genesis });
            const followed = (one.epochs ?? []).map((change_hex) => ask({ ask: "follow", change_hex, now_ms: 0 }));
            const refused = followed.find((end) => end.refused);
            return refused ?? ask({ ask: "check", kind: "any", proof_hex: one.bytes, now_ms: 0 });
          });
        }""",
        cases,
    )
    for case, end in zip(cases, shown, strict=True):
        assert ("shown" in end) == (case["shows"] is not None), (case["name"], end)
        if case["shows"] is not None:
            assert end["shown"]["claimed_by"]["height"] == case["shows"]["claimed_by"], case["name"]
        if case["shows"] is not None and case["type"] == "read":
            assert end["shown"]["state_root"] == case["shows"]["state_root"]


def test_the_whole_page_works_by_keyboard(tab: Explorer, world: World) -> None:
    tab.open()
    keyboard, focused = tab.page.keyboard, tab.page.locator(":focus")
    keyboard.press("Tab")
    expect(focused).to_have_text("Skip to content")
    expect(focused).to_be_in_viewport()
    assert tab.page.evaluate("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    keyboard.press("Enter")
    expect(focused).to_have_attribute("id", "main")
    keyboard.press("/")
    expect(focused).to_have_attribute("id", "query")
    keyboard.type(world.address)
    keyboard.press("Enter")
    tab.heading("Account")
    expect(focused).to_have_text("Account")
    tab.page.get_by_label("Look up a key").focus()
    keyboard.type(KEY.decode())
    keyboard.press("Enter")
    tab.heading(f"Key {KEY.decode()}")
    tab.page.go_back()
    tab.heading("Account")
    tab.page.go_back()
    tab.heading("Overview")
    tab.page.go_forward()
    tab.heading("Account")
    landmarks = {
        role: tab.page.get_by_role(role).count() for role in ("banner", "navigation", "search", "main", "contentinfo")
    }
    assert landmarks == dict.fromkeys(landmarks, 1)


def test_colours_are_chosen_and_kept(tab: Explorer, world: World) -> None:
    tab.open()
    ground = "getComputedStyle(document.body).backgroundColor"
    light = tab.page.evaluate(ground)
    switch = tab.page.locator("#theme")
    for words in ("Colours: light", "Colours: dark"):
        switch.click()
        expect(switch).to_have_attribute("aria-label", words)
    dark = tab.page.evaluate(ground)
    assert light != dark
    tab.open("#/validators")
    assert tab.page.evaluate(ground) == dark
    switch.click()
    assert tab.page.evaluate(ground) == light


def test_the_map_shows_who_is_connected_and_how_far_they_are(browser: "Browser", world: World) -> None:
    # The page says nothing of where accounts are at home until it has seen ten transactions of a region.
    world.client.send_many([[operations.put(world.address, b"from/%d" % number, b"here")] for number in range(40)])
    with explorer(browser, world.base) as tab:
        tab.open("#/validators")
        picture = tab.page.get_by_role(
            "img", name=re.compile("4 validators in 4 places; node-0 is connected to 3 of 3 others")
        )
        expect(picture).to_be_visible()
        expect(picture.locator(".place")).to_have_count(4)
        # The links between processes of one machine take less than a second.
        expect(tab.page.get_by_role("row", name=re.compile("node-3"))).to_contain_text(re.compile(r"\d ms"))
        expect(picture.locator(".link.up title").first).to_have_text(re.compile(r"^[\d.]+ ms there and back$"))
        expect(picture.locator(".origin")).not_to_have_count(0)
        expect(
            tab.page.get_by_text(re.compile(r"Accounts of the newest \d+ transactions are at home in: "))
        ).to_be_visible()
        world.net.kill(3)
        try:
            expect(tab.page.get_by_role("row", name=re.compile("node-3"))).to_contain_text(
                "not connected", timeout=NOTICED_MS
            )
            expect(tab.page.locator(".link.down")).to_have_count(1)
            tab.shot("validator-down")
        finally:
            world.net.restart(3)
        expect(tab.page.locator(".link.down")).to_have_count(0, timeout=NOTICED_MS)


def test_a_lost_node_is_reported_until_it_is_back(browser: "Browser", world: World) -> None:
    base = world.net.net.nodes[2].http
    with explorer(browser, base) as tab:
        tab.open()
        connection = tab.page.locator("#connection")
        expect(connection).to_have_text("Live")
        tab.faults.clear()
        world.net.kill(2)
        expect(connection).to_have_text("Not connected")
        tab.page.evaluate("location.hash = '#/blocks/1'")
        tab.heading("The node doesn’t answer")
        expect(tab.page.get_by_role("alert")).to_contain_text("continues by itself")
        tab.shot("away")
        world.net.restart(2)
        expect(connection).to_have_text("Live")
        # The user needs to press no button for that.
        tab.heading("Block 1")
        # While there was no node, the browser logged an error for each request.
        tab.faults[:] = [fault for fault in tab.faults if "net::ERR" not in fault]


def test_before_the_first_block_the_page_says_what_to_do(browser: "Browser", tmp_path: Path) -> None:
    with Devnet.create(tmp_path / "net", nodes=4) as net:
        net.start()
        with explorer(browser, net.net.nodes[0].http) as tab:
            tab.open()
            expect(tab.page.locator(".empty .lead")).to_have_text("The chain waits for its first transaction")
            tab.shot("empty")
            tab.open(f"#/accounts/{net.net.accounts[0].address}")
            tab.proof("unproven")
            tab.shot("empty-account")
            tab.open("#/validators")
            expect(
                tab.page.get_by_role("img", name=re.compile("of which none names a region on the map"))
            ).to_be_visible()
            tab.shot("ring")
