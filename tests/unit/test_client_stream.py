"""Streams: the conversation on its own, and whole streams with the stand-in."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from banger.client.frames import BINARY, TEXT
from banger.client.messages import (
    PIECE_LIMIT,
    STDIN_WINDOW,
    STDOUT,
    Conversation,
    Detached,
    Exited,
    Json,
    MachineMade,
    Output,
    Progress,
    Started,
    encode_message,
)
from banger.client.stream import Stream, collect, open_stream
from banger.client.transport import dial
from banger.errors import Error
from tests.support.pace import allowed_s
from tests.unit.test_client_stand_in import StandIn, running


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    with running(tmp_path) as running_one:
        yield running_one


def open_exec(stand_in: StandIn, *argv: str) -> Stream:
    request: Json = {"command": {"argv": list(argv)}}
    return open_stream(lambda: dial(str(stand_in.path)), "/v1/machines/dev/exec", request)


def hear(conversation: Conversation, **said: object) -> object:
    return conversation.hear(TEXT, json.dumps(said).encode())


def test_each_message_becomes_its_event() -> None:
    talk = Conversation()
    progress = hear(talk, type="progress", phase="disk", message="m", done=1, total=2, unit="bytes")
    assert isinstance(progress, Progress) and (progress.phase, progress.done, progress.total) == (
        "disk",
        1,
        2,
    )
    made = hear(talk, type="machine", machine={"name": "dev"})
    assert isinstance(made, MachineMade) and made.name == "dev"
    assert isinstance(hear(talk, type="started", exec=1, pid=2), Started)
    output = talk.hear(BINARY, b"\x01hello")
    assert isinstance(output, Output) and (output.channel, bytes(output.data)) == (STDOUT, b"hello")
    exited = hear(talk, type="exit", code=3, signal=0, timed_out=False, timings_ms={"run": 1, "x": "y"})
    assert isinstance(exited, Exited) and (exited.code, exited.timings_ms) == (3, {"run": 1.0})
    assert talk.finished


def test_messages_of_a_newer_daemon_are_passed_over() -> None:
    assert hear(Conversation(), type="weather", sun=True) is None


def test_detached_ends_the_conversation() -> None:
    event = hear(Conversation(), type="detached", machine="dev")
    assert isinstance(event, Detached) and event.machine == "dev" and event.last


def test_an_error_is_raised_as_itself() -> None:
    with pytest.raises(Error) as caught:
        hear(Conversation(), type="error", error={"code": "boot_failed", "message": "it did not boot"})
    assert caught.value.code == "boot_failed"


def test_stdin_waits_for_the_start_and_for_credit() -> None:
    talk = Conversation()
    assert talk.room == 0
    hear(talk, type="started", exec=1, pid=1)
    for _ in range(STDIN_WINDOW // PIECE_LIMIT):
        talk.encode_stdin(bytes(PIECE_LIMIT))
    assert talk.room == 0
    with pytest.raises(ValueError):
        talk.encode_stdin(b"x")
    hear(talk, type="credit", consumed=10)
    assert talk.room == 10


@pytest.mark.parametrize(
    "said",
    [
        b"",
        b"not json",
        b"[]",
        b"[" * 100000,
        b'{"type": "machine", "machine": 3}',
        b'{"type": "progress", "done": "many"}',
        b'{"type": "progress", "phase": 3}',
        b'{"type": "exit", "code": 1.5}',
        b'{"type": "credit", "consumed": 1}',
        b'{"type": "credit", "consumed": -1}',
        b'{"type": "error", "error": 7}',
    ],
)
def test_malformed_messages_are_refused(said: bytes) -> None:
    with pytest.raises(Error, match="not come from a banger daemon"):
        Conversation().hear(TEXT, said)


@pytest.mark.parametrize("data", [b"", b"\x00stdin", b"\x03x", b"\xff"])
def test_data_on_a_wrong_channel_is_refused(data: bytes) -> None:
    with pytest.raises(Error, match="channel"):
        Conversation().hear(BINARY, data)


def test_control_messages_are_json() -> None:
    assert json.loads(encode_message("resize", rows=1, cols=2)) == {"type": "resize", "rows": 1, "cols": 2}


def test_output_and_exit_code_come_through(stand_in: StandIn) -> None:
    done = collect(open_exec(stand_in, "echo", "hi"), b"")
    assert done.stdout == b"hi\n" and done.exited is not None and done.exited.code == 0


def test_stderr_is_kept_apart(stand_in: StandIn) -> None:
    done = collect(open_exec(stand_in, "warn", "hi"), b"")
    assert (done.stdout, done.stderr) == (b"", b"hi\n")


def test_an_error_of_the_daemon_is_raised(stand_in: StandIn) -> None:
    with pytest.raises(Error) as caught:
        collect(open_exec(stand_in, "missing"), b"")
    assert caught.value.code == "command_not_found"


def test_a_closed_stream_before_the_end_is_an_error(stand_in: StandIn) -> None:
    with pytest.raises(Error, match="ended before the command did"):
        collect(open_exec(stand_in, "hang-up"), b"")


def test_100_mb_come_back_byte_for_byte_and_not_slowly(stand_in: StandIn) -> None:
    data = os.urandom(1024 * 1024) * 100
    begun = time.monotonic()
    done = collect(open_exec(stand_in, "cat"), data)
    assert done.stdout == data
    assert time.monotonic() - begun < allowed_s(20)
    assert stand_in.said[-1] == {"type": "stdin_eof"}


def test_leaving_the_block_hangs_up(stand_in: StandIn) -> None:
    with open_exec(stand_in, "sleep") as stream:
        while not stream.started:
            stream.wait(5)
    deadline = time.monotonic() + 5
    while not stand_in.disconnects:
        assert time.monotonic() < deadline
        time.sleep(0.01)
