"""The page, as a person uses it: real Chromium, a real daemon, real machines."""

from __future__ import annotations

import os
import re
import signal
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page

from banger import Client
from tests.support.browser import SHOTS, Visitor, link_to, open_browser, open_visitor
from tests.support.home import IMAGE, Home, open_home, wait_until
from tests.support.pace import allowed_s
from tests.support.registry import open_registry_server
from tests.support.registry_images import Builder

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

PAGES = ("/", "/new", "/images", "/templates", "/networks", "/operations", "/doctor")
TABS = ("overview", "terminal", "log", "files", "network", "snapshots", "events")
PAGE_LIMIT_BYTES = 300_000
EVIL = '<img src=x onerror="document.title=1">'


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with open_browser() as opened:
        yield opened


@pytest.fixture
def visitor(browser: Browser, home: Home) -> Iterator[Visitor]:
    with open_visitor(browser, home) as opened:
        yield opened


@pytest.fixture
def machine(home: Home, name: str) -> Iterator[str]:
    """A running machine of the test's own."""
    home.text("run", "-d", "--name", name, "--memory", "256MiB", IMAGE)
    yield name
    home.run("vm", "delete", "-f", name)


def test_a_machine_is_created_by_the_form_and_answers_in_its_terminal(
    visitor: Visitor, home: Home, name: str
) -> None:
    page = visitor.go("/")
    page.get_by_role("link", name="New machine").click()
    page.get_by_label("Name, or a reference to a registry").fill("debian-book")
    visitor.page.locator(".hits button").filter(has_text=f"{IMAGE} here").click()
    page.get_by_label("Name", exact=True).fill(name)
    page.get_by_label("Memory (MiB)").fill("256")
    command = page.get_by_label("Command", exact=True).inner_text()
    assert command == f"banger run -d --name {name} --memory 256MiB {IMAGE}"
    assert 'memory="256MiB"' in page.get_by_label("Python").inner_text()
    visitor.button("Create and start")
    visitor.wait_for_text(".xterm-rows", "#")
    visitor.type_in_terminal("echo $((41 + 1)) is the answer")
    visitor.wait_for_text(".xterm-rows", "42 is the answer")
    assert name in page.title()

    visitor.button("Stop")
    assert "What is only in its memory is lost".lower() in visitor.confirm("Stop").lower()
    visitor.wait_for_text(".subtitle", "stopped")
    visitor.button("Start")
    visitor.wait_for_text(".subtitle", "running")
    visitor.button("Delete")
    assert "its disk, with all files in it" in visitor.confirm("Delete")
    visitor.wait_for_text("h1", "Machines")
    wait_until(lambda: name not in home.text("ps", "-a"), 20, "the machine is gone")


def test_a_terminal_takes_its_size_and_pastes(visitor: Visitor, machine: str) -> None:
    page = visitor.go(f"/machines/{machine}?tab=terminal")
    visitor.wait_for_text(".xterm-rows", "#")
    visitor.type_in_terminal("stty size; echo wide-$((1 + 1))")
    visitor.wait_for_text(".xterm-rows", "wide-2")
    wide = size_in(visitor.terminal_text())
    page.set_viewport_size({"width": 700, "height": 900})
    visitor.type_in_terminal("sleep 1; clear; stty size; echo narrow-$((1 + 1))")
    visitor.wait_for_text(".xterm-rows", "narrow-2")
    narrow = size_in(visitor.terminal_text())
    assert narrow[1] < wide[1]
    page.evaluate("navigator.clipboard.writeText('echo pasted-$((6 * 7))')")
    visitor.button("Paste")
    visitor.wait_for_text(".xterm-rows", "6 * 7")
    page.keyboard.press("Enter")
    visitor.wait_for_text(".xterm-rows", "pasted-42")


def size_in(text: str) -> tuple[int, int]:
    sizes = [line.split() for line in text.replace("\xa0", " ").splitlines()]
    rows, columns = next(words for words in sizes if len(words) == 2 and all(w.isdigit() for w in words))
    return int(rows), int(columns)


def test_a_terminal_goes_on_after_its_connection_broke(visitor: Visitor, machine: str) -> None:
    page = visitor.page
    page.add_init_script(
        "window.sockets = []; const Real = WebSocket;"
        "window.WebSocket = class extends Real { constructor(...words) { super(...words); sockets.push(this) } }"
    )
    visitor.go(f"/machines/{machine}?tab=terminal")
    visitor.wait_for_text(".xterm-rows", "#")
    visitor.type_in_terminal("kept=of-the-same-shell; echo before")
    visitor.wait_for_text(".xterm-rows", "before")
    visitor.wait_for_text(".terminal-status", "runs")
    page.evaluate("sockets.forEach((socket) => socket.close())")
    visitor.wait_for_text(".terminal-status", "The connection broke")
    visitor.wait_for_text(".terminal-status", "runs")
    visitor.type_in_terminal("echo still $kept")
    visitor.wait_for_text(".xterm-rows", "still of-the-same-shell")
    shown = visitor.terminal_text()
    assert shown.count("still of-the-same-shell") == 1


def test_the_page_goes_on_after_the_daemon_was_killed(browser: Browser, own_home: Home) -> None:
    own_home.text("run", "-d", "--name", "dev", "--memory", "256MiB", IMAGE)
    with open_visitor(browser, own_home) as visitor:
        visitor.go("/machines/dev?tab=terminal")
        visitor.wait_for_text(".xterm-rows", "#")
        visitor.type_in_terminal("kept=over-the-daemon; echo ready-$kept")
        visitor.wait_for_text(".xterm-rows", "ready-over-the-daemon")
        os.kill(own_home.daemon_pid(), signal.SIGKILL)
        visitor.wait_for_text("main > .lost", "Machines keep running")
        # The next daemon is not open on TCP before a user asks for it, and knows no browser.
        port = visitor.origin.rpartition(":")[2]
        link = link_to(own_home, port)
        visitor.wait_for_text("main > .lost", "This session is over")
        visitor.context.new_page().goto(
            link
        )  # stays open: Chromium sometimes never closes a page on a busy host
        visitor.page.bring_to_front()
        visitor.page.locator("main > .lost").wait_for(state="detached")
        visitor.wait_for_text(".terminal-status", "runs")
        visitor.type_in_terminal("echo again-$kept")
        visitor.wait_for_text(".xterm-rows", "again-over-the-daemon")


def test_a_pull_is_watched_and_a_prune_says_what_it_frees(browser: Browser, tmp_path: Path) -> None:
    with open_registry_server(tmp_path / "registry") as server, open_home(own_images=True) as home:
        ref = f"{server.host}/heap:1"
        push_heap(tmp_path / "first", ref)
        with open_visitor(browser, home) as visitor:
            page = visitor.go("/images")
            visitor.button("Pull an image")
            page.get_by_role("dialog").get_by_label("Image").fill(ref)
            page.get_by_role("dialog").get_by_role("button", name="Pull").click()
            page.locator(".tray progress").wait_for()
            visitor.wait_for_text(".images .name", ref)
            (image,) = [one for one in home.json("image", "list") if one["name"] == ref]
            (step,) = home.json("image", "show", ref)["steps"]
            assert step["size_bytes"] > 16 * 1024 * 1024 and not image["steps"]
            visitor.button(f"Layers of {ref}")
            visitor.wait_for_text("dialog", step["digest"][7:19])
            assert "Cancel" not in visitor.confirm("Close")

            push_heap(tmp_path / "second", ref)
            home.text("image", "pull", "--force", ref)  # the name moves to another disk
            visitor.button("Prune")
            assert re.search(r"[0-9]+ disks? that no name and no machine uses?", visitor.confirm("Prune"))
            disks = home.directory / "cache/images"
            digest = image["digest"].removeprefix("sha256:")
            wait_until(
                lambda: not any(digest in path.name for path in disks.iterdir()), 20, "the disk is gone"
            )
            visitor.button(f"Delete {ref}")
            assert "This takes away the name, and the disk" in visitor.confirm("Delete")
            page.locator(".images .name").filter(has_text=ref).wait_for(state="detached")


def push_heap(directory: Path, ref: str) -> None:
    """An image of random bytes."""
    builder = Builder(directory)
    try:
        builder.push(builder.image("heap", [{"heap": os.urandom(16 * 1024 * 1024)}]), f"docker://{ref}")
    finally:
        builder.close()


def test_a_pull_that_fails_shows_code_and_hint(visitor: Visitor) -> None:
    page = visitor.go("/images")
    visitor.button("Pull an image")
    page.get_by_role("dialog").get_by_label("Image").fill("debian-bokworm")
    page.get_by_role("dialog").get_by_role("button", name="Pull").click()
    visitor.wait_for_text(".tray .complaint code", "image_not_found")
    visitor.wait_for_text(".tray .complaint .hint", "did you mean debian-bookworm?")


def test_files_go_there_and_come_back(visitor: Visitor, machine: str, tmp_path: Path) -> None:
    sent = tmp_path / ("a" * 120 + " ü.bin")
    sent.write_bytes(os.urandom(70_000))
    page = visitor.go(f"/machines/{machine}?tab=files")
    visitor.button("tmp/", within=".files")
    page.locator("input[type=file]").set_input_files([sent])
    visitor.wait_for_text(".note", "Sent to /tmp")
    visitor.wait_for_text(".files .name", sent.name)
    with page.expect_download() as fetching:
        visitor.button(f"Fetch {sent.name}")
    assert Path(fetching.value.path()).read_bytes() == sent.read_bytes()


def test_names_of_any_bytes_are_listed_opened_and_fetched_also_without_a_shell(
    visitor: Visitor, home: Home, machine: str
) -> None:
    script = r"""
    mkdir "$(printf '/srv/caf\351')" && printf contents >"$(printf '/srv/caf\351/\377 \303\274\nb')"
    mkdir /srv/many && cd /srv/many && seq -f 'file %g' 1000 | xargs -d '\n' touch
    mv /usr/bin/sh /usr/bin/no-sh
    """
    home.text("exec", machine, "--", "sh", "-c", script)
    page = visitor.go(f"/machines/{machine}?tab=files")
    visitor.button("srv/", within=".files")
    visitor.button("many/", within=".files")
    visitor.wait_for_text(".files .name", "file 1")
    assert page.get_by_role("table", name="Files").get_attribute("aria-rowcount") == "1001"
    assert page.locator(".files .table-body .row").count() < 60
    page.get_by_role("navigation", name="Directory").get_by_role("button", name="srv/").click()
    visitor.button("caf\\xe9/", within=".files")
    visitor.wait_for_text(".files .c1", "8 B")
    with page.expect_download() as fetching:
        visitor.button("Fetch \\xff ü b")
    assert Path(fetching.value.path()).read_bytes() == b"contents"


def test_names_and_output_of_a_guest_are_only_text(visitor: Visitor, home: Home, machine: str) -> None:
    script = (
        f"touch '/srv/{EVIL}'; printf '%s\\n' '{EVIL} in the log' >/dev/console;"
        "printf '\\033]0;owned title\\007\\033]52;c;b3duZWQ=\\007red \\033[31mline\\033[0m\\n' >/dev/console"
    )
    home.text("exec", machine, "--", "sh", "-c", script)
    page = visitor.go(f"/machines/{machine}?tab=files")
    title = page.title()
    visitor.button("srv/", within=".files")
    visitor.wait_for_text(".files .name", EVIL)
    visitor.go(f"/machines/{machine}?tab=log")
    visitor.wait_for_text(".line", f"{EVIL} in the log")
    visitor.wait_for_text(".line", "red line")
    log = page.locator(".log").inner_text()
    assert "\x1b" not in log and "owned" not in log and "[31m" not in log

    visitor.go(f"/machines/{machine}?tab=terminal")
    visitor.wait_for_text(".xterm-rows", "#")
    page.evaluate("navigator.clipboard.writeText('mine')")
    sequences = (r"\033]0;owned\007", r"\033]52;c;b3duZWQ=\007", r"\033]8;;//evil/\007link\033]8;;\007\n")
    visitor.type_in_terminal(f"printf '{''.join(sequences)}'; echo said-$((1+1))")
    visitor.wait_for_text(".xterm-rows", "said-2")
    assert page.title() == title
    assert page.evaluate("navigator.clipboard.readText()") == "mine"
    assert page.locator("img").count() == 0


def test_a_link_to_a_guest_takes_no_cookie_along(visitor: Visitor, home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, "--memory", "256MiB", "-p", "0:80", IMAGE)
    page = visitor.go(f"/machines/{name}")
    link = page.locator(".subtitle .ports a")
    link.wait_for()
    host = link.evaluate("(link) => link.hostname")
    assert host in ("localhost", "127.0.0.1") and host != page.evaluate("location.hostname")
    assert not [cookie for cookie in visitor.context.cookies() if cookie["domain"] == host]
    home.text("vm", "delete", "-f", name)


# A page that asks for nothing more once it has come.
NO_ICON = b'<!doctype html><link rel="icon" href="data:,"><title>guest</title>'


@pytest.mark.parametrize(
    ("host", "is_the_pages"), [("banger.localhost", True), ("localhost", False), ("127.0.0.1", False)]
)
def test_the_page_s_cookie_goes_to_its_own_name_alone(
    visitor: Visitor, host: str, is_the_pages: bool
) -> None:
    heads: list[bytes] = []

    def serve(listener: socket.socket) -> None:
        connection, _ = listener.accept()
        with connection:
            connection.settimeout(60)
            heads.append(connection.recv(64 * 1024).lower())
            head = b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: %d\r\nConnection: close\r\n\r\n"
            connection.sendall(head % len(NO_ICON) + NO_ICON)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.settimeout(60)
        server = threading.Thread(target=serve, args=(listener,))
        server.start()
        page = visitor.context.new_page()
        page.goto(f"http://{host}:{listener.getsockname()[1]}/")
        server.join()
    assert heads[0].startswith(b"get / http/1.1") and (b"\r\ncookie:" in heads[0]) == is_the_pages


# What a session that only reads may press on any page.
LOOKING = {"Look again", "Previous", "Next", *(tab.capitalize() for tab in TABS)}
CHANGING = """async (machine) => {
  const told = [];
  const changes = [["POST", "/stop"], ["DELETE", "?force=true"], ["POST", "/published"], ["PUT", "/files?path=/"]];
  for (const [method, path] of changes) {
    const answer = await fetch(`/v1/machines/${machine}${path}`, { method, headers: { "X-Banger": "1" } });
    told.push((await answer.json()).error.code);
  }
  told.push(await new Promise((resolve) => {
    const socket = new WebSocket(`ws://${location.host}/v1/machines/${machine}/exec`);
    socket.onopen = () => resolve("opened");
    socket.onerror = () => resolve("refused");
  }));
  return told;
}"""


def test_a_session_that_may_only_read_looks_and_changes_nothing(
    browser: Browser, home: Home, machine: str
) -> None:
    secret = home.text("token", "create", machine, "--read-only", "--expires", "1h").strip()
    home.text("vm", "snapshot", machine, "kept")
    home.text("network", "create", machine)
    with open_visitor(browser, home, token=secret) as visitor:
        visitor.wait_for_text(".who", "read-only")
        for path in (*PAGES, *(f"/machines/{machine}?tab={tab}" for tab in TABS)):
            page = visitor.go(path)
            page.locator(".waiting").first.wait_for(state="detached")
            buttons = page.locator("main button").all_inner_texts()
            assert {*buttons} <= LOOKING, f"{path}: {buttons}"
            for control in ("main select:visible", "main input[type=file]", "main a[href^='/new']"):
                allowed = ["console\nmain command"] if "log" in path and "select" in control else []
                assert page.locator(control).all_inner_texts() == allowed, f"{path}: {control}"
        visitor.go(f"/machines/{machine}?tab=snapshots")
        visitor.wait_for_text(".tree", "kept")
        assert visitor.violations() == []
        told = visitor.page.evaluate(CHANGING, machine)
        assert told == ["not_permitted"] * 4 + ["refused"]
    assert home.json("vm", "show", machine)["state"] == "running"
    home.text("network", "delete", machine)
    home.text("snapshot", "delete", machine, "kept")
    home.text("token", "revoke", machine)


def test_a_session_that_is_over_says_what_to_do(visitor: Visitor) -> None:
    visitor.context.clear_cookies()
    page = visitor.go("/")
    visitor.wait_for_text("h1", "This session is over")
    assert "banger ui" in page.locator("main").inner_text()


def test_the_log_follows_and_searches(visitor: Visitor, home: Home, machine: str) -> None:
    home.text("exec", machine, "--", "sh", "-c", "seq 1 900 | sed 's/^/count /' >/dev/console")
    page = visitor.go(f"/machines/{machine}?tab=log")
    visitor.wait_for_text(".line", "count 900")
    home.text("exec", machine, "--", "sh", "-c", "echo the newest >/dev/console")
    visitor.wait_for_text(".line", "the newest")
    page.get_by_label("Search the log").fill("count 17")
    visitor.wait_for_text(".console-panel .toolbar", "11 lines fit")
    visitor.wait_for_text(".line.hit", "count 17")
    assert page.locator(".line").count() < 200


def test_the_list_draws_only_what_is_in_sight(browser: Browser, own_home: Home) -> None:
    with Client(own_home.json("system", "info")["socket"]) as client:
        for number in range(500):
            client.machines.create(IMAGE, name=f"many-{number:03}-{'long' * 10}")
    with open_visitor(browser, own_home) as visitor:
        visitor.go("/")
        visitor.wait_for_text(".toolbar", "500 machines")
        drawn = visitor.page.locator(".machines .table-body .row")
        assert 5 < drawn.count() < 60
        visitor.page.locator(".machines .table-body").evaluate("(box) => box.scrollTo(0, box.scrollHeight)")
        visitor.wait_for_text(".machines .name", "many-000")
        assert drawn.count() < 60
        visitor.page.get_by_label("Filter machines").fill("many-123")
        visitor.wait_for_text(".toolbar", "1 of 500")
        visitor.shoot("500-machines")


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [1440, 1024, 390])
def test_each_page_fits_and_axe_finds_no_fault(
    browser: Browser, home: Home, machine: str, width: int, dark: bool
) -> None:
    found = []
    with open_visitor(browser, home, width=width, dark=dark) as visitor:
        for path in (*PAGES, *(f"/machines/{machine}?tab={tab}" for tab in TABS)):
            page = visitor.go(path)
            page.locator(".waiting").first.wait_for(state="detached")
            if "terminal" in path:
                visitor.wait_for_text(".xterm-rows", "#")
            name = path.strip("/").replace(f"machines/{machine}?tab=", "machine-") or "machines"
            visitor.shoot(f"{name}-{width}-{'dark' if dark else 'light'}")
            found += [f"{path}: {one}" for one in visitor.violations()]
            wider = page.evaluate("document.documentElement.scrollWidth - innerWidth")
            found += [f"{path}: {wider} pixels wider than the window"] if wider > 0 else []
    assert not found, "\n".join(found)


def test_the_keyboard_alone_creates_a_network(visitor: Visitor, home: Home, name: str) -> None:
    page = visitor.go("/")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to the page"
    for _ in range(20):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent") == "Networks":
            break
    outline = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
    assert outline == "solid"
    page.keyboard.press("Enter")
    visitor.wait_for_text("h1", "Networks")
    assert page.evaluate("document.activeElement.tagName") == "H1"
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.get_by_role("dialog").wait_for()
    page.keyboard.type(name)
    page.keyboard.press("Enter")
    visitor.wait_for_text("h2", name)
    assert page.evaluate("document.activeElement.textContent") == "New network"
    home.text("network", "delete", name)


def tab_to(page: Page, words: str) -> None:
    """Press Tab until the focus is at the control of this name."""
    name = "(document.activeElement.labels?.[0] ?? document.activeElement).textContent"
    seen = []
    for _ in range(60):
        page.keyboard.press("Tab")
        seen.append(str(page.evaluate(name))[:60])
        if seen[-1].startswith(words):
            return
    raise AssertionError(f"{words!r} is not among {seen}")


def test_the_keyboard_alone_creates_a_machine_and_uses_its_terminal(
    visitor: Visitor, home: Home, name: str
) -> None:
    page = visitor.go("/")
    tab_to(page, "New machine")
    page.keyboard.press("Enter")
    visitor.wait_for_text("h1", "New machine")
    for field, text in (("Name, or a reference", IMAGE), ("Name", name), ("Memory", "256")):
        tab_to(page, field)
        page.keyboard.type(text)
    tab_to(page, "Create and start")
    page.keyboard.press("Enter")
    visitor.wait_for_text(".xterm-rows", "#")
    visitor.wait_for_text(".terminal-status", "runs")
    page.keyboard.type("echo $((41 + 1)) by keys")
    page.keyboard.press("Enter")
    visitor.wait_for_text(".xterm-rows", "42 by keys")
    page.keyboard.press("Control+Shift+L")
    assert page.evaluate("document.activeElement.textContent") == "Terminal"
    page.keyboard.press("ArrowRight")
    visitor.wait_for_text("[role=tab][aria-selected=true]", "Log")
    home.text("vm", "delete", "-f", name)


def test_a_page_is_small_and_soon_of_use(browser: Browser, home: Home, machine: str) -> None:
    with open_visitor(browser, home) as visitor:
        session = visitor.context.new_cdp_session(visitor.page)
        session.send("Network.enable")
        received: list[int] = []
        session.on("Network.loadingFinished", lambda event: received.append(int(event["encodedDataLength"])))
        begun = time.monotonic()
        visitor.go("/")
        visitor.wait_for_text(".machines .name", machine)
        took_s = time.monotonic() - begun
        assert took_s < allowed_s(1)
        visitor.go(f"/machines/{machine}?tab=terminal")
        visitor.wait_for_text(".xterm-rows", "#")
        assert 20_000 < sum(received) < PAGE_LIMIT_BYTES


def test_pictures_of_the_documents(browser: Browser, own_home: Home) -> None:
    """They become docs/web-*.webp when someone copies them there."""
    for name, *options in (("api", "-p", "0:80"), ("database",), ("worker",)):
        own_home.text("run", "-d", "--name", name, "--memory", "256MiB", *options, IMAGE)
    own_home.text("exec", "-d", "worker", "--", "sh", "-c", "while :; do :; done")
    SHOTS.mkdir(parents=True, exist_ok=True)
    with open_visitor(browser, own_home, width=1200, height=700) as visitor:
        visitor.go("/")
        visitor.wait_for_text(".machines .number", "%")
        visitor.page.wait_for_timeout(12_000)  # curves want some points
        visitor.shoot_webp(SHOTS / "web-machines.webp")
        visitor.go("/machines/worker")
        visitor.wait_for_text(".key", "busy")
        visitor.page.wait_for_timeout(16_000)
        visitor.shoot_webp(SHOTS / "web-machine.webp")
    with open_visitor(browser, own_home, width=1200, height=700, dark=True) as visitor:
        visitor.go("/machines/api?tab=terminal")
        visitor.wait_for_text(".xterm-rows", "#")
        visitor.type_in_terminal("uname -a; cat /etc/os-release")
        visitor.wait_for_text(".xterm-rows", "BUG_REPORT_URL")
        visitor.shoot_webp(SHOTS / "web-terminal.webp")
    for name in ("web-machines", "web-machine", "web-terminal"):
        assert 5_000 < (SHOTS / f"{name}.webp").stat().st_size < 200_000
