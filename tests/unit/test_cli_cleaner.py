"""What a guest wrote commands no terminal, however it is cut."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from banger.cli.cleaner import Cleaner


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
