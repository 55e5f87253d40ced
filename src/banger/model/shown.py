"""What strangers wrote, made harmless for a terminal: the one place where that is decided."""

from __future__ import annotations

from banger.errors import Error
from banger.model.octets import ESCAPE, bytes_of, replace_bytes


def printable(text: str) -> str:
    """One line without control characters: a guest's names must not command the terminal."""
    if text.isprintable():
        return text
    if ESCAPE in text or any("\udc80" <= letter <= "\udcff" for letter in text):
        text = _show_bytes(text)
    return "".join(letter if letter.isprintable() else _escape(letter) for letter in text)


def _escape(letter: str) -> str:
    return letter.encode("unicode_escape").decode()


def _show_bytes(text: str) -> str:
    """Bytes that are no UTF-8, the API's or Python's, as `\\xe9`."""
    try:
        return replace_bytes(bytes_of(text), "\\x")
    except (Error, UnicodeEncodeError):
        return text


def json_text(data: object, indent: int | None = None) -> str:
    """JSON whose strings are shown as they are, as far as they are printable: the rest is escaped, as JSON does it."""
    import json  # some milliseconds, which a table does not need

    text = json.dumps(data, indent=indent, ensure_ascii=False)
    if text.isprintable() or text.replace("\n", "").isprintable():
        return text
    # What json.dumps puts between strings is printable, but for line breaks; in strings it has escaped those.
    return "".join(
        letter if letter == "\n" or letter.isprintable() else json.dumps(letter)[1:-1] for letter in text
    )
