"""The keys that leave a command running and give the terminal back, found among all that is typed."""

from __future__ import annotations

import os

# Neither shells nor editors use the two together, and few use the first.
DEFAULT_KEYS = "ctrl-^,ctrl-q"
# What began like the keys goes to the guest after so long, if the rest does not follow.
HOLD_S = 0.5
_CONTROL = "@abcdefghijklmnopqrstuvwxyz[\\]^_"


class DetachKeys:
    """Of one attachment. Holds back what may be the beginning of the keys; `keys` empty: nothing ever is."""

    __slots__ = ("_held", "_keys")

    def __init__(self, keys: bytes) -> None:
        self._keys = keys
        self._held = b""

    @property
    def held(self) -> int:
        """How many bytes wait for the next key."""
        return len(self._held)

    def feed(self, typed: bytes) -> tuple[bytes, bool]:
        """What is for the guest, and whether the keys came after it."""
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
        """What was held, for the guest."""
        held, self._held = self._held, b""
        return held


def parse_keys(text: str) -> bytes:
    """Docker's words: keys separated by commas, each a character or "ctrl-" and one of a-z @ [ \\ ] ^ _; "" for none.
    Raises ValueError."""
    return bytes(_parse_key(word) for word in text.split(",")) if text else b""


def _parse_key(word: str) -> int:
    if len(word) == 1 and word.isascii() and word.isprintable():
        return ord(word)
    control = word.lower().removeprefix("ctrl-")
    if len(control) != 1 or control == word.lower() or control not in _CONTROL:
        raise ValueError(f"unknown key {word!r}")
    return _CONTROL.index(control)


def default_keys() -> str:
    """As the user's environment has it."""
    return os.environ.get("BANGER_DETACH_KEYS", DEFAULT_KEYS)
