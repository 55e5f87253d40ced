"""Machines on named networks reach one another, by address and by name, and nobody else."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.home import IMAGE, Home, open_home, wait_until
from tests.support.outside import INTERNET, asking, outside

# Answers with its own name to whoever connects, over IPv4 and IPv6.
_SERVER = r"""
use Socket;
socket(my $s, AF_INET6, SOCK_STREAM, 0) or die; setsockopt($s, SOL_SOCKET, SO_REUSEADDR, 1);
bind($s, pack_sockaddr_in6(8000, "\0" x 16)) or die; listen($s, 16) or die;
while (accept(my $c, $s)) { open(my $f, "<", "/proc/sys/kernel/hostname"); syswrite $c, scalar <$f>; close $c }
"""
# Says "answer" if a machine answers an echo request.
_PING = r"""
use Socket;
my ($v6, $s) = (scalar $ARGV[0] =~ /:/);
my $to = $v6 ? pack_sockaddr_in6(0, Socket::inet_pton(AF_INET6, $ARGV[0])) : sockaddr_in(0, inet_aton($ARGV[0]));
socket($s, $v6 ? AF_INET6 : AF_INET, SOCK_RAW, $v6 ? 58 : 1) or die; alarm 3;
send($s, pack("CCnnn", $v6 ? 128 : 8, 0, 0xffff & ~(0x800 + 77 + 1), 77, 1), 0, $to) or exit;
while (defined recv($s, my $got, 500, 0)) {
    my ($type) = unpack $v6 ? "C" : "x20C", $got;
    if ($type == ($v6 ? 129 : 0)) { print "answer"; exit }
}
"""
_PAUSE_S = 30


@pytest.fixture(scope="module")
def shop() -> Iterator[Home]:
    """web and db are on `front`, and db on `back`, an internal network, with app, which is on nothing else."""
    with outside(), open_home() as home:
        if why := home.json("system", "info")["no_taps"]:
            pytest.skip(f"capability missing: taps: {why}")
        home.text("network", "create", "front")
        home.text("network", "create", "--internal", "back")
        for name, options in (
            ("db", ("--network", "front", "--network", "back", "--network-alias", "sql")),
            ("web", ("--network", "front")),
            ("app", ("--network", "back")),
        ):
            home.text("run", "-d", "--memory", "256MiB", *options, "--name", name, IMAGE)
            serve(home, name)
        yield home


def serve(home: Home, machine: str) -> None:
    home.text("exec", "-d", machine, "--", "perl", "-e", _SERVER)
    wait_until(lambda: home.json("vm", "ports", machine), _PAUSE_S, f"{machine} serves")


def answers(home: Home, machine: str, *places: str) -> dict[str, str]:
    """Which machine answered at each place; empty if none did."""
    script = (
        'for p; do echo "$p $(timeout 4 bash -c "exec 3<>/dev/tcp/$p/8000 && cat <&3" 2>/dev/null)"; done'
    )
    lines = home.text("exec", machine, "--", "bash", "-c", script, "ask", *places).splitlines()
    return {place: answer for place, _, answer in (line.partition(" ") for line in lines)}


def addresses(home: Home, machine: str) -> tuple[str, str]:
    shown = home.json("vm", "show", machine)
    return shown["address"], shown["network"]["address_6"]


def pings(home: Home, machine: str, address: str) -> bool:
    return home.run("exec", machine, "--", "perl", "-e", _PING, address).stdout == b"answer"


def way_out(home: Home, machine: str) -> bool:
    return b"this is" in home.run("exec", machine, "--", *asking(INTERNET)).stdout


def check(home: Home) -> None:
    """All that holds between the three machines as they were started."""
    (db, db_6), (web, web_6), (app, app_6) = (addresses(home, name) for name in ("db", "web", "app"))
    places = ("db", "db.front", "sql", "sql.front", db, db_6)
    assert answers(home, "web", *places) == dict.fromkeys(places, "db")
    others = ("db.back", "app", "app.back", app, app_6)
    assert answers(home, "web", *others) == dict.fromkeys(others, "")
    assert answers(home, "app", "db", "db.back", "sql", db, db_6, "web", web, web_6) == {
        **dict.fromkeys(("db", "db.back", "sql", db, db_6), "db"), "web": "", web: "", web_6: "",
    }  # fmt: skip
    assert answers(home, "db", "web.front", "app.back", web_6, app_6) == {
        "web.front": "web", "app.back": "app", web_6: "web", app_6: "app"
    }  # fmt: skip


def test_machines_on_a_network_reach_one_another_by_address_and_name_and_no_others(shop: Home) -> None:
    check(shop)
    assert all(pings(shop, "web", address) for address in addresses(shop, "db"))
    assert not any(pings(shop, "web", address) for address in addresses(shop, "app"))
    members = shop.json("network", "show", "front")["members"]
    assert [member["machine"] for member in members] == ["db", "web"]


def test_a_network_with_machines_is_not_deleted_or_pruned(shop: Home) -> None:
    shop.text("network", "create", "unused")
    refused = shop.run("network", "delete", "front")
    assert refused.returncode != 0 and b"db web" in refused.stderr
    assert shop.text("network", "prune").split() == ["unused"]
    assert shop.text("network", "list", "-q").split() == ["back", "front"]
    missing = shop.run("run", "--network", "nowhere", IMAGE)
    assert missing.returncode != 0 and b"banger network create nowhere" in missing.stderr


@pytest.fixture
def sleeper(shop: Home) -> Iterator[str]:
    """A machine on `front` that serves, and sleeps when nobody needs it."""
    options = ("--network", "front", "--memory", "256MiB", "--idle-pause", "1s")
    shop.text("run", "-d", *options, "--name", "sleeper", IMAGE, "--", "perl", "-e", _SERVER)
    wait_until(lambda: shop.json("vm", "ports", "sleeper"), _PAUSE_S, "it serves")
    yield "sleeper"
    shop.text("rm", "-f", "sleeper")


def test_a_neighbour_wakes_a_machine_that_sleeps_and_finds_its_name_without_waking_it(
    shop: Home, sleeper: str
) -> None:
    def sleeps() -> bool:
        return bool(shop.json("vm", "show", sleeper)["idle"])

    def wait_for_sleep() -> None:
        wait_until(sleeps, _PAUSE_S, "it sleeps")

    address, address_6 = addresses(shop, sleeper)
    for place in (sleeper, address, address_6):
        wait_for_sleep()
        assert answers(shop, "web", place) == {place: sleeper}
    wait_for_sleep()
    assert pings(shop, "web", address)
    wait_for_sleep()
    assert address in shop.text("exec", "web", "--", "getent", "ahostsv4", sleeper)
    assert answers(shop, "app", sleeper, address) == {sleeper: "", address: ""}  # not on its network
    assert sleeps()
    shop.text("system", "restart")
    assert sleeps()
    assert answers(shop, "web", sleeper) == {sleeper: sleeper}


def test_a_running_machine_is_connected_and_disconnected(shop: Home) -> None:
    shop.text("network", "connect", "--alias", "shop", "back", "web")
    assert answers(shop, "app", "web", "shop.back") == {"web": "web", "shop.back": "web"}
    assert answers(shop, "web", "app") == {"app": "app"}
    shop.text("network", "disconnect", "back", "web")
    assert answers(shop, "app", "web", "shop.back", addresses(shop, "web")[0]) == {
        "web": "", "shop.back": "", addresses(shop, "web")[0]: ""
    }  # fmt: skip
    check(shop)


def test_names_and_networks_outlive_daemon_relay_and_keeper(shop: Home) -> None:
    for victims in (["daemon"], ["relay"], ["keeper"], ["daemon", "relay"]):
        before = shop.guards()
        for victim in victims:
            os.kill(shop.daemon_pid() if victim == "daemon" else before[victim], signal.SIGKILL)
        shop.text("vm", "list")  # starts a daemon
        shop.wait_for_guards(before, {*victims} - {"daemon"})
        wait_until(lambda: answers(shop, "web", "db") == {"db": "db"}, 30, "names are answered")
        check(shop)


def test_a_machine_keeps_its_address_and_networks_when_it_is_started_again(shop: Home) -> None:
    before = addresses(shop, "app")
    shop.text("vm", "stop", "app")
    assert answers(shop, "db", "app", before[0]) == {"app": "", before[0]: ""}
    shop.text("vm", "start", "app")
    serve(shop, "app")
    assert addresses(shop, "app") == before
    check(shop)


def test_a_fork_is_on_the_networks_of_its_parent(shop: Home) -> None:
    shop.text("vm", "fork", "--name", "twin", "app")
    assert answers(shop, "db", "twin-1", "twin-1.back") == {"twin-1": "twin-1", "twin-1.back": "twin-1"}
    shop.text("vm", "delete", "-f", "twin-1")
    assert answers(shop, "db", "twin-1") == {"twin-1": ""}


def test_a_snapshot_goes_back_to_its_networks_and_one_from_elsewhere_to_none(
    shop: Home, tmp_path: Path
) -> None:
    shop.text("vm", "snapshot", "app", "one")
    shop.text("network", "disconnect", "back", "app")
    assert answers(shop, "db", "app", addresses(shop, "app")[0]) == {"app": "", addresses(shop, "app")[0]: ""}
    shop.text("vm", "restore", "app", "one")
    check(shop)
    shop.text("snapshot", "export", "app", "one", str(tmp_path / "app"))
    shop.text("snapshot", "import", "--name", "stranger", str(tmp_path / "app"))
    shop.text("vm", "restore", "stranger", "one")
    shown = shop.json("vm", "show", "stranger")
    assert shown["spec"]["networks"] == [] and shown["network"]["policy"] == "none"
    assert answers(shop, "db", "stranger", shown["address"]) == {"stranger": "", shown["address"]: ""}
    assert answers(shop, "stranger", "db", addresses(shop, "db")[0])["db"] == ""
    shop.text("vm", "delete", "-f", "stranger")


def test_an_internal_network_has_no_way_out(shop: Home) -> None:
    assert shop.json("vm", "show", "app")["network"]["policy"] == "none"
    assert shop.json("vm", "show", "db")["network"]["policy"] == "internet"
    assert not way_out(shop, "app")
