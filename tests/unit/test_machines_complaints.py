"""What built-ins of the agent complain about, however much that is."""

from __future__ import annotations

import tracemalloc

import pytest

from banger.machines.ask.complaints import Complaints


@pytest.mark.parametrize(
    ("pieces", "told"),
    [
        ([], "exit code 1"),
        ([b"\n \n"], "exit code 1"),
        ([b"tar-in: a: No space left on device\n"], "tar-in: a: No space left on device"),
        ([b"without its end"], "without its end"),
        ([b"one\ntwo\n"], "two (and 1 other complaint before it)"),
        ([b"o", b"ne\n", b"tw", b"o\nth", b"ree\n"], "three (and 2 other complaints before it)"),
        ([b"one\n\x1b[2J\xff\ttwo\n"], "[2J\ufffdtwo (and 1 other complaint before it)"),
        ([b"x" * 5000 + b"\n"], "x" * 300),
    ],
)
def test_the_last_complaint_is_told_and_how_many_came_before(pieces: list[bytes], told: str) -> None:
    complaints = Complaints()
    for piece in pieces:
        complaints.add(piece)
    assert complaints.tell("exit code 1") == told


def test_complaints_without_end_take_no_memory() -> None:
    complaints = Complaints()
    tracemalloc.start()
    try:
        for _ in range(200):
            complaints.add(b"y\n" * 8192)
            complaints.add(b"z" * 65536)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert most < 4 << 20
    assert complaints.tell("").endswith(" other complaints before it)")
