"""The explorer in a real browser: a page that records its requests and errors, and helpers that read it."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from playwright.sync_api import Browser, ConsoleMessage, Locator, LocatorAssertions, Page, Request

CHROMIUM = "/usr/bin/chromium"
WIDE = {"width": 1280, "height": 900}
PHONE = {"width": 390, "height": 844}
TIMEOUT_MS = 30_000
# A browser logs each unsuccessful answer; the page itself says what it means. 503: nothing is certified yet.
ANSWERED = re.compile(r"Failed to load resource: the server responded with a status of (4\d\d|503)")

# Luminance and contrast as WCAG 2 defines them, of each text on its background; a canvas reads all notations of
# colours.
CONTRAST = """() => {
  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    const [r, g, b, a] = canvas.getImageData(0, 0, 1, 1).data;
    return [r, g, b, a / 255];
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const ground = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(rgba(getComputedStyle(at).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
  };
  const light = (colour) => {
    const [r, g, b] = colour.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const found = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const element = node.parentElement;
    const left = element.closest(".hidden, noscript, svg, .doubtful");
    if (!node.data.trim() || !element.checkVisibility() || left) continue;
    const below = ground(element);
    const colour = over(rgba(getComputedStyle(element).color), below);
    const [a, b] = [light(colour), light(below)].sort((x, y) => y - x);
    found.push([(a + 0.05) / (b + 0.05), node.data.trim().slice(0, 40)]);
  }
  return found.sort((x, y) => x[0] - y[0]);
}"""


def expect(locator: "Locator") -> "LocatorAssertions":
    """Returns Playwright's assertions, which wait. Imported here, because runs without Playwright read this file,
    too.
    """
    from playwright.sync_api import expect as expectation

    expectation.set_options(timeout=TIMEOUT_MS)
    return expectation(locator)


class Explorer:
    """A tab with the explorer of a node at `base`."""

    def __init__(self, page: "Page", base: str) -> None:
        self.page, self.base = page, base
        self.foreign: list[str] = []
        self.faults: list[str] = []
        page.set_default_timeout(TIMEOUT_MS)
        page.on("request", self._asked)
        page.on("console", self._said)
        page.on("pageerror", lambda error: self.faults.append(str(error)))

    def _asked(self, request: "Request") -> None:
        if not request.url.startswith(f"{self.base}/"):
            self.foreign.append(request.url)

    def _said(self, message: "ConsoleMessage") -> None:
        if message.type in ("error", "warning") and not ANSWERED.match(message.text):
            self.faults.append(message.text)

    def open(self, address: str = "#/") -> None:
        """Loads the page at an address, and waits until its view is there."""
        self.page.goto("about:blank")
        self.page.goto(f"{self.base}/ui/{address}")
        expect(self.page.locator("main h1")).to_be_attached()

    def search(self, text: str) -> None:
        """Searches as a person does."""
        self.page.get_by_role("searchbox").fill(text)
        self.page.keyboard.press("Enter")

    def heading(self, text: str | re.Pattern[str]) -> None:
        """Waits for a view's heading."""
        expect(self.page.locator("main h1")).to_have_text(text)

    def proof(self, state: str) -> None:
        """Waits until the view's proof is in a state."""
        expect(self.page.locator(".proof")).to_have_attribute("data-state", state)

    def overflow(self) -> int:
        """Returns the pixels by which the page is wider than its window."""
        return int(self.page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth"))

    def contrasts(self) -> list[tuple[float, str]]:
        """Returns the contrast of each visible text, the lowest first."""
        return [(float(ratio), str(text)) for ratio, text in self.page.evaluate(CONTRAST)]

    def shot(self, name: str) -> None:
        """Saves a picture of the whole page if a folder for pictures is set."""
        folder = os.environ.get("RUSTORIUM_SCREENSHOTS")
        if folder:
            self.page.screenshot(path=Path(folder) / f"{name}.png", full_page=True)


@contextmanager
def chromium() -> "Iterator[Browser]":
    """Debian's Chromium, without a window."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def explorer(browser: "Browser", base: str, **options: Any) -> Iterator[Explorer]:
    """A tab in its own window. A request to another host, and any error in the page, fails the test at the end."""
    context = browser.new_context(**{"viewport": WIDE, "color_scheme": "light", **options})
    tab = Explorer(context.new_page(), base)
    yield tab
    context.close()
    assert tab.foreign == [], f"the page asks nobody but its node: {tab.foreign}"
    assert tab.faults == [], f"the browser has nothing to complain of: {tab.faults}"
