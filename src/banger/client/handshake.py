"""The WebSocket handshake as bytes (RFC 6455, section 4). Pure, but for the id of the request."""

from __future__ import annotations

from binascii import b2a_base64

from banger.client.http1 import Head, refuse
from banger.client.request_id import request_header
from banger.client.way import Way, encode_head

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def encode_handshake(target: str, key: str, way: Way | None = None) -> bytes:
    """The request that asks for a WebSocket. `key` is from `make_key`."""
    headers = {
        "Connection": "Upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Version": "13",
        "Sec-WebSocket-Key": key,
        **request_header(),
    }
    return encode_head("GET", target, headers, way)


def make_key(nonce: bytes) -> str:
    """The key of a handshake from 16 random bytes."""
    return b2a_base64(nonce, newline=False).decode()


def accept_of(key: str) -> str:
    """The answer that a server has to give to `key`."""
    return b2a_base64(_sha1(key.encode() + _GUID), newline=False).decode()


def check_handshake(head: Head, key: str) -> None:
    """Check that a 101 answers `key`, and contains nothing that was not requested."""
    headers = head.headers
    if headers.get("upgrade", "").lower() != "websocket":
        raise refuse("it changed to another protocol than WebSocket")
    tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    if "upgrade" not in tokens:
        raise refuse("a WebSocket handshake without `Connection: Upgrade`")
    if headers.get("sec-websocket-accept") != accept_of(key):
        raise refuse("a wrong Sec-WebSocket-Accept")
    if headers.get("sec-websocket-extensions") or headers.get("sec-websocket-protocol"):
        raise refuse("a WebSocket extension that the client did not request")


def _sha1(data: bytes) -> bytes:
    """From the extension module if there is one: `hashlib` loads OpenSSL first (3 ms)."""
    try:
        from _sha1 import sha1  # type: ignore[import-not-found,unused-ignore] # in some versions of the stubs
    except ImportError:
        from hashlib import sha1
    digest: bytes = sha1(data, usedforsecurity=False).digest()
    return digest
