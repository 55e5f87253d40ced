"""Clones of one template have nothing in common but what they were made of."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest

from banger.network.user_nat import reaches_ipv6
from tests.support.guests import CLOCK_S, address_in_guest, assert_strangers, clock_error_s, facts
from tests.support.home import IMAGE, Home
from tests.support.pace import allowed_s

pytestmark = pytest.mark.e2e

CLONES = 20
AT_ONCE = 4


def test_twenty_clones_are_strangers(home: Home, name: str) -> None:
    """Names, ids, addresses, and what their kernels draw."""
    home.run("run", "--rm", IMAGE, "--", "true", check=True)
    names = [f"{name}-{number}" for number in range(CLONES)]

    def one(machine: str) -> dict[str, str]:
        home.text("run", "-d", "--name", machine, IMAGE, timeout_s=110)
        return facts(home, machine)

    with ThreadPoolExecutor(AT_ONCE) as threads:
        found = list(threads.map(one, names))
    assert [each["hostname"] for each in found] == names
    assert_strangers(found)
    home.run("rm", "-f", *names, check=True)


def test_a_clone_is_who_its_record_says(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    shown = home.json("vm", "show", name)
    assert shown["origin"]["kind"] == "template"
    found = facts(home, name)
    assert found["hostname"] == name
    assert found["address"] == address_in_guest(shown)
    assert found["link_local"] == link_local_of(found["mac"])
    assert home.text("exec", name, "--", "cat", "/sys/class/net/eth0/operstate") == "up\n"
    script = "cat /etc/hostname; getent hosts $(hostname); cut -d'#' -f1 /etc/hosts"
    said = home.text("exec", name, "--", "sh", "-c", script).split()
    assert name in said and "banger" not in said
    home.text("rm", "-f", name)


def link_local_of(mac: str) -> str:
    """As /proc/net/if_inet6 has it."""
    first, *rest = mac.split(":")
    half = [f"{int(first, 16) ^ 2:02x}", *rest[:2], "ff", "fe", *rest[2:]]
    return "fe80" + "0" * 12 + "".join(half)


def test_a_guest_has_a_way_into_ipv6_only_where_its_host_has_a_way_out(home: Home, name: str) -> None:
    """Else what a guest sent there would get no answer, not even a refusal. A guest on a tap is told its router."""
    home.text("run", "-d", "--name", name, IMAGE)
    believed = home.text("exec", name, "--", "cat", "/proc/sys/net/ipv6/conf/eth0/accept_ra")
    on_tap = home.json("vm", "show", name)["network"]["link"] == "tap"
    assert believed == f"{int(reaches_ipv6() and not on_tap)}\n"
    if not reaches_ipv6():
        script = "exec 3<>/dev/udp/2000::1/53"  # chooses a route, and sends nothing
        done = home.run("exec", name, "--", "bash", "-c", script)
        assert done.returncode == 1 and b"unreachable" in done.stderr
    home.text("rm", "-f", name)


_SEED_OF_PID_1 = r"""
my ($seed_address, @pairs) = (0);
open my $vector, "<:raw", "/proc/1/auxv" or die; @pairs = unpack "Q*", do { local $/; <$vector> };
while (my ($kind, $value) = splice @pairs, 0, 2) { $seed_address = $value if $kind == 25 }
open my $memory, "<:raw", "/proc/1/mem" or die; seek $memory, $seed_address, 0; read $memory, my $seed, 16;
print unpack "H*", $seed;
"""


def test_the_agents_of_two_clones_guard_their_stacks_by_other_numbers(home: Home) -> None:
    seeds = {home.text("run", "--rm", IMAGE, "--", "perl", "-e", _SEED_OF_PID_1) for _ in range(2)}
    assert len(seeds) == 2 and all(len(seed) == 32 for seed in seeds)


def test_a_clones_clock_is_the_hosts(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    assert clock_error_s(home, name) < allowed_s(CLOCK_S)
    home.text("rm", "-f", name)


def test_a_clone_has_no_processes_of_anybody_else(home: Home, name: str) -> None:
    home.text("run", "-d", "--name", name, IMAGE)
    script = "for p in /proc/[0-9]*; do [ -s $p/cmdline ] && tr '\\0' ' ' < $p/cmdline && echo; done; true"
    lines = home.text("exec", name, "--", "sh", "-c", script).splitlines()
    others = [
        line for line in lines if not line.startswith(("/init", "sh -c", "tr ")) and "agent" not in line
    ]
    assert others == []
    home.text("rm", "-f", name)


def test_what_one_clone_writes_no_other_sees(home: Home, name: str) -> None:
    names = [f"{name}-{number}" for number in (1, 2)]
    for each in names:
        home.text("run", "-d", "--name", each, IMAGE)
        home.text(
            "exec", each, "--", "sh", "-c", f"echo {each} > /root/who; echo {each} > /dev/shm/who; sync"
        )
    for each in names:
        assert home.text("exec", each, "--", "cat", "/root/who", "/dev/shm/who").split() == [each, each]
    home.run("rm", "-f", *names, check=True)
