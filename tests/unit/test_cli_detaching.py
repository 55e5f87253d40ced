"""The keys that leave a command running, found among what is typed."""

from __future__ import annotations

import pytest

from banger.cli.detaching import DEFAULT_KEYS, DetachKeys, parse_keys

KEYS = parse_keys(DEFAULT_KEYS)


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("ctrl-p,ctrl-q", b"\x10\x11"),
        ("CTRL-],x", b"\x1dx"),
        ("ctrl-@", b"\0"),
        ("ctrl-\\,ctrl-^,ctrl-_", b"\x1c\x1e\x1f"),
        ("", b""),
    ],
)
def test_keys_as_docker_writes_them(text: str, keys: bytes) -> None:
    assert parse_keys(text) == keys


@pytest.mark.parametrize("text", ["ctrl-", "ctrl-1", "ab", ",", "ctrl-p,", "é", "ctrl-pq", "\n"])
def test_what_is_no_key_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        parse_keys(text)


def test_every_single_key_reaches_the_guest() -> None:
    for byte in range(256):
        keys = DetachKeys(KEYS)
        passed, leaves = keys.feed(bytes([byte]))
        assert not leaves and passed + keys.release() == bytes([byte])


def test_only_what_begins_like_the_keys_is_held() -> None:
    keys = DetachKeys(KEYS)
    assert keys.feed(b"a\x1db") == (b"a\x1db", False)
    assert keys.feed(b"vim\x1e") == (b"vim", False) and keys.held == 1
    assert keys.feed(b"x") == (b"\x1ex", False) and not keys.held
    assert keys.feed(b"\x1e\x1e") == (b"\x1e", False)


def test_the_keys_come_in_one_piece_or_in_two() -> None:
    assert DetachKeys(KEYS).feed(b"ls\x1e\x11rest") == (b"ls", True)
    keys = DetachKeys(KEYS)
    assert keys.feed(b"ls\x1e") == (b"ls", False)
    assert keys.feed(b"\x11rest") == (b"", True)


def test_without_keys_nothing_is_ever_held() -> None:
    keys = DetachKeys(b"")
    assert keys.feed(b"\x1e\x11\x1d") == (b"\x1e\x11\x1d", False) and not keys.held
