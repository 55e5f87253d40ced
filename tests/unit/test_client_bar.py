"""The SDK's progress bar."""

from __future__ import annotations

import io

import pytest

from banger.client.bar import Bar, plan_line
from banger.model.operation import Progress


@pytest.mark.parametrize(
    ("step", "line"),
    [
        (Progress(seq=1, phase="boot"), "boot"),
        (Progress(seq=1, phase="boot", message="dev"), "boot dev"),
        (
            Progress(seq=1, phase="download", done=1 << 20, total=4 << 20, unit="bytes"),
            "download [######..................] 1MiB of 4MiB",
        ),
        (Progress(seq=1, phase="unpack", done=9, total=3), "unpack [" + "#" * 24 + "] 9 of 3"),
        (Progress(seq=1, phase="pull", message="\x1b[2Jx\n"), "pull ?[2Jx"),
        (Progress(seq=1, phase="p" * 200), "p" * 79),
    ],
)
def test_a_step_is_one_harmless_line(step: Progress, line: str) -> None:
    assert plan_line(step) == line


def test_each_phase_has_its_line() -> None:
    stream = io.StringIO()
    bar = Bar(stream)
    for phase in ("one", "one", "two"):
        bar(Progress(seq=1, phase=phase))
    assert [line.split() for line in stream.getvalue().split("\n")] == [["one", "one"], ["two"]]
