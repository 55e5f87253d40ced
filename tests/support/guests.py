"""Questions to a guest that clones must answer differently, and what a guest does while nobody watches."""

from __future__ import annotations

import contextlib
import os
import re
import select
import socket
import sqlite3
import subprocess
import threading
import time
from collections.abc import Iterator
from typing import Any

from tests.support.home import Home, wait_until

_FACTS = r"""
echo hostname=$(hostname)
echo machine_id=$(cat /etc/machine-id)
echo boot_id=$(cat /proc/sys/kernel/random/boot_id)
echo mac=$(cat /sys/class/net/eth0/address)
echo address=$(ip -4 -o addr show eth0 | tr -s ' ' | cut -d' ' -f4)
link_local() { sed -n 's/^\(fe80[0-9a-f]*\) .* eth0$/\1/p' /proc/net/if_inet6; }
for i in 1 2 3 4 5 6 7 8 9 10; do [ -n "$(link_local)" ] && break; sleep 0.5; done
echo link_local=$(link_local)
echo urandom=$(head -c16 /dev/urandom | od -An -tx1 | tr -d ' ')
echo getrandom=$(perl -e '$b = "\0" x 16; syscall(318, $b, 16, 0); print unpack("H*", $b)')
echo mktemp=$(mktemp -u)
"""
UNIQUE = (
    "hostname",
    "machine_id",
    "boot_id",
    "mac",
    "address",
    "link_local",
    "urandom",
    "getrandom",
    "mktemp",
)
FACTS_COMMAND = ("--", "sh", "-c", _FACTS)

# Counts in memory and on the disk, slowly: each step starts a process, which costs an emulated processor much. A
# reader sees a whole number or nothing.
COUNTER = "i=0; while :; do i=$((i+1)); echo $i > /dev/shm/count; echo $i > /root/count; sleep 0.3; done"


def parse_facts(text: str) -> dict[str, str]:
    """Of what FACTS_COMMAND printed."""
    found = dict(line.split("=", 1) for line in text.splitlines())
    assert set(found) == set(UNIQUE), text
    assert re.fullmatch(r"[0-9a-f]{32}", found["machine_id"]), text
    assert all(found.values()), text
    return found


def facts(home: Home, machine: str) -> dict[str, str]:
    return parse_facts(home.text("exec", machine, *FACTS_COMMAND))


def address_in_guest(shown: dict[str, Any]) -> str:
    """The address of a machine of this record, as its guest has it."""
    return f"{shown['address']}/{32 if shown['network']['link'] == 'tap' else 24}"


def assert_strangers(everyone: list[dict[str, str]]) -> None:
    """No two of them have anything in common."""
    for key in UNIQUE:
        values = [one[key] for one in everyone]
        assert len(set(values)) == len(values), f"{key}: {sorted(values)}"


# How far off a clock may be that was just set, on a quiet host: one that is not set is off by all the time for which
# its guest did not run.
CLOCK_S = 0.05


def clock_error_s(home: Home, machine: str, readings: int = 6) -> float:
    """How far the guest's clock certainly is from the host's: how far it lies outside of the moments before and after
    it was read, in the best of some readings."""
    script = "while read x; do date +%s.%N; done"
    process = home.popen(
        "exec", "-i", machine, "--", "sh", "-c", script, stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert process.stdin is not None and process.stdout is not None
    best = (9e9, 9e9)
    try:
        for _ in range(readings):
            before = time.time()
            process.stdin.write(b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], 30)
            assert ready, "the guest does not answer"
            guest = float(process.stdout.readline())
            after = time.time()
            best = min(best, (after - before, max(0.0, before - guest, guest - after)))
    finally:
        process.stdin.close()
        process.wait(30)
        process.stdout.close()
    return best[1]


def count_of(home: Home, machine: str, where: str = "/dev/shm/count") -> int:
    script = f'until read x < {where} && [ -n "$x" ]; do sleep 0.01; done; echo $x'
    return int(home.text("exec", machine, "--", "sh", "-c", script))


def assert_counts_on(home: Home, machine: str, at_least: int) -> int:
    """What counted before counts further, from there; the count."""
    first = count_of(home, machine)
    assert first >= at_least
    wait_until(lambda: count_of(home, machine) > first + 1, 20, f"{machine} counts on")
    return count_of(home, machine)


def cpu_ticks(pid: int) -> int:
    with open(f"/proc/{pid}/stat") as file:
        words = file.read().rpartition(")")[2].split()
    return int(words[11]) + int(words[12])


def resource_owners(home: Home) -> set[str]:
    """Who has a record of a host resource."""
    with contextlib.closing(sqlite3.connect(home.state / "banger.db")) as database:
        return {row[0] for row in database.execute("SELECT machine FROM resources")}


def zombies_of(pid: int) -> list[int]:
    found = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with contextlib.suppress(OSError), open(f"/proc/{entry}/stat") as file:
                words = file.read().rpartition(")")[2].split()
                if words[0] == "Z" and int(words[1]) == pid:
                    found.append(int(entry))
    return found


class Echo:
    """A listener on this host that answers every byte; guests reach it at their gateway, if their policy lets them."""

    def __init__(self, listener: socket.socket) -> None:
        self.port = listener.getsockname()[1]
        self.received: list[int] = []  # bytes, of each connection there was
        self.ended: list[bool] = []
        self._listener = listener
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._listener.accept()
                self.received.append(0)
                self.ended.append(False)
                self._open.append(connection)
                threading.Thread(
                    target=self._answer, args=(connection, len(self._open) - 1), daemon=True
                ).start()

    def _answer(self, connection: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while data := connection.recv(4096):
                self.received[number] += len(data)
                connection.sendall(data)
        self.ended[number] = True

    def close(self) -> None:
        for open_one in (self._listener, *self._open):
            with contextlib.suppress(OSError):
                open_one.shutdown(socket.SHUT_RDWR)
            open_one.close()


@contextlib.contextmanager
def echo_server() -> Iterator[Echo]:
    echo = Echo(socket.create_server(("127.0.0.1", 0)))
    try:
        yield echo
    finally:
        echo.close()


def echo_client(shown: dict[str, Any], port: int) -> tuple[str, ...]:
    """A command for the guest of this record: a byte there and back, again and again; why that ended is in
    /dev/shm/lost."""
    gateway = "10.213.0.1" if shown["network"]["link"] == "tap" else "10.0.2.2"
    program = (
        'use IO::Socket::INET; $SIG{PIPE} = "IGNORE";'
        f'my $s = IO::Socket::INET->new(PeerAddr => "{gateway}:{port}") or die "no connection: $!";'
        "while (1) { my $b; last if !defined(syswrite($s, 'x')); last if !sysread($s, $b, 1);"
        "select(undef, undef, undef, 0.05); }"
        'my $why = "$!"; open(F, ">/dev/shm/lost"); print F "lost: $why\\n"; close(F);'
    )
    return ("--", "perl", "-e", program)
