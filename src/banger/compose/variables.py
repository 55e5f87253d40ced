"""Variables of a Compose file: `$NAME`, `${NAME:-default}` and their kin, and files such as `.env`.

The environment of the user comes before `.env`. Pure but for reading files.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from banger.compose.complaint import Place, refuse

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_EXPORT = re.compile(r"^export\s+")
_OPERATORS = (":-", ":?", ":+", "-", "?", "+")
_DEPTH_MAX = 8
_LENGTH_MAX = 256 * 1024
_FILE_MAX = 256 * 1024
_ESCAPES = {"n": "\n", "r": "\r", "t": "\t", '"': '"', "\\": "\\", "$": "$"}


class Variables:
    """The variables that a file is read with. `unset` collects variables that were used and have no value."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.unset: dict[str, Place] = {}

    def expand(self, text: str, place: Place) -> str:
        """The text with each variable replaced. Raises `compose_invalid`."""
        if "$" not in text:
            return text
        return _Expansion(self, place).all(text, 0)

    def get(self, name: str, place: Place) -> str:
        """The value, or nothing, which is noted."""
        value = self.values.get(name)
        if value is None:
            self.unset.setdefault(name, place)
        return value or ""


class _Expansion:
    """The expansion of one text."""

    def __init__(self, variables: Variables, place: Place) -> None:
        self._variables = variables
        self._place = place

    def all(self, text: str, depth: int) -> str:
        if depth > _DEPTH_MAX:
            raise refuse(self._place, f"variables nested deeper than {_DEPTH_MAX} levels")
        parts, at, length = [], 0, 0
        while (found := text.find("$", at)) >= 0:
            parts.append(text[at:found])
            part, at = self._one(text, found, depth)
            parts.append(part)
            length += len(part)
            if length > _LENGTH_MAX:
                raise refuse(self._place, "variables make this text too long")
        return "".join([*parts, text[at:]])

    def _one(self, text: str, at: int, depth: int) -> tuple[str, int]:
        """The value of what begins with the `$` at this position, and the position after it."""
        if text.startswith("$$", at):
            return "$", at + 2
        if text.startswith("${", at):
            end = _closing(text, at + 2)
            if end < 0:
                raise refuse(self._place, "${ without }", "write $$ for a dollar sign")
            return self._braced(text[at + 2 : end], depth), end + 1
        name = _NAME.match(text, at + 1)
        if name is None:
            raise refuse(self._place, "$ without a name", "write $$ for a dollar sign")
        return self._variables.get(name[0], self._place), name.end()

    def _braced(self, inner: str, depth: int) -> str:
        name = _NAME.match(inner)
        rest = inner[name.end() :] if name else inner
        operator = next((known for known in _OPERATORS if rest.startswith(known)), "")
        if name is None or (rest and not operator):
            raise refuse(
                self._place, f"${{{inner[:60]}}} is not a variable", "write it like ${NAME:-default}"
            )
        return self._decide(name[0], operator, rest[len(operator) :], depth)

    def _decide(self, name: str, operator: str, word: str, depth: int) -> str:
        value = self._variables.values.get(name)
        has = bool(value) if operator.startswith(":") else value is not None
        if not operator:
            return self._variables.get(name, self._place)
        if operator.endswith("+"):
            return self.all(word, depth + 1) if has else ""
        if has:
            return value or ""
        if operator.endswith("-"):
            return self.all(word, depth + 1)
        why = self.all(word, depth + 1)
        raise refuse(
            self._place, f"the variable {name} is not set" + (f": {why}" if why else ""), f"export {name}=..."
        )


def _closing(text: str, at: int) -> int:
    """The position of the brace that closes one before `at`; -1 if none does."""
    depth = 1
    while at < len(text):
        if text.startswith("${", at):
            depth, at = depth + 1, at + 1
        elif text[at] == "}":
            depth -= 1
            if not depth:
                return at
        at += 1
    return -1


def read_env_file(path: str, data: bytes, values: Mapping[str, str]) -> dict[str, str]:
    """The variables of a file such as `.env`: NAME=value lines. Without quotes and in double quotes, variables are
    replaced by those before them and by `values`; text in single quotes stays as it is. Raises `compose_invalid`."""
    if len(data) > _FILE_MAX:
        raise refuse(Place(path), f"the file is larger than {_FILE_MAX // 1024} KiB")
    try:
        lines = data.decode("utf-8-sig").splitlines()
    except UnicodeDecodeError as exc:
        raise refuse(Place(path), "the file is not UTF-8") from exc
    found: dict[str, str] = {}
    for number, line in enumerate(lines, 1):
        text = _EXPORT.sub("", line.strip())
        if not text or text.startswith("#"):
            continue
        place = Place(path, number, 1)
        name, equals, value = text.partition("=")
        name = name.rstrip()
        if not _NAME.fullmatch(name):
            raise refuse(place, f"{name[:60]!r} is not a variable", "write it like NAME=value")
        if equals:
            found[name] = _value(value.strip(), Variables({**found, **values}), place)
        elif name in values:
            found[name] = values[name]
    return found


def _value(text: str, variables: Variables, place: Place) -> str:
    if text.startswith("'"):
        return _quoted(text, place, lambda inner: inner)
    if text.startswith('"'):
        return _quoted(text, place, lambda inner: variables.expand(inner, place))
    comment = re.search(r"(^|\s)#", text)
    return variables.expand(text[: comment.start()].rstrip() if comment else text, place)


def _quoted(text: str, place: Place, finish: Callable[[str], str]) -> str:
    quote, at, inner = text[0], 1, []
    while at < len(text) and text[at] != quote:
        escape = quote == '"' and text[at] == "\\" and _ESCAPES.get(text[at + 1 : at + 2])
        if escape:
            inner.append("$$" if escape == "$" else escape)
        else:
            inner.append(text[at])
        at += 2 if escape else 1
    if at == len(text):
        raise refuse(place, f"a {quote} without another", "close the quotes in the same line")
    rest = text[at + 1 :].strip()
    if rest and not rest.startswith("#"):
        raise refuse(place, f"{rest[:60]!r} after the closing quote")
    return finish("".join(inner))
