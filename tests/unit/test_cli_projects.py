"""The command line of projects: options before the verb, and the output of several machines as one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from banger.cli import merged_logs
from banger.cli.merged_logs import Source, Window, print_merged
from banger.cli.table import split_leading
from banger.errors import Error


@pytest.mark.parametrize(
    ("words", "moved", "rest"),
    [
        ("up -d", "", "up -d"),
        ("-f a.yaml -p shop logs -f", "--file a.yaml --project shop", "logs -f"),
        ("--project-name=shop ps", "--project=shop", "ps"),
        ("--profile x --env-file e up", "--profile x --env-file e", "up"),
        ("-f", "--file", ""),
        ("--unknown up", "", "--unknown up"),
    ],
)
def test_options_may_stand_before_the_verb(words: str, moved: str, rest: str) -> None:
    assert split_leading("compose", words.split()) == (moved.split(), rest.split())


def test_no_other_noun_takes_options_before_its_verb() -> None:
    assert split_leading("vm", ["-f", "x"]) == ([], ["-f", "x"])


class Logs:
    """A daemon with the logs of machines, and how each of them is afterwards."""

    def __init__(self, logs: dict[str, list[list[bytes]]], after: dict[str, list[dict[str, Any]]]) -> None:
        self.logs = logs
        self.asked: list[str] = []
        self.after = after

    def __call__(self) -> Logs:
        return self

    @contextmanager
    def open(self, call: Any) -> Iterator[Any]:
        self.asked.append(call.target)
        name = call.target.partition("?")[0].split("/")[3]
        if name not in self.logs:
            raise Error("machine_not_found", f"no machine named {name}")
        pieces = self.logs[name].pop(0)

        class Answer:
            @staticmethod
            def chunks() -> Iterator[bytes]:
                yield from pieces

        yield Answer()

    def record(self, call: Any) -> dict[str, Any]:
        return self.after[call.target.split("/")[3]].pop(0)


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """What is written."""
    written: list[bytes] = []

    def write(fd: int, data: memoryview) -> int:
        assert fd == 1
        written.append(bytes(data))
        return len(data)

    monkeypatch.setattr(os, "write", write)
    monkeypatch.setattr(merged_logs, "is_terminal", lambda fd: False)
    monkeypatch.setattr(merged_logs, "_LOOK_EVERY_S", 0.001)
    return written


def give(monkeypatch: pytest.MonkeyPatch, daemon: Logs) -> None:
    monkeypatch.setattr(merged_logs, "Daemon", daemon)


def test_each_line_has_its_machine_before_it_however_it_arrives(
    monkeypatch: pytest.MonkeyPatch, shown: list[bytes]
) -> None:
    give(monkeypatch, Logs({"s-db-1": [[b"on", b"e\ntwo\nthr", b"ee"]], "s-a-1": [[b"\xff\n"]]}, {}))
    assert print_merged([Source("s-db-1", "db-1", None), Source("s-a-1", "a-1", None)], follow=False) == []
    assert b"".join(shown) == b"db-1 | one\ndb-1 | two\ndb-1 | three\na-1  | \xff\n"
    assert all(piece.endswith(b"\n") for piece in shown)


def test_followed_output_goes_on_when_banger_starts_the_machine_again(
    monkeypatch: pytest.MonkeyPatch, shown: list[bytes]
) -> None:
    after: list[dict[str, Any]] = [
        {"state": "stopped", "restart_in_s": 1.0},
        {"state": "running"},
        {"state": "stopped"},
    ]
    give(monkeypatch, Logs({"a": [[b"one\n"], [b"two\n"]]}, {"a": after}))
    assert print_merged([Source("a", "a", None)], follow=True) == []
    assert b"".join(shown) == b"a | one\na | two\n"


def test_a_machine_that_is_gone_is_no_error_of_the_others(
    monkeypatch: pytest.MonkeyPatch, shown: list[bytes]
) -> None:
    give(monkeypatch, Logs({"a": [[b"x"]]}, {}))
    assert print_merged([Source("gone", "gone", None), Source("a", "a", None)], False, prefix=False) == []
    assert b"".join(shown) == b"x\n"


def test_times_are_asked_for_as_of_one_machine(monkeypatch: pytest.MonkeyPatch, shown: list[bytes]) -> None:
    daemon = Logs({"a": [[b"2026-01-31T12:00:00.000Z one\n"]]}, {})
    give(monkeypatch, daemon)
    window = Window(since="2026-01-31T11:00:00Z", until="2026-01-31T13:00:00Z", timestamps=True)
    assert print_merged([Source("a", "a", 5)], False, window=window) == []
    assert b"".join(shown) == b"a | 2026-01-31T12:00:00.000Z one\n"
    (asked,) = daemon.asked
    for part in ("tail=5", "timestamps=true", "since=2026-01-31T11", "until=2026-01-31T13"):
        assert part in asked


@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_gets_colours_and_nothing_of_a_guest_that_moves_it(
    monkeypatch: pytest.MonkeyPatch, shown: list[bytes], no_color: str, coloured: bool
) -> None:
    monkeypatch.setattr(merged_logs, "is_terminal", lambda fd: True)
    monkeypatch.setenv("NO_COLOR", no_color)
    give(monkeypatch, Logs({"a": [[b"\x1b[2Jx\n"]]}, {}))
    print_merged([Source("a", "a", None)], follow=False)
    line = b"".join(shown)
    assert line.startswith(b"\x1b[36ma | \x1b[0m" if coloured else b"a | ")
    assert b"\x1b[2J" not in line
