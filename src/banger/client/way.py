"""The way to a daemon of another host: its door on TCP, and what a request has to say there (docs/security.md).

The token is in the head of each request, and nowhere else: in no error, no log and no command line. Requests are never
redirected, so no other server gets it. Without TLS, it goes to the loopback alone.
"""

from __future__ import annotations

import os
import socket

from banger import places
from banger.client.http1 import encode_request
from banger.errors import Error

TYPE_CHECKING = False
if TYPE_CHECKING:
    import ssl

HOST_VARIABLE = "BANGER_HOST"
TOKEN_VARIABLE = "BANGER_TOKEN"
TOKEN_FILE_VARIABLE = "BANGER_TOKEN_FILE"
CA_VARIABLE = "BANGER_CA_FILE"
CONNECT_TIMEOUT_S = 30
_PORTS = {"http": 80, "https": 443}
_TOKEN_LIMIT_BYTES = 4096
# How long the other end may take nothing of what was sent, as the door allows.
_STALLED_MS = 120_000
_HINT = "a host is unix:///PATH, https://NAME:PORT, or http://127.0.0.1:PORT for this host"


class Way:
    """A door, and the token for it. Lives as long as its client; connections are made anew for each call."""

    __slots__ = ("_ca_file", "_tls", "_token", "host", "is_safe", "port")

    def __init__(self, host: str, port: int, is_safe: bool, token: str = "", ca_file: str = "") -> None:
        self.host = host
        self.port = port
        self.is_safe = is_safe
        self._token = token
        self._ca_file = ca_file
        self._tls: ssl.SSLContext | None = None

    @property
    def name(self) -> str:
        """What the header Host says."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def url(self) -> str:
        return f"{'https' if self.is_safe else 'http'}://{self.name}"

    def __repr__(self) -> str:
        return f"Way({self.url!r})"

    @property
    def headers(self) -> dict[str, str]:
        """What each request says besides its own headers."""
        return {"Authorization": f"Bearer {self._token}"} if self._token else {}

    def dial(self) -> Line:
        """A new connection. Raises `daemon_unreachable`, `tls_failed`, `bad_request`."""
        if self.is_safe and self._tls is None:
            from banger.client.tls import trust

            self._tls = trust(self._ca_file)
        try:
            connection = _connect(self.host, self.port, only_loopback=not self.is_safe)
        except (OSError, UnicodeError) as exc:
            why = getattr(exc, "strerror", None) or str(exc)
            hint = f"check the host ({HOST_VARIABLE}), and `listen` below [web] in its config.toml"
            raise Error("daemon_unreachable", f"cannot connect to {self.url}: {why}", hint) from exc
        if self._tls is not None:
            from banger.client.tls import begin_tls

            connection = begin_tls(connection, self._tls, self.host, self.url)
        return Line(self, connection.detach())


class Line(socket.socket):
    """A connection to a door, which knows the way: requests on it say what the door wants to hear."""

    def __init__(self, way: Way, fd: int) -> None:
        super().__init__(fileno=fd)
        self.way = way


def way_of(connection: socket.socket) -> Way | None:
    """None for a connection to a socket of this host."""
    return connection.way if isinstance(connection, Line) else None


def encode_head(method: str, target: str, headers: dict[str, str], way: Way | None) -> bytes:
    """A request's head, with what the door wants to hear."""
    if way is None:
        return encode_request(method, target, headers)
    return encode_request(method, target, {**headers, **way.headers}, way.name)


def choose_way(
    socket_path: str = "", host: str | Way = "", token: str = "", ca_file: str = ""
) -> tuple[str, Way | None]:
    """The path of the daemon's socket, or the way to its door. What is empty is as the environment says. Raises
    `bad_request`."""
    if socket_path and host:
        raise Error("bad_request", "a client has a socket or a host, not both", _HINT)
    if isinstance(host, Way):
        return "", host
    named = host or ("" if socket_path else os.environ.get(HOST_VARIABLE, ""))
    if not named:
        return socket_path or places.socket_path(), None
    scheme, place, port = parse_host(named)
    if scheme == "unix":
        return place, None
    is_safe = scheme == "https"
    if not is_safe and not _is_loopback(place):
        text = f"{scheme}://{place} has no TLS: a token would be readable on the way"
        raise Error("bad_request", text, f"use https://{place}:PORT, or a tunnel: ssh -L 8040:127.0.0.1:PORT")
    ca_file = ca_file or os.environ.get(CA_VARIABLE, "")
    return "", Way(place, port, is_safe, _find_token(token), ca_file)


def names_host() -> bool:
    """Whether the environment names the daemon, so that none is started."""
    return bool(os.environ.get(HOST_VARIABLE))


def refuse_elsewhere(what: str) -> None:
    """Raises `unsupported` if the environment names a daemon, since `what` is about this user's own."""
    if names_host():
        text = f"{what}, and {HOST_VARIABLE} names another one"
        raise Error(
            "unsupported", text, f"run the command on that host, or without {HOST_VARIABLE} and --host"
        )


def parse_host(text: str) -> tuple[str, str, int]:
    """Scheme, name or path, and port of a host as a user writes it. Raises `bad_request`, which does not repeat a
    password."""
    scheme, separator, rest = text.partition("://")
    scheme = scheme.lower()
    if scheme == "unix" and separator:
        if not rest.startswith("/") or "\0" in rest:
            raise Error("bad_request", "the path of a unix:// host is not absolute", _HINT)
        return scheme, rest, 0
    if not separator or scheme not in _PORTS:
        known = f"with {scheme}://" if separator and scheme.isalnum() and len(scheme) < 16 else "so"
        raise Error("bad_request", f"the place of a daemon does not begin {known}", _HINT)
    if "@" in rest:
        hint = f"name a file with the token: {TOKEN_FILE_VARIABLE}"
        raise Error("bad_request", "a host has no user and no password", hint)
    name, port = _split_port(rest.removesuffix("/"))
    if not name or port is None:
        raise Error("bad_request", f"{rest[:200]!r} is not NAME:PORT", _HINT)
    return scheme, name, port or _PORTS[scheme]


def _split_port(place: str) -> tuple[str, int | None]:
    """The name and the port of "NAME:PORT" or "[ADDRESS]:PORT"; 0 without a port, None for what is neither."""
    if place.startswith("["):
        name, bracket, port = place[1:].partition("]")
        is_good = bool(bracket) and ":" in name and (not port or port[:1] == ":") and port != ":"
        port = port.removeprefix(":")
        allowed = frozenset("0123456789abcdefABCDEF:.")
    else:
        name, colon, port = place.partition(":")
        is_good = bool(port) or not colon
        allowed = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-._")
    if not is_good or not name or len(name) > 253 or not allowed.issuperset(name):
        return "", None
    if not port:
        return name, 0
    is_number = port.isascii() and port.isdigit() and len(port) < 6 and 0 < int(port) < 65536
    return name, int(port) if is_number else None


def _is_loopback(name: str) -> bool:
    """Whether the name stands for this host: connections are made to addresses of the loopback only, then."""
    four = name.split(".")
    is_four = len(four) == 4 and all(part.isdigit() and int(part) < 256 for part in four)
    return (is_four and four[0] == "127") or name == "::1" or name.lower() in ("localhost", places.PAGE_NAME)


def _find_token(given: str) -> str:
    """The token, which is in a variable or in a file. Raises `bad_request`, which does not repeat it."""
    token, place = given, "the token"
    if not token:
        token, place = os.environ.get(TOKEN_VARIABLE, ""), TOKEN_VARIABLE
    path = os.environ.get(TOKEN_FILE_VARIABLE, "")
    if not token and path:
        place = path
        try:
            with open(path, "rb") as file:
                token = file.read(_TOKEN_LIMIT_BYTES + 1).decode("latin-1").strip()
        except OSError as exc:
            hint = f"{TOKEN_FILE_VARIABLE} names the file with the token"
            raise Error("bad_request", f"cannot read {path}: {exc.strerror}", hint) from exc
    if len(token) > _TOKEN_LIMIT_BYTES or not all("!" <= letter <= "~" for letter in token):
        raise Error("bad_request", f"{place} is not a token", "`banger token create NAME` prints one")
    return token


def _connect(host: str, port: int, only_loopback: bool) -> socket.socket:
    """The first address that answers. Raises OSError."""
    name = "localhost" if host.lower() == places.PAGE_NAME else host
    failure = OSError(f"{host} has no address" + (" of the loopback" if only_loopback else ""))
    for family, kind, protocol, _, address in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM):
        if only_loopback and not (str(address[0]).startswith("127.") or address[0] == "::1"):
            continue
        connection = socket.socket(family, kind, protocol)
        try:
            connection.settimeout(CONNECT_TIMEOUT_S)
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, _STALLED_MS)
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            connection.settimeout(None)
            return connection
        except OSError as exc:
            connection.close()
            failure = exc
    raise failure
