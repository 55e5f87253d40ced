"""A real browser, Debian's Chromium, at the page of a test's own banger."""

from __future__ import annotations

import base64
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from tests.support.home import REPOSITORY, Home

CHROMIUM = "/usr/bin/chromium"
SHOTS = REPOSITORY / "build/web-screens"
AXE = REPOSITORY / "ui/node_modules/axe-core/axe.min.js"
# Chromium reports each answer that is no success; which may be none is the tests' business.
_EXPECTED = re.compile(r"Failed to load resource|ERR_CONNECTION|WebSocket connection to .* failed")
_LINK = re.compile(r"http://\S+")
# On a loaded host all takes longer; what never comes is found by the time-out of the test.
WAIT_MS = 45_000


@contextmanager
def open_browser() -> Iterator[Browser]:
    """Chromium without a sandbox of its own where root runs it: it has none then."""
    arguments = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        try:
            yield browser
        finally:
            browser.close()


def link_to(home: Home, port: str = "") -> str:
    """A link that logs a browser in, once; at a port that the test has chosen."""
    match = _LINK.search(home.text("ui", "--no-open", *(("--port", port) if port else ())))
    assert match
    return match[0]


class Visitor:
    """A person at the page: from `open_visitor` until its block ends. `complaints` are errors of the page's own code,
    and what its security policy refused. The person logs in by a link, or with a token."""

    def __init__(self, home: Home, context: BrowserContext, token: str = "") -> None:
        self.home = home
        self.context = context
        self.page: Page = context.new_page()
        self.page.set_default_timeout(WAIT_MS)
        self.complaints: list[str] = []
        self.page.on("console", self._hear)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        link = link_to(home)
        if token:
            self.page.goto(link.partition("#")[0])
            self.page.get_by_label("A token").fill(token)
            self.button("Log in")
        else:
            self.page.goto(link)
        self.page.wait_for_selector("nav.side")  # logged in, and at the page
        self.origin = re.sub(r"(//[^/]+).*", r"\1", self.page.url)

    def _hear(self, message: ConsoleMessage) -> None:
        if message.type == "error" and not _EXPECTED.search(message.text):
            self.complaints.append(message.text)

    def go(self, path: str) -> Page:
        self.page.goto(self.origin + path)
        self.page.wait_for_selector("h1")
        return self.page

    def button(self, name: str, *, within: str = "body") -> None:
        """Press the button of this name."""
        self.page.locator(within).get_by_role("button", name=name, exact=True).click()

    def confirm(self, name: str) -> str:
        """Agree to the question that is asked, and answer what it says."""
        dialog = self.page.get_by_role("dialog")
        said = dialog.inner_text()
        dialog.get_by_role("button", name=name, exact=True).click()
        dialog.wait_for(state="detached")
        return said

    def type_in_terminal(self, text: str) -> None:
        self.page.locator(".xterm-helper-textarea").focus()
        self.page.keyboard.type(text)
        self.page.keyboard.press("Enter")

    def wait_for_text(self, selector: str, text: str) -> None:
        self.page.locator(selector).filter(has_text=text).first.wait_for()

    def terminal_text(self) -> str:
        return self.page.locator(".xterm-rows").inner_text()

    def violations(self) -> list[str]:
        """What axe finds wrong with the page as it is, a line each."""
        if not self.page.evaluate("'axe' in window"):
            self.page.evaluate(AXE.read_text(encoding="utf-8"))
        found = self.page.evaluate("axe.run({resultTypes: ['violations']})")
        return [
            f"{one['id']}: {node['target']} {node['failureSummary']}"
            for one in found["violations"]
            for node in one["nodes"]
        ]

    def shoot(self, name: str) -> None:
        SHOTS.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=SHOTS / f"{name}.png")

    def shoot_webp(self, path: Path) -> None:
        """A small picture, for the documents."""
        self.page.screenshot()  # the browser may not have drawn for a while
        session = self.context.new_cdp_session(self.page)
        shot = session.send("Page.captureScreenshot", {"format": "webp", "quality": 72})
        path.write_bytes(base64.b64decode(shot["data"]))


@contextmanager
def open_visitor(
    browser: Browser,
    home: Home,
    *,
    width: int = 1440,
    height: int = 900,
    dark: bool = False,
    token: str = "",
) -> Iterator[Visitor]:
    """The page must not complain of itself."""
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        permissions=["clipboard-read", "clipboard-write"],
    )
    try:
        visitor = Visitor(home, context, token)
        yield visitor
        assert not visitor.complaints
    finally:
        context.close()
