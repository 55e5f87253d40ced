"""Texts of strangers, made harmless for a terminal. Only this module decides how."""

from __future__ import annotations

from banger.errors import Error
from banger.model.octets import ESCAPE, bytes_of


def printable(text: str) -> str:
    """One line without control characters: a guest's names must not control the terminal. Bytes that are not UTF-8, in
    the API's form or Python's, are shown as `\\xe9`."""
    if text.isprintable():
        return text
    first, *rest = text.split(ESCAPE)
    return escaped(first) + "".join(("\\x" if _is_byte(part) else "\\x00") + escaped(part) for part in rest)


def escaped(text: str) -> str:
    """As `printable`, for text that is not in the API's form."""
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    if "\udc80" <= letter <= "\udcff":
        return f"\\x{ord(letter) & 0xFF:02x}"
    return letter.encode("unicode_escape").decode()


def _is_byte(part: str) -> bool:
    try:
        bytes_of(ESCAPE + part[:2])
    except Error:
        return False
    return True


def json_text(data: object, indent: int | None = None) -> str:
    """JSON with strings as they are, as far as they are printable; the rest is escaped as JSON does it."""
    import json  # some milliseconds, which a table does not need

    text = json.dumps(data, indent=indent, ensure_ascii=False)
    if text.isprintable() or text.replace("\n", "").isprintable():
        return text
    # Between strings, json.dumps writes only printable characters and line breaks; in strings it has escaped line
    # breaks.
    return "".join(
        letter if letter == "\n" or letter.isprintable() else json.dumps(letter)[1:-1] for letter in text
    )
