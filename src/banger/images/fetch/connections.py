"""urllib3's connections, held by the lifeline of the work that uses them, and its errors in our words.

A connection belongs to the current lifeline from when its pool hands it out until it comes back. When the line is cut,
a duplicate of the socket's descriptor is shut down, because TLS takes the socket object apart. Names are resolved here,
once: the address that the gate has allowed is the address that is connected to.
"""

from __future__ import annotations

import errno
import logging
import socket
import ssl
from http.client import HTTPException
from typing import Any

from urllib3 import HTTPConnectionPool, HTTPSConnectionPool, PoolManager, ProxyManager
from urllib3.connection import BaseSSLError, HTTPConnection, HTTPSConnection
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    NameResolutionError,
    NewConnectionError,
    ProxyError,
    ReadTimeoutError,
    SSLError,
)

from banger.images.fetch.failures import NetworkFailure, broken, closed, late, not_tls, refused, untrusted
from banger.images.fetch.lifeline import Lifeline, current
from banger.images.fetch.ranges import Gate

# Its debug lines contain whole URLs, and URLs of blobs may contain a signature.
logging.getLogger("urllib3").setLevel(logging.ERROR)
_NOT_TLS = (
    "WRONG_VERSION",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "RECORD_LAYER",
    "PACKET_LENGTH",
    "EOF_OCCURRED",
)
_PER_HOST = 8


class _Socket:
    """A second descriptor of a connection's socket."""

    def __init__(self, connected: socket.socket) -> None:
        self._duplicate = connected.dup()

    def shut(self) -> None:
        try:
            self._duplicate.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass  # the other side has closed it

    def close(self) -> None:
        self._duplicate.close()


class _Connection(HTTPConnection):
    _wire: _Socket | None = None
    _line: Lifeline | None = None
    gate: Gate
    stall_s: float
    _address = ""

    def connect(self) -> None:
        super().connect()
        self._be_patient()
        if self._address:
            self.gate.met(self._address, isinstance(self, HTTPSConnection))

    def _new_conn(self) -> socket.socket:
        # A proxy resolves names itself, and its address comes from the user.
        connected = super()._new_conn() if self.proxy else self._connect_judged()
        self._wire = _Socket(connected)
        try:
            self.take()
        except BaseException:
            connected.close()
            self.close()
            raise
        return connected

    def _connect_judged(self) -> socket.socket:
        """Connect to the first address that accepts. Raises the gate's error if it forbids an address."""
        name, last = self._dns_host, None
        try:
            for address in _resolve(self, name):
                forbidden = self.gate.forbids(address)
                if forbidden is not None:
                    raise forbidden
                self._dns_host = address
                try:
                    connected = super()._new_conn()
                except (NewConnectionError, ConnectTimeoutError) as exc:
                    last = exc
                    continue
                self._address = address
                return connected
        finally:
            self._dns_host = name
        raise last or NewConnectionError(self, f"{name} has no address")

    def take(self) -> None:
        """Bind the connection to the lifeline of this thread's work."""
        self._be_patient()
        self._line = current.get()
        if self._line is not None and self._wire is not None:
            self._line.hold(self._wire)

    def _be_patient(self) -> None:
        """Set the time-out for sending, which would be the one for connecting or that of the last answer."""
        if self.sock is not None:
            self.sock.settimeout(self.stall_s)

    def let_go(self) -> None:
        if self._line is not None and self._wire is not None:
            self._line.drop(self._wire)
        self._line = None

    def close(self) -> None:
        self.let_go()
        super().close()
        if self._wire is not None:
            self._wire.close()
            self._wire = None


def _resolve(connection: HTTPConnection, name: str) -> list[str]:
    """The addresses of a name, each once."""
    try:
        found = socket.getaddrinfo(name.strip("[]"), connection.port, socket.AF_UNSPEC, socket.SOCK_STREAM)
    except socket.gaierror as exc:
        raise NameResolutionError(name, connection, exc) from exc
    return list(dict.fromkeys(str(address[0]) for *_, address in found))


class _HungUp(ConnectionError):
    """The other side closed the connection during the TLS handshake."""


class _TlsConnection(_Connection, HTTPSConnection):
    def connect(self) -> None:
        try:
            super().connect()
        except (ConnectionError, ssl.SSLEOFError, ssl.SSLZeroReturnError) as exc:
            if self._wire is None:  # there was no connection
                raise
            raise _HungUp from exc


class _Pool(HTTPConnectionPool):
    ConnectionCls = _Connection
    gate: Gate
    stall_s: float

    def _new_conn(self) -> Any:
        connection = super()._new_conn()
        if isinstance(connection, _Connection):
            connection.gate, connection.stall_s = self.gate, self.stall_s
        return connection

    def _get_conn(self, timeout: float | None = None) -> Any:
        connection = super()._get_conn(timeout)
        if isinstance(connection, _Connection):
            connection.take()
        return connection

    def _put_conn(self, conn: Any) -> None:
        if isinstance(conn, _Connection):
            conn.let_go()
        super()._put_conn(conn)


class _TlsPool(_Pool, HTTPSConnectionPool):
    ConnectionCls = _TlsConnection

    def _validate_conn(self, conn: Any) -> None:
        """Connect. urllib3's own method also warns of unverified hosts; here the user has asked for them."""
        if conn.is_closed:
            conn.connect()


def make_pool(context: ssl.SSLContext, proxy: str | None, stall_s: float, gate: Gate) -> PoolManager:
    """Connections to one host. `proxy` is a URL; `stall_s` is how long one piece of a body may take to be sent."""
    options: dict[str, Any] = {
        "ssl_context": context,
        "cert_reqs": context.verify_mode,
        "maxsize": _PER_HOST,
        "retries": False,
    }
    pool = ProxyManager(proxy, **options) if proxy else PoolManager(**options)
    guarded = {"gate": gate, "stall_s": stall_s}
    pool.pool_classes_by_scheme = {
        "http": type("_GuardedPool", (_Pool,), guarded),
        "https": type("_GuardedTlsPool", (_TlsPool,), guarded),
    }
    return pool


def translate(host: str, exc: Exception) -> NetworkFailure:
    """The failure for an exception of `TROUBLE` that a connection to `host` raised."""
    if isinstance(exc, (ConnectTimeoutError, ReadTimeoutError)) and not isinstance(exc, NewConnectionError):
        return late(host)
    if isinstance(exc, NameResolutionError):
        return refused(host, "the host does not exist")
    if isinstance(exc, ProxyError):
        return broken(host, "the proxy cannot be used")
    causes = _causes(exc)
    if any(isinstance(cause, _HungUp) for cause in causes):
        return closed(host)
    cause = causes[-1]
    if isinstance(cause, ssl.SSLCertVerificationError):
        return untrusted(host, cause.verify_message or "it cannot be verified")
    if isinstance(exc, SSLError) or isinstance(cause, ssl.SSLError):
        return _tls(host, cause)
    reason = _words(cause)
    return refused(host, reason) if getattr(cause, "errno", 0) == errno.ECONNREFUSED else broken(host, reason)


# The exceptions of urllib3 and the libraries below it; UnicodeError for impossible host names.
TROUBLE = (HTTPError, HTTPException, BaseSSLError, OSError, UnicodeError)


def _tls(host: str, cause: BaseException) -> NetworkFailure:
    reason = str(getattr(cause, "reason", "") or cause).upper().replace(" ", "_")
    if any(known in reason for known in _NOT_TLS):
        return not_tls(host)
    return broken(host, f"TLS failed: {_words(cause)}")


def _causes(exc: BaseException) -> list[BaseException]:
    """The causes of an exception, the outermost first. urllib3 has them as arguments, causes or contexts."""
    found = [exc]
    while True:
        inner = next((arg for arg in exc.args if isinstance(arg, BaseException)), None)
        inner = inner or exc.__cause__ or exc.__context__
        if inner is None or inner in found:
            return found
        found.append(inner)
        exc = inner


def _words(cause: BaseException) -> str:
    """One short printable line."""
    text = getattr(cause, "strerror", None) or str(cause) or type(cause).__name__
    return "".join(c if c.isprintable() else "?" for c in str(text)[:200])
