"""Published ports: what a user writes, and the sockets of the host that it means.

    [BIND:]HOST:GUEST[/tcp|udp]     8080:80   0.0.0.0:8080:80   [::1]:8080:80   0:80   9000-9009:9000-9009   53:53/udp

Without BIND the port is open on 127.0.0.1 alone. With 0 for HOST the kernel chooses a free port.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import re
import socket
from collections.abc import Iterable, Iterator
from typing import cast

from banger.errors import Error
from banger.model.network import Protocol, PublishedPort

_FORM = re.compile(
    r"(?:(?P<bind>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<host>[0-9]{1,5}(?:-[0-9]{1,5})?):"
    r"(?P<guest>[0-9]{1,5}(?:-[0-9]{1,5})?)(?:/(?P<protocol>tcp|udp))?"
)
_EXPOSED = re.compile(r"(?P<first>[0-9]{1,5})(?:-(?P<last>[0-9]{1,5}))?(?:/(?P<protocol>tcp|udp))?")
_LOOPBACK = "127.0.0.1"
_LAST = 65535
_MOST = 1024
_BACKLOG = 512
_KINDS = {"tcp": socket.SOCK_STREAM, "udp": socket.SOCK_DGRAM}

# A published port, and the socket of the host on which it is open.
Bound = tuple[PublishedPort, socket.socket]


def read_ports(texts: Iterable[str]) -> list[PublishedPort]:
    """The ports that these texts mean; a port 0 is still to be chosen. Raises `bad_spec`."""
    ports = [port for text in texts for port in _read(text)]
    if len(ports) > _MOST:
        raise Error("bad_spec", f"{len(ports)} published ports are too many", f"publish at most {_MOST}")
    chosen = [port for port in ports if port.port]
    for port in chosen:
        if sum((p.bind, p.port, p.protocol) == (port.bind, port.port, port.protocol) for p in chosen) > 1:
            raise Error(
                "bad_spec", f"the port {describe(port)} is published twice", "leave out one of the two"
            )
    return ports


def _read(text: str) -> list[PublishedPort]:
    found = _FORM.fullmatch(text)
    if found is None:
        raise _bad(text, "it is not of the form [BIND:]HOST:GUEST[/tcp|udp]")
    bind = _address(text, (found["bind"] or _LOOPBACK).strip("[]"))
    protocol = cast(Protocol, found["protocol"] or "tcp")
    hosts, guests = _range(text, found["host"], least=0), _range(text, found["guest"], least=1)
    if len(hosts) == 1 and hosts[0] == 0:
        hosts = [0] * len(guests)
    if len(hosts) != len(guests):
        raise _bad(text, "its two ranges differ in length")
    return [
        PublishedPort(bind=bind, port=host, guest_port=guest, protocol=protocol)
        for host, guest in zip(hosts, guests, strict=True)
    ]


def _address(text: str, bind: str) -> str:
    try:
        return str(ipaddress.ip_address(bind))
    except ValueError as exc:
        raise _bad(text, f"{bind} is not an address") from exc


def _range(text: str, words: str, *, least: int) -> list[int]:
    first, _, last = words.partition("-")
    begin, end = int(first), int(last or first)
    if not (least <= begin <= end <= _LAST) or (last and begin == 0):
        raise _bad(text, f"{words} is not a port or a range of ports")
    return list(range(begin, end + 1))


def _bad(text: str, why: str) -> Error:
    return Error(
        "bad_spec", f"cannot publish {text!r}: {why}", "write it like 8080:80 or 127.0.0.1:5353:53/udp"
    )


def publish_exposed(exposed: Iterable[str], ports: Iterable[PublishedPort]) -> list[PublishedPort]:
    """Ports for what an image exposes ("80/tcp", "5000-5009/udp"), each once and on a free port, except what `ports`
    publish already. What is no port is left out. Raises `bad_spec` if there are too many."""
    known = {(port.guest_port, port.protocol) for port in ports}
    found = []
    for text in exposed:
        for key in _read_exposed(text):
            if key in known:
                continue
            known.add(key)
            number, protocol = key
            found.append(PublishedPort(bind=_LOOPBACK, port=0, guest_port=number, protocol=protocol))
    if len(found) > _MOST:
        raise Error(
            "bad_spec",
            f"the image exposes {len(found)} ports, too many to publish",
            f"publish the ports that you need, with -p; at most {_MOST}",
        )
    return found


def _read_exposed(text: str) -> Iterator[tuple[int, Protocol]]:
    found = _EXPOSED.fullmatch(text)
    if found is None:
        return
    begin, end = int(found["first"]), int(found["last"] or found["first"])
    for number in range(max(begin, 1), min(end, _LAST) + 1):
        yield number, cast(Protocol, found["protocol"] or "tcp")


def without_ports(texts: Iterable[str], gone: Iterable[PublishedPort]) -> list[str]:
    """The texts without these ports. Each is taken out once: under its own number, or else as a free port of the host,
    which became that number. A range that loses a port is written as the ports that are left."""
    read = [(text, _read(text)) for text in texts]
    left = list(gone)
    for is_free in (False, True):
        for _, ports in read:
            for port in tuple(ports):
                if (port.port == 0) == is_free and _take(left, port):
                    ports.remove(port)
    return [kept for text, ports in read for kept in _write(text, ports)]


def _take(left: list[PublishedPort], port: PublishedPort) -> bool:
    """Take what this port became out of the list, if it is there."""
    for one in left:
        same = (one.bind, one.guest_port, one.protocol) == (port.bind, port.guest_port, port.protocol)
        if same and port.port in (0, one.port):
            left.remove(one)
            return True
    return False


def _write(text: str, ports: list[PublishedPort]) -> list[str]:
    """The text, if it still means these ports; otherwise a text for each."""
    if ports == _read(text):
        return [text]
    return [f"{_host_side(port)}:{port.guest_port}/{port.protocol}" for port in ports]


@contextlib.contextmanager
def bound(ports: Iterable[PublishedPort]) -> Iterator[list[Bound]]:
    """The sockets of these ports, open until the end of the block; a port 0 has become the number of its socket. Raises
    `port_in_use`, `bad_spec`."""
    with contextlib.ExitStack() as stack:
        found = []
        for port in ports:
            opened = stack.enter_context(_open(port))
            found.append((_with_number(port, opened), opened))
        yield found


def _with_number(port: PublishedPort, opened: socket.socket) -> PublishedPort:
    return PublishedPort(
        bind=port.bind,
        port=opened.getsockname()[1],
        guest_port=port.guest_port,
        protocol=port.protocol,
    )


def _open(port: PublishedPort) -> socket.socket:
    family = socket.AF_INET6 if ":" in port.bind else socket.AF_INET
    opened = socket.socket(family, _KINDS[port.protocol] | socket.SOCK_CLOEXEC | socket.SOCK_NONBLOCK)
    try:
        if port.protocol == "tcp":  # else the end of a machine keeps its port for a minute
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        opened.bind((port.bind, port.port))
        if port.protocol == "tcp":
            opened.listen(_BACKLOG)
    except OSError as exc:
        opened.close()
        raise _cannot_open(port, exc) from exc
    return opened


def _cannot_open(port: PublishedPort, exc: OSError) -> Error:
    if exc.errno == errno.EADDRINUSE:
        return Error(
            "port_in_use",
            f"the port {describe(port)} of this host is in use",
            "use another port, or 0 for a free port; ss -ltnup shows who uses a port",
            {"bind": port.bind, "port": port.port, "protocol": port.protocol},
        )
    return Error(
        "bad_spec",
        f"the port {describe(port)} of this host cannot be opened: {exc.strerror}",
        "use an address of this host, and a port from 1024 on unless you are root",
    )


def describe(port: PublishedPort) -> str:
    """The side of the host, for people."""
    return f"{_host_side(port)}/{port.protocol}"


def _host_side(port: PublishedPort) -> str:
    bind = f"[{port.bind}]" if ":" in port.bind else port.bind
    return f"{bind}:{port.port}"
