"""Network namespaces with wires between them, for tests; as root and as an ordinary user.

A space is a process that makes sockets in its namespace and hands them over: to a test they are sockets like all
others, and only what they reach is different. All spaces share one user namespace, where the test's user is root.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

_ADMIN_PATH = "/usr/sbin:/sbin:/usr/bin:/bin"
_MAKER = Path(__file__).with_name("socket_maker.py")
_WAIT_S = 20.0

Address = tuple[str, int]


class Missing(Exception):
    """This host cannot have such spaces."""


def entrance(pid: int) -> list[str]:
    """In front of a command that is to run in the network namespace of a process."""
    user = [] if os.geteuid() == 0 else ["--user", "--preserve-credentials"]
    return ["nsenter", f"--target={pid}", *user, "--net", "--"]


def run_within(pid: int, *argv: str, text: str = "") -> None:
    """Run a command in the network namespace of a process. Raises `Missing`."""
    done = subprocess.run(
        [*entrance(pid), *argv],
        input=text,
        text=True,
        capture_output=True,
        check=False,
        env={"PATH": _ADMIN_PATH},
    )
    if done.returncode != 0:
        raise Missing(f"{' '.join(argv)}: {done.stderr.strip()}")


def run_ip(pid: int, *commands: str) -> None:
    """Run commands of `ip` there. Raises `Missing`."""
    run_within(pid, "ip", "-batch", "-", text="\n".join(commands) + "\n")


class Space:
    """One namespace, until the end of its process."""

    def __init__(self, enter: Sequence[str]) -> None:
        self._channel, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._channel.settimeout(_WAIT_S)
        self._turn = threading.Lock()
        with theirs:
            self._process = subprocess.Popen(
                [*enter, sys.executable, "-S", "-E", str(_MAKER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stderr=subprocess.PIPE,
            )
        self.pid = int(self._answer() or "0")

    def _answer(self) -> str:
        text = self._channel.recv(4096).decode()
        if not text:
            _, said = self._process.communicate()
            raise Missing(said.decode("utf-8", "replace").strip() or "the namespace was not made")
        return text

    def socket(
        self,
        kind: socket.SocketKind = socket.SOCK_STREAM,
        *,
        bind: Address | None = None,
        listen: int = 0,
        to: Address | None = None,
        v6: bool = False,
        transparent: bool = False,
        protocol: int = 0,
        timeout_s: float = 10.0,
    ) -> socket.socket:
        """A socket of this namespace; `to`: connected to this address, in the test's own process."""
        family = socket.AF_INET6 if v6 or ":" in (bind or to or ("", 0))[0] else socket.AF_INET
        request = [int(family), int(kind), int(transparent), *(bind or ("-", 0)), listen, protocol]
        with self._turn:
            self._channel.send(" ".join(map(str, request)).encode())
            text, descriptors, _, _ = socket.recv_fds(self._channel, 4096, 1)
        if not descriptors:
            raise OSError(int(text or b"0"), os.strerror(int(text or b"0")))
        made = socket.socket(fileno=descriptors[0])
        made.settimeout(timeout_s)
        if to is not None:
            try:
                made.connect(to)
            except BaseException:
                made.close()
                raise
        return made

    def entrance(self) -> list[str]:
        """In front of a command that is to run here."""
        return entrance(self.pid)

    def run(self, *argv: str, text: str = "") -> None:
        run_within(self.pid, *argv, text=text)

    def ip(self, *commands: str) -> None:
        """Commands of `ip`."""
        run_ip(self.pid, *commands)

    def close(self) -> None:
        self._channel.close()
        self._process.wait(_WAIT_S)
        if self._process.stderr is not None:
            self._process.stderr.close()


class Spaces(NamedTuple):
    """`guest` --vm0-- `keeper`: the network of guests and the namespace that it ends in; `host` --up0-- `outside`: the
    host that the relay runs on and the rest of the world. No wire is between the two pairs."""

    guest: Space
    keeper: Space
    host: Space
    outside: Space


GUEST, GUEST_6 = "10.213.0.5", "fd62:616e:6765::5"
STRANGER = "10.213.0.6"
GATEWAY, GATEWAY_6 = "10.213.0.1", "fd62:616e:6765::1"
HOST, HOST_6 = "93.184.215.1", "2a00:1450:7::1"
OUTSIDE, OUTSIDE_6 = "93.184.215.2", "2a00:1450:7::2"
FAR = "93.184.216.34"
NOWHERE = "93.184.217.1"
LISTENING_PORT = 9

_RULES = f"""
table inet test {{
  chain arrived {{
    type filter hook prerouting priority mangle;
    iifname "vm*" ip daddr {GATEWAY} meta l4proto {{ tcp, udp }} tproxy ip to :{LISTENING_PORT} mark set 1 accept
    iifname "vm*" meta nfproto ipv4 meta l4proto {{ tcp, udp }} tproxy ip to :{LISTENING_PORT} mark set 1 accept
    iifname "vm*" meta nfproto ipv6 meta l4proto {{ tcp, udp }} tproxy ip6 to :{LISTENING_PORT} mark set 1 accept
  }}
}}
"""


def _enter_first() -> list[str]:
    user = [] if os.geteuid() == 0 else ["--user", "--map-root-user"]
    return ["unshare", *user, "--net", "--"]


def _enter_next(first: Space) -> list[str]:
    user = (
        []
        if os.geteuid() == 0
        else ["nsenter", f"--target={first.pid}", "--user", "--preserve-credentials", "--"]
    )
    return [*user, "unshare", "--net", "--"]


def _wire(spaces: Spaces) -> None:
    guest, keeper, host, outside = spaces
    for space in spaces:
        space.ip("link set lo up")
    guest.ip(
        f"link add eth0 type veth peer name vm0 netns {keeper.pid}",
        f"address add {GUEST}/32 dev eth0",
        f"address add {STRANGER}/32 dev eth0",
        f"address add {GUEST_6}/128 dev eth0 nodad",
        "link set eth0 up",
        f"route add {GATEWAY} dev eth0 scope link",
        f"route add default via {GATEWAY} dev eth0 src {GUEST}",
        "route add default via fe80::1 dev eth0",
    )
    keeper.ip(
        f"address add {GATEWAY}/32 dev lo",
        f"address add {GATEWAY_6}/128 dev lo nodad",
        "link set vm0 up",
        "address add fe80::1/64 dev vm0 nodad",
        f"route add {GUEST} dev vm0",
        f"route add {STRANGER} dev vm0",
        f"route add {GUEST_6} dev vm0",
        "rule add fwmark 1 lookup 100 pref 10",
        "route add local default dev lo table 100",
    )
    keeper.run("ip", "-6", "rule", "add", "fwmark", "1", "lookup", "100", "pref", "10")
    keeper.run("ip", "-6", "route", "add", "local", "default", "dev", "lo", "table", "100")
    keeper.run("sysctl", "-qw", "net.ipv4.conf.all.rp_filter=0", "net.ipv4.conf.vm0.rp_filter=0")
    keeper.run("nft", "-f", "-", text=_RULES)
    host.ip(
        f"link add up0 type veth peer name wan0 netns {outside.pid}",
        f"address add {HOST}/24 dev up0",
        f"address add {HOST_6}/64 dev up0 nodad",
        "link set up0 up",
        f"route add default via {OUTSIDE}",
        f"route add default via {OUTSIDE_6}",
        f"route add unreachable {NOWHERE}/32",
    )
    outside.ip(
        f"address add {OUTSIDE}/24 dev wan0",
        f"address add {OUTSIDE_6}/64 dev wan0 nodad",
        f"address add {FAR}/32 dev lo",
        "link set wan0 up",
    )


@contextlib.contextmanager
def open_spaces() -> Iterator[Spaces]:
    """Raises `Missing`."""
    for tool in ("unshare", "nsenter", "ip", "nft", "sysctl"):
        if shutil.which(tool, path=_ADMIN_PATH) is None:
            raise Missing(f"{tool} is not installed")
    with contextlib.ExitStack() as stack:

        def add(enter: Sequence[str]) -> Space:
            space = Space(enter)
            stack.callback(space.close)
            return space

        host = add(_enter_first())
        guest, keeper, outside = (add(_enter_next(host)) for _ in range(3))
        spaces = Spaces(guest, keeper, host, outside)
        _wire(spaces)
        yield spaces
