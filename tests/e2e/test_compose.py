"""Projects with real machines: services find one another, ports lead to them, nothing is left after `down`, and an `up`
that is cut off is finished by the next one."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from textwrap import indent
from typing import Any
from urllib.request import urlopen

import pytest

from tests.support.home import Home, open_home, wait_until

# Answers to whoever connects with the name of its machine.
_SERVER = r"""
use IO::Socket::IP; use POSIX; my $$name = (POSIX::uname)[1];
my $$s = IO::Socket::IP->new(LocalPort => 8000, Listen => 16, ReuseAddr => 1) or die $$@;
$$| = 1; print "serves as $$name\n";
while (my $$c = $$s->accept) {
    1 while defined($$_ = <$$c>) && /\S/;
    print $$c "HTTP/1.0 200 OK\r\n\r\n$$name\n"; close $$c;
}
"""
SHOP = f"""
x-server: &server
  image: debian-bookworm
  mem_limit: 256m
  healthcheck: {{test: ["CMD", "bash", "-c", "</dev/tcp/127.0.0.1/8000"], interval: 1s, retries: 120}}
  command:
  - perl
  - -e
  - |
{indent(_SERVER.strip(), "    ")}
services:
  db:
    <<: *server
    environment: {{KIND: "${{KIND:-plain}}"}}
  web:
    <<: *server
    scale: 2
    ports: ["8000"]
    depends_on: {{db: {{condition: service_healthy}}}}
"""


class Shop:
    def __init__(self, home: Home, directory: Path) -> None:
        self.home = home
        self.file = directory / "compose.yaml"
        self.file.write_text(SHOP)

    def up(self, *options: str, **more: Any) -> str:
        done = self.home.run("up", "--wait", "-f", str(self.file), "-p", "shop", *options, check=True, **more)
        return done.stderr.decode()

    def compose(self, verb: str, *words: str) -> str:
        return self.home.text("compose", verb, "-p", "shop", *words)

    def states(self) -> dict[str, str]:
        return {m["name"]: f"{m['state']} {m['health']}".strip() for m in self.home.json("vm", "list")}

    def ids(self) -> dict[str, str]:
        return {m["name"]: m["id"] for m in self.home.json("vm", "list")}

    def ask(self, *places: str) -> list[str]:
        """Who answers to the first machine of `web` at these places."""
        script = "for p; do exec 3<>/dev/tcp/$p/8000; echo >&3; tail -n 1 <&3; done"
        return self.compose("exec", "web", "--", "bash", "-c", script, "ask", *places).split()


UP = dict.fromkeys(("shop-db-1", "shop-web-1", "shop-web-2"), "running healthy")


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with open_home() as home:
        if why := home.json("system", "info")["no_taps"]:
            pytest.skip(f"capability missing: taps: {why}")
        yield Shop(home, tmp_path)


def test_a_project_comes_up_is_used_changes_and_goes(shop: Shop, tmp_path: Path) -> None:
    told = shop.up()
    assert "waiting until it is healthy" in told and shop.states() == UP
    before = shop.ids()
    assert "made" not in shop.up() and shop.ids() == before  # nothing to do

    assert shop.ask("db", "db.shop-default", "shop-web-2") == ["shop-db-1", "shop-db-1", "shop-web-2"]
    wait_until(lambda: {*shop.ask(*["web"] * 4)} <= {"shop-web-1", "shop-web-2"}, 30, "replicas answer")
    for number in (1, 2):
        (port,) = shop.home.json("vm", "show", f"shop-web-{number}")["network"]["ports"]
        with urlopen(f"http://127.0.0.1:{port['port']}/", timeout=60) as answer:
            assert answer.read().decode() == f"shop-web-{number}\n"
    second = shop.compose("exec", "--index", "2", "web", "--", "hostname")
    assert second == "shop-web-2\n"
    assert shop.compose("exec", "db", "--", "printenv", "KIND") == "plain\n"
    assert sorted(shop.compose("logs").splitlines()) == [
        "db-1  | serves as shop-db-1", "web-1 | serves as shop-web-1", "web-2 | serves as shop-web-2"
    ]  # fmt: skip

    (timed,) = shop.compose("logs", "-t", "--since", "1h", "--tail", "all", "db").splitlines()
    assert re.fullmatch(r"db-1 \| [0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z serves as shop-db-1", timed)
    assert shop.compose("logs", "--until", "1h") == ""

    shop.up("--scale", "web=1", env={"KIND": "other"})
    after = shop.ids()
    assert after.keys() == before.keys() - {"shop-web-2"} and after["shop-web-1"] == before["shop-web-1"]
    assert after["shop-db-1"] != before["shop-db-1"]
    assert shop.compose("exec", "db", "--", "printenv", "KIND") == "other\n"
    assert shop.ask("db") == ["shop-db-1"]

    shop.compose("stop", "web")
    assert shop.states()["shop-web-1"] == "stopped"
    shop.compose("start")
    assert shop.states()["shop-web-1"].startswith("running")
    with shop.home.popen("compose", "logs", "-f", "-p", "shop", "web", stdout=subprocess.PIPE) as follow:
        assert follow.stdout is not None
        assert follow.stdout.readline() == b"web-1 | serves as shop-web-1\n"
        shop.file.unlink()
        shop.compose("down")
        assert follow.wait(60) == 0
    assert shop.states() == {} and shop.home.json("network", "list") == []
    assert shop.compose("ps", "-q") == ""


def test_a_check_that_fails_makes_its_machine_unhealthy_and_up_says_so(shop: Shop) -> None:
    shop.up("db")
    os.kill(shop.home.daemon_pid(), signal.SIGKILL)
    assert shop.states()["shop-db-1"] == "running healthy"
    shop.file.write_text(
        SHOP.replace("retries: 120", "retries: 2").replace("</dev/tcp/127.0.0.1/8000", "exit 3")
    )
    failed = shop.home.run("up", "--wait", "-f", str(shop.file), "-p", "shop", "db")
    assert failed.returncode == 125 and b"shop-db-1 is unhealthy" in failed.stderr
    assert shop.states() == {"shop-db-1": "running unhealthy"}
    events = [e for e in shop.home.text("events", "--json").splitlines() if "machine.unhealthy" in e]
    assert len(events) == 1 and "exit code 3" in events[0]
    shop.compose("down")


def test_an_up_whose_daemon_is_killed_in_the_middle_is_finished_by_the_next(shop: Shop) -> None:
    for victim in ("shop-db-1", "shop-web-1"):
        cut_off = shop.home.popen(
            "up",
            "-d",
            "-f",
            str(shop.file),
            "-p",
            "shop",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        wait_until(lambda name=victim: name in shop.states(), 60, "the machine is made")  # type: ignore[misc]
        os.kill(shop.home.daemon_pid(), signal.SIGKILL)
        succeeded = cut_off.wait(120) == 0  # then all were started: this `up` does not wait for their health
        assert not succeeded or {state.split()[0] for state in shop.states().values()} == {"running"}
        assert not succeeded or shop.states().keys() == UP.keys()
        shop.up(timeout_s=180)
        assert shop.states() == UP and shop.ask("db") == ["shop-db-1"]
        shop.compose("down")
        assert shop.states() == {} and shop.home.json("network", "list") == []
