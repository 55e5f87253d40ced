"""The file .dockerignore: which files of a context stay here. Pure; the time for a name is bounded by its length and
that of the patterns.

A pattern stands for a path from the context's root, and for all below it. The last pattern that fits decides; with `!`
it takes a path back in. `**` stands for any number of directories.
"""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Sequence
from typing import TypeVar

from banger.errors import Error

MAX_BYTES = 1 << 20
_MAX_PATTERNS = 1000
_MAX_LENGTH = 4096

T = TypeVar("T")
# What one item has to be; None stands for any number of items.
Fits = Callable[[T], bool] | None


class Ignored:
    """The patterns of one file, asked for paths in the order of a walk: a directory before what is in it."""

    def __init__(self, text: str, name: str) -> None:
        """Raises `bad_request`."""
        self._patterns: list[list[Fits[str]]] = []
        self._back: list[bool] = []
        self._inside: dict[str, int] = {"": 0}
        for number, raw in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
            if raw.startswith("#"):
                continue
            self._add(raw.strip(), f"{name}, line {number}")

    def _add(self, pattern: str, where: str) -> None:
        back = pattern.startswith("!")
        pattern = pattern[back:].strip()
        if not pattern:
            if back:
                raise Error("bad_request", f"{where}: nothing follows !")
            return
        if len(pattern) > _MAX_LENGTH or len(self._patterns) == _MAX_PATTERNS:
            limits = f"{_MAX_PATTERNS} patterns of {_MAX_LENGTH} characters each"
            raise Error("bad_request", f"{where}: there may be {limits}")
        parts = posixpath.normpath(pattern.lstrip("/") or ".").split("/")
        if parts == ["."]:
            return
        fits = [None if part == "**" else _component(part, where) for part in parts]
        if fits[-1] is None:  # all that is in the directory, and not the directory itself
            fits.append(lambda part: True)
        self._patterns.append(fits)
        self._back.append(back)

    def choose(self, path: str) -> bool | None:
        """Whether to send the file or directory at this path, such as "src/main.c". None: only the contents of the
        directory may have to be sent."""
        parent, _, _ = path.rpartition("/")
        parts = path.split("/")
        fitting = self._inside.get(parent, 0)
        for number, pattern in enumerate(self._patterns):
            if not fitting >> number & 1 and _fit(pattern, parts):
                fitting |= 1 << number
        self._inside[path] = fitting
        if not fitting or self._back[fitting.bit_length() - 1]:
            return True
        later = fitting.bit_length()
        patterns = zip(self._patterns[later:], self._back[later:], strict=True)
        return None if any(back and _leads(pattern, parts) for pattern, back in patterns) else False


def _leads(pattern: Sequence[Fits[str]], parts: Sequence[str]) -> bool:
    """Whether the pattern may stand for something below this path."""
    for fits, part in zip(pattern, parts, strict=False):
        if fits is None:
            return True
        if not fits(part):
            return False
    return True


def _fit(pattern: Sequence[Fits[T]], items: Sequence[T]) -> bool:
    """Whether the pattern stands for these items. Goes back to the last None only, which is enough."""
    at = place = 0
    star, resume = -1, 0
    while place < len(items):
        fits = pattern[at] if at < len(pattern) else None
        if at < len(pattern) and fits is None:
            star, resume = at, place
            at += 1
        elif fits is not None and fits(items[place]):
            at += 1
            place += 1
        elif star >= 0:
            resume += 1
            at, place = star + 1, resume
        else:
            return False
    return all(fits is None for fits in pattern[at:])


def _component(text: str, where: str) -> Callable[[str], bool]:
    """A pattern of one name: `*`, `?`, `[a-z]`, `[^a-z]`, and a backslash before a character that means itself."""
    pattern: list[Fits[str]] = []
    at = 0
    while at < len(text):
        if text[at] == "*":
            if not pattern or pattern[-1] is not None:
                pattern.append(None)
            at += 1
        elif text[at] == "?":
            pattern.append(lambda character: True)
            at += 1
        elif text[at] == "[":
            fits, at = _set(text, at + 1, where)
            pattern.append(fits)
        else:
            character, at = _character(text, at, where)
            pattern.append(character.__eq__)
    if text and not set("*?[\\") & set(text):
        return text.__eq__
    return lambda name: _fit(pattern, name)


def _character(text: str, at: int, where: str) -> tuple[str, int]:
    if text[at] == "\\":
        at += 1
    if at >= len(text):
        raise _malformed(text, where)
    return text[at], at + 1


def _set(text: str, at: int, where: str) -> tuple[Callable[[str], bool], int]:
    """The set whose first character is at `at`, and where the text after it begins."""
    negated = text[at : at + 1] == "^"
    at += negated
    ranges: list[tuple[str, str]] = []
    while text[at : at + 1] != "]" or not ranges:
        if at >= len(text) or text[at] in "]-":
            raise _malformed(text, where)
        low, at = _character(text, at, where)
        high = low
        if text[at : at + 1] == "-":
            if text[at + 1 : at + 2] in ("", "]"):
                raise _malformed(text, where)
            high, at = _character(text, at + 1, where)
        ranges.append((low, high))
    return lambda character: any(low <= character <= high for low, high in ranges) is not negated, at + 1


def _malformed(text: str, where: str) -> Error:
    return Error(
        "bad_request", f"{where}: {text[:80]!r} is not a pattern", "put \\ before a [ that means itself"
    )
