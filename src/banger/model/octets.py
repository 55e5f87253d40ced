"""Bytes as text that JSON can carry (docs/api.md, "Bytes").

Names in Linux are bytes, text in JSON is Unicode. What is UTF-8 is written as it is, any other byte as U+0000 and its
two hexadecimal digits. No argument, variable or path has a U+0000 of its own, so nothing is ambiguous.
"""

from __future__ import annotations

from banger.errors import Error

ESCAPE = "\0"
# A byte in the form of U+0000 and two digits is never ASCII: so no U+0000 of a text can be written as its own escape.
PATTERN = r"^[^\x00]*(\x00[89a-f][0-9a-f][^\x00]*)*\Z"


def text_of(raw: str | bytes) -> str:
    """The API's form of a text, in which Python may keep bytes with `surrogateescape`. Raises `bad_request`."""
    text = raw
    if isinstance(text, str):
        if _is_unicode(text):
            return text
        try:
            text = text.encode("utf-8", "surrogateescape")
        except UnicodeEncodeError as exc:
            raise Error("bad_request", f"{raw!r} is neither text nor bytes") from exc
    return replace_bytes(text, ESCAPE)


def bytes_of(text: str) -> bytes:
    """The bytes for a text in the API's form. Raises `bad_request` for a U+0000 that does not stand for a byte."""
    if ESCAPE not in text:  # true for nearly all of a quarter of a million arguments
        return text.encode("utf-8", "surrogateescape")
    first, *rest = text.split(ESCAPE)
    pieces = [first.encode("utf-8", "surrogateescape")]
    for piece in rest:
        pieces += (_byte(piece[:2]), piece[2:].encode("utf-8", "surrogateescape"))
    return b"".join(pieces)


def replace_bytes(raw: bytes, mark: str) -> str:
    """Text in which `mark` and two digits stand for each byte that is not UTF-8."""
    text = raw.decode("utf-8", "surrogateescape")
    if _is_unicode(text):
        return text
    return "".join(mark + f"{ord(c) & 0xFF:02x}" if "\udc80" <= c <= "\udcff" else c for c in text)


def _byte(digits: str) -> bytes:
    if len(digits) == 2 and digits[0] in "89abcdef" and digits[1] in "0123456789abcdef":
        return bytes.fromhex(digits)
    raise Error(
        "bad_request", "an argument, a variable or a path cannot contain a NUL", "see docs/api.md, Bytes"
    )


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
