"""WebSocket: frames as bytes, the handshake, and a connection to a hostile peer."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.client.frames import (
    BINARY,
    CLOSE,
    CONTINUATION,
    PING,
    PONG,
    TEXT,
    BadFrame,
    FrameReader,
    encode_close,
    encode_frame,
    mask,
    parse_close,
)
from banger.client.handshake import accept_of, make_key
from banger.client.websocket import WebSocket, open_websocket
from banger.errors import Error

OPENED = (
    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Accept: %s\r\n\r\n"
)


def from_hex(text: str) -> bytes:
    return bytes.fromhex(text)


# RFC 6455, section 5.7, and the sizes around the three forms of a length.
@pytest.mark.parametrize(
    ("frame", "message"),
    [
        ("81 05 48 65 6c 6c 6f", (TEXT, b"Hello")),
        ("89 05 48 65 6c 6c 6f", (PING, b"Hello")),
        ("82 7e 01 00" + "61" * 256, (BINARY, b"a" * 256)),
        ("82 7f 00 00 00 00 00 01 00 00" + "61" * 65536, (BINARY, b"a" * 65536)),
        ("88 02 03 e8", (CLOSE, b"\x03\xe8")),
        ("82 00", (BINARY, b"")),
    ],
)
def test_a_frame_of_the_specification_is_read(frame: str, message: tuple[int, bytes]) -> None:
    assert FrameReader().feed(from_hex(frame)) == [message]


def test_a_masked_frame_of_the_specification() -> None:
    frame = from_hex("81 85 37 fa 21 3d 7f 9f 4d 51 58")
    assert encode_frame(TEXT, b"Hello", from_hex("37fa213d")) == frame
    assert FrameReader(masked=True).feed(frame) == [(TEXT, b"Hello")]


def test_fragments_are_joined_and_control_frames_come_between() -> None:
    reader = FrameReader()
    assert reader.feed(from_hex("01 03 48 65 6c")) == []
    assert reader.feed(from_hex("89 00")) == [(PING, b"")]
    assert reader.feed(from_hex("80 02 6c 6f")) == [(TEXT, b"Hello")]
    assert not reader.in_message


@pytest.mark.parametrize(
    ("frame", "close_code"),
    [
        ("c1 00", 1002),  # a reserved bit
        ("83 00", 1002),  # an unknown opcode
        ("8b 00", 1002),
        ("81 80 00 00 00 00", 1002),  # masked by a server
        ("09 00", 1002),  # a fragmented ping
        ("89 7e 00 7e", 1002),  # a long ping
        ("80 00", 1002),  # a continuation of nothing
        ("01 00 01 00", 1002),  # a new message inside another
        ("82 7e 00 7d", 1002),  # a length that is not in its shortest form
        ("82 7f 00 00 00 00 00 00 ff ff", 1002),
        ("82 7f 80 00 00 00 00 00 00 00", 1002),  # the top bit of a length
        ("82 7f 00 00 00 00 00 10 00 00", 1009),  # 1 MiB
        ("82 7f 7f ff ff ff ff ff ff ff", 1009),
    ],
)
def test_a_malformed_frame_is_refused_before_its_payload_comes(frame: str, close_code: int) -> None:
    with pytest.raises(BadFrame) as caught:
        FrameReader().feed(from_hex(frame))
    assert caught.value.close_code == close_code


def test_an_unmasked_frame_of_a_client_is_refused() -> None:
    with pytest.raises(BadFrame):
        FrameReader(masked=True).feed(from_hex("81 00"))


def test_a_message_has_a_limit_however_it_is_cut() -> None:
    reader = FrameReader(limit=10)
    reader.feed(encode_frame(BINARY, b"12345678", None, final=False))
    with pytest.raises(BadFrame, match="more than 10 bytes"):
        reader.feed(encode_frame(CONTINUATION, b"90a", None))


def test_empty_fragments_do_not_go_on_for_ever() -> None:
    reader = FrameReader()
    reader.feed(encode_frame(BINARY, b"", None, final=False))
    with pytest.raises(BadFrame, match="fragments"):
        reader.feed(encode_frame(CONTINUATION, b"", None, final=False) * 2000)


@given(
    st.lists(st.tuples(st.sampled_from([TEXT, BINARY]), st.binary(max_size=300)), max_size=8),
    st.integers(1, 64),
    st.binary(min_size=4, max_size=4),
    st.booleans(),
)
def test_messages_come_back_however_they_are_cut(
    messages: list[tuple[int, bytes]], cut: int, key: bytes, masked: bool
) -> None:
    used = key if masked else None
    data = b"".join(encode_frame(opcode, payload, used) for opcode, payload in messages)
    reader, got = FrameReader(masked), []
    for at in range(0, len(data), cut):
        got += reader.feed(data[at : at + cut])
    assert got == messages and not reader.in_message


@given(st.binary(max_size=60), st.booleans())
def test_any_bytes_are_read_or_refused(data: bytes, masked: bool) -> None:
    try:
        for opcode, payload in FrameReader(masked).feed(data):
            if opcode == CLOSE:
                parse_close(payload)
    except BadFrame as exc:
        assert exc.close_code in (1002, 1007, 1009)


@given(st.binary(max_size=5000), st.binary(min_size=4, max_size=4))
def test_masking_is_the_xor_of_the_specification(data: bytes, key: bytes) -> None:
    expected = bytes(byte ^ key[index % 4] for index, byte in enumerate(data))
    assert mask(data, key) == expected


def test_masking_is_no_work_by_the_byte() -> None:
    piece = os.urandom(64 * 1024 + 1)
    begun = time.process_time()
    assert bytes(byte ^ index & 3 for index, byte in enumerate(piece)) == mask(piece, bytes(range(4)))
    by_the_byte_s = time.process_time() - begun
    begun = time.process_time()
    for _ in range(100):
        mask(piece, os.urandom(4))
    assert time.process_time() - begun < 100 * by_the_byte_s / 4


@pytest.mark.parametrize(
    ("payload", "expected"),
    [(b"", (1005, "")), (b"\x03\xe8bye", (1000, "bye")), (encode_close(1002, "ä" * 100), (1002, "ä" * 61))],
)
def test_close_frames_are_read(payload: bytes, expected: tuple[int, str]) -> None:
    assert parse_close(payload) == expected


@pytest.mark.parametrize("payload", [b"\x03", b"\x00\x00", b"\x03\xed", b"\x03\xe8\xff"])
def test_malformed_close_frames_are_refused(payload: bytes) -> None:
    with pytest.raises(BadFrame):
        parse_close(payload)


def test_the_accept_of_the_specification() -> None:
    assert accept_of("dGhlIHNhbXBsZSBub25jZQ==") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
    assert make_key(b"the sample nonce") == "dGhlIHNhbXBsZSBub25jZQ=="


@contextmanager
def peer(behave: Callable[[socket.socket, bytes], None]) -> Iterator[socket.socket]:
    """A connection whose other end reads a request's head, then does `behave(socket, accept)`."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            head = b""
            while b"\r\n\r\n" not in head:
                head += theirs.recv(4096)
            key = next(line[19:] for line in head.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key: "))
            behave(theirs, accept_of(key.decode()).encode())

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield ours
    finally:
        ours.close()
        thread.join(10)


def opened(data: bytes = b"") -> Callable[[socket.socket, bytes], None]:
    """Accept, send `data`, then wait for the other side to close."""

    def behave(theirs: socket.socket, accept: bytes) -> None:
        theirs.sendall(OPENED % accept + data)
        while theirs.recv(65536):
            pass

    return behave


def drain(websocket: WebSocket) -> list[tuple[int, bytes]]:
    messages = []
    while not websocket.closed:
        websocket.wait(5)
        messages += websocket.receive()
    return messages


def test_messages_that_come_with_the_handshake_are_not_lost() -> None:
    data = encode_frame(TEXT, b"early", None) + encode_frame(CLOSE, b"", None)
    with peer(opened(data)) as connection, open_websocket(connection, "/x") as websocket:
        assert drain(websocket) == [(TEXT, b"early")]


def test_a_ping_is_answered_with_its_payload() -> None:
    heard = []

    def behave(theirs: socket.socket, accept: bytes) -> None:
        theirs.sendall(OPENED % accept + encode_frame(PING, b"are you there", None))
        heard.extend(FrameReader(masked=True).feed(theirs.recv(4096)))
        theirs.sendall(encode_frame(CLOSE, encode_close(1000), None))

    with peer(behave) as connection, open_websocket(connection, "/x") as websocket:
        drain(websocket)
    assert heard == [(PONG, b"are you there")]


@pytest.mark.parametrize(
    "data", [from_hex("83 00"), from_hex("81 80 00 00 00 00"), from_hex("82 7f 7f" + "ff" * 7)]
)
def test_a_peer_that_breaks_the_protocol_is_told_so_and_left(data: bytes) -> None:
    with peer(opened(data)) as connection, pytest.raises(Error, match="not come from a banger daemon"):
        drain(open_websocket(connection, "/x"))


def test_a_connection_that_ends_inside_a_frame_is_closed_not_waited_for() -> None:
    def behave(theirs: socket.socket, accept: bytes) -> None:
        theirs.sendall(OPENED % accept + from_hex("82 7e 01 00 61 61"))

    with peer(behave) as connection, open_websocket(connection, "/x") as websocket:
        assert drain(websocket) == []


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi",
        b"HTTP/1.1 101 Switching\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n",
        b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n",
        OPENED % b"wrong",
        OPENED.replace(b"\r\n\r\n", b"\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"),
        b"nonsense\r\n\r\n",
    ],
)
def test_a_wrong_handshake_is_refused(answer: bytes) -> None:
    def behave(theirs: socket.socket, accept: bytes) -> None:
        theirs.sendall(answer % accept if b"%s" in answer else answer)

    with peer(behave) as connection, pytest.raises(Error, match="not come from a banger daemon"):
        open_websocket(connection, "/x")


def test_an_error_instead_of_a_handshake_is_raised_as_itself() -> None:
    body = b'{"error": {"code": "machine_not_found", "message": "no machine dev"}}'

    def behave(theirs: socket.socket, accept: bytes) -> None:
        theirs.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

    with peer(behave) as connection, pytest.raises(Error, match="no machine dev") as caught:
        open_websocket(connection, "/x")
    assert caught.value.code == "machine_not_found"


def test_a_peer_that_does_not_read_blocks_nobody() -> None:
    ours, theirs = socket.socketpair()
    with theirs, WebSocket(ours) as websocket:
        for _ in range(100):
            websocket.send(BINARY, bytes(65536))
        assert websocket.queued_bytes > 1_000_000
