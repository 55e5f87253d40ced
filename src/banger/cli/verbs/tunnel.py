"""`vm tunnel`."""

from __future__ import annotations

import errno
import socket

from banger.cli.daemon import Daemon
from banger.cli.parser import Arguments, Parser, Verb
from banger.client.calls import machines_get, machines_tunnel_target
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    from banger.client.stream import Stream

_LOOPBACK = "127.0.0.1"
_LAST_PORT = 65535
_BACKLOG = 64
_STANDARD = "-"


def _arguments(parser: Parser) -> None:
    parser.positional("name", metavar="NAME", help="name or id of the machine")
    parser.positional(
        "port", metavar="PORT", type=_port, help="TCP port of the machine, also of its loopback"
    )
    parser.positional(
        "local",
        metavar="LOCAL",
        nargs="?",
        help="port of 127.0.0.1 to listen on, 0 for a free one (default: PORT, or else a free one); "
        "- for stdin and stdout",
    )


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 0 < int(text) <= _LAST_PORT:
        raise ValueError(text)
    return int(text)


_port.__name__ = "port number"  # argparse names the type in its message


def _tunnel(arguments: Arguments) -> int:
    from banger.cli.tunnel import StandardFiles, Tunnel

    daemon, target = Daemon(), machines_tunnel_target(arguments.name)

    def connect() -> Stream:
        return daemon.stream(target, {"port": arguments.port})

    if arguments.local == _STANDARD:
        return 0 if Tunnel(connect).carry(StandardFiles()) else 1
    _refuse_stopped(daemon, arguments.name)
    with _listen(arguments) as listener:
        number = listener.getsockname()[1]
        print(f"{_LOOPBACK}:{number}", flush=True)
        Tunnel(connect, listener).run()
    return 0


def _refuse_stopped(daemon: Daemon, name: str) -> None:
    state = str(daemon.record(machines_get(name)).get("state"))
    if state not in ("running", "paused"):
        raise Error("bad_state", f"machine {name!r} is {state}", f"banger vm start {name}")


def _listen(arguments: Arguments) -> socket.socket:
    """A listening socket of the loopback: at LOCAL, or else at PORT or a free port."""
    text = arguments.local
    if text is None:
        try:
            return _open(arguments.port)
        except OSError:
            return _open(0)
    if text != "0":
        try:
            _port(text)
        except ValueError as exc:
            raise Error(
                "bad_request", f"{text!r} is not a port", "use a number, 0 for a free port, or -"
            ) from exc
    try:
        return _open(int(text))
    except OSError as exc:
        raise _cannot_open(text, exc) from exc


def _open(port: int) -> socket.socket:
    listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((_LOOPBACK, port))
        listener.listen(_BACKLOG)
        listener.setblocking(False)
    except OSError:
        listener.close()
        raise
    return listener


def _cannot_open(port: str, exc: OSError) -> Error:
    if exc.errno == errno.EADDRINUSE:
        return Error(
            "port_in_use", f"the port {_LOOPBACK}:{port} of this host is in use", "use another port, or 0"
        )
    return Error(
        "bad_request",
        f"the port {_LOOPBACK}:{port} of this host cannot be opened: {exc.strerror}",
        "use a port from 1024 on unless you are root",
    )


TUNNEL = Verb(
    _arguments,
    _tunnel,
    "banger vm tunnel dev 5432\nbanger vm tunnel dev 80 8080\nbanger vm tunnel dev 22 -",
)
