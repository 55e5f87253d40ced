"""TLS of a connection to a door. The rest of the client polls plain sockets: a thread carries the bytes between a plain
end and the encrypted connection. Loaded only for https.
"""

from __future__ import annotations

import select
import socket
import ssl
import threading

from banger.errors import Error

_PIECE = 64 * 1024
# What waits to be taken by one of the two ends, at most about this much.
_QUEUE_LIMIT = 256 * 1024
_HANDSHAKE_TIMEOUT_S = 30
_HINT = "name the certificate, or that of its authority, in BANGER_CA_FILE"


def trust(ca_file: str) -> ssl.SSLContext:
    """A context that trusts the certificates in `ca_file` alone, or what this host trusts. Raises
    `bad_request`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # checks the certificate and its name
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_flags |= (
        ssl.VERIFY_X509_PARTIAL_CHAIN
    )  # the certificate of a door may be its own authority
    if not ca_file:
        context.load_default_certs()
        return context
    try:
        context.load_verify_locations(cafile=ca_file)
    except (OSError, ValueError) as exc:
        why = (
            "no certificate in it" if isinstance(exc, ssl.SSLError) else getattr(exc, "strerror", None) or exc
        )
        raise Error("bad_request", f"cannot use {ca_file}: {why}", "BANGER_CA_FILE names a PEM file") from exc
    return context


def begin_tls(connection: socket.socket, context: ssl.SSLContext, name: str, url: str) -> socket.socket:
    """The plain end of `connection`, which belongs to this function from now on. `name` is the name or address that
    the certificate has to have. Raises `tls_failed`."""
    try:
        connection.settimeout(_HANDSHAKE_TIMEOUT_S)
        encrypted = context.wrap_socket(connection, server_hostname=name)
    except (OSError, ValueError) as exc:  # of TLS, too
        connection.close()
        if isinstance(exc, ssl.SSLCertVerificationError):
            raise Error("tls_failed", f"the certificate of {url}: {exc.verify_message}", _HINT) from exc
        why = getattr(exc, "reason", None) or getattr(exc, "strerror", None) or exc
        raise Error("tls_failed", f"no TLS with {url}: {why}", "http:// is for the loopback alone") from exc
    ours, theirs = socket.socketpair()
    encrypted.setblocking(False)
    theirs.setblocking(False)
    threading.Thread(target=_Carrier(theirs, encrypted).run, name="banger-tls", daemon=True).start()
    return ours


class _Carrier:
    """Owns the far plain end and the encrypted connection, until one of them ends."""

    def __init__(self, plain: socket.socket, encrypted: ssl.SSLSocket) -> None:
        self._plain = plain
        self._encrypted = encrypted
        self._out = bytearray()  # from the client to the daemon
        self._in = bytearray()
        self._client_left = self._daemon_left = False
        self._is_deaf = False  # the daemon takes nothing more, but its answer may still come

    def run(self) -> None:
        """To the end."""
        with self._plain, self._encrypted:
            try:
                while not self._is_over():
                    self._wait()
                    self._hear_client()
                    self._take_in()
                    self._send_out()
                    self._tell_client()
            except OSError:  # of the plain end: the client has closed it
                return

    def _is_over(self) -> bool:
        return (self._client_left and not self._out) or (self._daemon_left and not self._in)

    def _hear_client(self) -> None:
        if len(self._out) >= _QUEUE_LIMIT or self._client_left:
            return
        try:
            piece = self._plain.recv(_PIECE)
        except BlockingIOError:
            return
        self._client_left = not piece
        if not self._is_deaf:
            self._out += piece

    def _tell_client(self) -> None:
        try:
            if self._in:
                del self._in[: self._plain.send(self._in)]
        except BlockingIOError:
            return

    def _send_out(self) -> None:
        """A piece that TLS did not take is offered again as it was: what follows is only added behind it."""
        try:
            while self._out:
                with memoryview(self._out)[:_PIECE] as piece:
                    sent = self._encrypted.send(piece)
                del self._out[:sent]
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._is_deaf = True
            self._out.clear()

    def _take_in(self) -> None:
        try:
            while len(self._in) < _QUEUE_LIMIT and not self._daemon_left:
                piece = self._encrypted.recv(_PIECE)
                self._in += piece
                self._daemon_left = not piece
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            return
        except OSError:
            self._daemon_left = True

    def _wait(self) -> None:
        """Until one of the two ends can go on."""
        has_room = len(self._in) < _QUEUE_LIMIT and not self._daemon_left
        if has_room and self._encrypted.pending():
            return
        poll = select.poll()
        plain = select.POLLOUT if self._in else 0
        if len(self._out) < _QUEUE_LIMIT and not self._client_left:
            plain |= select.POLLIN
        encrypted = (select.POLLOUT if self._out else 0) | (select.POLLIN if has_room else 0)
        for connection, events in ((self._plain, plain), (self._encrypted, encrypted)):
            if events:  # an end that was closed would be told of without end
                poll.register(connection, events)
        poll.poll()
