"""GraphiQL in a real Chromium: it queries, trades and follows, and asks nobody but the gateway."""

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from tests.gateway.process import Running, running
from tests.tidy.rules import ROOT

pytestmark = pytest.mark.browser

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
# As root there is no sandbox, and a browser under test need not look for its maker's hosts.
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 20_000
ARTEFACTS = ROOT / "artefacts"
KNOWS = """name =>
  document.querySelector(".graphiql-query-editor .CodeMirror").CodeMirror.operationName === name
"""


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("browser") / "data") as gateway:
        yield gateway


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        yield browser
        browser.close()


@dataclass(slots=True)
class Heard:
    """Everything that pages asked for, and every complaint of the browser about them."""

    addresses: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def listen(self, page: Page) -> None:
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("websocket", lambda socket: self.addresses.append(socket.url))
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("requestfailed", lambda request: self.complaints.append(f"failed: {request.url}"))
        page.on(
            "console",
            lambda message: (
                self.complaints.append(message.text)
                if message.type in {"error", "warning"}
                else None
            ),
        )
        page.add_init_script(
            "addEventListener('securitypolicyviolation', e => console.error("
            "`policy: ${e.violatedDirective} ${e.blockedURI}`))"
        )

    def outside(self, gateway: Running) -> set[str]:
        """Return what was asked of anybody but the gateway."""
        here = urlsplit(gateway.url).netloc
        return {
            address
            for address in self.addresses
            if urlsplit(address).scheme != "data" and urlsplit(address).netloc != here
        }


@pytest.fixture
def heard() -> Heard:
    return Heard()


def opened(browser: Browser, gateway: Running, heard: Heard) -> Page:
    """Open GraphiQL in a profile of its own."""
    context = browser.new_context(viewport={"width": 1400, "height": 900})
    context.set_default_timeout(PATIENCE_MS)
    page = context.new_page()
    heard.listen(page)
    page.goto(gateway.url)
    expect(page.locator(".graphiql-container")).to_be_visible(timeout=PATIENCE_MS)
    expect(page.get_by_role("tab", name="Accounts")).to_be_visible(timeout=PATIENCE_MS)
    return page


def run(page: Page, tab: str) -> None:
    """Turn to a tab, and run its operation."""
    page.get_by_role("tab", name=tab, exact=True).click()
    # What GraphiQL knows of the operation follows the tab a moment later, unseen.
    page.wait_for_function(KNOWS, arg=tab)
    page.locator("button.graphiql-execute-button").click()


def wait_for(page: Page, text: str) -> None:
    """Wait for something in the result."""
    result = page.locator(".result-window")
    expect(result).to_contain_text(re.compile(text), timeout=PATIENCE_MS)


def shot(page: Page, name: str) -> None:
    ARTEFACTS.mkdir(exist_ok=True)
    page.screenshot(path=ARTEFACTS / f"graphiql-{name}.png")


def test_a_fill_arrives_in_one_page_for_an_order_placed_in_another(
    browser: Browser, gateway: Running, heard: Heard
) -> None:
    watching, trading = (opened(browser, gateway, heard) for _ in range(2))
    run(watching, "Fills")
    expect(watching.locator("button.graphiql-execute-button")).to_have_attribute(
        "aria-label", re.compile("Stop"), timeout=PATIENCE_MS
    )

    run(trading, "PlaceOrder")
    wait_for(trading, r'"__typename": "Order"')
    wait_for(trading, r'"ordStatus": "(NEW|PARTIALLY_FILLED|FILLED)"')
    expect(trading.locator(".CodeMirror-lint-mark-error")).to_have_count(0)
    wait_for(watching, r'"symbol": "AAPL@XNAS"')
    wait_for(watching, r'"lastPx": "2\d\d')
    shot(trading, "order")
    shot(watching, "fill")

    run(trading, "Accounts")
    wait_for(trading, r'"netQty": "10"')
    shot(trading, "accounts")

    assert heard.complaints == []
    assert heard.outside(gateway) == set()
    assert any(address.startswith("ws://") for address in heard.addresses)


def test_the_token_is_filled_in(browser: Browser, gateway: Running, heard: Heard) -> None:
    page = opened(browser, gateway, heard)
    token = page.locator("meta[name=token]").get_attribute("content") or ""
    assert [bool(part) for part in token.split(".")] == [True] * 3

    page.get_by_role("button", name="Headers", exact=True).click()
    expect(page.locator(".graphiql-editor-tool")).to_contain_text("Bearer ey")
    shot(page, "headers")
    assert heard.complaints == []


def test_the_documentation_is_at_hand(browser: Browser, gateway: Running, heard: Heard) -> None:
    """Introspection takes a permission of its own, which the filled-in token has."""
    page = opened(browser, gateway, heard)
    page.get_by_role("button", name="Show Documentation Explorer").click()
    explorer = page.locator(".graphiql-plugin")
    expect(explorer).to_contain_text("Subscription", timeout=PATIENCE_MS)
    explorer.get_by_role("link", name="Mutation").click()
    expect(explorer).to_contain_text("Place an order.")
    shot(page, "documentation")

    assert heard.complaints == []
    assert heard.outside(gateway) == set()


def test_the_policy_is_in_force(browser: Browser, gateway: Running, heard: Heard) -> None:
    """What the other tests find missing would have been noticed."""
    page = opened(browser, gateway, heard)
    with page.expect_console_message(lambda m: m.text.startswith("policy: connect-src")):
        page.evaluate("fetch('http://127.0.0.1:9/').catch(() => 0)")

    assert any(complaint.startswith("policy: connect-src") for complaint in heard.complaints)
