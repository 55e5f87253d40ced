"""Makes sockets in the network namespace that it runs in, for `network_spaces`. A request: family, kind, whether
transparent, address or "-", port, backlog, protocol. The answer: the socket, or the number of an error."""

from __future__ import annotations

import os
import socket
import sys

_IP_TRANSPARENT, _IPV6_TRANSPARENT = 19, 75


def make(words: list[str]) -> socket.socket:
    family, kind, transparent, address, port, backlog, protocol = words
    made = socket.socket(int(family), int(kind), int(protocol))
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    v6 = made.family == socket.AF_INET6
    if v6 and made.type != socket.SOCK_RAW:
        made.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    if int(transparent):
        level, option = (
            (socket.IPPROTO_IPV6, _IPV6_TRANSPARENT) if v6 else (socket.IPPROTO_IP, _IP_TRANSPARENT)
        )
        made.setsockopt(level, option, 1)
    if address != "-":
        made.bind((address, int(port)))
    if int(backlog):
        made.listen(int(backlog))
    return made


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    channel.send(str(os.getpid()).encode())
    while request := channel.recv(4096):
        try:
            with make(request.decode().split()) as made:
                socket.send_fds(channel, [b"ok"], [made.fileno()])
        except OSError as exc:
            channel.send(str(exc.errno or 0).encode())


main()
