"""Machine names: host names and file names at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from banger.errors import Error
from banger.model.names import MAX_LENGTH, check_name, invent_name


@pytest.mark.parametrize("name", ["a", "7", "dev-1", "a--b", "x" * MAX_LENGTH])
def test_good_names_are_kept_as_they_are(name: str) -> None:
    assert check_name(name) == name


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("", "empty"),
        ("x" * (MAX_LENGTH + 1), "longer than 63"),
        ("-a", "begins or ends with -"),
        ("a-", "begins or ends with -"),
        ("-", "begins or ends with -"),
        ("Dev", "only a-z"),
        ("a b", "only a-z"),
        ("a.b", "only a-z"),
        ("../etc", "only a-z"),
        ("a/b", "only a-z"),
        ("a\0", "only a-z"),
        ("a\n", "only a-z"),
        ("caf\u00e9", "only a-z"),
    ],
)
def test_bad_names_are_refused_with_their_reason(name: str, reason: str) -> None:
    with pytest.raises(Error, match="bad name") as caught:
        check_name(name)
    assert caught.value.code == "bad_name"
    assert reason in caught.value.message


def test_a_refusal_of_a_huge_name_is_short() -> None:
    with pytest.raises(Error) as caught:
        check_name("x" * 1_000_000)
    assert len(caught.value.message) < 200


def test_made_up_names_are_good_and_differ() -> None:
    names = {check_name(invent_name()) for _ in range(200)}
    assert len(names) > 190


@given(st.text(max_size=80))
def test_any_text_is_a_name_or_refused(text: str) -> None:
    try:
        assert check_name(text) == text
    except Error as error:
        assert error.code == "bad_name"
