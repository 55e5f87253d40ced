"""What a guest wrote commands no terminal, however it is cut."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.cli.daemon import Daemon
from banger.cli.dispatch import dispatch
from banger.cli.verbs import logs
from banger.cli.verbs.logs import Cleaner


def clean(*pieces: bytes) -> str:
    cleaner = Cleaner()
    return b"".join([*map(cleaner.feed, pieces), cleaner.feed(b"", final=True)]).decode()


@given(st.binary(), st.integers(0, 100))
def test_nothing_but_lines_and_tabs_is_left(data: bytes, cut: int) -> None:
    said = clean(data)
    assert said.replace("\n", "").replace("\t", "").isprintable()
    assert clean(data[:cut], data[cut:]) == said


def test_what_is_harmless_stays_and_the_rest_is_shown() -> None:
    assert clean("größe\tok\r\n".encode()) == "größe\tok\n"
    assert (
        clean(b"\x1b]0;title\x07\x1b[2J", b"over\rwritten\xff")
        == "\\x1b]0;title\\x07\\x1b[2Jover\\rwritten\\xff"
    )
    assert clean("\x9b31m\u202e".encode()) == "\\x9b31m\\u202e"


class Told:
    """An answer of the daemon."""

    def __enter__(self) -> Told:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing is open."""

    def chunks(self) -> list[bytes]:
        return [b"\x1b]0;ti", b"tle\x07line\n"]


@pytest.mark.parametrize(
    ("words", "terminal", "raw"), [([], True, False), (["--raw"], True, True), ([], False, True)]
)
def test_logs_are_clean_on_a_terminal_and_as_they_were_elsewhere(
    words: list[str],
    terminal: bool,
    raw: bool,
    monkeypatch: pytest.MonkeyPatch,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(Daemon, "open", lambda *_: Told())
    monkeypatch.setattr(logs, "is_terminal", lambda _: terminal)
    assert dispatch(["vm", "logs", *words, "dev"]) == 0
    said = capfd.readouterr().out
    assert said == ("\x1b]0;title\x07line\n" if raw else "\\x1b]0;title\\x07line\n")
