"""Logs: whole, their tail, followed; guests that write anything."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.machines.execs import ExecLog
from banger.machines.logs import find_tail, log_path, read_log
from banger.templates.console import read_console_tail
from banger.wire.constants import STDERR, STDOUT


def collect(path: Path, tail: int | None, follow: bool = False) -> bytes:
    async def scenario() -> bytes:
        return b"".join([chunk async for chunk in read_log(path, tail, follow, lambda: False)])

    return asyncio.run(scenario())


@pytest.mark.parametrize(
    ("data", "lines", "expected"),
    [
        (b"a\nb\nc\n", 2, b"b\nc\n"),
        (b"a\nb\nc", 2, b"b\nc"),
        (b"a\nb\n", 9, b"a\nb\n"),
        (b"a\nb\n", 0, b""),
        (b"", 3, b""),
    ],
)
def test_the_tail_is_whole_lines(tmp_path: Path, data: bytes, lines: int, expected: bytes) -> None:
    (tmp_path / "l").write_bytes(data)
    assert collect(tmp_path / "l", lines) == expected


def test_a_log_without_newlines_is_cut(tmp_path: Path) -> None:
    (tmp_path / "l").write_bytes(b"x" * (3 << 20))
    assert find_tail(tmp_path / "l", 1) == 2 << 20


def test_a_missing_log_is_empty_and_an_unknown_one_refused(tmp_path: Path) -> None:
    assert collect(tmp_path / "none", None) == b""
    with pytest.raises(Error):
        log_path(tmp_path, "../../etc/passwd")


def test_follow_shows_what_is_added_until_the_writer_ends(tmp_path: Path) -> None:
    path = tmp_path / "l"
    path.write_bytes(b"one\n")
    writers = ["the guest"]

    async def scenario() -> bytes:
        seen = b""
        async for chunk in read_log(path, None, True, lambda: bool(writers)):
            seen += chunk
            if seen == b"one\n":
                path.write_bytes(b"one\ntwo\n")
            else:
                writers.clear()
        return seen

    assert asyncio.run(scenario()) == b"one\ntwo\n"


def test_console_lines_lose_their_control_characters(tmp_path: Path) -> None:
    (tmp_path / "c").write_bytes(b"\x1b[31mred\x07\n\n\xff\xfe ok\r\n")
    assert read_console_tail(tmp_path / "c") == ["[31mred", "\ufffd\ufffd ok"]


def test_an_exec_log_turns_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("banger.machines.execs.LOG_LIMIT_BYTES", 10)
    log = ExecLog(tmp_path, resume=False)
    log.write(Output(STDOUT, b"12345678"))
    log.write(Output(STDERR, b"abcdefgh"))
    log.close()
    assert (tmp_path / "exec.log").read_bytes() == b"abcdefgh"
    assert (tmp_path / "exec.log.1").read_bytes() == b"12345678"


def test_an_exec_log_knows_how_far_it_is(tmp_path: Path) -> None:
    first = ExecLog(tmp_path, resume=False)
    first.write(Output(STDOUT, b"12345"))
    first.write(Output(STDERR, b"1"))
    again = ExecLog(tmp_path, resume=True)  # the first was never closed: its daemon was killed
    assert again.positions == (5, 1)
    again.write(Output(STDERR, b"2"))
    assert again.positions == (5, 2)
    again.close()
    first.close()
    fresh = ExecLog(tmp_path, resume=False)
    assert fresh.positions == (0, 0)
    fresh.close()
