"""Logs: whole, their tail, followed; guests that write anything."""

from __future__ import annotations

import asyncio
import errno
from pathlib import Path

import pytest

from banger.agent.process import Output
from banger.errors import Error
from banger.guests.console import read_console_tail
from banger.machines.ask.execs import ExecLog
from banger.machines.ask.logs import find_tail, log_path, read_log
from banger.machines.watch.log_turns import turn_over
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
    monkeypatch.setattr("banger.machines.ask.execs.LOG_LIMIT_BYTES", 10)
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


def test_what_was_turned_over_is_read_first(tmp_path: Path) -> None:
    path = tmp_path / "l"
    (tmp_path / "l.1").write_bytes(b"a\nb\nc\n")
    path.write_bytes(b"d\ne\n")
    assert collect(path, None) == b"a\nb\nc\nd\ne\n"
    assert collect(path, 1) == b"e\n"
    assert collect(path, 2) == b"d\ne\n"
    assert collect(path, 4) == b"b\nc\nd\ne\n"
    assert collect(path, 9) == b"a\nb\nc\nd\ne\n"
    assert collect(path, 0) == b""


def test_a_log_that_is_turned_over_keeps_its_file_and_its_writer(tmp_path: Path) -> None:
    path = tmp_path / "console.log"
    with open(path, "ab", buffering=0) as vmm:
        vmm.write(b"before\n")
        file = path.stat().st_ino
        turn_over(path)
        vmm.write(b"after\n")
    assert path.read_bytes() == b"after\n"
    assert path.stat().st_ino == file
    assert (tmp_path / "console.log.1").read_bytes() == b"before\n"
    assert sorted(p.name for p in tmp_path.iterdir()) == ["console.log", "console.log.1"]


def test_a_log_without_room_for_a_copy_is_cut_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def no_room(source: int, target: Path, limit_bytes: int) -> None:
        target.write_bytes(b"x")
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("banger.machines.watch.log_turns.copy_end", no_room)
    (tmp_path / "l").write_bytes(b"much")
    turn_over(tmp_path / "l")
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("l", b"")]


@pytest.mark.parametrize("read_before", [0, 1, 3])
def test_a_follower_misses_nothing_when_the_log_turns_over(tmp_path: Path, read_before: int) -> None:
    """However much of it was read, and with more in the new part than had been read of the old."""
    path = tmp_path / "l"
    path.write_bytes(b"".join(b"%d" % (n % 10) * 65536 for n in range(read_before)))
    begun = path.read_bytes()
    writers = ["the guest"]

    async def scenario() -> bytes:
        seen = b""
        async for chunk in read_log(path, None, True, lambda: bool(writers)):
            seen += chunk
            if seen == begun or not begun:
                with open(path, "ab") as file:
                    file.write(b"unread\n")
                turn_over(path)
                path.write_bytes(b"new\n" * (2 if begun else 1))
            if seen.endswith(b"new\n"):
                writers.clear()
        return seen

    if not begun:
        path.write_bytes(b"first\n")
        begun = b"first\n"
    assert asyncio.run(scenario()) == begun + b"unread\n" + b"new\n" * 2
