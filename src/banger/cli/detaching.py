"""The keys that detach from a command, found in the bytes that the user types."""

from __future__ import annotations

import os

# Neither shells nor editors use the two keys together, and few programs use the first.
DEFAULT_KEYS = "ctrl-^,ctrl-q"
# Bytes that may begin the keys go to the guest after this time, if the rest does not follow.
HOLD_S = 0.5
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


class DetachKeys:
    """The keys of one attachment. Holds back bytes that may begin the keys; with empty `keys`, none."""

    __slots__ = ("_held", "_keys")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    @property
    def held(self) -> int:
        """How many bytes are held back until the next key."""
        return len(self._held)

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """The bytes for the guest, and whether the keys came after them."""
        typed, self._held = self._held + typed, b""
        if not self._keys:
            return typed, False
        at = typed.find(self._keys)
        if at >= 0:
            return typed[:at], True
        length = min(len(self._keys) - 1, len(typed))
        while length and not typed.endswith(self._keys[:length]):
            length -= 1
        passed = typed[: len(typed) - length]
        self._held = typed[len(passed) :]
        return passed, False

    def release(self) -> bytes:
        """The bytes that were held back, for the guest."""
        held, self._held = self._held, b""
        return held


def parse_keys(text: str) -> bytes:
    """Parse keys as Docker writes them: separated by commas, each a character or "ctrl-" and one of a-z @ [ \\ ] ^ _;
    "" for none. Raises ValueError."""
    return bytes(_parse_key(word) for word in text.split(",")) if text else b""


def _parse_key(word: str) -> int:
    if len(word) == 1 and word.isascii() and word.isprintable():
        return ord(word)
    control = word.lower().removeprefix("ctrl-")
    if len(control) != 1 or control == word.lower() or control not in _CONTROL:
        raise ValueError(f"unknown key {word!r}")
    return _CONTROL.index(control)


def default_keys() -> str:
    """The keys of the user's environment, or the usual ones."""
    return os.environ.get("BANGER_DETACH_KEYS", DEFAULT_KEYS)
