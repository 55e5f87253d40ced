"""What a machine reaches, as its policy says; with a real world outside of the host."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator

import pytest

from tests.support.home import IMAGE, Home, alive, wait_until
from tests.support.outside import (
    INTERNET,
    INTERNET_6,
    METADATA,
    OWN,
    OWN_6,
    OWN_PRIVATE,
    PORT,
    PRIVATE,
    asking,
    outside,
    serving,
)

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

LOOPBACK, GATEWAY, HOST_NAME = "127.0.0.1", "10.213.0.1", "host.banger.internal"


@pytest.fixture(scope="module", autouse=True)
def world() -> Iterator[None]:
    places = [f"{address},{PORT}" for address in (LOOPBACK, "::1", OWN, OWN_PRIVATE)]
    with outside(), serving(*places):
        yield


@pytest.fixture(autouse=True)
def on_taps(home: Home) -> None:
    if why := home.json("system", "info")["no_taps"]:
        pytest.skip(f"capability missing: taps: {why}")


def reached(home: Home, machine: str, *addresses: str, patience_s: int = 30) -> dict[str, str]:
    """What the guest read at each address; empty if it was not let there."""
    return {
        address: home.run("exec", machine, "--", *asking(address, patience_s=patience_s))
        .stdout.decode()
        .strip()
        for address in addresses
    }


EVERYWHERE = (INTERNET, PRIVATE, METADATA, OWN, OWN_PRIVATE, GATEWAY, "10.0.2.2")


@pytest.mark.parametrize(
    ("policy", "open_"),
    [
        ("", {INTERNET: INTERNET}),
        ("internet", {INTERNET: INTERNET}),
        ("lan", {INTERNET: INTERNET, PRIVATE: PRIVATE}),
        (
            "host",
            {INTERNET: INTERNET, PRIVATE: PRIVATE, OWN: OWN, OWN_PRIVATE: OWN_PRIVATE, GATEWAY: LOOPBACK},
        ),
    ],
)
def test_a_policy_opens_what_it_says_and_nothing_else(
    home: Home, name: str, policy: str, open_: dict[str, str]
) -> None:
    home.text("run", "-d", *(["--network", policy] if policy else []), "--name", name, IMAGE)
    assert home.json("vm", "show", name)["network"]["policy"] == (policy or "internet")
    found = reached(home, name, *EVERYWHERE)
    assert found == {
        address: f"this is {open_[address]}" if address in open_ else "" for address in EVERYWHERE
    }
    home.text("rm", "-f", name)


def test_a_guest_reaches_the_ipv6_internet_where_its_host_does_and_nothing_of_the_host(
    home: Home, name: str
) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    mapped, loopback = f"::ffff:{OWN}", "::ffff:127.0.0.1"
    assert reached(home, name, INTERNET_6, OWN_6, mapped, loopback, "fe80::1", f"64:ff9b::{LOOPBACK}") == {
        INTERNET_6: f"this is {INTERNET_6}",
        OWN_6: "",
        mapped: "",
        loopback: "",
        "fe80::1": "",
        f"64:ff9b::{LOOPBACK}": "",
    }
    home.text("rm", "-f", name)


# Asks an IPv4 address for an echo; says the type of what comes back from there or from the gateway, or nothing.
_PING = r"""
use Socket;
socket(my $s, PF_INET, SOCK_RAW, 1) or die "$!\n";
my ($to, $request, $sum) = (inet_aton($ARGV[0]), pack("C2n3a6", 8, 0, 0, 7, 1, "banger"), 0);
$sum += $_ for unpack "n*", $request;
$sum = ($sum & 0xffff) + ($sum >> 16) while $sum >> 16;
substr $request, 2, 2, pack("n", ~$sum & 0xffff);
send $s, $request, 0, sockaddr_in(0, $to);
alarm $ARGV[1];
while (my $from = recv $s, my $packet, 2000, 0) {
    my ($type, $code) = unpack "x20 C2", $packet;
    print "$type $code" and exit if $packet =~ /banger/ && $type == 0 || $type == 3;
}
"""


def test_a_guest_pings_what_its_policy_allows(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)

    def pinged(address: str) -> str:
        return home.run("exec", name, "--", "perl", "-e", _PING, address, "20").stdout.decode()

    assert pinged(INTERNET) == pinged(GATEWAY) == "0 0"
    assert pinged(PRIVATE) == pinged(OWN) == "3 13"
    shown = home.json("vm", "show", name)["network"]
    assert {(one["protocol"], one["address"], one["allow"]) for one in shown["denials"]} == {
        ("icmp", PRIVATE, PRIVATE),
        ("icmp", OWN, OWN),
    }
    assert f"{PRIVATE}/icmp" in home.text("vm", "network", name)
    home.text("vm", "network", "--allow", f"{PRIVATE}:22", name)
    assert pinged(PRIVATE) == "0 0"
    home.text("rm", "-f", name)


def test_rules_open_and_close_and_can_change_while_the_machine_runs(home: Home, name: str) -> None:
    options = ["--allow", f"{HOST_NAME}:{PORT}", "--allow", "172.16.0.0/12", "--deny", INTERNET]
    home.text("run", "-d", *options, "--name", name, IMAGE)
    asked = (INTERNET, PRIVATE, GATEWAY, OWN)
    shown = {PRIVATE: f"this is {PRIVATE}", GATEWAY: f"this is {LOOPBACK}", INTERNET: "", OWN: ""}
    assert reached(home, name, *asked) == shown
    home.text("vm", "network", "--clear", "--network", "lan", name)
    assert reached(home, name, *asked) == {
        PRIVATE: f"this is {PRIVATE}", GATEWAY: "", INTERNET: f"this is {INTERNET}", OWN: ""
    }  # fmt: skip
    home.text("vm", "network", "--network", "none", name)
    assert not any(reached(home, name, *asked).values())
    home.text("vm", "network", "--network", "internet", "--allow", f"{OWN}:{PORT}", name)
    home.text("vm", "restart", name)
    assert reached(home, name, OWN, PRIVATE) == {OWN: f"this is {OWN}", PRIVATE: ""}
    home.text("rm", "-f", name)


def test_nothing_but_what_a_rule_allows(home: Home, name: str) -> None:
    opened = f"{INTERNET}:{PORT}"
    home.text("run", "-d", "--network", "none", "--allow", opened, "--name", name, IMAGE)
    assert home.json("vm", "show", name)["network"]["policy"] == "none"
    found = reached(home, name, *EVERYWHERE, patience_s=10)
    assert found == {address: f"this is {INTERNET}" if address == INTERNET else "" for address in EVERYWHERE}
    home.text("vm", "network", "--clear", "--allow", PRIVATE, name)
    assert reached(home, name, INTERNET, PRIVATE) == {INTERNET: "", PRIVATE: f"this is {PRIVATE}"}
    home.text("rm", "-f", name)


def test_what_was_denied_is_told_at_the_end_of_a_run_in_the_record_and_in_events(
    home: Home, name: str
) -> None:
    script = f"for i in 1 2 3; do {' '.join(asking(OWN)[:3])} -c '{asking(OWN)[-1]}'; done; true"
    done = home.run("run", "--name", name, IMAGE, "--", "sh", "-c", script)
    assert done.returncode == 0
    assert f"may not reach {OWN}:{PORT}/tcp".encode() in done.stderr
    assert f"--allow {OWN}:{PORT} allows it".encode() in done.stderr
    network = home.json("vm", "show", name)["network"]
    (denial,) = network["denials"]
    assert (denial["address"], denial["port"], denial["protocol"]) == (OWN, PORT, "tcp")
    assert network["denied"] == denial["count"] == 3
    assert f"{name} may not reach {OWN}:{PORT} (tcp)" in home.text("events", "--machine", name)
    home.text("rm", "-f", name)


def test_a_policy_and_an_address_are_kept_for_life(own_home: Home) -> None:
    home = own_home
    home.text("run", "-d", "--network", "lan", "--deny", INTERNET, "--name", "dev", IMAGE)
    address = home.json("vm", "show", "dev")["address"]

    def is_as_before(machine: str = "dev") -> None:
        expected = {PRIVATE: f"this is {PRIVATE}", INTERNET: "", OWN: "", GATEWAY: ""}
        assert reached(home, machine, *expected) == expected

    is_as_before()
    home.text("vm", "snapshot", "dev", "kept")
    home.text("vm", "fork", "dev")
    is_as_before("dev-1")
    assert home.json("vm", "show", "dev-1")["address"] != address
    os.kill(home.daemon_pid(), signal.SIGKILL)
    is_as_before()
    home.text("vm", "stop", "dev")
    home.text("vm", "start", "dev")
    is_as_before()
    home.text("vm", "restore", "dev", "kept")
    is_as_before()
    assert home.json("vm", "show", "dev")["address"] == address


@pytest.mark.parametrize("killed", [["relay"], ["keeper"], ["keeper", "relay"]])
def test_what_is_killed_is_started_again_and_opens_nothing(own_home: Home, killed: list[str]) -> None:
    home = own_home
    home.text("run", "-d", "-p", "0:8000", "--name", "dev", IMAGE)
    serve(home, "dev")
    (port,) = home.json("vm", "port", "list", "dev")
    before = home.guards()
    for name in killed:
        os.kill(before[name], signal.SIGKILL)
    home.wait_for_guards(before, killed)
    wait_until(lambda: reached(home, "dev", INTERNET, patience_s=10)[INTERNET], 30, "the internet is back")
    assert reached(home, "dev", OWN, PRIVATE, GATEWAY) == {OWN: "", PRIVATE: "", GATEWAY: ""}
    wait_until(lambda: answer(port["port"]), 30, "the published port is back")
    assert "network.restarted" in home.text("events")


def test_when_all_three_are_killed_a_machine_keeps_its_network(own_home: Home) -> None:
    home = own_home
    home.text("run", "-d", "--name", "dev", IMAGE)
    before = home.guards()
    for pid in (home.daemon_pid(), *before.values()):
        os.kill(pid, signal.SIGKILL)
    assert home.json("vm", "show", "dev")["warnings"] == []  # of the next daemon
    home.wait_for_guards(before, before)
    wait_until(lambda: reached(home, "dev", INTERNET, patience_s=10)[INTERNET], 30, "the internet is back")
    assert reached(home, "dev", OWN, patience_s=5) == {OWN: ""}


def test_when_nothing_is_left_a_machine_loses_its_network_until_it_is_started_again(own_home: Home) -> None:
    home = own_home
    home.text("run", "-d", "--name", "dev", IMAGE)
    for pid in (home.daemon_pid(), *home.network_programs().values()):
        os.kill(pid, signal.SIGKILL)
    wait_until(lambda: home.json("vm", "show", "dev")["warnings"], 30, "the machine has a warning")
    assert "no network until it is started again" in home.json("vm", "show", "dev")["warnings"][0]
    assert reached(home, "dev", INTERNET, OWN, patience_s=5) == {INTERNET: "", OWN: ""}
    home.text("vm", "restart", "dev")
    assert home.json("vm", "show", "dev")["warnings"] == []
    assert reached(home, "dev", INTERNET, OWN) == {INTERNET: f"this is {INTERNET}", OWN: ""}


def test_the_last_daemon_ends_keeper_and_relay_and_the_next_one_takes_them_over(own_home: Home) -> None:
    home = own_home
    home.text("run", "-d", "--name", "dev", IMAGE)
    before = home.guards()
    assert before.keys() == {"keeper", "relay"}
    home.text("system", "restart")
    assert home.guards() == before
    assert reached(home, "dev", INTERNET, OWN) == {INTERNET: f"this is {INTERNET}", OWN: ""}
    home.text("rm", "-f", "dev")
    home.text("system", "stop")
    assert not [pid for pid in before.values() if alive(pid)]


def serve(home: Home, machine: str) -> None:
    """An echo server at port 8000 of the guest, TCP and UDP."""
    home.text("exec", "-d", machine, "--", "perl", "-e", _SERVER)
    wait_until(lambda: len(home.json("vm", "ports", machine)) >= 2, 30, "the guest serves")


_SERVER = r"""
use IO::Socket::INET;
if (!fork) { my $u = IO::Socket::INET->new(LocalPort => 8000, Proto => "udp") or die;
    while (defined $u->recv(my $data, 2000)) { $u->send("guest heard $data") } exit }
my $s = IO::Socket::INET->new(LocalPort => 8000, Listen => 64, ReuseAddr => 1) or die;
while (my $c = $s->accept) { print $c "this is the guest\n"; close $c }
"""


def answer(port: int, address: str = LOOPBACK) -> bytes:
    """What is read at a port of the host; empty if it is closed."""
    try:
        with socket.create_connection((address, port), timeout=20) as connection:
            return connection.recv(100)
    except OSError:
        return b""


def ask_by_udp(port: int) -> bytes:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking_:
        asking_.settimeout(20)
        asking_.sendto(b"hello", (LOOPBACK, port))
        return asking_.recv(100)


def test_published_ports_lead_into_the_guest(home: Home, name: str) -> None:
    options = ["-p", "0:8000", "-p", "0:8000/udp", "-p", "0.0.0.0:0:8000"]
    home.text("run", "-d", *options, "--name", name, IMAGE)
    serve(home, name)
    tcp, udp, everywhere = home.json("vm", "port", "list", name)
    assert answer(tcp["port"]) == answer(everywhere["port"], OWN) == b"this is the guest\n"
    assert answer(tcp["port"], OWN) == b""
    assert ask_by_udp(udp["port"]) == b"guest heard hello"
    assert f"127.0.0.1:{tcp['port']}->8000" in home.text("ps")
    home.text("vm", "port", "remove", name, "0.0.0.0:0:8000")
    assert answer(everywhere["port"], OWN) == b"" and answer(tcp["port"])
    home.text("vm", "port", "add", name, f"127.0.0.1:{everywhere['port']}:8000")
    assert answer(everywhere["port"])
    home.text("vm", "pause", name)
    home.text("vm", "resume", name)
    assert answer(tcp["port"])
    home.text("system", "restart")
    assert answer(tcp["port"])
    home.text("rm", "-f", name)
    assert answer(tcp["port"]) == b""


def test_a_port_in_use_is_an_error_before_anything_starts(home: Home, name: str) -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        number = taken.getsockname()[1]
        done = home.run("run", "-d", "-p", f"{number}:80", "--name", name, IMAGE)
        assert done.returncode == 125 and f"127.0.0.1:{number}/tcp".encode() in done.stderr
    assert name not in home.text("vm", "list", "-q").split()


def test_a_sleeping_machine_wakes_when_a_connection_comes(home: Home, name: str) -> None:
    options = ["-p", "0:8000", "--idle-pause", "1s"]
    home.text("run", "-d", *options, "--name", name, IMAGE, "--", "perl", "-e", _SERVER)
    wait_until(lambda: home.json("vm", "ports", name), 30, "the guest serves")
    (port,) = home.json("vm", "port", "list", name)

    def state() -> str:
        return str(home.json("vm", "show", name)["state"])

    for _ in range(2):
        wait_until(lambda: state() == "paused", 30, "the machine sleeps")
        assert answer(port["port"]) == b"this is the guest\n"
    home.text("rm", "-f", name)


def test_names_that_the_user_gives_are_known_to_the_guest(home: Home, name: str) -> None:
    options = ["--add-host", f"db:{INTERNET}", "--hostname", "front"]
    home.text("run", "-d", *options, "--name", name, IMAGE)
    assert home.text("exec", name, "--", "hostname") == "front\n"
    assert home.text("exec", name, "--", *asking("db")) == f"this is {INTERNET}\n"
    home.text("rm", "-f", name)


def test_a_machine_without_a_network_takes_no_option_of_it(home: Home, name: str) -> None:
    done = home.run("run", "--network", "none", "-p", "0:80", "--name", name, IMAGE, "--", "true")
    assert done.returncode == 2 and b"--publish" in done.stderr


def test_without_taps_the_default_is_less_and_says_so_and_a_wish_is_refused(own_home: Home) -> None:
    """The daemon sees a device that makes no taps."""
    home = own_home
    home.text("system", "stop")
    script = 'mount --bind /dev/null /dev/net/tun && exec "$@"'
    command = ["unshare", "-m", "sh", "-c", script, "sh", *home.argv("system", "start")]
    if subprocess.run(command, env=home.env, capture_output=True).returncode != 0:
        pytest.skip("capability missing: a mount namespace")
    assert "tun" in home.json("system", "info")["no_taps"]
    home.text("run", "-d", "--name", "dev", IMAGE)
    shown = home.json("vm", "show", "dev")
    assert (shown["network"]["link"], shown["network"]["policy"]) == ("nat", "host")
    (warning,) = shown["warnings"]
    assert "no tap" in warning and warning in home.text("events", "--machine", "dev")
    assert "net" not in shown["confinement"]["layers"]
    assert reached(home, "dev", INTERNET) == {INTERNET: f"this is {INTERNET}"}
    for option in (["--network", "internet"], ["--deny", "*"], ["-p", "0:80"], ["--dns", "192.0.2.1"]):
        done = home.run("run", "--rm", *option, IMAGE, "--", "true")
        assert done.returncode == 125 and b"cannot be enforced here" in done.stderr
    for policy in ("host", "none"):
        assert home.run("run", "--rm", "--network", policy, IMAGE, "--", "true").returncode == 0
