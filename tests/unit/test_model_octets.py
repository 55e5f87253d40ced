"""Bytes as text that JSON can carry: what is UTF-8 stays, every other byte comes back as it was."""

from __future__ import annotations

import json
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.output import json_text, printable
from banger.client.answers import encode
from banger.client.exchange import encode_json
from banger.client.messages import REQUEST_LIMIT, check_request
from banger.client.results import plan_command
from banger.errors import Error
from banger.model.command import Command, ExecRequest
from banger.model.image import TagRequest
from banger.model.machine import MachineSpec
from banger.model.octets import bytes_of, text_of
from banger.server.calls import decode
from banger.wire.constants import MAX_PAYLOAD, Type
from banger.wire.frames import FrameReader, encode_request

octets = st.binary(max_size=40).map(lambda raw: raw.replace(b"\0", b"\xff"))


@given(octets)
def test_all_bytes_but_nul_make_the_round_trip(raw: bytes) -> None:
    assert bytes_of(text_of(raw)) == raw
    text_of(raw).encode()


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_text_is_what_it_was(text: str) -> None:
    assert text_of(text) == text
    assert bytes_of(text) == text.encode()


@pytest.mark.parametrize(
    "raw", [b"a\xe9b", b"\xff\xfe", b"\xf0\x9f\x98", b"\xed\xa0\x80", "ü".encode("latin-1")]
)
def test_what_the_command_line_and_the_sdk_send_is_what_the_daemon_reads(raw: bytes) -> None:
    argument = os.fsdecode(raw)
    spoken = {"command": {"argv": [argument], "env": {argument: argument}, "cwd": argument, "user": argument}}
    typed = ExecRequest(command=Command(argv=[argument]))
    given_bytes = ExecRequest(command=plan_command([raw], env={raw: raw}, cwd=raw, user=raw))
    for body in (encode_json(spoken), encode(typed), encode(given_bytes)):
        command = decode(body, ExecRequest).command
        assert [bytes_of(one) for one in command.argv] == [raw]
    for one in (*command.env, *command.env.values(), command.cwd, command.user):
        assert bytes_of(one) == raw
    decode(json.dumps({"image": "x", "command": {"argv": [text_of(raw)]}}).encode(), MachineSpec)


def test_text_of_another_locale_is_utf_8_once_more() -> None:
    assert text_of("ü".encode().decode("ascii", "surrogateescape")) == "ü"


@pytest.mark.parametrize("text", ["\0", "a\0", "\0zz", "\x00e", "\x0041", "\0E9", "\x00\x00e9"])
def test_a_nul_that_stands_for_no_byte_is_refused(text: str) -> None:
    with pytest.raises(Error) as caught:
        bytes_of(text)
    assert caught.value.code == "bad_request"
    with pytest.raises(Error) as caught:
        decode(json.dumps({"command": {"argv": [text]}}).encode(), ExecRequest)
    assert caught.value.code == "bad_spec"


def test_names_that_are_no_commands_are_text() -> None:
    for body, kind in (({"name": "a\x00e9", "new": "b"}, TagRequest), ({"image": "a\x00e9"}, MachineSpec)):
        with pytest.raises(Error) as caught:
            decode(json.dumps(body).encode(), kind)
        assert caught.value.code == "bad_request"
    assert decode(json.dumps({"name": "a\\u0000", "new": "b"}).encode(), TagRequest).name == "a\\u0000"


def test_half_a_pair_is_no_text() -> None:
    for act in (lambda: text_of("\ud800"), lambda: encode_json(["\ud800"]), lambda: encode(["\ud800"])):
        with pytest.raises(Error) as caught:
            act()
        assert caught.value.code == "bad_request"


def test_bytes_are_printed_readably_whoever_wrote_them() -> None:
    assert printable("a\x00e9b") == printable("a\udce9b") == "a\\xe9b"
    assert printable("a\0b") == "a\\x00b"


hostile = st.text(
    alphabet=st.characters() | st.sampled_from("\x1b\x9b\u202e\u2066\u2028\0\x7f\r\n\ue000\U000e0001")
)


@given(st.recursive(hostile, lambda inner: st.lists(inner) | st.dictionaries(hostile, inner), max_leaves=8))
def test_json_is_printable_and_says_the_same(data: object) -> None:
    for indent in (None, 2):
        text = json_text(data, indent)
        assert text.replace("\n", "").isprintable()
        assert json.loads(text) == data


@pytest.mark.parametrize("size", [0, 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 3 * MAX_PAYLOAD])
def test_a_request_of_any_size_comes_in_frames_of_their_size(size: int) -> None:
    payload = os.urandom(size)
    frames = list(FrameReader().feed(encode_request(Type.EXEC, 7, payload)))
    assert [frame.type for frame in frames] == [Type.MORE] * (len(frames) - 1) + [Type.EXEC]
    assert {frame.channel for frame in frames} == {7}
    assert b"".join(frame.payload for frame in frames) == payload


def test_a_command_is_limited_before_it_is_sent() -> None:
    assert check_request(b"x" * REQUEST_LIMIT)
    with pytest.raises(Error) as caught:
        check_request(b"x" * (REQUEST_LIMIT + 1))
    assert caught.value.code == "payload_too_large"
