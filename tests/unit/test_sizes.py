"""Sizes: what is read, what is refused and why, and that writing is the inverse of reading."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import Error
from banger.model.sizes import GIB, KIB, MIB, TIB, format_size, parse_size


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("4GiB", 4 * GIB),
        ("4G", 4 * GIB),
        ("4g", 4 * GIB),
        ("4GB", 4 * GIB),
        ("512MiB", 512 * MIB),
        ("512m", 512 * MIB),
        ("4KiB", 4 * KIB),
        ("2TiB", 2 * TIB),
        ("10B", 10),
        ("0B", 0),
        ("0", 0),
        ("1024", 1024 * MIB),
        ("1.5GiB", 3 * GIB // 2),
        ("0.5", MIB // 2),
        (".5G", GIB // 2),
        (" 4 GiB ", 4 * GIB),
        ("8388607TiB", 8388607 * TIB),
    ],
)
def test_sizes_are_read(text: str, size_bytes: int) -> None:
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("-1", "negative"),
        ("-4GiB", "negative"),
        ("GiB", "does not start with a number"),
        (".", "does not start with a number"),
        ("+1", "does not start with a number"),
        ("4XB", "unknown unit 'XB'"),
        ("4iB", "unknown unit 'iB'"),
        ("4bb", "unknown unit 'bb'"),
        ("4GiBB", "unknown unit 'GiBB'"),
        ("1e3", "unknown unit 'e3'"),
        ("\N{ARABIC-INDIC DIGIT FOUR}G", "does not start with a number"),
        ("1.5.2G", "two decimal points"),
        ("1..2G", "two decimal points"),
        ("0.3B", "whole number of bytes"),
        ("1.3KiB", "whole number of bytes"),
        ("8388608TiB", "8 EiB"),
        ("9" * 41, "too long"),
    ],
)
def test_nonsense_is_refused_with_its_reason(text: str, reason: str) -> None:
    with pytest.raises(Error, match="bad size") as caught:
        parse_size(text)
    assert caught.value.code == "bad_size"
    assert reason in caught.value.message


@pytest.mark.parametrize(
    ("size_bytes", "text"),
    [
        (0, "0B"),
        (1, "1B"),
        (1023, "1023B"),
        (KIB, "1KiB"),
        (KIB + 1, "1KiB"),
        (1536, "1.5KiB"),
        (MIB - 1, "1MiB"),
        (MIB, "1MiB"),
        (GIB - 1, "1GiB"),
        (GIB, "1GiB"),
        (TIB, "1TiB"),
        (1023 * MIB, "1023MiB"),
        (3 * GIB // 2, "1.5GiB"),
        (5000 * TIB, "5000TiB"),
    ],
)
def test_sizes_are_written(size_bytes: int, text: str) -> None:
    assert format_size(size_bytes) == text


@pytest.mark.parametrize("factor", [1, KIB, MIB, GIB, TIB])
@given(count=st.integers(0, 1023))
def test_writing_is_the_inverse_of_reading_at_whole_units(factor: int, count: int) -> None:
    assert parse_size(format_size(count * factor)) == count * factor


@given(st.integers(0, 2**62))
def test_what_is_written_is_within_a_twentieth_of_a_unit(size_bytes: int) -> None:
    written = format_size(size_bytes)
    number = written.rstrip("KMGTiB")
    factor = parse_size("1" + written.removeprefix(number))
    assert abs(float(number) * factor - size_bytes) <= factor / 20 * 1.001


@given(st.text(max_size=30))
def test_any_text_is_read_or_refused(text: str) -> None:
    try:
        assert 0 <= parse_size(text) < 2**63
    except Error as error:
        assert error.code == "bad_size"
