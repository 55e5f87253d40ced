"""When lines of a log came: stamped, selected by time, over turns and killed daemons; guests that write anything."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest

from banger.agent.process import Output
from banger.machines.ask import log_times
from banger.machines.ask.execs import ExecLog
from banger.machines.ask.log_times import TimedLines, Window, find_index, times_path
from banger.machines.ask.logs import read_log
from banger.wire.constants import STDOUT

SECOND = 1_000_000_000


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now_s = 1_000_000.0
        monkeypatch.setattr("time.time_ns", lambda: int(self.now_s * SECOND))


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def read(directory: Path, window: Window, tail: int | None = None, follow: bool = False) -> bytes:
    async def scenario() -> bytes:
        pieces = read_log(directory / "exec.log", tail, follow, lambda: follow, window)
        return b"".join([piece async for piece in pieces])

    return asyncio.run(scenario())


def said(log: ExecLog, clock: Clock, *words: bytes) -> None:
    """A second passes before each word."""
    for word in words:
        clock.now_s += 1
        log.write(Output(STDOUT, word))


def stamps(text: bytes) -> list[bytes]:
    return [line.partition(b" ")[0] for line in text.splitlines()]


def test_lines_have_the_time_at_which_they_began(tmp_path: Path, clock: Clock) -> None:
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"one\ntw", b"o\nthree\n")
    assert read(tmp_path, Window(stamped=True)) == (
        b"1970-01-12T13:46:41.000Z one\n1970-01-12T13:46:41.000Z two\n1970-01-12T13:46:42.000Z three\n"
    )
    log.close()


def test_a_window_has_both_its_ends(tmp_path: Path, clock: Clock) -> None:
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"1\n", b"2\n", b"3\n", b"4\n")
    log.close()
    second = 1_000_002_000
    assert read(tmp_path, Window(since_ms=second)) == b"2\n3\n4\n"
    assert read(tmp_path, Window(until_ms=second)) == b"1\n2\n"
    assert read(tmp_path, Window(second, second + 1000)) == b"2\n3\n"
    assert read(tmp_path, Window(until_ms=second), tail=3) == b"2\n"
    assert read(tmp_path, Window(until_ms=second), follow=True) == b"1\n2\n", "nothing later can follow"


def test_times_survive_a_turn_and_a_killed_daemon(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("banger.machines.ask.execs.LOG_LIMIT_BYTES", 8)
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"old1\n")
    again = ExecLog(tmp_path, resume=True)  # the first was never closed
    said(again, clock, b"ab\n", b"new1\n", b"c\n")
    assert stamps(read(tmp_path, Window(stamped=True))) == [
        b"1970-01-12T13:46:4%d.000Z" % n for n in (1, 2, 3, 4)
    ]
    again.close()
    log.close()


@pytest.mark.parametrize("at", ["exec.log.1", "exec.log.times.1"])
def test_a_daemon_killed_amid_a_turn_mixes_up_no_times(tmp_path: Path, clock: Clock, at: str) -> None:
    """Log and index are turned over one after the other."""
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"old\n")
    log.close()
    old = tmp_path / at.removesuffix(".1")
    os.replace(old, tmp_path / at)
    fresh = ExecLog(tmp_path, resume=True)
    said(fresh, clock, b"new\n")
    fresh.close()
    new = stamps(read(tmp_path, Window(stamped=True)))[-1]
    assert new == b"1970-01-12T13:46:42.000Z"
    if at == "exec.log.1":
        assert stamps(read(tmp_path, Window(stamped=True)))[0] == b"1970-01-12T13:46:41.000Z"


def test_an_index_stays_small_whatever_is_written(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One byte at a time, each at a time of its own: old times become coarse, new ones stay."""
    monkeypatch.setattr(log_times, "_MOST_ENTRIES", 64)
    log = ExecLog(tmp_path, resume=False)
    for _ in range(5000):
        said(log, clock, b"\n")
        assert times_path(tmp_path / "exec.log").stat().st_size <= 16 + 64 * 16
    log.close()
    index = find_index(tmp_path / "exec.log", (tmp_path / "exec.log").stat().st_ino)
    assert index is not None and list(index.offsets) == sorted(index.offsets)
    assert index.when(4999) == 1_005_000_000
    assert index.when(0) == 1_000_001_000
    middle = index.when(2500)
    assert middle is not None and 0 <= 1_002_501_000 - middle < 400_000


def test_bursts_make_one_entry_each(tmp_path: Path, clock: Clock) -> None:
    log = ExecLog(tmp_path, resume=False)
    for _ in range(1000):
        clock.now_s += 0.0001
        log.write(Output(STDOUT, b"x\n"))
    log.close()
    assert times_path(tmp_path / "exec.log").stat().st_size <= 16 + 12 * 16


@pytest.mark.parametrize(
    "index",
    [
        b"",
        b"logtime1",
        b"nonsense" * 8,
        b"logtime1" + b"\xff" * 8 + b"\xff" * 64,
        b"logtime1" + b"INODE..." + b"\0" * 8 + b"\xff" * 8,
        b"logtime1" + b"INODE..." + b"\0" * 13,
    ],
)
def test_a_damaged_index_is_no_times(tmp_path: Path, index: bytes) -> None:
    (tmp_path / "exec.log").write_bytes(b"one\ntwo\n")
    inode = (tmp_path / "exec.log").stat().st_ino.to_bytes(8, "little")
    times_path(tmp_path / "exec.log").write_bytes(index.replace(b"INODE...", inode))
    assert read(tmp_path, Window(stamped=True)) == b"- one\n- two\n"
    assert read(tmp_path, Window(since_ms=1)) == b""
    assert read(tmp_path, Window(until_ms=1)) == b"one\ntwo\n"
    log = ExecLog(tmp_path, resume=True)
    log.write(Output(STDOUT, b"three\n"))
    log.close()
    assert not read(tmp_path, Window(stamped=True)).endswith(b"- three\n") or index.startswith(
        b"logtime1INODE"
    )


def test_an_index_that_is_no_file_is_replaced(tmp_path: Path, clock: Clock) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"keep me")
    times_path(tmp_path / "exec.log").symlink_to(secret)
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"one\n")
    log.close()
    assert secret.read_bytes() == b"keep me"
    assert read(tmp_path, Window(stamped=True)) == b"1970-01-12T13:46:41.000Z one\n"


def test_a_clock_that_is_set_back_goes_on(tmp_path: Path, clock: Clock) -> None:
    log = ExecLog(tmp_path, resume=False)
    said(log, clock, b"one\n")
    clock.now_s -= 86400
    said(log, clock, b"two\n")
    log.close()
    assert stamps(read(tmp_path, Window(stamped=True)))[1].startswith(b"1970-01-11T13:46:4")


def test_no_byte_is_lost_or_made_in_whatever_pieces() -> None:
    data = b"one\n\ntwo\rthree\n" * 50 + b"end"
    for size in (1, 2, 3, 7, 64):
        lines, seen = TimedLines(Window(until_ms=5)), b""
        for begin in range(0, len(data), size):
            seen += lines.choose(data[begin : begin + size], begin, None)
        assert seen == data
