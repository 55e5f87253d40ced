"""The web page in Debian's Chromium, until it is of use: from the address to a list of all machines, and then to the
form that a click on *New machine* opens. Each visit is a browser's first: nothing is cached."""

from __future__ import annotations

import json
import subprocess
from functools import partial

from playwright.sync_api import Browser, Page

from bench.noise import Sample, sample, timed_ms
from bench.place import BANGER, bare_daemon, create_machines, delete_machines
from bench.table import Row
from tests.support.browser import open_browser

SIZES = (20, 500)
VISITS = 7
_WAIT_MS = 20_000
_LOG_IN = """async (link) => {
  const body = JSON.stringify({ link });
  const answer = await fetch("/login", { method: "POST", headers: { "X-Banger": "1" }, body });
  if (!answer.ok) throw new Error(await answer.text());
}"""


def measure() -> list[Row]:
    rows = []
    with bare_daemon(), open_browser() as browser:
        for size in SIZES:
            create_machines(size)
            shown, usable = _visits(browser)
            delete_machines()
            what = f"page with {size} machines, nothing cached"
            rows += [
                Row(f"{what}: the list", "ms", shown),
                Row(f"{what}: a click answered", "ms", usable, aim=1000),
            ]
    return rows


def _visits(browser: Browser) -> tuple[Sample, Sample]:
    """Both from the beginning of the visit. The first visit warms up the browser and the daemon."""
    taken = [_visit(browser) for _ in range(VISITS + 1)][1:]
    shown, usable = zip(*taken, strict=True)
    return sample(shown), sample(usable)


def _visit(browser: Browser) -> tuple[float, float]:
    opened = subprocess.run([BANGER, "ui", "--no-open", "--json"], capture_output=True, text=True, check=True)
    origin, _, secret = json.loads(opened.stdout)["link"].partition("/login#")
    context = browser.new_context(viewport={"width": 1440, "height": 900})
    try:
        page = context.new_page()
        page.set_default_timeout(_WAIT_MS)
        # Logs in without the page, whose files would be cached then.
        page.goto(f"{origin}/login.css")
        page.evaluate(_LOG_IN, secret)
        page.goto("about:blank")
        shown = timed_ms(partial(_open, page, origin))
        return shown, shown + timed_ms(partial(_click, page))
    finally:
        context.close()


def _open(page: Page, origin: str) -> None:
    page.goto(origin, wait_until="commit")
    page.locator(".machines .name").first.wait_for()


def _click(page: Page) -> None:
    page.get_by_role("link", name="New machine").click()
    page.get_by_label("Processors").wait_for()
