"""`ports` of a service: the short form, `[[BIND:]HOST:]GUEST[/tcp|udp]`, and the long one."""

from __future__ import annotations

import ipaddress
import re
from typing import Literal, cast

from banger.compose import refused
from banger.compose.complaint import Place, refuse
from banger.compose.project import Port
from banger.compose.reading import Reader
from banger.compose.tree import Mapping, Node

_SHORT = re.compile(
    r"(?:(?:(?P<bind>\[[0-9A-Fa-f:.]+\]|[0-9.]+):)?(?P<host>[0-9]{0,5}(?:-[0-9]{1,5})?):)?"
    r"(?P<guest>[0-9]{1,5}(?:-[0-9]{1,5})?)(?:/(?P<protocol>tcp|udp))?"
)
_LOOPBACK = "127.0.0.1"
_LAST = 65535
_LONG = ("target", "published", "host_ip", "protocol", "mode")


def read_port(reader: Reader, node: Node) -> Port:
    """Raises `compose_invalid`."""
    return _read_long(reader, node) if isinstance(node, Mapping) else _read_short(reader, node)


def _read_short(reader: Reader, node: Node) -> Port:
    text = reader.text(node, "a port")
    found = _SHORT.fullmatch(text)
    if found is None:
        raise refuse(node.place, f"cannot publish {text!r}", "write it like 8080:80 or 127.0.0.1:8080:80/tcp")
    return _port(node.place, found["bind"] or "", found["host"] or "0", found["guest"], found["protocol"])


def _read_long(reader: Reader, node: Node) -> Port:
    fields = reader.fields(node, "a port", _LONG, refused.PORT)
    if "target" not in fields:
        raise refuse(node.place, "a port without target", "target: is the port of the machine")
    if "mode" in fields:
        reader.one_of(fields["mode"], "mode", ("host", "ingress"))
    words = {name: reader.text(value, name) for name, value in fields.items()}
    for name in ("target", "published"):
        if not re.fullmatch(r"[0-9]{0,5}(-[0-9]{1,5})?", words.get(name, "")):
            raise refuse(fields[name].place, f"{name} {words[name]!r} is not a port or a range of ports")
    protocol = (
        reader.one_of(fields["protocol"], "protocol", ("tcp", "udp")) if "protocol" in fields else "tcp"
    )
    return _port(
        node.place, words.get("host_ip", ""), words.get("published") or "0", words["target"], protocol
    )


def _port(place: Place, bind: str, host: str, guest: str, protocol: str | None) -> Port:
    begin, end = _range(place, guest, least=1)
    first, last = _range(place, host, least=0)
    if last - first not in (0, end - begin) and end > begin:
        raise refuse(place, f"the ranges {host} and {guest} differ in length")
    if first and end > begin and last == first:
        raise refuse(place, f"one port for the range {guest}", "publish as many ports as the range has")
    return Port(
        bind=_address(place, bind.strip("[]") or _LOOPBACK),
        port=first,
        last=last,
        guest_port=begin,
        guest_last=end,
        protocol=cast(Literal["tcp", "udp"], protocol or "tcp"),
        place=place,
    )


def _address(place: Place, bind: str) -> str:
    try:
        return str(ipaddress.ip_address(bind))
    except ValueError as exc:
        raise refuse(place, f"{bind} is not an address", "write an address of this host") from exc


def _range(place: Place, words: str, *, least: int) -> tuple[int, int]:
    first, _, last = words.partition("-")
    begin, end = int(first or 0), int(last or first or 0)
    if not least <= begin <= end <= _LAST or (last and not begin):
        raise refuse(place, f"{words} is not a port or a range of ports")
    return begin, end


def describe_port(port: Port, replica: int, replicas: int) -> str:
    """The rule of a MachineSpec for the machine with this number, from 1. Raises `compose_invalid` if the machines of a
    service would publish the same port."""
    bind = f"[{port.bind}]" if ":" in port.bind else port.bind
    first, guests = port.port, port.guest_last - port.guest_port + 1
    if guests == 1 and port.last > port.port:  # a range of the host: one port for each machine
        if port.last - port.port + 1 < replicas:
            raise refuse(
                port.place,
                f"the range {port.port}-{port.last} has fewer ports than the service has machines ({replicas})",
            )
        first += replica - 1
    elif first and replicas > 1:
        raise refuse(
            port.place,
            f"{replicas} machines cannot publish the same port {first}",
            f'write a range, such as "{first}-{first + replicas - 1}:{port.guest_port}", or the guest\'s port alone',
        )
    host = f"{first}-{first + guests - 1}" if first and guests > 1 else str(first)
    guest = f"{port.guest_port}-{port.guest_last}" if guests > 1 else str(port.guest_port)
    return f"{bind}:{host}:{guest}/{port.protocol}"
