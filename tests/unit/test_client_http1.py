"""The bytes of HTTP/1.1: good ones in any cut, bad ones refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.client.http1 import (
    HEAD_LIMIT,
    AnswerReader,
    encode_chunk,
    encode_query,
    encode_request,
    parse_head,
    quote,
)
from banger.errors import Error

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


def read(data: bytes, cut: int = 1 << 20, end: bool = False) -> tuple[AnswerReader, bytes]:
    reader, body = AnswerReader(), b""
    for at in range(0, len(data), cut):
        reader.feed(data[at : at + cut])
        body += reader.take()
    if end:
        reader.feed(b"")
    return reader, body


@pytest.mark.parametrize("cut", [1, 2, 3, 7, 1000])
@pytest.mark.parametrize(
    ("data", "status", "body"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello", 200, b"hello"),
        (b"HTTP/1.1 204 No Content\r\n\r\n", 204, b""),
        (b"HTTP/1.1 404\r\nContent-Length: 0\r\n\r\n", 404, b""),
        (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", 200, b"abcde"),
        (CHUNKED + b"A\r\n0123456789\r\n000\r\nTrailer: x\r\n\r\n", 200, b"0123456789"),
        (b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 201 Made\r\nContent-Length: 1\r\n\r\nx", 201, b"x"),
    ],
)
def test_an_answer_is_read_however_it_is_cut(data: bytes, cut: int, status: int, body: bytes) -> None:
    reader, got = read(data, cut)
    assert reader.head is not None
    assert (reader.head.status, got, reader.done) == (status, body, True)


def test_a_body_without_length_ends_with_the_connection() -> None:
    reader, body = read(b"HTTP/1.1 200 OK\r\n\r\nall of it", end=True)
    assert body == b"all of it" and reader.done


def test_header_names_are_lower_case_and_values_joined() -> None:
    assert parse_head(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a:  2 ").headers == {"x-a": "1, 2"}


def test_what_follows_a_change_of_protocol_is_kept() -> None:
    reader, _ = read(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n\r\n\x81\x00")
    assert reader.rest == b"\x81\x00"


@pytest.mark.parametrize(
    "data",
    [
        b"SSH-2.0-OpenSSH_9\r\n\r\n",
        b"HTTP/1.1 2x0 OK\r\n\r\n",
        b"HTTP/1.1 099 OK\r\n\r\n",
        b"HTTP/1.1 2000 OK\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nspace : x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\nb: c\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1, 1\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999999999\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n",
        CHUNKED + b"xyz\r\n",
        CHUNKED + b"-3\r\nabc\r\n",
        CHUNKED + b"\r\n",
        CHUNKED + b"0x3\r\nabc\r\n",
        CHUNKED + b"ffffffffffffffffff\r\n",
        CHUNKED + b"3\r\nabcde\r\n",
        CHUNKED + b"1;" + b"a" * 300,
        CHUNKED + b"0\r\n" + b"X: y\r\n" * 20000,
        b"HTTP/1.1 200 OK\r\nx: " + b"a" * (HEAD_LIMIT + 1),
        b"x" * (HEAD_LIMIT + 1),
    ],
)
def test_a_hostile_answer_is_refused(data: bytes) -> None:
    with pytest.raises(Error, match="not come from a banger daemon"):
        read(data)


@pytest.mark.parametrize(
    "data",
    [b"", b"HTTP/1.1 200", b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhel", CHUNKED + b"5\r\nhel"],
)
def test_an_answer_that_is_cut_is_an_error(data: bytes) -> None:
    with pytest.raises(Error, match="connection to the daemon ended"):
        read(data, end=True)


@given(st.binary(max_size=200), st.integers(1, 50))
def test_any_bytes_are_read_or_refused(junk: bytes, cut: int) -> None:
    try:
        read(b"HTTP/1.1 200 OK\r\n" + junk, cut)
        read(CHUNKED + junk, cut)
    except Error as exc:
        assert exc.code == "daemon_unreachable"


@given(st.lists(st.binary(min_size=1, max_size=50)), st.integers(1, 20))
def test_chunks_come_back_as_they_were(pieces: list[bytes], cut: int) -> None:
    data = CHUNKED + b"".join(map(encode_chunk, pieces)) + encode_chunk(b"")
    reader, body = read(data, cut)
    assert body == b"".join(pieces) and reader.done


@pytest.mark.parametrize("bad", ["a\r\nb", "a\nb", "a\0b", "a\x7fb"])
def test_no_header_can_be_smuggled_into_a_request(bad: str) -> None:
    with pytest.raises(ValueError):
        encode_request("GET", "/", {"x": bad})
    with pytest.raises(ValueError):
        encode_request("GET", bad, {})


def test_paths_and_queries_are_percent_encoded() -> None:
    assert quote("a/b c\n%ä") == "a%2Fb%20c%0A%25%C3%A4"
    assert encode_query({"path": "/a b&c", "n": "1"}) == "?path=%2Fa%20b%26c&n=1"
    assert encode_query({}) == ""
