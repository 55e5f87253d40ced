"""What Firecracker counts is read from a pipe that a VMM writes anything to."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from banger.vmm.firecracker import metrics
from banger.vmm.firecracker.metrics import LONGEST_LINE, Lines, Metrics, failures_of, make_pipe


def line_of(**counts: Any) -> bytes:
    return json.dumps(
        {"utc_timestamp_ms": 1, "block_root": counts, "block": {"invalid_reqs_count": 7}}
    ).encode()


@pytest.mark.parametrize(
    ("line", "found"),
    [
        (line_of(invalid_reqs_count=0, execute_fails=0), 0),
        (line_of(invalid_reqs_count=2, execute_fails=1), 3),
        (line_of(read_count=5), 0),
        (b'{"block": {"invalid_reqs_count": 4}}', 4),
        (line_of(invalid_reqs_count=-1), 0),
        (line_of(invalid_reqs_count=True), 0),
        (line_of(invalid_reqs_count=1e300), 0),
        (line_of(invalid_reqs_count="1"), 0),
        (line_of(invalid_reqs_count=10**100), 1 << 32),
        (b'{"block_root": 3}', 0),
        (b"[]", 0),
        (b"3", 0),
        (b"", 0),
        (b"\xff\xfe{", 0),
        (b"[" * LONGEST_LINE, 0),
        (b'{"block": {"invalid_reqs_count": ' + b"9" * 5000 + b"}}", 0),
    ],
)
def test_only_failed_accesses_to_the_disk_count(line: bytes, found: int) -> None:
    assert failures_of(line) == found


@pytest.mark.parametrize("size", [1, 3, 1000])
def test_lines_come_in_pieces_of_any_size_and_too_long_ones_not_at_all(size: int) -> None:
    longest, too_long = b"l" * LONGEST_LINE, b"t" * (LONGEST_LINE + 1)
    said = b"\n".join([b"one", too_long, b"two", longest, 3 * too_long, b"", b"three", b"unfinished"])
    lines, found = Lines(), []
    for start in range(0, len(said), size * 100):
        found += lines.feed(said[start : start + size * 100])
    assert found == [b"one", b"two", longest, b"", b"three"]


def test_what_has_no_end_is_not_kept() -> None:
    lines = Lines()
    for _ in range(100):
        assert lines.feed(b"x" * 65536) == []
        assert len(lines._begun) <= LONGEST_LINE


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.005)


def test_failures_are_told_and_those_before_the_watch_too(tmp_path: Path) -> None:
    async def work() -> None:
        make_pipe(tmp_path / "metrics")
        counted = Metrics(tmp_path / "metrics")
        writer = os.open(tmp_path / "metrics", os.O_RDWR | os.O_NONBLOCK)
        told: list[str] = []
        os.write(writer, line_of(invalid_reqs_count=2) + b"\nnonsense\n")
        await until(lambda: counted._failures == 2)
        counted.watch(told.append)
        assert len(told) == 1 and "2 failed" in told[0]
        os.write(writer, line_of(invalid_reqs_count=0) + b"\n" + line_of(execute_fails=5) + b"\n")
        await until(lambda: len(told) == 2)
        assert "5 failed" in told[1]
        os.close(writer)
        await until(lambda: counted._fd is None)
        counted.close()

    asyncio.run(work())


def test_a_flood_is_read_with_pauses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However much a VMM writes, the loop has its turns for others."""
    reads: list[int] = []
    read = os.read

    def counting(fd: int, size: int) -> bytes:
        data = read(fd, size)
        reads.append(len(data))
        return data

    async def work() -> None:
        make_pipe(tmp_path / "metrics")
        counted = Metrics(tmp_path / "metrics")
        writer = os.open(tmp_path / "metrics", os.O_RDWR | os.O_NONBLOCK)
        monkeypatch.setattr(os, "read", counting)
        monkeypatch.setattr(metrics, "_PAUSE_S", 3600)
        os.write(writer, b"x" * 65536)
        await until(lambda: bool(reads))
        os.write(writer, b"x" * 65536)
        for _ in range(100):
            await asyncio.sleep(0)
        assert len(reads) == 1
        counted.close()
        os.close(writer)

    asyncio.run(work())


@pytest.mark.parametrize("what", ["nothing", "file", "link", "directory"])
def test_what_is_no_pipe_is_not_read(tmp_path: Path, what: str) -> None:
    path = tmp_path / "metrics"
    if what == "file":
        path.write_bytes(line_of(invalid_reqs_count=1) + b"\n")
    if what == "link":
        make_pipe(tmp_path / "elsewhere")
        path.symlink_to(tmp_path / "elsewhere")
    if what == "directory":
        path.mkdir()

    async def work() -> None:
        counted = Metrics(path)
        assert counted._fd is None
        counted.watch(lambda reason: pytest.fail(reason))
        counted.close()

    asyncio.run(work())
